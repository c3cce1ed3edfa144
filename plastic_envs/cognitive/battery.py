"""The cognitive battery: twenty tasks about angles, one rule input, one network to learn them all."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import unknown_names
from plastic_envs.cognitive.angles import circular_distance, evenly_spaced
from plastic_envs.cognitive.coding import LARGEST_NOISE, TOLERANCE
from plastic_envs.cognitive.policies import BatteryObserver
from plastic_envs.cognitive.render import plot_trial, trial_frame, trial_text
from plastic_envs.cognitive.sampling import TrialSampler
from plastic_envs.cognitive.scores import rule_right, should_fixate, trial_figures
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.cognitive.tasks import EPOCHS, task_names
from plastic_envs.cognitive.writing import TrialWriter
from plastic_envs.episodes import Episodes
from plastic_envs.policy import Policy
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["CognitiveBattery"]

_TRIAL, _NOISE = 0, 1  # purposes of an episode's random streams
_LARGEST_OUTPUT = 2.0
_STRONGEST = 3.0  # no stimulus of any task is stronger
_VECTOR_WEIGHTS = {"compact": (1.0, 0.5), "ring": (2.0, 4.0)}  # exponent of the cost, factor of fixation


class CognitiveBattery(Task):
    """Short tasks of working memory, decision and categorisation, told apart by a rule input.

    **Description.** An episode is one trial of one task. While the fixation input is on (and, in some tasks,
    until a stimulus comes), the agent fixates; stimuli, which are angles of some strength in one of two
    modalities, come and go; then a response in one direction is called for, or none. Which, the task says:
    towards the stimulus or away from it, now or after a delay; towards the stronger of two stimuli, by one
    modality or by both; towards the second stimulus if it matches the first, or if it does not. Two
    *dialects* of the battery share the tasks and differ in codes, durations and measures: "ring" (Yang et al.
    2019) and "compact" (its successor, used with multi-plasticity networks).

    **Observation Space.** `Box(..., (O,), float32)`, in this order:

    | field | size | meaning |
    |---|---|---|
    | `fixation` | 1 | 1 until the response is called for (in reaction and match tasks: to the end) |
    | `fixation_off` | 1 | with `fixate_off`: 1 once the fixation input is off |
    | `modality_1`, `modality_2` (`modality_3`) | each 2 (compact) or 32 (ring) | the stimuli, by `code` |
    | `rule` | one per rule column | with `rule_input`: 1 for the task of this trial |

    A compact modality shows strength x (sin, cos) of the stimulus' angle, snapped to the nearest of 8
    directions; a ring shows units with Gaussian tuning curves (sd 22.5 degrees, peak 0.8 x strength).
    `modality_3` is there with `oic` only.

    **Action Space.** `response="discrete"`: `Discrete(1 + n)`, 0 fixates, 1 + j responds in direction 2 pi j
    / n; n = `n_eachring`, 8 (compact) or 32 (ring). `response="vector"`: `Box`, the published outputs:
    fixation, then (sin, cos) within [-2, 2] (compact), or fixation and 32 units within [0, 1] (ring). Ids say
    which: `Cognitive-<task>-v0` is discrete, `Cognitive-<task>-vector-v0` is not.

    **Rewards.** At the last step of the trial 1 if it is right by the ring dialect's rule (see scores), else
    0.

    **Trial and Episode Structure.** Epochs `fix1`, `stim1`, `delay1`, `stim2`, `delay2`, `go1`, of which a
    task may lack some; `task.periods` names them, `info["period"]` counts them. Durations are those of the
    dialect (`plastic_envs.cognitive.tasks.DURATIONS`), each cut to whole steps by itself, which makes a trial
    up to one step per epoch shorter than its durations; the compact trials last 0.8 to 6.4 s in steps of 40
    ms, the ring's 0.8 to 4.2 s in steps of 20 ms. The last steps of shorter trials of a batch are padding.

    Targets are fixation until the response is called for, and then the response (on trials without one,
    fixation). `mask` is 1 at the last step only, which the rule reads. `loss_weights` is the published
    cost: 0 in the first 100 ms and in the first 100 ms after the response is called for, 1 before and 5
    after. For vectors it is (T, B, outputs), and a weight of the *squared error*: fixation counts half as
    much (compact), and 1 and 5 are squared and fixation counts fourfold (ring), because that dialect squares
    its mask.

    Trials of `random_batch` are independent, each with its own timing. In `random` all trials of a task have
    one timing (and the go tasks one modality), that of `timing_seed`; `reset(options={"timing_seed": 7})` or
    `task.with_timing(7)` goes on with another one. So an episode stays a function of its seed, where the
    published mode draws the timing once per batch.

    `facts` (B, ...), K stimuli, M modalities: `component` (number of the task among `components`), `theta`
    (B, K), `direction` (B, K, after snapping), `strengths` (B, K, M), `modality` (B, K, the strongest, from
    0; all of them -1 for stimuli that the task lacks), `match` (1, 0; -1 where not asked), `epoch_starts` (B,
    7; last the length), `withhold`, `chosen` (the stimulus that decides), `response_angle`,
    `response_direction` (-1 where there is no response), `tie`. `step_facts` (T, B), all in `info`:
    `component`, `location` (angle of the target, -1 while it is fixation), `cost` (0, 1 or 5), `length` (of
    the trial).

    Args:
        tasks: A task, a named set ("everything", "all", "gofamily", ...) or a list of tasks.
        dialect: "compact" or "ring". The compact code cannot show two stimuli at once in a modality, so
            `dm1`, `dm2`, `contextdm1`, `contextdm2` and `multidm` need the ring's or `code="ring"`.
        response: "discrete" or "vector".
        mode: "random_batch"; "random"; "long_all" (random, every interval at the upper end of its range);
            "test" (the published grid: an episode is one of its trials; `task.conditions()` gives all in
            order); "psychometric" (conditions of your own).
        dt_ms: Duration of a step; None for the dialect's own, 40 (compact) or 20 (ring).
        sigma_x: Input noise, before scaling by sqrt(2 / alpha); None for 0 (compact) or 0.01 (ring).
        n_eachring: Directions (compact) or units of a ring; None for 8 or 32.
        code: Code of the compact stimuli: "pair" (sin, cos), "rectified" (four channels) or "ring".
        noise_scale: "published": alpha is dt / tau (ring) and 1 - dt / tau (compact). "exact": dt / tau in
            both.
        task_sampling: Weight of each task, a list, or a mapping of names (others 1); None for equal ones.
        rule_input: Whether the rule is shown. One task can do without; by default it has one input, always 1.
        rule_columns: The rule inputs, in order; None for those of the tasks. Append tasks that a network is
            to learn later.
        rules: Rule inputs that are shown instead of the task's own, as strengths: {"fdanti": 1, "fdgo": -1}.
        rule_on_ms: When the rule comes on.
        rule_off_ms: When it goes off; None for never.
        fixate_off: Whether a channel shows that the fixation input is off; None for "if compact, with three
            tasks or more", as published.
        modality_diff: Second stimuli are in the other modality (`delaydm1`, `delaydm2` and the match tasks).
            The published compact runs of all tasks set this and the next.
        label_strength: Targets of `delaydm1` and `delaydm2` are as long as the chosen stimulus is strong. Of
            no effect on discrete responses, which have no length.
        easy_task: Coherences are 10 (simultaneous) or 2 (delayed) times as large.
        compatible_nonmatch: Draw non-matching stimuli before snapping, as published: 4 % of them cannot be
            told from matching ones.
        long: Parts of the trial to make long for probing, of "fixation", "stimulus", "delay", "response".
        timing_seed: The timing of "random".
        align_periods: In "random", tasks share one timeline as far as they have the same epochs.
        psychometric: Conditions of mode "psychometric": "theta1", "theta2" in radians, "gamma1", "gamma2"
            strengths (or pairs of them, one per modality), one per condition; "durations" in ms by epoch.

    **Reference Scores.** The score is `accuracy_trial`: the share of trials right at their last step, by the
    ring dialect's rule: fixating (output above 0.5) where that is asked, else a response less than 36 degrees
    off. `chance` is the best that an agent that knows the task and sees no stimulus can do: 1/8 (compact, or
    1/4 for vectors, which may point between two directions) or 1/5 (ring) where a response is always called
    for, 1/2 in the match tasks, whose responses are withheld in half of the trials; averaged over tasks by
    their sampling weights. `oracle` averages each stimulus over time and does what the task says; without
    noise it gets 1. Also reported: `accuracy_angle`, the compact measure, which can be fooled by silence (no
    response counts as direction 0, fixation is not looked at); `accuracy_response`, trials right at every
    scored step of the response; `accuracy_fixation`, share of scored steps before it in which it fixates. The
    compact measure rounds to the dialect's directions, and to 8 for rings, where a response near the border
    of two costs even the oracle a percent or two.

    **Source.** Yang, Joglekar, Song, Newsome & Wang, "Task representations in neural networks trained to
    perform many cognitive tasks", Nature Neuroscience 22 (2019); and the 15 tasks used with multi-plasticity
    networks after it. Different on purpose: one seed fixes everything; non-matching stimuli differ after
    snapping; all tasks stop at their own end; the fixation input of `oic` goes off when the response is
    called for; a response vector of no length is wrong; ties of the test grid are not scored.

    **Version History.** v0: first version.
    """

    periods = EPOCHS
    info_facts = ("component", "location", "cost", "length")
    options = ("task", "timing_seed")
    pays_unweighted = False

    def __init__(self, tasks: str | Sequence[str] = "everything", **settings: Any) -> None:
        accepted = [field.name for field in fields(CognitiveSettings)]
        if unknown := [name for name in settings if name not in accepted]:
            raise TypeError(f"{type(self).__name__}: {unknown_names(unknown, accepted)}")
        self.settings = CognitiveSettings(tasks=tasks, **settings)
        self.sampler, self.writer = TrialSampler(self.settings), TrialWriter(self.settings)
        self.fields = self.writer.fields
        self.components = self.settings.names if len(self.settings.names) > 1 else ()
        self.step_ms = self.settings.step_ms
        self.step_time = self.step_ms / self.settings.tau_ms
        self.observation_space = self._observation_space()
        outputs = self.writer.outputs
        if outputs.is_discrete:
            self.action_space = spaces.Discrete(outputs.num_outputs)
        else:
            low, high = (0.0, 1.0) if outputs.is_ring else (-_LARGEST_OUTPUT, _LARGEST_OUTPUT)
            self.action_space = spaces.Box(low, high, (outputs.num_outputs,), np.float32)
        self.chance_by_component = [self._chance(c) for c in range(len(self.settings.names))]
        self._mix()

    def _mix(self) -> None:
        """Take in the shares of the tasks."""
        count = len(self.settings.tasks)
        shares = np.array(self.settings.task_sampling or [1.0 / count] * count)
        self._cumulative = np.cumsum(shares)
        self._cumulative[np.flatnonzero(shares)[-1] :] = 1.0  # round-off must not reach tasks of share 0
        self.chance = float(shares @ self.chance_by_component)

    def _chance(self, component: int) -> float:
        """Score in a task of the best answer that does not look at the stimuli."""
        near = TOLERANCE / np.pi
        if self.settings.snaps:
            right = evenly_spaced(self.settings.directions)
            # A vector may point between two directions, and be near enough to both.
            answers = right if self.writer.outputs.is_discrete else evenly_spaced(720)
            near = float((circular_distance(answers[:, None], right) < TOLERANCE).mean(1).max())
        withheld = self.sampler.withheld_share(component)
        return max(withheld, (1.0 - withheld) * near)

    def _observation_space(self) -> spaces.Box:
        # The same bounds for all tasks, so that a network may go from one to another.
        settings, psychometric = self.settings, self.settings.psychometric or {}
        strongest = max(_STRONGEST, *(np.max(psychometric.get(name, 0.0)) for name in ("gamma1", "gamma2")))
        loudest = max(1.0, *map(abs, (settings.rules or {"": 1.0}).values()))
        high = np.ones(self.fields[-1].start + self.fields[-1].size)
        low = np.zeros_like(high)
        for field in self.fields:
            if field.name.startswith("modality"):
                high[field.slice] = strongest
                low[field.slice] = -strongest if settings.code == "pair" else 0.0
            elif field.name == "rule":
                low[field.slice], high[field.slice] = -loudest, loudest
        margin = LARGEST_NOISE * settings.noise_std
        return spaces.Box(
            (low - margin).astype(np.float32), (high + margin).astype(np.float32), dtype=np.float32
        )

    # ---- episodes ----------------------------------------------------------------------------------

    def generate(self, streams: RowStreams) -> Episodes:
        """One trial per stream."""
        return self.writer.write(
            self.sampler.draw(streams.spawn(_TRIAL), self._cumulative), streams.spawn(_NOISE)
        )

    def conditions(self, task: str | None = None, noise_seed: int = 0) -> Episodes:
        """All trials of the test grid, or all psychometric conditions, of a task, in order.

        Ties of the grid are among them, with weight 0.

        Args:
            task: Which, if there are several.
            noise_seed: Fixes the input noise.

        Raises:
            LookupError: If trials of this task's mode are drawn, not listed.
        """
        if not self.sampler.is_listed:
            raise LookupError(
                f"mode={self.settings.mode!r} has no list of trials; use 'test' or 'psychometric'."
            )
        component = self._number(task) if task is not None or self.components else 0
        count = self.sampler.num_conditions(component)
        seeds = np.full(count, noise_seed, dtype=np.uint64)
        return self.writer.write(
            self.sampler.conditions(np.full(count, component), np.arange(count)),
            RowStreams(seeds).spawn(np.arange(count)),
        )

    def reward(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> npt.NDArray[np.float32]:
        """1 (K,) for a right action in a trial's last step, else 0."""
        last = episodes.mask[steps, rows]
        if self.writer.outputs.is_discrete:
            right: npt.NDArray[Any] = episodes.facts["right_actions"][rows, actions]
        elif np.count_nonzero(last):
            right = rule_right(
                self.writer.outputs,
                np.asarray(actions),
                should_fixate(episodes, steps, rows),
                episodes.facts["response_angle"][rows],
            )
        else:
            return np.zeros(len(rows), dtype=np.float32)
        return np.asarray(last * right, dtype=np.float32)

    def loss_weights(self, episodes: Episodes) -> npt.NDArray[np.float32]:
        """The published cost: (T, B), or (T, B, outputs) on the squared error of vectors."""
        cost = episodes.step_facts["cost"]
        if self.writer.outputs.is_discrete:
            return np.asarray(cost, dtype=np.float32)
        exponent, of_fixation = _VECTOR_WEIGHTS[self.settings.dialect]
        factors = np.ones(self.writer.outputs.num_outputs, dtype=np.float32)
        factors[0] = of_fixation
        return np.asarray((cost**exponent)[..., None] * factors, dtype=np.float32)

    # ---- scores ------------------------------------------------------------------------------------

    def step_scores(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Truth of each action (T, B) by the rule, at its step."""
        fixating = should_fixate(episodes, np.arange(episodes.num_steps)[:, None], slice(None))
        angle = episodes.facts["response_angle"]
        return rule_right(self.writer.outputs, actions, fixating, angle).astype(np.float32)

    def episode_scores(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """1 for each trial (B,) that is right, 0 for the others; NaN for ties."""
        return trial_figures(self.writer.outputs, episodes, actions, self.settings.grace_steps)["trial"]

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        """Accuracies of both dialects; see the class.

        With several tasks also lists in the order of `components`: `accuracy_by_component` (as the score) and
        `accuracy_angle_by_component`; NaN for tasks without trials.

        Args:
            episodes: The episodes as played.
            actions: (T, B) choices, or (T, B, outputs) the outputs of a network.
        """
        figures = trial_figures(self.writer.outputs, episodes, actions, self.settings.grace_steps)
        component, count = episodes.facts["component"], len(self.settings.tasks)

        def by_component(values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> list[float]:
            totals = np.bincount(component, np.where(counts > 0, values, 0.0), count)
            return [_share(a, b) for a, b in zip(totals, np.bincount(component, counts, count), strict=True)]

        def mean(values: npt.NDArray[np.float64]) -> float:
            finite = values[~np.isnan(values)]
            return _share(finite.sum(), len(finite))

        score = mean(figures["trial"])
        found: dict[str, Any] = {
            "score": score,
            "accuracy_trial": score,
            "accuracy_angle": _share(figures["angle_right"].sum(), figures["angle_steps"].sum()),
            "accuracy_response": mean(figures["response"]),
            "accuracy_fixation": mean(figures["fixation"]),
        }
        if self.components:
            has_score = (~np.isnan(figures["trial"])).astype(np.float64)
            found["accuracy_by_component"] = by_component(figures["trial"], has_score)
            found["accuracy_angle_by_component"] = by_component(
                figures["angle_right"], figures["angle_steps"]
            )
        return found

    def oracle_policy(self) -> Policy:
        """Averages each stimulus over time and does what the task asks."""
        return BatteryObserver(self.writer, self.sampler.attended)

    # ---- the same task otherwise -------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The arguments that make this task."""
        return self.settings.describe()

    def with_settings(self, **changes: Any) -> CognitiveBattery:
        """The same task with some arguments changed."""
        return type(self)(**self.settings.changed(**changes).describe())

    def with_mixture(self, shares: Sequence[float]) -> CognitiveBattery:
        """The same tasks, of which number i comes with probability shares[i].

        Raises:
            LookupError: If there is one task only.
        """
        if not self.components:
            return super().with_mixture(shares)  # type: ignore[return-value]
        task = copy.copy(self)
        task.settings = self.settings.changed(task_sampling=[float(share) for share in shares])
        task._mix()
        return task

    def with_timing(self, timing_seed: int) -> CognitiveBattery:
        """The same task with another timing of mode "random"."""
        return self.with_settings(timing_seed=timing_seed)

    def only(self, task: str, **changes: Any) -> CognitiveBattery:
        """One of the tasks, with the same inputs as all: for scoring it, or showing it other rules.

        Args:
            task: Its name.
            **changes: Other arguments that change, such as `rules` or `mode`.
        """
        self._number(task)
        settings: dict[str, Any] = {"tasks": [task], "fixate_off": self.settings.fixate_off}
        if self.settings.rule_input:
            settings["rule_columns"] = self.settings.columns
        return self.with_settings(**{**settings, **changes})

    def with_options(self, options: Mapping[str, Any]) -> CognitiveBattery:
        """{"task": name}: trials of this task only; {"timing_seed": k}: that timing."""
        self.check_options(options)
        task = self
        if "timing_seed" in options:
            task = task.with_timing(int(options["timing_seed"]))
        if "task" in options:
            number = self._number(options["task"])
            if self.components:
                task = task.with_mixture([float(i == number) for i in range(len(self.components))])
        return task

    def _number(self, task: str | None) -> int:
        names = self.settings.names
        if task not in names:
            if isinstance(task, str):
                task_names([task])  # tells unknown names apart from those that are not among these
            raise ValueError(f"task={task!r}: expected one of {names}.")
        return names.index(task)

    # ---- pictures ----------------------------------------------------------------------------------

    def render_frame(
        self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """A trial at a step, (500, 640, 3); what is still to come is pale."""
        return trial_frame(self.writer, episodes, row, step, actions)

    def render_text(self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
        """A trial at a step in a few lines: where, what is on, target and last action."""
        return trial_text(self.writer, episodes, row, step, actions)

    def plot_trial(
        self,
        episodes: Episodes,
        row: int = 0,
        outputs: npt.NDArray[Any] | None = None,
        path: str | Path | None = None,
    ) -> Figure:
        """Draw a trial: inputs, target and outputs over time, epochs shaded.

        Args:
            episodes: A batch.
            row: Which of its trials.
            outputs: (T, B) choices or (T, B, outputs) of a network for the whole batch, if they are to be
                shown.
            path: Where to save the picture, if at all.
        """
        return plot_trial(self.writer, episodes, row, outputs, path)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
