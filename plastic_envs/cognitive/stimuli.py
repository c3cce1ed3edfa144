"""Sampling of a trial's stimuli: locations, strengths, and match or non-match.

Every rule takes the same row of uniform numbers per trial; each column has one fixed purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI, opposite
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.cognitive.tasks import CATEGORY_ANGLES, CognitiveTask

MAX_STIMULI = 3  # of any task
LEAST_NONMATCH = np.pi / 9  # a test stimulus that does not match is at least so far from the sample
NOT_ASKED = -1  # `Stimuli.match` where the task has no match

# Columns of a trial's uniform numbers, from which all of it is made. Pairs are for two stimuli or modalities.
COMPONENT, DURATIONS, THETA, MODALITY, _MATCH = 0, slice(1, 7), slice(7, 10), slice(10, 12), 12
_MEAN, _COHERENCE, _STRONGER, _SPLIT, _SPLIT_SIGN = (slice(k, k + 2) for k in (13, 15, 17, 19, 21))
NUM_COLUMNS = 23

_Floats = npt.NDArray[np.float64]


@dataclass
class Stimuli:
    """Stimuli of b trials.

    Attributes:
        theta: (b, 3) locations in [0, 2 pi), before they snap.
        strengths: (b, K, M) in each modality; 0 where a stimulus is not shown.
        match: (b,) whether test and sample match, 1 or 0; -1 where that is not asked.
    """

    theta: _Floats
    strengths: _Floats
    match: npt.NDArray[np.int64]


def random_stimuli(
    settings: CognitiveSettings, kind: CognitiveTask, first: npt.NDArray[np.int64], u: _Floats
) -> Stimuli:
    """Stimuli of trials whose tasks follow the same laws.

    Args:
        settings: Settings of the battery.
        kind: One of the tasks with these laws.
        first: (b,) first attended modality of each trial's task.
        u: (b, columns) uniform numbers.
    """
    theta, match = _LAWS[kind.locations](settings, u)
    strengths = no_strengths(settings, len(u))
    if kind.strengths.startswith("unit"):
        modality = (u[:, MODALITY] < 0.5).astype(np.int64)
        if settings.modality_diff:
            modality[:, 1] = 1 - modality[:, 0]
        unit_strengths(kind, modality, strengths)
    else:
        strengths[:, :2, :2] = attended_only(settings, kind, first, _strength_pairs(settings, kind, u))
    return Stimuli(theta, strengths, match)


def no_strengths(settings: CognitiveSettings, batch: int) -> _Floats:
    """Zeros (b, K, M)."""
    return np.zeros((batch, settings.num_stimuli, settings.num_modalities))


def unit_strengths(task: CognitiveTask, modality: npt.NDArray[np.int64], strengths: _Floats) -> None:
    """Write strength 1 into `strengths` (b, K, M) where stimuli are shown: in modality (b, 2)."""
    rows = np.arange(len(strengths))
    for k in range(len(task.shown)):
        own = {"unit_own": k, "unit_attended": task.attended[0]}.get(task.strengths)
        strengths[rows, k, modality[:, k] if own is None else own] = 1.0


def attended_only(
    settings: CognitiveSettings, kind: CognitiveTask, first: npt.NDArray[np.int64], pairs: _Floats
) -> _Floats:
    """Of pairs (b, stimulus, draw), what each modality shows, (b, stimulus, modality)."""
    if kind.strengths != "attended":
        return pairs
    strengths, rows = np.zeros((len(pairs), 2, 2)), np.arange(len(pairs))
    crosses = settings.modality_diff and not kind.is_simultaneous
    strengths[rows, 0, first] = pairs[:, 0, 0]
    strengths[rows, 1, 1 - first if crosses else first] = pairs[:, 1, 0]
    return strengths


def _strength_pairs(settings: CognitiveSettings, kind: CognitiveTask, u: _Floats) -> _Floats:
    """Strengths of two stimuli, drawn twice, or once and split over both modalities: (b, stimulus, draw)."""
    coherences = np.array(settings.coherences(kind))
    mean = 0.8 + 0.4 * u[:, _MEAN]
    step = coherences[(u[:, _COHERENCE] * len(coherences)).astype(np.int64)]
    step = np.where(u[:, _STRONGER] < 0.5, step, -step)
    pairs = np.stack((mean + step, mean - step), axis=1)
    if kind.strengths == "split":
        # A stimulus of strength g has g + D / 2 and g - D / 2, with |D| a share of 0.2 to 0.8 of g.
        share = np.where(u[:, _SPLIT_SIGN] < 0.5, 0.5, -0.5) * (0.2 + 0.6 * u[:, _SPLIT])
        pairs = pairs[:, :, :1] * (1.0 + np.stack((share, -share), axis=-1))
    return pairs


# ---- laws of locations --------------------------------------------------------------------------------

_Law = Callable[[CognitiveSettings, _Floats], tuple[_Floats, npt.NDArray[np.int64]]]


def _one(settings: CognitiveSettings, u: _Floats) -> tuple[_Floats, npt.NDArray[np.int64]]:
    theta = np.zeros((len(u), MAX_STIMULI))
    theta[:, 0] = TWO_PI * u[:, THETA.start]
    return theta, np.full(len(u), NOT_ASKED)


def _apart(settings: CognitiveSettings, u: _Floats) -> tuple[_Floats, npt.NDArray[np.int64]]:
    # A random sign before U(pi / 2, 3 pi / 2) changes nothing: on the circle that law is its own mirror
    # image.
    theta, no_match = _one(settings, u)
    theta[:, 1] = np.mod(theta[:, 0] + np.pi * (0.5 + u[:, THETA.start + 1]), TWO_PI)
    return theta, no_match


def _match(settings: CognitiveSettings, u: _Floats) -> tuple[_Floats, npt.NDArray[np.int64]]:
    theta, _ = _one(settings, u)
    match = u[:, _MATCH] < 0.5
    draw = u[:, THETA.start + 1]
    if settings.snaps and not settings.compatible_nonmatch:
        # After snapping: one of the directions that lie one away or more, and at least the published
        # distance.
        number = settings.directions
        nearest = max(1, int(np.ceil(LEAST_NONMATCH * number / TWO_PI - 1e-9)))
        offset = TWO_PI / number * (nearest + np.floor(draw * (number + 1 - 2 * nearest)))
    else:
        offset = LEAST_NONMATCH + draw * (TWO_PI - 2 * LEAST_NONMATCH)
    theta[:, 1] = np.where(match, theta[:, 0], np.mod(theta[:, 0] + offset, TWO_PI))
    return theta, match.astype(np.int64)


def _category(settings: CognitiveSettings, u: _Floats) -> tuple[_Floats, npt.NDArray[np.int64]]:
    angles = np.array(CATEGORY_ANGLES[settings.dialect])
    theta = angles[(u[:, THETA] * len(angles)).astype(np.int64)]
    return theta, ((theta[:, 0] < np.pi) == (theta[:, 1] < np.pi)).astype(np.int64)


def _cued(settings: CognitiveSettings, u: _Floats) -> tuple[_Floats, npt.NDArray[np.int64]]:
    theta, _ = _category(settings, u)
    theta[:, 1] = TWO_PI * u[:, THETA.start + 1]
    theta[:, 2] = opposite(theta[:, 1])
    return theta, np.full(len(u), NOT_ASKED)


_LAWS: dict[str, _Law] = {
    "one": _one, "apart": _apart, "match": _match, "category": _category, "cued": _cued
}  # fmt: skip
