"""Measurements and figures of every task on labelled graphs: the graphs of both splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plastic_agents.agent import Agent
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.figures import COLOURS, styled
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports import plain
from plastic_agents.seeding import named_generator
from plastic_envs.graph.walk import GraphTask
from plastic_envs.streams import RowStreams

_SPLITS = ("train", "test")
_NUM_GRAPHS = 500  # per split, for the histograms
_ROOM = 0.15  # between two labels of edges, in units of the layout (which spans -1 to 1)
_MOST_NODES_BY_PAIR = 10  # beyond, pairs of nodes are too many for rows of a picture


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Statistics of the graphs of both splits.

    Metrics: `graphs/<split>_edges`, edges per graph; `graphs/triplet_overlap`, the share of the test graphs'
    (node, label, node) triplets that occur in train graphs.

    Arrays: `graphs/<split>` (n, n), an example's labels, -1 = no edge; `labels/<split>` (pairs, A), how often
    each pair of nodes had each label.
    """
    metrics, arrays = plain.measure(agent, config)
    task = config.task()
    assert isinstance(task, GraphTask)
    for split in _SPLITS:
        seeds = named_generator(0, f"graphs/{split}").integers(2**63, size=_NUM_GRAPHS, dtype=np.uint64)
        graphs = task.with_split(split).draw_graphs(RowStreams(seeds))[0][:, 0]
        counts = label_counts(graphs, task.num_actions)
        metrics[f"graphs/{split}_edges"] = float(counts.sum() / len(graphs))
        arrays[f"graphs/{split}"], arrays[f"labels/{split}"] = graphs[0], counts
    in_test = arrays["labels/test"] > 0
    metrics["graphs/triplet_overlap"] = float((arrays["labels/train"] > 0)[in_test].mean())
    return metrics, arrays


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Example graphs and label histograms."""
    if "graphs/train" not in run.arrays:
        return []
    return [
        (
            "example_graphs",
            "A graph of each split; the number on an edge is its label, shown as the action.",
            example_graphs(run),
        ),
        (
            "label_histograms",
            f"How often pairs of nodes carry each label in {_NUM_GRAPHS} graphs of each split.",
            label_histograms(run),
        ),
    ]


def label_counts(graphs: npt.NDArray[np.integer[Any]], num_actions: int) -> npt.NDArray[np.int64]:
    """Frequency of each label on each pair of nodes.

    Args:
        graphs: (G, n, n) labels, -1 = no edge.
        num_actions: A.

    Returns:
        (n (n - 1) / 2, A), pairs in lexicographic order.
    """
    u, v = np.triu_indices(graphs.shape[-1], 1)
    labels = graphs[:, u, v].astype(np.int64)  # (G, pairs)
    pair = np.broadcast_to(np.arange(len(u)), labels.shape)
    there = labels >= 0
    flat = np.bincount(pair[there] * num_actions + labels[there], minlength=len(u) * num_actions)
    return flat.reshape(len(u), num_actions)


@styled
def example_graphs(run: Results) -> Figure:
    """One graph per split with the labels of its edges."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    for axes, split, colour in zip(figure.subplots(1, 2), _SPLITS, COLOURS, strict=False):
        labels = run.arrays[f"graphs/{split}"]
        _draw_graph(axes, labels, colour)
        axes.set_title(f"{split} split: {len(labels)} nodes, {int((labels >= 0).sum()) // 2} edges")
    return figure


@styled
def label_histograms(run: Results) -> Figure:
    """Labels by pair of nodes for small graphs; how labels are spread over all pairs for large ones."""
    counts = {split: run.arrays[f"labels/{split}"] for split in _SPLITS}
    num_nodes = len(run.arrays["graphs/train"])
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    if num_nodes <= _MOST_NODES_BY_PAIR:
        left, right = figure.subplots(1, 2, sharey=True)
        top = max(int(c.max()) for c in counts.values())
        for axes, split in zip((left, right), _SPLITS, strict=True):
            image = axes.imshow(
                counts[split], aspect="auto", cmap="cividis", vmin=0, vmax=top, interpolation="nearest"
            )
            axes.grid(visible=False)
            axes.set(title=f"{split} split", xlabel="label", xticks=range(counts[split].shape[1]))
        pairs = zip(*np.triu_indices(num_nodes, 1), strict=True)
        left.set_yticks(range(len(counts["train"])), [f"{u}-{v}" for u, v in pairs], fontsize=6)
        left.set_ylabel("pair of nodes")
        figure.colorbar(image, ax=[left, right], label="edges")
        return figure
    left, right = figure.subplots(1, 2)
    num_actions = counts["train"].shape[1]
    for place, split in enumerate(_SPLITS):
        share = counts[split].sum(0) / counts[split].sum()
        left.bar(np.arange(num_actions) + 0.4 * (place - 0.5), share, 0.38, color=COLOURS[place], label=split)
        distinct = np.bincount((counts[split] > 0).sum(1), minlength=num_actions + 1) / len(counts[split])
        right.bar(
            np.arange(num_actions + 1) + 0.4 * (place - 0.5),
            distinct,
            0.38,
            color=COLOURS[place],
            label=split,
        )
    left.set(title="Labels over all pairs", xlabel="label", ylabel="share of edges")
    right.set(title="Labels that one pair was seen with", xlabel="different labels", ylabel="share of pairs")
    left.legend()
    return figure


def _draw_graph(axes: Axes, labels: npt.NDArray[np.integer[Any]], colour: str) -> None:
    num_nodes = len(labels)
    graph = nx.from_numpy_array(labels >= 0)
    places = np.array([p for _, p in sorted(nx.spring_layout(graph, seed=0, iterations=300).items())])
    crowded = num_nodes > 2 * _MOST_NODES_BY_PAIR
    spots_in_use: list[npt.NDArray[np.float64]] = []
    for u, v in graph.edges:
        start, end = places[u], places[v]
        axes.plot([start[0], end[0]], [start[1], end[1]], color="#b8bec7", linewidth=0.7 if crowded else 1.6)
        # In the middle of the edge, unless another edge's label is there already.
        spots = [start + share * (end - start) for share in (0.5, 0.38, 0.62, 0.3, 0.7)]
        spot = max(spots, key=lambda p: min([_ROOM, *(float(np.hypot(*(p - q))) for q in spots_in_use)]))
        spots_in_use.append(spot)
        axes.text(
            spot[0],
            spot[1],
            str(labels[u, v]),
            ha="center",
            va="center",
            fontsize=5 if crowded else 9,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            zorder=2,
        )
    axes.scatter(places[:, 0], places[:, 1], s=70 if crowded else 330, color=colour, zorder=3)
    for node, (x, y) in enumerate(places):
        axes.text(
            x, y, str(node), color="white", fontsize=5 if crowded else 10, ha="center", va="center", zorder=4
        )
    axes.set_axis_off()
    axes.margins(0.12)
