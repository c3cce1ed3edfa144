"""The table of environments: id, task class, keyword arguments. Others' tasks join it by `register`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from plastic_envs.arguments import unknown_name
from plastic_envs.naming import absolute, at_hand, imported, is_name, name_of
from plastic_envs.task import Task

__all__ = [
    "ENVIRONMENTS",
    "TASKS",
    "build_task",
    "make_task",
    "register",
    "register_all",
    "registered_by_others",
    "trusted_task_class",
]

_ENTRY_POINT = "plastic_envs:TaskEnv"
_VECTOR_ENTRY_POINT = "plastic_envs:TaskVectorEnv"
_ANY_TASK = "PlasticTask-v0"

TASKS: dict[str, str] = {
    "CognitiveBattery": "plastic_envs.cognitive.battery",
    "EvidenceIntegration": "plastic_envs.evidence.task",
    "GraphExplore": "plastic_envs.graph.explore",
    "GraphWalk": "plastic_envs.graph.walk",
    "SensorimotorAssociation": "plastic_envs.sensorimotor.association",
    "SensorimotorBlock": "plastic_envs.sensorimotor.block",
    "StimulusCoding": "plastic_envs.stimulus_coding.task",
    "TransitiveInference": "plastic_envs.transitive.task",
}
"""Task classes that `plastic_envs` shows, each with its module, which is imported when first asked for."""

_GRAPH = "plastic_envs:GraphWalk"
_TRANSITIVE = "plastic_envs:TransitiveInference"
_STIMULUS = "plastic_envs:StimulusCoding"
_BATTERY = "plastic_envs:CognitiveBattery"

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
    "PlasticGraph-explore-v0": {"task": "plastic_envs:GraphExplore"},
    "TransitiveInference-v0": {"task": _TRANSITIVE},
    "TransitiveInference-linking-v0": {"task": _TRANSITIVE, "num_items": 8, "schedule": "linking"},
    "StimulusCoding-estimation-v0": {"task": _STIMULUS, "readout": "estimation", "num_steps": 2000},
    "StimulusCoding-classification-v0": {"task": _STIMULUS, "readout": "classification", "num_steps": 2000},
    "SensorimotorAssociation-v0": {"task": "plastic_envs:SensorimotorAssociation"},
    "SensorimotorAssociation-block-v0": {"task": "plastic_envs:SensorimotorBlock", "dt_ms": 100},
    **{f"Cognitive-{name}-v0": {"task": _BATTERY, **row} for name, row in _BATTERY_ROWS.items()},
    **{
        f"Cognitive-{name}-vector-v0": {"task": _BATTERY, **row, "response": "vector"}
        for name, row in _BATTERY_ROWS.items()
    },
    "EvidenceIntegration-v0": {"task": "plastic_envs:EvidenceIntegration"},
}


_OURS = frozenset(ENVIRONMENTS)


def register(env_id: str, task: type[Task] | str, **kwargs: Any) -> None:
    """Add an environment to the suite: `gym.make`, `gym.make_vec`, `make_task` and the runner then know it.

    Registering the same once more changes nothing.

    Args:
        env_id: Its id, such as "Bandit-v0".
        task: The task's class, or its name: "package.module:Name" or "path/to/file.py:Name". A name is
            imported when the environment is first made, also in processes that this one starts.
        **kwargs: Arguments of the task.

    Raises:
        TypeError: If the class is no `Task`.
        ValueError: If another environment has this id, or a name has another form.
    """
    if isinstance(task, type):
        if inspect.isabstract(task) or not issubclass(task, Task):
            raise TypeError(
                f"{env_id}: got {task!r}; expected a subclass of plastic_envs.Task with `generate`."
            )
        # A class of a function's body has no name that could be looked up.
        source: Any = task if "<" in task.__qualname__ else name_of(task)
    elif is_name(task):
        source = absolute(task)
    else:
        raise ValueError(
            f'{env_id}: task={task!r}: expected a class, "package.module:Name" or "path/to/file.py:Name".'
        )
    row = {"task": source, **kwargs}
    if env_id in gym.registry and ENVIRONMENTS.get(env_id) != row:
        raise ValueError(
            f"{env_id!r} is registered already, as {ENVIRONMENTS.get(env_id)}; choose another id."
        )
    if env_id not in gym.registry:
        _register(env_id, row)
        ENVIRONMENTS[env_id] = row


def _register(env_id: str, kwargs: Mapping[str, Any]) -> None:
    gym.register(env_id, _ENTRY_POINT, vector_entry_point=_VECTOR_ENTRY_POINT, kwargs=dict(kwargs))


def register_all() -> None:
    """Register every environment with Gymnasium (once; importing `plastic_envs` does it)."""
    for env_id, kwargs in {_ANY_TASK: {}, **ENVIRONMENTS}.items():
        if env_id not in gym.registry:
            _register(env_id, kwargs)


def registered_by_others() -> dict[str, dict[str, Any]]:
    """Environments of others; `register(id, **row)` makes them known to another process."""
    return {env_id: row for env_id, row in ENVIRONMENTS.items() if env_id not in _OURS}


def build_task(task: Task | type[Task] | str | None = None, **kwargs: Any) -> Task:
    """The task itself, or the one of a class or a name ("package.module:Name"), made with `kwargs`.

    Raises:
        ValueError: If arguments were given beside a finished task, or nothing has that name.
        TypeError: If it is no task.
    """
    if isinstance(task, Task):
        if kwargs:
            raise ValueError(
                f"arguments {sorted(kwargs)} were given beside a finished task; pass them to it."
            )
        return task
    if isinstance(task, str):
        return _task_class(imported(task), task)(**kwargs)
    return _task_class(task, repr(task))(**kwargs)


def _task_class(value: Any, name: str) -> type[Task]:
    if not (isinstance(value, type) and issubclass(value, Task)):
        raise TypeError(
            f"task {name}: got {value!r}; expected a subclass of plastic_envs.Task, or the name of one: "
            '"package.module:Name" or "path/to/file.py:Name".'
        )
    return value


def make_task(env_id: str | gym.Env[Any, Any] | VectorEnv[Any, Any, Any], **kwargs: Any) -> Task:
    """The task behind an environment, for whole batches of episodes.

    Args:
        env_id: A registered id, such as "PlasticGraph-disjoint-v0"; the name of a task class,
            "package.module:Name" or "path/to/file.py:Name", which is imported; or an environment, whose task
            this is then.
        **kwargs: Arguments of the task that replace the registered ones.

    Raises:
        ValueError: If there is no such id (with the nearest ones) or name.
        TypeError: If it is no environment of this suite, or the name is not of a task.
    """
    if not isinstance(env_id, str):
        task = getattr(getattr(env_id, "unwrapped", None), "task", None)
        if not isinstance(task, Task):
            raise TypeError(
                f"got {env_id!r}; expected the id of an environment of this suite, or an environment that "
                "gym.make or gym.make_vec made of one."
            )
        return build_task(task, **kwargs)
    if is_name(env_id):
        return build_task(env_id, **kwargs)
    if env_id not in ENVIRONMENTS:
        raise ValueError(unknown_name("environment", env_id, ENVIRONMENTS))
    return build_task(**{**ENVIRONMENTS[env_id], **kwargs})


def trusted_task_class(name: str, trust: bool = False) -> type[Task]:
    """The task class that a file names, as "module:Name" or "file.py:Name", if it may be used.

    What a file names is imported only where a registered environment names it too, or the user trusts the
    file. A class of a module that is imported already may be used. Whatever it is, it must be a `Task`; it is
    not called here.

    Args:
        name: The name in the file.
        trust: Import the module whatever it is.

    Raises:
        ValueError: If the class may not be used, or is no task.
    """
    try:
        may_run = trust or name in _registered_tasks()
        return _task_class(imported(name) if may_run else at_hand(name), repr(name))
    except TypeError as error:
        raise ValueError(str(error)) from error
    except LookupError as error:
        raise ValueError(
            f"the task {name!r} is not registered, and its module is not imported, so it is not run. Import "
            "or register it first, or pass trust=True (--trust) if you know who wrote the file."
        ) from error


def _registered_tasks() -> set[str]:
    """Names of the task classes of all registered environments, those registered with Gymnasium included."""
    rows = [spec.kwargs for spec in gym.registry.values() if spec.entry_point == _ENTRY_POINT]
    return {task for row in [*ENVIRONMENTS.values(), *rows] if isinstance(task := row.get("task"), str)}
