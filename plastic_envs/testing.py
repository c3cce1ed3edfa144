"""Checks for tasks written outside this package.

Call it in a test, or while a task is being written::

    from plastic_envs.testing import check_task

    print(check_task(MyTask()))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from plastic_envs.task import Task
from plastic_envs.task_checks import arrays, play, scores
from plastic_envs.task_checks.case import Case, TaskError
from plastic_envs.views.resets import whole_seed

__all__ = ["Report", "TaskError", "check_task"]


@dataclass(frozen=True)
class Report:
    """Result of `check_task` for a task without mistakes.

    Attributes:
        checked: Names of the checks.
        missing: What the task does not have, so that it was not checked.
    """

    checked: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return f"checked: {', '.join(self.checked)}\nmissing: {', '.join(self.missing) or 'nothing'}"


def check_task(
    task: Task,
    *,
    seed: int = 0,
    batch_size: int = 64,
    max_steps: int = 1000,
    chance_tolerance: float = 0.0,
    oracle_tolerance: float = 0.0,
    pictures: bool = True,
) -> Report:
    """Check that a task keeps the promises that environments and agents rely on.

    Args:
        task: The task. What it lacks (chance, ideal observer, pictures, ...) is no mistake.
        seed: Fixes episodes and random actions.
        batch_size: Number of episodes, 4 or more. With more of them scores are checked more sharply.
        max_steps: How far longer episodes are played step by step.
        chance_tolerance: How much less than `task.chance` uniform random actions may score, beside 4 standard
            errors: more than 0 where the rules alone exclude some actions.
        oracle_tolerance: How much less than `reference_scores` tells the ideal observer may score, beside 4
            standard errors.
        pictures: Whether to draw pictures too, which takes matplotlib.

    Returns:
        What was checked, and what the task does not have.

    Raises:
        TaskError: If the task breaks a promise: what was found, what is expected, what to do.
        ValueError: If an argument is wrong, or the task itself refuses what is asked of it.
    """
    if batch_size < 4 or max_steps < 1:
        raise ValueError(
            f"batch_size={batch_size}, max_steps={max_steps}: expected at least 4 episodes and 1 step."
        )
    case = Case(
        task, whole_seed(seed) or 0, batch_size, max_steps, chance_tolerance, oracle_tolerance, pictures
    )
    arrays.check_spaces(case)
    if len(arrays.generated(case).observations) == batch_size:  # so that T and B can be told apart
        case = replace(case, batch_size=batch_size + 1)
    notes = {name: check(case) for name, check in _CHECKS.items()}
    return Report(
        ("spaces", *(name for name, note in notes.items() if note is None)),
        tuple(note for note in notes.values() if note is not None),
    )


_CHECKS: dict[str, Callable[[Case], str | None]] = {
    "arrays": arrays.check_arrays,
    "rows": arrays.check_rows,
    "resets": arrays.check_resets,
    "loss weights": arrays.check_loss_weights,
    "closed loop": play.check_closed_loop,
    "rewards": play.check_rewards,
    "views": play.check_views,
    "pictures": play.check_pictures,
    "describe": scores.check_describe,
    "splits": scores.check_splits,
    "chance": scores.check_chance,
    "oracle": scores.check_oracle,
}
"""Each check by its name; it returns None, or what the task lacks."""
