"""Arguments of `reset`, checked before anything changes: seeds, masks and options.

All that Gymnasium's `SyncVectorEnv` takes is taken here, and NumPy's numbers beside.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.task import Task

__all__ = ["environment_seeds", "next_task", "reset_rows", "whole_seed"]


def whole_seed(seed: Any) -> int | None:
    """A seed as a plain whole number; None stays None.

    Raises:
        ValueError: If it is no whole number, or negative.
    """
    if seed is None:
        return None
    try:
        number = operator.index(seed)
    except TypeError as error:
        raise ValueError(f"seed={seed!r}: expected a whole number, 0 or more, or None.") from error
    if number < 0:
        raise ValueError(f"seed={seed!r}: expected 0 or more.")
    return number


def environment_seeds(seed: Any, num_envs: int) -> list[int | None]:
    """Seeds of environments side by side: `seed + b` for environment b, or those of a sequence.

    Raises:
        ValueError: If there are more or fewer than environments, or one is no seed.
    """
    if isinstance(seed, Iterable) and not isinstance(seed, str):
        seeds = [whole_seed(one) for one in seed]
        if len(seeds) != num_envs:
            raise ValueError(f"{len(seeds)} seeds for {num_envs} environments.")
        return seeds
    first = whole_seed(seed)
    return [None if first is None else first + b for b in range(num_envs)]


def reset_rows(mask: Any, num_envs: int) -> npt.NDArray[np.bool_]:
    """Environments that `options["reset_mask"]` means, (num_envs,); None means all.

    Raises:
        TypeError: If it is no NumPy array of booleans.
        ValueError: If its shape is wrong, or if it names no environment.
    """
    if mask is None:
        return np.ones(num_envs, dtype=bool)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset_mask={mask!r}: expected a NumPy array of booleans.")
    if mask.shape != (num_envs,):
        raise ValueError(f"reset_mask of shape {mask.shape}: expected ({num_envs},).")
    if not mask.any():
        raise ValueError(f"reset_mask={mask}: expected at least one True.")
    return mask.copy()


def next_task(task: Task, options: Mapping[str, Any] | None) -> Task:
    """The task to go on with; it may not change what observations and actions are.

    Raises:
        ValueError: If the task knows no such options, or they change a space.
    """
    other = task.with_options(options) if options else task
    for name in ("observation_space", "action_space"):
        ours, theirs = getattr(task, name), getattr(other, name)
        if ours != theirs:
            raise ValueError(
                f"reset options {options} change the {name} from {ours} to {theirs}; make a new environment."
            )
    return other
