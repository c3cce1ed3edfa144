"""Gymnasium's two views of a task. Neither knows any task by name.

`TaskEnv` plays one episode a step at a time. `TaskVectorEnv` plays `num_envs` side by side
straight from the arrays, which is what makes `gym.make_vec` fast. Environment b of a vector environment
seeded with s plays what `TaskEnv` seeded with s + b plays; episode b of
`task.sample(np.random.default_rng(s), B)` is the b-th episode of `TaskEnv` seeded with s.
"""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plastic_envs.core import Episodes, Task
from plastic_envs.streams import RowStreams, episode_seeds

__all__ = ["RENDER_MODES", "TaskEnv", "TaskVectorEnv", "build_task"]

RENDER_MODES = ("rgb_array", "ansi")
_PICTURES_PER_SECOND = 4
# A refill of the vector environment makes about this many episodes at once, or as many as take this much
# memory.
_EPISODES_AHEAD = 1024
_BYTES_AHEAD = 64 * 2**20


def build_task(task: Task | str, **kwargs: Any) -> Task:
    """The task itself, or the one named by "package.module:Class", made with `kwargs`."""
    if isinstance(task, Task):
        if kwargs:
            raise ValueError(
                f"arguments {sorted(kwargs)} were given beside a finished task; pass them to it."
            )
        return task
    module, _, name = task.partition(":")
    made = getattr(importlib.import_module(module), name)(**kwargs)
    if not isinstance(made, Task):
        raise TypeError(f"{task!r} made a {type(made).__name__}; expected a plastic_envs.Task.")
    return made


def _check_render_mode(render_mode: str | None) -> str | None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode={render_mode!r}: expected one of {RENDER_MODES} or None.")
    return render_mode


def _drawn(
    task: Task, mode: str | None, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8] | str | None:
    if mode is None:
        gym.logger.warn(
            "render() was called without a render_mode; pass render_mode='rgb_array' to gym.make."
        )
        return None
    draw = task.render_frame if mode == "rgb_array" else task.render_text
    return draw(episodes, row, step, actions)


class TaskEnv(gym.Env[npt.NDArray[Any], Any]):
    """One episode at a time.

    `info` describes the observation that it comes with: `target` (the right response to it; -1 where nothing
    is right), `weight` (0.0 where the step does not count), `period` (index into `task.periods`), `reset`
    (whether an agent should forget its activity before this step), `episode` (number of the episode, from 0,
    since a seed was given or `options` changed the task), and the task's own `info_facts`.
    An episode ends with `terminated`; the observation and facts after the last step are zeros (target -1).

    Args:
        task: A task, or "module:Class" with its arguments in `kwargs`.
        render_mode: "rgb_array", "ansi" or None.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": _PICTURES_PER_SECOND}

    def __init__(self, task: Task | str, render_mode: str | None = None, **kwargs: Any) -> None:
        self.render_mode = _check_render_mode(render_mode)
        self.task = self._first_task = build_task(task, **kwargs)
        self.observation_space = self.task.observation_space
        self.action_space = self.task.action_space
        self._episodes: Episodes | None = None
        self._episode = -1
        self._step = 0
        self._actions: list[Any] = []

    @property
    def episodes(self) -> Episodes:
        """The episode being played, as a batch of one (all of it: targets and facts too)."""
        if self._episodes is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        return self._episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start the next episode.

        Args:
            seed: Start over with this seed, and with the task that the environment was made with.
            options: What the task makes of them (`Task.with_options`) holds until a seed or other options
                are given.
        """
        super().reset(seed=seed)
        task = _next_task(self.task if seed is None else self._first_task, options)
        self._episode = 0 if seed is not None or task is not self.task else self._episode + 1
        self.task = task
        self._episodes = self.task.sample(self.np_random, 1)
        self._step = 0
        self._actions = []
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Answer the current observation; returns the next one and the reward of the answer."""
        episodes = self.episodes
        if self._step >= episodes.lengths[0]:
            raise gym.error.ResetNeeded("the episode is over; call reset() first.")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in the action space {self.action_space}.")
        steps, rows = np.array([self._step]), np.array([0])
        actions = np.asarray(action)[None]
        reward = float(self.task.reward(episodes, steps, rows, actions)[0])
        self.task.advance(episodes, steps, rows, actions)
        self._actions.append(np.asarray(action).copy())
        self._step += 1
        terminated = bool(self._step >= episodes.lengths[0])
        return self._observation(), reward, terminated, False, self._info()

    def render(self) -> Any:
        """The episode at the current step, in the mode asked for at construction."""
        shape = self.action_space.shape or ()
        actions = np.array(self._actions, dtype=self.action_space.dtype).reshape(-1, *shape)
        return _drawn(self.task, self.render_mode, self.episodes, 0, self._step, actions)

    def _over(self) -> bool:
        return bool(self._step >= self.episodes.lengths[0])

    def _observation(self) -> npt.NDArray[np.float32]:
        if self._over():
            return np.zeros(self.observation_space.shape or (), dtype=np.float32)
        return np.array(self.episodes.observations[self._step, 0])

    def _info(self) -> dict[str, Any]:
        over = np.array([self._over()])
        facts = _step_facts(self.task, self.episodes, (np.where(over, 0, self._step), np.array([0])), over)
        info = {name: value[0].item() if value.ndim == 1 else value[0] for name, value in facts.items()}
        return info | {"episode": self._episode}


def _next_task(task: Task, options: dict[str, Any] | None) -> Task:
    """The task to go on with; it may not change what observations and actions are."""
    chosen = task.with_options(options) if options else task
    for name in ("observation_space", "action_space"):
        ours, theirs = getattr(task, name), getattr(chosen, name)
        if ours != theirs:
            raise ValueError(
                f"reset options {options} change the {name} from {ours} to {theirs}; make a new environment."
            )
    return chosen


def _step_facts(
    task: Task, episodes: Episodes, at: tuple[Any, Any], over: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    """What `info` tells of the observations at the index `at` = (steps, rows); copies, each (K, ...).

    Args:
        task: Names the facts.
        episodes: What is being played.
        at: Steps and rows; for episodes that are over, any step that exists.
        over: (K,), whether the episode is over, so that there is nothing to tell: zeros, and -1 as target.
    """
    sources = {
        "target": episodes.targets,
        "weight": episodes.weights,
        "period": episodes.periods,
        "reset": episodes.resets,
        **{name: episodes.step_facts[name] for name in task.info_facts},
    }
    facts = {name: np.array(source[at]) for name, source in sources.items()}
    if np.count_nonzero(over):
        for name, value in facts.items():
            value[over] = -1 if name == "target" and value.dtype.kind == "i" else 0
    return facts


class TaskVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """`num_envs` episodes side by side, each environment with its own stream of seeds.

    Autoreset is Gymnasium's NEXT_STEP: the step after an environment's last one starts its next
    episode; its action is not used and its reward is 0, so learners mask that step. `info` holds the fields
    of `TaskEnv`'s as arrays, with Gymnasium's `_name` masks.

    Args:
        task: A task, or "module:Class" with its arguments in `kwargs`.
        num_envs: Number of episodes side by side.
        render_mode: "rgb_array", "ansi" or None.
    """

    metadata = {
        "render_modes": list(RENDER_MODES),
        "render_fps": _PICTURES_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, task: Task | str, num_envs: int = 1, render_mode: str | None = None, **kwargs: Any
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: expected at least 1.")
        self.render_mode = _check_render_mode(render_mode)
        self.task = self._first_task = build_task(task, **kwargs)
        self.num_envs = num_envs
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        # Each environment owns `slots` columns of one batch of episodes and goes round them; when one runs
        # out, all used columns are filled again at once. Making episodes ahead changes nothing in
        # them (an episode depends on its seed only) and pays the overhead of NumPy calls once for many.
        self._slots = 0  # known once the first episode has shown how much memory one takes
        self._generators: list[np.random.Generator] = []
        self._episodes: Episodes | None = None
        self._seeds = np.zeros(0, dtype=np.uint64)  # of the episodes in the columns
        self._numbers = np.full(num_envs, -1)
        self._fresh = np.zeros(num_envs, dtype=np.int64)  # columns ahead that have not been played
        self._slot = np.zeros(num_envs, dtype=np.int64)
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._env_index = np.arange(num_envs)
        self._was_over = np.zeros(num_envs, dtype=bool)
        self._num_over = 0
        # Whether all environments are at the same step of the same slot, as they stay for ever if all
        # episodes are equally long: reading a step is then one slice of each array.
        self._in_step = True
        self._all_true = np.ones(num_envs, dtype=bool)
        self._actions: list[npt.NDArray[Any]] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode in every environment; environment b is seeded with `seed + b`.

        `options` are as in `TaskEnv.reset`, for all environments alike.
        """
        task = _next_task(self.task if seed is None else self._first_task, options)
        if seed is not None or task is not self.task:
            self._numbers[:] = -1
        if task is not self.task and self._episodes is not None:
            # Episodes made ahead are made again of the same seeds, as if the other task had been there.
            self._episodes = task.generate(RowStreams(self._seeds))
        self.task = task
        if seed is not None or not self._generators:
            seeds = seed if isinstance(seed, list) else [
                None if seed is None else seed + b for b in range(self.num_envs)
            ]  # fmt: skip
            if len(seeds) != self.num_envs:
                raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments.")
            if seed is not None:
                self._np_random_seed = seeds[0]
            self._generators = [seeding.np_random(s)[0] for s in seeds]
            self._fresh[:] = 0
        self._next_episode(np.ones(self.num_envs, dtype=bool))
        self._was_over = np.zeros(self.num_envs, dtype=bool)
        self._num_over = 0
        self._actions = []
        return self._observations(), self._info()

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[Any],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Answer the current observations; environments that had ended start anew instead."""
        if self._episodes is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        actions = np.asarray(actions)
        if len(actions) != self.num_envs:
            raise ValueError(f"{len(actions)} actions for {self.num_envs} environments.")
        if self._num_over == 0:
            rewards = self._answer(self._steps, self._columns(), actions)
            self._steps += 1
        else:
            live = ~self._was_over
            rewards = np.zeros(self.num_envs, dtype=np.float32)
            if live.any():
                rewards[live] = self._answer(self._steps[live], self._columns()[live], actions[live])
                self._steps[live] += 1
            self._next_episode(~live)
        if self.render_mode is not None:
            self._actions.append(actions.copy())
        self._was_over = over = self._steps >= self._episodes.lengths[self._columns()]
        self._num_over = int(np.count_nonzero(over))
        return (
            self._observations(), rewards.astype(np.float64), over.copy(),
            np.zeros(self.num_envs, dtype=bool), self._info(),
        )  # fmt: skip

    def render(self) -> tuple[Any, ...] | None:
        """One picture (or text) per environment."""
        if self._episodes is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        columns = self._columns()
        frames = []
        for b in range(self.num_envs):
            taken = self._actions[len(self._actions) - self._steps[b] :]
            past = np.array([a[b] for a in taken], dtype=self.single_action_space.dtype)
            past = past.reshape(-1, *(self.single_action_space.shape or ()))
            frames.append(
                _drawn(self.task, self.render_mode, self._episodes, columns[b], self._steps[b], past)
            )
        return None if self.render_mode is None else tuple(frames)

    def _answer(
        self, steps: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], actions: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        assert self._episodes is not None
        rewards = self.task.reward(self._episodes, steps, columns, actions)
        if self.task.closed_loop:
            self.task.advance(self._episodes, steps, columns, actions)
        return rewards

    def _columns(self) -> npt.NDArray[np.int64]:
        return self._slot * self.num_envs + self._env_index

    def _next_episode(self, envs: npt.NDArray[np.bool_]) -> None:
        """Move the marked environments to their next episode, making more where one has none left."""
        if (self._fresh[envs] == 0).any():
            self._refill(envs)
        self._slot[envs] = (self._slot[envs] + 1) % self._slots
        self._fresh[envs] -= 1
        self._numbers[envs] += 1
        self._steps[envs] = 0
        self._in_step = bool((self._slot == self._slot[0]).all() and (self._steps == self._steps[0]).all())

    def _refill(self, envs: npt.NDArray[np.bool_]) -> None:
        """Fill every column that no environment is playing or has still ahead."""
        if self._slots == 0:
            one = _num_bytes(self.task.generate(RowStreams(np.zeros(1, dtype=np.uint64))))
            most = 1 + -(-_EPISODES_AHEAD // self.num_envs)
            # Episodes that are too large to hold any ahead are made when they are needed, one slot per
            # environment.
            self._slots = max(1, min(most, _BYTES_AHEAD // (one * self.num_envs)))
        playing = 0 if self._episodes is None else (~envs).astype(np.int64)
        missing = self._slots - self._fresh - playing
        ahead_of, seeds_of = [], []
        for b in np.flatnonzero(missing):
            ahead_slots = (self._slot[b] + 1 + self._fresh[b] + np.arange(missing[b])) % self._slots
            ahead_of.append(ahead_slots * self.num_envs + b)
            seeds_of.append(episode_seeds(self._generators[b], int(missing[b])))
        columns, seeds = np.concatenate(ahead_of), np.concatenate(seeds_of)
        order = np.argsort(columns)
        columns, seeds = columns[order], seeds[order]
        made = self.task.generate(RowStreams(seeds))
        if self._episodes is None:
            self._seeds = np.zeros(len(columns), dtype=np.uint64)
        self._seeds[columns] = seeds
        if self._episodes is None or len(columns) == self._episodes.batch_size:
            self._episodes = made
        else:
            self._episodes = _overwritten(self._episodes, columns, made)
        self._fresh += missing

    def _here(self) -> tuple[Any, Any]:
        """Index (steps, columns) of what the environments show; any step where an episode is over."""
        if self._in_step and self._num_over in (0, self.num_envs):
            first = int(self._slot[0]) * self.num_envs
            return 0 if self._num_over else int(self._steps[0]), slice(first, first + self.num_envs)
        return np.where(self._was_over, 0, self._steps) if self._num_over else self._steps, self._columns()

    def _observations(self) -> npt.NDArray[np.float32]:
        assert self._episodes is not None
        observations = np.array(self._episodes.observations[self._here()])
        if self._num_over:
            observations[self._was_over] = 0.0
        return observations

    def _info(self) -> dict[str, Any]:
        assert self._episodes is not None
        info: dict[str, Any] = {}
        for name, value in _step_facts(self.task, self._episodes, self._here(), self._was_over).items():
            info[name] = value
            info[f"_{name}"] = self._all_true.copy()
        return info | {"episode": self._numbers.copy(), "_episode": self._all_true.copy()}


def _num_bytes(episodes: Episodes) -> int:
    """Memory of the arrays that grow with the length of episodes."""
    arrays = [getattr(episodes, name) for name in Episodes._TIME_FIRST]
    return sum(array.nbytes for array in (*arrays, *episodes.step_facts.values()))


def _overwritten(old: Episodes, columns: npt.NDArray[np.int64], new: Episodes) -> Episodes:
    """`old` with `new`'s episodes in the given columns, padded in time to the longer of the two."""

    def merged(a: npt.NDArray[Any], b: npt.NDArray[Any], time_first: bool) -> npt.NDArray[Any]:
        if not time_first:
            a[columns] = b
            return a
        if len(b) > len(a):
            a = np.concatenate((a, np.zeros((len(b) - len(a), *a.shape[1:]), dtype=a.dtype)))
        a[: len(b), columns] = b
        a[len(b) :, columns] = 0
        return a

    return Episodes(
        **{name: merged(getattr(old, name), getattr(new, name), True) for name in Episodes._TIME_FIRST},
        lengths=merged(old.lengths, new.lengths, False),
        facts={k: merged(v, new.facts[k], False) for k, v in old.facts.items()},
        step_facts={k: merged(v, new.step_facts[k], True) for k, v in old.step_facts.items()},
    )
