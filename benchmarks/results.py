"""What a finished run left on disk, read back: the input of every figure and report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.config import RunConfig, from_file
from benchmarks.history import Curve, read_arrays
from benchmarks.rundir import RunDirectory

__all__ = ["Results", "by_agent", "stacked"]


@dataclass(frozen=True)
class Results:
    """One finished run.

    Attributes:
        config: Its settings.
        metrics: metrics.json.
        curves: Training and evaluation figures by tag.
        arrays: What the task's experiment and the look at the fast weights stored.
        path: Where the run lies.
    """

    config: RunConfig
    metrics: dict[str, Any]
    curves: dict[str, Curve] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    path: Path = Path()

    @classmethod
    def read(cls, directory: RunDirectory) -> Results:
        """Read a finished run's directory."""
        curves, arrays = read_arrays(directory.curves_file)
        return cls(from_file(directory.config_file), directory.read_metrics(), curves, arrays, directory.path)

    @property
    def label(self) -> str:
        """A short name that tells runs on one task apart."""
        return f"{self.config.agent}, seed {self.config.seed}"

    def comparable(self, other: Results) -> bool:
        """Whether both runs played the very same task."""
        ours, theirs = self.config, other.config
        return (ours.env, ours.env_kwargs) == (theirs.env, theirs.env_kwargs)


def by_agent(runs: list[Results]) -> dict[str, list[Results]]:
    """Runs grouped by agent, agents in the order in which they first come."""
    groups: dict[str, list[Results]] = {}
    for run in runs:
        groups.setdefault(run.config.agent, []).append(run)
    return groups


def stacked(runs: list[Results], name: str) -> npt.NDArray[Any] | None:
    """One array per run, stacked as a new first axis, of the runs that have it; None if none has."""
    found = [run.arrays[name] for run in runs if name in run.arrays]
    return np.stack(found) if found else None
