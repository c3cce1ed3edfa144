"""Scores of the cognitive battery's trials: both published measures, and two stricter ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.coding import TOLERANCE, OutputCode
from plastic_envs.cognitive.tasks import EPOCHS
from plastic_envs.episodes import Episodes

GO1 = EPOCHS.index("go1")


def rule_right(
    outputs: OutputCode,
    answers: npt.NDArray[Any],
    should_fixate: npt.NDArray[np.bool_],
    angle: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Correctness of answers (...) or (..., outputs) by the ring dialect's rule (section 7).

    Right is fixating where that is asked, and else a response less than 36 degrees off. A vector of no length
    points nowhere, and is a wrong response.

    Args:
        outputs: Code of the answers.
        answers: The answers.
        should_fixate: (...).
        angle: (...) right response in radians, where one is called for.
    """
    fixates, response = outputs.read(answers)
    near = outputs.distance(response, angle) < TOLERANCE
    return np.where(should_fixate, fixates, ~fixates & near)


def should_fixate(
    episodes: Episodes, steps: npt.NDArray[np.int64], rows: npt.NDArray[np.int64] | slice
) -> npt.NDArray[np.bool_]:
    """Mask of steps where fixation is right; `steps` broadcasts against episodes `rows`."""
    facts = episodes.facts
    return np.asarray((steps < facts["epoch_starts"][rows, GO1]) | facts["withhold"][rows])


def scored_response(episodes: Episodes, grace_steps: int) -> npt.NDArray[np.bool_]:
    """The steps (T, B) of the response that are scored: those after the grace period."""
    step = np.arange(episodes.num_steps)[:, None]
    return np.asarray(
        (step >= episodes.facts["epoch_starts"][:, GO1] + grace_steps) & (step < episodes.lengths)
    )


def angle_steps(
    outputs: OutputCode, episodes: Episodes, answers: npt.NDArray[Any], grace_steps: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The compact measure (section 7): which steps (T, B) are right, and which count.

    The first quarter of the scored response does not count. Fixation is not looked at, and "no response" is
    direction 0, in answers as in targets.
    """
    starts = episodes.facts["epoch_starts"][:, GO1] + grace_steps
    first = starts + (episodes.lengths - starts) // 4
    step = np.arange(episodes.num_steps)[:, None]
    counts = (step >= first) & (step < episodes.lengths) & ~episodes.facts["tie"]
    right = outputs.rounded(outputs.read(answers)[1]) == outputs.rounded(outputs.read(episodes.targets)[1])
    return right & counts, counts


def trial_figures(
    outputs: OutputCode, episodes: Episodes, answers: npt.NDArray[Any], grace_steps: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Scores (B,) of every trial; NaN where a score is not defined.

    `trial`: right at the last step. `response`: right at every scored step of the response. `fixation`:
    share of the scored steps before the response in which it fixates. `angle_right`, `angle_steps`: numbers
    of steps right and counted by the compact measure.
    """
    batch = np.arange(episodes.batch_size)
    step = np.arange(episodes.num_steps)[:, None]
    facts = episodes.facts
    fixating = should_fixate(episodes, step, slice(None))
    right = rule_right(outputs, answers, fixating, facts["response_angle"])
    response = scored_response(episodes, grace_steps)
    before = (step >= grace_steps) & (step < facts["epoch_starts"][:, GO1])
    fixates = outputs.read(answers)[0]
    angle_right, angle_counts = angle_steps(outputs, episodes, answers, grace_steps)
    with np.errstate(invalid="ignore"):
        fixation = (fixates & before).sum(0) / before.sum(0)
    tie = facts["tie"]
    return {
        "trial": np.where(tie, np.nan, right[episodes.lengths - 1, batch]),
        "response": np.where(tie, np.nan, (right | ~response).all(0)),
        "fixation": fixation,
        "angle_right": angle_right.sum(0).astype(np.float64),
        "angle_steps": angle_counts.sum(0).astype(np.float64),
    }
