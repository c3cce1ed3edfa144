"""Gymnasium's view of a task: many episodes side by side."""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from plastic_envs.actions import ActionCheck
from plastic_envs.registry import build_task
from plastic_envs.task import Task
from plastic_envs.views.attributes import SharedAttributes
from plastic_envs.views.env import _PICTURES_PER_SECOND, RENDER_MODES, _check_render_mode, _picture
from plastic_envs.views.reel import Reel
from plastic_envs.views.resets import environment_seeds, next_task, reset_rows

__all__ = ["TaskVectorEnv"]


class TaskVectorEnv(SharedAttributes):
    """`num_envs` episodes side by side, each environment with its own stream of seeds.

    Like `SyncVectorEnv` of `TaskEnv`, only faster. `info` holds the fields of `TaskEnv`'s as arrays, with
    Gymnasium's `_name` masks, but not `num_asked` and `num_right`, which would cost a step too much. What a
    step returns may be kept or changed: no other step shows it, and the environment does not read it.

    All environments play one task. So `options`, or a seed, that change it must be given to all of them.

    Args:
        task: A task; or its class or name ("module:Name" or "file.py:Name"), with its arguments in `kwargs`.
        num_envs: Number of episodes side by side.
        render_mode: "rgb_array", "ansi" or None.
        max_episode_steps: Episodes that are longer are truncated after so many steps; None: none is.
        autoreset_mode: What follows an episode's last step. NEXT_STEP: the step after it starts the next
            episode; its action is not used and its reward is 0, so learners mask that step. SAME_STEP: that
            very step shows the next episode's first observation, and the last one in
            `info["final_obs"]` and `info["final_info"]`. DISABLED: nothing, so that `reset` has to be called
            with a `reset_mask`.
    """

    metadata = {
        "render_modes": list(RENDER_MODES),
        "render_fps": _PICTURES_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        task: Task | type[Task] | str | None = None,
        num_envs: int = 1,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        for name, number in {"num_envs": num_envs, "max_episode_steps": max_episode_steps}.items():
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}: expected at least 1.")
        self.render_mode = _check_render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.task = self._first_task = build_task(task, **kwargs)
        self.num_envs = operator.index(num_envs)
        self.max_episode_steps = None if max_episode_steps is None else operator.index(max_episode_steps)
        self.single_observation_space = deepcopy(self.task.observation_space)
        self.single_action_space: spaces.Discrete | spaces.Box = deepcopy(self.task.action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._checked = ActionCheck(self.single_action_space, self.num_envs)
        self._pauses = self.autoreset_mode is not AutoresetMode.SAME_STEP
        goes_on = self.autoreset_mode is not AutoresetMode.DISABLED
        self._reel = Reel(self.task, self.num_envs, int(self._pauses), goes_on, self.max_episode_steps)
        self._actions: list[npt.NDArray[Any]] = []
        self._attributes: dict[str, tuple[Any, ...]] = {}

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode in every environment. What is refused changes nothing.

        Args:
            seed: Environment b is seeded with `seed + b`, or with `seed[b]`; those of None go on.
            options: As in `TaskEnv.reset`, for all environments alike. A `reset_mask` (num_envs,) among them
                says which start a new episode; the others stay where they are, and `info` has nothing of
                them.

        Raises:
            ValueError: If a seed is no whole number, the task has no such option, or the environments would
                play different tasks.
        """
        fresh, seeds, task = self._asked_reset(seed, options)
        seeded = [b for b in np.flatnonzero(fresh) if seeds[b] is not None or not self._reel.generators]
        generators = {int(b): seeding.np_random(seeds[b]) for b in seeded}
        observations, info = self._reel.start(fresh, generators, task)
        self.task = task
        if fresh.all():
            self._actions = []
        return observations, info

    def _asked_reset(
        self, seed: Any, options: dict[str, Any] | None
    ) -> tuple[npt.NDArray[np.bool_], list[int | None], Task]:
        """Environments that start anew (num_envs,), their seeds, and the task to go on with."""
        options = dict(options or {})
        fresh = reset_rows(options.pop("reset_mask", None), self.num_envs)
        seeds = environment_seeds(seed, self.num_envs)
        if not self._reel.has_begun and not fresh.all():
            raise gym.error.ResetNeeded("there is no episode yet; call reset() without a reset_mask first.")
        restarts = [seeds[b] is not None for b in np.flatnonzero(fresh)]
        task = next_task(self._first_task if any(restarts) else self.task, options)
        mixed = any(restarts) and not all(restarts) and self.task is not self._first_task
        if task is not self.task and (mixed or not fresh.all()):
            raise ValueError(
                f"reset with seed={seed!r} and options={options} would give some environments another task; "
                "reset all of them, or make them with vectorization_mode='sync'."
            )
        return fresh, seeds, task

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[Any],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Answer the current observations; environments that had ended start anew instead.

        Raises:
            ValueError: If an action that has an effect is not in the action space.
            ResetNeeded: If there is no episode yet or, where autoreset is disabled, one is over.
        """
        reel = self._reel_with_episodes()
        over = reel.over if self._pauses else None
        if self.autoreset_mode is AutoresetMode.DISABLED and reel.over.any():
            raise gym.error.ResetNeeded(
                f"the episodes of environments {np.flatnonzero(reel.over).tolist()} are over and autoreset "
                "is disabled; call reset(options={'reset_mask': terminated | truncated})."
            )
        actions = self._checked(actions, over)
        rewards = np.zeros(self.num_envs)
        at = reel.active
        columns = reel.columns[at]
        if len(columns):
            episodes, steps, answers = reel.episodes, reel.steps[at], actions[at]
            rewards[at] = self.task.reward(episodes, steps, columns, answers)
            if self.task.closed_loop:
                self.task.advance(episodes, steps, columns, answers)
        if self.render_mode is not None:
            self._actions.append(actions.copy())
        observations, terminated, truncated, info = reel.next()
        return observations, rewards, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """One picture (or text) per environment."""
        reel = self._reel_with_episodes()
        frames = []
        for b, (column, step) in enumerate(zip(reel.columns, reel.steps, strict=True)):
            recent = self._actions[len(self._actions) - step :]
            past = np.array([a[b] for a in recent], dtype=self.single_action_space.dtype)
            past = past.reshape(-1, *(self.single_action_space.shape or ()))
            frames.append(_picture(self.task, self.render_mode, reel.episodes, column, step, past))
        return None if self.render_mode is None else tuple(frames)
