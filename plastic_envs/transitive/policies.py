"""An agent for transitive inference without training: it remembers and infers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plastic_envs.streams import RowStreams
from plastic_envs.task import Task
from plastic_envs.transitive.measures import add_relation

_NOTHING = -1


class ReasonerPolicy:
    """Keeps every answer that it was told and infers transitively: the task's `oracle` agent.

    It sees observations only. Items are recognised by their vectors and numbered in order of appearance; what
    the feedback step tells is added to a partial order of them; a pair whose order is open is guessed. It
    does not use that pairs of a train block are neighbours.

    Args:
        task: A task with the observation fields "first_item", "second_item", "go", "reward" and "answer".
        rng: Source of its guesses. None: the observations of the episode so far, so that a guess in
            one episode does not depend on the others that are played beside it.
    """

    _history: npt.NDArray[np.uint64]  # (B,), a hash of the observations of each episode so far

    def __init__(self, task: Task, rng: np.random.Generator | None = None) -> None:
        self._first, self._second, self._go, self._reward, self._answer = (
            task.field(name).slice for name in ("first_item", "second_item", "go", "reward", "answer")
        )
        self._rng = rng
        width = task.observation_space.shape[0]
        self._factors = RowStreams(np.arange(width, dtype=np.uint64)).bits(1)[:, 0] | np.uint64(1)
        self._resize(0)

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Answer, and remember, one step of B episodes.

        Args:
            observations: (B, O).
            episode_starts: (B,) whether the step is the first of its episode: memory is emptied.

        Returns:
            (B,): 1 for the first item, 0 for the second; 0 where nothing is asked.
        """
        if len(observations) != len(self._counts):
            self._resize(len(observations))
        self._counts[episode_starts] = 0
        self._history[episode_starts] = 0
        if self._rng is None:
            words = np.ascontiguousarray(observations, dtype=np.float32).view(np.uint32).astype(np.uint64)
            self._history = self._history * self._factors[0] + words @ self._factors
        self._above[episode_starts] = False

        first, second = observations[:, self._first], observations[:, self._second]
        pair_rows = np.flatnonzero(first.any(1))
        self._pair[pair_rows, 0] = self._recognise(pair_rows, first[pair_rows])
        self._pair[pair_rows, 1] = self._recognise(pair_rows, second[pair_rows])

        answer_rows = np.flatnonzero(observations[:, self._answer].any(1))
        chose_first = observations[answer_rows, self._answer].argmax(1) == 1
        was_right = observations[answer_rows, self._reward][:, 0] > 0
        first_is_upper = chose_first == was_right
        x, y = self._pair[answer_rows].T
        add_relation(self._above, answer_rows, np.where(first_is_upper, x, y), np.where(first_is_upper, y, x))

        actions = np.zeros(len(observations), dtype=np.int64)
        go_rows = np.flatnonzero(observations[:, self._go][:, 0] > 0)
        x, y = self._pair[go_rows].T
        is_upper, is_lower = self._above[go_rows, x, y], self._above[go_rows, y, x]
        guess = self._guesses(go_rows) < 0.5
        actions[go_rows] = np.where(is_upper | is_lower, is_upper, guess)
        return actions

    def _guesses(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Uniform numbers (K,) for some rows."""
        if self._rng is not None:
            return self._rng.random(len(rows))
        uniform: npt.NDArray[np.float64] = RowStreams(self._history[rows]).uniform(1)[:, 0]
        return uniform

    def _resize(self, batch_size: int) -> None:
        size = self._first.stop - self._first.start
        self._items = np.zeros((batch_size, 0, size), dtype=np.float32)
        self._counts = np.zeros(batch_size, dtype=np.int64)
        self._history = np.zeros(batch_size, dtype=np.uint64)
        self._above = np.zeros((batch_size, 0, 0), dtype=bool)
        self._pair = np.full((batch_size, 2), _NOTHING)

    def _recognise(self, rows: npt.NDArray[np.int64], cues: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Numbers (K,) of the items (K, C) shown in these rows; an item that is new gets the next one."""
        if len(rows) and self._counts[rows].max() == self._items.shape[1]:
            more = max(8, self._items.shape[1])
            self._items = np.pad(self._items, ((0, 0), (0, more), (0, 0)))
            self._above = np.pad(self._above, ((0, 0), (0, more), (0, more)))
        places = np.arange(self._items.shape[1])
        same = (self._items[rows] == cues[:, None]).all(2) & (places < self._counts[rows, None])
        number = np.where(same.any(1), same.argmax(1) if len(places) else 0, self._counts[rows])
        new = ~same.any(1)
        self._items[rows[new], number[new]] = cues[new]
        self._counts[rows[new]] += 1
        return number.astype(np.int64)
