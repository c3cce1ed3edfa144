"""The agent contract: Stable-Baselines3's surface over any network and learner of the suite."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.files import write_tensors
from plastic_agents.learners.base import (
    CallbackLike,
    Callbacks,
    Learner,
    as_callback,
    put_weights,
    weights_of,
)
from plastic_agents.learners.progress import ProgressBar
from plastic_agents.networks.base import Network, where_rows
from plastic_agents.networks.sampling import gumbel
from plastic_agents.seeding import choice_generator, episode_generators, live_generator
from plastic_envs.actions import clip_actions
from plastic_envs.episodes import Episodes
from plastic_envs.naming import name_of
from plastic_envs.task import Task

__all__ = ["Agent", "NetworkAgent", "PlayState", "header", "resolve_device"]

# Episodes, and steps in all, that are evaluated in one pass, to bound memory.
_ROWS_AT_ONCE, _STEPS_AT_ONCE = 100, 400_000


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device of "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:<number>".

    Raises:
        ValueError: If it is another, or one that this machine lacks.
    """
    name = str(device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ValueError(f"device={device!r}: expected 'auto', 'cpu', 'cuda' or 'cuda:<number>'.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= count:
        raise ValueError(
            f"device={device!r}: this machine has {count or 'no'} CUDA device{'s' * (count > 1)}; use 'cpu' "
            "or 'auto'."
        )
    return torch.device(name)


class Agent(ABC):
    """Something that plays a task and may learn it.

    Attributes:
        name: Its name in `plastic_agents.AGENTS`.
        task: The task it was made for.
        seed: Fixes everything random in it.
    """

    def __init__(self, name: str, task: Task, seed: int) -> None:
        self.name, self.task, self.seed = name, task, seed
        # Copies, so that seeding the space of one agent or environment changes no other's draws.
        self.observation_space = copy.deepcopy(task.observation_space)
        self.action_space = copy.deepcopy(task.action_space)

    @abstractmethod
    def learn(
        self,
        total_timesteps: int | None = None,
        callback: CallbackLike = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
        **others: Any,
    ) -> Agent:
        """Learn the task's training split for some more updates, or environment steps.

        Each call trains as much as it is asked to, whatever came before, and its learning-rate schedule
        runs over this call. The optimiser's moments carry over from call to call. After a call the best
        weights of all validations so far are in place; the next call goes on from the last ones, or from
        weights that you have put there yourself.

        Args:
            total_timesteps: Environment steps to learn for; the update that reaches them is the last. (With
                `problem-sequence`, whose updates are whole problems, a problem is broken off and goes on in
                the next call.)
            callback: Called after every update and evaluation: an object with `on_update` or `on_evaluation`
                (see `plastic_agents.Callback`), a function (agent, update, row), or a list of these.
            progress_bar: Show one, with the current score.
            updates: The same in updates. If neither is given: what is left of a call that was broken off, or
                else as many updates as the learner's settings say.
            **others: Refused, with advice: other arguments of Stable-Baselines3's.

        Raises:
            ValueError: If both are given, or one is negative.
            TypeError: If the callback is of another kind, such as one of Stable-Baselines3, or on other
                arguments.
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

        Raises:
            ValueError: If the observation has another shape or is not finite, or the state is of another
                number of environments.

        Random starts and choices come from a generator of the agent's that runs on from call to call: call
        one agent from one thread only, and give each thread an agent of its own (`load`, `copy.deepcopy`).
        """

    @abstractmethod
    def act_on(
        self, episodes: Episodes, task: Task | None = None, generator: torch.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Play a batch of episodes from fresh memory.

        Without a generator, the result for an episode does not depend on the others in the batch.

        Args:
            episodes: Played in place (a closed-loop task writes into them).
            task: Where they come from, if not the agent's own task.
            generator: For random starts and choices, in the order of the rows; by default they come from the
                agent's seed and each episode's own (`Episodes.seeds`).

        Returns:
            Actions (T, B, ...).
        """

    @abstractmethod
    def save(self, path: str | os.PathLike[str], *, optimizer: bool = False) -> None:
        """Write the agent to one file: weights, learner's settings, and how far it has come.

        `plastic_agents.load` reads it.

        Args:
            path: The file.
            optimizer: Keep the optimiser's moments too, and the last weights beside the best ones: about
                four times the size, and `learn` goes on after `load` as if nothing had come between.
        """

    @abstractmethod
    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` (trained) and `fast` (state per episode) entries."""


class PlayState(NamedTuple):
    """State that `NetworkAgent.predict` hands from one call to the next.

    Attributes:
        memory: The network's state, N rows.
        steps: Steps of the episode so far, (N,) int64.
    """

    memory: Any
    steps: npt.NDArray[np.int64]


class NetworkAgent(Agent):
    """A network and the way it learns, under one name.

    Where the task resets activity within an episode, the agent does so: as the episodes say when it is given
    whole ones, as `Task.resets_in` says when it is stepped by `predict`.

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
        self._live = live_generator(seed)

    # ---- learning -------------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: int | None = None,
        callback: CallbackLike = None,
        progress_bar: bool = False,
        *,
        updates: int | None = None,
        **others: Any,
    ) -> NetworkAgent:
        """Learn the training split; see `Agent.learn`."""
        refuse_keywords(others)
        amount, in_steps = amount_of_learning(total_timesteps, updates)
        learner = self.learner
        if amount is None and learner.is_broken_off():
            self._learn(learner.span.end, callback, progress_bar, in_steps=learner.span.in_steps)
        else:
            amount = learner.config.updates if amount is None else amount
            until = amount + (learner.env_steps if in_steps else learner.update)
            self._learn(until, callback, progress_bar, in_steps=in_steps, new_span=True)
        return self

    def learn_until(self, updates: int, callback: CallbackLike = None, progress_bar: bool = False) -> None:
        """Learn until `updates` have been made in all, as a run does that may have been stopped before.

        Where an earlier call with the same end was broken off, its schedule goes on.
        """
        self._learn(updates, callback, progress_bar)

    def _learn(self, until: int, callback: CallbackLike, progress_bar: bool, **how: bool) -> None:
        hooks, steps = as_callback(callback), how.get("in_steps", False)
        done = self.learner.env_steps if steps else self.learner.update
        with ProgressBar(until, done, steps, self.name) if progress_bar else nullcontext() as bar:
            try:
                self.learner.learn(self, until, Callbacks([self._take_task, bar, hooks]), **how)
            finally:
                self._take_task()

    def _take_task(self, *_: Any) -> None:
        self.task = self.learner.task

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
        batch, single = batch_of(self.observation_space, observation)
        if state is None:
            memory = self.network.initial_state(len(batch), self._live)
            steps = np.zeros(len(batch), dtype=np.int64)
        else:
            memory, steps = cast(PlayState, state)
            check_rows(len(steps), len(batch))
            if episode_start is not None and np.any(episode_start):
                begins = np.broadcast_to(np.asarray(episode_start, dtype=bool), len(batch))
                mask = torch.as_tensor(begins.copy(), device=self.device)
                memory = where_rows(mask, self.network.initial_state(len(batch), self._live), memory)
                steps = np.where(begins, 0, steps)
        forgets = self.task.resets_in(batch, steps)
        resets = torch.as_tensor(forgets, device=self.device)[None] if forgets.any() else None
        outputs, memory = self.network(self.tensor(batch[None]), memory, resets)
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
            generator: For random starts and choices, in the order of the rows; by default they come from the
                agent's seed and each episode's own, so that neighbours have no part in them.
            deterministic: Take the best actions, or draw from the policy; None: as the agent was trained to
                play.

        Returns:
            The network's outputs (T, B, K) and the actions (T, B, ...); after an episode's end they may be
            anything.
        """
        if deterministic is None:
            deterministic = not self.learner.samples_actions
        if not np.isfinite(episodes.observations).all():
            raise ValueError("observations are not finite (NaN or infinite); an agent cannot answer them.")
        draws = _Draws(self, episodes, generator, choices=task.closed_loop or not deterministic)
        self.network.eval()
        parts = []
        count = max(1, min(_ROWS_AT_ONCE, _STEPS_AT_ONCE // episodes.num_steps))
        for first in range(0, episodes.batch_size, count):
            # Views of the rows, so that what is written into them is written into the episodes.
            rows = episodes.select(slice(first, first + count))
            play = self._play if task.closed_loop else self._answer
            parts.append(play(task, rows, draws, slice(first, first + rows.batch_size), deterministic))
        outputs, actions = zip(*parts, strict=True)
        return torch.cat(outputs, dim=1), np.concatenate(actions, axis=1)

    def _answer(
        self, task: Task, episodes: Episodes, draws: _Draws, rows: slice, deterministic: bool
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Outputs and actions in episodes whose observations are known beforehand."""
        inputs = self.tensor(episodes.observations)
        lengths = torch.as_tensor(episodes.lengths, device=self.device)
        outputs, _, _ = self.network.run(inputs, draws.starts(rows), self.resets(episodes), lengths)
        if deterministic and self._discrete:
            return outputs, outputs.argmax(-1).cpu().numpy()
        flat = outputs.flatten(0, 1)
        noise = draws.noise(rows, outputs.shape).flatten(0, 1) if self._discrete else flat
        actions = self.choose(flat, noise, deterministic)
        return outputs, actions.reshape(*outputs.shape[:2], *actions.shape[1:])

    def _play(
        self, task: Task, episodes: Episodes, draws: _Draws, rows: slice, deterministic: bool
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Outputs and actions in episodes that answer back."""
        stream = self.network.stream(draws.starts(rows), self.resets(episodes))
        places = np.arange(episodes.batch_size)
        steps, noise = episodes.num_steps, None
        outputs, actions = [], []
        for step in range(steps):
            output = stream.step(self.tensor(episodes.observations[step]))
            if noise is None:
                noise = draws.noise(rows, (steps, *output.shape))
            outputs.append(output)
            actions.append(self.choose(output, noise[step], deterministic))
            task.advance(episodes, np.full_like(places, step), places, actions[-1])
        return torch.stack(outputs), np.stack(actions)

    def tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """The array on the agent's device; floats in the type of the network's parameters."""
        dtype = next(self.network.parameters()).dtype if array.dtype.kind == "f" else None
        return torch.as_tensor(np.ascontiguousarray(array), device=self.device, dtype=dtype)

    def resets(self, episodes: Episodes) -> torch.Tensor | None:
        """The episodes' resets (T, B) on the agent's device; None if there are none."""
        return torch.as_tensor(episodes.resets, device=self.device) if episodes.resets.any() else None

    def choose(self, outputs: torch.Tensor, noise: torch.Tensor, deterministic: bool) -> npt.NDArray[Any]:
        """Actions (B, ...) of outputs (B, K), with the help of Gumbel noise (B, K).

        Where a network prefers nothing, it picks at random.
        """
        if not self._discrete:
            return clip_actions(self.task.action_space, outputs.detach().cpu().numpy())
        noise = noise.to(outputs.device)
        if deterministic:
            noise = noise * (outputs == outputs[:, :1]).all(-1, keepdim=True)
        return np.asarray((outputs + noise).argmax(-1).cpu().numpy())

    # ---- files ----------------------------------------------------------------------------------

    def num_parameters(self) -> dict[str, int]:
        """Numbers of `slow` and `fast` entries."""
        slow = sum(p.numel() for p in self.network.parameters())
        state = self.network.initial_state(1, live_generator(self.seed))
        return {"slow": slow, "fast": sum(t.numel() for t in _tensors(state))}

    def save(self, path: str | os.PathLike[str], *, optimizer: bool = False) -> None:
        """Write the agent to one file; see `Agent.save`."""
        progress = self.learner.state_dict(everything=optimizer)
        content = header(self) | {"weights": weights_of(self.network), "learner": progress}
        write_tensors(path, "agent", content)

    def adopt(self, saved: NetworkAgent) -> None:
        """Take over the weights of another agent with such a network; a value head it lacks stays as it is.

        Raises:
            ValueError: If the networks are not alike.
        """
        if saved.network.value is not None:
            self.network.add_value_head()
            self.network.to(self.device)
        ours, theirs = weights_of(self.network), weights_of(saved.network)
        missing = [name for name in ours if name not in theirs and not name.startswith("value.")]
        wrong = [name for name, w in theirs.items() if name not in ours or ours[name].shape != w.shape]
        if missing or wrong:
            raise ValueError(
                f"the saved network has no {missing} and other {wrong} (by name or shape) than this one; "
                f"give the agent the arguments that the saved one was made with: {saved.network_kwargs}."
            )
        put_weights(self.network, ours | theirs)

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs: the agent as saved, and the learner's progress."""
        return header(self) | {"weights": weights_of(self.network), "learner": self.learner.state_dict()}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `training_state()`, or from what `save` wrote.

        Without a learner's progress in it (shipped networks), learning starts afresh.
        """
        put_weights(self.network, state["weights"])
        if state.get("learner"):
            self.learner.load_state_dict(state["learner"])
            if self.learner.best_weights is None and self.learner.best_update > 0:
                self.learner.keep_as_best(self.network)


class _Draws:
    """Random starts and choices of a batch of episodes.

    Args:
        agent: Who plays.
        episodes: All of them.
        generator: Draws for one row after the other; None: from the agent's seed and each episode's own.
        choices: Whether choices are drawn too.
    """

    def __init__(
        self, agent: NetworkAgent, episodes: Episodes, generator: torch.Generator | None, choices: bool
    ) -> None:
        self._network = agent.network
        self._by_row: list[torch.Generator] | None = None
        if generator is None and episodes.seeds is not None:
            self._by_row = episode_generators(agent.seed, episodes.seeds)
            return
        self._starts = self._choices = generator or live_generator(agent.seed)
        if choices:
            self._choices = choice_generator(self._starts)

    def starts(self, rows: slice) -> Any:
        """The states that rows start with."""
        if self._by_row is None:
            return self._network.initial_state(rows.stop - rows.start, self._starts)
        states = [self._network.initial_state(1, generator) for generator in self._by_row[rows]]
        return type(states[0])(*(torch.cat(parts) for parts in zip(*states, strict=True)))

    def noise(self, rows: slice, shape: Sequence[int]) -> torch.Tensor:
        """Gumbel noise (T, B, K) of rows' choices."""
        if self._by_row is None:
            return gumbel(shape, self._choices)
        one = (shape[0], 1, shape[2])
        return torch.cat([gumbel(one, generator) for generator in self._by_row[rows]], dim=1)


def amount_of_learning(total_timesteps: Any, updates: Any) -> tuple[int | None, bool]:
    """Number of updates, or of environment steps, that `Agent.learn` was asked for, and whether it is steps.

    Raises:
        ValueError: If both are given, or one is negative.
        TypeError: If it is no whole number.
    """
    if total_timesteps is not None and updates is not None:
        raise ValueError(
            f"total_timesteps={total_timesteps} and updates={updates}: both say how long; give one of them."
        )
    name, amount = ("updates", updates) if total_timesteps is None else ("total_timesteps", total_timesteps)
    if amount is None:
        return None, False
    if isinstance(amount, bool) or not float(amount).is_integer():
        raise TypeError(f"{name}={amount!r}: expected a whole number.")
    if amount < 0:
        raise ValueError(f"{name}={amount}: expected 0 or more.")
    return int(amount), name == "total_timesteps"


def batch_of(space: spaces.Box, observation: Any) -> tuple[npt.NDArray[np.float32], bool]:
    """Observations (N, O), and whether a single one (O,) was given.

    Raises:
        ValueError: If the shape is another, or a number is not finite.
    """
    array = np.asarray(observation, dtype=np.float32)
    if array.shape[-1:] != space.shape or array.ndim > 2:
        raise ValueError(
            f"observation of shape {array.shape}: expected {space.shape}, or (N, {space.shape[0]}) from N "
            "environments of the agent's own task."
        )
    if not np.isfinite(array).all():
        raise ValueError("the observation is not finite (NaN or infinite); an agent cannot answer it.")
    return (array[None], True) if array.ndim == 1 else (array, False)


def check_rows(of_state: int, of_observation: int) -> None:
    """Check that a state that `predict` returned is of as many environments as the observation.

    Raises:
        ValueError: If not.
    """
    if of_state != of_observation:
        raise ValueError(
            f"the state is of {of_state} environments, the observation of {of_observation}; pass the state "
            "that was returned for these environments, or None to start."
        )


def refuse_keywords(others: Mapping[str, Any]) -> None:
    """Refuse arguments of Stable-Baselines3's `learn` that have no meaning here, with advice.

    Raises:
        TypeError: If there are any.
    """
    if others:
        raise TypeError(
            f"learn() takes no {sorted(others)}; it takes total_timesteps, callback, progress_bar, updates. "
            "For log_interval there is the learner's setting log_every; counts go on from call to call, as "
            "with reset_num_timesteps=False; TensorBoard files are written by benchmarks/run.py."
        )


def header(agent: Agent) -> dict[str, Any]:
    """Description of an agent for its file; see `plastic_agents.files`."""
    task = agent.task
    return {
        "agent": agent.name,
        "seed": agent.seed,
        "task": name_of(type(task)),
        "task_kwargs": dict(task.describe()),
        "network_kwargs": getattr(agent, "network_kwargs", {}),
        "method": getattr(agent, "method", None),
        "learner_settings": asdict(agent.learner.config) if isinstance(agent, NetworkAgent) else {},
    }


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state for tensor in _tensors(part)]
