"""Agents for the graph tasks without training: a table that answers, and one that also explores.

Both see observations only, and work on a whole batch of episodes at once (see `plastic_envs.task.Policy`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plastic_envs.graph.tables import TransitionTable
from plastic_envs.task import Task

Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

_NOTHING = -1
_PARTNER_SEEN = 0.1  # how much less likely an untried label leads to a node known than to one never visited


class TablePolicy:
    """An undirected look-up table with the unvisited-first guess: the graph tasks' `oracle` agent.

    A step that shows a transition is stored, both ways; a step that asks is answered by the table, or, for
    a key that is not known, by a node of the narrowest set in `TransitionTable.guesses`; best by one that was
    asked about with this label before, and never told (that edge is likely to be this one). Where no step
    ever shows a transition (an `Association` that is `chained`), consecutive questions are taken as one. On a
    walk its expected score is the `oracle` rate of `plastic_envs.graph.tables.table_rates`.

    Args:
        task: A task with the one-hot observation fields "node", "action" and "reached".
        rng: Picks among equally good guesses. Without it the lowest node is taken, which keeps the policy
            deterministic and scores the same where nodes are exchangeable, as in G(n, p).
        forgets_at_contradiction: Whether a transition that cannot hold on the graph known so far empties that
            episode's table: it tells of an unannounced switch of graphs. Otherwise the entry is overwritten,
            which is right where labels drift. None: unless the task has `label_drift`.
    """

    def __init__(
        self, task: Task, rng: np.random.Generator | None = None, forgets_at_contradiction: bool | None = None
    ) -> None:
        self._fields = [task.field(name) for name in ("node", "action", "reached")]
        self._chained = task.association is not None and task.association.chained
        self._rng = rng
        self._table: TransitionTable
        self._question: Ints  # (B, 2), the key asked for at the last step
        self._exists: Bools  # (B, n, A), keys that were asked for, so that the label must be there
        if forgets_at_contradiction is None:
            forgets_at_contradiction = not getattr(task, "label_drift", 0.0)
        self._forgets_at_contradiction = forgets_at_contradiction
        self._resize(0)

    @property
    def table(self) -> TransitionTable:
        """The transitions that each episode has shown so far."""
        return self._table

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Answer, and remember, one step of B episodes.

        Args:
            observations: (B, O).
            episode_starts: (B,) whether the step is the first of its episode: memory is emptied.

        Returns:
            (B,) the node predicted; where a transition is shown, the node reached.
        """
        if len(observations) != len(self._question):
            self._resize(len(observations))
        self._table.forget(episode_starts)
        self._question[episode_starts] = _NOTHING
        self._exists[episode_starts] = False
        x, a, y = (_decoded(observations[:, field.slice]) for field in self._fields)

        if self._chained:
            followed = np.flatnonzero((self._question[:, 0] >= 0) & (x >= 0))
            self._learn(followed, self._question[followed, 0], self._question[followed, 1], x[followed])
            self._question = np.stack((x, a), axis=1)
        facts = np.flatnonzero((x >= 0) & (a >= 0) & (y >= 0))
        self._learn(facts, x[facts], a[facts], y[facts])

        actions = np.zeros(len(observations), dtype=np.int64)
        standing = np.flatnonzero(y >= 0)
        self._table.visited[standing, y[standing]] = True
        actions[standing] = self._respond(standing, y[standing])
        asking = np.flatnonzero((x >= 0) & (a >= 0) & (y < 0))
        actions[asking] = self._answer(asking, x[asking], a[asking])
        return actions

    def _resize(self, batch_size: int) -> None:
        node, action, _ = self._fields
        self._table = TransitionTable(batch_size, node.size, action.size)
        self._question = np.full((batch_size, 2), _NOTHING)
        self._exists = np.zeros((batch_size, node.size, action.size), dtype=bool)

    def _learn(self, rows: Ints, x: Ints, a: Ints, y: Ints) -> None:
        table = self._table
        if self._forgets_at_contradiction:
            forward, backward = table.look_up(rows, x, a), table.look_up(rows, y, a)
            contradiction = ((forward >= 0) & (forward != y)) | ((backward >= 0) & (backward != x))
            contradiction |= table.neighbours[rows, x, y] & (forward != y)  # the edge had another label
            contradiction |= (x != y) & table.unusable[rows, x, a]
            table.forget(rows[contradiction])
            self._exists[rows[contradiction]] = False
        moved = x != y
        table.learn(rows[moved], x[moved], a[moved], y[moved])
        stayed = ~moved
        table.unusable[rows[stayed], x[stayed], a[stayed]] = True

    def _respond(self, rows: Ints, reached: Ints) -> Ints:
        """Actions (K,) in steps that show a transition, or where the walk stands. They count for nothing."""
        return reached

    def _answer(self, rows: Ints, x: Ints, a: Ints) -> Ints:
        """The nodes (K,) that the keys (x, a) lead to, as far as one can tell."""
        answers: Ints = self._table.look_up(rows, x, a)
        unknown = np.flatnonzero(answers < 0)
        if len(unknown):
            at = rows[unknown], x[unknown], a[unknown]
            guesses = self._table.guesses(*at)
            likely = guesses["not_carrier"] & self._exists[rows[unknown], :, a[unknown]]
            options = np.where(likely.any(axis=1, keepdims=True), likely, guesses["unvisited"])
            preference = options if self._rng is None else options * self._rng.random(options.shape)
            answers[unknown] = preference.argmax(axis=1)
            self._exists[at] = True
        return answers


class ExplorerPolicy(TablePolicy):
    """A table that chooses where to walk: systematic cover, with what can be inferred left out.

    While it may walk, it tries an untried label where it stands: one that could lead somewhere, best to a
    node never visited. Where none is left it walks, by the shortest known way, to the nearest node that has
    one. A label is known not to exist at a node once tried in vain, and could not lead anywhere if every node
    that is not yet a neighbour carries it on another edge or is known not to have it. Questions are answered
    as by `TablePolicy`.

    Args:
        task: A task with the fields of `TablePolicy` in which actions at steps that show a transition are
            labels to follow, and a label that is not there leads nowhere.
        rng: Picks among equally good guesses and labels; without it the lowest is taken.
    """

    def __init__(self, task: Task, rng: np.random.Generator | None = None) -> None:
        # An edge that "had another label" would be a graph switched while exploring: no such task exists.
        super().__init__(task, rng, forgets_at_contradiction=False)

    def _respond(self, rows: Ints, reached: Ints) -> Ints:
        """Labels (K,) to follow from where the K walkers stand."""
        table, each = self._table, np.arange(len(rows))
        next_node = table.next_node[rows]  # (K, n, A)
        free = (next_node < 0) & ~table.unusable[rows]
        strangers = ~table.neighbours[rows] & ~np.eye(next_node.shape[1], dtype=bool)  # (K, n, n)
        likely = np.where(table.visited[rows], _PARTNER_SEEN, 1.0)[:, :, None] * free
        promise = free * (strangers.astype(np.float64) @ likely)  # (K, n, A), weight of possible other ends
        here = promise[each, reached]  # (K, A)
        noise = 0.0 if self._rng is None else 1e-3 * self._rng.random(here.shape)
        labels: Ints = np.where(here > 0, here + noise, 0.0).argmax(axis=1)
        done = np.flatnonzero(here.max(axis=1) <= 0)
        if len(done):
            goals = table.visited[rows[done]] & (promise[done] > 0).any(axis=2)
            distance = _distances(goals, table.neighbours[rows[done]])
            onward = next_node[done, reached[done]]  # (K', A)
            there = distance[np.arange(len(done))[:, None], np.maximum(onward, 0)]
            labels[done] = np.where(onward >= 0, there, np.inf).argmin(axis=1)
        return labels


def _decoded(one_hot: npt.NDArray[np.float32]) -> Ints:
    """The element (B,) that each row of (B, size) shows; -1 for a row of zeros."""
    elements: Ints = one_hot.argmax(axis=1)
    elements[~one_hot.any(axis=1)] = _NOTHING
    return elements


def _distances(goals: Bools, neighbours: Bools) -> npt.NDArray[np.float64]:
    """Moves from each node to the nearest goal, (K, n); inf where there is no way.

    Args:
        goals: (K, n).
        neighbours: (K, n, n), symmetric.
    """
    distance = np.where(goals, 0.0, np.inf)
    for _ in range(goals.shape[1]):
        onward = np.where(neighbours, distance[:, None, :], np.inf).min(axis=2)
        closer = np.minimum(distance, 1.0 + onward)
        if np.array_equal(closer, distance):
            break
        distance = closer
    return distance
