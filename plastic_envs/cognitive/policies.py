"""An observer that knows the battery's tasks and answers from the observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI, circular_distance, nearest_direction
from plastic_envs.cognitive.coding import LARGEST_NOISE
from plastic_envs.cognitive.writing import TrialWriter

_SAME_ANGLE = (
    np.pi / 18
)  # stimuli on a ring match if they are closer; those that do not are twice as far apart
_LEAST_SIGNAL = 1e-3

_Floats = npt.NDArray[np.float64]


class BatteryObserver:
    """Reads the task off the rule input, averages what each stimulus shows, and does what the task asks.

    Without noise it is right wherever the inputs say what is right. With noise it averages over the time that
    a stimulus is on.

    Args:
        writer: Of the trials that are played.
        attended: Whether each task (C, M) looks at each modality.
    """

    def __init__(self, writer: TrialWriter, attended: _Floats) -> None:
        settings, places = writer.settings, writer.places
        self._settings, self._stimuli, self._outputs = settings, writer.stimuli, writer.outputs
        self._attended = attended
        definitions = settings.definitions
        self._rule = np.array([d.rule for d in definitions])
        self._goes_off = np.array([d.goes_off for d in definitions])
        self._at_once = np.array([d.is_simultaneous for d in definitions])
        self._is_category = np.array([d.locations == "category" for d in definitions])
        # Where the fixation input stays on, the last stimulus is what calls for a response.
        self._num_stimuli = np.array([len(d.shown) for d in definitions])
        self._rules = np.array(settings.rule_strengths())
        self._threshold = settings.noise_std * LARGEST_NOISE + _LEAST_SIGNAL
        self._fixation = places["fixation"].start
        self._modalities = writer.modalities
        self._rule_field = places.get("rule")
        self._sums = np.zeros((0, 2, settings.num_modalities, self._stimuli.size))
        self._steps = np.zeros((0, 2))
        self._count = np.zeros(0, dtype=np.int64)
        self._was_on: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._rule_sum = np.zeros((0, len(settings.columns)))

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        """Actions (B,) or (B, outputs) for observations (B, O)."""
        batch = len(observations)
        starts = episode_starts if len(self._count) == batch else np.ones(batch, dtype=bool)
        if starts.any():
            self._forget(starts)
        inputs = observations.astype(np.float64)
        component = np.zeros(batch, dtype=np.int64)
        if self._rule_field is not None:
            self._rule_sum += inputs[:, self._rule_field]
            component = (self._rule_sum @ self._rules.T).argmax(1)
        self._take_in(inputs[:, self._modalities])
        goes_off, complete = self._goes_off[component], self._count >= self._num_stimuli[component]
        answers = np.where(goes_off, inputs[:, self._fixation] < 0.5, complete) & (self._count > 0)
        angle, responds = np.zeros(batch), np.zeros(batch, dtype=bool)
        if answers.any():
            angle[answers], responds[answers] = self._respond(np.flatnonzero(answers), component[answers])
        direction = nearest_direction(angle, self._settings.directions)
        return self._outputs.targets(~responds, angle, direction, np.ones(batch))

    def _forget(self, rows: npt.NDArray[np.bool_]) -> None:
        """Start anew in some rows."""
        names = ("_sums", "_steps", "_count", "_was_on", "_rule_sum")
        for name in names:
            memory = getattr(self, name)
            if len(memory) != len(rows):
                memory = np.zeros((len(rows), *memory.shape[1:]), dtype=memory.dtype)
                setattr(self, name, memory)
            memory[rows] = 0

    def _take_in(self, channels: _Floats) -> None:
        """Add what is on, (B, M x size), to the memory of the stimulus that it belongs to."""
        batch = len(channels)
        on = np.abs(channels).max(1) > self._threshold
        self._count += on & ~self._was_on
        self._was_on = on
        rows = np.flatnonzero(on)
        slot = np.minimum(self._count[rows], 2) - 1
        self._sums[rows, slot] += channels.reshape(batch, *self._sums.shape[2:])[rows]
        self._steps[rows, slot] += 1

    def _respond(
        self, rows: npt.NDArray[np.int64], component: npt.NDArray[np.int64]
    ) -> tuple[_Floats, npt.NDArray[np.bool_]]:
        """Angles (b,) of the responses of some rows, and which of them respond at all."""
        rule = self._rule[component]
        mean = self._sums[rows] / np.maximum(self._steps[rows], 1)[..., None, None]  # (b, 2, M, size)
        weight = np.where((rule == "stronger")[:, None], self._attended[component], 1.0)
        angle, strength = self._stimuli.decode((mean * weight[:, None, :, None]).sum(2))  # (b, 2)
        second = (rule == "stronger") & ~self._at_once[component] & (strength[:, 1] > strength[:, 0])
        asks = (rule == "match") | (rule == "nonmatch")
        same = np.where(self._is_category[component], *self._are_alike(angle))
        responds = ~asks | (same == (rule == "match"))
        response = np.where(second | asks, angle[:, 1], angle[:, 0])
        response = np.where(rule == "away", np.mod(response + np.pi, TWO_PI), response)
        cued = rule == "cued"
        if cued.any():
            own = self._stimuli.decode(mean[cued, 0])[0]  # (b, M): the three rings
            response[cued] = np.where(own[:, 0] < np.pi, own[:, 2], own[:, 1])
        return response, responds

    def _are_alike(self, angle: _Floats) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Test whether two angles (b, 2) are in one category, and whether they are the same."""
        if self._settings.snaps:
            number = self._settings.directions
            place = nearest_direction(angle, number)
            half = place < number // 2
            return half[:, 0] == half[:, 1], place[:, 0] == place[:, 1]
        half = angle < np.pi
        return half[:, 0] == half[:, 1], circular_distance(angle[:, 0], angle[:, 1]) < _SAME_ANGLE
