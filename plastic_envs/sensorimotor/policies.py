"""Agents that know, or infer, the right choice of each image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plastic_envs.sensorimotor.trial import SensorimotorTask


class ImageMemory:
    """Fixates while the fixation input is on; then makes the choice of the image seen last.

    Args:
        task: The task.
        images: The problem's images, (K, D).
    """

    def __init__(self, task: SensorimotorTask, images: npt.NDArray[np.float64]) -> None:
        self._task, self._images = task, images
        self._choice = np.zeros(0, dtype=np.int64)

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Actions (B,) for observations (B, O)."""
        if len(self._choice) != len(observations):
            self._choice = np.zeros(len(observations), dtype=np.int64)
        image = observations[:, self._task.field("image").slice]
        fixate = observations[:, self._task.field("fixation").start] > 0
        has_image = image.any(1)
        self._choice[has_image] = (image[has_image] @ self._images.T).argmax(1)
        return np.where(fixate, self._task.fixation, self._choice)


class ProblemSolver:
    """Remembers the images of the problem and which choices each may call for.

    A new image that is orthogonal to those of the problem belongs to it, as long as it has not shown all of
    its images; any other belongs to a new problem. A choice that was right is the image's; one that was wrong
    is not; a choice that one image must have, no other has.

    Args:
        task: What is played.
        image_norm: Euclidean length of the images that it shows.
    """

    _ALIKE, _ORTHOGONAL = 0.999, 1e-3

    def __init__(self, task: SensorimotorTask, image_norm: float) -> None:
        self._task, self._image_norm = task, image_norm
        self._images = np.zeros((0, task.num_images, task.image_dim))
        self._possible = np.zeros((0, task.num_images, task.num_images), dtype=bool)
        self._count = self._now = self._choice = np.zeros(0, dtype=np.int64)
        self._last = np.zeros((0, task.image_dim))  # the image field of the last step

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Actions (B,) for observations (B, O)."""
        task = self._task
        if len(self._count) != len(observations):
            episode_starts = np.ones(len(observations), dtype=bool)
        if episode_starts.any():
            self._forget(episode_starts)
        image = observations[:, task.field("image").slice].astype(np.float64) / self._image_norm
        reward = observations[:, task.field("reward").start]
        appears = image.any(1) & (image != self._last).any(1)
        for row in np.flatnonzero(reward).tolist():
            self._learn(row, bool(reward[row] > 0))
        for row in np.flatnonzero(appears).tolist():
            self._now[row] = self._recognise(row, image[row])
            self._choice[row] = self._possible[row, self._now[row]].argmax()
        self._last = image
        fixate = observations[:, task.field("fixation").start] > 0
        return np.where(fixate, task.fixation, self._choice)

    def _forget(self, rows: npt.NDArray[np.bool_]) -> None:
        """Start anew in some rows."""
        task, batch = self._task, len(rows)
        if len(self._count) != batch:
            self._images = np.zeros((batch, task.num_images, task.image_dim))
            self._possible = np.ones((batch, task.num_images, task.num_images), dtype=bool)
            self._count, self._now, self._choice = (np.zeros(batch, dtype=np.int64) for _ in range(3))
            self._last = np.zeros((batch, task.image_dim))
        self._count[rows] = self._choice[rows] = 0
        self._last[rows] = 0.0
        self._possible[rows] = True

    def _recognise(self, row: int, image: npt.NDArray[np.float64]) -> int:
        """The place of an image in the problem's memory."""
        count = self._count[row]
        likeness = self._images[row, :count] @ image
        if count and likeness.max() > self._ALIKE:
            return int(likeness.argmax())
        if count == self._task.num_images or (np.abs(likeness) > self._ORTHOGONAL).any():
            count, self._possible[row] = 0, True  # another problem
        self._images[row, count] = image
        self._count[row] = count + 1
        return int(count)

    def _learn(self, row: int, right: bool) -> None:
        """Take in whether the last choice was right."""
        possible, now, choice = self._possible[row], self._now[row], self._choice[row]
        possible[now] &= (np.arange(len(possible)) == choice) == right
        for _ in range(len(possible)):
            sure = possible.sum(1) == 1
            for k in np.flatnonzero(sure):
                possible[np.arange(len(possible)) != k] &= ~possible[k]
