"""Learn which response each of a few new images calls for: one trial, one problem after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Seed
from plastic_envs.episodes import Episodes
from plastic_envs.policy import Policy
from plastic_envs.sensorimotor.policies import ImageMemory
from plastic_envs.sensorimotor.trial import (
    GRACE,
    RESPONSE,
    ProblemNumber,
    SensorimotorTask,
    draw_images,
)
from plastic_envs.streams import RowStreams

__all__ = ["SensorimotorAssociation"]

_IMAGES = 0  # purposes of a problem's random streams; trials have streams of their own


@dataclass(frozen=True, kw_only=True)
class SensorimotorAssociation(SensorimotorTask):
    """A trial of delayed arbitrary association: image k of the problem calls for choice k.

    **Description.** A *problem* is a set of images never seen before, orthonormal among themselves, and a
    fixed rule: image k calls for choice k. An episode is one *trial* of the problem in force: an image is
    shown, a delay follows, and when the fixation input goes off the choice has to be made. Nothing but the
    images tells that the problem has changed. What there is to learn is learned over trials, and what there
    is to learn about learning, over problems.

    **Observation Space.** `Box(-1, 1, (image_dim + 1,), float32)`:

    | index | field | meaning |
    |---|---|---|
    | 0 .. 9 | `image` | the trial's image during the sample; else 0 |
    | 10 | `fixation` | 1 / sqrt(image_dim) until the response is called for; then 0 |

    **Action Space.** `Discrete(num_images + 1)`: choice 0, choice 1, ..., and last fixation.

    **Rewards.** 1 for the right action in a step that is scored, else 0. (The published criterion of learning
    is on the cross-entropy of the targets, not on reward.)

    **Trial and Episode Structure.** Sample 500 ms, delay 1000 ms, grace 100 ms, response 400 ms, in steps of
    `dt_ms` (100 steps of 20 ms by default; the published step is 1 ms). The target is fixation until the
    response is called for, then the choice; the grace period is not scored (weight 0). With 20 ms, 95 of 100
    steps are scored, 75 of them fixation.

    **Problems.** Problem number `problem` of the sequence `problem_seed` is a fixed pair of images; a seed of
    the environment fixes which of them the trials show. The problem changes on request only:
    `reset(options={"new_problem": True})` goes on to the next one, `reset(options={"problem": 7})` to number
    7; the following resets stay there, and `reset(seed=...)` returns to the one that the environment was made
    with. In code, `task.with_problem(7)`.

    `facts`: `images` (B, K, image_dim), `image` (B,). `step_facts` (T, B), all in `info`: `image` (number of
    the image that the trial shows), `problem`, `scored`. `info["period"]` indexes `periods` (sample, delay,
    grace, response); `info["episode_number"]` counts the trials of the problem.

    Args:
        dt_ms: Duration of a step; must divide all epochs.
        num_images: K, images of a problem, and choices.
        image_dim: Entries of an image, at least K.
        epochs: Durations of sample, delay, grace and response, in ms.
        problem: Number of the problem.
        problem_seed: Which sequence of problems.

    **Reference Scores.** The score is the share of scored steps answered rightly. `chance`: fixates rightly
    and picks one of the choices at random, 1 - (1 - 1/K) x (scored response steps / scored steps) = 0.895.
    `oracle`: knows the problem, 1.

    **Source.** Goudar, Peysakhovich, Freedman, Buffalo & Wang, "Schema formation in a neural population
    subspace underlies learning-to-learn in flexible sensorimotor problem-solving", Nature Neuroscience 26
    (2023), Methods. Different on purpose: the number of images is a setting; images, trials and weights have
    random streams of their own, so that changing one changes no other.

    **Version History.** v0: first version.
    """

    info_facts = ("image", "problem", "scored")
    options = ("new_problem", "problem")

    problem: ProblemNumber = 0
    problem_seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        response, num_scored = (self.trial_periods == RESPONSE).sum(), (self.trial_periods != GRACE).sum()
        self._set(
            observation_space=spaces.Box(-1.0, 1.0, (self.image_dim + 1,), np.float32),
            chance=float(1.0 - response / num_scored * (1.0 - 1.0 / self.num_images)),
        )

    # ---- episodes ----------------------------------------------------------------------------------

    @property
    def images(self) -> npt.NDArray[np.float64]:
        """The problem's images, (K, image_dim), orthonormal."""
        seed = RowStreams(np.array([self.problem_seed], dtype=np.uint64)).spawn(self.problem)
        images: npt.NDArray[np.float64] = draw_images(seed.spawn(_IMAGES), self.num_images, self.image_dim)[0]
        return images

    def generate(self, streams: RowStreams) -> Episodes:
        """One trial per stream."""
        batch, steps = len(streams), len(self.trial_periods)
        image, images = streams.integers(self.num_images), self.images
        observations, targets, mask = self.lay_out(images[image][None], image[None])
        return Episodes(
            observations=observations,
            targets=targets,
            mask=mask.astype(np.float32),
            periods=np.repeat(self.trial_periods[:, None], batch, axis=1),
            resets=np.zeros((steps, batch), dtype=bool),
            lengths=np.full(batch, steps),
            facts={"images": np.repeat(images[None], batch, axis=0), "image": image},
            step_facts={
                "image": np.repeat(image[None].astype(np.int16), steps, axis=0),
                "problem": np.full((steps, batch), self.problem, dtype=np.int32),
                "scored": mask,
            },
        )

    def oracle_policy(self) -> Policy:
        """Knows the problem's images."""
        return ImageMemory(self, self.images)

    # ---- the same task otherwise -------------------------------------------------------------------

    def with_problem(self, number: int, seed: int | None = None) -> SensorimotorAssociation:
        """The same task on problem `number` of its sequence, or of the sequence `seed`."""
        return self.remake(problem=number, problem_seed=self.problem_seed if seed is None else seed)

    def with_options(self, options: Mapping[str, Any]) -> SensorimotorAssociation:
        """The next problem for {"new_problem": True}, problem k for {"problem": k}."""
        self.check_options(options)
        number = options.get("problem", self.problem + bool(options.get("new_problem", False)))
        return self if number == self.problem else self.with_problem(number)
