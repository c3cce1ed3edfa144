"""Scores of random actions and of the ideal observer, and the task made otherwise."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt

from plastic_envs.actions import check_actions
from plastic_envs.task import Task, rollout
from plastic_envs.task_checks.case import Case, TaskError, difference

__all__ = ["check_chance", "check_describe", "check_oracle", "check_splits"]

_STANDARD_ERRORS = 4.0


def check_describe(case: Case) -> None:
    """`Task.describe` makes an equal task."""
    described = case.task.describe()
    try:
        remade = type(case.task)(**json.loads(json.dumps(described)))
    except TypeError as error:
        raise TaskError(
            f"{type(case.task).__name__}: describe() is {described}, which does not make the task: {error}. "
            "Return the constructor's arguments, in JSON types."
        ) from error
    for name in ("observation_space", "action_space", "periods", "info_facts", "closed_loop"):
        case.require(
            getattr(remade, name) == getattr(case.task, name),
            f"a task made with describe(), {described}, has another {name}: describe all arguments.",
        )
    case.same(
        remade.sample(case.seed, case.batch_size),
        case.sample(),
        f"differs in a task that was made with describe(), {described}: describe all arguments.",
    )


def check_splits(case: Case) -> str | None:
    """A split is another task with other episodes, or the task itself."""
    task, before = case.task, case.sample()
    others = {split: task.with_split(split) for split in ("train", "validation", "test")}
    case.same(case.sample(), before, "is changed by `with_split`: return another task, and leave this one.")
    for split, other in others.items():
        case.require(isinstance(other, Task), f"with_split({split!r}) returned {other!r}: expected a task.")
        case.require(
            other is task or difference(other.sample(case.seed, case.batch_size), before),
            f"with_split({split!r}) is another task with the same episodes: draw others, or return self.",
        )
    return None if any(other is not task for other in others.values()) else "splits"


def _margin(scores: npt.NDArray[np.float64]) -> float:
    return float(_STANDARD_ERRORS * scores.std(ddof=1) / len(scores) ** 0.5)


def check_chance(case: Case) -> str | None:
    """Random actions have scores, and score as `Task.chance` says."""
    task, chance = case.task, case.task.chance
    episodes, actions = case.played()
    each = np.asarray(task.episode_scores(episodes, actions))
    score = task.metrics(episodes, actions).get("score", math.nan)
    case.require(
        each.shape == (case.batch_size,) and np.isfinite(each),
        f"episode_scores {each.ravel()[:3]} of shape {each.shape}: expected a number per episode, (B,).",
    )
    case.require(math.isfinite(score), f"metrics(...)['score'] is {score}: expected a finite number.")
    if not math.isfinite(chance):
        return "chance"
    margin = _margin(each)
    if task.score_name == "accuracy" and 0 < chance < 1:  # also where by luck all episodes score the same
        answers = np.count_nonzero(episodes.mask)
        margin = max(margin, _STANDARD_ERRORS * (chance * (1 - chance) / answers) ** 0.5)
    result = f"uniform random actions score {score:.4g} (4 standard errors: {margin:.2g})"
    case.require(score <= chance + margin, f"{result}, more than chance = {chance:.4g}: correct `chance`.")
    case.require(
        score >= chance - margin - case.chance_tolerance,
        f"{result}, less than chance = {chance:.4g}: correct `chance`; or, if the rules alone exclude some "
        "actions, say how much this makes by chance_tolerance.",
    )
    return None


def check_oracle(case: Case) -> str | None:
    """The ideal observer plays as well as it should, whoever played before."""
    task, episodes = case.task, case.sample()
    try:
        policy = task.oracle_policy()
    except LookupError:
        return "oracle"
    answers = rollout(task, policy, fresh := task.unplayed(episodes))
    again = rollout(task, task.oracle_policy(), task.unplayed(episodes))
    case.require(
        np.array_equal(again, answers),
        "a second oracle_policy() answers otherwise: return a fresh one, that draws no random numbers.",
    )
    count = episodes.num_steps * case.batch_size
    check_actions(task.action_space, answers.reshape(count, *answers.shape[2:]), count)
    names = task.reference_scores(episodes)
    case.require(
        {"chance", "oracle"} <= names.keys(),
        f"reference_scores has {sorted(names)}: expected 'chance' and 'oracle' among them.",
    )
    reference = task.reference_scores(case.played()[0])["oracle"]
    case.require(
        reference == names["oracle"],
        f"the oracle's reference score is {reference} after another has played, else {names['oracle']}: "
        "let it play `task.unplayed(episodes)`.",
    )
    score, margin = task.metrics(fresh, answers)["score"], _margin(task.episode_scores(fresh, answers))
    for name, least in (
        ("chance", task.chance),
        ("what reference_scores tells", names["oracle"] - case.oracle_tolerance),
    ):
        case.require(
            not score < least - margin - 1e-9,
            f"oracle scores {score:.4g} (4 standard errors: {margin:.2g}), less than {name}, {least:.4g}: "
            "mend oracle_policy, or what it is compared with.",
        )
    return None
