"""Writing trials of the cognitive battery out as episodes.

Between two boundaries nothing changes but noise. So a trial is written once per segment (its six epochs, of
which the last is cut after the grace period, and the padding), and a table of steps says which segment each
step is in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import circular_distance, evenly_spaced
from plastic_envs.cognitive.coding import TOLERANCE, OutputCode, StimulusCode, add_noise, observation_fields
from plastic_envs.cognitive.sampling import Trials
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.cognitive.tasks import EPOCHS
from plastic_envs.episodes import Episodes
from plastic_envs.streams import RowStreams

GO1 = EPOCHS.index("go1")
COST_BEFORE, COST_AFTER = 1.0, 5.0  # of a step before the response is called for, and after
_SCORED, _PAD, _NUM_SEGMENTS = GO1 + 1, GO1 + 2, GO1 + 3
_EPOCH_OF = np.array([*range(GO1 + 1), GO1])  # of each segment but the padding


class TrialWriter:
    """Makes episodes of trials.

    Args:
        settings: Settings of the trials' task.

    Attributes:
        stimuli: The code of a modality.
        outputs: The code of responses.
        fields: The parts of the observation.
        places: Where each of them lies, by name.
        modalities: Where all modalities lie, one after another.
    """

    def __init__(self, settings: CognitiveSettings) -> None:
        self.settings = settings
        self.stimuli = StimulusCode(settings.code or "", settings.directions, settings.snaps)
        self.outputs = OutputCode(settings)
        self.fields = observation_fields(settings, self.stimuli.size)
        self.places = at = {field.name: field.slice for field in self.fields}
        self._fixation, self._rule = at["fixation"].start, at.get("rule")
        self._fixation_off = at["fixation_off"].start if "fixation_off" in at else None
        self.modalities = slice(at["modality_1"].start, at[f"modality_{settings.num_modalities}"].stop)
        self._size = self.fields[-1].start + self.fields[-1].size
        self._rules = np.array(settings.rule_strengths(), dtype=np.float32)
        tasks = settings.definitions
        self._goes_off = np.array([task.goes_off for task in tasks])
        self._num_shown = np.array([len(task.shown) for task in tasks])
        self._visible = np.zeros((len(tasks), GO1 + 1, settings.num_stimuli))  # (C, epoch, stimulus)
        for c, task in enumerate(tasks):
            for k, (first, last) in enumerate(task.shown):
                self._visible[c, EPOCHS.index(first) : EPOCHS.index(last) + 1, k] = 1.0
        self._strength_counts = np.array(
            [settings.label_strength and task.family == "delaydm" for task in tasks]
        )
        self._cost = np.array([COST_BEFORE] * GO1 + [0.0, COST_AFTER, 0.0], dtype=np.float32)
        self._angles = evenly_spaced(settings.directions)
        self._period = np.array([*_EPOCH_OF, 0], dtype=np.int8)

    def write(self, trials: Trials, noise: RowStreams) -> Episodes:
        """The episodes of trials, with input noise from streams (B,)."""
        batch, steps = len(trials.component), int(trials.lengths.max())
        segment = self._segments(trials, steps)
        row = np.arange(batch)
        at = segment.astype(np.int64)
        at += _NUM_SEGMENTS * row
        observations = self._of_segments(trials).reshape(batch * _NUM_SEGMENTS, -1).take(at, axis=0)
        self._cut_rule(observations, trials)
        if self.settings.noise:
            add_noise(observations, trials.lengths, self.settings.noise_std, noise)
        fixates = np.ones((batch, _NUM_SEGMENTS), dtype=bool)
        fixates[:, GO1:_PAD] = (trials.choice < 0)[:, None]
        targets = self._targets(trials, fixates)
        location = np.where(fixates, -1.0, trials.response[:, None]).astype(np.float32)
        weights = np.zeros((steps, batch), dtype=np.float32)
        weights[trials.lengths - 1, row] = ~trials.tie
        cost = self._cost.take(segment)
        cost[: self.settings.grace_steps] = 0.0
        return Episodes(
            observations=observations,
            targets=targets.reshape(batch * _NUM_SEGMENTS, *targets.shape[2:]).take(at, axis=0),
            mask=weights,
            periods=self._period.take(segment),
            resets=np.zeros((steps, batch), dtype=bool),
            lengths=trials.lengths.copy(),
            facts=self._facts(trials),
            step_facts={
                "location": location.ravel().take(at),
                "cost": cost,
                "component": np.repeat(trials.component.astype(np.int16)[None], steps, axis=0),
                "length": np.repeat(trials.lengths.astype(np.int32)[None], steps, axis=0),
            },
        )

    def _segments(self, trials: Trials, steps: int) -> npt.NDArray[np.int8]:
        """Number of the segment that each step is in, (steps, B)."""
        # Boundaries between segments, (8 - 1, B): the grace period ends inside the last epoch.
        ends = np.insert(trials.starts[:, 1:], GO1, 0, axis=1)
        ends[:, GO1] = np.minimum(trials.starts[:, GO1] + self.settings.grace_steps, trials.lengths)
        step = np.arange(steps, dtype=np.int32)[:, None]
        segment = np.zeros((steps, len(ends)), dtype=np.int8)
        for end in ends.T.astype(np.int32):
            segment += step >= end
        return segment

    def _of_segments(self, trials: Trials) -> npt.NDArray[np.float32]:
        """Observations in each segment, (B, segments, O)."""
        c, batch = trials.component, len(trials.component)
        inputs = np.zeros((batch, _NUM_SEGMENTS, self._size), dtype=np.float32)
        inputs[:, :GO1, self._fixation] = 1.0
        inputs[:, GO1:_PAD, self._fixation] = ~self._goes_off[c, None]
        if self._fixation_off is not None:
            inputs[:, GO1:_PAD, self._fixation_off] = self._goes_off[c, None]
        if self._rule is not None:
            inputs[:, :_PAD, self._rule] = self._rules[c, None]
        codes = self.stimuli.encode(trials.theta)[:, :, None] * trials.strengths[..., None]  # (B, K, M, size)
        codes = codes.reshape(batch, trials.theta.shape[1], -1)
        inputs[:, :_PAD, self.modalities] = (self._visible[c] @ codes)[:, _EPOCH_OF]
        return inputs

    def _cut_rule(self, observations: npt.NDArray[np.float32], trials: Trials) -> None:
        """Take the rule away where it is not on, in place."""
        settings = self.settings
        if self._rule is None:
            return
        if first := int(settings.rule_on_ms / settings.step_ms):
            observations[:first, :, self._rule] = 0.0
        if settings.rule_off_ms is not None:
            observations[int(settings.rule_off_ms / settings.step_ms) :, :, self._rule] = 0.0

    def _targets(self, trials: Trials, fixates: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """Targets in each segment, (B, segments) or (B, segments, outputs)."""
        row, choice = np.arange(len(trials.component)), np.maximum(trials.choice, 0)
        length = np.where(self._strength_counts[trials.component], trials.strengths[row, choice].max(-1), 1.0)
        targets = self.outputs.targets(
            fixates, trials.response[:, None], trials.response_direction[:, None], length[:, None]
        )
        targets[:, _PAD] = -1 if self.outputs.is_discrete else 0.0
        return targets

    def _facts(self, trials: Trials) -> dict[str, npt.NDArray[Any]]:
        facts: dict[str, npt.NDArray[Any]] = {}
        if self.outputs.is_discrete:
            # What the rule says of every action in the last step, for rewards.
            right = circular_distance(trials.response[:, None], self._angles) < TOLERANCE
            withhold = (trials.choice < 0)[:, None]
            facts["right_actions"] = np.concatenate((withhold, right & ~withhold), axis=1)
        absent = np.arange(trials.theta.shape[1]) >= self._num_shown[trials.component, None]
        return {
            "component": trials.component,
            "theta": np.where(absent, -1.0, trials.theta),
            "direction": np.where(absent, -1, trials.direction),
            "strengths": trials.strengths,
            "modality": np.where(absent, -1, trials.strengths.argmax(-1)),
            "match": trials.match,
            "epoch_starts": trials.starts,
            "withhold": trials.choice < 0,
            "chosen": trials.choice,
            "response_angle": trials.response,
            "response_direction": trials.response_direction,
            "tie": trials.tie,
            **facts,
        }
