"""Tasks for networks that go on learning after training, as Gymnasium environments.

Importing this package registers the environments::

    import gymnasium as gym
    import plastic_envs

    env = gym.make("PlasticGraph-disjoint-v0")
    envs = gym.make_vec("PlasticGraph-disjoint-v0", num_envs=256)
    episodes = plastic_envs.make_task("PlasticGraph-disjoint-v0").sample(np.random.default_rng(0), 32)
"""

from plastic_envs.core import Association, Episodes, Field, Policy, Task, rollout
from plastic_envs.registration import ENVIRONMENTS, make_task, register_all
from plastic_envs.streams import RowStreams
from plastic_envs.views import TaskEnv, TaskVectorEnv

__version__ = "0.1.0"
__all__ = [
    "ENVIRONMENTS",
    "Association",
    "Episodes",
    "Field",
    "Policy",
    "RowStreams",
    "Task",
    "TaskEnv",
    "TaskVectorEnv",
    "make_task",
    "rollout",
]

register_all()
