"""The episodes that environments side by side go through, made ahead, and read ahead many steps at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.streams import RowStreams, episode_seeds
from plastic_envs.task import Task
from plastic_envs.views.itinerary import Itinerary, itinerary
from plastic_envs.views.records import INFO_OF_STEPS, StepRecords

__all__ = ["Reel"]

# A refill of the vector environment makes about this many episodes, or as many as take this much memory (but
# those that are being played), and no more at once.
_EPISODES_AHEAD = 1024

_BYTES_AHEAD = 64 * 2**20

# It reads this many steps at once, or as many as make this many steps of one environment. After `reset` it
# begins with a few, so that little is read in vain where episodes are broken off.
_MOST_PAGES, _MOST_STEPS, _FIRST_PAGES = 128, 2**13, 8

_Page = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], dict[str, Any]]  # observations, over, info


class Reel:
    """Episodes of N environments, each environment's one after another.

    Each environment owns some columns of one batch of episodes and goes round them; when one runs out, all
    used columns are filled again at once. Making episodes ahead changes nothing in them (an episode depends
    on its seed only) and pays the overhead of NumPy calls once for many. Environment b owns columns b, N + b,
    2 N + b, ...

    Args:
        task: Whose episodes they are.
        num_envs: N.
        pause: Steps between two episodes, in which the first is shown to be over: 1 or 0.
        goes_on: Whether an episode follows by itself.
        max_steps: Steps after which episodes are broken off; None: never.

    Attributes:
        task: Whose episodes they are.
        generators: The generator of each environment's seeds, and what it was seeded with.
        active: The environments whose actions have an effect now: indices, or all.
    """

    def __init__(self, task: Task, num_envs: int, pause: int, goes_on: bool, max_steps: int | None) -> None:
        self.task, self.num_envs = task, num_envs
        self.generators: dict[int, tuple[np.random.Generator, int]] = {}
        self.active: Any = slice(None)
        self._pause, self._goes_on, self._max_steps = pause, goes_on, max_steps
        self._slots = 0  # known once the first episode has shown how much memory one takes
        self._episode_bytes = 0
        self._records: StepRecords | None = None
        self._seeds = np.zeros(0, dtype=np.uint64)  # of the episodes in the columns
        # Where the environments are: row `_row` of what was worked out ahead.
        self._ahead: Itinerary | None = None
        self._row = 0
        # Where they were at row 0.
        self._columns = np.arange(num_envs)
        self._steps_left = np.zeros(num_envs, dtype=np.int64)  # steps left in the present episodes
        self._numbers = np.full(num_envs, -1)  # numbers of the present episodes
        self._last_made = np.full(num_envs, -1)  # number of the last episode made
        # What is shown in the rows that have been read and not yet handed out, the next one last.
        self._pages: list[_Page] = []
        self._pages_at_once = _FIRST_PAGES
        self._most_pages = max(1, min(_MOST_PAGES, _MOST_STEPS // num_envs))
        self._names: list[str] = []  # what `info` tells
        self._entries: list[str] = []  # the same with the masks

    # ---- where the environments are ----------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """True once there are episodes; without them nothing below may be asked for."""
        return self._ahead is not None

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """Column of each environment's episode in the batch, (N,)."""
        assert self._ahead is not None
        row: npt.NDArray[np.int64] = self._ahead.columns[self._row]
        return row

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Step of each environment in its episode, (N,)."""
        assert self._ahead is not None
        row: npt.NDArray[np.int64] = self._ahead.steps[self._row]
        return row

    @property
    def over(self) -> npt.NDArray[np.bool_]:
        """Environments whose episode is over, (N,); without a pause, the one before."""
        assert self._ahead is not None
        row: npt.NDArray[np.bool_] = self._ahead.over[self._row]
        return row

    @property
    def episodes(self) -> Episodes:
        """The batch, in which `Task.advance` may write."""
        assert self._records is not None
        return self._records.episodes

    @property
    def seeds(self) -> npt.NDArray[np.uint64]:
        """Seeds of the batch, (B,)."""
        return self._seeds

    # ---- going on ----------------------------------------------------------------------------------

    def start(
        self,
        fresh: npt.NDArray[np.bool_],
        generators: Mapping[int, tuple[np.random.Generator, int]],
        task: Task,
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start the next episode of some environments.

        Args:
            fresh: Which, (N,).
            generators: New ones, with their seeds, of those that have them.
            task: Whose episodes they are from here on.

        Returns:
            Observations (N, O), and `info` of the environments that have started.
        """
        present = None if fresh.all() else self._now()[0]
        # Nothing fails from here on.
        self._arrive()
        if task is not self.task:
            self._last_made -= self._numbers + 1
            self._numbers[:] = -1
            if self._records is not None:
                # Episodes made ahead are made again of the same seeds, as if the other task had been there.
                self._records = StepRecords(task, self._generated(task, self._seeds))
            self.task = task
        for b, generator in generators.items():
            self.generators[b] = generator
            self._last_made[b] = self._numbers[b] = -1
        self._begin(fresh)
        assert self._records is not None
        nowhere = np.zeros(self.num_envs, dtype=bool)
        observations, facts = self._records.read(self._columns, nowhere)
        facts.append(self._numbers.copy())
        if present is not None:
            observations[~fresh] = present[~fresh]
            for values in facts:
                values[~fresh] = 0
        # Every entry of `info` has Gymnasium's mask, which tells which environments it is given for.
        self._names = [*INFO_OF_STEPS, *self.task.info_facts, "episode_number"]
        self._entries = [entry for name in self._names for entry in (name, f"_{name}")]
        self._look_ahead(most=0)
        self._pages, self._pages_at_once = [], _FIRST_PAGES
        self._find_active(self._now()[1][_WEIGHT])
        return observations, _info(self._names, facts, fresh)

    def next(
        self,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Go a step on: observations (N, O), terminated (N,), truncated (N,) and `info`."""
        assert self._ahead is not None
        if self._row + 1 == len(self._ahead.over):
            self._arrive()
            self._look_ahead(self._most_pages)
        self._row += 1
        if not self._pages:
            self._read_pages()
        observations, ended, info = self._pages.pop()
        self._find_active(info["weight"])
        truncated = np.zeros(self.num_envs, dtype=bool)
        if (self._pause == 0 or self._max_steps is not None) and np.count_nonzero(ended):
            ended, truncated = self._tell_ends(ended, info)
        return observations, ended, truncated, info

    def _begin(self, fresh: npt.NDArray[np.bool_]) -> None:
        """Put some environments at the first step of their next episode."""
        self._steps_left[fresh] = 0
        if not (self._last_made - self._numbers)[fresh].all():
            self._refill(self._steps_left > 0 if fresh.all() else (self._steps_left > 0) | ~fresh)
        assert self._records is not None
        lengths = self._durations()
        self._columns = np.where(fresh, (self._columns + self.num_envs) % len(lengths), self._columns)
        self._numbers[fresh] += 1
        self._steps_left[fresh] = lengths[self._columns[fresh]]

    def _durations(self) -> npt.NDArray[np.int64]:
        """Steps (B,) that are played of the episodes in the columns."""
        assert self._records is not None
        lengths = self._records.episodes.lengths
        return lengths if self._max_steps is None else np.minimum(lengths, self._max_steps)

    def _find_active(self, weights: npt.NDArray[np.float32]) -> None:
        """Work out whose actions have an effect in the present row."""
        assert self._ahead is not None
        over = self._ahead.over[self._row]
        if self.task.pays_unweighted or self.task.closed_loop:
            waiting = self._pause == 1 and np.count_nonzero(over) > 0
            self.active = (~over).nonzero()[0] if waiting else slice(None)
        else:
            # The weight is 0 where an episode is over, but not where it was broken off.
            broken_off = self._pause == 1 and self._max_steps is not None
            self.active = (weights * ~over if broken_off else weights).nonzero()[0]

    def _now(self) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
        """Observations and facts of the present row."""
        assert self._ahead is not None
        assert self._records is not None
        return self._records.read(self._ahead.positions[self._row], self._blank(self._row))

    def _blank(self, rows: Any) -> npt.NDArray[np.bool_]:
        """Places where nothing is left to be shown: the episode is over, and was not broken off."""
        assert self._ahead is not None
        assert self._records is not None
        over: npt.NDArray[np.bool_] = self._ahead.over[rows]
        if self._pause == 0:
            return np.zeros_like(over)
        if self._max_steps is None:
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
        observations, facts = self._records.read(self._ahead.positions[rows], self._blank(rows))
        facts.append(self._numbers + self._ahead.new_episodes[rows])
        masks = np.empty((len(facts), *over.shape), dtype=bool)
        masks.fill(True)
        entries: list[Any] = [None] * 2 * len(facts)
        entries[::2], entries[1::2] = facts, masks
        names = self._entries
        if one:
            self._pages.append((observations, over, dict(zip(names, entries, strict=True))))
            return
        pages = zip(observations, over, zip(*entries, strict=False), strict=False)
        self._pages = [(row, ended, dict(zip(names, page, strict=True))) for row, ended, page in pages]
        self._pages.reverse()

    def _tell_ends(
        self, ended: npt.NDArray[np.bool_], info: dict[str, Any]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Episodes at their end, and those at the limit of steps, (N,) each; adds the final infos."""
        assert self._ahead is not None
        assert self._records is not None
        at = np.flatnonzero(ended)
        lengths = self._records.episodes.lengths
        # Without a pause this row shows the next episode, and the one before the last step of this one.
        row, more = (self._row, 0) if self._pause else (self._row - 1, 1)
        columns, steps = self._ahead.columns[row][at], self._ahead.steps[row][at] + more
        terminated, truncated = np.zeros_like(ended), np.zeros_like(ended)
        terminated[at] = steps >= lengths[columns]
        if self._max_steps is not None:
            truncated[at] = steps >= self._max_steps
        if not self._pause:
            last, facts = self._records.read(steps * len(lengths) + columns, terminated[at])
            facts.append(self._numbers[at] + self._ahead.new_episodes[row][at])
            final: list[npt.NDArray[Any]] = []
            for values in facts:
                final.append(np.zeros((self.num_envs, *values.shape[1:]), dtype=values.dtype))
                final[-1][at] = values
            info["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for b, observation in zip(at, last, strict=True):
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
        self._steps_left = self._durations()[self._columns] - self._ahead.steps[self._row]
        self._numbers += self._ahead.new_episodes[self._row]
        self._row, self._ahead = 0, None

    def _look_ahead(self, most: int) -> None:
        """Work out where the environments go from here, making more episodes where one has none left."""
        ahead = self._last_made - self._numbers
        if most and self._goes_on and not ((self._steps_left > 1 - self._pause) | (ahead > 0)).all():
            self._refill(self._steps_left > 0)
            ahead = self._last_made - self._numbers
        lengths = self._durations()
        # Where an episode is over, its column too may hold a new one: the last before it goes round again.
        count = min(self._slots + 1, self._most_pages + 2) if self._goes_on else 1
        columns = (self._columns + self.num_envs * np.arange(count)[:, None]) % len(lengths)
        self._ahead = itinerary(lengths, columns, self._steps_left, ahead, most, self._pause)

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
        ahead = self._last_made - self._numbers
        missing = self._slots - ahead - playing
        seeds = [episode_seeds(self.generators[int(b)][0], int(missing[b])) for b in np.flatnonzero(missing)]
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
        self._last_made += missing

    def _parts(self, count: int) -> Iterator[slice]:
        """Parts of so many episodes that one may make at once."""
        at_once = max(1, _BYTES_AHEAD // self._episode_bytes)
        return (slice(start, start + at_once) for start in range(0, count, at_once))

    def _generated(self, task: Task, seeds: npt.NDArray[np.uint64]) -> Episodes:
        """Episodes of seeds (B,), made part by part, as making them takes several times their memory."""
        first, *others = self._parts(len(seeds))
        episodes = task.generate(RowStreams(seeds[first]))
        if not others:
            return episodes
        records = StepRecords(task, episodes.select(np.arange(len(seeds)) % episodes.batch_size))
        for part in others:
            new = task.generate(RowStreams(seeds[part]))
            records.overwrite(np.arange(len(seeds))[part], new)
        return records.episodes


_WEIGHT = list(INFO_OF_STEPS).index("weight")


def _info(
    names: list[str], facts: list[npt.NDArray[Any]], mask: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    """Entries of `info` about the environments in the mask."""
    info = {}
    for name, values in zip(names, facts, strict=True):
        info[name], info[f"_{name}"] = values, mask.copy()
    return info


def _num_bytes(episodes: Episodes) -> int:
    """Memory of the arrays that grow with the length of episodes."""
    arrays = [getattr(episodes, name) for name in Episodes._TIME_FIRST]
    return sum(array.nbytes for array in (*arrays, *episodes.step_facts.values()))
