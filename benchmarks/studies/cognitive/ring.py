"""All twenty tasks in the dialect of Yang et al. 2019, in one network: accuracy, and sums of rules.

The ring dialect has the tasks with two stimuli at once too, decisions between stimuli that differ by 1 to 8
per cent in strength, and input noise. Published are networks of 256 units after up to ten million trials, as
curves and maps, without a table of accuracies. Here a network of 100 units sees 1.6 million trials.

Rules are inputs like others, so one task's can be replaced by a sum of other tasks' rules: delayanti by
fdanti + delaygo - fdgo. Published (fig. 6): such a sum restores part of the performance that a single wrong
rule loses.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.cognitive import figures as draw
from benchmarks.studies.cognitive.measures import Effort, accuracies, battery_of, network_of, outputs_of
from benchmarks.studies.cognitive.rows import accuracy_rows
from benchmarks.studies.rows import rows_of
from benchmarks.studies.study import Drawn, Groups, Measured, Planned, Row, Settings, Study
from plastic_agents.agent import Agent
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results
from plastic_agents.seeding import named_generator
from plastic_envs.cognitive.battery import CognitiveBattery

_UPDATES = 50_000
_SETTINGS: Settings = {
    "agent": "mpn",
    "env": "Cognitive-everything-vector-v0",
    "env_kwargs": {"tasks": "all", "dialect": "ring"},
    "device": "cpu",
    "eval_episodes": 2000,
    "checkpoint_every": 500,
    "updates": _UPDATES,
    "learner": {
        "batch_size": 32,
        "learning_rate": 5e-3,
        "mixture": "errors",
        "evaluate_every": 500,
        "validation_episodes": 800,
        "log_every": 50,
    },
}

COMPOSITIONS: dict[str, dict[str, float]] = {
    "delayanti": {"fdanti": 1.0, "delaygo": 1.0, "fdgo": -1.0},
    "contextdelaydm1": {"contextdelaydm2": 1.0, "contextdm1": 1.0, "contextdm2": -1.0},
    "dmsgo": {"dmcgo": 1.0, "dmsnogo": 1.0, "dmcnogo": -1.0},
}
"""Task -> strengths of the rules that stand for its own (published)."""


def _plan() -> list[Planned]:
    """One group, whose network comes with the suite."""
    return [Planned("mpn", _SETTINGS, shipped="ring-mpn-{seed}")]


def stand_ins(task: str) -> dict[str, dict[str, float]]:
    """Replacements of a task's rule: its own, the sum, the sum without what it subtracts, parts."""
    parts = COMPOSITIONS[task]
    added = {rule: strength for rule, strength in parts.items() if strength > 0}
    rules = {"own rule": {task: 1.0}, "sum": dict(parts), "without subtraction": added}
    return rules | {rule: {rule: 1.0} for rule in added} | {"no rule": {}}


def _measure(group: str, agent: Agent, run: Results, effort: Effort) -> Measured:
    """Accuracies, and accuracies with replaced rules: metrics `composed/<task>/<replacement>`."""
    metrics, arrays = accuracies(agent, run.config.seed, effort)
    network, battery = network_of(agent), battery_of(agent)
    for task in COMPOSITIONS:
        alone = battery.with_settings(tasks=[task], rule_columns=list(battery.settings.columns))
        for name, strengths in stand_ins(task).items():
            probe = alone.with_settings(rules=strengths)
            episodes = probe.sample(named_generator(run.config.seed, f"composition/{task}"), effort.accuracy)
            score = probe.episode_scores(episodes, outputs_of(network, episodes)).mean()
            metrics[f"composed/{task}/{name}"] = float(score)
    return metrics, arrays


def _table(results: Groups) -> list[Row]:
    """Accuracies by task and by rule; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        rows += accuracy_rows(group, runs)
        for task in COMPOSITIONS:
            names = [(name, "", f"composed/{task}/{name}") for name in stand_ins(task)]
            rows += rows_of(runs, f"{group}: {task}, accuracy by trial, shown ", names)
    return rows


def _figures(results: Groups) -> list[Drawn]:
    """Learning curves, if this network was trained here, accuracies by task, replaced rules."""
    learning = "Accuracy on the validation split while learning."
    accuracy = (
        "Accuracy on fresh trials by task, by the ring dialect's rule for each trial and by the compact "
        "measure, which was not made for rings: it rounds to 8 directions, so that a good response near "
        "a border can count as wrong, and takes a faint ring for a response."
    )
    composition = (
        "Accuracy by trial with the task's rule input replaced: by the sum of other tasks' rules, by the "
        "same sum without its negative term, by one of its terms, by none. Dotted: chance."
    )
    battery = draw.battery(next(iter(results.values()))[0])
    goals = {"accuracy_trial": 0.97, "accuracy_response": 0.97}
    return [
        *draw.learning_here(results, learning, goals, _UPDATES // 10),
        ("accuracy", accuracy, draw.accuracy_by_task(results)),
        ("composition", composition, _composition(results, battery)),
    ]


@styled
def _composition(results: Groups, battery: CognitiveBattery) -> Figure:
    figure = Figure(figsize=(11.0, 3.9), layout="constrained")
    chances = dict(zip(battery.settings.names, battery.chance_by_component, strict=True))
    for axes, task in zip(figure.subplots(1, len(COMPOSITIONS), sharey=True), COMPOSITIONS, strict=True):
        rules = list(stand_ins(task))
        width = 0.8 / len(results)
        for place, (group, runs) in enumerate(results.items()):
            each = np.array([[run.metrics[f"composed/{task}/{name}"] for name in rules] for run in runs])
            x = np.arange(len(rules)) + (place - (len(results) - 1) / 2) * width
            axes.bar(x, each.mean(0), width, color=COLOURS[place], label=group)
            for values in each if len(runs) > 1 else ():
                axes.plot(x, values, ".", color="black", markersize=2.5)
        axes.axhline(chances[task], color=GREY, linestyle=":", linewidth=1)
        terms = " ".join(f"{'+' if s > 0 else '-'} {rule}" for rule, s in COMPOSITIONS[task].items())
        axes.set_title(f"{task} by\n{terms.removeprefix('+ ')}", fontsize=8)
        axes.set_xticks(np.arange(len(rules)), rules, rotation=30, ha="right", fontsize=7)
        axes.grid(visible=False, axis="x")
        axes.set(ylim=(0, 1.02))
        axes.label_outer()
    figure.axes[0].set_ylabel("share right")
    if len(results) > 1:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right")
    return figure


STUDY = Study(
    "ring",
    "twenty cognitive tasks in the ring dialect in one network: accuracy, sums of rules",
    _plan,
    _table,
    _figures,
    _measure,
    effort=Effort(accuracy=512),
)
"""Published: 512 trials of each task."""
