"""A task to be checked, with the episodes and the random actions that it is checked with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.episodes import Episodes
from plastic_envs.task import Task, rollout

__all__ = ["Case", "TaskError", "difference", "named_arrays"]


class TaskError(AssertionError):
    """A promise of `plastic_envs.Task` that a task does not keep."""


@dataclass(frozen=True)
class Case:
    """A task, and how to check it."""

    task: Task
    seed: int
    batch_size: int
    max_steps: int
    chance_tolerance: float
    oracle_tolerance: float
    pictures: bool

    def require(self, holds: Any, message: str) -> None:
        """Raise `TaskError` with the message, after the task's name, unless all of `holds` is true."""
        if not np.all(holds):
            raise TaskError(f"{type(self.task).__name__}: {message}")

    def sample(self) -> Episodes:
        """The same episodes at every call, if the task draws from its streams only."""
        return self.task.sample(self.seed, self.batch_size)

    def steps(self, episodes: Episodes) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Steps and rows (K,) of the episodes that go on, for one step after the other."""
        for step in range(min(int(episodes.lengths.max()), self.max_steps)):
            rows = np.flatnonzero(step < episodes.lengths)
            yield np.full(len(rows), step), rows

    def actions(self, *shape: int) -> npt.NDArray[Any]:
        """Random actions (*shape, ...), alike at every call: uniform, or normal where there is no bound."""
        space, rng = self.task.action_space, np.random.default_rng((self.seed, 1))
        if isinstance(space, spaces.Discrete):
            return np.asarray(space.start + rng.integers(space.n, size=shape), dtype=space.dtype)
        bounded, size = np.isfinite(space.low) & np.isfinite(space.high), (*shape, *space.shape)
        uniform = rng.uniform(np.where(bounded, space.low, 0), np.where(bounded, space.high, 1), size)
        normal = np.clip(rng.normal(size=size), space.low, space.high)
        return np.asarray(np.where(bounded, uniform, normal), dtype=space.dtype)

    def play(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Play random actions (T, B, ...) in place; rewards (T, B)."""
        rewards = np.zeros(actions.shape[:2])
        for steps, rows in self.steps(episodes):
            rewards[steps, rows] = self.task.reward(episodes, steps, rows, actions[steps, rows])
            if self.task.closed_loop:
                self.task.advance(episodes, steps, rows, actions[steps, rows])
        return rewards

    def played(self) -> tuple[Episodes, npt.NDArray[Any]]:
        """Episodes played with random actions, whole, and the actions (T, B, ...)."""
        episodes = self.sample()
        actions = self.actions(episodes.num_steps, self.batch_size)
        return episodes, rollout(self.task, _Fixed(actions), episodes)

    def same(self, got: Episodes, expected: Episodes, message: str) -> None:
        """Require that episodes are equal to the last bit; the message goes on after an array's name."""
        name = difference(got, expected)
        self.require(name is None, f"array {name} {message}")


class _Fixed:
    """A policy that takes given actions (T, B, ...)."""

    def __init__(self, actions: npt.NDArray[Any]) -> None:
        self._actions: Iterator[npt.NDArray[Any]] = iter(actions)

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        return next(self._actions)


def named_arrays(episodes: Episodes) -> dict[str, npt.NDArray[Any]]:
    """All arrays by name; those with a time axis come first."""
    arrays = {name: getattr(episodes, name) for name in Episodes._TIME_FIRST}
    arrays |= {f"step_facts[{name!r}]": value for name, value in episodes.step_facts.items()}
    arrays |= {f"facts[{name!r}]": value for name, value in episodes.facts.items()}
    return arrays | {"lengths": episodes.lengths}


def difference(one: Episodes, other: Episodes) -> str | None:
    """Name of the first array that is not the same to the last bit; None where all are."""
    ours, theirs = named_arrays(one), named_arrays(other)
    for name, array in ours.items():
        twin = theirs.get(name)
        if twin is None or (array.dtype, array.shape) != (twin.dtype, twin.shape):
            return name
        if array.tobytes() != twin.tobytes():
            return name
    return next((name for name in theirs if name not in ours), None)
