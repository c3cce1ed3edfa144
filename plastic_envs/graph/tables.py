"""Look-up tables for walks on labelled graphs: known transitions, and guesses for the others.

A key is a pair (node, label). A table that starts empty and stores every walked transition, and its reverse,
answers all that a walk determines; the rest is guessing. `table_rates` scores a family of such
observers on given walks, `TransitionTable` is the table they share with the stepped policies.

Shapes: M moves, B walks, n nodes, A labels, K selected walks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GUESSES = ("not_neighbour", "not_carrier", "unvisited")
"""The guesses for an unknown key, each narrower than the one before (see `TransitionTable.guesses`)."""

Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


class TransitionTable:
    """The transitions that each of B walks has shown so far. Row b of every array belongs to walk b.

    Attributes:
        next_node: (B, n, A) int64, the node that a key leads to; -1 where it is not known.
        unusable: (B, n, A) bool, labels known not to exist at a node (somebody tried and stayed put).
        neighbours: (B, n, n) bool, [b, x, y]: y is known to be next to x.
        visited: (B, n) bool, nodes that the walk has been at.

    Args:
        batch_size: Number of walks B.
        num_nodes: Number of nodes n.
        num_actions: Number of labels A.
        stores_reverse: Whether a walked transition (x, a) -> y also tells (y, a) -> x.
    """

    def __init__(
        self, batch_size: int, num_nodes: int, num_actions: int, stores_reverse: bool = True
    ) -> None:
        self.next_node = np.full((batch_size, num_nodes, num_actions), -1, dtype=np.int64)
        self.unusable = np.zeros((batch_size, num_nodes, num_actions), dtype=bool)
        self.neighbours = np.zeros((batch_size, num_nodes, num_nodes), dtype=bool)
        self.visited = np.zeros((batch_size, num_nodes), dtype=bool)
        self._stores_reverse = stores_reverse
        self._nodes = np.arange(num_nodes)

    def forget(self, rows: Ints | Bools) -> None:
        """Empty the tables of some walks."""
        self.next_node[rows] = -1
        self.unusable[rows] = False
        self.neighbours[rows] = False
        self.visited[rows] = False

    def learn(self, rows: Ints, nodes: Ints, actions: Ints, next_nodes: Ints) -> None:
        """Store one transition for each of K walks; a key that is known is overwritten.

        Args:
            rows: (K,) the walks, each at most once.
            nodes: (K,) where the move began.
            actions: (K,) the label taken.
            next_nodes: (K,) where it led.
        """
        self.next_node[rows, nodes, actions] = next_nodes
        self.neighbours[rows, nodes, next_nodes] = True
        if self._stores_reverse:
            self.next_node[rows, next_nodes, actions] = nodes
            self.neighbours[rows, next_nodes, nodes] = True
        self.visited[rows, nodes] = True
        self.visited[rows, next_nodes] = True

    def look_up(self, rows: Ints, nodes: Ints, actions: Ints) -> Ints:
        """The nodes (K,) that the keys lead to; -1 where a key is not known."""
        return self.next_node[rows, nodes, actions]

    def guesses(self, rows: Ints, nodes: Ints, actions: Ints) -> dict[str, Bools]:
        """Masks of the nodes that K unknown keys (nodes, actions) may lead to, by ever narrower rules.

        Returns:
            One (K, n) mask for each name in `GUESSES`, never empty: a rule that would leave nothing (possible
            only where labels drift) is not applied.

            * `not_neighbour`: not the node itself, not a node known to be next to it (that edge has
              another label);
            * `not_carrier`: also not a node known to carry this label on another edge (labels at a node
              differ), or known not to have it;
            * `unvisited`: of these, nodes the walk has never been at, if there are any.
        """
        others = self._nodes != np.asarray(nodes)[:, None]  # (K, n)
        not_neighbour = _narrowed(others, ~self.neighbours[rows, nodes])
        carriers = self.next_node[rows, :, actions] >= 0  # (K, n)
        not_carrier = _narrowed(not_neighbour, ~(carriers | self.unusable[rows, :, actions]))
        unvisited = _narrowed(not_carrier, ~self.visited[rows])
        return dict(zip(GUESSES, (not_neighbour, not_carrier, unvisited), strict=True))


def _narrowed(options: Bools, allowed: Bools) -> Bools:
    """`options & allowed` in the rows (K, n) where that leaves something, else `options`."""
    both = options & allowed
    return np.where(both.any(axis=1, keepdims=True), both, options)


def table_rates(
    nodes: Ints,
    actions: Ints,
    next_nodes: Ints,
    degrees: Ints,
    segments: Ints,
    num_nodes: int,
    num_actions: int,
) -> dict[str, npt.NDArray[np.float64]]:
    """Expected credit of table observers for every move of given walks.

    A known key earns 1 if the table's entry is right (it always is, unless labels drift). Unknown keys are
    guessed at in different ways:

    * `directed_*` keep (x, a) -> y only, `undirected_*` also (y, a) -> x;
    * `*_no_credit`: no guess; `*_uniform`: a true neighbour of x at random, 1 / degree;
      `*_elimination`: a true neighbour at random that this table does not know yet. The last two are told the
      neighbours, which no agent is: they bracket, they are no ceiling;
    * `undirected_not_neighbour`, `undirected_not_carrier`: uniform over the nodes of that name in
      `TransitionTable.guesses`, which the walk alone determines;
    * `oracle`: the same over unvisited nodes first. Within about 0.001 of the ideal observer
      (`plastic_envs.graph.ideal_observer`) on sparse graphs.

    Args:
        nodes: (M, B) node x before each move.
        actions: (M, B) label of the move.
        next_nodes: (M, B) node y after it.
        degrees: (M, B) degree of x.
        segments: (M, B) which graph the move is made on; tables start empty on each.
        num_nodes: Number of nodes n.
        num_actions: Number of labels A.

    Returns:
        For each observer (M, B) float64 in [0, 1].
    """
    num_moves, batch_size = nodes.shape
    degrees = degrees.astype(np.float64)
    tables = {
        "directed": TransitionTable(batch_size, num_nodes, num_actions, stores_reverse=False),
        "undirected": TransitionTable(batch_size, num_nodes, num_actions),
    }
    names = [f"{kind}_{credit}" for kind in tables for credit in ("no_credit", "uniform", "elimination")]
    names += [f"undirected_{guess}" for guess in GUESSES[:-1]] + ["oracle"]
    rates = {name: np.empty((num_moves, batch_size)) for name in names}
    rows = np.arange(batch_size)
    for m in range(num_moves):
        x, a, y = nodes[m], actions[m], next_nodes[m]
        for kind, table in tables.items():
            if m:
                table.forget(segments[m] != segments[m - 1])
            entry = table.look_up(rows, x, a)
            is_known, right = entry >= 0, (entry == y).astype(np.float64)
            rates[f"{kind}_no_credit"][m] = right
            rates[f"{kind}_uniform"][m] = np.where(is_known, right, 1.0 / degrees[m])
            others = degrees[m] - table.neighbours[rows, x].sum(axis=1)
            # With drifting labels the edge may be known under another label: then this guess misses it.
            hit = ~table.neighbours[rows, x, y] / np.maximum(others, 1)
            rates[f"{kind}_elimination"][m] = np.where(is_known, right, hit)
            if kind == "undirected":
                asking = np.flatnonzero(~is_known)
                guesses = table.guesses(asking, x[asking], a[asking])
                for guess, mask in guesses.items():
                    name = "oracle" if guess == GUESSES[-1] else f"undirected_{guess}"
                    rates[name][m] = right
                    rates[name][m, asking] = mask[np.arange(len(asking)), y[asking]] / mask.sum(axis=1)
            table.learn(rows, x, a, y)
    return rates
