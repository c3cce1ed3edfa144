"""Random labelled graphs: the published generator's law, without its loop.

The published generator draws G(n, p), rejects the graph when it has no edge, is not connected, breaks the
degree bound or cannot be labelled, and tries again. At 8 nodes and p = 0.1 it rejects 99.5 % of its
candidates. Here the same law is reached faster, and every step is one NumPy operation for all candidates of
all rows:

1. The number of edges m is drawn from the binomial law cut to n - 1 <= m <= n D / 2 (D the degree bound). A
   candidate outside these bounds is never connected or never within the degree bound, so it would have been
   rejected: without it fewer candidates are rejected, and the law of the accepted ones stays the same. Given
   m, G(n, p) is uniform over the m-subsets of the pairs.
2. The subset is drawn by Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 30, 1987): m
   draws, no permutation of all pairs. Graphs are rows of adjacency bit masks.
3. Candidates are dropped as soon as some degree is too large (degrees only grow), then when a node is
   isolated, then when not all nodes are reached from node 0 along the masks.
4. The rest is labelled (`plastic_envs.graph.labelling`); a failed labelling rejects the graph.

All tests of one candidate use random numbers of that candidate alone: attempt a of row b draws from child a
of stream b, and a row keeps its first accepted attempt. So the accepted graph has the published law
(rejection sampling), and it depends neither on the other rows nor on how many attempts are made at a time.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.arguments import Range, Seed, Split, Words, checked
from plastic_envs.graph.labelling import MAX_LABELS, EdgeLists, LabelSets, label_by_repair, label_greedily
from plastic_envs.streams import RowStreams

LABELLINGS = ("standard", "disjoint")
MAX_ATTEMPTS = 10_000

GraphGenerator = str | tuple[str, Mapping[str, Any]] | None
NumNodes = Annotated[int, Range(2, 1000)]
NumLabels = Annotated[int, Range(1, MAX_LABELS)]
EdgeProbability = Annotated[float, Range(0, 1, open_low=True)]

UInt64Array = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 4096
_BLOCK_BYTES = 1 << 21  # adjacency masks of the candidates tried at once; about what a cache holds


class GraphSampler:
    """Draws connected graphs with properly labelled edges.

    Args:
        num_nodes: n, at least 2.
        num_actions: A, number of edge labels, 1 to 64.
        edge_prob: p of G(n, p), in (0, 1].
        labelling: "disjoint": every pair of nodes has its labels parted into a train and a test set;
            "standard": every edge may carry any label.
        split: "train", "validation" (train's label sets) or "test".
        partition_seed: Seed of the partition of labels.
        graph_generator: None for G(n, p), or a networkx generator that candidates are drawn with instead: its
            name, or name and keyword arguments (`n`, `p` and `seed` are filled in where it takes them and
            they are not given).

    Attributes:
        max_degree: Largest degree that a graph may have.
        sets: The labels that each pair of nodes may carry.
        ends: (2, N + 1), the nodes of each pair in lexicographic order, and a padding entry.

    Raises:
        ValueError: If an argument is out of range or no legal graph can exist.
    """

    @checked
    def __init__(
        self,
        num_nodes: NumNodes,
        num_actions: NumLabels,
        edge_prob: EdgeProbability = 0.1,
        labelling: Annotated[str, Words(LABELLINGS)] = "disjoint",
        split: Split = "train",
        partition_seed: Seed = 0,
        graph_generator: GraphGenerator = None,
    ) -> None:
        if labelling == "disjoint" and num_actions < 2:
            raise ValueError(
                f"num_actions={num_actions}: the disjoint labelling needs 2 or more, to part them in two."
            )
        self.num_nodes, self.num_actions, self.edge_prob = num_nodes, num_actions, edge_prob
        self.labelling, self.split = labelling, split
        u, v = np.triu_indices(num_nodes, 1)
        num_pairs = len(u)
        self.ends = np.stack((np.append(u, 0), np.append(v, 0))).astype(np.int64)
        if labelling == "disjoint":
            self.sets = LabelSets.half(num_pairs, num_actions, partition_seed, test=split == "test")
        else:
            self.sets = LabelSets.everything(num_pairs, num_actions)
        self.max_degree = min(self.sets.size, num_nodes - 1)
        # Where pair {u, v} is noted in the masks of u and of v; the padding pair has empty bits.
        self._words = -(-num_nodes // 64)
        self._at = np.stack((self.ends[0] * self._words + (self.ends[1] >> 6),
                             self.ends[1] * self._words + (self.ends[0] >> 6)))  # fmt: skip
        self._bits = np.uint64(1) << (self.ends[::-1] & 63).astype(np.uint64)
        self._bits[:, -1] = 0
        if num_nodes - 1 > num_nodes * self.max_degree // 2:
            raise ValueError(
                f"split {split!r} has {self.sets.size} label(s) per pair of nodes, so no connected graph "
                f"of {num_nodes} nodes can be labelled; raise num_actions (now {num_actions}) to "
                f"{4 if labelling == 'disjoint' else 2}"
                " or more."
            )
        self._generator = None if graph_generator is None else _NetworkxCandidates(graph_generator, self)
        self._fewest_edges, self._edge_count_cdf = self._edge_counts()
        self._tried, self._accepted = (
            4.0,
            1.0,
        )  # how many attempts to make at a time; results do not depend on it

    def sample(self, streams: RowStreams) -> npt.NDArray[np.int8]:
        """Draw one graph per stream.

        Args:
            streams: B streams.

        Returns:
            Symmetric label matrices, shape (B, n, n): the label of each edge, -1 where there is none.

        Raises:
            ValueError: If some row has had 10 000 candidates rejected.
        """
        graphs = np.empty((len(streams), self.num_nodes, self.num_nodes), dtype=np.int8)
        for start in range(0, len(streams), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            self._fill(graphs[part], streams[part])
        return graphs

    # ---- rejection, many attempts of many rows at a time -------------------------------------------

    def _fill(self, graphs: npt.NDArray[np.int8], streams: RowStreams) -> None:
        attempt = np.zeros(len(streams), dtype=np.int64)  # the next one of each row
        rows = np.arange(len(streams))
        while rows.size:  # nearly always once: a labelling that fails sends its row back to look further
            masks = self._next_legal(streams, rows, attempt)
            labels, complete = self._label(masks, streams[rows].spawn(attempt[rows] - 1).spawn(0))
            graphs[rows[complete]] = labels[complete]
            rows = rows[~complete]

    def _next_legal(self, streams: RowStreams, rows: IntArray, attempt: IntArray) -> UInt64Array:
        """Masks (R, n, W) of the next legal candidate of each of some rows; moves `attempt` past it."""
        masks = np.empty((len(rows), self.num_nodes, self._words), dtype=np.uint64)
        waiting = np.arange(len(rows))
        while waiting.size:
            who = rows[waiting]
            if attempt[who].max() >= MAX_ATTEMPTS:
                raise ValueError(
                    f"no legal graph in {MAX_ATTEMPTS} candidates for split {self.split!r} "
                    f"({self.labelling} labelling, {self.num_nodes} nodes, {self.num_actions} actions, "
                    f"edge_prob={self.edge_prob}): {self._remedy()}."
                )
            count = min(self._attempts_at_once(len(waiting)), MAX_ATTEMPTS - int(attempt[who].max()))
            attempts = (attempt[who, None] + np.arange(count)).ravel()
            candidates = streams[np.repeat(who, count)].spawn(attempts)
            legal, passed = self._legal(*self._draw(candidates))
            self._tried += len(candidates)
            self._accepted += len(passed)
            lucky, first = np.unique(passed // count, return_index=True)
            masks[waiting[lucky]] = legal[first]
            attempt[who] += count
            attempt[who[lucky]] = attempts[passed[first]] + 1
            waiting = np.delete(waiting, lucky)
        return masks

    def _attempts_at_once(self, num_rows: int) -> int:
        count = math.ceil(1.2 * self._tried / self._accepted)
        size = self.num_nodes * (self._words * 8 + 8)
        return max(1, min(count, _BLOCK_BYTES // (size * num_rows)))

    def _remedy(self) -> str:
        if self._generator is not None:
            return "raise num_actions, or change the arguments of graph_generator"
        mean_degree = self.edge_prob * (self.num_nodes - 1)
        if mean_degree > 0.6 * self.max_degree:
            return "raise num_actions or lower edge_prob (nodes have too many edges for their labels)"
        return "raise edge_prob (graphs fall apart) or num_actions"

    # ---- candidates ------------------------------------------------------------------------------

    def _edge_counts(self) -> tuple[int, npt.NDArray[np.float64]]:
        """The smallest possible number of edges, and the law of the number as cumulative probabilities."""
        num_pairs = len(self.sets.masks)
        low, high = self.num_nodes - 1, min(num_pairs, self.num_nodes * self.max_degree // 2)
        if self.edge_prob == 1.0:
            low = num_pairs
            if high < low and self._generator is None:
                raise ValueError(
                    f"edge_prob=1.0 joins all {self.num_nodes} nodes, but split {self.split!r} allows degree "
                    f"{self.max_degree} at most; lower edge_prob or raise num_actions."
                )
            return low, np.ones(1)
        log_odds = math.log(self.edge_prob) - math.log1p(-self.edge_prob)
        logs = np.array(
            [m * log_odds - math.lgamma(m + 1) - math.lgamma(num_pairs - m + 1) for m in range(low, high + 1)]
        )
        cdf = np.cumsum(np.exp(logs - logs.max()))
        return low, cdf / cdf[-1]

    def _draw(self, streams: RowStreams) -> tuple[UInt64Array, IntArray]:
        """Candidates as adjacency masks (K, n, W), and the index of the stream of each, ascending.

        Candidates with too large a degree may be missing already.
        """
        if self._generator is not None:
            return self._generator.draw(streams)
        num_pairs, width = len(self.sets.masks), self.num_nodes * self._words
        totals = self._fewest_edges + np.searchsorted(self._edge_count_cdf, streams.uniform(), side="right")
        masks = np.zeros((len(streams), width), dtype=np.uint64)
        index = np.arange(len(streams))
        finished: list[tuple[UInt64Array, IntArray]] = []
        count, block = 0, self._fewest_edges
        while len(index):
            draws = np.ascontiguousarray(streams.uniform(block).T)
            base = np.arange(len(index)) * width
            flat = masks.reshape(-1)
            fewest = int(totals.min())
            for i in range(block):
                # Floyd: the newcomer of this step is the pair number N - m + step; draw among all up to it,
                # and take the newcomer itself if the drawn one has been taken.
                newcomer = np.minimum(num_pairs - totals + count, num_pairs - 1)  # (drawn >= totals: unused)
                pair = (draws[i] * (newcomer + 1)).astype(np.int64)
                if count:
                    is_member = (flat.take(base + self._at[0].take(pair)) & self._bits[0].take(pair)) != 0
                    pair = np.where(is_member, newcomer, pair)
                if count >= fewest:
                    pair = np.where(count < totals, pair, num_pairs)
                for end in (0, 1):
                    word = base + self._at[end].take(pair)
                    flat[word] = flat.take(word) | self._bits[end].take(pair)
                count += 1
            keep = self._degrees(masks).max(-1) <= self.max_degree
            full = keep & (totals <= count)
            finished.append((masks[full], index[full]))
            keep &= ~full
            masks, index, totals, streams = masks[keep], index[keep], totals[keep], streams[keep]
            block = max(2, self._fewest_edges // 4)
        order = np.argsort(np.concatenate([at for _, at in finished]))
        index = np.concatenate([at for _, at in finished])[order]
        masks = np.concatenate([m for m, _ in finished])[order]
        return masks.reshape(-1, self.num_nodes, self._words), index

    def _degrees(self, masks: UInt64Array) -> npt.NDArray[np.integer[Any]]:
        """Degrees (K, n) of masks (K, n, W) or (K, n * W)."""
        counts = np.bitwise_count(masks).reshape(len(masks), self.num_nodes, self._words)
        return counts[:, :, 0] if self._words == 1 else counts.sum(-1, dtype=np.int64)

    # ---- tests -----------------------------------------------------------------------------------

    def _legal(self, masks: UInt64Array, index: IntArray) -> tuple[UInt64Array, IntArray]:
        """The candidates that are connected and within the degree bound, with their indices."""
        degrees = self._degrees(masks)
        keep = (degrees.min(-1) > 0) & (degrees.max(-1) <= self.max_degree)
        masks, index, degrees = masks[keep], index[keep], degrees[keep]
        keep = self._connected(masks)
        if self.labelling == "standard":
            # A proper labelling with as many labels as the largest degree is sure to exist in bipartite
            # graphs only (Konig); one more label is enough for all (Vizing). The published generator asks for
            # that.
            tight = np.flatnonzero(keep & (degrees.max(-1) == self.num_actions))
            keep[tight] = self._bipartite(masks[tight])
        return masks[keep], index[keep]

    def _members(self, sets: UInt64Array) -> npt.NDArray[np.bool_]:
        """Sets of nodes as booleans, (K, W) -> (K, n)."""
        nodes = np.arange(self.num_nodes)
        words = sets[:, nodes >> 6]
        return ((words >> (nodes & 63).astype(np.uint64)) & 1).astype(bool)

    def _neighbourhood(self, masks: UInt64Array, sets: UInt64Array) -> UInt64Array:
        """Union (K, W) of the neighbours of the nodes in each set (K, W)."""
        around = np.where(self._members(sets)[:, :, None], masks, np.uint64(0))
        return np.asarray(np.bitwise_or.reduce(around, axis=1))

    def _connected(self, masks: UInt64Array) -> npt.NDArray[np.bool_]:
        reached = masks[:, 0] | self._only_node_0()
        connected = np.zeros(len(masks), dtype=bool)
        rows = np.arange(len(masks))
        while rows.size:
            wider = reached | self._neighbourhood(masks[rows], reached)
            whole = np.bitwise_count(wider).sum(-1) == self.num_nodes
            connected[rows[whole]] = True
            more = ~whole & (wider != reached).any(-1)
            rows, reached = rows[more], wider[more]
        return connected

    def _bipartite(self, masks: UInt64Array) -> npt.NDArray[np.bool_]:
        """Test connected graphs for bipartiteness: the two sides grow from node 0 and must not meet."""
        even = np.broadcast_to(self._only_node_0(), masks[:, 0].shape).copy()
        odd = np.zeros_like(even)
        for _ in range(self.num_nodes):
            odd = odd | self._neighbourhood(masks, even)
            even = even | self._neighbourhood(masks, odd)
        return np.asarray(((even & odd) == 0).all(-1))

    def _only_node_0(self) -> UInt64Array:
        return np.array([1] + [0] * (self._words - 1), dtype=np.uint64)

    def _label(
        self, masks: UInt64Array, streams: RowStreams
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
        num_pairs = len(self.sets.masks)
        # (K, n, W) masks -> (K, n * W * 64) bits, of which bit v of node u's mask tells of the pair {u, v}
        unpacked = np.unpackbits(
            masks.astype("<u8").view(np.uint8).reshape(len(masks), -1), 1, bitorder="little"
        )
        u, v = self.ends[:, :num_pairs]
        present = unpacked.take(u * (self._words * 64) + v, axis=1).view(bool)
        disjoint = self.labelling == "disjoint"
        edges = EdgeLists.from_pairs(present, self.ends, busiest_first=disjoint)
        if disjoint:
            labels, complete = label_greedily(edges, self.sets, streams)
        else:
            labels, complete = label_by_repair(edges, self.num_actions, streams)
        return edges.matrix(labels), complete


class _NetworkxCandidates:
    """Candidates from any of networkx's random graph generators (or fixed graphs), one at a time."""

    def __init__(self, generator: str | tuple[str, Mapping[str, Any]], sampler: GraphSampler) -> None:
        import networkx  # 0.1 s, and G(n, p) does not need it

        name, arguments = (
            (generator, {}) if isinstance(generator, str) else (generator[0], dict(generator[1]))
        )
        function = getattr(networkx, name, None)
        # Its own place tells a generator from the functions that read and write files, draw, or compute.
        module = getattr(function, "__module__", "")
        if (
            isinstance(function, type)
            or not callable(function)
            or not module.startswith("networkx.generators.")
        ):
            raise ValueError(
                f"graph_generator={name!r} is not a networkx generator; expected a name such as "
                "'watts_strogatz_graph', 'random_regular_graph' or 'connected_watts_strogatz_graph'."
            )
        for key, value in arguments.items():
            if not isinstance(value, (bool, int, float)) or not abs(value) <= sampler.num_nodes**2:
                raise ValueError(
                    f"graph_generator={name!r} with {key}={reprlib.repr(value)}: expected a number, "
                    f"at most {sampler.num_nodes**2} in size (num_nodes squared)."
                )
        takes = inspect.signature(function).parameters
        for key, value in (("n", sampler.num_nodes), ("p", sampler.edge_prob)):
            if key in takes and (key == "n" or takes[key].default is inspect.Parameter.empty):
                arguments.setdefault(key, value)
        missing = [
            key for key, p in takes.items()
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and key not in arguments
        ]  # fmt: skip
        unknown = [key for key in arguments if key not in takes]
        if missing or unknown:
            raise ValueError(
                f"graph_generator {name!r}: missing arguments {missing}, unknown arguments {unknown}; "
                f"pass (name, kwargs) with kwargs from {list(takes)}."
            )
        self._function, self._name, self._arguments = function, name, arguments
        self._seeded, self._sampler = "seed" in takes, sampler

    def draw(self, streams: RowStreams) -> tuple[UInt64Array, IntArray]:
        """Candidates as adjacency masks (K, n, W), and the index of each."""
        sampler = self._sampler
        width = sampler.num_nodes * sampler._words
        masks = np.zeros((len(streams), width), dtype=np.uint64)
        pair_index = np.zeros((sampler.num_nodes, sampler.num_nodes), dtype=np.int64)
        pair_index[sampler.ends[0, :-1], sampler.ends[1, :-1]] = np.arange(len(sampler.sets.masks))
        for row, seed in enumerate(streams.integers(2**31)):
            edges = self._edges(int(seed))
            pairs = pair_index[edges.min(1), edges.max(1)]
            for end in (0, 1):
                np.bitwise_or.at(masks[row], sampler._at[end, pairs], sampler._bits[end, pairs])
        return masks.reshape(-1, sampler.num_nodes, sampler._words), np.arange(len(streams))

    def _edges(self, seed: int) -> IntArray:
        import networkx

        arguments = {**self._arguments, "seed": seed} if self._seeded else self._arguments
        try:
            graph = self._function(**arguments)
        except (networkx.NetworkXException, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"graph_generator {self._name!r} with {self._arguments}: {error}") from error
        if not isinstance(graph, networkx.Graph):
            raise ValueError(
                f"graph_generator {self._name!r} gives a {type(graph).__name__}; expected graphs."
            )
        if graph.is_directed():
            raise ValueError(
                f"graph_generator {self._name!r} gives directed graphs; expected undirected ones."
            )
        if len(graph) != self._sampler.num_nodes:
            raise ValueError(
                f"graph_generator {self._name!r} gave {len(graph)} nodes for "
                f"num_nodes={self._sampler.num_nodes}; make its arguments and num_nodes agree."
            )
        graph = networkx.convert_node_labels_to_integers(graph, ordering="sorted")
        edges = np.array([(u, v) for u, v in graph.edges() if u != v], dtype=np.int64)
        return edges.reshape(-1, 2)
