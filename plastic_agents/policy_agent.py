"""Agents that do not learn: the task's ideal observer, and blind chance."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.base import Agent, header, save_atomically
from plastic_agents.learner import Callback
from plastic_envs.core import Episodes, Policy, Task, rollout

__all__ = ["PolicyAgent", "RandomPolicy"]


class PolicyAgent(Agent):
    """An agent that does not learn: the task's ideal observer, or blind chance."""

    def __init__(self, name: str, task: Task, seed: int, kind: str) -> None:
        super().__init__(name, task, seed)
        self.kind = kind
        self._new_policy(task)  # a task that names no ideal observer says so here

    def _new_policy(self, task: Task) -> Policy:
        return task.oracle_policy() if self.kind == "oracle" else RandomPolicy(task.action_space, self.seed)

    def learn(
        self,
        total_timesteps: int | None = None,
        callback: Callback | None = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
    ) -> PolicyAgent:
        """Learn the training split; see `Agent.learn`."""
        return self

    def predict(
        self,
        observation: npt.NDArray[np.float32],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Answer observations; see `Agent.predict`."""
        single = observation.ndim == 1
        batch = observation[None] if single else observation
        if state is None:
            state = self._new_policy(self.task)
            episode_start = np.ones(len(batch), dtype=bool)
        elif episode_start is None:
            episode_start = np.zeros(len(batch), dtype=bool)
        actions = np.asarray(state.act(batch, np.asarray(episode_start, dtype=bool)))
        return (actions[0] if single else actions), state

    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Play episodes from fresh memory; see `Agent.act_on`."""
        task = task or self.task
        return rollout(task, self._new_policy(task), episodes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the agent to one file."""
        save_atomically(header(self) | {"weights": {}}, path)

    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` and `fast` entries."""
        return {"slow": 0, "fast": 0}


class RandomPolicy:
    """Uniform actions, whatever is shown."""

    def __init__(self, action_space: spaces.Discrete | spaces.Box, seed: int) -> None:
        self._space = action_space
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(97,)))

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        """Actions (B, ...) for B observations."""
        batch, space = len(observations), self._space
        if isinstance(space, spaces.Discrete):
            return space.start + self._rng.integers(space.n, size=batch)
        low, high = np.maximum(space.low, -1.0), np.minimum(space.high, 1.0)
        return self._rng.uniform(low, high, size=(batch, *space.shape)).astype(space.dtype)
