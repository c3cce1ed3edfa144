"""Shapes, types and numbers of episodes, checked against what `Episodes` and `Task` ask for."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from gymnasium import spaces

from plastic_envs.episodes import Episodes
from plastic_envs.streams import RowStreams, episode_seeds
from plastic_envs.task_checks.case import Case, named_arrays
from plastic_envs.views.records import RESERVED

__all__ = [
    "check_arrays",
    "check_loss_weights",
    "check_observations",
    "check_resets",
    "check_rows",
    "check_spaces",
    "generated",
]


def check_spaces(case: Case) -> None:
    """Spaces that environments can show and agents can read."""
    space: Any = case.task.observation_space
    actions: Any = case.task.action_space
    fits = isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32
    case.require(fits, f"observation_space is {space}: expected a Box of shape (O,) and dtype float32.")
    fits = isinstance(actions, (spaces.Discrete, spaces.Box))
    case.require(fits, f"action_space is {actions}: expected Discrete or Box.")
    case.require(
        (space.low <= 0) & (space.high >= 0),
        f"observation_space {space} does not contain zeros, which environments show after the last step: "
        "widen it.",
    )


def generated(case: Case) -> Episodes:
    """Episodes of `generate`, if they are episodes whose observations are an array."""
    episodes: Any = case.task.generate(RowStreams(episode_seeds(case.seed, case.batch_size)))
    name = type(episodes).__name__
    case.require(
        isinstance(episodes, Episodes), f"generate returned a {name}: expected plastic_envs.Episodes."
    )
    observations = episodes.observations
    case.require(
        isinstance(observations, np.ndarray) and observations.ndim == 3,
        f"observations of shape {np.shape(observations)}: expected an array (T, B, O).",
    )
    return cast(Episodes, episodes)


def check_arrays(case: Case) -> None:
    """Shapes, types and numbers of all arrays."""
    episodes = generated(case)
    _check_shapes(case, episodes)
    _check_numbers(case, episodes)
    check_observations(case, episodes)


def _check_shapes(case: Case, episodes: Episodes) -> None:
    shape = episodes.observations.shape
    steps = shape[1 if shape[0] == case.batch_size else 0]
    time, batch = (steps, case.batch_size), (case.batch_size,)
    space, answers = case.task.action_space, case.task.action_space.shape or ()
    answer_type = np.int64 if isinstance(space, spaces.Discrete) else np.float32
    for name, first, rest, dtype in (
        ("observations", time, case.task.observation_space.shape, np.float32),
        ("targets", time, answers, answer_type),
        ("mask", time, (), np.float32),
        ("periods", time, (), np.int8),
        ("resets", time, (), np.bool_),
        ("lengths", batch, (), np.int64),
    ):
        _check_array(case, name, getattr(episodes, name), first, rest, np.dtype(dtype))
    for name, value in episodes.facts.items():
        case.require(np.shape(value)[:2] != time, f"facts[{name!r}] is (T, B, ...): put it into step_facts.")
        _check_array(case, f"facts[{name!r}]", value, batch)
    for name, value in episodes.step_facts.items():
        _check_array(case, f"step_facts[{name!r}]", value, time)


def _check_array(
    case: Case,
    name: str,
    array: Any,
    first: tuple[int, ...],
    rest: tuple[int, ...] | None = None,
    dtype: np.dtype[Any] | None = None,
) -> None:
    """One array with axes `first`, then `rest`; None: any, as the type may be any."""
    case.require(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}: expected an array.")
    fits = array.shape[: len(first)] == first if rest is None else array.shape == (*first, *rest)
    shape = f"({', '.join(map(str, first))}, ...)" if rest is None else f"{(*first, *rest)}"
    timed = len(first) == 2
    swapped = timed and array.shape[:2] == first[::-1]
    case.require(
        fits,
        f"{name} of shape {array.shape}: expected {shape}, "
        f"{'time first, then the batch' if timed else 'the batch first'}; "
        f"{'swap its first two axes' if swapped else 'give it this shape'}.",
    )
    expected = dtype or array.dtype
    case.require(
        array.dtype == expected and not expected.hasobject,
        f"{name} of dtype {array.dtype}: expected {dtype or 'numbers'}; convert it with astype.",
    )


def _check_numbers(case: Case, episodes: Episodes) -> None:
    """Numbers in arrays of the right shapes, and the names that the task gives to parts of them."""
    task = case.task
    weights, lengths, periods = episodes.mask, episodes.lengths, episodes.periods
    steps, space, targets = np.arange(episodes.num_steps)[:, None], task.action_space, episodes.targets
    if isinstance(space, spaces.Discrete):
        answers = (targets == -1) | ((targets >= space.start) & (targets < space.start + space.n))
    else:
        inside = (targets >= space.low) & (targets <= space.high)
        answers = inside.reshape(*weights.shape, -1).all(2) | (weights == 0)
    unscored = np.flatnonzero(~weights.any(0))
    last, info_facts = len(task.periods) - 1, set(task.info_facts)
    free = {name for name in episodes.step_facts if name not in RESERVED and name[:1] != "_"}
    covered = sorted(i for field in task.fields for i in range(field.start, field.start + field.size))
    linked = {*task.association.cue, task.association.outcome} if task.association else set()
    component = episodes.facts.get("component", np.array(-1))
    numbered = component.shape == lengths.shape and np.isin(component, range(len(task.components))).all()
    for holds, message in (
        (
            (lengths >= 1) & (lengths <= len(steps)),
            f"lengths are {lengths.min()} to {lengths.max()}: expected 1 to {len(steps)}, the axis T.",
        ),
        (
            answers,
            f"target {targets[~answers][:1]} is not in the action space {space}: expected an action, or -1 "
            "(for a Box: weight 0) where nothing is right.",
        ),
        (np.isfinite(weights) & (weights >= 0), "mask is negative or not finite: expected 0 or more."),
        (
            (weights == 0) | (steps < lengths),
            "a step after the end of its episode has a weight: set mask to 0 from `lengths` on.",
        ),
        (
            not len(unscored),
            f"episodes {unscored[:3]} have no step with a weight, so no score: give a weight to one.",
        ),
        (
            (periods >= 0) & (periods <= last),
            f"periods are {periods.min()} to {periods.max()}: expected 0 to {last}, as `Task.periods` has.",
        ),
        (
            info_facts <= free,
            f"info_facts {sorted(info_facts - free)}: expected names of step_facts ({sorted(free)}) that "
            f"do not begin with '_' and are none of {sorted(RESERVED)}.",
        ),
        (
            not task.fields or covered == list(range(task.observation_space.shape[0])),
            "fields overlap, or do not cover the observation: expected every index in one field.",
        ),
        (
            linked <= {field.name for field in task.fields if field.vocabulary is not None},
            f"association of {sorted(linked)}: expected names of fields that have a vocabulary.",
        ),
        (
            not task.components or numbered,
            'the task has `components`: expected their indices in facts["component"], (B,).',
        ),
    ):
        case.require(holds, message)


def check_observations(case: Case, episodes: Episodes) -> None:
    """All observations are in their space."""
    space, observations = case.task.observation_space, episodes.observations
    inside = np.isfinite(observations) & (observations >= space.low) & (observations <= space.high)
    case.require(
        inside,
        f"an observation has {observations[~inside][:1]}, which is not in {space}: widen the "
        "space, or write other numbers.",
    )


def check_rows(case: Case) -> None:
    """A row is the same in any batch, and whenever it is drawn."""
    task, batch, again = case.task, case.sample(), case.sample()
    case.same(
        again,
        batch,
        "differs when the same seeds are drawn again: draw from the `streams` only, and keep nothing between "
        "calls of `generate`.",
    )
    others = named_arrays(again)
    shared = [name for name, array in named_arrays(batch).items() if np.shares_memory(array, others[name])]
    case.require(not shared, f"{shared} of two batches share memory: return copies from `generate`.")
    seeds = RowStreams(episode_seeds(case.seed, case.batch_size))
    for row in (0, case.batch_size // 2, case.batch_size - 1):
        case.same(
            _cut(task.generate(seeds[row : row + 1]), 0),
            _cut(batch, row),
            f"differs when episode {row} is drawn alone: a row may depend on its own stream only, not on "
            "other rows or their number.",
        )


def _cut(episodes: Episodes, row: int) -> Episodes:
    """One episode without the padding."""
    one, length = episodes.select([row]), int(episodes.lengths[row])
    timed = {name: getattr(one, name)[:length] for name in Episodes._TIME_FIRST}
    step_facts = {name: value[:length] for name, value in one.step_facts.items()}
    return Episodes(**timed, lengths=one.lengths, facts=one.facts, step_facts=step_facts)


def check_resets(case: Case) -> None:
    """`Task.resets_in` tells of single observations what `Episodes.resets` tells."""
    episodes = case.sample()
    for steps, rows in case.steps(episodes):
        resets = case.task.resets_in(episodes.observations[steps, rows], steps)
        case.require(
            resets == episodes.resets[steps, rows],
            f"resets_in differs from Episodes.resets at step {steps[0]}: let resets come at the same steps "
            "in every episode, or write `resets_in`.",
        )


def check_loss_weights(case: Case) -> str | None:
    """Weights for learning, where there are right answers."""
    episodes = case.sample()
    try:
        weights = case.task.loss_weights(episodes)
    except ValueError:
        return "targets to learn from"
    shapes = (episodes.mask.shape, episodes.targets.shape)
    case.require(weights.shape in shapes, f"loss_weights of shape {weights.shape}: expected one of {shapes}.")
    case.require(np.isfinite(weights) & (weights >= 0), "loss_weights are negative or not finite.")
    return None
