"""Common parts of trials of delayed association: periods, observations and actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Size, check_fields
from plastic_envs.episodes import Field
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task

__all__ = [
    "DELAY",
    "GRACE",
    "PERIODS",
    "PUBLISHED_EPOCHS",
    "RESPONSE",
    "SAMPLE",
    "TAU_MS",
    "Epochs",
    "SensorimotorTask",
    "draw_images",
]

MOST_STEPS = 30_000  # of an episode

TAU_MS = 100.0  # time constant of the published network's units, the unit of `Task.step_time`

PERIODS: tuple[str, ...] = ("sample", "delay", "grace", "response")
SAMPLE, DELAY, GRACE, RESPONSE = range(4)


class Epochs(NamedTuple):
    """Durations of a trial's parts, in ms.

    Attributes:
        sample: The image is on, and so is the fixation input.
        delay: The fixation input alone is on.
        grace: Nothing is on: the response is called for, but not scored yet.
        response: Nothing is on, and the response is scored.
    """

    sample: float = 500.0
    delay: float = 1000.0
    grace: float = 100.0
    response: float = 400.0

    def steps(self, dt_ms: float) -> npt.NDArray[np.int64]:
        """Steps of each part, (4,).

        Raises:
            ValueError: If a part is no whole number of steps, or if one but the grace period has none.
        """
        counts = np.array(self) / dt_ms if dt_ms > 0 else np.full(4, np.nan)
        whole = np.round(counts)
        if whole.sum() > MOST_STEPS:
            raise ValueError(
                f"dt_ms={dt_ms} with epochs of {tuple(self)} ms: a trial of {whole.sum():.0f} steps; "
                f"expected at most {MOST_STEPS}."
            )
        if not np.allclose(counts, whole) or (whole[[0, 1, 3]] < 1).any() or whole[2] < 0:
            raise ValueError(
                f"dt_ms={dt_ms} with epochs of {tuple(self)} ms: expected a step that divides all of them, "
                "with at least one step of each but the grace period; 20, 10, 5, 2 and 1 divide the "
                "published."
            )
        return whole.astype(np.int64)


PUBLISHED_EPOCHS = Epochs()

Duration = Annotated[float, Range(0, 1e6)]

StepMs = Annotated[float, Range(1e-3, 1e6)]

NumImages = Annotated[int, Range(2, 200)]

ProblemNumber = Annotated[int, Range(0, 2**31 - 1)]


@dataclass(frozen=True, kw_only=True)
class SensorimotorTask(Task):
    """Common parts of trials of delayed association: periods, observations and actions.

    Args:
        dt_ms: Duration of a step; must divide all epochs.
        num_images: K, images of a problem, and choices.
        image_dim: Entries of an image, at least K.
        epochs: Durations of sample, delay, grace and response, in ms.
    """

    periods = PERIODS
    pictures = "plastic_envs.sensorimotor.render:trials"

    dt_ms: StepMs = 20.0
    num_images: NumImages = 2
    image_dim: Size = 10
    epochs: Sequence[Duration] = PUBLISHED_EPOCHS

    def __post_init__(self) -> None:
        check_fields(self)
        if self.num_images > self.image_dim:
            raise ValueError(
                f"num_images={self.num_images}, image_dim={self.image_dim}: expected at "
                "least as many dimensions as images, for they are orthogonal."
            )
        if len(self.epochs) != len(PERIODS):
            raise ValueError(f"epochs={self.epochs}: expected durations of {PERIODS}, in ms.")
        self._set(
            epochs=Epochs(*self.epochs),
            step_ms=self.dt_ms,
            step_time=self.dt_ms / TAU_MS,
            fields=(Field("image", 0, self.image_dim), Field("fixation", self.image_dim, 1)),
            action_space=spaces.Discrete(self.num_images + 1),
        )

    @cached_property
    def trial_periods(self) -> npt.NDArray[np.int8]:
        """Index into `periods` of each step of a trial, (S,)."""
        steps = self._period_steps()
        return np.repeat(np.arange(len(steps), dtype=np.int8), steps)

    def _period_steps(self) -> npt.NDArray[np.int64]:
        """Steps of each period."""
        return self._epoch_steps

    @cached_property
    def _epoch_steps(self) -> npt.NDArray[np.int64]:
        return Epochs(*self.epochs).steps(self.dt_ms)

    @property
    def fixation(self) -> int:
        """The action that fixates; those below it are choices."""
        return self.num_images

    @property
    def outcome_step(self) -> int:
        """The step of a trial in which its outcome is decided: the last one of the response."""
        return int(np.flatnonzero(self.trial_periods == RESPONSE)[-1])

    def lay_out(
        self, stimuli: npt.NDArray[np.float64], image: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Trials one after another.

        Args:
            stimuli: Image vectors, (R, B, image_dim).
            image: Their numbers, which are the right choices, (R, B).

        Returns:
            Observations (R S, B, O), targets (R S, B) and whether steps are scored, (R S, B).
        """
        parts, (trials, batch) = self.trial_periods, image.shape
        observations = np.zeros((trials, len(parts), batch, *self.observation_space.shape), dtype=np.float32)
        observations[:, parts == SAMPLE, :, : self.image_dim] = stimuli[:, None]
        observations[:, parts <= DELAY, :, self.image_dim] = self.image_dim**-0.5
        targets = np.where((parts <= DELAY)[:, None], self.fixation, image[:, None])
        mask = np.broadcast_to((parts != GRACE)[:, None], targets.shape)
        steps = trials * len(parts)  # (R, S, B, ...) -> (R S, B, ...)
        return (
            observations.reshape(steps, batch, -1), targets.reshape(steps, batch),
            mask.reshape(steps, batch).copy(),
        )  # fmt: skip


def draw_images(streams: RowStreams, num_images: int, image_dim: int) -> npt.NDArray[np.float64]:
    """Random orthonormal images, one set per stream.

    Standard normal vectors, made orthogonal to those before them and of length 1 (Gram-Schmidt).

    Args:
        streams: R of them.
        num_images: K.
        image_dim: D.

    Returns:
        (R, K, D).
    """
    images = streams.normal(num_images, image_dim)
    for k in range(num_images):
        for j in range(k):
            images[:, k] -= (images[:, k] * images[:, j]).sum(-1, keepdims=True) * images[:, j]
        images[:, k] /= np.linalg.norm(images[:, k], axis=-1, keepdims=True)
    return images
