"""The label-blind ideal observer of a graph walk: the best guess for every key, by Bayes' rule.

It knows how graphs are drawn, but not this graph, nor which labels a pair of nodes may carry. What a walk has
shown leaves a distribution over the edges that it has not; a key that is not in the table is answered by the
node at the other end of the most probable one. The distribution is sampled with Markov chains, a bundle of
them for every unknown key of every walk, all advanced side by side.

**Model.** Edges E: G(n, p) given connected and no degree above the bound. Moves: each neighbour with
probability 1 / degree, the move being asked about included. Labels: walked edges are known both ways, and an
edge to a node that carries the asked label elsewhere is impossible (labels at a node differ); beyond that
labels tell nothing about E. So, with c_u moves made from node u, edges K walked, and a move leaving x with
label a, the weight of E and of y as the node reached is

    (p / (1 - p))^|E|  prod_u deg(u)^-c_u    if E is connected, contains K, keeps the degree bound,
                                             {x, y} is in E but not in K, and y carries no a in K;
    0                                        otherwise.

**Sampler.** A chain's state is (E, y). One sweep resamples, each from its exact conditional, the presence of
every pair that is neither walked nor {x, y}; for every node, where a random one of its edges leads; and where
the asked edge {x, y} leads. The average of the last conditional over sweeps estimates P(y). Nodes that were
never visited are exchangeable, so their probabilities are averaged. Full enumeration at n = 6 agrees.

Shapes: Q unknown keys, R chains, n nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.graph.tables import TransitionTable

MAX_NODES = 64
"""The sampler keeps the neighbours of a node as the bits of one 64-bit number."""

_CHAINS_AT_ONCE = 32_768
_TIE = 1e-9  # probabilities that differ by less are equal up to rounding

Ints = npt.NDArray[np.integer]
Words = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Questions:
    """Unknown keys, with what their walks had shown before.

    Attributes:
        moves: (Q,) the move that asks.
        rows: (Q,) the walk it belongs to.
        nodes: (Q,) node x of the key.
        walked: (Q, n, n) bool, edges known from the walk, symmetric.
        departures: (Q, n) moves made from each node before this one.
        carriers: (Q, n) bool, nodes known to carry the key's label on an edge.
        visited: (Q, n) bool, nodes the walk has been at, x included.
    """

    moves: Ints
    rows: Ints
    nodes: Ints
    walked: npt.NDArray[np.bool_]
    departures: Ints
    carriers: npt.NDArray[np.bool_]
    visited: npt.NDArray[np.bool_]

    def __getitem__(self, part: slice) -> Questions:
        """Some of the questions."""
        return Questions(**{name: value[part] for name, value in vars(self).items()})


def unknown_keys(
    nodes: Ints, actions: Ints, next_nodes: Ints, segments: Ints, num_nodes: int, num_actions: int
) -> tuple[Questions, npt.NDArray[np.float64]]:
    """Go through walks with an undirected table and collect what it cannot answer.

    Args:
        nodes: (M, B) node before each move.
        actions: (M, B) label of the move.
        next_nodes: (M, B) node after it.
        segments: (M, B) which graph the move is made on.
        num_nodes: Number of nodes n.
        num_actions: Number of labels.

    Returns:
        The unknown keys, and the table's credit (M, B): 1 where it holds the right answer, else 0.
    """
    num_moves, batch_size = nodes.shape
    rows = np.arange(batch_size)
    table = TransitionTable(batch_size, num_nodes, num_actions)
    departures = np.zeros((batch_size, num_nodes), dtype=np.int64)
    credit = np.zeros((num_moves, batch_size))
    parts = []
    for m in range(num_moves):
        x, a, y = nodes[m], actions[m], next_nodes[m]
        if m:
            switched = segments[m] != segments[m - 1]
            table.forget(switched)
            departures[switched] = 0
        table.visited[rows, x] = True
        entry = table.look_up(rows, x, a)
        credit[m] = entry == y
        asking = np.flatnonzero(entry < 0)
        carriers = table.next_node[asking, :, a[asking]] >= 0
        facts = table.neighbours[asking], departures[asking], carriers, table.visited[asking]
        parts.append(Questions(np.full(len(asking), m), asking, x[asking], *facts))
        table.learn(rows, x, a, y)
        departures[rows, x] += 1
    names = vars(parts[0])
    return Questions(**{k: np.concatenate([getattr(q, k) for q in parts]) for k in names}), credit


def ideal_observer(
    nodes: Ints,
    actions: Ints,
    next_nodes: Ints,
    segments: Ints,
    num_nodes: int,
    num_actions: int,
    edge_prob: float,
    max_degree: int,
    rng: np.random.Generator,
    num_sweeps: int = 32,
    num_chains: int = 2,
) -> npt.NDArray[np.float64]:
    """Expected credit of answering every move of given walks with the most probable node.

    Ties (nodes never visited have equal probabilities) are broken at random, so credit is 1 / (number tied)
    where the true node is among them. Labels are taken not to drift.

    Args:
        nodes: (M, B) node before each move.
        actions: (M, B) label of the move.
        next_nodes: (M, B) node after it.
        segments: (M, B) which graph the move is made on; nothing is known at the start of each.
        num_nodes: Number of nodes n, at most 64.
        num_actions: Number of labels.
        edge_prob: Edge probability p of the graphs' law, in (0, 1).
        max_degree: Degree bound of the graphs' law.
        rng: Source of all randomness.
        num_sweeps: Sweeps kept per chain; a quarter as many come before.
        num_chains: Chains per unknown key.

    Returns:
        (M, B) float64 in [0, 1].
    """
    questions, credit = unknown_keys(nodes, actions, next_nodes, segments, num_nodes, num_actions)
    block = max(1, _CHAINS_AT_ONCE // num_chains)
    for start in range(0, len(questions.rows), block):
        part = questions[start : start + block]
        posterior = next_node_posterior(part, edge_prob, max_degree, rng, num_sweeps, num_chains)
        best = posterior >= posterior.max(axis=1, keepdims=True) - _TIE  # (Q, n)
        truth = next_nodes[part.moves, part.rows]
        credit[part.moves, part.rows] = best[np.arange(len(truth)), truth] / best.sum(axis=1)
    return credit


def next_node_posterior(
    questions: Questions,
    edge_prob: float,
    max_degree: int,
    rng: np.random.Generator,
    num_sweeps: int = 32,
    num_chains: int = 2,
) -> npt.NDArray[np.float64]:
    """Probability (Q, n) of each node to be where the unknown keys lead.

    Args:
        questions: The unknown keys.
        edge_prob: Edge probability p, in (0, 1).
        max_degree: Degree bound.
        rng: Source of all randomness.
        num_sweeps: Sweeps kept per chain.
        num_chains: Chains per unknown key.
    """
    num_questions, num_nodes = questions.visited.shape
    if num_nodes > MAX_NODES:
        raise ValueError(
            f"num_nodes={num_nodes}: the ideal observer keeps neighbours as bits and takes at most "
            f"{MAX_NODES} nodes; leave it out (ideal_walks=0), the `oracle` row has no limit."
        )
    if not 0.0 < edge_prob < 1.0:
        raise ValueError(f"edge_prob={edge_prob}: expected a probability between 0 and 1, ends excluded.")
    if num_questions == 0:
        return np.zeros((0, num_nodes))
    chains = _Chains(questions, edge_prob, max_degree, rng, num_chains)
    for _ in range(num_sweeps // 4):
        chains.sweep()
    total = sum(chains.sweep() for _ in range(num_sweeps))
    # (n, R) -> (n, chains, Q) -> (Q, n)
    posterior: npt.NDArray[np.float64] = (
        np.asarray(total).reshape(num_nodes, num_chains, num_questions).sum(axis=1).T
    )
    posterior = posterior / posterior.sum(axis=1, keepdims=True)
    unvisited = ~questions.visited
    share = (posterior * unvisited).sum(axis=1) / np.maximum(unvisited.sum(axis=1), 1)
    posterior[unvisited] = np.broadcast_to(share[:, None], posterior.shape)[unvisited]
    return posterior


class _Chains:
    """R = num_chains * Q Markov chains side by side. Arrays are (n, R), so one node's values lie together.

    Adjacency is kept as bits: bit v of `self.adjacent[u, r]` says that chain r has the edge {u, v}.
    """

    def __init__(
        self,
        questions: Questions,
        edge_prob: float,
        max_degree: int,
        rng: np.random.Generator,
        num_chains: int,
    ) -> None:
        n = questions.visited.shape[1]
        self.rng = rng
        self.num_nodes = n
        word = next(t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if np.iinfo(t).bits >= n)
        self.bit: Words = np.array([1 << v for v in range(n)], dtype=word)
        self.place = np.arange(n, dtype=word)

        def spread(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            """(Q, n) -> (n, R)."""
            return np.ascontiguousarray(np.tile(values, (num_chains, 1)).T)

        bits = np.where(questions.walked, self.bit, word(0))  # (Q, n, n)
        self.walked: Words = spread(np.bitwise_or.reduce(bits, axis=2))
        self.x = np.tile(questions.nodes, num_chains)
        self.columns = np.arange(len(self.x))
        neighbours = self.walked[self.x, self.columns]
        impossible = np.bitwise_or.reduce(np.where(questions.carriers, self.bit, word(0)), axis=1)
        # Where {x, y} may lead.
        self.options = ~(np.tile(impossible, num_chains) | neighbours | self.bit[self.x])

        # Weight of one more edge at u: p / (1 - p), half of it from each end, times (d / (d + 1))^c; 0 at the
        # bound.
        self.bound = min(max_degree, n - 1)
        departures = questions.departures.copy()
        departures[np.arange(len(departures)), questions.nodes] += 1  # the move asked about leaves x, too
        c, d = np.arange(departures.max() + 1)[:, None], np.arange(1, self.bound)
        self.log_one_more = np.full((len(c), self.bound + 1), 0.5 * np.log(edge_prob / (1.0 - edge_prob)))
        self.log_one_more[:, 1:-1] += c * np.log(d / (d + 1.0))  # where d = 0, nothing has left: c = 0
        self.log_one_more[:, -1] = -np.inf
        self.one_more = np.exp(self.log_one_more).astype(np.float32)
        self.power_row: Ints = spread(departures) * (self.bound + 1)

        self.adjacent: Words = self.walked.copy()
        self.degree: Ints = spread(questions.walked.sum(axis=2))
        self.y: Ints = np.zeros(len(self.x), dtype=np.int64)
        self._begin(spread(questions.visited))

    def _begin(self, visited: npt.NDArray[np.bool_]) -> None:
        """A first state that is allowed: nodes never visited hang from x in one chain."""
        tail = self.x.copy()
        for u in range(self.num_nodes):
            rows = np.flatnonzero(~visited[u])
            first = rows[tail[rows] == self.x[rows]]
            self.y[first] = u
            self._toggle(np.full(len(rows), u), tail[rows], rows, 1)
            tail[rows] = u
        rest = np.flatnonzero(tail == self.x)  # no such node: any other end that is allowed
        free = ((self.options[rest] & self.bit[:, None]) != 0) & (self.degree[:, rest] < self.bound)
        if not free.any(axis=0).all() or (self.degree > self.bound).any():
            raise ValueError(
                f"the ideal observer met a walk that is impossible with max_degree={self.bound} and labels "
                "that stay; pass the degree bound that the graphs were drawn with, and leave the ideal "
                "observer out (ideal_walks=0) where labels drift."
            )
        self.y[rest] = free.argmax(axis=0)
        self._toggle(self.x[rest], self.y[rest], rest, 1)

    def _toggle(self, u: Ints, v: Ints, rows: Ints, change: int) -> None:
        """Add (change 1) or take away (-1) the edge {u, v} in some chains."""
        self.adjacent[u, rows] ^= self.bit[v]
        self.adjacent[v, rows] ^= self.bit[u]
        self.degree[u, rows] += change
        self.degree[v, rows] += change

    def _weight(self, u: int, rows: Ints | slice = slice(None)) -> npt.NDArray[np.float32]:
        """Weight of one more edge at node u."""
        weight: npt.NDArray[np.float32] = self.one_more.take(self.power_row[u, rows] + self.degree[u, rows])
        return weight

    def _reached(self, start: Words, adjacent: Words) -> Words:
        """Nodes connected to `start`, as bits (R,), in graphs (n, R)."""
        reached = start
        while True:
            before = reached.copy()
            for v in range(self.num_nodes):
                # -(0 or 1) in unsigned arithmetic is no bit or every bit
                reached = reached | (adjacent[v] & -((reached >> self.place[v]) & self.bit[0]))
            if np.array_equal(before, reached):
                return reached

    def sweep(self) -> npt.NDArray[np.float64]:
        """Resample every pair, far ends, then y; returns the distribution (n, R) that y was drawn from."""
        for v in range(1, self.num_nodes):
            for u in range(v):
                self._resample_pair(u, v)
        for u in range(self.num_nodes):
            self._resample_far_end(u)
        self.y, probabilities = self._moved_end(self.x, self.y, self.columns, self.options)
        return probabilities

    def _resample_pair(self, u: int, v: int) -> None:
        """Draw whether {u, v} is an edge, given all other pairs."""
        fixed = (self.walked[u] & self.bit[v]) != 0
        fixed |= ((self.x == u) & (self.y == v)) | ((self.x == v) & (self.y == u))
        rows = np.flatnonzero(~fixed)
        present = (self.adjacent[u, rows] & self.bit[v]) != 0
        with_edge = rows[present]
        self.degree[u, with_edge] -= 1  # degrees without the edge, for the odds
        self.degree[v, with_edge] -= 1
        odds = self._weight(u, rows) * self._weight(v, rows)
        self.degree[u, with_edge] += 1
        self.degree[v, with_edge] += 1
        is_edge = self.rng.random(len(rows), dtype=np.float32) * (1.0 + odds) < odds
        added = rows[is_edge & ~present]
        self._toggle(np.full(len(added), u), np.full(len(added), v), added, 1)
        removed = rows[present & ~is_edge]
        if len(removed):
            without = self.adjacent[:, removed]
            without[u] ^= self.bit[v]
            without[v] ^= self.bit[u]
            reached = self._reached(np.full(len(removed), self.bit[u]), without)
            removed = removed[(reached & self.bit[v]) != 0]  # else the graph would fall apart: it stays
            self._toggle(np.full(len(removed), u), np.full(len(removed), v), removed, -1)

    def _resample_far_end(self, u: int) -> None:
        """Take a random edge at u that is neither walked nor {x, y}; draw where it leads, given the others.

        Near a tree, or at the degree bound, single pairs can hardly change; this moves an edge in one go. The
        pick is uniform over as many edges before as after, so the chain's distribution stays as it is.
        """
        query = np.where(self.x == u, self.bit[self.y], 0) | np.where(self.y == u, self.bit[self.x], 0)
        movable = self.adjacent[u] & ~self.walked[u] & ~query
        rows = np.flatnonzero(movable)
        if not len(rows):
            return
        ends = (movable[rows] & self.bit[:, None]) != 0  # (n, rows)
        order = ends.cumsum(axis=0)
        v = (order <= (self.rng.random(len(rows)) * order[-1]).astype(np.int64)).sum(axis=0)
        self._moved_end(np.full(len(rows), u), v, rows, np.full(len(rows), ~self.bit[u]))

    def _moved_end(
        self, u: Ints, v: Ints, rows: Ints, options: Words
    ) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Draw a new far end for the edges {u, v} of some chains, given all other edges.

        Args:
            u: (R',) the end that stays.
            v: (R',) the end that may move.
            rows: (R',) the chains.
            options: (R',) bits of the nodes it may move to.

        Returns:
            The new ends (R',) and the distributions (n, R') they were drawn from.
        """
        self._toggle(u, v, rows, -1)
        adjacent = self.adjacent[:, rows]
        reached = self._reached(self.bit[u], adjacent)
        whole = np.bitwise_or.reduce(self.bit)
        # If the graph fell apart, the edge must lead to the part that u does not reach.
        options = options & ~self.adjacent[u, rows] & np.where(reached != whole, ~reached, whole)
        # In logarithms: after some thousand moves all the weights would be too small for a number.
        weights = self.log_one_more.take(self.power_row[:, rows] + self.degree[:, rows])  # (n, R')
        weights[(options & self.bit[:, None]) == 0] = -np.inf
        weights = np.exp(weights - weights.max(axis=0))
        weights /= weights.sum(axis=0)
        ends = weights.cumsum(axis=0)
        v = (ends <= self.rng.random(len(rows)) * ends[-1]).sum(axis=0)
        self._toggle(u, v, rows, 1)
        return v, weights
