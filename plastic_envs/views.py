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
from plastic_envs.itinerary import Itinerary, itinerary
from plastic_envs.step_records import INFO_OF_STEPS, StepRecords, info_arrays, nothing
from plastic_envs.streams import RowStreams, episode_seeds

__all__ = ["RENDER_MODES", "TaskEnv", "TaskVectorEnv", "build_task"]

RENDER_MODES = ("rgb_array", "ansi")
_PICTURES_PER_SECOND = 4
# A refill of the vector environment makes about this many episodes at once, or as many as take this much
# memory.
_EPISODES_AHEAD = 1024
_BYTES_AHEAD = 64 * 2**20
# It reads this many steps at once, or as many as make this many steps of one environment. After `reset` it
# begins with a few, so that little is read in vain where episodes are broken off.
_MOST_PAGES, _MOST_STEPS, _FIRST_PAGES = 128, 2**13, 8

_Page = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], dict[str, Any]]  # observations, over, info


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
        over = self._over()
        info: dict[str, Any] = {}
        for name, source in info_arrays(self.task, self.episodes).items():
            value = np.array(source[0 if over else self._step, 0])
            if over:
                value[...] = nothing(name, value.dtype)
            info[name] = value if value.ndim else value.item()
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


class TaskVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """`num_envs` episodes side by side, each environment with its own stream of seeds.

    Autoreset is Gymnasium's NEXT_STEP: the step after an environment's last one starts its next
    episode; its action is not used and its reward is 0, so learners mask that step. `info` holds the fields
    of `TaskEnv`'s as arrays, with Gymnasium's `_name` masks. What a step returns may be kept or changed: no
    other step shows it, and the environment does not read it.

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
        # Environment b owns columns b, num_envs + b, 2 num_envs + b, ...
        self._slots = 0  # known once the first episode has shown how much memory one takes
        self._generators: list[np.random.Generator] = []
        self._records: StepRecords | None = None
        self._seeds = np.zeros(0, dtype=np.uint64)  # of the episodes in the columns
        # Where the environments go from row 0, and what they play there.
        self._ahead: Itinerary | None = None
        self._row = 0  # the present
        self._columns = np.arange(num_envs)
        self._left = np.zeros(num_envs, dtype=np.int64)  # steps
        self._numbers = np.full(num_envs, -1)
        self._made = np.full(num_envs, -1)  # number of the last episode made
        # What is shown in the rows that have been read and not yet handed out, the next one last.
        self._pages: list[_Page] = []
        self._pages_at_once = _FIRST_PAGES
        self._most_pages = max(1, min(_MOST_PAGES, _MOST_STEPS // num_envs))
        self._info_names: list[str] = []
        self._asked: Any = slice(None)  # the environments whose actions have an effect: indices, or all
        self._actions: list[npt.NDArray[Any]] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode in every environment; environment b is seeded with `seed + b`.

        `options` are as in `TaskEnv.reset`, for all environments alike.
        """
        task = _next_task(self.task if seed is None else self._first_task, options)
        seeds = seed if isinstance(seed, list) else [
            None if seed is None else seed + b for b in range(self.num_envs)
        ]  # fmt: skip
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments.")
        self._arrive()
        self._left[:] = 0
        if seed is not None or task is not self.task:
            self._made -= self._numbers + 1
            self._numbers[:] = -1
        if task is not self.task and self._records is not None:
            # Episodes made ahead are made again of the same seeds, as if the other task had been there.
            self._records = StepRecords(task, task.generate(RowStreams(self._seeds)))
        self.task = task
        if seed is not None or not self._generators:
            if seed is not None:
                self._np_random_seed = seeds[0]
            self._generators = [seeding.np_random(s)[0] for s in seeds]
            self._made[:] = self._numbers
        # Every entry of `info` has Gymnasium's mask, which tells which environments it is given for.
        names = (*INFO_OF_STEPS, *self.task.info_facts, "episode")
        self._info_names = [entry for name in names for entry in (name, f"_{name}")]
        self._look_ahead()
        self._pages, self._pages_at_once = [], _FIRST_PAGES
        self._actions = []
        observations, _, info = self._next_page()
        return observations, info

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
        if self._ahead is None or self._records is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        actions = np.asarray(actions)
        if len(actions) != self.num_envs:
            raise ValueError(f"{len(actions)} actions for {self.num_envs} environments.")
        rewards = np.zeros(self.num_envs)
        columns = self._ahead.columns[self._row][self._asked]
        if len(columns):
            steps, answers = self._ahead.steps[self._row][self._asked], actions[self._asked]
            episodes = self._records.episodes
            rewards[self._asked] = self.task.reward(episodes, steps, columns, answers)
            if self.task.closed_loop:
                self.task.advance(episodes, steps, columns, answers)
        if self.render_mode is not None:
            self._actions.append(actions.copy())
        observations, over, info = self._next_page()
        return observations, rewards, over, np.zeros(self.num_envs, dtype=bool), info

    def render(self) -> tuple[Any, ...] | None:
        """One picture (or text) per environment."""
        if self._ahead is None or self._records is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        episodes = self._records.episodes
        columns, steps = self._ahead.columns[self._row], self._ahead.steps[self._row]
        frames = []
        for b in range(self.num_envs):
            taken = self._actions[len(self._actions) - steps[b] :]
            past = np.array([a[b] for a in taken], dtype=self.single_action_space.dtype)
            past = past.reshape(-1, *(self.single_action_space.shape or ()))
            frames.append(_drawn(self.task, self.render_mode, episodes, columns[b], steps[b], past))
        return None if self.render_mode is None else tuple(frames)

    def _next_page(self) -> _Page:
        """Go a step on; what is shown there."""
        assert self._ahead is not None
        if self._row + 1 == len(self._ahead.over):
            self._arrive()
            self._look_ahead()
        self._row += 1
        if not self._pages:
            self._read_pages()
        page = self._pages.pop()
        _, over, info = page
        if not (self.task.pays_unweighted or self.task.closed_loop):
            self._asked = info["weight"].nonzero()[0]
        else:
            self._asked = (~over).nonzero()[0] if np.count_nonzero(over) else slice(None)
        return page

    def _read_pages(self) -> None:
        """Read what is shown now; where it does not depend on actions, what is shown in later rows too."""
        assert self._ahead is not None
        assert self._records is not None
        one = self.task.closed_loop
        rows = self._row if one else slice(self._row, self._row + self._pages_at_once)
        self._pages_at_once = min(2 * self._pages_at_once, _MOST_PAGES)
        over = self._ahead.over[rows].copy()
        observations, told = self._records.read(self._ahead.positions[rows], over)
        told.append(self._numbers + self._ahead.begun[rows])
        masks = np.empty((len(told), *over.shape), dtype=bool)
        masks.fill(True)
        entries: list[Any] = [None] * len(self._info_names)
        entries[::2], entries[1::2] = told, masks
        names = self._info_names
        if one:
            self._pages.append((observations, over, dict(zip(names, entries, strict=True))))
            return
        pages = zip(observations, over, zip(*entries, strict=False), strict=False)
        self._pages = [(seen, ended, dict(zip(names, page, strict=True))) for seen, ended, page in pages]
        self._pages.reverse()

    def _arrive(self) -> None:
        """Make the present row 0."""
        if self._ahead is None or self._records is None:
            return
        self._columns = self._ahead.columns[self._row]
        self._left = self._records.episodes.lengths[self._columns] - self._ahead.steps[self._row]
        self._numbers += self._ahead.begun[self._row]
        self._row, self._ahead = 0, None

    def _look_ahead(self) -> None:
        """Work out where the environments go from here, making more episodes where one has none left."""
        if not (self._left + self._made - self._numbers).all():
            self._refill()
        assert self._records is not None
        lengths = self._records.episodes.lengths
        # Where an episode is over, its column too may hold a new one: the last before it goes round again.
        later = self.num_envs * np.arange(min(self._slots + 1, self._most_pages + 2))[:, None]
        columns = (self._columns + later) % len(lengths)
        ahead = self._made - self._numbers
        self._ahead = itinerary(lengths, columns, self._left, ahead, self._most_pages)

    def _refill(self) -> None:
        """Fill every column that no environment is playing or has still ahead."""
        if self._slots == 0:
            one = _num_bytes(self.task.generate(RowStreams(np.zeros(1, dtype=np.uint64))))
            most = 1 + -(-_EPISODES_AHEAD // self.num_envs)
            # Episodes that are too large to hold any ahead are made when they are needed, one slot per
            # environment.
            self._slots = max(1, min(most, _BYTES_AHEAD // (one * self.num_envs)))
        batch = self._slots * self.num_envs
        ahead = self._made - self._numbers
        missing = self._slots - ahead - (self._left > 0)
        seeds = [episode_seeds(self._generators[b], int(missing[b])) for b in np.flatnonzero(missing)]
        # The columns to fill, environment by environment, each from the one after its last.
        env = np.repeat(np.arange(self.num_envs), missing)
        nth = np.arange(len(env)) - np.repeat(np.cumsum(missing) - missing, missing)
        columns = (self._columns[env] + (1 + ahead[env] + nth) * self.num_envs) % batch
        order = np.argsort(columns)
        columns, seeds_there = columns[order], np.concatenate(seeds)[order]
        made = self.task.generate(RowStreams(seeds_there))
        if self._records is None or len(columns) == batch:
            self._records, self._seeds = StepRecords(self.task, made), seeds_there
        else:
            self._records.overwrite(columns, made)
            self._seeds[columns] = seeds_there
        self._made += missing


def _num_bytes(episodes: Episodes) -> int:
    """Memory of the arrays that grow with the length of episodes."""
    arrays = [getattr(episodes, name) for name in Episodes._TIME_FIRST]
    return sum(array.nbytes for array in (*arrays, *episodes.step_facts.values()))
