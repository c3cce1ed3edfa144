"""The files of a finished run, read back: the input of every figure and report."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_agents.runner.cli import Mistake, one_line
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.config import read as read_config
from plastic_agents.runner.history import Curve, read_arrays
from plastic_agents.runner.rundir import RunDirectory
from plastic_envs.naming import short_name

_NEEDED = (
    *("score", "chance", "oracle", "normalized_score", "updates", "train_seconds", "params_slow"),
    *("params_fast", "score_name", "eval_episodes"),
)
"""Metrics that every report shows."""


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many decimals; "-" where it is undefined, and no minus before a zero."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{round(value, digits) + 0.0:.{digits}f}"


def best_first(score: float) -> tuple[bool, float]:
    """Sorting key: scores from the best to the worst, undefined ones last."""
    return math.isnan(score), -score


@dataclass(frozen=True)
class Results:
    """One finished run.

    Attributes:
        config: Its settings.
        metrics: metrics.json.
        curves: Training and evaluation figures by tag.
        arrays: What the task's experiment and the look at the fast weights stored.
        path: Directory of the run.
    """

    config: RunConfig
    metrics: dict[str, Any]
    curves: dict[str, Curve] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    path: Path = Path()

    @classmethod
    def read(cls, directory: RunDirectory) -> Results:
        """Read a finished run's directory.

        Raises:
            Mistake: If a file is missing, damaged, or of another version of the suite.
        """
        try:
            curves, arrays = read_arrays(directory.curves_file)
            config, metrics = read_config(directory.config_file), directory.read_metrics()
        except (OSError, ValueError) as error:
            raise Mistake(f"{directory.path} holds no run that can be read: {one_line(error)}") from error
        if missing := [name for name in _NEEDED if name not in metrics]:
            raise Mistake(f"{directory.metrics_file} lacks {', '.join(missing)}.")
        return cls(config, metrics, curves, arrays, directory.path)

    def value(self, name: str) -> float:
        """A metric as a number: NaN where it is undefined."""
        value = self.metrics[name]
        return math.nan if value is None else float(value)

    @property
    def label(self) -> str:
        """A short name that tells runs on one task apart."""
        return f"{short_name(self.config.agent)}, seed {self.config.seed}"

    def comparable(self, other: Results) -> bool:
        """True if both runs played the very same task."""
        ours, theirs = self.config, other.config
        return (ours.env, ours.env_kwargs) == (theirs.env, theirs.env_kwargs)


def by_agent(runs: list[Results]) -> dict[str, list[Results]]:
    """Runs by the short name of their agent, agents in the order in which they first come."""
    groups: dict[str, list[Results]] = {}
    for run in runs:
        groups.setdefault(short_name(run.config.agent), []).append(run)
    return groups


def stacked(runs: list[Results], name: str) -> npt.NDArray[Any] | None:
    """One array per run, stacked as a new first axis, of the runs that have it; None if none has."""
    curves = [run.arrays[name] for run in runs if name in run.arrays]
    return np.stack(curves) if curves else None
