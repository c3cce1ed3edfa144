"""Studies as objects: planned runs, and a table and figures of their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.special import stdtrit

from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.runner.results import Results

Settings: TypeAlias = Mapping[str, Any]
"""Fields of `RunConfig`; the learner's settings are a mapping `learner`."""
Groups: TypeAlias = Mapping[str, Sequence[Results]]
"""Finished runs by the name of their group."""
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Measured: TypeAlias = tuple[dict[str, float], Arrays]
"""Metrics and arrays, by name."""
Drawn: TypeAlias = tuple[str, str, Figure]
"""Name, caption and figure."""


def merged(*settings: Settings) -> dict[str, Any]:
    """One mapping of several: later values replace earlier ones, and mappings are merged key by key."""
    result: dict[str, Any] = {}
    for mapping in settings:
        for name, value in mapping.items():
            earlier = result.get(name)
            if isinstance(earlier, Mapping) and isinstance(value, Mapping):
                value = merged(earlier, value)
            result[name] = value
    return result


@dataclass(frozen=True)
class Planned:
    """Runs that differ in their seed only.

    Attributes:
        group: Name of the group; its runs lie in a directory of that name.
        settings: Fields of `RunConfig` that differ from the agent's and the task's defaults.
        seeds: One run each.
        shipped: Name of the network in `plastic_agents.pretrained` that such a run trained, `{seed}` standing
            for its seed. The network is taken from there unless training anew is asked for. None: the run is
            always made.
        start: The group whose networks these runs begin with, seed by seed; its runs are made first. None:
            fresh networks.
    """

    group: str
    settings: Settings
    seeds: Sequence[int] = (0,)
    shipped: str | None = None
    start: Planned | None = None

    def network(self, seed: int) -> str | None:
        """Name of the shipped network of a seed."""
        return None if self.shipped is None else self.shipped.format(seed=seed)


@dataclass(frozen=True)
class Row:
    """A line of the table "published | ours".

    Attributes:
        quantity: Name of the quantity.
        published: The published figure, as printed; "" where there is none.
        ours: Mean over runs.
        interval: 95 % interval of that mean (Student's t over runs), or None for a single run.
        n: Number of runs.
        each: The value of every run.
    """

    quantity: str
    published: str
    ours: float
    interval: tuple[float, float] | None
    n: int
    each: Sequence[float] = field(default=())

    @classmethod
    def of(cls, quantity: str, published: str, values: Sequence[float]) -> Row:
        """The row of one value per run."""
        each = [float(v) for v in values]
        return cls(quantity, published, float(np.mean(each)), interval(each), len(each), each)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of independent runs, or None for fewer than two."""
    if len(values) < 2:
        return None
    margin = float(stdtrit(len(values) - 1, 0.975)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)) - margin, float(np.mean(values)) + margin


@dataclass(frozen=True)
class Study:
    """A published system, reproduced.

    Attributes:
        name: Name on the command line and of the folder.
        description: One line for `--list`.
        plan: The groups of runs.
        table: Rows "quantity, published, ours" of finished runs.
        figures: Figures beyond those that each run draws of itself.
        measure: Metrics and arrays of a finished run's agent, from the name of the group, the agent, the run
            and the effort. They are measured once and stored with the run, under names that the run itself
            does not use. None: no such measurements.
        effort: Numbers of episodes and repetitions; the argument `effort` of `measure`.
        run_types: Published names of groups, for `--run-type`; each stands for a pattern of groups.
    """

    name: str
    description: str
    plan: Callable[[], Sequence[Planned]]
    table: Callable[[Groups], list[Row]]
    figures: Callable[[Groups], list[Drawn]]
    measure: Callable[..., Measured] | None = None
    effort: Any = None
    run_types: Mapping[str, str] = field(default_factory=dict)

    @property
    def measurement(self) -> Callable[[str, Agent, Results], Measured] | None:
        """`measure` with this study's effort; None if the study has no measurements."""
        return None if self.measure is None else partial(self.measure, effort=self.effort)

    def select(self, only: str = "*", run_type: str | None = None) -> list[Planned]:
        """The groups whose names match a pattern.

        Args:
            only: The pattern (`*` and `?`).
            run_type: A name in `run_types`, whose pattern they match too; None: any.

        Raises:
            ValueError: If there is no such run type, or no such group.
        """
        patterns = [only]
        if run_type is not None:
            if run_type not in self.run_types:
                names = ", ".join(self.run_types)
                advice = f"it has {names}" if names else "it has none; name groups with --only"
                raise ValueError(f"no run type {run_type!r} in {self.name!r}: {advice}.")
            patterns.append(self.run_types[run_type])
        plan = self.plan()
        groups = [p for p in plan if all(fnmatch(p.group, pattern) for pattern in patterns)]
        if not groups:
            raise ValueError(
                f"no group of {self.name!r} matches {' and '.join(map(repr, patterns))}; it has "
                f"{[p.group for p in plan]}."
            )
        return groups


def combined(*parts: Measured) -> Measured:
    """Several measurements as one."""
    metrics: dict[str, float] = {}
    arrays: Arrays = {}
    for numbers, tables in parts:
        metrics |= numbers
        arrays |= tables
    return metrics, arrays


def network_agent(agent: Agent) -> NetworkAgent:
    """The agent, for studies of networks.

    Raises:
        TypeError: If it has no network.
    """
    if not isinstance(agent, NetworkAgent):
        raise TypeError(f"agent {agent.name!r} has no network; this study measures networks.")
    return agent
