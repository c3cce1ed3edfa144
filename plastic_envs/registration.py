"""The table of registered environments: id, task class, keyword arguments."""

from __future__ import annotations

import difflib
from typing import Any

import gymnasium as gym

from plastic_envs.core import Task
from plastic_envs.views import build_task

__all__ = ["ENVIRONMENTS", "make_task", "register_all"]

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
                entry_point="plastic_envs.views:TaskEnv",
                vector_entry_point="plastic_envs.views:TaskVectorEnv",
                kwargs=dict(kwargs),
            )


def make_task(env_id: str, **kwargs: Any) -> Task:
    """The task behind a registered environment, for whole batches of episodes.

    Args:
        env_id: A registered id, such as "PlasticGraph-disjoint-v0".
        **kwargs: Arguments of the task that replace the registered ones.

    Raises:
        ValueError: If the id is not in the table (with the nearest ones).
    """
    if env_id not in ENVIRONMENTS:
        near = difflib.get_close_matches(env_id, ENVIRONMENTS, n=3, cutoff=0.3) or list(ENVIRONMENTS)
        raise ValueError(f"unknown environment {env_id!r}; did you mean one of {near}?")
    return build_task(**{**ENVIRONMENTS[env_id], **kwargs})
