"""A batch of episodes with all that `info` tells of a step in one record.

`Episodes` has an array per thing that a step shows. That is right for playing whole batches; where every
environment is at another place, it costs a NumPy call and a place in memory per thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

__all__ = ["INFO_OF_STEPS", "RESERVED", "SCALAR_ONLY", "StepRecords", "info_arrays", "nothing"]

# What `info` tells of every task's steps, and where episodes have it.
INFO_OF_STEPS = {"target": "targets", "weight": "mask", "period": "periods", "reset": "resets"}
# What `info` tells in `TaskEnv` only, as it would cost a step of the vector environment too much.
SCALAR_ONLY = ("num_asked", "num_right")
# Names in `info` that mean something else: to Gymnasium, its wrappers and Stable-Baselines3, or here.
RESERVED = frozenset({
    "episode", "final_obs", "final_info", "terminal_observation", "TimeLimit.truncated", "is_success",
    *INFO_OF_STEPS, *SCALAR_ONLY, "episode_number",
})  # fmt: skip


def info_arrays(task: Task, episodes: Episodes) -> dict[str, npt.NDArray[Any]]:
    """Facts of steps for `info`: arrays (T, B, ...), by name."""
    if wrong := [name for name in task.info_facts if name in RESERVED or name.startswith("_")]:
        raise ValueError(
            f"info_facts of {type(task).__name__}: {wrong} are taken, like all names that begin with '_'; "
            "expected names of your own."
        )
    arrays = {name: getattr(episodes, source) for name, source in INFO_OF_STEPS.items()}
    return arrays | {name: episodes.step_facts[name] for name in task.info_facts}


def nothing(dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, int]:
    """Facts for `info` when an episode is over, where they are not those of the last step.

    No target is right, no weight is given and no activity to be forgotten. All else stays as it was, for a
    number such as 0 would name a component, a period or a trial.
    """
    return {"target": -1 if dtypes["target"].kind == "i" else 0, "weight": 0, "reset": 0}


class StepRecords:
    """A batch of episodes, for reading steps at any place of it.

    Args:
        task: What the episodes come from.
        episodes: A batch of B. It is taken over: arrays that need not be laid out anew are not copied.

    Attributes:
        episodes: The batch. Its arrays are what is read here, so that what `Task.advance` writes is shown.
    """

    def __init__(self, task: Task, episodes: Episodes) -> None:
        self.task = task
        arrays = info_arrays(task, episodes)
        self._type = np.dtype([(name, a.dtype, a.shape[2:]) for name, a in arrays.items()], align=True)
        self._names = list(arrays)
        self._nothing = nothing({name: array.dtype for name, array in arrays.items()})
        self._records = self._pack(episodes)
        self._hold(
            {name: _in_order(getattr(episodes, name)) for name in ("observations", "lengths")},
            {name: _in_order(value) for name, value in episodes.facts.items()},
            {name: _in_order(v) for name, v in episodes.step_facts.items() if name not in arrays},
        )

    def __reduce__(self) -> tuple[type[StepRecords], tuple[Task, Episodes]]:
        # Copies of the views would share no memory with a copy of the records; so these are made again.
        return StepRecords, (self.task, self.episodes)

    def _hold(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        facts: dict[str, npt.NDArray[Any]],
        step_facts: dict[str, npt.NDArray[Any]],
    ) -> None:
        """Make the episodes of the records and of arrays that are not in them."""
        views = self._records.view(self._type)
        self.episodes = Episodes(
            **arrays,
            **{source: views[name] for name, source in INFO_OF_STEPS.items()},
            facts=facts,
            step_facts=step_facts | {name: views[name] for name in self.task.info_facts},
        )
        observations = arrays["observations"]
        self._number_type, self._observation_shape = observations.dtype, observations.shape[2:]
        self._flat_records, self._flat_observations = _rows(self._records), _rows(observations)

    def _pack(self, episodes: Episodes) -> npt.NDArray[np.void]:
        """Records (T, B) of episodes, as bytes, which NumPy copies several times as fast as fields."""
        records = np.empty((episodes.num_steps, episodes.batch_size), dtype=self._type)
        for name, array in info_arrays(self.task, episodes).items():
            records[name] = array
        return records.view(f"V{self._type.itemsize}")

    def overwrite(self, columns: npt.NDArray[np.int64], new: Episodes) -> None:
        """Put new episodes into some columns; time grows to that of the longest there has been.

        Args:
            columns: (B',), all different.
            new: B' episodes with the same facts.
        """
        old = self.episodes
        self._records = _overwritten(self._records, columns, self._pack(new))
        observations = _overwritten(old.observations, columns, new.observations)
        hidden = old.step_facts.keys() - set(self.task.info_facts)
        step_facts = {
            name: _overwritten(old.step_facts[name], columns, new.step_facts[name]) for name in hidden
        }
        old.lengths[columns] = new.lengths
        for name, value in old.facts.items():
            value[columns] = new.facts[name]
        self._hold({"observations": observations, "lengths": old.lengths}, old.facts, step_facts)

    def read(
        self, positions: npt.NDArray[np.int64], over: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]:
        """Copies of the steps at some positions, step * B + column.

        Args:
            positions: (...).
            over: (...), where an episode is over, so that its position is one past its last step: zeros are
                shown, and what was told of the last step, but for `nothing`.

        Returns:
            Observations (..., O), and what `info` tells of them, (...) or (..., K), in the order of
            `info_arrays`.
        """
        at = over.nonzero() if np.count_nonzero(over) else None
        if at is not None:
            positions = positions.copy()
            positions[at] -= self.episodes.batch_size
        observations = self._flat_observations.take(positions, mode="clip")
        facts = self._flat_records.take(positions, mode="clip").view(self._type)
        if at is not None:
            observations[at] = np.zeros((), observations.dtype)
            for name, value in self._nothing.items():
                facts[name][at] = value
        observations = observations.view(self._number_type).reshape(positions.shape + self._observation_shape)
        return observations, [facts[name] for name in self._names]


def _in_order(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or a copy, that lies in order in memory and may be written into."""
    return np.require(array, requirements=["C", "W"])


def _overwritten(
    old: npt.NDArray[Any], columns: npt.NDArray[np.int64], new: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """`old` (T, B, ...) with `new` (T', B', ...) in columns (B',), zero-padded to the longer of the two."""
    if len(new) > len(old):
        old = np.concatenate((old, np.zeros((len(new) - len(old), *old.shape[1:]), dtype=old.dtype)))
    at = np.arange(len(new))[:, None] * old.shape[1] + columns
    _rows(old)[at.ravel()] = _rows(np.asarray(new, dtype=old.dtype, order="C"))
    old[len(new) :, columns] = np.zeros((), old.dtype)
    return old


def _rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array (T, B, ...) that lies in order in memory as (T * B,), what follows as one run of bytes."""
    if array.ndim == 2:
        return array.reshape(-1)
    rows = array.reshape(array.shape[0] * array.shape[1], -1)
    view: npt.NDArray[Any] = rows.view(f"V{rows.shape[1] * rows.itemsize}")[:, 0]
    return view
