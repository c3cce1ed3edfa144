"""Gymnasium's view of a task: many episodes side by side."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plastic_envs.actions import ActionCheck
from plastic_envs.episodes import Episodes
from plastic_envs.registry import build_task
from plastic_envs.resets import environment_seeds, next_task, reset_rows
from plastic_envs.streams import RowStreams, episode_seeds
from plastic_envs.task import Task
from plastic_envs.views.env import _PICTURES_PER_SECOND, RENDER_MODES, TaskEnv, _check_render_mode, _drawn
from plastic_envs.views.itinerary import Itinerary, itinerary
from plastic_envs.views.records import INFO_OF_STEPS, StepRecords

__all__ = ["TaskVectorEnv"]

# A refill of the vector environment makes about this many episodes, or as many as take this much memory (but
# those that are being played), and no more at once.
_EPISODES_AHEAD = 1024

_BYTES_AHEAD = 64 * 2**20

# It reads this many steps at once, or as many as make this many steps of one environment. After `reset` it
# begins with a few, so that little is read in vain where episodes are broken off.
_MOST_PAGES, _MOST_STEPS, _FIRST_PAGES = 128, 2**13, 8

_Page = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], dict[str, Any]]  # observations, over, info


class TaskVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """`num_envs` episodes side by side, each environment with its own stream of seeds.

    Like `SyncVectorEnv` of `TaskEnv`, only faster. `info` holds the fields of `TaskEnv`'s as arrays, with
    Gymnasium's `_name` masks, but not `num_asked` and `num_right`, which would cost a step too much. What a
    step returns may be kept or changed: no other step shows it, and the environment does not read it.

    All environments play one task. So `options`, or a seed, that change it must be given to all of them.

    Args:
        task: A task; or its class or name ("module:Name" or "file.py:Name"), with its arguments in `kwargs`.
        num_envs: Number of episodes side by side.
        render_mode: "rgb_array", "ansi" or None.
        max_episode_steps: Episodes that are longer are truncated after so many steps; None: none is.
        autoreset_mode: What follows an episode's last step. NEXT_STEP: the step after it starts the next
            episode; its action is not used and its reward is 0, so learners mask that step. SAME_STEP: that
            very step shows the next episode's first observation, and the last one in
            `info["final_obs"]` and `info["final_info"]`. DISABLED: nothing, so that `reset` has to be called
            with a `reset_mask`.
    """

    metadata = {
        "render_modes": list(RENDER_MODES),
        "render_fps": _PICTURES_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        task: Task | type[Task] | str | None = None,
        num_envs: int = 1,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        for name, number in {"num_envs": num_envs, "max_episode_steps": max_episode_steps}.items():
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}: expected at least 1.")
        self.render_mode = _check_render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        # Rows of the itinerary in which an episode is over, before the next begins.
        self._pause = 0 if self.autoreset_mode is AutoresetMode.SAME_STEP else 1
        self.task = self._first_task = build_task(task, **kwargs)
        self.num_envs = operator.index(num_envs)
        self.max_episode_steps = None if max_episode_steps is None else operator.index(max_episode_steps)
        self.single_observation_space = deepcopy(self.task.observation_space)
        self.single_action_space: spaces.Discrete | spaces.Box = deepcopy(self.task.action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._checked = ActionCheck(self.single_action_space, self.num_envs)
        # Each environment owns `slots` columns of one batch of episodes and goes round them; when one runs
        # out, all used columns are filled again at once. Making episodes ahead changes nothing in
        # them (an episode depends on its seed only) and pays the overhead of NumPy calls once for many.
        # Environment b owns columns b, num_envs + b, 2 num_envs + b, ...
        self._slots = 0  # known once the first episode has shown how much memory one takes
        self._episode_bytes = 0
        self._records: StepRecords | None = None
        self._seeds = np.zeros(0, dtype=np.uint64)  # of the episodes in the columns
        self._generators: dict[int, tuple[np.random.Generator, int]] = {}  # and their seeds
        # Where the environments are: row `_row` of what was worked out ahead.
        self._ahead: Itinerary | None = None
        self._row = 0
        # Where they were at row 0.
        self._columns = np.arange(self.num_envs)
        self._left = np.zeros(self.num_envs, dtype=np.int64)  # steps left in the present episodes
        self._numbers = np.full(self.num_envs, -1)  # numbers of the present episodes
        self._made = np.full(self.num_envs, -1)  # number of the last episode made
        # What is shown in the rows that have been read and not yet handed out, the next one last.
        self._pages: list[_Page] = []
        self._pages_at_once = _FIRST_PAGES
        self._most_pages = max(1, min(_MOST_PAGES, _MOST_STEPS // self.num_envs))
        self._names: list[str] = []  # what `info` tells
        self._entries: list[str] = []  # the same with the masks
        self._asked: Any = slice(None)  # the environments whose actions have an effect: indices, or all
        self._actions: list[npt.NDArray[Any]] = []
        self._attributes: dict[str, tuple[Any, ...]] = {}

    # ---- reset -------------------------------------------------------------------------------------

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode in every environment. What is refused changes nothing.

        Args:
            seed: Environment b is seeded with `seed + b`, or with `seed[b]`; those of None go on.
            options: As in `TaskEnv.reset`, for all environments alike. A `reset_mask` (num_envs,) among them
                says which start a new episode; the others stay where they are, and `info` has nothing of
                them.

        Raises:
            ValueError: If a seed is no whole number, the task has no such option, or the environments would
                play different tasks.
        """
        fresh, seeds, task = self._asked_reset(seed, options)
        seeded = [b for b in np.flatnonzero(fresh) if seeds[b] is not None or not self._generators]
        generators = {int(b): seeding.np_random(seeds[b]) for b in seeded}
        shown = None if fresh.all() else self._now()[0]
        # Nothing fails from here on.
        self._arrive()
        if task is not self.task:
            self._made -= self._numbers + 1
            self._numbers[:] = -1
            if self._records is not None:
                # Episodes made ahead are made again of the same seeds, as if the other task had been there.
                self._records = StepRecords(task, self._generated(task, self._seeds))
            self.task = task
        for b, generator in generators.items():
            self._generators[b] = generator
            self._made[b] = self._numbers[b] = -1
        self._begin(fresh)
        assert self._records is not None
        nowhere = np.zeros(self.num_envs, dtype=bool)
        observations, told = self._records.read(self._columns, nowhere)
        told.append(self._numbers.copy())
        if shown is None:
            self._actions = []
        else:
            observations[~fresh] = shown[~fresh]
            for values in told:
                values[~fresh] = 0
        # Every entry of `info` has Gymnasium's mask, which tells which environments it is given for.
        self._names = [*INFO_OF_STEPS, *self.task.info_facts, "episode_number"]
        self._entries = [entry for name in self._names for entry in (name, f"_{name}")]
        self._look_ahead(most=0)
        self._pages, self._pages_at_once = [], _FIRST_PAGES
        self._ask(self._now()[1][_WEIGHT])
        return observations, _info(self._names, told, fresh)

    def _asked_reset(
        self, seed: Any, options: dict[str, Any] | None
    ) -> tuple[npt.NDArray[np.bool_], list[int | None], Task]:
        """Which environments start anew, their seeds, and the task to go on with."""
        options = dict(options or {})
        fresh = reset_rows(options.pop("reset_mask", None), self.num_envs)
        seeds = environment_seeds(seed, self.num_envs)
        if self._ahead is None and not fresh.all():
            raise gym.error.ResetNeeded("there is no episode yet; call reset() without a reset_mask first.")
        restarts = [seeds[b] is not None for b in np.flatnonzero(fresh)]
        task = next_task(self._first_task if any(restarts) else self.task, options)
        mixed = any(restarts) and not all(restarts) and self.task is not self._first_task
        if task is not self.task and (mixed or not fresh.all()):
            raise ValueError(
                f"reset with seed={seed!r} and options={options} would give some environments another task; "
                "reset all of them, or make them with vectorization_mode='sync'."
            )
        return fresh, seeds, task

    def _begin(self, fresh: npt.NDArray[np.bool_]) -> None:
        """Put some environments at the first step of their next episode."""
        self._left[fresh] = 0
        if not (self._made - self._numbers)[fresh].all():
            self._refill(self._left > 0 if fresh.all() else (self._left > 0) | ~fresh)
        assert self._records is not None
        lengths = self._durations()
        self._columns = np.where(fresh, (self._columns + self.num_envs) % len(lengths), self._columns)
        self._numbers[fresh] += 1
        self._left[fresh] = lengths[self._columns[fresh]]

    # ---- step --------------------------------------------------------------------------------------

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[Any],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Answer the current observations; environments that had ended start anew instead.

        Raises:
            ValueError: If an action that has an effect is not in the action space.
            ResetNeeded: If there is no episode yet or, where autoreset is disabled, one is over.
        """
        if self._ahead is None or self._records is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        over = None if self._pause == 0 else self._ahead.over[self._row]
        if self.autoreset_mode is AutoresetMode.DISABLED and over is not None and over.any():
            raise gym.error.ResetNeeded(
                f"the episodes of environments {np.flatnonzero(over).tolist()} are over and autoreset is "
                "disabled; call reset(options={'reset_mask': terminated | truncated})."
            )
        actions = self._checked(actions, over)
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
        observations, ended, info = self._next_page()
        truncated = np.zeros(self.num_envs, dtype=bool)
        if (self._pause == 0 or self.max_episode_steps is not None) and np.count_nonzero(ended):
            ended, truncated = self._tell_ends(ended, info)
        return observations, rewards, ended, truncated, info

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

    def _durations(self) -> npt.NDArray[np.int64]:
        """Steps (B,) that are played of the episodes in the columns."""
        assert self._records is not None
        lengths = self._records.episodes.lengths
        return lengths if self.max_episode_steps is None else np.minimum(lengths, self.max_episode_steps)

    def _next_page(self) -> _Page:
        """Go a step on; what is shown there."""
        assert self._ahead is not None
        if self._row + 1 == len(self._ahead.over):
            self._arrive()
            self._look_ahead(self._most_pages)
        self._row += 1
        if not self._pages:
            self._read_pages()
        page = self._pages.pop()
        self._ask(page[2]["weight"])
        return page

    def _ask(self, weights: npt.NDArray[np.float32]) -> None:
        """Work out whose actions have an effect in the present row."""
        assert self._ahead is not None
        over = self._ahead.over[self._row]
        if self.task.pays_unweighted or self.task.closed_loop:
            waiting = self._pause == 1 and np.count_nonzero(over) > 0
            self._asked = (~over).nonzero()[0] if waiting else slice(None)
        else:
            # The weight is 0 where an episode is over, but not where it was broken off.
            broken_off = self._pause == 1 and self.max_episode_steps is not None
            self._asked = (weights * ~over if broken_off else weights).nonzero()[0]

    def _now(self) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
        """What is shown in the present row."""
        assert self._ahead is not None
        assert self._records is not None
        return self._records.read(self._ahead.positions[self._row], self._blank(self._row))

    def _blank(self, rows: Any) -> npt.NDArray[np.bool_]:
        """Where nothing is left to be shown: the episode is over, and was not broken off."""
        assert self._ahead is not None
        assert self._records is not None
        over: npt.NDArray[np.bool_] = self._ahead.over[rows]
        if self._pause == 0:
            return np.zeros_like(over)
        if self.max_episode_steps is None:
            return over
        over = over.copy()
        lengths = self._records.episodes.lengths
        over &= self._ahead.steps[rows] >= lengths[self._ahead.columns[rows]]
        return over

    def _read_pages(self) -> None:
        """Read what is shown now; where it does not depend on actions, what is shown in later rows too."""
        assert self._ahead is not None
        assert self._records is not None
        one = self.task.closed_loop
        rows = self._row if one else slice(self._row, self._row + self._pages_at_once)
        self._pages_at_once = min(2 * self._pages_at_once, _MOST_PAGES)
        over = self._ahead.over[rows].copy()
        observations, told = self._records.read(self._ahead.positions[rows], self._blank(rows))
        told.append(self._numbers + self._ahead.begun[rows])
        masks = np.empty((len(told), *over.shape), dtype=bool)
        masks.fill(True)
        entries: list[Any] = [None] * 2 * len(told)
        entries[::2], entries[1::2] = told, masks
        names = self._entries
        if one:
            self._pages.append((observations, over, dict(zip(names, entries, strict=True))))
            return
        pages = zip(observations, over, zip(*entries, strict=False), strict=False)
        self._pages = [(seen, ended, dict(zip(names, page, strict=True))) for seen, ended, page in pages]
        self._pages.reverse()

    def _tell_ends(
        self, ended: npt.NDArray[np.bool_], info: dict[str, Any]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which episodes have come to their end and which to the limit of steps; adds the final infos."""
        assert self._ahead is not None
        assert self._records is not None
        at = np.flatnonzero(ended)
        lengths = self._records.episodes.lengths
        # Without a pause this row shows the next episode, and the one before the last step of this one.
        row, more = (self._row, 0) if self._pause else (self._row - 1, 1)
        columns, steps = self._ahead.columns[row][at], self._ahead.steps[row][at] + more
        terminated, truncated = np.zeros_like(ended), np.zeros_like(ended)
        terminated[at] = steps >= lengths[columns]
        if self.max_episode_steps is not None:
            truncated[at] = steps >= self.max_episode_steps
        if not self._pause:
            seen, told = self._records.read(steps * len(lengths) + columns, terminated[at])
            told.append(self._numbers[at] + self._ahead.begun[row][at])
            final: list[npt.NDArray[Any]] = []
            for values in told:
                final.append(np.zeros((self.num_envs, *values.shape[1:]), dtype=values.dtype))
                final[-1][at] = values
            info["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for b, observation in zip(at, seen, strict=True):
                info["final_obs"][b] = observation.copy()
            info["final_info"] = _info(self._names, final, ended)
            info["_final_obs"], info["_final_info"] = ended.copy(), ended.copy()
        return terminated, truncated

    # ---- episodes made ahead -----------------------------------------------------------------------

    def _arrive(self) -> None:
        """Make the present row 0."""
        if self._ahead is None or self._records is None:
            return
        self._columns = self._ahead.columns[self._row]
        self._left = self._durations()[self._columns] - self._ahead.steps[self._row]
        self._numbers += self._ahead.begun[self._row]
        self._row, self._ahead = 0, None

    def _look_ahead(self, most: int) -> None:
        """Work out where the environments go from here, making more episodes where one has none left."""
        goes_on = self.autoreset_mode is not AutoresetMode.DISABLED
        ahead = self._made - self._numbers
        if most and goes_on and not ((self._left > 1 - self._pause) | (ahead > 0)).all():
            self._refill(self._left > 0)
            ahead = self._made - self._numbers
        lengths = self._durations()
        # Where an episode is over, its column too may hold a new one: the last before it goes round again.
        count = min(self._slots + 1, self._most_pages + 2) if goes_on else 1
        columns = (self._columns + self.num_envs * np.arange(count)[:, None]) % len(lengths)
        self._ahead = itinerary(lengths, columns, self._left, ahead, most, self._pause)

    def _refill(self, playing: npt.NDArray[np.bool_]) -> None:
        """Fill every column that no environment is playing or has still ahead.

        Args:
            playing: (num_envs,), whose present column is not to be filled.
        """
        if self._slots == 0:
            self._episode_bytes = _num_bytes(self.task.generate(RowStreams(np.zeros(1, dtype=np.uint64))))
            most = 1 + -(-_EPISODES_AHEAD // self.num_envs)
            # Episodes that are too large to hold any ahead are made when they are needed: one slot per
            # environment, and another where the next one is shown before the present one is put away.
            fewest = 2 - self._pause
            self._slots = max(fewest, min(most, _BYTES_AHEAD // (self._episode_bytes * self.num_envs)))
        batch = self._slots * self.num_envs
        ahead = self._made - self._numbers
        missing = self._slots - ahead - playing
        seeds = [episode_seeds(self._generators[int(b)][0], int(missing[b])) for b in np.flatnonzero(missing)]
        # The columns to fill, environment by environment, each from the one after its last.
        env = np.repeat(np.arange(self.num_envs), missing)
        nth = np.arange(len(env)) - np.repeat(np.cumsum(missing) - missing, missing)
        columns = (self._columns[env] + (1 + ahead[env] + nth) * self.num_envs) % batch
        order = np.argsort(columns)
        columns, seeds_there = columns[order], np.concatenate(seeds)[order]
        if self._records is None or len(columns) == batch:
            self._records = StepRecords(self.task, self._generated(self.task, seeds_there))
            self._seeds = seeds_there
        else:
            self._seeds[columns] = seeds_there
            for part in self._parts(len(columns)):
                self._records.overwrite(columns[part], self.task.generate(RowStreams(seeds_there[part])))
        self._made += missing

    def _parts(self, count: int) -> Iterator[slice]:
        """Parts of so many episodes that one may make at once."""
        at_once = max(1, _BYTES_AHEAD // self._episode_bytes)
        return (slice(start, start + at_once) for start in range(0, count, at_once))

    def _generated(self, task: Task, seeds: npt.NDArray[np.uint64]) -> Episodes:
        """Episodes of seeds (B,), made part by part, as making them takes several times their memory."""
        first, *others = self._parts(len(seeds))
        made = task.generate(RowStreams(seeds[first]))
        if not others:
            return made
        records = StepRecords(task, made.select(np.arange(len(seeds)) % made.batch_size))
        for part in others:
            new = task.generate(RowStreams(seeds[part]))
            records.overwrite(np.arange(len(seeds))[part], new)
        return records.episodes

    # ---- attributes, as of environments that are not there -----------------------------------------

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each environment's seeds, which has drawn those of episodes made ahead too."""
        return tuple(generator for generator, _ in self._generators.values())

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What each environment was seeded with last."""
        return tuple(seed for _, seed in self._generators.values())

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute of each environment; what a method of it returns, where it is one."""
        values = self._attribute(name)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment, as `TaskEnv` has it."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment: a list or tuple of values, or one for all.

        Raises:
            ValueError: If the number of values is wrong, or the attribute is one of `TaskEnv`'s, which can
                not be changed here.
        """
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values of {name!r} for {self.num_envs} environments.")
        if name in _ATTRIBUTES or name in dir(TaskEnv):
            raise ValueError(f"{name!r} cannot be set here: all environments share one task.")
        self._attributes[name] = tuple(values)

    def _attribute(self, name: str) -> tuple[Any, ...]:
        if name in self._attributes:
            return self._attributes[name]
        if name in ("np_random", "np_random_seed"):
            values: tuple[Any, ...] = getattr(self, name)
            return values
        if name == "render":
            return tuple(lambda frame=frame: frame for frame in self.render() or [None] * self.num_envs)
        if name == "episodes":
            if self._ahead is None or self._records is None:
                raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
            episodes = replace(self._records.episodes, seeds=self._seeds)
            return tuple(episodes.select([column]) for column in self._ahead.columns[self._row])
        if name not in _ATTRIBUTES:
            raise AttributeError(
                f"the environments have no attribute {name!r} that can be read from outside; there are "
                f"{[*_ATTRIBUTES, 'episodes', 'np_random', 'np_random_seed', 'render', *self._attributes]}."
            )
        return (getattr(self, _ATTRIBUTES[name]),) * self.num_envs


# Attributes of `TaskEnv` that are alike in all environments, and what the vector environment calls them.
_ATTRIBUTES = {
    "action_space": "single_action_space",
    "metadata": "metadata",
    "observation_space": "single_observation_space",
    "render_mode": "render_mode",
    "spec": "spec",
    "task": "task",
}

_WEIGHT = list(INFO_OF_STEPS).index("weight")


def _info(
    names: list[str], told: list[npt.NDArray[Any]], mask: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    """What `info` tells of the environments in the mask."""
    info = {}
    for name, values in zip(names, told, strict=True):
        info[name], info[f"_{name}"] = values, mask.copy()
    return info


def _num_bytes(episodes: Episodes) -> int:
    """Memory of the arrays that grow with the length of episodes."""
    arrays = [getattr(episodes, name) for name in Episodes._TIME_FIRST]
    return sum(array.nbytes for array in (*arrays, *episodes.step_facts.values()))
