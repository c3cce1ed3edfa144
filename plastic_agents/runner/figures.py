"""Figures of every task.

Each function takes results and gives a `matplotlib.figure.Figure`; pyplot is not used. Colours are Okabe and
Ito's, which people with any common colour vision can tell apart; an agent keeps its colour in all figures.
"""

from __future__ import annotations

import functools
import io
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from plastic_agents.registry import AGENTS, registered_by_others
from plastic_agents.runner.history import Curve
from plastic_agents.runner.results import Results, best_first, by_agent, number
from plastic_envs.naming import short_name

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000",
    "#882255", "#44AA99", "#999933", "#AA4499", "#661100",
)  # fmt: skip
_COLOURS_OF_OTHERS = ("#7A5C00", "#C51B7D", "#3F7F93", "#8C6BB1", "#B2182B", "#4D9221")
GREY = "#6b6b6b"

_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.dpi": 100,
    "savefig.dpi": 150,
}

_P = ParamSpec("_P")


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in this suite's style without changing matplotlib's settings for anybody else."""

    @functools.wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            FigureCanvasAgg(figure)
            return figure

    return wrapper


def colour_of(agent: str) -> str:
    """The colour of an agent: by its place in the table; for agents of others one that none of ours has."""
    ours = [name for name in AGENTS if name not in registered_by_others()]
    if agent in ours:
        return COLOURS[ours.index(agent) % len(COLOURS)]
    return _COLOURS_OF_OTHERS[zlib.crc32(short_name(agent).encode()) % len(_COLOURS_OF_OTHERS)]


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


@styled
def training_curves(run: Results) -> Figure:
    """Score and, for learners that have them, loss, learning rate and gradient norm against updates."""
    score_name = str(run.metrics.get("score_name", "score"))
    scores = {
        "train/score": "training split",
        "eval/score": "validation split",
        "test/score": "test split (watched)",
    }
    panels: list[tuple[str, str, dict[str, str]]] = [
        ("Loss", "loss", {"train/loss": "training split", "eval/loss": "validation split"}),
        ("Score", score_name, scores),
        ("Learning rate", "learning rate", {"train/learning_rate": ""}),
        ("Gradient norm before clipping", "Euclidean norm", {"train/grad_norm": ""}),
    ]
    visible = [panel for panel in panels if panel[0] == "Score" or any(tag in run.curves for tag in panel[2])]
    columns = min(2, len(visible))
    rows = -(-len(visible) // columns)
    figure = Figure(figsize=(9.0, 0.4 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes, (title, label, tags) in zip(grid, visible, strict=False):
        _lines(axes, run.curves, tags)
        axes.set(title=title, ylabel=label)
        if title == "Score":
            reference_lines(axes, run)
        if any(tags.values()):
            axes.legend()
        else:
            axes.set_yscale("log")
    for axes in grid[len(visible) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(visible) - columns) : len(visible)]:
        axes.set_xlabel("update")
    figure.suptitle(f"{run.label} on {short_name(run.config.env)}", fontsize=11)
    return figure


@styled
def comparison(runs: Sequence[Results]) -> Figure:
    """Test score of every run on this task, by agent, with chance and the oracle."""
    groups = by_agent(list(runs))
    best_of = {agent: min(best_first(r.value("score")) for r in group) for agent, group in groups.items()}
    ordered = sorted(groups, key=best_of.__getitem__)
    metrics = runs[0].metrics
    limits = {name: runs[0].value(name) for name in ("chance", "oracle")}
    all_scores = [score for run in runs if math.isfinite(score := run.value("score"))]
    # Shares start at nothing; scores that may be negative have no such place, and start at the worst one
    # shown.
    worst = np.nanmin([limits["chance"], *all_scores, 0.0])
    floor = float(worst)
    figure = Figure(figsize=(7.5, 1.3 + 0.42 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for place, agent in enumerate(ordered):
        scores = [s for run in groups[agent] if math.isfinite(s := run.value("score"))]
        if not scores:
            axes.annotate("-", (floor, place), xytext=(6, 0), textcoords="offset points", va="center")
            continue
        length = np.mean(scores) - floor
        axes.barh(place, length, left=floor, color=colour_of(agent), height=0.62, alpha=0.9)
        axes.plot(scores, [place] * len(scores), "o", color="black", markersize=3)
        axes.annotate(
            number(float(np.mean(scores)), 3),
            (max(scores), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    for name, style in (("chance", ":"), ("oracle", "--")):
        if math.isfinite(limits[name]):
            label = f"{name} {number(limits[name], 3)}"
            axes.axvline(limits[name], color=GREY, linestyle=style, linewidth=1.2, label=label)
    axes.set_yticks(range(len(ordered)), ordered)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel=f"{metrics.get('score_name', 'score')} on the test split (dots: seeds)")
    best = float(np.nanmax([limits["oracle"], *all_scores, floor]))
    if best > floor:
        axes.set_xlim(floor, best + 0.12 * (best - floor))
    axes.set_title(f"All agents run on {short_name(runs[0].config.env)}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@styled
def fast_weights(run: Results) -> Figure:
    """Every matrix of the agent's state before and after one episode, on one colour scale each."""
    names = fast_weight_names(run)
    figure = Figure(figsize=(7.4, 0.9 + 2.5 * len(names)), layout="constrained")
    rows = figure.subplots(len(names), 2, squeeze=False)
    for name, (left, right) in zip(names, rows, strict=True):
        before, after = (run.arrays[f"fast_weights/{name}/{when}"] for when in ("before", "after"))
        limit = max(float(np.abs(before).max()), float(np.abs(after).max()), 1e-12)
        for axes, matrix, when in ((left, before, "before"), (right, after, "after")):
            image = axes.imshow(
                matrix, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
            )
            axes.grid(visible=False)
            axes.set_title(f"{name.replace('_', ' ')}, {when} the episode")
            axes.set(xlabel="from", ylabel="to")
        figure.colorbar(image, ax=[left, right], shrink=0.85, label="weight")
    figure.suptitle(f"State of {run.label} in one test episode", fontsize=11)
    return figure


def fast_weight_names(run: Results) -> list[str]:
    """Names of the state's matrices that were stored."""
    parts = [name.split("/") for name in run.arrays if name.startswith("fast_weights/")]
    return [middle for _, middle, when in parts if when == "before"]


def reference_lines(axes: Axes, run: Results) -> None:
    """Mark chance and oracle."""
    for name, style in (("chance", ":"), ("oracle", "--")):
        if math.isfinite(run.value(name)):
            axes.axhline(run.value(name), color=GREY, linestyle=style, linewidth=1.0, label=name)


def _lines(axes: Axes, curves: dict[str, Curve], tags: dict[str, str]) -> None:
    for place, (tag, label) in enumerate(tags.items()):
        if tag in curves:
            axes.plot(
                *curves[tag], color=COLOURS[place], label=label, marker="." if tag.startswith("eval") else ""
            )
