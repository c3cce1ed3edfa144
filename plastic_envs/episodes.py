"""Episodes as arrays, and the named fields of their observations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Association", "Episodes", "Field"]


@dataclass
class Episodes:
    """A batch of episodes. T is the longest length, B the batch, O the observation size.

    Attributes:
        observations: (T, B, O) float32, what the agent sees at each step.
        targets: (T, B) int64, or (T, B, K) float32: the right response to that observation; -1 (or 0.0) where
            nothing is right.
        mask: (T, B) float32, how much a step counts in loss and score: 0 not at all, mostly 1.
        periods: (T, B) int8, index into `Task.periods`.
        resets: (T, B) bool, where an agent forgets its activity (not its fast weights) before the step.
        lengths: (B,) int64, number of steps of each episode; the rest is padding with weight 0.
        facts: What is true of an episode as a whole, batch first.
        step_facts: What is true of a step, (T, B, ...).
        seeds: (B,) uint64, of which `Task.generate` makes the same episodes again; None for episodes that no
            task has drawn.
    """

    observations: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]
    mask: npt.NDArray[np.float32]
    periods: npt.NDArray[np.int8]
    resets: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.int64]
    facts: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    step_facts: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    seeds: npt.NDArray[np.uint64] | None = None

    _TIME_FIRST: ClassVar[tuple[str, ...]] = ("observations", "targets", "mask", "periods", "resets")

    @property
    def num_steps(self) -> int:
        """T, the length of the longest episode."""
        return int(self.observations.shape[0])

    @property
    def batch_size(self) -> int:
        """B, the number of episodes."""
        return int(self.observations.shape[1])

    def select(self, rows: npt.NDArray[Any] | slice | Sequence[int]) -> Episodes:
        """Some of the episodes (copies where NumPy's indexing copies)."""
        picked = {name: getattr(self, name)[:, rows] for name in self._TIME_FIRST}
        return Episodes(
            **picked,
            lengths=self.lengths[rows],
            facts={k: v[rows] for k, v in self.facts.items()},
            step_facts={k: v[:, rows] for k, v in self.step_facts.items()},
            seeds=None if self.seeds is None else self.seeds[rows],
        )

    def copy(self) -> Episodes:
        """A copy that shares no memory with this one."""
        return copy.deepcopy(self)


@dataclass(frozen=True)
class Field:
    """A named part of the observation vector.

    Attributes:
        name: What it shows.
        start: Index of its first entry.
        size: Number of entries.
        vocabulary: For a one-hot field, the name of the set that it is an element of; two fields with one
            vocabulary show elements of the same set (the node left and the node reached). None for a field of
            plain numbers.
    """

    name: str
    start: int
    size: int
    vocabulary: str | None = None

    @property
    def slice(self) -> slice:
        """Place of the field in the last axis of an observation."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Association:
    """Fields of an observation that pose a question, and the one that answers it.

    A step whose `outcome` field is not zero shows a completed association (cue -> outcome); one whose outcome
    is zero asks for the outcome of its cue. A network may use this to know which parts of its input to bind;
    it says nothing about what the right answer is.

    Attributes:
        cue: Names of the one-hot fields that make up the question.
        outcome: Name of the one-hot field that answers it.
        chained: Whether, where no step ever shows an outcome, the first cue field of the next step is the
            outcome of this step's cue (a walk shown node by node).
    """

    cue: tuple[str, ...]
    outcome: str
    chained: bool = False
