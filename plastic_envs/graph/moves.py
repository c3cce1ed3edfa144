"""Walks on batches of labelled graphs, and a walker's knowledge before each move.

Arrays over moves have time first: (M, B), M the moves of all segments, B the episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from plastic_envs.graph.labelling import EdgeLists, LabelSets, bit_index, nth_set_bit
from plastic_envs.streams import RowStreams

# Kinds of key (node, label): the transition was walked before, only its reverse was, neither, or nothing is
# asked.
SEEN, REVERSE, NEW, NOT_ASKED = 0, 1, 2, -1

_TABLE_ENTRIES = 1 << 24  # size of the largest look-up table made at once

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Walk:
    """The moves of B walkers.

    Attributes:
        nodes: (M, B) int64, the node left.
        actions: (M, B) int64, the label of the edge taken.
        next_nodes: (M, B) int64, the node reached.
        degrees: (M, B) int64, number of edges at the node left.
        segments: (M,) int64, which of the episode's graphs each move is on.
    """

    nodes: IntArray
    actions: IntArray
    next_nodes: IntArray
    degrees: IntArray
    segments: IntArray


def neighbour_table(labels: npt.NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Neighbours (B, n, D), ascending, padded with 0, and degrees (B, n), of label matrices (B, n, n)."""
    batch, num_nodes = labels.shape[:2]
    row, node, other = np.nonzero(labels >= 0)
    owner = row * num_nodes + node
    degrees = np.bincount(owner, minlength=batch * num_nodes)
    place = np.arange(len(owner)) - (np.cumsum(degrees) - degrees)[owner]
    table = np.zeros((batch * num_nodes, int(degrees.max(initial=1))), dtype=np.int64)
    table[owner, place] = other
    return table.reshape(batch, num_nodes, -1), degrees.reshape(batch, num_nodes)


def random_walk(
    graphs: npt.NDArray[np.int8],
    num_moves: int,
    streams: RowStreams,
    sets: LabelSets,
    ends: IntArray,
    label_preferences: npt.NDArray[np.float64] | None = None,
    label_drift: float = 0.0,
) -> Walk:
    """Walk each row's graphs one after another, going on from the node where the walker stands.

    The first node is uniform over all nodes, each next one uniform over the neighbours (or, with preferences,
    proportional to those of the labels that lead to them).

    Args:
        graphs: (B, S, n, n) label matrices, at the start of their segments.
        num_moves: Moves on each graph.
        streams: One stream per row.
        sets: Labels that each pair may carry, for the drift.
        ends: (2, N + 1), nodes of each pair.
        label_preferences: (B, n, A) positive weight of each label at each node, or None for a uniform walk.
        label_drift: Probability, after each move, that one uniformly drawn edge gets another label: uniform
            over the labels that its pair may carry and that no edge at its two nodes has; unchanged if there
            is none.
    """
    batch, num_segments, num_nodes = graphs.shape[:3]
    base = np.arange(batch) * num_nodes
    # (B, M) -> (M, B), contiguous per move
    draws = np.ascontiguousarray(streams.spawn(1).uniform(num_segments * num_moves).T)
    total = num_segments * num_moves
    visited = np.empty((total + 1, batch), dtype=np.int64)
    visited[0] = streams.spawn(0).integers(num_nodes)
    actions = np.empty((total, batch), dtype=np.int64)
    degrees = np.empty((total, batch), dtype=np.int64)
    for segment in range(num_segments):
        first = segment * num_moves
        labels = np.ascontiguousarray(graphs[:, segment])
        table, degree = neighbour_table(labels)
        width = table.shape[2]
        flat_table, flat_degree = table.ravel(), degree.ravel()
        drift = (
            _Drift(labels := labels.copy(), sets, ends, streams.spawn(2 + segment), num_moves)
            if label_drift
            else None
        )
        for t in range(first, first + num_moves):
            at = base + visited[t]
            num_choices = flat_degree[at]
            if label_preferences is None:
                choice = (draws[t] * num_choices).astype(np.int64)
            else:
                choice = _preferred(labels, table, num_choices, visited[t], label_preferences, draws[t])
            degrees[t] = num_choices
            visited[t + 1] = flat_table[at * width + choice]
            if drift is not None:
                actions[t] = labels.reshape(-1)[at * num_nodes + visited[t + 1]]
                drift.relabel(t - first, label_drift)
        if drift is None:
            now = slice(first, first + num_moves)
            moves = (base + visited[now]) * num_nodes + visited[first + 1 : first + num_moves + 1]
            actions[now] = labels.reshape(-1)[moves]
    return Walk(visited[:-1], actions, visited[1:], degrees, np.repeat(np.arange(num_segments), num_moves))


def _preferred(
    labels: npt.NDArray[np.int8],
    table: IntArray,
    num_choices: IntArray,
    nodes: IntArray,
    preferences: npt.NDArray[np.float64],
    draws: npt.NDArray[np.float64],
) -> IntArray:
    """Draw the neighbour (B,) that each walker moves to, in proportion to the labels' preferences."""
    rows = np.arange(len(nodes))
    around = table[rows, nodes]  # (B, D)
    edge_labels = labels[rows[:, None], nodes[:, None], around]
    weights = preferences[rows[:, None], nodes[:, None], edge_labels]
    weights = np.where(np.arange(table.shape[2]) < num_choices[:, None], weights, 0.0)
    reached = np.cumsum(weights, axis=1)
    choice = (reached <= draws[:, None] * reached[:, -1:]).sum(1)
    return np.asarray(np.minimum(choice, num_choices - 1))


class _Drift:
    """Relabels edges of B graphs in place, keeping the labels at every node distinct and legal."""

    def __init__(
        self,
        labels: npt.NDArray[np.int8],
        sets: LabelSets,
        ends: IntArray,
        streams: RowStreams,
        num_moves: int,
    ) -> None:
        self._labels, self._legal = labels, sets.masks
        present = labels[:, ends[0, :-1], ends[1, :-1]] >= 0
        self._edges = EdgeLists.from_pairs(present, ends, busiest_first=False)
        bits = np.where(labels >= 0, np.uint64(1) << labels.clip(0).astype(np.uint64), np.uint64(0))
        self._in_use = np.bitwise_or.reduce(bits, axis=2)  # (B, n)
        self._draws = np.moveaxis(streams.uniform(num_moves, 3), 0, 2)  # (M, 3, B)

    def relabel(self, move: int, probability: float) -> None:
        happens, which, what = self._draws[move]
        rows = np.flatnonzero(happens < probability)
        if not rows.size:
            return
        pair = self._edges.pairs[rows, (which[rows] * self._edges.counts[rows]).astype(np.int64)]
        u, v = self._edges.ends[:, pair]
        free = self._legal[pair] & ~(self._in_use[rows, u] | self._in_use[rows, v])
        bit = nth_set_bit(free, (what[rows] * np.bitwise_count(free)).astype(np.int64))
        possible = bit != 0
        rows, u, v, bit = rows[possible], u[possible], v[possible], bit[possible]
        change = bit | (np.uint64(1) << self._labels[rows, u, v].astype(np.uint64))
        self._in_use[rows, u] ^= change
        self._in_use[rows, v] ^= change
        self._labels[rows, u, v] = self._labels[rows, v, u] = bit_index(bit)


def key_kinds(walk: Walk, num_nodes: int, num_actions: int) -> npt.NDArray[np.int8]:
    """Kind of every move (M, B): SEEN, REVERSE or NEW, by what was walked before in the same segment.

    A move x -a-> y is SEEN if it was made before, REVERSE if only y -a-> x was, else NEW.
    """
    kinds = np.empty(walk.nodes.shape, dtype=np.int8)
    batch = walk.nodes.shape[1]
    codes = num_nodes * num_nodes * num_actions
    rows_at_once = max(1, _TABLE_ENTRIES // codes)
    bounds = np.flatnonzero(np.diff(walk.segments, prepend=-1, append=-1))
    for start, stop in pairwise(bounds.tolist()):
        for row0 in range(0, batch, rows_at_once):
            part = (slice(start, stop), slice(row0, row0 + rows_at_once))
            x, a, y = walk.nodes[part], walk.actions[part], walk.next_nodes[part]
            row = np.arange(x.shape[1]) * codes
            forward = row + (x * num_nodes + y) * num_actions + a
            backward = row + (y * num_nodes + x) * num_actions + a
            time = np.broadcast_to(np.arange(stop - start, dtype=np.int32)[:, None], x.shape)
            first = np.empty(x.shape[1] * codes, dtype=np.int32)
            first[backward] = stop - start  # "never", where it is not overwritten
            # Of several equal entries the last one assigned stays: the earliest time, in this order. The
            # copies made by ravel matter: NumPy may go through a two-dimensional index in another order.
            first[forward[::-1].ravel()] = time[::-1].ravel()
            kinds[part] = np.where(
                first[forward] < time, SEEN, np.where(first[backward] < time, REVERSE, NEW)
            )
    return kinds
