"""Measures of sets of labelled graphs and of walks on them (arrays in, numbers or arrays out)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.graph.moves import NEW, REVERSE, SEEN

_KIND_NAMES = {SEEN: "seen", REVERSE: "reverse", NEW: "new"}


def triplets(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """The distinct undirected triplets (u, a, v), u < v, of graphs (..., n, n): shape (K, 3), sorted."""
    graphs = labels.reshape(-1, *labels.shape[-2:])
    graph, u, v = np.nonzero(np.triu(graphs >= 0, 1))
    return np.unique(np.stack((u, graphs[graph, u, v], v), axis=1).astype(np.int64), axis=0)


def triplet_overlap(train: npt.NDArray[np.integer[Any]], test: npt.NDArray[np.integer[Any]]) -> float:
    """Share of the test graphs' distinct triplets that occur in the train graphs too; 0.0 for no test edges.

    Args:
        train: Label matrices, shape (..., n, n), -1 = no edge.
        test: The same for the other split.
    """
    in_train = {tuple(t) for t in triplets(train).tolist()}
    in_test = {tuple(t) for t in triplets(test).tolist()}
    return len(in_train & in_test) / len(in_test) if in_test else 0.0


def check_constraints(labels: npt.NDArray[np.integer[Any]]) -> None:
    """Raise unless every graph is simple, undirected, connected and properly labelled.

    Args:
        labels: Label matrices, shape (..., n, n), -1 = no edge.

    Raises:
        ValueError: With the first graph that breaks a rule, and the rule.
    """
    graphs = labels.reshape(-1, *labels.shape[-2:])
    edge = graphs >= 0
    num_nodes = graphs.shape[-1]
    ordered = np.sort(graphs, axis=-1)
    twice = ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)).any((-1, -2))
    reached = np.eye(num_nodes, dtype=bool)[:1].repeat(len(graphs), axis=0)
    for _ in range(num_nodes):
        reached = reached | (reached[:, :, None] & edge).any(1)
    violations = {
        "labels differ in the two directions of an edge": (graphs != graphs.swapaxes(-1, -2)).any((-1, -2)),
        "a node has an edge to itself": np.diagonal(edge, axis1=-2, axis2=-1).any(-1),
        "two edges at one node share a label": twice,
        "the graph is not connected": ~reached.all(-1),
    }
    for rule, graphs_that_do in violations.items():
        if graphs_that_do.any():
            raise ValueError(f"graph {int(np.flatnonzero(graphs_that_do)[0])}: {rule}.")


def action_counts(
    nodes: npt.NDArray[np.integer[Any]],
    actions: npt.NDArray[np.integer[Any]],
    next_nodes: npt.NDArray[np.integer[Any]],
    num_nodes: int,
    num_actions: int,
) -> npt.NDArray[np.int64]:
    """Moves by ordered pair of nodes and label, counted: (n, n, A); the moves may have any shape."""
    codes = (nodes.astype(np.int64) * num_nodes + next_nodes) * num_actions + actions
    counts = np.bincount(codes.ravel(), minlength=num_nodes * num_nodes * num_actions)
    return counts.reshape(num_nodes, num_nodes, num_actions)


def accuracy_by_kind(
    correct: npt.NDArray[np.bool_], kinds: npt.NDArray[np.integer[Any]], counts: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """`accuracy_*` and `share_*` of seen, reverse and new keys; kinds that do not occur are left out.

    Args:
        correct: Whether each answer is right, any shape.
        kinds: Kind of each step's key (see `plastic_envs.graph.moves`).
        counts: Mask of the steps that count.
    """
    out = {}
    total = int(counts.sum())
    for kind, name in _KIND_NAMES.items():
        those = counts & (kinds == kind)
        if those.any():
            out[f"accuracy_{name}"] = float(correct[those].mean())
            out[f"share_{name}"] = float(those.sum() / total)
    return out
