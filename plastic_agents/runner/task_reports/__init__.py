"""Measurements and figures of a finished run beyond its score, by task, as a paper has them.

An experiment is a module with two functions:

* `measure(agent, config)` lets the agent play what the experiment asks for, and returns further metrics and
  arrays;
* `figures(run, runs)` draws from what runs have stored, `runs` being the run itself and the others on the
  same task. It returns (name, caption, figure) in the order of the report.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt
from matplotlib.figure import Figure

from plastic_agents.agent import Agent
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.results import Results
from plastic_envs.naming import imported, name_of
from plastic_envs.task import Task

__all__ = ["EXPERIMENTS", "Experiment", "experiment_of"]

# Task class -> module. A class without an entry of its own gets that of the nearest class it derives from.
EXPERIMENTS: dict[str, str] = {
    "plastic_envs:Task": "plain",
    "plastic_envs:CognitiveBattery": "cognitive",
    "plastic_envs.graph.walk:GraphTask": "graphs",
    "plastic_envs:GraphWalk": "graph_walk",
    "plastic_envs:SensorimotorAssociation": "sensorimotor",
    "plastic_envs:TransitiveInference": "transitive",
    "plastic_envs:StimulusCoding": "stimulus_coding",
}


class Experiment(Protocol):
    """Interface of the modules in this package."""

    def measure(
        self, agent: Agent, config: RunConfig
    ) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
        """Further metrics, and arrays for figures."""

    def figures(self, run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
        """Name, caption and figure, in the order of the report."""


def experiment_of(task: Task) -> Experiment:
    """The experiment for a task: the one that it names in `Task.report`, or that of its class.

    Raises:
        TypeError: If the task names something else.
    """
    if task.report is not None:
        own: Experiment = imported(task.report)
        if not (hasattr(own, "measure") and hasattr(own, "figures")):
            raise TypeError(
                f"report={task.report!r} of {type(task).__name__}: got {own!r}; expected an object with "
                "measure(agent, config) and figures(run, runs)."
            )
        return own
    for base in type(task).__mro__:
        name = EXPERIMENTS.get(name_of(base))
        if name is not None:
            module: Any = importlib.import_module(f"{__name__}.{name}")
            experiment: Experiment = module
            return experiment
    raise LookupError(f"{type(task).__name__} is no plastic_envs.Task; known: {sorted(EXPERIMENTS)}.")
