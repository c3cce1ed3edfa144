"""Learn within an episode which response each new image calls for: a block of trials with feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Split, check_size
from plastic_envs.episodes import Episodes, Field
from plastic_envs.policy import Policy
from plastic_envs.sensorimotor.policies import ProblemSolver
from plastic_envs.sensorimotor.trial import (
    MOST_STEPS,
    PERIODS,
    Duration,
    SensorimotorTask,
    draw_images,
)
from plastic_envs.streams import RowStreams

__all__ = ["FEEDBACK", "RUN", "SensorimotorBlock", "trials_to_run"]

RUN = 5  # right trials in a row that show that a problem is learned
FEEDBACK = len(PERIODS)  # index of the period after the response
_IMAGES, _ORDER = 0, 1  # purposes of an episode's random streams


@dataclass(frozen=True, kw_only=True)
class SensorimotorBlock(SensorimotorTask):
    """A block of trials of one fresh problem, with feedback, to be learned while it lasts.

    **Description.** The trials are those of `SensorimotorAssociation`: image k of a problem calls for choice
    k. Here a whole block of them is one episode, its problem is new, and the agent is told after each trial
    whether it was right: so a network with memory can learn the problem within the episode. With several
    problems per episode, the images change unannounced.

    **Observation Space.** `Box((image_dim + num_images + 3,), float32)`, -1 to 1 (images: -image_norm to
    image_norm):

    | index | field | meaning |
    |---|---|---|
    | 0 .. 9 | `image` | the trial's image during sample and feedback; else 0 |
    | 10 | `fixation` | 1 / sqrt(image_dim) but for grace period and response; there 0 |
    | 11 | `reward` | reward of the last step |
    | 12 .. 14 | `action` | action of the last step, one-hot; 0 in the first step |

    **Action Space.** `Discrete(num_images + 1)`: choice 0, choice 1, ..., and last fixation.

    **Rewards.** In the last step of the response 1 for the right choice, and -1 for any other action; 0 in
    all other steps. So nothing tells before the response is over what is right, and what is told then is
    about the action that is shown beside it.

    **Trial and Episode Structure.** `problems_per_episode` problems of `trials_per_problem` trials each, of
    sample 500 ms, delay 1000 ms, grace 100 ms and response 400 ms: 20 steps of 100 ms (as registered), or 100
    of 20 ms. `targets` are as in the trial; `loss_weights` are 1 in the response, `fixation_weight` where
    fixation is right, and 0 in the grace period; `mask` is 1 in the last step of each response, where the
    trial's outcome is scored. Nothing is ever reset. The outcome is shown in the step after the response: the
    first one of the next trial, or of a feedback period (`feedback_ms`) with the trial's image and the
    fixation input on, in which the target is fixation.

    `facts`: `images` (B, problems, K, image_dim). `step_facts` (T, B), all in `info`: `image`, `trial` (of
    the problem), `problem` (of the episode), `scored`.

    Args:
        dt_ms: Duration of a step; must divide all epochs.
        num_images: K, images of a problem, and choices.
        image_dim: Entries of an image, at least K.
        epochs: Durations of sample, delay, grace and response, in ms.
        trials_per_problem: Trials before the problem changes, or the episode ends.
        problems_per_episode: Problems, one after another.
        feedback_ms: Duration of a feedback period after the response; 0: none.
        image_norm: Euclidean length of the images that are shown (1 as published). With usual initial weights
            images of length 1 hardly move a network's units, and learning to learn begins late.
        fixation_weight: Weight in the loss of the steps in which fixation is right. With 0 only responses are
            learned, and whether it fixates is left to chance; the score does not ask for it.
        split: "train", "validation" or "test"; they differ in their random numbers only.

    **Reference Scores.** The score is the share of trials answered rightly. `chance` = 1 / K. `oracle`: knows
    images when it sees them again, remembers what it was told, and infers by exclusion (after one trial it
    knows both of two images): 1 - (1 - 1/K) / trials for two images, on average.

    **Source.** New here; the trial is that of Goudar et al., Nature Neuroscience 26 (2023), see
    `SensorimotorAssociation`, where a problem is learned by gradient over trials.

    **Version History.** v0: first version.
    """

    periods = (*PERIODS, "feedback")
    closed_loop = True
    info_facts = ("image", "problem", "trial", "scored")

    trials_per_problem: Annotated[int, Range(1, MOST_STEPS)] = 12
    problems_per_episode: Annotated[int, Range(1, MOST_STEPS)] = 1
    feedback_ms: Duration = 0.0
    image_norm: Annotated[float, Range(1e-6, 1e6)] = 1.0
    fixation_weight: Annotated[float, Range(0, 1e6)] = 1.0
    split: Split = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        dt_ms, feedback_ms, steps = self.dt_ms, self.feedback_ms, self._period_steps()
        if not np.isclose(steps[FEEDBACK] * dt_ms, feedback_ms):
            raise ValueError(f"feedback_ms={feedback_ms}, dt_ms={dt_ms}: expected a whole number of steps.")
        if steps.sum() > MOST_STEPS:
            raise ValueError(
                f"feedback_ms={feedback_ms}: {steps[FEEDBACK]} steps of dt_ms={dt_ms}; expected at most "
                f"{MOST_STEPS}."
            )
        num_steps = self.num_trials * len(self.trial_periods)
        if num_steps > MOST_STEPS:
            raise ValueError(
                f"trials_per_problem={self.trials_per_problem}, problems_per_episode="
                f"{self.problems_per_episode}, feedback_ms={feedback_ms}, dt_ms={dt_ms}: an episode of "
                f"{num_steps} steps; expected at most {MOST_STEPS}."
            )
        image_dim, num_images = self.image_dim, self.num_images
        check_size(
            num_steps * (image_dim + num_images + 40) * 4
            + self.problems_per_episode * num_images * image_dim * 16,
            trials_per_problem=self.trials_per_problem, problems_per_episode=self.problems_per_episode,
            num_images=num_images, image_dim=image_dim,
        )  # fmt: skip
        bounds = np.ones(image_dim + num_images + 3, dtype=np.float32)
        bounds[self.field("image").slice] = self.image_norm
        more = Field("reward", image_dim + 1, 1), Field("action", image_dim + 2, num_images + 1)
        self._set(
            fields=self.fields + more,
            observation_space=spaces.Box(-bounds, bounds, dtype=np.float32),
            chance=1.0 / num_images,
        )

    def _period_steps(self) -> npt.NDArray[np.int64]:
        return np.append(super()._period_steps(), round(self.feedback_ms / self.dt_ms))

    @property
    def num_trials(self) -> int:
        """R, trials of an episode."""
        return self.trials_per_problem * self.problems_per_episode

    # ---- episodes ----------------------------------------------------------------------------------

    def generate(self, streams: RowStreams) -> Episodes:
        """One block per stream; what the actions bring is filled in by `advance`."""
        streams = self.split_streams(streams)
        batch, problems, steps = len(streams), self.problems_per_episode, len(self.trial_periods)
        sets = [
            draw_images(streams.spawn(_IMAGES).spawn(p), self.num_images, self.image_dim)
            for p in range(problems)
        ]
        images = np.stack(sets, axis=1)  # (B, P, K, D)
        image = streams.spawn(_ORDER).integers(self.num_images, self.num_trials).T  # (R, B)
        problem = np.repeat(np.arange(problems), self.trials_per_problem)  # (R,)
        stimuli = self.image_norm * images[np.arange(batch), problem[:, None], image]  # (R, B, D)
        observations, targets, mask = self.lay_out(stimuli, image)
        periods = np.tile(self.trial_periods, self.num_trials)
        feedback = periods == FEEDBACK
        observations[feedback, :, : self.image_dim] = np.repeat(stimuli, steps, axis=0)[feedback]
        observations[feedback, :, self.image_dim] = self.image_dim**-0.5
        targets[feedback] = self.fixation

        def of_steps(values: npt.NDArray[np.integer]) -> npt.NDArray[np.int16]:
            return np.repeat(
                np.broadcast_to(values, (self.num_trials, batch)).astype(np.int16), steps, axis=0
            )

        weights = np.zeros(targets.shape, dtype=np.float32)
        weights[self.outcome_step :: steps] = 1.0
        number = np.arange(self.num_trials)[:, None] % self.trials_per_problem
        return Episodes(
            observations=observations,
            targets=targets,
            mask=weights,
            periods=np.repeat(periods[:, None], batch, axis=1),
            resets=np.zeros(targets.shape, dtype=bool),
            lengths=np.full(batch, len(targets)),
            facts={"images": images},
            step_facts={
                "image": of_steps(image),
                "problem": of_steps(problem[:, None]),
                "trial": of_steps(number),
                "scored": mask,
            },
        )

    def advance(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> None:
        """Show action and reward in the next step."""
        reward = self.reward(episodes, steps, rows, actions)
        goes_on = steps + 1 < episodes.num_steps
        steps, rows, actions, reward = (
            steps[goes_on],
            rows[goes_on],
            np.asarray(actions)[goes_on],
            reward[goes_on],
        )
        feedback = episodes.observations[steps + 1, rows]
        feedback[:, self.field("reward").start] = reward
        feedback[:, self.field("action").slice] = actions[:, None] == np.arange(self.num_images + 1)
        episodes.observations[steps + 1, rows] = feedback

    def reward(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> npt.NDArray[np.float32]:
        """1 or -1 (K,) at the end of a trial, 0 elsewhere."""
        right = episodes.targets[steps, rows] == actions
        ends = episodes.mask[steps, rows] > 0
        return np.where(ends, np.where(right, 1.0, -1.0), 0.0).astype(np.float32)

    def loss_weights(self, episodes: Episodes) -> npt.NDArray[np.float32]:
        """1 in the response, `fixation_weight` where fixation is right, 0 in the grace period; (T, B)."""
        fixate = episodes.targets == self.fixation
        weights = np.where(fixate, np.float32(self.fixation_weight), np.float32(1.0))
        return np.where(episodes.step_facts["scored"], weights, np.float32(0.0))

    # ---- scores ------------------------------------------------------------------------------------

    def outcomes(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Trials that were answered rightly, (R, B) bool."""
        return np.asarray((episodes.targets == actions)[self.outcome_step :: len(self.trial_periods)])

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        """`score` (= `accuracy`), share of trials answered rightly, and how fast problems are learned.

        `fixation`: share of steps before the response in which it fixates. `trials_to_criterion`: trials of a
        problem before the first 5 right ones in a row, mean over problems; all trials of the problem where
        there is no such run. `problems_learned`: share of problems with one. List: `accuracy_by_trial` (of a
        problem).
        """
        outcomes = self.outcomes(episodes, actions)
        fixates = episodes.targets == self.fixation
        by_problem = outcomes.reshape(self.problems_per_episode, self.trials_per_problem, -1)
        needed = trials_to_run(by_problem.swapaxes(0, 1).reshape(self.trials_per_problem, -1))
        return {
            "score": float(outcomes.mean()),
            "accuracy": float(outcomes.mean()),
            "fixation": float((actions == episodes.targets)[fixates].mean()),
            "trials_to_criterion": float(np.where(np.isnan(needed), self.trials_per_problem, needed).mean()),
            "problems_learned": float(np.isfinite(needed).mean()),
            "accuracy_by_trial": by_problem.mean((0, 2)).tolist(),
        }

    def oracle_policy(self) -> Policy:
        """Remembers what it was told, and infers by exclusion."""
        return ProblemSolver(self, self.image_norm)


def trials_to_run(right: npt.NDArray[np.bool_], run: int = RUN) -> npt.NDArray[np.float64]:
    """Trials before the first `run` right ones in a row.

    Args:
        right: (R, M), trials of M problems.
        run: Right trials in a row that are asked for.

    Returns:
        (M,), NaN where there is no such run.
    """
    if len(right) < run:
        return np.full(right.shape[1], np.nan)
    whole = np.lib.stride_tricks.sliding_window_view(right, run, axis=0).all(-1)  # (R - run + 1, M)
    return np.where(whole.any(0), whole.argmax(0), np.nan)
