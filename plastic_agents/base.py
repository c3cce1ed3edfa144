"""The agent contract: Stable-Baselines3's surface over any network and learner of the suite."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.learner import Callback, Learner
from plastic_agents.networks.base import Network, where_rows
from plastic_agents.progress import ProgressBar
from plastic_agents.sampling import gumbel
from plastic_envs.core import Episodes, Task

__all__ = ["Agent", "NetworkAgent", "PlayState", "header", "resolve_device", "save_atomically"]

# Episodes, and steps in all, that are evaluated in one pass, to bound memory.
_ROWS_AT_ONCE, _STEPS_AT_ONCE = 100, 400_000


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


class PlayState(NamedTuple):
    """What `NetworkAgent.predict` hands from one call to the next.

    Attributes:
        memory: The network's state, N rows.
        steps: Steps of the episode so far, (N,) int64.
    """

    memory: Any
    steps: npt.NDArray[np.int64]


class NetworkAgent(Agent):
    """A network and the way it learns, under one name.

    Where the task resets activity within an episode, the agent does so: as the episodes say when it is given
        whole
    ones, as `Task.resets_in` says when it is stepped by `predict`.

    Args:
        name: Its name in the table of agents.
        task: The task it is made for.
        seed: Fixes initial weights, data and random starts.
        network: The network.
        learner: How it learns.
        network_kwargs: The arguments that made the network, for `save`.
        device: Where it runs.
        method: Name of the way it learns, for `save`; None for the one that belongs to its name.
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
        method: str | None = None,
    ) -> None:
        super().__init__(name, task, seed)
        self.method = method
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
        """Learn the training split; see `Agent.learn`."""
        if updates is None:
            updates = self.learner.config.updates
            if total_timesteps is not None:
                steps = self.task.sample(np.random.default_rng(0), 1).num_steps
                updates = -(-total_timesteps // (steps * self.learner.config.batch_size))
        if progress_bar:
            with ProgressBar(callback, updates, self.learner.update, self.name) as bar:
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
        """Answer observations; see `Agent.predict`."""
        observation = np.asarray(observation, dtype=np.float32)
        single = observation.ndim == 1
        if observation.shape[-1:] != self.observation_space.shape or observation.ndim > 2:
            raise ValueError(
                f"observation of shape {observation.shape}: expected {self.observation_space.shape}, or "
                f"(N, {self.observation_space.shape[0]}) from N environments of the agent's own task."
            )
        batch = torch.as_tensor(observation[None] if single else observation, device=self.device)
        if state is None:
            memory = self._initial_state(len(batch), self._live)
            steps = np.zeros(len(batch), dtype=np.int64)
        else:
            memory, steps = cast(PlayState, state)
            if episode_start is not None and np.any(episode_start):
                begins = np.asarray(episode_start, dtype=bool)
                mask = torch.as_tensor(begins, device=self.device)
                memory = where_rows(mask, self._initial_state(len(batch), self._live), memory)
                steps = np.where(begins, 0, steps)
        forgets = self.task.resets_in(observation.reshape(len(batch), -1), steps)
        resets = torch.as_tensor(forgets, device=self.device)[None] if forgets.any() else None
        outputs, memory = self.network(batch[None], memory, resets)
        actions = self.choose(outputs[0], gumbel(outputs.shape, self._live)[0], deterministic)
        return (actions[0] if single else actions), PlayState(memory, steps + 1)

    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Play episodes from fresh memory; see `Agent.act_on`."""
        return self.respond(task or self.task, episodes, generator)[1]

    @torch.no_grad()
    def respond(
        self,
        task: Task,
        episodes: Episodes,
        generator: torch.Generator | None = None,
        *,
        deterministic: bool | None = None,
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Play a batch of episodes from fresh memory.

        Args:
            task: Where they come from.
            episodes: Played in place (a closed-loop task writes into them).
            generator: For random starts and choices; by default one derived from the agent's seed.
            deterministic: Take the best actions, or draw from the policy; None: as the agent was trained to
                play.

        Returns:
            The network's outputs (T, B, K) and the actions (T, B, ...); after an episode's end they may be
            anything.
        """
        generator = generator or self._fresh_generator()
        if deterministic is None:
            deterministic = not self.learner.samples_actions
        draws = None
        if task.closed_loop or not deterministic:
            # Choices have a generator of their own: an episode's course must not depend on those beside it.
            draws = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator)))
        self.network.eval()
        parts = []
        count = max(1, min(_ROWS_AT_ONCE, _STEPS_AT_ONCE // episodes.num_steps))
        for first in range(0, episodes.batch_size, count):
            # Views of the rows, so that what is written into them is written into the episodes.
            rows = episodes.select(slice(first, first + count))
            # One start state per row, in order, so that a row's start is the same in any batch.
            start = self._initial_state(rows.batch_size, generator)
            play = self._play if task.closed_loop else self._answer
            parts.append(play(task, rows, start, draws, deterministic))
        outputs, actions = zip(*parts, strict=True)
        return torch.cat(outputs, dim=1), np.concatenate(actions, axis=1)

    def _answer(
        self, task: Task, episodes: Episodes, start: Any, draws: torch.Generator | None, deterministic: bool
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Outputs and actions in episodes whose observations are known beforehand."""
        inputs = torch.as_tensor(episodes.observations, device=self.device)
        lengths = torch.as_tensor(episodes.lengths, device=self.device)
        outputs, _, _ = self.network.padded(inputs, start, self.resets(episodes), lengths)
        if deterministic or draws is None or not self._discrete:
            return outputs, (outputs.argmax(-1) if self._discrete else outputs).cpu().numpy()
        noise = gumbel(outputs.shape, draws)
        flat = self.choose(outputs.flatten(0, 1), noise.flatten(0, 1), deterministic)
        return outputs, flat.reshape(outputs.shape[:2])

    def _play(
        self, task: Task, episodes: Episodes, start: Any, draws: torch.Generator | None, deterministic: bool
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Outputs and actions in episodes that answer back."""
        stream = self.network.stream(start, self.resets(episodes))
        rows = np.arange(episodes.batch_size)
        steps, noise = episodes.num_steps, None
        outputs, actions = [], []
        for step in range(steps):
            output = stream.step(torch.as_tensor(episodes.observations[step], device=self.device))
            if noise is None:
                noise = gumbel((steps, *output.shape), cast(torch.Generator, draws))
            outputs.append(output)
            actions.append(self.choose(output, noise[step], deterministic))
            task.advance(episodes, np.full_like(rows, step), rows, actions[-1])
        return torch.stack(outputs), np.stack(actions)

    def resets(self, episodes: Episodes) -> torch.Tensor | None:
        """The episodes' resets (T, B) on the agent's device; None if there are none."""
        return torch.as_tensor(episodes.resets, device=self.device) if episodes.resets.any() else None

    def _initial_state(self, batch_size: int, generator: torch.Generator) -> Any:
        return self.network.initial_state(batch_size, generator)

    def choose(self, outputs: torch.Tensor, noise: torch.Tensor, deterministic: bool) -> npt.NDArray[Any]:
        """Actions (B, ...) of outputs (B, K), with the help of Gumbel noise (B, K).

        Where a network prefers nothing, it picks at random.
        """
        if not self._discrete:
            space = cast(spaces.Box, self.action_space)
            return np.asarray(np.clip(outputs.cpu().numpy(), space.low, space.high))
        noise = noise.to(outputs.device)
        if deterministic:
            noise = noise * (outputs == outputs[:, :1]).all(-1, keepdim=True)
        return np.asarray((outputs + noise).argmax(-1).cpu().numpy())

    # ---- files ----------------------------------------------------------------------------------

    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` and `fast` entries."""
        slow = sum(p.numel() for p in self.network.parameters())
        state = self._initial_state(1, self._fresh_generator())
        return {"slow": slow, "fast": sum(t.numel() for t in _tensors(state))}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the agent to one file."""
        save_atomically(header(self) | {"weights": self.network.state_dict()}, path)

    def adopt(self, saved: NetworkAgent) -> None:
        """Take over the weights of another agent with such a network; a value head it lacks stays as it is.

        Raises:
            ValueError: If the networks are not alike.
        """
        if saved.network.value is not None:
            self.network.add_value_head()
            self.network.to(self.device)
        ours, theirs = self.network.state_dict(), saved.network.state_dict()
        missing = [name for name in ours if name not in theirs and not name.startswith("value.")]
        wrong = [name for name, w in theirs.items() if name not in ours or ours[name].shape != w.shape]
        if missing or wrong:
            raise ValueError(
                f"the saved network has no {missing} and other {wrong} (by name or shape) than this one; "
                f"give the agent the arguments that the saved one was made with: {saved.network_kwargs}."
            )
        self.network.load_state_dict(ours | theirs)

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs: the agent as saved, and the learner's progress."""
        return header(self) | {
            "weights": self.network.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `training_state()`."""
        self.network.load_state_dict(state["weights"])
        self.learner.load_state_dict(state["learner"])


def header(agent: Agent) -> dict[str, Any]:
    """What a file says of the agent in it, in types that `torch.load(weights_only=True)` takes."""
    task = agent.task
    return {
        "format": NetworkAgent._FORMAT,
        "agent": agent.name,
        "seed": agent.seed,
        "task": f"{type(task).__module__}:{type(task).__qualname__}",
        "task_kwargs": dict(task.describe()),
        "network_kwargs": getattr(agent, "network_kwargs", {}),
        "method": getattr(agent, "method", None),
    }


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state for tensor in _tensors(part)]
