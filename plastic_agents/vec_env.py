"""Our vector environments for Stable-Baselines3, whose algorithms take `VecEnv`s only.

    envs = gym.make_vec("TransitiveInference-v0", num_envs=64)
    PPO("MlpPolicy", VecMonitor(TaskVecEnv(envs))).learn(100_000)

What it shows is what `DummyVecEnv` of as many single environments shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from plastic_envs import TaskVectorEnv

__all__ = ["TaskVecEnv"]


class TaskVecEnv(VecEnv):
    """A vector environment of this suite, as Stable-Baselines3 wants it.

    Args:
        envs: What `gym.make_vec` gives for an id of this suite. Its task, number of environments, limit of
            steps and render mode are taken over; it is not played itself, and its autoreset mode does not
            matter.

    Raises:
        TypeError: If `envs` is something else. Wrappers go around this class (`VecMonitor`, `VecNormalize`).
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(envs, TaskVectorEnv):
            raise TypeError(
                f"expected a vector environment of this suite without wrappers, got {type(envs).__name__}; "
                "make it with gym.make_vec(id, num_envs=n), and put Stable-Baselines3's wrappers around."
            )
        self.envs = TaskVectorEnv(
            envs.task, envs.num_envs, envs.render_mode, envs.max_episode_steps, AutoresetMode.SAME_STEP
        )
        self.envs.spec = envs.spec
        self._actions: npt.NDArray[Any] = np.zeros(0)
        super().__init__(envs.num_envs, self.envs.single_observation_space, self.envs.single_action_space)

    def reset(self) -> npt.NDArray[np.float32]:
        """Start new episodes, with the seeds and options given since the last time."""
        if any(options != self._options[0] for options in self._options):
            raise ValueError(
                f"options {self._options} differ between environments, which share one task; use "
                "make_vec_env(id, n_envs=n) of Stable-Baselines3 for that."
            )
        observations, info = self.envs.reset(seed=self._seeds, options=self._options[0])
        self.reset_infos = _by_environment(info)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the actions for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Observations, rewards, dones and infos; where an episode is over, the next one's observation."""
        observations, rewards, terminated, truncated, info = self.envs.step(self._actions)
        dones = terminated | truncated
        rows = _by_environment(info)
        if dones.any():
            finals = _by_environment(info["final_info"])
            for b in np.flatnonzero(dones).tolist():
                self.reset_infos[b] = rows[b]
                rows[b] = {**finals[b], "terminal_observation": info["final_obs"][b]}
        for b, row in enumerate(rows):
            row["TimeLimit.truncated"] = bool(truncated[b] and not terminated[b])
        return observations, rewards.astype(np.float32), dones, rows

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """A picture of each environment."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return list(self.envs.render() or ())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment, as `TaskEnv` has it."""
        values = self.envs.get_attr(attr_name)
        return [values[b] for b in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment; those of `TaskEnv` itself cannot be set."""
        try:
            values = list(self.envs.get_attr(attr_name))
        except AttributeError:
            values = [None] * self.num_envs
        for b in self._get_indices(indices):
            values[b] = value
        self.envs.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Results of a method of each environment."""
        values = self.envs.call(method_name, *method_args, **method_kwargs)
        return [values[b] for b in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for each: there are no wrappers inside."""
        return [False for _ in self._get_indices(indices)]


def _by_environment(info: dict[str, Any]) -> list[dict[str, Any]]:
    """`info` of each environment, without the masks."""
    names = [name for name in info if not name.startswith("_") and name not in ("final_obs", "final_info")]
    return [dict(zip(names, row, strict=True)) for row in zip(*(info[name] for name in names), strict=True)]
