"""Observations and targets of the cognitive battery: codes of angles, layout, noise."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI, circular_distance, evenly_spaced, nearest_direction
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.episodes import Field
from plastic_envs.streams import RowStreams

TUNING_WIDTH = np.pi / 8  # standard deviation of a ring unit's tuning curve
TUNING_PEAK = 0.8
TOLERANCE = 0.2 * np.pi  # a response closer than 36 degrees to the right one is right
_SUBDIVISIONS = 16  # of the distance between two units, where a ring is read
_NO_LENGTH = 1e-6  # a response vector shorter than this points nowhere
_LEVELS = 2**16
_WORDS_AT_ONCE = 2**14

_Floats = npt.NDArray[np.float64]


def bump(theta: npt.NDArray[Any], units: int) -> _Floats:
    """Tuning curves of a ring's units at angles (...) in radians, with a peak of 1: (..., units)."""
    distance = circular_distance(np.asarray(theta)[..., None], evenly_spaced(units))
    return np.asarray(np.exp(-0.5 * np.square(distance / TUNING_WIDTH)))


class StimulusCode:
    """A modality's code of locations and strengths.

    "pair": strength times (sin, cos). "rectified": the same as four channels, [cos]+, [-cos]+, [sin]+,
    [-sin]+. "ring": units with Gaussian tuning curves; several stimuli add up and can be told apart.

    Args:
        kind: "pair", "rectified" or "ring".
        directions: Number of directions, and of a ring's units.
        snaps: Whether a location is replaced by the nearest direction.

    Attributes:
        size: Number of channels.
    """

    def __init__(self, kind: str, directions: int, snaps: bool) -> None:
        self.kind, self.directions, self.snaps = kind, directions, snaps
        self.size = {"pair": 2, "rectified": 4, "ring": directions}[kind]
        self._of_direction = self._unit_code(evenly_spaced(directions))
        fine = evenly_spaced(_SUBDIVISIONS * directions)
        self._fine, self._templates = fine, bump(fine, directions).T if kind == "ring" else np.zeros((0, 0))

    def _unit_code(self, theta: _Floats) -> _Floats:
        if self.kind == "ring":
            return TUNING_PEAK * bump(theta, self.directions)
        sine, cosine = np.sin(theta), np.cos(theta)
        if self.kind == "pair":
            return np.stack((sine, cosine), axis=-1)
        return np.stack([np.maximum(x, 0.0) for x in (cosine, -cosine, sine, -sine)], axis=-1)

    def encode(self, theta: _Floats) -> _Floats:
        """Channels (..., size) of stimuli of strength 1 at angles (...)."""
        if self.snaps:
            return np.asarray(self._of_direction[nearest_direction(theta, self.directions)])
        return self._unit_code(theta)

    def decode(self, channels: _Floats) -> tuple[_Floats, _Floats]:
        """Angle and strength (...) of the stimulus, or of the strongest, that channels (..., size) show."""
        if self.kind == "ring":
            # Least squares of one bump: the best match, and its size.
            likeness = channels @ self._templates
            best = likeness.argmax(-1)
            peak = np.take_along_axis(likeness, best[..., None], axis=-1)[..., 0]
            return self._fine[best], peak / (TUNING_PEAK * np.square(self._templates[:, 0]).sum())
        if self.kind == "pair":
            sine, cosine = channels[..., 0], channels[..., 1]
        else:
            cosine, sine = channels[..., 0] - channels[..., 1], channels[..., 2] - channels[..., 3]
        return np.mod(np.arctan2(sine, cosine), TWO_PI), np.hypot(sine, cosine)


class OutputCode:
    """The code of responses: targets, and the meaning of answers.

    Discrete: 0 fixates, 1 + j responds in direction j. Vector, compact: fixation, then (sin, cos). Vector,
    ring: fixation, then units with Gaussian tuning curves.

    Args:
        settings: The settings of the task.

    Attributes:
        num_outputs: Outputs of a network: actions, or the size of the vector.
    """

    def __init__(self, settings: CognitiveSettings) -> None:
        self.is_discrete = settings.response == "discrete"
        self.is_ring = settings.dialect == "ring"
        self.directions = settings.directions
        self.num_outputs = 1 + (self.directions if self.is_discrete or self.is_ring else 2)
        # What the compact measure rounds angles to; a ring has no directions of its own, and takes its eight.
        self.measured_directions = 8 if self.is_ring else self.directions
        units = np.exp(1j * evenly_spaced(self.directions))
        self._units = units
        self._ring_gain = TUNING_PEAK * float((bump(np.zeros(()), self.directions) * units.real).sum())

    def targets(
        self,
        fixates: npt.NDArray[np.bool_],
        angle: _Floats,
        direction: npt.NDArray[np.int64],
        strength: _Floats,
    ) -> npt.NDArray[Any]:
        """Targets (...) int64, or (..., outputs) float32.

        Args:
            fixates: (...) where fixation is right.
            angle: (...) right response elsewhere, in radians.
            direction: (...) number of the nearest direction.
            strength: (...) length of a compact response.
        """
        if self.is_discrete:
            return np.where(fixates, 0, direction + 1)
        result = np.zeros((*fixates.shape, self.num_outputs), dtype=np.float32)
        responds = ~fixates
        if self.is_ring:
            result[...] = 0.05
            result[..., 0] = np.where(fixates, 0.8, 0.05)
            result[..., 1:] += (responds[..., None] * TUNING_PEAK * bump(angle, self.directions)).astype(
                np.float32
            )
        else:
            result[..., 0] = fixates
            result[..., 1] = responds * strength * np.sin(angle)
            result[..., 2] = responds * strength * np.cos(angle)
        return result

    def read(self, answers: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.complex128]]:
        """Decode answers (...) or (..., outputs).

        Returns:
            Whether they fixate, (...), and the response, (...), as a complex number: its argument is the
            direction, its length 1 for a response as the targets have it. A discrete fixation is 0.
        """
        answers = np.asarray(answers)
        if self.is_discrete:
            fixates = answers == 0
            return fixates, np.where(fixates, 0.0, self._units[np.maximum(answers, 1) - 1])
        fixates = answers[..., 0] > 0.5
        if self.is_ring:
            return fixates, answers[..., 1:].astype(np.float64) @ self._units / self._ring_gain
        return fixates, answers[..., 2].astype(np.float64) + 1j * answers[..., 1].astype(np.float64)

    @staticmethod
    def distance(response: npt.NDArray[np.complex128], angle: _Floats) -> _Floats:
        """Angle in [0, pi] between responses and the right angle; pi where a response points nowhere."""
        off = np.abs(np.angle(response * np.exp(-1j * angle)))
        return np.where(np.abs(response) < _NO_LENGTH, np.pi, off)

    def rounded(self, response: npt.NDArray[np.complex128]) -> npt.NDArray[np.int64]:
        """Number of the direction nearest to a response, after each small component was taken for 0."""
        parts = (np.where(np.abs(part) < 0.05, 0.0, part) for part in (response.imag, response.real))
        return nearest_direction(np.mod(np.arctan2(*parts), TWO_PI), self.measured_directions)


def observation_fields(settings: CognitiveSettings, code_size: int) -> tuple[Field, ...]:
    """The parts of the observation, in order."""
    sizes = {"fixation": 1}
    if settings.fixate_off:
        sizes["fixation_off"] = 1
    sizes |= {f"modality_{m + 1}": code_size for m in range(settings.num_modalities)}
    if settings.columns:
        sizes["rule"] = len(settings.columns)
    starts = np.cumsum([0, *sizes.values()]).tolist()
    return tuple(Field(name, start, size) for (name, size), start in zip(sizes.items(), starts, strict=False))


# ---- noise ------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _normal_levels(std: float) -> npt.NDArray[np.float32]:
    """65 536 equally likely levels of a normal number, with this standard deviation."""
    law, half = NormalDist(), _LEVELS // 2
    upper = np.array([law.inv_cdf((half + i + 0.5) / _LEVELS) for i in range(half)])
    upper *= std / np.sqrt(np.square(upper).mean())
    return np.concatenate((-upper[::-1], upper)).astype(np.float32)


LARGEST_NOISE = 4.4  # standard deviations; no level of the noise is larger


def add_noise(
    observations: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], std: float, streams: RowStreams
) -> None:
    """Add noise to the steps of every episode, in place; a row's noise does not depend on the others.

    Each number is one of 65 536 levels, the middle quantiles of the normal law: sixteen random bits buy one,
    and four come of each number of a stream. That is several times as fast as exact normal numbers, and
    nothing that a network could notice.

    Args:
        observations: (T, B, O).
        lengths: (B,) steps of each episode.
        std: Standard deviation.
        streams: B streams.
    """
    levels, size = _normal_levels(std), observations.shape[-1]
    # So many rows at a time that their random numbers stay in the processor's cache.
    rows = max(1, _WORDS_AT_ONCE * 4 // (len(observations) * size))
    for first in range(0, len(lengths), rows):
        block = slice(first, first + rows)
        steps = int(lengths[block].max())
        words = streams[block].bits(-(-steps * size // 4))
        picks = words.astype("<u8", copy=False).view("<u2")[:, : steps * size]
        noise = levels.take(picks).reshape(len(picks), steps, size).swapaxes(0, 1)
        noise[np.arange(steps)[:, None] >= lengths[block]] = 0.0
        observations[:steps, block] += noise
