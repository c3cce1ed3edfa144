"""Sampling of the cognitive battery's trials: timing, locations, strengths, right responses.

Trials are drawn side by side for a whole batch. Everything that is random comes from one row of uniform
numbers per trial, whose columns have fixed purposes; so a trial depends on its own stream only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI, nearest_direction
from plastic_envs.cognitive.conditions import condition_durations, condition_stimuli, num_conditions
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.cognitive.stimuli import (
    COMPONENT,
    DURATIONS,
    MODALITY,
    NUM_COLUMNS,
    THETA,
    Stimuli,
    random_stimuli,
)
from plastic_envs.cognitive.tasks import EPOCHS
from plastic_envs.streams import RowStreams

_TIMING = 0  # purpose of the streams of a timing seed

_Floats = npt.NDArray[np.float64]


@dataclass
class Trials:
    """B trials before they are written out. K stimuli; those that a task lacks have strength 0.

    Attributes:
        component: (B,) number of the task among the settings' tasks.
        starts: (B, 7) step at which each epoch starts, and last the length of the trial.
        theta: (B, K) locations in [0, 2 pi), before they snap.
        direction: (B, K) number of the nearest direction.
        strengths: (B, K, M) in each modality.
        match: (B,) whether test and sample match; -1 where that is not asked.
        choice: (B,) number of the stimulus that decides the response; -1 where none is called for.
        response: (B,) location of the response in [0, 2 pi); -1 where none is called for.
        response_direction: (B,) number of the nearest direction; -1 where none is called for.
        tie: (B,) whether the strengths that decide are equal, so that nothing is right.
    """

    component: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    theta: _Floats
    direction: npt.NDArray[np.int64]
    strengths: _Floats
    match: npt.NDArray[np.int64]
    choice: npt.NDArray[np.int64]
    response: _Floats
    response_direction: npt.NDArray[np.int64]
    tie: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(B,) steps of each trial."""
        return self.starts[:, -1]


class TrialSampler:
    """Draws trials of some tasks.

    Args:
        settings: Settings of the tasks.
    """

    def __init__(self, settings: CognitiveSettings) -> None:
        self.settings = settings
        self.tasks = settings.definitions
        self._make_tables()
        self._make_duration_table()
        self._shared = self._shared_uniforms()
        # Trials where two strengths tie call for nothing in particular: they stay in the list, marked, but
        # are not drawn.
        self._conditions = []
        for c in range(len(self.tasks)):
            listed = np.arange(self.num_conditions(c))
            if len(listed):
                listed = listed[~self.conditions(np.full(len(listed), c), listed).tie]
            self._conditions.append(listed)

    def _make_tables(self) -> None:
        """The tasks' definitions, as arrays over the tasks."""
        tasks, crosses = self.tasks, self.settings.modality_diff
        # Tasks whose stimuli follow one law are drawn together, whatever else they differ in.
        laws = [(task.locations, task.strengths, task.is_simultaneous) for task in tasks]
        distinct = list(dict.fromkeys(laws))
        self._kinds = [tasks[laws.index(law)] for law in distinct]
        self._kind_of = np.array([distinct.index(law) for law in laws])
        self._first = np.array([task.attended[0] for task in tasks])
        rule = np.array([task.rule for task in tasks])
        self._is_stronger, self._is_cued, self._is_away = rule == "stronger", rule == "cued", rule == "away"
        self._asks_match, self._wants_match = (rule == "match") | (rule == "nonmatch"), rule == "match"
        self._shares_modality = np.array([task.locations == "one" for task in tasks])
        self.attended = np.zeros((len(tasks), self.settings.num_modalities))
        for c, task in enumerate(tasks):
            # Where the second stimulus is in the other modality, both are attended.
            both = crosses and task.strengths == "attended" and not task.is_simultaneous
            self.attended[c, [0, 1] if both else list(task.attended)] = 1.0

    @property
    def is_listed(self) -> bool:
        """True if trials come from a list of conditions (test grid, psychometric)."""
        return self.settings.mode in ("test", "psychometric")

    def draw(self, streams: RowStreams, cumulative_shares: _Floats) -> Trials:
        """One trial per stream.

        Args:
            streams: B streams.
            cumulative_shares: (C,) probability of this task or one before it; the last is 1.
        """
        u = streams.uniform(NUM_COLUMNS)
        component = np.minimum(
            np.searchsorted(cumulative_shares, u[:, COMPONENT], side="right"), len(self.tasks) - 1
        )
        if self.is_listed:
            conditions = np.zeros(len(u), dtype=np.int64)
            for c, rows in _rows_of(component, len(self.tasks)):
                listed = self._conditions[c]
                conditions[rows] = listed[(u[rows, THETA.start] * len(listed)).astype(np.int64)]
            return self.conditions(component, conditions)
        if self._shared is not None:
            shared = self._shared[component]
            u[:, DURATIONS] = shared[:, DURATIONS]
            same_modality = self._shares_modality[component]
            u[same_modality, MODALITY] = shared[same_modality, MODALITY]
        parts = []
        for kind, rows in _rows_of(self._kind_of[component], len(self._kinds)):
            first = self._first[component[rows]]
            parts.append((rows, random_stimuli(self.settings, self._kinds[kind], first, u[rows])))
        return self._finished(component, self._random_starts(component, u[:, DURATIONS]), _joined(parts))

    def conditions(self, component: npt.NDArray[np.int64], conditions: npt.NDArray[np.int64]) -> Trials:
        """The trials of given numbers in the lists of their tasks; both (B,)."""
        starts = np.zeros((len(component), len(EPOCHS) + 1), dtype=np.int64)
        parts = []
        for c, rows in _rows_of(component, len(self.tasks)):
            parts.append((rows, condition_stimuli(self.settings, self.tasks[c], conditions[rows])))
            starts[rows] = _starts(condition_durations(self.settings, self.tasks[c], conditions[rows]))
        return self._finished(component, starts, _joined(parts))

    def num_conditions(self, component: int) -> int:
        """Length of a task's list; 0 in random modes."""
        return num_conditions(self.settings, self.tasks[component])

    def withheld_share(self, component: int) -> float:
        """Share of a task's trials that call for no response."""
        task = self.tasks[component]
        if not self.is_listed:
            return 0.5 if task.may_withhold else 0.0
        listed = self._conditions[component]
        if not len(listed):
            return 0.0
        trials = self.conditions(np.full(len(listed), component), listed)
        return float((trials.choice < 0).mean())

    # ---- timing ------------------------------------------------------------------------------------

    def _make_duration_table(self) -> None:
        """Laws of all tasks as arrays (C, 6): lower end, width, and up to four choices, (C, 6, 4)."""
        shape = (len(self.tasks), len(EPOCHS))
        self._low, self._width = np.zeros(shape), np.zeros(shape)
        self._num_choices, self._choices = np.ones(shape), np.zeros((*shape, 4))
        self._is_choice = np.zeros(shape, dtype=bool)
        for c, task in enumerate(self.tasks):
            for epoch, law in self.settings.durations(task).items():
                at = c, EPOCHS.index(epoch)
                self._low[at], self._width[at] = law.low, law.high - law.low
                if law.choices:
                    self._is_choice[at], self._num_choices[at] = True, len(law.choices)
                    self._choices[at][: len(law.choices)] = law.choices

    def _shared_uniforms(self) -> _Floats | None:
        """The numbers (C, columns) that all trials of a task share in the modes with one timing."""
        settings = self.settings
        if settings.mode not in ("random", "long_all"):
            return None
        seed = RowStreams(np.array([settings.timing_seed], dtype=np.uint64)).spawn(_TIMING)
        keys = [0] * len(self.tasks) if settings.align_periods else range(len(self.tasks))
        shared = np.concatenate([seed.spawn(key).uniform(NUM_COLUMNS) for key in keys])
        if settings.mode == "long_all":
            shared[:, DURATIONS] = 1.0
        return shared

    def _random_starts(self, component: npt.NDArray[np.int64], u: _Floats) -> npt.NDArray[np.int64]:
        """Starts (B, 7) of epochs: every interval is cut to whole steps by itself, as published."""
        ms = self._low[component] + self._width[component] * u
        if self._is_choice.any():
            count = self._num_choices[component]
            pick = np.minimum((u * count).astype(np.int64), count.astype(np.int64) - 1)
            choice = np.take_along_axis(self._choices[component], pick[..., None], axis=-1)[..., 0]
            ms = np.where(self._is_choice[component], choice, ms)
        return _starts(np.floor(ms / self.settings.step_ms + 1e-9))

    # ---- what is right -----------------------------------------------------------------------------

    def _finished(
        self, component: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stimuli: Stimuli
    ) -> Trials:
        """Compute the right responses."""
        row = np.arange(len(component))
        theta, match = stimuli.theta[:, : self.settings.num_stimuli], stimuli.match
        total = (stimuli.strengths[:, :2] * self.attended[component, None]).sum(-1)
        stronger = self._is_stronger[component]
        # Strictly stronger: a tie goes to the second stimulus, and does not count.
        choice = (stronger & (total[:, 0] <= total[:, 1])).astype(np.int64)
        asks = self._asks_match[component]
        choice[asks] = np.where((match == 1) == self._wants_match[component], 1, -1)[asks]
        cued = self._is_cued[component]
        choice[cued] = np.where(theta[cued, 0] < np.pi, 2, 1)
        answers, away, number = choice >= 0, self._is_away[component], self.settings.directions
        direction = nearest_direction(theta, number)
        if self.settings.snaps:
            response_direction = (direction[row, choice] + away * (number // 2)) % number
            response = TWO_PI / number * response_direction
        else:
            response = np.mod(theta[row, choice] + away * np.pi, TWO_PI)
            response_direction = nearest_direction(response, number)
        return Trials(
            component=component,
            starts=starts,
            theta=theta,
            direction=direction,
            strengths=stimuli.strengths,
            match=match,
            choice=choice,
            response=np.where(answers, response, -1.0),
            response_direction=np.where(answers, response_direction, -1),
            tie=stronger & (np.abs(total[:, 0] - total[:, 1]) < 1e-9),
        )


def _rows_of(group: npt.NDArray[np.int64], count: int) -> list[tuple[int, Any]]:
    """The groups that occur in `group` (B,), of `count`, each with its rows."""
    if count == 1:
        return [(0, slice(None))]
    present = np.flatnonzero(np.bincount(group, minlength=count)).tolist()
    return (
        [(present[0], slice(None))]
        if len(present) == 1
        else [(g, np.flatnonzero(group == g)) for g in present]
    )


def _joined(parts: list[tuple[Any, Stimuli]]) -> Stimuli:
    """The stimuli of some rows each, put together."""
    if len(parts) == 1:
        return parts[0][1]
    batch = sum(len(rows) for rows, _ in parts)
    first = parts[0][1]
    whole = Stimuli(
        *(np.zeros((batch, *x.shape[1:]), x.dtype) for x in (first.theta, first.strengths, first.match))
    )
    for rows, part in parts:
        whole.theta[rows], whole.strengths[rows], whole.match[rows] = part.theta, part.strengths, part.match
    return whole


def _starts(steps: _Floats) -> npt.NDArray[np.int64]:
    """Starts (B, 7) of epochs of so many steps (B, 6)."""
    starts = np.zeros((len(steps), steps.shape[1] + 1), dtype=np.int64)
    np.cumsum(steps.astype(np.int64), axis=1, out=starts[:, 1:])
    return starts
