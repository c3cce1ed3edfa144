"""The table of registered environments: id, task class, keyword arguments."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from plastic_envs.arguments import unknown_name
from plastic_envs.core import Task

__all__ = [
    "ENVIRONMENTS",
    "build_task",
    "imported_task_class",
    "make_task",
    "register_all",
    "trusted_task_class",
]

_ENTRY_POINT = "plastic_envs.views:TaskEnv"
_GRAPH = "plastic_envs.graph_walk:GraphWalk"
_TRANSITIVE = "plastic_envs.transitive:TransitiveInference"
_STIMULUS = "plastic_envs.stimulus_coding:StimulusCoding"
_SENSORIMOTOR = "plastic_envs.sensorimotor"
_BATTERY = "plastic_envs.cognitive:CognitiveBattery"

# The cognitive battery's tasks by the dialect that their ids stand for: compact, and the ring's where two
# stimuli are on at once in a modality, which the compact code cannot show.
_COMPACT_TASKS = (
    "fdgo", "fdanti", "reactgo", "reactanti", "delaygo", "delayanti",
    "delaydm1", "delaydm2", "contextdelaydm1", "contextdelaydm2", "multidelaydm",
    "dmsgo", "dmsnogo", "dmcgo", "dmcnogo",
)  # fmt: skip
_RING_TASKS = ("dm1", "dm2", "contextdm1", "contextdm2", "multidm", "oic", "dmc")
_BATTERY_ROWS: dict[str, dict[str, Any]] = {
    **{name: {"tasks": name} for name in _COMPACT_TASKS},
    **{name: {"tasks": name, "dialect": "ring"} for name in _RING_TASKS},
    "everything": {"tasks": "everything"},
}

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "PlasticGraph-standard-v0": {"task": _GRAPH, "labelling": "standard"},
    "PlasticGraph-disjoint-v0": {"task": _GRAPH, "labelling": "disjoint"},
    "PlasticGraph-switch-v0": {"task": _GRAPH, "labelling": "disjoint", "num_segments": 5},
    "PlasticGraph-explore-v0": {"task": "plastic_envs.graph_explore:GraphExplore"},
    "TransitiveInference-v0": {"task": _TRANSITIVE},
    "TransitiveInference-linking-v0": {"task": _TRANSITIVE, "num_items": 8, "schedule": "linking"},
    "StimulusCoding-estimation-v0": {"task": _STIMULUS, "readout": "estimation", "num_steps": 2000},
    "StimulusCoding-classification-v0": {"task": _STIMULUS, "readout": "classification", "num_steps": 2000},
    "SensorimotorAssociation-v0": {"task": f"{_SENSORIMOTOR}:SensorimotorAssociation"},
    "SensorimotorAssociation-block-v0": {"task": f"{_SENSORIMOTOR}_block:SensorimotorBlock", "dt_ms": 100},
    **{f"Cognitive-{name}-v0": {"task": _BATTERY, **row} for name, row in _BATTERY_ROWS.items()},
    **{
        f"Cognitive-{name}-vector-v0": {"task": _BATTERY, **row, "response": "vector"}
        for name, row in _BATTERY_ROWS.items()
    },
    "EvidenceIntegration-v0": {"task": "plastic_envs.evidence_integration:EvidenceIntegration"},
}


def register_all() -> None:
    """Register every environment with Gymnasium (once; importing `plastic_envs` does it)."""
    for env_id, kwargs in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(
                id=env_id,
                entry_point=_ENTRY_POINT,
                vector_entry_point="plastic_envs.views:TaskVectorEnv",
                kwargs=dict(kwargs),
            )


def make_task(env_id: str | gym.Env[Any, Any] | VectorEnv[Any, Any, Any], **kwargs: Any) -> Task:
    """The task behind a registered environment, for whole batches of episodes.

    Args:
        env_id: A registered id, such as "PlasticGraph-disjoint-v0", or an environment made of one, whose task
            this is then.
        **kwargs: Arguments of the task that replace the registered ones.

    Raises:
        ValueError: If the id is not in the table (with the nearest ones).
        TypeError: If it is no environment of this suite.
    """
    if not isinstance(env_id, str):
        task = getattr(getattr(env_id, "unwrapped", None), "task", None)
        if not isinstance(task, Task):
            raise TypeError(
                f"got {env_id!r}; expected the id of an environment of this suite, or an environment that "
                "gym.make or gym.make_vec made of one."
            )
        return build_task(task, **kwargs)
    if env_id not in ENVIRONMENTS:
        raise ValueError(unknown_name("environment", env_id, ENVIRONMENTS))
    return build_task(**{**ENVIRONMENTS[env_id], **kwargs})


def build_task(task: Task | str, **kwargs: Any) -> Task:
    """The task itself, or the one named by "package.module:Class", made with `kwargs`."""
    if isinstance(task, Task):
        if kwargs:
            raise ValueError(
                f"arguments {sorted(kwargs)} were given beside a finished task; pass them to it."
            )
        return task
    importlib.import_module(task.partition(":")[0])
    return imported_task_class(task)(**kwargs)


def imported_task_class(name: str) -> type[Task]:
    """The task class "package.module:Class" of a module that is imported already; nothing of it is run.

    Raises:
        ValueError: If the module is not imported.
        TypeError: If it has no such class, or one that is no `Task`.
    """
    module, _, qualname = name.partition(":")
    if module not in sys.modules:
        raise ValueError(f"task {name!r}: no module {module!r} is imported.")
    value: Any = sys.modules[module]
    for part in qualname.split("."):
        value = vars(value).get(part) if isinstance(value, (type, ModuleType)) else None
    if not (isinstance(value, type) and issubclass(value, Task)):
        raise TypeError(
            f"task {name!r}: got {value!r}; expected a subclass of plastic_envs.Task, named "
            '"package.module:Class".'
        )
    return value


def trusted_task_class(name: str, trust: bool = False) -> type[Task]:
    """The task class that a file names, as "package.module:Class", if it may be used.

    What a file names is imported only where a registered environment names it too, or the user trusts the
    file. A class of a module that is imported already may be used. Whatever it is, it must be a `Task`; it is
    not called here.

    Args:
        name: The name in the file.
        trust: Import the module whatever it is.

    Raises:
        ValueError: If the class may not be used, or is no task.
    """
    if trust or name in _registered_tasks():
        try:
            importlib.import_module(name.partition(":")[0])
        except (ImportError, ValueError) as error:
            raise ValueError(f"the task {name!r} cannot be imported: {error}.") from error
    try:
        return imported_task_class(name)
    except TypeError as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        raise ValueError(
            f"the task {name!r} is not registered, and its module is not imported, so it is not run. Import "
            "the module first, or pass trust=True if you know who wrote the file."
        ) from error


def _registered_tasks() -> set[str]:
    """Names of the task classes of all registered environments, those that users registered included."""
    rows = [spec.kwargs for spec in gym.registry.values() if spec.entry_point == _ENTRY_POINT]
    return {task for row in [*ENVIRONMENTS.values(), *rows] if isinstance(task := row.get("task"), str)}
