"""Measurements and figures of transitive inference: by distance, by place, by pair, and over trials.

References are to Miconi & Kay, Nature Neuroscience 28, 2025. Shapes: S splits of the episodes, N items, R
trials.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plastic_agents.agent import Agent
from plastic_agents.analysis.transitive import (
    Choices,
    by_place,
    choices_of,
    distance_curve,
    end_anchor,
    pair_tables,
    quartiles,
)
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.evaluation import play
from plastic_agents.runner.figures import COLOURS, GREY, colour_of, styled
from plastic_agents.runner.results import Results, by_agent
from plastic_agents.runner.task_reports import plain
from plastic_envs.transitive.task import TransitiveInference

_NUM_SPLITS = 10  # as published: 10 splits of 200 episodes


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Choices in fresh episodes of the test split, in splits.

    Metrics: `splits/end_anchor`, accuracy of pairs with an end item minus that of others of their distance.

    Arrays: `splits/distance` (S, N - 1) and `splits/pairs` (S, N, N), accuracy in test trials;
    `splits/trials` (S, R), in all trials; `splits/oracle_distance` (N - 1,), the oracle's on the same trials;
    `splits/is_test` (R,).
    """
    metrics, arrays = plain.measure(agent, config)
    task = config.task().with_split("test")
    assert isinstance(task, TransitiveInference)
    record = play(agent, task, config.eval_episodes, config.seed, "splits")
    every = choices_of(record.episodes, record.actions, task.layout)
    test = every.trials(task.layout.is_test)
    splits = min(_NUM_SPLITS, config.eval_episodes)
    expected = task.observer_scores(record.episodes)[task.layout.is_test]
    oracle = Choices(expected, test.first, test.second, test.num_items)
    metrics["splits/end_anchor"] = end_anchor(pair_tables(test)[0])
    return metrics, arrays | {
        "splits/distance": distance_curve(test, splits),
        "splits/pairs": pair_tables(test, splits),
        "splits/trials": np.stack([part.mean(1) for part in np.array_split(every.correct, splits, axis=1)]),
        "splits/oracle_distance": distance_curve(oracle)[0],
        "splits/is_test": task.layout.is_test,
    }


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Distance and learning curves of all agents; serial position and pairs of this run."""
    if "splits/distance" not in run.arrays:
        return plain.figures(run, runs)
    return [
        (
            "distance_curve",
            f"Accuracy in test trials by symbolic distance: median and quartiles over {_NUM_SPLITS} splits "
            f"of "
            "the episodes (and over an agent's runs). Dashed: an observer that keeps every answer and "
            "infers.",
            distance_curves(runs),
        ),
        (
            "serial_position",
            "Accuracy in test trials by the pair's place in the list, one line for each symbolic distance.",
            serial_position(run),
        ),
        (
            "learning_curve",
            "Accuracy by trial, neighbour pairs before the vertical line, test trials after it.",
            learning_curves(runs),
        ),
        ("pair_table", "Accuracy in test trials for each pair of items, in percent.", pair_table(run)),
    ]


def pair_name(first: int, second: int) -> str:
    """A pair as it is written: AB, DE."""
    return string.ascii_uppercase[first] + string.ascii_uppercase[second]


@styled
def distance_curves(runs: Sequence[Results]) -> Figure:
    """Accuracy by symbolic distance of every agent."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for agent, group in by_agent([run for run in runs if "splits/distance" in run.arrays]).items():
        draw_distances(
            axes,
            np.concatenate([r.arrays["splits/distance"] for r in group]),
            _label(agent, group),
            colour_of(agent),
        )
    oracle = runs[0].arrays["splits/oracle_distance"]
    axes.plot(np.arange(1, len(oracle) + 1), oracle, "--", color=GREY, linewidth=1.0, label="oracle")
    axes.set_title("Symbolic distance")
    axes.legend(loc="lower right")
    return figure


@styled
def serial_position(run: Results) -> Figure:
    """Accuracy by place, a line for each distance."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    draw_serial_positions(axes, run.arrays["splits/pairs"])
    axes.set_title(f"Serial position, {run.label}")
    axes.legend(title="distance", ncols=2, loc="lower right")
    return figure


@styled
def learning_curves(runs: Sequence[Results]) -> Figure:
    """Accuracy by trial of every agent."""
    figure = Figure(figsize=(6.8, 3.8), layout="constrained")
    axes = figure.subplots()
    for agent, group in by_agent([run for run in runs if "splits/trials" in run.arrays]).items():
        low, middle, high = quartiles(np.concatenate([r.arrays["splits/trials"] for r in group]))
        trials = np.arange(1, len(middle) + 1)
        axes.plot(trials, middle, color=colour_of(agent), label=_label(agent, group))
        axes.fill_between(trials, low, high, color=colour_of(agent), alpha=0.18, linewidth=0)
    is_test = runs[0].arrays["splits/is_test"]
    axes.axvline(float(np.argmax(is_test)) + 0.5, color=GREY, linewidth=0.9)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1.0)
    axes.set(title="Learning within an episode", xlabel="trial", ylabel="accuracy", ylim=(0.35, 1.02))
    axes.legend(loc="lower right")
    return figure


@styled
def pair_table(run: Results) -> Figure:
    """Accuracy of each pair."""
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    draw_pairs(axes, quartiles(run.arrays["splits/pairs"])[1])
    axes.set_title(f"Pairs, {run.label}")
    return figure


def draw_distances(axes: Axes, splits: npt.NDArray[np.float64], label: str, colour: str) -> None:
    """A distance curve with its quartiles, of (S, N - 1)."""
    low, middle, high = quartiles(splits)
    distance = np.arange(1, len(middle) + 1)
    axes.plot(distance, middle, "o-", color=colour, markersize=3.5, label=label)
    axes.fill_between(distance, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1.0)
    axes.set(xlabel="symbolic distance", ylabel="accuracy", ylim=(None, 1.02), xticks=distance)


def draw_serial_positions(axes: Axes, splits: npt.NDArray[np.float64]) -> None:
    """Serial position curves, of pair tables (S, N, N): median over splits, the middle half as a bar."""
    placed = quartiles(by_place(splits))
    for distance, colour in zip(range(1, placed.shape[1]), COLOURS, strict=False):
        low, middle, high = placed[:, distance - 1, : placed.shape[2] - distance]
        centre = np.arange(len(middle)) + distance / 2
        axes.errorbar(
            centre, middle, (middle - low, high - middle), fmt="o-", color=colour, markersize=3,
            linewidth=1.1, elinewidth=0.8, label=str(distance),
        )  # fmt: skip
    items = np.arange(placed.shape[2])
    axes.set_xticks(items, [string.ascii_uppercase[i] for i in items])
    axes.set(xlabel="middle of the pair", ylabel="accuracy", ylim=(None, 1.02))


def draw_pairs(axes: Axes, table: npt.NDArray[np.float64]) -> None:
    """A pair table (N, N) in percent, the upper item from top to bottom."""
    size = len(table)
    upper = np.where(np.tri(size, dtype=bool), np.nan, table)
    axes.imshow(upper, cmap="RdBu", vmin=0.0, vmax=1.0)
    axes.grid(visible=False)
    for i in range(size):
        for j in range(i + 1, size):
            if not np.isnan(table[i, j]):
                pale = abs(table[i, j] - 0.5) < 0.35
                axes.text(
                    j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", size=7,
                    color="black" if pale else "white",
                )  # fmt: skip
    names = list(string.ascii_uppercase[:size])
    axes.set_xticks(range(size), names)
    axes.set_yticks(range(size), names)
    axes.set(xlabel="lower ranked item", ylabel="higher ranked item")


def _label(agent: str, group: Sequence[Results]) -> str:
    return agent if len(group) == 1 else f"{agent} ({len(group)} seeds)"
