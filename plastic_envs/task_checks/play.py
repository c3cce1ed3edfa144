"""Playing: rewards, what actions change, and the same steps in every view."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import SyncVectorEnv, VectorEnv

from plastic_envs.episodes import Episodes
from plastic_envs.task_checks.arrays import check_observations
from plastic_envs.task_checks.case import Case, named_arrays
from plastic_envs.views.env import TaskEnv
from plastic_envs.views.records import info_arrays
from plastic_envs.views.vector_env import TaskVectorEnv

__all__ = ["check_closed_loop", "check_pictures", "check_rewards", "check_views"]

_SIDE_BY_SIDE = 3  # environments that are played step by step


def check_rewards(case: Case) -> None:
    """Rewards are finite, and nothing else happens."""
    episodes, actions = case.played()
    before = episodes.copy()
    rows, steps = np.nonzero(np.arange(episodes.num_steps) < episodes.lengths[:, None])
    rewards = np.asarray(case.task.reward(episodes, steps, rows, actions[steps, rows]))
    case.same(episodes, before, "is changed by `reward`: write to episodes in `advance` only.")
    case.require(
        rewards.shape == steps.shape, f"rewards of shape {rewards.shape}: expected {steps.shape}, (K,)."
    )
    case.require(np.isfinite(rewards), "rewards are not finite: mend `reward`.")
    unpaid = case.task.pays_unweighted or (rewards == 0) | (episodes.mask[steps, rows] > 0)
    case.require(
        unpaid, "a step of weight 0 has a reward although pays_unweighted is False: set it to True, or pay 0."
    )


def check_views(case: Case) -> None:
    """`sample`, `TaskEnv` and `TaskVectorEnv` show the same, up to the next episode's first step."""
    task, num_envs = case.task, _SIDE_BY_SIDE
    generators = [np.random.default_rng(case.seed + b) for b in range(num_envs)]
    whole, later = (task.sample(generators, num_envs) for _ in range(2))
    actions = case.actions(whole.num_steps + 1, num_envs)
    rewards = case.play(whole, actions)
    check_observations(case, whole)
    frames = whole.num_steps + 2 if whole.num_steps < case.max_steps else case.max_steps
    steps = np.arange(frames)[:, None]
    live, begins = steps < whole.lengths, np.nonzero(steps == whole.lengths + 1)
    shown = {"observation": whole.observations, **info_arrays(task, whole)}
    expected = {
        "reward": np.insert(rewards, 0, 0.0, axis=0)[:frames],
        "over": steps == whole.lengths,
        **{name: np.zeros((frames, *array.shape[1:]), array.dtype) for name, array in shown.items()},
    }
    for name, array in shown.items():
        expected[name][: len(array)] = array[:frames]
    expected["observation"][~live] = 0
    expected["observation"][begins] = later.observations[0][begins[1]]
    for view, envs in (
        ("TaskEnv", SyncVectorEnv([partial(TaskEnv, task)] * num_envs)),
        ("TaskVectorEnv", TaskVectorEnv(task, num_envs)),
    ):
        frames_of_envs = list(_frames(envs, case.seed, actions[: frames - 1]))
        for name, array in expected.items():
            valid = live if name in shown and name != "observation" else steps <= whole.lengths + 1
            actual = np.stack([frame[name] for frame in frames_of_envs])
            wrong = np.argwhere(_differs(actual, array, 2) & valid)
            case.require(
                not len(wrong),
                f"{view} shows another {name} than `sample` has at (step, row) {wrong[:1].tolist()}: what "
                "`reward` and `advance` do may depend on the given steps, rows and actions only.",
            )


def _frames(
    envs: VectorEnv[Any, Any, Any], seed: int, actions: npt.NDArray[Any]
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """All that environments show, step by step."""
    observations, infos = envs.reset(seed=seed)
    nothing = np.zeros(envs.num_envs)
    yield {**infos, "observation": observations, "reward": nothing, "over": nothing}
    for row in actions:
        observations, rewards, over, _, infos = envs.step(row)
        yield {**infos, "observation": observations, "reward": rewards, "over": over}


def _differs(one: npt.NDArray[Any], other: npt.NDArray[Any], axes: int) -> npt.NDArray[np.bool_]:
    """Places at which arrays differ, over the first axes; NaN is equal to NaN."""
    differs = (one != other) & ((one == one) | (other == other))
    return np.asarray(differs.reshape(*one.shape[:axes], -1).any(-1))


def check_closed_loop(case: Case) -> str | None:
    """`advance` writes later steps of its own rows only, and the same whenever it is called."""
    task, drawn = case.task, case.sample()
    if not task.closed_loop:
        return "closed loop (actions change nothing that comes)"
    actions, once = case.actions(drawn.num_steps, case.batch_size), drawn.copy()
    time = np.arange(drawn.num_steps)[:, None]
    last = np.full(case.batch_size, drawn.num_steps)  # of rows that are not given
    for steps, rows in case.steps(once):
        is_even = rows % 2 == 0
        if not is_even.any():
            continue
        steps, rows = steps[is_even], rows[is_even]
        before = named_arrays(once.copy())
        task.advance(once, steps, rows, actions[steps, rows])
        last[rows] = steps
        for name, array in named_arrays(once).items():
            case.require(array.shape == before[name].shape, f"advance changed the shape of {name}.")
            timed = name in Episodes._TIME_FIRST or name.startswith("step_facts")
            free = time > last if timed else (last < drawn.num_steps) & (name != "lengths")
            wrong = np.argwhere(_differs(array, before[name], free.ndim) & ~free)
            case.require(
                not len(wrong),
                f"advance at step {steps[:1]} changed {name} at {wrong[0].tolist() if len(wrong) else ''} "
                f"({'step, row' if timed else 'row'}): write later steps of the given rows only, and leave "
                "`lengths` as they are.",
            )
    again, whole = drawn.copy(), task.unplayed(once)
    case.same(whole, drawn, "differs from the episodes as drawn after `unplayed`.")
    for episodes in (again, whole):
        case.play(episodes, actions)
    case.same(whole, again, "differs when the same actions are played again: draw nothing in `advance`.")
    return None


def check_pictures(case: Case) -> str | None:
    """A picture and a text of the first step, and of the end."""
    if not case.pictures:
        return "pictures (not asked for)"
    task, episodes = case.task, case.sample()
    length = int(episodes.lengths[0])
    actions = case.actions(length)
    for step in (0, length):  # after the last step too
        try:
            text: Any = task.render_text(episodes, 0, step, actions[:step])
            frame = task.render_frame(episodes, 0, step, actions[:step])
        except LookupError:
            return "pictures"
        case.require(isinstance(text, str) and text.strip(), f"render_text returned {text!r}: expected text.")
        case.require(
            frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3,
            f"render_frame returned {frame.dtype} {frame.shape}: expected uint8 (H, W, 3).",
        )
    return None
