"""The agent contract: Stable-Baselines3's surface over any network and learner of the suite."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from tqdm.auto import tqdm

from plastic_agents.learner import Callback, Learner
from plastic_agents.networks.base import Network, where_rows
from plastic_envs.core import Episodes, Policy, Task, rollout

__all__ = ["Agent", "NetworkAgent", "PolicyAgent", "resolve_device", "save_atomically"]

_ROWS_AT_ONCE = 100  # episodes evaluated in one pass, to bound memory


def resolve_device(device: str) -> torch.device:
    """The torch device of "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ValueError: If CUDA is asked for and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: this machine has no CUDA device; use 'cpu' or 'auto'.")
    return torch.device(device)


def save_atomically(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint that is either the old one or the new one, never half of each."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    torch.save(dict(content), partial)
    os.replace(partial, target)


class Agent(ABC):
    """Something that plays a task and may learn it.

    Attributes:
        name: Its name in `plastic_agents.AGENTS`.
        task: The task it was made for.
        seed: Fixes everything random in it.
    """

    def __init__(self, name: str, task: Task, seed: int) -> None:
        self.name, self.task, self.seed = name, task, seed
        self.observation_space, self.action_space = task.observation_space, task.action_space

    @abstractmethod
    def learn(
        self,
        total_timesteps: int | None = None,
        callback: Callback | None = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
    ) -> Agent:
        """Learn the task's training split.

        Args:
            total_timesteps: Environment steps to learn for, rounded up to whole updates.
            callback: Told after every update and evaluation.
            progress_bar: Show one, with the current score.
            updates: The same in updates; the learner's own setting if neither is given.
        """

    @abstractmethod
    def predict(
        self,
        observation: npt.NDArray[np.float32],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Answer observations, as Stable-Baselines3's `predict`.

        Args:
            observation: (O,), or (N, O) from N environments side by side.
            state: What the last call returned; None to start.
            episode_start: (N,) bool, where an episode begins: memory is emptied there.
            deterministic: Take the best action, or draw from the policy.

        Returns:
            Action(s) and the state for the next call.
        """

    @abstractmethod
    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Play a batch of episodes from fresh memory; the result for an episode does not depend on the batch.

        Args:
            episodes: Played in place (a closed-loop task writes into them).
            task: Where they come from, if not the agent's own task.
            generator: For random starts and choices; by default one derived from the agent's seed.

        Returns:
            Actions (T, B, ...).
        """

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the agent to one file; `plastic_agents.load` reads it."""

    @abstractmethod
    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` (trained) and `fast` (state per episode) entries."""


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
        return self

    def predict(
        self,
        observation: npt.NDArray[np.float32],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
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
        task = task or self.task
        return rollout(task, self._new_policy(task), episodes)

    def save(self, path: str | os.PathLike[str]) -> None:
        save_atomically(_header(self) | {"weights": {}}, path)

    def num_parameters(self) -> dict[str, int]:
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


class NetworkAgent(Agent):
    """A network and the way it learns, under one name.

    Args:
        name: Its name in the table of agents.
        task: The task it is made for.
        seed: Fixes initial weights, data and random starts.
        network: The network.
        learner: How it learns.
        network_kwargs: The arguments that made the network, for `save`.
        device: Where it runs.
    """

    _FORMAT: ClassVar[int] = 1

    def __init__(
        self,
        name: str,
        task: Task,
        seed: int,
        network: Network[Any],
        learner: Learner[Any],
        network_kwargs: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        super().__init__(name, task, seed)
        self.network = network.to(device).eval()
        self.learner, self.network_kwargs, self.device = learner, dict(network_kwargs), device
        self._discrete = isinstance(task.action_space, spaces.Discrete)
        self._live = self._fresh_generator()

    def _fresh_generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + 1)

    # ---- learning -------------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: int | None = None,
        callback: Callback | None = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
    ) -> NetworkAgent:
        if updates is None:
            updates = self.learner.config.updates
            if total_timesteps is not None:
                steps = self.task.sample(np.random.default_rng(0), 1).num_steps
                updates = -(-total_timesteps // (steps * self.learner.config.batch_size))
        if progress_bar:
            with _ProgressBar(callback, updates, self.learner.update, self.name) as bar:
                self.learner.learn(self, updates, bar)
        else:
            self.learner.learn(self, updates, callback)
        return self

    # ---- playing --------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(
        self,
        observation: npt.NDArray[np.float32],
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        observation = np.asarray(observation, dtype=np.float32)
        single = observation.ndim == 1
        batch = torch.as_tensor(observation[None] if single else observation, device=self.device)
        if state is None:
            state = self._initial_state(len(batch), self._live)
        elif episode_start is not None and np.any(episode_start):
            mask = torch.as_tensor(np.asarray(episode_start, dtype=bool), device=self.device)
            state = where_rows(mask, self._initial_state(len(batch), self._live), state)
        outputs, state = self.network(batch[None], state)
        actions = self._choose(outputs[0], self._live, deterministic)
        return (actions[0] if single else actions), state

    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        return self.respond(task or self.task, episodes, generator)[1]

    @torch.no_grad()
    def respond(
        self, task: Task, episodes: Episodes, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Play a batch of episodes from fresh memory.

        Returns:
            The network's outputs (T, B, K) and the actions (T, B, ...).
        """
        generator = generator or self._fresh_generator()
        self.network.eval()
        if task.closed_loop:
            return self._play(task, episodes, generator)
        parts = []
        for first in range(0, episodes.batch_size, _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            inputs = torch.as_tensor(episodes.observations[:, rows], device=self.device)
            # One start state per row, in order, so that a row's start is the same in any batch.
            parts.append(self.network(inputs, self._initial_state(inputs.shape[1], generator))[0])
        outputs = torch.cat(parts, dim=1)
        best = outputs.argmax(-1) if self._discrete else outputs
        return outputs, best.cpu().numpy()

    def _play(
        self, task: Task, episodes: Episodes, generator: torch.Generator
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        state = self._initial_state(episodes.batch_size, generator)
        rows = np.arange(episodes.batch_size)
        outputs, actions = [], []
        for step in range(episodes.num_steps):
            seen = torch.as_tensor(episodes.observations[step][None], device=self.device)
            output, state = self.network(seen, state)
            outputs.append(output[0])
            actions.append(self._choose(output[0], generator, deterministic=True))
            task.advance(episodes, np.full_like(rows, step), rows, actions[-1])
        return torch.stack(outputs), np.stack(actions)

    def _initial_state(self, batch_size: int, generator: torch.Generator) -> Any:
        return self.network.initial_state(batch_size, generator)

    def _choose(
        self, outputs: torch.Tensor, generator: torch.Generator, deterministic: bool
    ) -> npt.NDArray[Any]:
        """Actions (B, ...) of outputs (B, K). Where a network prefers nothing, it picks at random."""
        if not self._discrete:
            space = cast(spaces.Box, self.action_space)
            return np.clip(outputs.cpu().numpy(), space.low, space.high)
        draws = torch.rand(outputs.shape, generator=generator).to(outputs.device)
        indifferent = (outputs == outputs[:, :1]).all(-1, keepdim=True)
        gumbel = -torch.log(-torch.log(draws.clamp(1e-12, 1 - 1e-7)))
        noise = gumbel * indifferent if deterministic else gumbel
        return (outputs + noise).argmax(-1).cpu().numpy()

    # ---- files ----------------------------------------------------------------------------------

    def num_parameters(self) -> dict[str, int]:
        slow = sum(p.numel() for p in self.network.parameters())
        state = self._initial_state(1, self._fresh_generator())
        return {"slow": slow, "fast": sum(t.numel() for t in _tensors(state))}

    def save(self, path: str | os.PathLike[str]) -> None:
        save_atomically(_header(self) | {"weights": self.network.state_dict()}, path)

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs: the agent as saved, and the learner's progress."""
        return _header(self) | {
            "weights": self.network.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `training_state()`."""
        self.network.load_state_dict(state["weights"])
        self.learner.load_state_dict(state["learner"])


def _header(agent: Agent) -> dict[str, Any]:
    """What a file says of the agent in it, in types that `torch.load(weights_only=True)` takes."""
    task = agent.task
    return {
        "format": NetworkAgent._FORMAT,
        "agent": agent.name,
        "seed": agent.seed,
        "task": f"{type(task).__module__}:{type(task).__qualname__}",
        "task_kwargs": dict(task.describe()),
        "network_kwargs": getattr(agent, "network_kwargs", {}),
    }


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state for tensor in _tensors(part)]


class _ProgressBar:
    """A callback that shows progress and the current score, and passes everything on."""

    def __init__(self, inner: Callback | None, updates: int, done: int, name: str) -> None:
        self._inner = inner
        self._bar = tqdm(total=updates, initial=done, desc=name, unit="update", dynamic_ncols=True)
        self._shown: dict[str, str] = {}

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool | None:
        if "train/score" in row:
            self._shown["train"] = f"{row['train/score']:.3f}"
            self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(update - self._bar.n)
        return self._inner.on_update(agent, update, row) if self._inner else None

    def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
        self._shown["validation"] = f"{row['eval/score']:.3f}"
        self._bar.set_postfix(self._shown)
        if self._inner:
            self._inner.on_evaluation(agent, update, row)
