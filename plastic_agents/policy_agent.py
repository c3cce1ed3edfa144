"""Agents that do not learn: the task's ideal observer, and blind chance."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.agent import Agent, amount_of_learning, batch_of, check_rows, header, refuse_keywords
from plastic_agents.files import write_tensors
from plastic_agents.learners.base import CallbackLike, as_callback
from plastic_agents.seeding import policy_generator, policy_generators
from plastic_envs.episodes import Episodes
from plastic_envs.policy import Policy
from plastic_envs.task import Task, rollout

__all__ = ["PolicyAgent", "random_actions"]


class PolicyAgent(Agent):
    """An agent that does not learn: the task's ideal observer, or blind chance.

    Args:
        name: Its name in the table of agents.
        task: The task it is made for.
        seed: Fixes its random actions.
        kind: "oracle" or "random".

    Raises:
        LookupError: If the task names no ideal observer.
    """

    def __init__(self, name: str, task: Task, seed: int, kind: str) -> None:
        super().__init__(name, task, seed)
        self.kind = kind
        self._live = policy_generator(seed)
        if kind == "oracle":
            task.oracle_policy()

    def learn(
        self,
        total_timesteps: int | None = None,
        callback: CallbackLike = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
        **others: Any,
    ) -> PolicyAgent:
        """Do nothing: there is nothing to learn; the arguments are checked as in `Agent.learn`."""
        refuse_keywords(others)
        amount_of_learning(total_timesteps, updates)
        as_callback(callback)
        return self

    def predict(
        self,
        observation: npt.NDArray[np.float32],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Answer observations; see `Agent.predict`."""
        batch, single = batch_of(self.observation_space, observation)
        if self.kind == "random":
            actions = random_actions(self.task.action_space, self._live, len(batch))
            return (actions[0] if single else actions), state
        starts: Any = episode_start is not None and episode_start
        if state is None:
            state, starts = (self.task.oracle_policy(), len(batch)), True
        policy, rows = state
        check_rows(rows, len(batch))
        begins = np.broadcast_to(np.asarray(starts, dtype=bool), len(batch))
        actions = np.asarray(policy.act(batch, begins))
        return (actions[0] if single else actions), state

    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Play episodes from fresh memory; see `Agent.act_on`."""
        task = task or self.task
        policy: Policy = (
            task.oracle_policy() if self.kind == "oracle" else self._drawn(task, episodes, generator)
        )
        return rollout(task, policy, episodes)

    def _drawn(self, task: Task, episodes: Episodes, generator: torch.Generator | None) -> _Drawn:
        """Random actions for every step of each episode, from the episode's own seed where it has one."""
        batch, steps = episodes.batch_size, episodes.num_steps
        if generator is not None:
            words: Any = torch.randint(2**62, (batch,), generator=generator, device=generator.device).tolist()
        else:
            words = range(batch) if episodes.seeds is None else episodes.seeds.tolist()
        rngs = policy_generators(self.seed, words)
        return _Drawn(np.stack([random_actions(task.action_space, rng, steps) for rng in rngs], axis=1))

    def save(self, path: str | os.PathLike[str], *, optimizer: bool = False) -> None:
        """Write the agent to one file; see `Agent.save`."""
        write_tensors(path, "agent", header(self) | {"weights": {}, "learner": {}})

    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` and `fast` entries."""
        return {"slow": 0, "fast": 0}


class _Drawn:
    """A policy whose actions (T, B, ...) are drawn beforehand."""

    def __init__(self, actions: npt.NDArray[Any]) -> None:
        self._steps = iter(actions)

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        """The actions (B, ...) of the next step."""
        actions: npt.NDArray[Any] = next(self._steps)
        return actions


def random_actions(
    space: spaces.Discrete | spaces.Box, rng: np.random.Generator, count: int
) -> npt.NDArray[Any]:
    """Uniform actions (count, ...); of a `Box`, from its part within -1 and 1."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(space.start + rng.integers(space.n, size=count))
    low, high = np.maximum(space.low, -1.0), np.minimum(space.high, 1.0)
    return np.asarray(rng.uniform(low, high, size=(count, *space.shape)).astype(space.dtype))
