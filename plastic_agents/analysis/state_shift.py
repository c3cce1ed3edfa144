"""Directions in which tasks that start from different states answer the same stimulus.

For each pair of tasks and each direction of the first stimulus: the distance between the tasks' mean states
at the last step of fixation, against the angle between their displacements in the first step of the
stimulus. Both are averaged over directions, which leaves one point per pair of tasks; a line through the
origin is fitted. Computed alike for h, M and W * M.

Letters for shapes: T tasks, K directions, n units, P = T (T - 1) / 2 pairs.

Source: MultiTaskMPN (Allen Institute), state-space shift, with input noise 0.01 and 50 trials per task.
Pairs that share a task are not independent, so beside the line's p there is one by permuting tasks (Mantel,
Cancer Research 27, 1967), which is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.statistics import Line, pearson

Floats = npt.NDArray[np.float64]

CATEGORIES = {
    "Pro Delayed": ("fdgo", "delaygo"),
    "Anti Delayed": ("fdanti", "delayanti"),
    "Pro Reaction": ("reactgo",),
    "Anti Reaction": ("reactanti",),
    "Pro Integration": ("delaydm1", "delaydm2", "contextdelaydm1", "contextdelaydm2", "multidelaydm"),
    "Categorization": ("dmsgo", "dmsnogo", "dmcgo", "dmcnogo"),
}


def category_of(task: str) -> str | None:
    """The published category of a compact task; None for others."""
    return next((name for name, tasks in CATEGORIES.items() if task in tasks), None)


class StateShift(NamedTuple):
    """One point per pair of tasks, pairs in the order of `np.triu_indices(T, 1)`.

    Attributes:
        distance: Between the states before the stimulus, mean over directions, (P,).
        angle: Between the displacements, in radians, mean over directions, (P,).
        pairs: The two tasks, (P, 2).
        line: angle = slope distance, through the origin.
        permuted_p: Share of permutations of the tasks, the found order included, in which |r| is as large.
    """

    distance: Floats
    angle: Floats
    pairs: npt.NDArray[np.int64]
    line: Line
    permuted_p: float


def state_shift(
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    rng: np.random.Generator,
    num_permutations: int = 1000,
) -> StateShift:
    """Distance of states before the stimulus against angle of the first displacements.

    Args:
        before: Mean states at the last step of fixation, (T, K, ...), any shape of n entries; NaN for a
            direction that a task did not have (`task_variance.condition_means` of each task's trials).
        after: One step later, at the first step of the stimulus.
        rng: Generator of the permutations.
        num_permutations: Number of permutations.

    Raises:
        ValueError: If there are fewer than 3 tasks, the shapes differ, or a pair of tasks has no direction in
            common.
    """
    from scipy.spatial.distance import cdist
    from scipy.special import betaincc

    if before.shape != after.shape or before.ndim < 3 or len(before) < 3:
        raise ValueError(
            f"states of shapes {before.shape} and {after.shape}: expected both (tasks, directions, ...), "
            "of 3 tasks or more."
        )
    tasks, directions = before.shape[:2]
    distance, angle = np.full((2, directions, tasks, tasks), np.nan)
    for k in range(directions):
        start = np.asarray(before[:, k], dtype=np.float64).reshape(tasks, -1)
        shift = np.asarray(after[:, k], dtype=np.float64).reshape(tasks, -1) - start
        # By differences: the states of two tasks may lie close together and far out.
        distance[k], angle[k] = cdist(start, start), _angles(shift)
    finite = ~(np.isnan(distance) | np.isnan(angle))
    first, second = np.triu_indices(tasks, 1)
    if not finite.any(0)[first, second].all():
        raise ValueError("a pair of tasks has no direction in common: expected at least one.")
    far, turn = (np.where(finite, x, 0.0).sum(0) / np.maximum(finite.sum(0), 1) for x in (distance, angle))
    orders = [np.arange(tasks), *(rng.permutation(tasks) for _ in range(num_permutations))]
    x, y = far[first, second], turn[first, second]
    r, *null = (float(pearson(x, turn[o][:, o][first, second])) for o in orders)
    # Rounding alone must not make an equal correlation smaller.
    as_large = int((np.abs(null) >= abs(r) - 1e-12).sum())
    # The squared cosine of x and y has this distribution where y is independent of x, of mean 0.
    p = float(betaincc(0.5, (len(x) - 1) / 2, min((x @ y) ** 2 / ((x @ x) * (y @ y)), 1.0)))
    line = Line(float(x @ y / (x @ x)), 0.0, r, p, len(x))
    return StateShift(x, y, np.stack((first, second), 1), line, (1 + as_large) / (1 + num_permutations))


def _angles(vectors: Floats) -> Floats:
    """Angles between rows, in radians, (T, T); NaN for a vector of no length."""
    from scipy.spatial.distance import cdist

    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, size, out=np.full_like(vectors, np.nan), where=size > 0)
    # Kahan's: as exact for small angles as for large ones, which arccos of the cosine is not.
    return np.asarray(2 * np.arctan2(cdist(unit, unit), cdist(unit, -unit)))
