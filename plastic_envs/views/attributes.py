"""Attributes of the environments in a vector environment that has none, as Gymnasium asks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from plastic_envs.views.env import TaskEnv
from plastic_envs.views.reel import Reel

__all__ = ["SharedAttributes"]

# Attributes of `TaskEnv` that are alike in all environments, and what the vector environment calls them.
_ATTRIBUTES = {
    "action_space": "single_action_space",
    "metadata": "metadata",
    "observation_space": "single_observation_space",
    "render_mode": "render_mode",
    "spec": "spec",
    "task": "task",
}


class SharedAttributes(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """Environments that share one task, and so most attributes."""

    _reel: Reel
    _attributes: dict[str, tuple[Any, ...]]  # those set from outside

    def _reel_with_episodes(self) -> Reel:
        if not self._reel.has_begun:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        return self._reel

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each environment's seeds, which has drawn those of episodes made ahead too."""
        return tuple(generator for generator, _ in self._reel.generators.values())

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Last seed of each environment."""
        return tuple(seed for _, seed in self._reel.generators.values())

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute of each environment; what a method of it returns, where it is one."""
        values = self._attribute(name)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment, as `TaskEnv` has it."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment: a list or tuple of values, or one for all.

        Raises:
            ValueError: If the number of values is wrong, or the attribute is one of `TaskEnv`'s, which can
                not be changed here.
        """
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values of {name!r} for {self.num_envs} environments.")
        if name in _ATTRIBUTES or name in dir(TaskEnv):
            raise ValueError(f"{name!r} cannot be set here: all environments share one task.")
        self._attributes[name] = tuple(values)

    def _attribute(self, name: str) -> tuple[Any, ...]:
        if name in self._attributes:
            return self._attributes[name]
        if name in ("np_random", "np_random_seed"):
            values: tuple[Any, ...] = getattr(self, name)
            return values
        if name == "render":
            return tuple(lambda frame=frame: frame for frame in self.render() or [None] * self.num_envs)
        if name == "episodes":
            episodes = replace(self._reel_with_episodes().episodes, seeds=self._reel.seeds)
            return tuple(episodes.select([column]) for column in self._reel.columns)
        if name not in _ATTRIBUTES:
            raise AttributeError(
                f"the environments have no attribute {name!r} that can be read from outside; there are "
                f"{[*_ATTRIBUTES, 'episodes', 'np_random', 'np_random_seed', 'render', *self._attributes]}."
            )
        return (getattr(self, _ATTRIBUTES[name]),) * self.num_envs
