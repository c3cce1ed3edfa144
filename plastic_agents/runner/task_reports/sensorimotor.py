"""Measurements and figures of the sensorimotor associations: speed of learning, problem by problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.analysis.learning_to_learn import BLOCK, block_means, fit_learning_curve, moving_mean
from plastic_agents.learners.problem_sequence import ProblemSequenceLearner
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.figures import GREY, colour_of, styled
from plastic_agents.runner.results import Results, by_agent
from plastic_agents.runner.task_reports import plain

COUNTS = "problem/trials_to_criterion"
_FEWEST = 2 * BLOCK  # problems that a fit makes sense for


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """The weights after every problem, where one problem was learned after another.

    Arrays: `snapshots` (problems, P) float32; `orders` (problems, 4), permutations of a perturbation.
    """
    metrics, arrays = plain.measure(agent, config)
    if isinstance(agent, NetworkAgent) and isinstance(agent.learner, ProblemSequenceLearner):
        arrays["snapshots"] = agent.learner.snapshots
        if len(agent.learner.orders):
            arrays["orders"] = agent.learner.orders
    return metrics, arrays


def counts_of(run: Results) -> npt.NDArray[np.float64]:
    """Trials to criterion of problems 1, 2, ..., (P,), NaN for failures; empty if the run counted none."""
    curve = run.curves.get(COUNTS)
    return np.zeros(0) if curve is None else np.asarray(curve.values, dtype=np.float64)


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Trials to criterion against the number of the problem."""
    if len(counts_of(run)) < 2:
        return []
    caption = "Trials to criterion of problems 2, 3, ... (dots: this run), and mean of 30 (lines: all runs)."
    return [("learning_to_learn", caption, learning_curve(run, runs))]


@styled
def learning_curve(run: Results, runs: Sequence[Results]) -> Figure:
    """Counts of one run, moving means of all, and the fit to this one."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = figure.subplots()
    counts = counts_of(run)
    colour = colour_of(run.config.agent)
    axes.plot(np.arange(2, len(counts) + 1), counts[1:], ".", color=colour, markersize=3, alpha=0.35)
    for agent, group in by_agent([run, *runs]).items():
        for place, other in enumerate(group):
            values = counts_of(other)[1:]
            if len(values) >= 30:
                mean = moving_mean(values)
                label = agent if place == 0 else None
                axes.plot(np.arange(len(mean)) + 31, mean, color=colour_of(agent), alpha=0.8, label=label)
    if len(counts) > _FEWEST:
        fit = fit_learning_curve(counts[1:])
        x = np.arange(len(counts) - 1.0)
        text = f"fit: {fit.scale:.0f} exp(-x / {fit.time_constant:.1f}) + {fit.asymptote:.1f}"
        axes.plot(x + 2, fit.at(x), color=GREY, linestyle="--", label=text)
        blocks = block_means(counts[1:])
        axes.plot(
            2 + BLOCK * (np.arange(len(blocks)) + 0.5),
            blocks,
            "s",
            color="black",
            markersize=3,
            label="blocks of 50",
        )
    axes.set(
        title=f"Learning to learn (problem 1 took {counts[0]:.0f} trials)",
        xlabel="problem",
        ylabel="trials to criterion",
        yscale="log",
    )
    axes.legend(loc="upper right", ncols=2)
    return figure
