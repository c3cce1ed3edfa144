"""Figures of the sensorimotor study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.studies.study import Groups
from plastic_agents.analysis.learning_to_learn import BLOCK, LearningCurve, block_means, moving_mean
from plastic_agents.runner.figures import COLOURS, GREY, colour_of, styled
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports.sensorimotor import counts_of

LEARNING = (
    "Trials to criterion of problems 2, 3, ...: mean of 30 problems, thin for each network, thick for all; "
    "dashed: published fit of the ten-network mean. Right: by blocks of 50 problems (boxes: all networks "
    "together), with published means."
)
CURRENTS = (
    "What parts of the trajectories contribute to the currents of the outputs in problems 2-51 (mean and "
    "standard error over problems), for both images: what the images have in common within the decision "
    "subspace, the rest within it, and what lies outside."
)
FIELDS = (
    "Change of the flow from problem to problem, by blocks of 50 and relative to the first (left), and the "
    "change of the recurrent weights against the trials that it took (right; problems 2-501)."
)
CUMULATIVE = (
    "Change of the flow since an earlier problem, projected on the leading direction of the latest "
    "weight-driven change (left), and how much smaller or larger it is since problem 1 than since the last "
    "problem (right; moving mean of 30)."
)
PERTURBATION = (
    "Trials to criterion of problem 1, and with the readout frozen: as it is, with its decision components "
    "moved to stimulus directions, with its stimulus components permuted. Boxes: single problems; dots: "
    "networks' means."
)
IN_CONTEXT = (
    "Left: share of right trials against the number of the trial, on problems never seen, by meta-trained "
    "agents that learn within the episode, their weights fixed (thin: networks; thick: mean). Right: trials "
    "to criterion. Grey: the gradient learner, problem after problem (mean of 30 problems; published "
    "criterion). Lines: in context (trials before the first 5 right ones in a row; all trials of the block "
    "where there is no such run)."
)
_PUBLISHED_FIT = LearningCurve(148.0, 32.5, 23.9)
_PUBLISHED_BLOCKS = {1: 98.6, 2: 43.8, 3: 34.7, 5: 30.8, 7: 23.2, 11: 19.9, 16: 17.5, 20: 20.7}
_WINDOW = 30


@styled
def learning(runs: Sequence[Results]) -> Figure:
    """Learning curves and blocks."""
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = np.stack([counts_of(run)[1:] for run in runs])  # (networks, problems)
    for values in counts:
        mean = moving_mean(values, _WINDOW)
        left.plot(np.arange(len(mean)) + _WINDOW + 1, mean, color=COLOURS[0], linewidth=0.7, alpha=0.5)
    overall = moving_mean(np.nanmean(counts, axis=0), _WINDOW)
    left.plot(np.arange(len(overall)) + _WINDOW + 1, overall, color=COLOURS[0], linewidth=2, label="ours")
    x = np.arange(counts.shape[1], dtype=float)
    left.plot(x + 2, _PUBLISHED_FIT.at(x), color=GREY, linestyle="--", label="published fit")
    left.set(title="Learning to learn", xlabel="problem", ylabel="trials to criterion", ylim=(0, 200))
    left.legend()
    whole = counts.shape[1] // BLOCK
    boxes = [block[np.isfinite(block)] for block in np.split(counts[:, : whole * BLOCK], whole, axis=1)]
    right.boxplot(boxes, showfliers=False, medianprops={"color": COLOURS[0]}, widths=0.6)
    means = np.mean([block_means(values) for values in counts], axis=0)
    right.plot(np.arange(whole) + 1, means, "o", color=COLOURS[0], markersize=4, label="mean")
    theirs = {block: mean for block, mean in _PUBLISHED_BLOCKS.items() if block <= whole}
    right.plot(
        list(theirs), list(theirs.values()), "x", color=COLOURS[1], markersize=6, label="published mean"
    )
    right.set(title="Blocks of 50 problems", xlabel="block", ylabel="trials to criterion")
    right.set_xticks(np.arange(1, whole + 1, 2), np.arange(1, whole + 1, 2))
    right.legend()
    return figure


@styled
def currents(run: Results) -> Figure:
    """Rows: images; columns: parts of the trajectories."""
    parts = ("mean_decision", "residual_decision", "stimulus")
    images, steps, outputs = run.arrays["currents/stimulus/mean"].shape
    figure = Figure(figsize=(10.0, 1.4 + 2.0 * images), layout="constrained")
    panels = figure.subplots(images, len(parts), sharex=True, sharey="col", squeeze=False)
    time = 2000.0 * (np.arange(steps) + 1) / steps
    names = [*(f"choice {k}" for k in range(outputs - 1)), "fixation"]
    for column, part in enumerate(parts):
        mean, error = run.arrays[f"currents/{part}/mean"], run.arrays[f"currents/{part}/error"]
        for image in range(images):
            axes = panels[image, column]
            for k, name in enumerate(names):
                colour = GREY if name == "fixation" else COLOURS[k]
                axes.plot(time, mean[image, :, k], color=colour, label=name)
                low, high = mean[image, :, k] - error[image, :, k], mean[image, :, k] + error[image, :, k]
                axes.fill_between(time, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.axvline(1500, color=GREY, linewidth=0.7, linestyle=":")
            axes.set_title(f"{part.replace('_', ' ')}, image {image}")
        panels[-1, column].set_xlabel("time (ms)")
    for axes in panels[:, 0]:
        axes.set_ylabel("current")
    panels[0, 0].legend()
    return figure


@styled
def fields(runs: Sequence[Results]) -> Figure:
    """Sizes of change by block, and the change of weights against trials."""
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    labels = {
        "recurrent": "recurrent weights", "current": "current", "weight_driven": "weight-driven",
        "weight_parallel": "weight-driven, parallel", "weight_perpendicular": "weight-driven, perpendicular",
        "state_driven": "state-driven", "total": "total",
    }  # fmt: skip
    for (name, label), colour in zip(labels.items(), COLOURS, strict=False):
        blocks = np.mean([block_means(run.arrays[f"size/{name}"]) for run in runs], axis=0)
        left.plot(np.arange(len(blocks)) + 1, blocks / blocks[0], ".-", color=colour, label=label)
    left.set(
        title="Change of the flow", xlabel="block of 50 problems", ylabel="size / block 1", ylim=(0, None)
    )
    left.legend(ncols=2)
    for run in runs:
        size = run.arrays["size/recurrent"][:500]
        right.plot(counts_of(run)[1 : 1 + len(size)], size, ".", markersize=3, alpha=0.5)
    right.set(
        title="Weights", xlabel="trials to criterion", ylabel="|change of recurrent weights|", xscale="log"
    )
    return figure


@styled
def cumulative(runs: Sequence[Results]) -> Figure:
    """Change since earlier problems by lag, and suppression by problem."""
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in (("perpendicular", COLOURS[0]), ("parallel", COLOURS[1])):
        sizes = np.mean([run.arrays[f"cumulative/{name}"] for run in runs], axis=0)
        left.plot(runs[0].arrays["cumulative/lags"], sizes, ".-", color=colour, label=name)
        values = np.mean([run.arrays[f"cumulative/suppression_{name}"] for run in runs], axis=0)[2:]
        if len(values) > _WINDOW:
            mean = moving_mean(values, _WINDOW)
            right.plot(np.arange(len(mean)) + _WINDOW + 2, mean, color=colour, label=name)
    right.axhline(0.0, color=GREY, linewidth=0.8)
    left.set(
        title="Change since an earlier problem",
        xlabel="problems back",
        ylabel="|projection| per ms",
        xscale="log",
    )
    right.set(title="Since problem 1, less since the last", xlabel="problem", ylabel="projection per ms")
    left.legend()
    right.legend()
    return figure


@styled
def perturbation(groups: Groups) -> Figure:
    """Box plots in the published order."""
    order = {"control-20ms": "frozen readout", "ds-20ms": "D->S", "ss-20ms": "S->S"}
    runs = next(iter(groups.values()))
    boxes: dict[str, list[npt.NDArray[Any]]] = {"problem 1": [counts_of(run)[:1] for run in runs]}
    for group, label in order.items():
        if group in groups:
            before = [int(getattr(run.config.learner, "num_before", 50)) for run in groups[group]]
            boxes[label] = [counts_of(run)[n:] for run, n in zip(groups[group], before, strict=True)]
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for place, values in enumerate(boxes.values()):
        together = np.concatenate(values)
        axes.boxplot([together[np.isfinite(together)]], positions=[place], widths=0.55, showfliers=False)
        means = [float(np.nanmean(v)) for v in values]
        axes.plot([place] * len(means), means, "o", color=COLOURS[0], markersize=5)
    axes.set_xticks(range(len(boxes)), list(boxes))
    axes.set(title="Manifold perturbation", ylabel="trials to criterion", yscale="log")
    return figure


@styled
def in_context(blocks: Groups, gradient: Sequence[npt.NDArray[np.float64]]) -> Figure:
    """Learning within an episode beside learning by gradient.

    Args:
        blocks: Runs of each agent that learns within an episode.
        gradient: Trials to criterion of problems 2, 3, ... of each network that learns by gradient.
    """
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    last = max((len(counts) for counts in gradient), default=1) + 1
    for agent, runs in blocks.items():
        each = np.array([run.metrics["accuracy_by_trial"] for run in runs])
        trials = np.arange(each.shape[1]) + 1
        colour = colour_of(agent)
        left.plot(trials, each.T, color=colour, linewidth=0.7, alpha=0.5)
        left.plot(trials, each.mean(0), ".-", color=colour, linewidth=2, label=agent)
        needed = float(np.mean([run.metrics["trials_to_criterion"] for run in runs]))
        right.plot([2, last], [needed] * 2, color=colour, label=f"{agent}, in context: {needed:.1f}")
    left.axhline(0.5, color=GREY, linestyle=":", linewidth=1, label="chance")
    left.set(title="In context", xlabel="trial of a new problem", ylabel="share right", ylim=(0.0, 1.03))
    left.legend(loc="lower right")
    long_enough = [counts for counts in gradient if len(counts) >= _WINDOW]
    for place, counts in enumerate(long_enough):
        mean = moving_mean(counts, _WINDOW)
        label = "by gradient" if place == 0 else None
        right.plot(np.arange(len(mean)) + _WINDOW + 1, mean, color=GREY, linewidth=0.9, label=label)
    right.set(title="Trials to criterion", xlabel="problem (by gradient)", ylabel="trials", ylim=(0, 400))
    right.set_yscale("symlog", linthresh=1.0)
    right.legend(loc="upper right", ncols=2)
    return figure
