"""A figure of a task's own: how soon an agent follows a change of the bandit's better arm."""

import numpy as np
from bandit import ReversalBandit as Bandit
from matplotlib.figure import Figure

from plastic_agents.runner.figures import colour_of

_STEPS = 12


class AfterChange:
    """Share of choices of the better arm by the number of steps since it became the better one."""

    def measure(self, agent, config):
        task = config.task().with_split("test")
        episodes = task.sample(config.seed, 300)
        right = agent.act_on(episodes, task) == episodes.targets
        changes = episodes.targets[1:] != episodes.targets[:-1]
        curves = [right[1 + k :][changes[: len(changes) - k]].mean() for k in range(_STEPS)]
        return {}, {"after_change": np.array(curves)}

    def figures(self, run, runs):
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        axes = figure.subplots()
        for each in runs:
            curve = each.arrays["after_change"]
            axes.plot(range(_STEPS), curve, color=colour_of(each.config.agent), label=each.label)
        axes.axhline(run.value("chance"), color="grey", linestyle=":", label="chance")
        axes.set(xlabel="steps since the change", ylabel="share of better choices", ylim=(0, 1))
        axes.legend(fontsize=7)
        return [("after_change", "Choices of the better arm after it changed, on 300 test episodes.", figure)]


REPORT = AfterChange()


class ReversalBandit(Bandit):
    """The bandit with that figure in its report."""

    report = f"{__file__}:REPORT"
