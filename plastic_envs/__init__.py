"""Tasks for networks that go on learning after training, as Gymnasium environments.

Importing this package registers the environments::

    import gymnasium as gym
    import plastic_envs

    env = gym.make("PlasticGraph-disjoint-v0")
    envs = gym.make_vec("PlasticGraph-disjoint-v0", num_envs=256)
    episodes = plastic_envs.make_task("PlasticGraph-disjoint-v0").sample(np.random.default_rng(0), 32)
"""

from __future__ import annotations

import importlib
from typing import Any

from plastic_envs.episodes import Association, Episodes, Field
from plastic_envs.policy import Policy
from plastic_envs.registry import ENVIRONMENTS, TASKS, make_task, register, register_all
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task, rollout
from plastic_envs.views.env import TaskEnv
from plastic_envs.views.vector_env import TaskVectorEnv

__version__ = "0.1.0"
__all__ = [
    "ENVIRONMENTS",
    "TASKS",
    "Association",
    "Episodes",
    "Field",
    "Policy",
    "RowStreams",
    "Task",
    "TaskEnv",
    "TaskVectorEnv",
    "make_task",
    "register",
    "rollout",
]


def __getattr__(name: str) -> Any:
    """A task class by its name (`plastic_envs.GraphWalk`); its module is imported when first asked for."""
    if name in TASKS:
        return getattr(importlib.import_module(TASKS[name]), name)
    raise AttributeError(f"module 'plastic_envs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *TASKS])


register_all()
