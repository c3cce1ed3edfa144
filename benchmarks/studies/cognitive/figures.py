"""Figures of the studies of cognitive tasks, from their runs' stored results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies.cognitive.lesions import KINDS, PRUNED_SHARES
from benchmarks.studies.cognitive.measures import REPRESENTATIONS, periods_of, unpacked, unpacked_shift
from benchmarks.studies.learning_curves import draw_curve, have_curves
from benchmarks.studies.study import Drawn, Groups
from plastic_agents.analysis.clustering.scores import co_membership
from plastic_agents.analysis.plots import multitask as plots
from plastic_agents.analysis.task_variance import (
    PROBED_EPOCHS,
    fractional_histogram,
    fractional_variance,
    normalised_variance,
)
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results
from plastic_envs.cognitive.battery import CognitiveBattery

_SETS = {
    "stimulus": "Stimulus on",
    "delay": "From the delay's end",
    "settled": "After a long delay",
    "random": "From random M",
}
_TITLES = _SETS | {
    "inputs": "Embedding",
    "hidden": "Hidden units",
    "modulation": "Modulation M",
    "effective": "W * M",
}
_COLUMN = {"inputs": "embedding unit", "hidden": "hidden unit", "modulation": "synapse"}
_KIND = {
    "inputs": "Embedding units silenced",
    "hidden": "Hidden units silenced",
    "zero_W": "Synapses without W",
    "freeze_M": "Synapses without plasticity",
}
_MOST_BOUNDS = 20  # clusters of synapses whose bounds are drawn; more would hide what they bound


def battery(run: Results) -> CognitiveBattery:
    """The tasks of a run."""
    task = run.config.task()
    assert isinstance(task, CognitiveBattery)
    return task


def row_labels(runs: Sequence[Results], kind: str) -> npt.NDArray[np.int64]:
    """Clusters of the task-periods in a representation, (runs, R); (0, R) if none was measured."""
    name = f"clusters/{kind}/rows/labels"
    labels = [run.arrays[name] for run in runs if name in run.arrays]
    return np.stack(labels).astype(np.int64) if labels else np.zeros((0, 0), dtype=np.int64)


def _panels(
    run: Results, kinds: Iterable[str], array: str, width: float, height: float, beside: float = 0.0
) -> tuple[Figure, dict[str, Axes]]:
    """One row of panels, by representation or the like.

    Args:
        run: A run.
        kinds: Names of the panels.
        array: Name of an array, `{}` standing for the kind; kinds without this array have no panel.
        width: Width of a panel, in inches.
        height: Height of the figure.
        beside: Further width of the figure.
    """
    names = [kind for kind in kinds if array.format(kind) in run.arrays]
    figure = Figure(figsize=(beside + width * len(names), height), layout="constrained")
    panels = dict(zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True))
    for kind, axes in panels.items():
        axes.set_title(_TITLES.get(kind, kind))
    return figure, panels


@styled
def learning(groups: Groups, goals: Mapping[str, float], first: int = 0) -> Figure:
    """Accuracies on the validation split while networks learn.

    Args:
        groups: Runs.
        goals: Measures (`accuracy_trial`, ...), and where a line is drawn.
        first: Updates that a further row of panels shows at the start; 0 for no such row.
    """
    rows = 2 if first else 1
    figure = Figure(figsize=(4.8 * len(goals), 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, len(goals), squeeze=False)
    for column, (measure, goal) in enumerate(goals.items()):
        for row, last in enumerate((None, first)[:rows]):
            axes = panels[row, column]
            for (group, runs), colour in zip(groups.items(), COLOURS, strict=False):
                draw_curve(axes, runs, colour, group, f"eval/{measure}", shows_seeds=True)
            axes.axhline(goal, color=GREY, linestyle=":", linewidth=1)
            axes.set(ylim=(0, 1.02), ylabel="share right", title=measure.replace("_", " by ").capitalize())
            if last:
                axes.set(xlim=(0, last), title=f"The first {last} updates")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def learning_here(groups: Groups, caption: str, goals: Mapping[str, float], first: int) -> list[Drawn]:
    """The figure `learning`, if any of the runs has curves."""
    if not have_curves(groups, "eval/accuracy_trial"):
        return []
    return [("learning", caption, learning(groups, goals, first))]


@styled
def accuracy_by_task(groups: Groups) -> Figure:
    """Accuracy by trial of every task, by group; dots are networks."""
    names = battery(next(iter(groups.values()))[0]).settings.names
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    width = 0.8 / len(groups)
    for axes, measure in ((upper, "trial"), (lower, "angle")):
        for place, (group, runs) in enumerate(groups.items()):
            each = np.stack([run.arrays[f"accuracy/{measure}"] for run in runs])
            x = np.arange(len(names)) + (place - (len(groups) - 1) / 2) * width
            axes.bar(x, each.mean(0), width, color=COLOURS[place], label=f"{group} ({len(runs)})", alpha=0.85)
            for values in each:
                axes.plot(x, values, ".", color="black", markersize=2.5)
        low = min(float(run.arrays[f"accuracy/{measure}"].min()) for runs in groups.values() for run in runs)
        axes.set_ylim(max(0.0, low - 0.05), 1.01)
        axes.grid(visible=False, axis="x")
        axes.set(ylabel="share right", title=f"Accuracy by {measure}")
    lower.set_xticks(np.arange(len(names)), names, rotation=40, ha="right")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper right", ncols=len(groups))
    return figure


@styled
def variance_maps(run: Results) -> Figure:
    """Normalised task-period variance of embedding, hidden units and M, sorted by clusters."""
    names = [str(row) for row in periods_of(battery(run))]
    height = max(3.0, 1.6 + 0.125 * len(names))
    figure, panels = _panels(run, REPRESENTATIONS, "clusters/{}/columns/labels", 5.2, height, 1.0)
    for kind, axes in panels.items():
        rows = unpacked(run.arrays, f"clusters/{kind}/rows")
        columns = unpacked(run.arrays, f"clusters/{kind}/columns")
        labels, order = columns.labels, columns.order
        if kind == "modulation":  # of groups of synapses: each synapse stands where its group does
            groups, place = run.arrays["clusters/modulation/groups"], np.argsort(order)
            labels = columns.cut(min(_MOST_BOUNDS, columns.num_clusters))[groups]
            order = np.argsort(place[groups], kind="stable")
        values = normalised_variance(np.asarray(run.arrays[f"variance/{kind}"], dtype=np.float64))
        image = plots.draw_variance_map(
            axes, values, names, rows.labels, rows.order, labels, order, _COLUMN[kind]
        )
    figure.colorbar(image, ax=list(panels.values()), shrink=0.6, label="variance / unit's largest")
    return figure


@styled
def silhouettes(run: Results) -> Figure:
    """Silhouettes by number of clusters, from which that number was chosen."""
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, part, title in zip(panels, ("rows", "columns"), ("Task-periods", "Units"), strict=True):
        for kind, colour in zip(REPRESENTATIONS, COLOURS, strict=False):
            if f"clusters/{kind}/{part}/labels" in run.arrays:
                clustering = unpacked(run.arrays, f"clusters/{kind}/{part}")
                plots.draw_silhouettes(axes, clustering, colour, _TITLES[kind])
        axes.set_title(title)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
    return figure


@styled
def lesion_matrices(run: Results) -> Figure:
    """Effect of every cluster's lesion on every task, beyond random lesions of its size."""
    tasks = battery(run).settings.names
    figure, panels = _panels(run, KINDS, "lesions/{}/accuracy", 3.6, 5.4, 0.6)
    effects = {k: run.arrays[f"lesions/{k}/control"] - run.arrays[f"lesions/{k}/accuracy"] for k in panels}
    limit = max(float(np.abs(effect).max()) for effect in effects.values())
    for kind, axes in panels.items():
        sizes = run.arrays[f"lesions/{kind}/size"]
        labels = [f"{number} ({size})" for number, size in enumerate(sizes)]
        image = plots.draw_lesion_matrix(axes, effects[kind], labels, tasks, max(limit, 1e-9))
        axes.set_title(_KIND[kind], fontsize=9)
    next(iter(panels.values())).set_ylabel("cluster (its size)")
    figure.colorbar(
        image, ax=list(panels.values()), shrink=0.7, label="share right lost, beyond random lesions"
    )
    return figure


@styled
def pruning(run: Results) -> Figure:
    """Accuracy when the smallest weights are pruned, and when no M changes."""
    tasks = battery(run)
    names = tasks.settings.names
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    plots.draw_pruning(left, PRUNED_SHARES, run.arrays["pruning/accuracy"], tasks.chance)
    left.set_title("Pruning")
    x = np.arange(len(names))
    right.bar(x - 0.2, run.arrays["pruning/accuracy"][0], 0.4, color=COLOURS[0], label="intact")
    right.bar(x + 0.2, run.arrays["freeze_all/accuracy"], 0.4, color=COLOURS[1], label="all of M frozen at 0")
    for place, chance in enumerate(tasks.chance_by_component):
        label = "chance" if place == 0 else None
        right.plot([place - 0.45, place + 0.45], [chance] * 2, color="black", linewidth=1, label=label)
    right.set_xticks(x, names, rotation=45, ha="right", fontsize=7)
    right.grid(visible=False, axis="x")
    right.set(ylim=(0, 1.2), ylabel="accuracy", title="Without plasticity")
    right.legend(loc="upper right", ncols=3)
    return figure


@styled
def shift(run: Results) -> Figure:
    """State-space shift of h, M and W * M."""
    figure, panels = _panels(run, ("hidden", "modulation", "effective"), "shift/{}/line", 4.0, 3.6)
    for (kind, axes), colour in zip(panels.items(), COLOURS, strict=False):
        plots.draw_state_shift(axes, unpacked_shift(run.arrays, kind), colour)
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
        axes.legend(loc="upper left")
    return figure


@styled
def states(run: Results) -> Figure:
    """States at the last step of fixation on two principal components."""
    names = battery(run).settings.names
    figure, panels = _panels(run, ("hidden", "modulation"), "states/{}", 4.4, 4.4, 1.6)
    for kind, axes in panels.items():
        scores = run.arrays[f"states/{kind}"]
        of_trial = [name for name in names for _ in range(len(scores) // len(names))]
        plots.draw_states(axes, scores, of_trial, run.arrays[f"states_shares/{kind}"].tolist())
        for name in list(axes.texts):  # which may stand apart from its points
            place = scores[[task == name.get_text() for task in of_trial]].mean(0)
            axes.plot(*zip(place, name.get_position(), strict=True), color=GREY, linewidth=0.5, zorder=1)
        legend = axes.get_legend()
        if legend and kind != list(panels)[-1]:
            legend.remove()
    return figure


@styled
def subspaces(run: Results) -> Figure:
    """Share of each task's variance in the four leading directions of each other task."""
    names = battery(run).settings.names
    figure, panels = _panels(run, REPRESENTATIONS, "subspace/{}", 4.2, 5.2, 1.0)
    for kind, axes in panels.items():
        image = plots.draw_co_membership(axes, 100 * run.arrays[f"subspace/{kind}"], names)
        axes.set_xlabel("variance of")
    next(iter(panels.values())).set_ylabel("directions of")
    figure.colorbar(image, ax=list(panels.values()), shrink=0.7, label="share of variance (%)")
    return figure


@styled
def co_membership_maps(runs: Sequence[Results]) -> Figure:
    """Per cent of networks in which two task-periods fall into one cluster; order of the first network."""
    names = [str(row) for row in periods_of(battery(runs[0]))]
    figure, panels = _panels(runs[0], REPRESENTATIONS, "clusters/{}/rows/labels", 5.6, 6.2, 1.2)
    for kind, axes in panels.items():
        order = unpacked(runs[0].arrays, f"clusters/{kind}/rows").order
        percent = co_membership(row_labels(runs, kind))
        image = plots.draw_co_membership(axes, percent, names, order)
    figure.colorbar(image, ax=list(panels.values()), shrink=0.6, label=f"% of {len(runs)} networks")
    return figure


@styled
def co_membership_tables(
    tables: Mapping[str, Mapping[str, npt.NDArray[np.float64]]], pairs: Sequence[tuple[str, str]]
) -> Figure:
    """The published table beside ours.

    Args:
        tables: By column of the figure ("published", a group), by representation, (pairs, epochs).
        pairs: Pairs of tasks.
    """
    figure = Figure(figsize=(1.8 + 3.6 * len(tables), 5.4), layout="constrained")
    panels = figure.subplots(len(REPRESENTATIONS), len(tables), squeeze=False, sharex=True, sharey=True)
    for row, kind in enumerate(REPRESENTATIONS):
        for column, (name, table) in enumerate(tables.items()):
            axes, values = panels[row, column], table[kind]
            image = axes.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
            for i, j in np.argwhere(~np.isnan(values)):
                colour = "white" if values[i, j] < 55 else "black"
                axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
            axes.set_xticks(range(len(PROBED_EPOCHS)), PROBED_EPOCHS)
            axes.set_yticks(range(len(pairs)), [f"{a} / {b}" for a, b in pairs], fontsize=7)
            axes.grid(visible=False)
            axes.set_title(f"{name}: {_TITLES[kind]}", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.6, label="% of networks in one cluster")
    return figure


# ---- one and two tasks -------------------------------------------------------------------------------


@styled
def eigenvalues(run: Results, tolerance: float) -> Figure:
    """Leading eigenvalues at the fixed points of each set."""
    figure, panels = _panels(run, _SETS, "points/{}/eigenvalues", 3.9, 3.2)
    for kind, axes in panels.items():
        values = run.arrays[f"points/{kind}/eigenvalues"]
        plots.draw_eigenvalues(axes, list(values), tolerance)
        # The outlines of circles are no use where all is between 0.9 and 1.1.
        reach = max(0.02, 1.2 * float(np.abs(values.imag).max()), 1.2 * float(np.abs(values.real - 1).max()))
        if reach < 0.5:
            axes.set(xlim=(1 - reach, 1 + reach), ylim=(-reach, reach))
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), fontsize=7)
    return figure


@styled
def responses(run: Results) -> Figure:
    """Answers from the fixed points, against the right response."""
    kinds = [kind for kind in ("stimulus", "delay", "settled") if f"points/{kind}/response" in run.arrays]
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 360], [0, 360], color=GREY, linewidth=0.8, linestyle=":")
    for kind, colour, marker in zip(kinds, COLOURS, "os^", strict=False):
        right = run.arrays["points/right"]
        response = run.arrays[f"points/{kind}/response"]
        near = right + (response - right + 180.0) % 360.0 - 180.0  # the turn that is nearest
        axes.plot(right, near, marker, color=colour, markersize=5, alpha=0.8, label=_SETS[kind])
    axes.set(
        title="Answers of the fixed points", xlabel="right response (degrees)", ylabel="answer (degrees)"
    )
    axes.legend()
    return figure


@styled
def followed(runs: Sequence[Results]) -> Figure:
    """Answers from the fixed point while the rule changes."""
    figure = Figure(figsize=(8.8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"settled": "M left to settle", "nearest": "Nearest minimum of |F(M) - M|"}
    for axes, (way, title) in zip(panels, titles.items(), strict=True):
        for run, colour in zip(runs, COLOURS, strict=False):
            shares = run.arrays["followed/shares"]
            angles = run.arrays[f"followed/{way}/turned"]
            axes.plot(shares, angles.T, color=colour, linewidth=0.7, alpha=0.45)
            axes.plot(
                shares, angles.mean(0), ".-", color=colour, linewidth=2, label=f"seed {run.config.seed}"
            )
        axes.axhline(90, color=GREY, linestyle=":", linewidth=1)
        axes.set(
            title=title, xlabel="share of the first rule", xlim=(1.02, -0.02), yticks=(0, 45, 90, 135, 180)
        )
    panels[0].set_ylabel("answer, from the stimulus (degrees)")
    panels[0].legend()
    return figure


@styled
def fractions(runs: Sequence[Results]) -> Figure:
    """Fractional variance (V1 - V2) / (V1 + V2) of two tasks, summed over their periods."""
    figure, panels = _panels(runs[0], REPRESENTATIONS, "variance/{}", 3.4, 3.2)
    names = battery(runs[0]).settings.names
    rows = periods_of(battery(runs[0]))
    for kind, axes in panels.items():
        for run, colour in zip(runs, COLOURS, strict=False):
            values = np.asarray(run.arrays[f"variance/{kind}"], dtype=np.float64)
            one, other = (values[[r.task == name for r in rows]].sum(0) for name in names)
            shares, edges = fractional_histogram(fractional_variance(one, other))
            axes.stairs(shares, edges, color=colour, linewidth=1.4, label=f"seed {run.config.seed}")
        axes.set_xlabel(f"only {names[1]}  <  0  <  only {names[0]}")
    first = next(iter(panels.values()))
    first.set_ylabel("share of units")
    first.legend()
    return figure
