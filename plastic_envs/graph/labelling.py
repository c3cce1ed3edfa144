"""Edge labels for batches of graphs: the two published rules, vectorised over graphs with bit masks.

A set of labels is a 64-bit mask (bit a = label a), so the labels used at a node, those that a pair of nodes
may carry and those still free are one integer each, and a step of the published procedure is a handful of
operations for all graphs at once. Each row draws from its own stream only. Sources: the rules are those of
the published graph-walk generator, in its order of nodes and edges (edges lexicographic, neighbours
ascending, as networkx keeps them in G(n, p)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plastic_envs.streams import RowStreams

MAX_LABELS = 64  # bits of a mask

UInt64Array = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]


def nth_set_bit(masks: UInt64Array, ranks: IntArray) -> UInt64Array:
    """Keep of each mask only its set bit number `ranks` (0 = lowest); 0 where there is none."""
    for i in range(int(ranks.max(initial=0))):
        masks = np.where(ranks > i, masks & (masks - 1), masks)
    return masks & (~masks + 1)


def bit_index(bits: UInt64Array) -> IntArray:
    """Index of the one set bit of each mask."""
    return np.bitwise_count(bits - 1).astype(np.int64)


@dataclass(frozen=True)
class LabelSets:
    """The labels that each unordered pair of nodes may carry in a split.

    Attributes:
        masks: (N,) uint64, one mask per pair {u, v}, u < v, in lexicographic order.
        size: Number of labels in every set; also the largest degree that a node can have.
    """

    masks: UInt64Array
    size: int

    @classmethod
    def everything(cls, num_pairs: int, num_labels: int) -> LabelSets:
        """All labels for every pair (the `standard` labelling)."""
        mask = np.uint64((1 << num_labels) - 1)
        return cls(np.full(num_pairs, mask, dtype=np.uint64), num_labels)

    @classmethod
    def half(cls, num_pairs: int, num_labels: int, seed: int, test: bool) -> LabelSets:
        """One part of the `disjoint` partition: floor(A / 2) labels of each pair train, the others test.

        A uniform permutation of the labels is drawn per pair; the partition depends on `seed` alone.
        """
        keys = RowStreams(np.array([seed], dtype=np.uint64)).spawn(0).uniform(num_pairs, num_labels)[0]
        order = np.argsort(keys, axis=1).astype(np.uint64)
        cut = num_labels // 2
        part = order[:, cut:] if test else order[:, :cut]
        return cls(np.bitwise_or.reduce(np.uint64(1) << part, axis=1), part.shape[1])

    def table(self, num_labels: int) -> npt.NDArray[np.bool_]:
        """The sets as booleans, shape (N, A)."""
        return ((self.masks[:, None] >> np.arange(num_labels, dtype=np.uint64)) & 1).astype(bool)


@dataclass(frozen=True)
class EdgeLists:
    """The edges of K graphs on n nodes as a padded table.

    Attributes:
        pairs: (K, M) int64, lexicographic index of the pair of each edge; N (one past the last) is padding.
        counts: (K,) number of edges.
        degrees: (K, n) int64.
        ends: (2, N + 1) int64, the two nodes of each pair (0, 0 for the padding).
    """

    pairs: IntArray
    counts: IntArray
    degrees: IntArray
    ends: IntArray

    @property
    def num_pairs(self) -> int:
        """N, the number of unordered pairs of nodes."""
        return int(self.ends.shape[1]) - 1

    @classmethod
    def from_pairs(cls, present: npt.NDArray[np.bool_], ends: IntArray, busiest_first: bool) -> EdgeLists:
        """Edge lists of graphs given as (K, N) booleans over the pairs.

        Args:
            present: Whether each pair is an edge.
            ends: (2, N + 1), the nodes of each pair.
            busiest_first: Order the edges by the larger of their two degrees, descending, ties lexicographic;
                otherwise lexicographic.
        """
        num_graphs, num_pairs = present.shape
        num_nodes = int(ends.max()) + 1
        graph, pair = np.nonzero(present)
        counts = np.bincount(graph, minlength=num_graphs)
        u, v = ends[0, pair], ends[1, pair]
        degrees = np.bincount(graph * num_nodes + u, minlength=num_graphs * num_nodes)
        degrees += np.bincount(graph * num_nodes + v, minlength=num_graphs * num_nodes)
        if busiest_first:
            larger = np.maximum(degrees[graph * num_nodes + u], degrees[graph * num_nodes + v])
            keys = (graph * num_nodes + (num_nodes - 1 - larger)) * num_pairs + pair
            keys.sort()
            pair = keys % num_pairs
        column = np.arange(len(graph)) - (np.cumsum(counts) - counts)[graph]
        pairs = np.full((num_graphs, int(counts.max(initial=0))), num_pairs)
        pairs[graph, column] = pair
        return cls(pairs, counts, degrees.reshape(num_graphs, num_nodes), ends)

    def matrix(self, labels: IntArray) -> npt.NDArray[np.int8]:
        """Label matrices (K, n, n), -1 where there is no edge, from labels (K, M) along the lists."""
        num_graphs, num_nodes = self.degrees.shape
        out = np.full((num_graphs, num_nodes, num_nodes), -1, dtype=np.int8)
        graph, column = np.nonzero(self.pairs < self.num_pairs)
        u, v = self.ends[:, self.pairs[graph, column]]
        out[graph, u, v] = out[graph, v, u] = labels[graph, column]
        return out


def label_greedily(
    edges: EdgeLists, sets: LabelSets, streams: RowStreams
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The `disjoint` rule: along the list, a uniform choice among the pair's labels free at both ends.

    Args:
        edges: K graphs, busiest edges first.
        sets: The labels each pair may carry.
        streams: One stream per graph.

    Returns:
        Labels (K, M) along the lists, and whether every edge found one (K,). There is no going back, so a
        graph with an edge left without a label is to be rejected whole.
    """
    num_graphs, longest = edges.pairs.shape
    num_nodes = edges.degrees.shape[1]
    masks = np.append(sets.masks, np.uint64(0))
    in_use = np.zeros(num_graphs * num_nodes, dtype=np.uint64)
    base = np.arange(num_graphs) * num_nodes
    # Edge by edge, (M, K), so that each step of the loop runs over contiguous rows.
    pairs, draws = np.ascontiguousarray(edges.pairs.T), np.ascontiguousarray(streams.uniform(longest).T)
    labels = np.zeros((longest, num_graphs), dtype=np.int64)
    complete = np.ones(num_graphs, dtype=bool)
    for j in range(longest):
        pair = pairs[j]
        at_u, at_v = base + edges.ends[0].take(pair), base + edges.ends[1].take(pair)
        used_u, used_v = in_use.take(at_u), in_use.take(at_v)
        free = masks.take(pair) & ~(used_u | used_v)
        num_free = np.bitwise_count(free)
        complete &= (num_free > 0) | (pair == edges.num_pairs)
        bit = nth_set_bit(free, (draws[j] * num_free).astype(np.int64))
        in_use[at_u] = used_u | bit
        in_use[at_v] = used_v | bit
        labels[j] = bit_index(bit)
    return labels.T, np.asarray(complete)


def label_by_repair(
    edges: EdgeLists, num_labels: int, streams: RowStreams
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The `standard` rule: uniform labels, then sweeps over the nodes that redraw duplicates.

    At a node the incident edges are grouped by label (groups in order of first appearance, neighbours
    ascending). Of each group the first edge keeps its label; the others draw uniformly from the labels not
    met so far at this node (groups up to this one, and labels just drawn), or from all labels where none is
    left. Only the node being visited is looked at. Sweeps repeat until one changes nothing, at most 10 times
    the number of edges.

    Args:
        edges: K graphs, edges in lexicographic order.
        num_labels: A.
        streams: One stream per graph.

    Returns:
        Labels (K, M) along the lists, and whether the labels at every node differ (K,).
    """
    num_graphs, longest = edges.pairs.shape
    num_nodes = edges.degrees.shape[1]
    # One more column, and one more label with an empty bit, stand for "no edge here".
    labels = np.full((num_graphs, longest + 1), num_labels)
    real = edges.pairs < edges.num_pairs
    labels[:, :longest] = np.where(real, streams.integers(num_labels, longest), num_labels)
    incident, across = _incident_edges(edges)
    bits = np.append(np.uint64(1) << np.arange(num_labels, dtype=np.uint64), np.uint64(0))

    def clashes(rows: IntArray, nodes: IntArray | slice) -> npt.NDArray[np.bool_]:
        """True where two edges share a label, at a node per row (R,) or at all nodes (R, n)."""
        at = incident[rows, nodes]
        masks = bits[labels[rows.reshape(-1, *[1] * (at.ndim - 1)), at]]
        distinct = np.bitwise_count(np.bitwise_or.reduce(masks, axis=-1))
        return np.asarray(distinct < edges.degrees[rows, nodes])

    # Nodes without a clash are left as they are, so each graph goes straight to its next node that has one:
    # in this sweep (after the node that it visited last), or else in the next. The graphs need not be at the
    # same node.
    clashing = clashes(np.arange(num_graphs), slice(None))
    rows = np.flatnonzero(clashing.any(1))
    visits = np.zeros(
        len(rows), dtype=np.int64
    )  # number of the next possible visit: sweep * num_nodes + node
    while rows.size:
        here = clashing[rows]
        ahead = here & (np.arange(num_nodes) >= (visits % num_nodes)[:, None])
        this_sweep = ahead.any(1)
        node = np.where(this_sweep, ahead.argmax(1), here.argmax(1))
        visits = (visits // num_nodes + ~this_sweep) * num_nodes + node
        allowed = visits < 10 * edges.counts[rows] * num_nodes
        rows, node, visits = rows[allowed], node[allowed], visits[allowed]
        draws = streams[rows].spawn(visits).uniform(incident.shape[2])
        row, place = _redraw_duplicates(labels, rows, incident[rows, node], draws, bits)
        clashing[rows, node] = clashes(rows, node)
        graph, far = rows[row], across[rows[row], node[row], place]
        clashing[graph, far] = clashes(graph, far)
        more = clashing[rows].any(1)
        rows, visits = rows[more], visits[more] + 1
    return labels[:, :longest], np.asarray(~clashing.any(1))


def _incident_edges(edges: EdgeLists) -> tuple[IntArray, IntArray]:
    """The edges at each node, neighbours ascending.

    Returns:
        Their columns in the edge list, (K, n, D), padded with M, and the nodes at their other ends.
    """
    num_graphs, longest = edges.pairs.shape
    num_nodes = edges.degrees.shape[1]
    column_of = np.full((num_graphs, num_nodes, num_nodes), longest)
    graph, column = np.nonzero(edges.pairs < edges.num_pairs)
    u, v = edges.ends[:, edges.pairs[graph, column]]
    column_of[graph, u, v] = column_of[graph, v, u] = column
    graph, node, other = np.nonzero(column_of < longest)
    first = np.cumsum(edges.degrees) - edges.degrees.ravel()
    place = np.arange(len(graph)) - first[graph * num_nodes + node]
    incident = np.full((num_graphs, num_nodes, int(edges.degrees.max(initial=0))), longest)
    across = np.zeros_like(incident)
    incident[graph, node, place] = column_of[graph, node, other]
    across[graph, node, place] = other
    return incident, across


def _redraw_duplicates(
    labels: IntArray, rows: IntArray, at: IntArray, draws: npt.NDArray[np.float64], bits: UInt64Array
) -> tuple[IntArray, IntArray]:
    """Visit one node in each of some graphs (see `label_by_repair`); `labels` is changed in place.

    Args:
        labels: (K, M + 1) labels of all graphs.
        rows: (R,) the graphs.
        at: (R, D) columns of the node's edges.
        draws: (R, D) uniform numbers.
        bits: (A + 1,) the mask of each label.

    Returns:
        Which labels were drawn anew: indices into `rows` and places at the node, (C,) each.
    """
    here = np.arange(len(rows))[:, None]
    old = labels[rows[:, None], at]
    leader = (old[:, :, None] == old[:, None, :]).argmax(-1)  # first edge with the same label
    # Group by group: (R, D) places in the order of their leaders.
    order = np.argsort(leader * at.shape[1] + np.arange(at.shape[1]), axis=1)
    duplicate = ((leader != np.arange(at.shape[1])) & (at < labels.shape[1] - 1))[here, order]
    so_far = np.bitwise_or.accumulate(bits[old[here, order]], axis=1)
    everything = np.bitwise_or.reduce(bits)
    new_labels = np.zeros(len(rows), dtype=np.uint64)
    changed = [(np.zeros(0, dtype=np.int64),) * 2]
    for j in np.flatnonzero(duplicate.any(0)):
        hit = np.flatnonzero(duplicate[:, j])
        free = everything & ~(so_far[hit, j] | new_labels[hit])
        free = np.where(free == 0, everything, free)
        bit = nth_set_bit(free, (draws[hit, j] * np.bitwise_count(free)).astype(np.int64))
        new_labels[hit] |= bit
        place = order[hit, j]
        labels[rows[hit], at[hit, place]] = bit_index(bit)
        changed.append((hit, place))
    return np.concatenate([row for row, _ in changed]), np.concatenate([place for _, place in changed])
