"""Trials from a list: the published test grid, and the user's own psychometric conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI, circular_distance, nearest_direction, opposite
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.cognitive.stimuli import (
    MAX_STIMULI,
    NOT_ASKED,
    Stimuli,
    attended_only,
    no_strengths,
    unit_strengths,
)
from plastic_envs.cognitive.tasks import EPOCHS, TEST_MS, CognitiveTask

PSYCHOMETRIC_MATCH = np.pi / 36  # 5 degrees: in psychometric mode a test stimulus closer than that matches
_LOCATIONS, _STRENGTHS, _CUED_LOCATIONS = 20, 5, 8  # sizes of the grid's factors


def num_conditions(settings: CognitiveSettings, task: CognitiveTask) -> int:
    """Length of a task's list; 0 in random modes."""
    if settings.mode == "test":
        return int(np.prod(_grid_shape(task)))
    if settings.psychometric is not None:
        return len(np.atleast_1d(settings.psychometric["theta1"]))
    return 0


def condition_durations(
    settings: CognitiveSettings, task: CognitiveTask, conditions: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Steps of each epoch, (b, 6).

    The published times are those of boundaries, so boundaries are cut to whole steps, not intervals.
    """
    ms = np.zeros((len(conditions), len(EPOCHS)))
    durations: dict[str, Any] = (
        dict(TEST_MS[task.family]) if settings.mode == "test" else settings.psychometric_durations()
    )
    for epoch, duration in durations.items():
        several = np.atleast_1d(np.asarray(duration, dtype=np.float64))
        if len(several) not in (1, num_conditions(settings, task)):
            raise ValueError(
                f"psychometric: {len(several)} durations of {epoch}; give one, or one per condition."
            )
        ms[:, EPOCHS.index(epoch)] = several[conditions] if len(several) > 1 else several
    ends = np.floor(np.cumsum(ms, axis=1) / settings.step_ms + 1e-9)
    return np.diff(ends, axis=1, prepend=0.0)


def condition_stimuli(
    settings: CognitiveSettings, task: CognitiveTask, conditions: npt.NDArray[np.int64]
) -> Stimuli:
    """Stimuli of the listed trials with these numbers, (b,)."""
    if settings.mode == "test":
        return _grid(settings, task, conditions)
    return _psychometric(settings, task, conditions)


# ---- test grid -------------------------------------------------------------------------------------


def _grid_shape(task: CognitiveTask) -> tuple[int, ...]:
    """Sizes of the grid's factors: locations, then modalities or strengths."""
    if task.locations == "cued":
        return _LOCATIONS, _CUED_LOCATIONS
    if task.strengths == "unit_attended":
        return (_LOCATIONS,)
    if task.strengths == "unit":
        return _LOCATIONS, *([2] * len(task.shown))
    return _LOCATIONS, *([_STRENGTHS] * (1 if task.strengths == "attended" else 2))


def _grid(settings: CognitiveSettings, task: CognitiveTask, conditions: npt.NDArray[np.int64]) -> Stimuli:
    """Stimuli of the grid, whose first factor varies slowest. Every match trial calls for a response."""
    place, *others = np.unravel_index(conditions, _grid_shape(task))
    theta = np.zeros((len(conditions), MAX_STIMULI))
    theta[:, 0] = TWO_PI * place / _LOCATIONS
    match = np.full(len(conditions), NOT_ASKED)
    if task.locations in ("category", "cued"):
        half = _LOCATIONS // 2
        theta[:, 0] = np.pi * np.where(place < half, 0.1 + 0.08 * place, 1.1 + 0.08 * (place - half))
    theta[:, 1] = theta[:, 0] if task.rule == "match" else opposite(theta[:, 0])
    if task.may_withhold:
        match[:] = task.rule == "match"
    strengths = no_strengths(settings, len(conditions))
    if task.locations == "cued":
        theta[:, 1] = TWO_PI * others[0] / _CUED_LOCATIONS
        theta[:, 2] = opposite(theta[:, 1])
    if task.strengths.startswith("unit"):
        modality = np.zeros((len(conditions), 2), dtype=np.int64)
        if task.strengths == "unit":
            modality[:, : len(others)] = np.stack(others, axis=-1)
            if settings.modality_diff and len(others) > 1:
                modality[:, 1] = 1 - modality[:, 0]
        unit_strengths(task, modality, strengths)
        return Stimuli(theta, strengths, match)
    low, width = (0.5, 1.0) if task.family == "delaydm" else (0.8, 0.4)
    gamma = np.stack([low + width * index / _STRENGTHS for index in others], axis=-1)
    pairs = np.stack((gamma, 2.0 - gamma), axis=1)  # (b, stimulus, modality)
    first = np.full(len(conditions), task.attended[0])
    strengths[:, :2, :2] = attended_only(settings, task, first, pairs)
    return Stimuli(theta, strengths, match)


# ---- psychometric ----------------------------------------------------------------------------------


def _psychometric(
    settings: CognitiveSettings, task: CognitiveTask, conditions: npt.NDArray[np.int64]
) -> Stimuli:
    """Stimuli of the conditions that the caller listed; those of strength 1 are in modality 1."""
    lists = settings.psychometric
    assert lists is not None
    size = num_conditions(settings, task)

    def column(name: str) -> npt.NDArray[np.float64]:
        values = np.atleast_1d(np.asarray(lists[name], dtype=np.float64))
        if len(values) != size:
            raise ValueError(
                f"psychometric: {len(values)} values of {name} for {size} of theta1; give one each."
            )
        return np.asarray(values[conditions])

    theta = np.zeros((len(conditions), MAX_STIMULI))
    theta[:, 0] = np.mod(column("theta1"), TWO_PI)
    if len(task.shown) > 1:
        theta[:, 1] = np.mod(column("theta2"), TWO_PI)
    match = np.full(len(conditions), NOT_ASKED)
    visible: npt.NDArray[np.float64] = theta
    if settings.snaps and not settings.compatible_nonmatch:  # what is shown decides
        step = TWO_PI / settings.directions
        visible = np.asarray(step * nearest_direction(theta, settings.directions), dtype=np.float64)
    if task.locations == "match":
        match[:] = circular_distance(visible[:, 0], visible[:, 1]) < PSYCHOMETRIC_MATCH
    elif task.locations == "category":
        match[:] = (visible[:, 0] < np.pi) == (visible[:, 1] < np.pi)
    strengths = no_strengths(settings, len(conditions))
    if task.rule == "stronger":
        pairs = np.stack([column("gamma1"), column("gamma2")], axis=1)  # (b, stimulus[, modality])
        pairs = pairs if pairs.ndim == 3 else np.stack((pairs, pairs), axis=-1)
        first = np.full(len(conditions), task.attended[0])
        strengths[:, :2, :2] = attended_only(settings, task, first, pairs)
    else:
        modality = np.zeros((len(conditions), 2), dtype=np.int64)
        modality[:, 1] = settings.modality_diff
        unit_strengths(task, modality, strengths)
    return Stimuli(theta, strengths, match)
