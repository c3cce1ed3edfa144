"""Speed of learning: curves of validation scores over seeds, and updates to a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from benchmarks.studies.study import Groups, Row
from plastic_agents.analysis.plots.multitask import draw_mean_curve
from plastic_agents.runner.results import Results


def updates_to(run: Results, share: float, tag: str = "eval/score") -> float:
    """Update of the first validation with at least this figure; NaN if there was none."""
    curve = run.curves.get(tag)
    if curve is None:
        return float("nan")
    places = np.flatnonzero(np.asarray(curve.values) >= share)
    return float(curve.updates[places[0]]) if len(places) else float("nan")


def reach_row(
    quantity: str, published: str, runs: Sequence[Results], share: float, tag: str = "eval/score"
) -> Row:
    """Updates to a threshold. Mean, interval and number are of the runs that reached it; `each` has all.

    Args:
        quantity: Name of the row.
        published: The published figure.
        runs: Seeds.
        share: The threshold.
        tag: Tag of the figure.
    """
    each = [updates_to(run, share, tag) for run in runs]
    numbers = [value for value in each if not np.isnan(value)]
    if not numbers:
        return Row(quantity, published, float("nan"), None, 0, each)
    return replace(Row.of(quantity, published, numbers), each=each)


def over_seeds(
    runs: Sequence[Results], tag: str = "eval/score"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Updates (U,) and the figures (seeds, U) of the runs that have it, NaN where one has no value."""
    curves = [run.curves[tag] for run in runs if tag in run.curves]
    if not curves:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    updates = np.unique(np.concatenate([curve.updates for curve in curves]))
    values = np.full((len(curves), len(updates)), np.nan)
    for row, curve in zip(values, curves, strict=True):
        row[np.searchsorted(updates, curve.updates)] = curve.values
    return updates, values


def have_curves(groups: Groups, tag: str = "eval/score") -> bool:
    """True if any run was trained here; those of shipped networks have no curves."""
    return any(
        len(run.curves[tag].updates) > 1 for runs in groups.values() for run in runs if tag in run.curves
    )


def chance_of(groups: Groups, measure: str) -> float:
    """Chance of a measure of the battery's go tasks; the tasks of all groups are alike.

    Chance of the R rule is that of the task (a vector may point between two directions), chance of the
    compact measure is one direction in eight.
    """
    if measure == "accuracy_trial":
        return float(next(iter(groups.values()))[0].metrics["chance"])
    return 1 / 8


def draw_curve(
    axes: Axes,
    runs: Sequence[Results],
    color: str,
    label: str,
    tag: str = "eval/score",
    until: int | None = None,
    shows_seeds: bool = False,
) -> None:
    """Mean over seeds and its standard error, if any run has the figure.

    Args:
        axes: Axes to draw on.
        runs: Seeds.
        color: Color of the line.
        label: Its name.
        tag: Tag of the figure.
        until: Last update drawn; None: all.
        shows_seeds: Draw every seed too.
    """
    updates, values = over_seeds(runs, tag)
    early = updates <= (until if until is not None else np.inf)
    if len(values) and early.any():
        draw_mean_curve(axes, updates[early], values[:, early], color, label, shows_seeds)
