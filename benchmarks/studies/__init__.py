"""Published systems, one study each: its runs, and what they found beside what was published.

A study is a module with

* `DESCRIPTION`: one line for `--list`;
* `plan()`: the runs, as plain data;
* `RUN_TYPES`, if groups have names in common use: name -> pattern of groups, for `--run-type`;
* `measure(group, agent, run)`, if it has any: what the study puts a finished run's agent through, beyond what
the run
  itself does. It is done once and kept with the run;
* `table(results)`: rows "quantity, published, ours";
* `figures(results)`: (name, caption, figure) beyond those that each run draws of itself.

`results` maps the name of a planned group to its finished runs, with what was measured among their metrics
and arrays. Adding a study is a module here and a line in `STUDIES`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.results import Results
from plastic_agents.base import Agent, NetworkAgent

__all__ = [
    "STUDIES",
    "Measured",
    "MeasuringStudy",
    "Planned",
    "Row",
    "Study",
    "interval",
    "metric_row",
    "network_agent",
    "study",
]

Measured = tuple[dict[str, float], dict[str, npt.NDArray[Any]]]
"""What a study has measured of an agent: metrics and arrays, by name."""

STUDIES: dict[str, str] = {
    "graph-walk": "benchmarks.studies.graph_walk",
    "every-agent": "benchmarks.studies.every_agent",
    "sensorimotor": "benchmarks.studies.sensorimotor.learning_to_learn",
    "stimulus-coding": "benchmarks.studies.stimulus_coding",
    "transitive-inference": "benchmarks.studies.transitive.inference",
    "one-task": "benchmarks.studies.cognitive.one_task",
    "two-task": "benchmarks.studies.cognitive.two_task",
    "everything": "benchmarks.studies.cognitive.everything",
    "ring": "benchmarks.studies.cognitive.ring",
    "transfer": "benchmarks.studies.cognitive.transfer",
    "flex": "benchmarks.studies.cognitive.flex",
    "integration": "benchmarks.studies.cognitive.integration",
}

# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom, so that means over few seeds get
# honest intervals.
_T_95 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)


@dataclass(frozen=True)
class Planned:
    """Runs that differ in their seed only.

    Attributes:
        group: Name of the group; its runs lie in a directory of that name.
        settings: Fields of `RunConfig` that differ from the agent's and the task's defaults.
        seeds: One run each.
        shipped: Name of the network in `plastic_agents.pretrained` that such a run has made, `{seed}`
            standing for its seed. It is then taken from there, unless training anew is asked for. None: the
            run is always made.
        start: Whose network of the same seed each run begins with; such runs are made first. None: a fresh
            one.
    """

    group: str
    settings: Mapping[str, Any]
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
        quantity: What is measured.
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


def metric_row(runs: Sequence[Results], quantity: str, metric: str, published: str = "") -> list[Row]:
    """The row of a metric over the runs that have it, in a list; an empty one if none has."""
    each = [float(run.metrics[metric]) for run in runs if run.metrics.get(metric) is not None]
    return [Row.of(quantity, published, each)] if each else []


def network_agent(agent: Agent) -> NetworkAgent:
    """The agent, for studies of networks.

    Raises:
        TypeError: If it has no network.
    """
    if not isinstance(agent, NetworkAgent):
        raise TypeError(f"agent {agent.name!r} has no network; this study measures networks.")
    return agent


class Study(Protocol):
    """What a module in this package provides."""

    DESCRIPTION: str

    def plan(self) -> list[Planned]:
        """The runs."""

    def table(self, results: Mapping[str, Sequence[Results]]) -> list[Row]:
        """What was found, beside what was published."""

    def figures(self, results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
        """Name, caption and figure."""


@runtime_checkable
class MeasuringStudy(Protocol):
    """A study that puts agents through something of its own."""

    def measure(
        self, group: str, agent: Agent, run: Results
    ) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
        """Metrics and arrays of a finished run's agent; names must differ from those of the run itself."""


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of independent runs, or None for fewer than two."""
    if len(values) < 2:
        return None
    t = _T_95[len(values) - 2] if len(values) - 2 < len(_T_95) else 1.96
    mean, margin = float(np.mean(values)), t * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean - margin, mean + margin


def study(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: If there is none (with the nearest names).
    """
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, n=3, cutoff=0.3) or list(STUDIES)
        raise ValueError(f"unknown study {name!r}; did you mean one of {near}?")
    module: Any = importlib.import_module(STUDIES[name])
    found: Study = module
    return found
