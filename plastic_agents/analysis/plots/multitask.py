"""Drawings of one network's many tasks: variance, clusters, lesions, shifts of state, fixed points, learning.

Each draws on given axes and gives back what a colour bar needs, if any. Colours of groups are the caller's or
Okabe and Ito's; signed quantities are purple to orange about a white 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from plastic_agents.analysis.clustering.clusters import Clustering
from plastic_agents.analysis.fixed_points import stability
from plastic_agents.analysis.state_shift import CATEGORIES, StateShift, category_of

__all__ = [
    "draw_co_membership",
    "draw_eigenvalues",
    "draw_lesion_matrix",
    "draw_mean_curve",
    "draw_pruning",
    "draw_silhouettes",
    "draw_state_shift",
    "draw_states",
    "draw_variance_map",
]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]

_INK, _FAINT = "#22303c", "#c3cad1"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_MOST_COLUMNS = 1500  # more than a figure has pixels


def draw_variance_map(
    axes: Axes,
    variance: Floats,
    row_names: Sequence[str],
    row_labels: Labels,
    row_order: Labels,
    column_labels: Labels,
    column_order: Labels,
    column_name: str = "unit",
) -> Any:
    """Normalised variance with rows and columns sorted into their clusters, and the clusters' bounds.

    Args:
        axes: Axes to draw on; some 7 inches high for 49 rows.
        variance: (R, n), from 0 to 1. Of many thousand columns, neighbours are averaged.
        row_names: Of the task-periods, R.
        row_labels: Their clusters, (R,).
        row_order: Their places in the tree, (R,).
        column_labels: The units' clusters, (n,).
        column_order: Their places, (n,): a clustering's order, or any that keeps clusters together.
        column_name: Name of a column, for the label.
    """
    matrix = np.asarray(variance[row_order][:, column_order])
    image = axes.imshow(
        _fewer_columns(matrix),
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, variance.shape[1], len(variance), 0),
    )
    for bound in _bounds(column_labels[column_order]):
        axes.axvline(bound, color="white", linewidth=0.6)
    for bound in _bounds(row_labels[row_order]):
        axes.axhline(bound, color="white", linewidth=1.0)
    axes.set_yticks(np.arange(len(variance)) + 0.5, [row_names[int(r)] for r in row_order], fontsize=6)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.grid(visible=False)
    number = len(np.unique(column_labels))
    axes.set_xlabel(f"{column_name}, in {number} clusters; rows in {len(np.unique(row_labels))}")
    return image


def draw_silhouettes(axes: Axes, clustering: Clustering, color: str = _COLOURS[0], label: str = "") -> None:
    """Median silhouette against the number of clusters, with the one that was chosen."""
    text = f"{clustering.num_clusters} clusters, stability {clustering.stability:.2f}"
    marks = clustering.counts == clustering.num_clusters
    axes.plot(
        clustering.counts,
        clustering.silhouettes,
        color=color,
        marker="o",
        markersize=5,
        markevery=[int(place) for place in np.flatnonzero(marks)],
        label=f"{label}: {text}" if label else text,
    )
    axes.set(xlabel="number of clusters", ylabel="silhouette (median of repeats)")
    if clustering.counts[-1] > 60:
        axes.set_xscale("log")
        ticks = [k for k in (2, 5, 10, 20, 50, 100, 200, 500, 1000) if clustering.counts[0] <= k]
        ticks = [k for k in ticks if k <= clustering.counts[-1]]
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.set_xticks([], minor=True)
    axes.legend(loc="upper right")


def draw_co_membership(axes: Axes, percent: Floats, names: Sequence[str], order: Labels | None = None) -> Any:
    """Per cent of seeds in which two rows fall into one cluster, (R, R)."""
    order = np.arange(len(names)) if order is None else order
    image = axes.imshow(percent[order][:, order], cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    places, ticks = np.arange(len(names)), [names[int(r)] for r in order]
    size = 6 if len(names) > 20 else 8
    axes.set_xticks(places, ticks, fontsize=size, rotation=90)
    axes.set_yticks(places, ticks, fontsize=size)
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    return image


def draw_lesion_matrix(
    axes: Axes, effects: Floats, lesions: Sequence[str], tasks: Sequence[str], limit: float | None = None
) -> Any:
    """Effect of each lesion on each task, (L, T), as accuracy points lost beyond random lesions' loss."""
    limit = max(float(np.nanmax(np.abs(effects))), 1e-9) if limit is None else limit
    image = axes.imshow(
        effects, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    axes.set_xticks(np.arange(len(tasks)), list(tasks), rotation=90)
    axes.set_yticks(np.arange(len(lesions)), list(lesions), fontsize=6 if len(lesions) > 25 else 8)
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    return image


def draw_pruning(
    axes: Axes, shares: Sequence[float], accuracy: Floats, chance: float | None = None, label: str = "task"
) -> None:
    """Accuracy against the share of weights pruned, (F, T): every task, the mean, the worst at each share."""
    places = np.arange(len(shares))  # the published shares crowd towards 1
    for number, task in enumerate(accuracy.T):
        axes.plot(places, task, color=_FAINT, linewidth=0.8, label=f"each {label}" if number == 0 else None)
    axes.plot(places, accuracy.mean(1), color=_COLOURS[0], marker="o", markersize=4, label="mean")
    axes.plot(
        places, accuracy.min(1), color=_COLOURS[1], marker="o", markersize=3, linestyle="--", label="worst"
    )
    if chance is not None:
        axes.axhline(chance, color="#6b6b6b", linestyle=":", linewidth=1, label="chance")
    axes.set_xticks(places, [f"{100 * share:g}" for share in shares])
    axes.set(xlabel="smallest weights pruned (%)", ylabel="accuracy", ylim=(-0.02, 1.02))
    axes.legend(loc="lower left", frameon=True, edgecolor="none")


def draw_state_shift(axes: Axes, shift: StateShift, color: str = _COLOURS[0], label: str = "") -> None:
    """Angle between first displacements against the distance of the states before, and the line."""
    degrees = np.degrees(shift.angle)
    axes.plot(shift.distance, degrees, "o", color=color, markersize=3, alpha=0.6, markeredgewidth=0)
    ends = np.array([0.0, float(shift.distance.max()) * 1.05])
    text = f"r = {shift.line.r:.2f}, p = {shift.permuted_p:.2g} (permuting tasks)"
    axes.plot(
        ends,
        np.degrees(shift.line.slope * ends),
        color=color,
        label=f"{label}: {text}" if label else text,
    )
    axes.set(
        xlabel="distance of states before the stimulus",
        ylabel="angle of first displacements (degrees)",
        xlim=(0, ends[1]),
    )
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")


def draw_states(axes: Axes, scores: Floats, tasks: Sequence[str], shares: Sequence[float]) -> None:
    """States before the stimulus on two principal components, coloured by category, named by task.

    Args:
        axes: Axes to draw on.
        scores: One per trial, (S, 2).
        tasks: Of each trial, S.
        shares: Of the variance in the two components.
    """
    of_trial = np.asarray(tasks)
    for category, color in zip((*CATEGORIES, None), _COLOURS, strict=False):
        members = np.array([category_of(task) == category for task in tasks])
        if members.any():
            axes.plot(
                *scores[members].T, "o", color=color, markersize=3, alpha=0.5, markeredgewidth=0,
                label=category or "other",
            )  # fmt: skip
    names = list(dict.fromkeys(tasks))
    places = _apart(np.stack([scores[of_trial == task].mean(0) for task in names]), np.ptp(scores, axis=0))
    for task, (x, y) in zip(names, places, strict=True):
        name = axes.text(x, y, task, fontsize=7, ha="center", va="center", color=_INK)
        name.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set(
        xlabel=f"component 1 ({100 * shares[0]:.0f} % of variance)",
        ylabel=f"component 2 ({100 * shares[1]:.0f} %)",
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=1.6)


def draw_eigenvalues(
    axes: Axes, eigenvalues: Sequence[npt.NDArray[np.complex128]], tolerance: float = 0.05
) -> None:
    """Leading eigenvalues of some fixed points in the complex plane, coloured by the points' stability.

    Args:
        axes: Axes to draw on.
        eigenvalues: Of each fixed point.
        tolerance: Of `stability`, shown as a ring about the unit circle.
    """
    axes.add_patch(Circle((0, 0), 1 + tolerance, facecolor="#eef1f4", edgecolor="none", zorder=0))
    axes.add_patch(Circle((0, 0), 1 - tolerance, facecolor="white", edgecolor="none", zorder=0.5))
    axes.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=_INK, linewidth=0.8, zorder=1))
    kinds = [stability(values, tolerance).kind for values in eigenvalues]
    for kind, color in (("stable", _COLOURS[0]), ("marginal", _COLOURS[4]), ("unstable", _COLOURS[1])):
        members = [values for values, its in zip(eigenvalues, kinds, strict=True) if its == kind]
        if members:
            every = np.concatenate(members)
            axes.plot(
                every.real,
                every.imag,
                "o",
                color=color,
                markersize=4,
                alpha=0.7,
                markeredgewidth=0,
                label=f"{kind} ({len(members)})",
                zorder=3,
            )
    reach = 1.15 * max(1 + tolerance, max(float(np.abs(values).max()) for values in eigenvalues))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="real", ylabel="imaginary")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="fixed points")


def draw_mean_curve(
    axes: Axes, updates: npt.NDArray[Any], curves: Floats, color: str, label: str, shows_seeds: bool = False
) -> None:
    """Mean over seeds with its standard error as a band.

    Args:
        axes: Axes to draw on.
        updates: (U,).
        curves: (seeds, U); NaN where a seed had stopped.
        color: Of the agent.
        label: Its name; the number of seeds is put behind.
        shows_seeds: Draw every seed too.
    """
    finite = np.ma.masked_invalid(np.asarray(curves, dtype=np.float64))
    mean = finite.mean(0).filled(np.nan)
    error = (finite.std(0, ddof=1) / np.sqrt(finite.count(0))).filled(0.0)  # of one seed nothing is known
    if shows_seeds:
        for curve in curves:
            axes.plot(updates, curve, color=color, linewidth=0.6, alpha=0.35)
    axes.fill_between(updates, mean - error, mean + error, color=color, alpha=0.25, linewidth=0)
    axes.plot(updates, mean, color=color, label=f"{label} ({len(curves)} seeds, mean ± s.e.m.)")
    axes.set(xlabel="update")


def _bounds(labels: Labels) -> npt.NDArray[np.int64]:
    """Places between different labels."""
    return np.flatnonzero(np.diff(labels)) + 1


def _apart(places: Floats, span: Floats) -> Floats:
    """Places of names (n, 2), moved up where they would lie on one below, given the extent of all (2,)."""
    result = places.copy()
    earlier: list[int] = []
    for index in np.argsort(places[:, 1]):
        for other in sorted(earlier, key=lambda i: result[i, 1]):
            gap = np.abs(result[index] - result[other]) / span
            if gap[0] < 0.2 and gap[1] < 0.04:
                result[index, 1] = result[other, 1] + 0.04 * span[1]
        earlier.append(int(index))
    return result


def _fewer_columns(matrix: Floats) -> Floats:
    """Means of neighbouring columns where there are more than can be seen."""
    columns = matrix.shape[1]
    if columns <= _MOST_COLUMNS:
        return matrix
    starts = np.linspace(0, columns, _MOST_COLUMNS, endpoint=False).astype(np.int64)
    widths = np.diff(np.append(starts, columns))
    return np.asarray(np.add.reduceat(matrix, starts, axis=1) / widths)
