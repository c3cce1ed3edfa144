"""Learn which response each of a few new images calls for: one trial, one problem after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Seed, Size, checked
from plastic_envs.core import Episodes, Field, Policy, Task
from plastic_envs.streams import RowStreams

__all__ = [
    "DELAY",
    "GRACE",
    "PERIODS",
    "PUBLISHED_EPOCHS",
    "RESPONSE",
    "SAMPLE",
    "TAU_MS",
    "Epochs",
    "SensorimotorAssociation",
    "SensorimotorTask",
    "draw_images",
]

MOST_STEPS = 30_000  # of an episode
TAU_MS = 100.0  # time constant of the published network's units, the unit of `Task.step_time`
PERIODS = ("sample", "delay", "grace", "response")
SAMPLE, DELAY, GRACE, RESPONSE = range(4)
_IMAGES = 0  # purposes of a problem's random streams; trials have streams of their own


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


class SensorimotorTask(Task):
    """What trials of delayed association have in common: their parts, observations and actions.

    Args:
        dt_ms: Duration of a step; must divide all epochs.
        num_images: K, images of a problem, and choices.
        image_dim: Entries of an image, at least K.
        epochs: Durations of sample, delay, grace and response, in ms.

    Attributes:
        trial_periods: Index into `periods` of each step of a trial, (S,).
        fixation: The action that fixates; those below it are choices.
    """

    periods: tuple[str, ...] = PERIODS
    pictures = "plastic_envs.sensorimotor_render:trials"

    def __init__(self, dt_ms: float, num_images: int, image_dim: int, epochs: Sequence[float]) -> None:
        if num_images > image_dim:
            raise ValueError(
                f"num_images={num_images}, image_dim={image_dim}: expected at "
                "least as many dimensions as images, for they are orthogonal."
            )
        if len(epochs) != len(PERIODS):
            raise ValueError(f"epochs={epochs}: expected durations of {PERIODS}, in ms.")
        self.dt_ms, self.num_images, self.image_dim = dt_ms, num_images, image_dim
        self.epochs = Epochs(*epochs)
        self.step_ms = self.dt_ms
        self.step_time = self.dt_ms / TAU_MS
        self.trial_periods = np.repeat(np.arange(4, dtype=np.int8), self.epochs.steps(self.dt_ms))
        self.fields = (Field("image", 0, image_dim), Field("fixation", image_dim, 1))
        self.action_space = spaces.Discrete(num_images + 1)
        self.fixation = num_images

    @property
    def outcome_step(self) -> int:
        """The step of a trial in which its outcome is decided: the last one of the response."""
        return int(np.flatnonzero(self.trial_periods == RESPONSE)[-1])

    def describe(self) -> dict[str, Any]:
        """The arguments that make this task."""
        return {
            "dt_ms": self.dt_ms,
            "num_images": self.num_images,
            "image_dim": self.image_dim,
            "epochs": list(self.epochs),
        }

    def lay_out(
        self, shown: npt.NDArray[np.float64], image: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Trials one after another.

        Args:
            shown: Image vectors, (R, B, image_dim).
            image: Their numbers, which are the right choices, (R, B).

        Returns:
            Observations (R S, B, O), targets (R S, B) and whether steps are scored, (R S, B).
        """
        parts, (trials, batch) = self.trial_periods, image.shape
        observations = np.zeros((trials, len(parts), batch, *self.observation_space.shape), dtype=np.float32)
        observations[:, parts == SAMPLE, :, : self.image_dim] = shown[:, None]
        observations[:, parts <= DELAY, :, self.image_dim] = self.image_dim**-0.5
        targets = np.where((parts <= DELAY)[:, None], self.fixation, image[:, None])
        scored = np.broadcast_to((parts != GRACE)[:, None], targets.shape)
        steps = trials * len(parts)  # (R, S, B, ...) -> (R S, B, ...)
        return (
            observations.reshape(steps, batch, -1), targets.reshape(steps, batch),
            scored.reshape(steps, batch).copy(),
        )  # fmt: skip


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

    @checked
    def __init__(
        self,
        dt_ms: StepMs = 20.0,
        num_images: NumImages = 2,
        image_dim: Size = 10,
        epochs: Sequence[Duration] = PUBLISHED_EPOCHS,
        problem: ProblemNumber = 0,
        problem_seed: Seed = 0,
    ) -> None:
        super().__init__(dt_ms, num_images, image_dim, epochs)
        self.problem, self.problem_seed = problem, problem_seed
        self.observation_space = spaces.Box(-1.0, 1.0, (image_dim + 1,), np.float32)
        response, scored = (self.trial_periods == RESPONSE).sum(), (self.trial_periods != GRACE).sum()
        self.chance = float(1.0 - response / scored * (1.0 - 1.0 / num_images))

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
        observations, targets, scored = self.lay_out(images[image][None], image[None])
        return Episodes(
            observations=observations,
            targets=targets,
            weights=scored.astype(np.float32),
            periods=np.repeat(self.trial_periods[:, None], batch, axis=1),
            resets=np.zeros((steps, batch), dtype=bool),
            lengths=np.full(batch, steps),
            facts={"images": np.repeat(images[None], batch, axis=0), "image": image},
            step_facts={
                "image": np.repeat(image[None].astype(np.int16), steps, axis=0),
                "problem": np.full((steps, batch), self.problem, dtype=np.int32),
                "scored": scored,
            },
        )

    def oracle_policy(self) -> Policy:
        """Knows the problem's images."""
        from plastic_envs.sensorimotor_policies import ImageMemory

        return ImageMemory(self, self.images)

    # ---- the same task otherwise -------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The arguments that make this task."""
        return {**super().describe(), "problem": self.problem, "problem_seed": self.problem_seed}

    def with_problem(self, number: int, seed: int | None = None) -> SensorimotorAssociation:
        """The same task on problem `number` of its sequence, or of the sequence `seed`."""
        changes = {"problem": number} | ({} if seed is None else {"problem_seed": seed})
        return type(self)(**{**self.describe(), **changes})

    def with_options(self, options: Mapping[str, Any]) -> SensorimotorAssociation:
        """The next problem for {"new_problem": True}, problem k for {"problem": k}."""
        self.check_options(options)
        number = options.get("problem", self.problem + bool(options.get("new_problem", False)))
        return self if number == self.problem else self.with_problem(number)


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
