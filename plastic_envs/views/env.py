"""Gymnasium's view of a task: one episode, one step at a time."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.actions import check_actions
from plastic_envs.episodes import Episodes
from plastic_envs.registry import build_task
from plastic_envs.task import Task
from plastic_envs.views.records import info_arrays, nothing
from plastic_envs.views.resets import next_task, whole_seed

__all__ = ["RENDER_MODES", "TaskEnv"]

RENDER_MODES = ("rgb_array", "ansi")

_PICTURES_PER_SECOND = 4


def _check_render_mode(render_mode: str | None) -> str | None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode={render_mode!r}: expected one of {RENDER_MODES} or None.")
    return render_mode


def _picture(
    task: Task, mode: str | None, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8] | str | None:
    if mode is None:
        gym.logger.warn(
            "render() was called without a render_mode; pass render_mode='rgb_array' to gym.make."
        )
        return None
    draw = task.render_frame if mode == "rgb_array" else task.render_text
    return draw(episodes, row, step, actions)


class TaskEnv(gym.Env[npt.NDArray[Any], Any]):
    """One episode at a time.

    `info` describes the observation that it comes with: `target` (the right response to it; -1 where nothing
    is right), `weight` (0.0 where the step does not count), `period` (its name is
    `env.unwrapped.task.periods[info["period"]]`), `reset` (whether an agent should forget its activity before
    this step), `episode_number` (from 0, since a seed was given or `options` changed the task), and the
    task's own `info_facts`. Where the score is an accuracy, `num_asked` is the number of steps with a weight
    that have been answered in this episode, and `num_right` of how many the reward was positive. All are
    numbers with a dtype, as libraries that read `info` ask for: NumPy scalars, and flags as arrays of shape
    ().

    An episode ends with `terminated`. The observation after the last step is zeros; `info` there tells what
    it told of the last step, but target -1, weight 0 and no reset.

    Args:
        task: A task; or its class or name ("module:Name" or "file.py:Name"), with its arguments in `kwargs`.
        render_mode: "rgb_array", "ansi" or None.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": _PICTURES_PER_SECOND}

    def __init__(
        self, task: Task | type[Task] | str | None = None, render_mode: str | None = None, **kwargs: Any
    ) -> None:
        self.render_mode = _check_render_mode(render_mode)
        self.task = self._first_task = build_task(task, **kwargs)
        # Copies, as spaces have a generator of their own.
        self.observation_space = deepcopy(self.task.observation_space)
        self.action_space: spaces.Discrete | spaces.Box = deepcopy(self.task.action_space)
        self._episodes: Episodes | None = None
        self._episode = -1
        self._step = 0
        self._counts = {"num_asked": 0, "num_right": 0}
        self._actions: list[Any] = []

    @property
    def episodes(self) -> Episodes:
        """The episode being played, as a batch of one (all of it: targets and facts too)."""
        if self._episodes is None:
            raise gym.error.ResetNeeded("there is no episode yet; call reset() first.")
        return self._episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start the next episode. What is refused changes nothing.

        Args:
            seed: Start over with this seed, and with the task that the environment was made with.
            options: What the task makes of them (`Task.with_options`) holds until a seed or other options
                are given.

        Raises:
            ValueError: If the seed is no whole number, or the task has no such option.
        """
        seed = whole_seed(seed)
        task = next_task(self.task if seed is None else self._first_task, options)
        super().reset(seed=seed)
        self._episode = 0 if seed is not None or task is not self.task else self._episode + 1
        self.task = task
        self._episodes = self.task.sample(self.np_random, 1)
        self._step = 0
        self._counts = dict.fromkeys(self._counts, 0)
        self._actions = []
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Answer the current observation; returns the next one and the reward of the answer."""
        episodes = self.episodes
        if self._step >= episodes.lengths[0]:
            raise gym.error.ResetNeeded("the episode is over; call reset() first.")
        actions = check_actions(self.action_space, np.asarray(action)[None], 1)
        steps, rows = np.array([self._step]), np.array([0])
        reward = float(self.task.reward(episodes, steps, rows, actions)[0])
        if self.task.closed_loop:
            self.task.advance(episodes, steps, rows, actions)
        if episodes.mask[self._step, 0] > 0:
            self._counts["num_asked"] += 1
            self._counts["num_right"] += reward > 0
        self._actions.append(actions[0].copy())
        self._step += 1
        terminated = bool(self._step >= episodes.lengths[0])
        return self._observation(), reward, terminated, False, self._info()

    def render(self) -> Any:
        """The episode at the current step, in the mode asked for at construction."""
        shape = self.action_space.shape or ()
        actions = np.array(self._actions, dtype=self.action_space.dtype).reshape(-1, *shape)
        return _picture(self.task, self.render_mode, self.episodes, 0, self._step, actions)

    def _over(self) -> bool:
        return bool(self._step >= self.episodes.lengths[0])

    def _observation(self) -> npt.NDArray[np.float32]:
        if self._over():
            return np.zeros(self.observation_space.shape or (), dtype=np.float32)
        return np.array(self.episodes.observations[self._step, 0])

    def _info(self) -> dict[str, Any]:
        step = self._step - self._over()
        values = {
            name: np.array(source[step, 0]) for name, source in info_arrays(self.task, self.episodes).items()
        }
        if self._over():
            for name, value in nothing({name: value.dtype for name, value in values.items()}).items():
                values[name][...] = value
        info: dict[str, Any] = {
            name: value if value.ndim or value.dtype == bool else value[()] for name, value in values.items()
        }
        if self.task.score_name == "accuracy":
            info |= {name: np.int64(count) for name, count in self._counts.items()}
        return info | {"episode_number": np.int64(self._episode)}
