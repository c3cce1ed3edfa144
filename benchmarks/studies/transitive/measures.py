"""Measurements of the transitive-inference study: behaviour by condition, and representations.

Every function plays fresh episodes and returns metrics and arrays. Episodes are analysed as they are played
and not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.studies.study import Arrays, Measured
from benchmarks.studies.transitive.conditions import CONDITIONS, NUM_ITEMS, NUM_TRAIN, Condition
from plastic_agents.agent import NetworkAgent
from plastic_agents.analysis import rank_code
from plastic_agents.analysis.modulation import modulator_by_outcome
from plastic_agents.analysis.playing import Passage, passages
from plastic_agents.analysis.statistics import LinearDecoding, RunningMoments, pearson
from plastic_agents.analysis.transitive import Choices, choices_of, distance_curve, pair_tables
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_agents.seeding import named_generator, torch_generator
from plastic_envs.transitive.schedules import FEEDBACK, RESPONSE
from plastic_envs.transitive.task import TransitiveInference

DECODED = ("rank of the first item", "first item is higher", "signed rank difference", "answer", "was right")
_MODULATOR_TRIAL = 4  # trial, counted from 0, whose modulator is looked at
PCA_TRIAL = 19
_SPLITS = 10


@dataclass(frozen=True)
class Effort:
    """Numbers of episodes and steps.

    Attributes:
        share: Share of each condition's episodes.
        representation: Episodes for modulator, rank code, components and decoding.
        withheld: Episodes of each withheld pair.
        recoding: Episodes of the fit, half of the standard test, half with D, E withheld.
        recoding_steps: Optimiser steps of the fit.
    """

    share: float = 1.0
    representation: int = 2000
    withheld: int = 500
    recoding: int = 600
    recoding_steps: int = 1000


def standard_task(agent: NetworkAgent, arguments: Any) -> TransitiveInference:
    """The standard test's task, with some arguments changed, for an agent of whatever variant of it."""
    assert isinstance(agent.task, TransitiveInference)
    changes = {"num_items": NUM_ITEMS, "schedule": None, "split": "test", **arguments}
    return TransitiveInference(**{**agent.task.describe(), **changes})


def passages_of(
    agent: NetworkAgent, task: TransitiveInference, episodes: int, seed: int, name: str, **options: Any
) -> Iterator[Passage]:
    """Episodes that are the same for every agent with that seed and name."""
    rng, generator = named_generator(seed, name), torch_generator(seed, f"{name}/agent")
    return passages(agent, task, episodes, rng, generator, **options)


# ---- behaviour ---------------------------------------------------------------------------------------


def behaviour(agent: NetworkAgent, seed: int, effort: Effort) -> Measured:
    """Accuracies of an agent in every condition that it can be put through.

    Metrics: `<condition>/accuracy`, `.../accuracy_adjacent`, `.../accuracy_nonadjacent`, and for two lists
    `.../accuracy_within`, `.../accuracy_across`. Arrays: `<condition>/pairs` (N, N), `.../distance` (S, N -
    1) over splits, `.../trials` (R,), all but the last over test trials.
    """
    metrics: dict[str, float] = {}
    arrays: Arrays = {}
    for name, condition in CONDITIONS.items():
        if condition.intervene is None or isinstance(agent.network, Neuromodulated):
            figures, tables = _in_condition(agent, name, condition, seed, effort)
            metrics |= {f"{name}/{key}": value for key, value in figures.items()}
            arrays |= {f"{name}/{key}": value for key, value in tables.items()}
    return metrics, arrays


def _in_condition(
    agent: NetworkAgent, name: str, condition: Condition, seed: int, effort: Effort
) -> Measured:
    task = standard_task(agent, condition.task)
    intervention = None if condition.intervene is None else condition.intervene(task.layout)
    # Interventions are compared with the same episodes played without.
    stream = "standard" if condition.intervene else name
    episodes = max(_SPLITS, round(effort.share * condition.episodes))
    every = Choices.joined(
        choices_of(passage.episodes, passage.actions, task.layout)
        for passage in passages_of(agent, task, episodes, seed, stream, intervention=intervention)
    )
    return _figures(every, every.trials(task.layout.is_test), task)


def _figures(every: Choices, test: Choices, task: TransitiveInference) -> Measured:
    adjacent = np.abs(test.first - test.second) == 1
    metrics = {
        "accuracy": float(test.correct.mean()),
        "accuracy_adjacent": _mean(test.correct[adjacent]),
        "accuracy_nonadjacent": _mean(test.correct[~adjacent]),
    }
    if task.full_schedule.lists:
        upper = set(task.full_schedule.lists[0])
        across = np.isin(test.first, list(upper)) != np.isin(test.second, list(upper))
        metrics |= {
            "accuracy_within": _mean(test.correct[~across]),
            "accuracy_across": _mean(test.correct[across]),
        }
    return metrics, {
        "pairs": pair_tables(test)[0],
        "distance": distance_curve(test, _SPLITS),
        "trials": every.correct.mean(1),
    }


def sign_flip_difference(agent: NetworkAgent, seed: int, episodes: int = 100) -> float:
    """Largest change of the scores of actions when plasticity and modulator both change their sign.

    It is 0: products of two numbers do not depend on whether both signs are flipped.
    """
    network = agent.network
    assert isinstance(network, Neuromodulated)
    task = standard_task(agent, {})
    (before,) = passages_of(agent, task, episodes, seed, "sign flip", batch_size=episodes)
    flipped = [network.plasticity, network.gain]
    with torch.no_grad():
        for parameter in flipped:
            parameter.neg_()
    try:
        (after,) = passages_of(agent, task, episodes, seed, "sign flip", batch_size=episodes)
    finally:
        with torch.no_grad():
            for parameter in flipped:
                parameter.neg_()
    return float(np.abs(before.outputs - after.outputs).max())


# ---- representation ----------------------------------------------------------------------------------


def representation(agent: NetworkAgent, seed: int, effort: Effort) -> Measured:
    """Modulator, components, rank code and decoding, in episodes of the standard test."""
    network, task = agent.network, standard_task(agent, {})
    assert isinstance(network, Neuromodulated)
    axis, starts = rank_code.decision_axis(network), task.layout.starts
    trained = int(starts[NUM_TRAIN]) - 1  # last step of the last train trial
    moments = {name: RunningMoments() for name in ("psi1", "psi2", "similarity")}
    modulator, correct, response, answers, first_items = [], [], [], [], []
    decoding, held_out = LinearDecoding(), max(1, effort.representation // 10)
    tested: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
    stream = passages_of(agent, task, effort.representation, seed, "representation", states_after=[trained])
    for passage in stream:
        choices = choices_of(passage.episodes, passage.actions, task.layout)
        late = starts[_MODULATOR_TRIAL] + FEEDBACK
        modulator.append(_modulator(network, passage.features[late : late + 2]))
        correct.append(choices.correct[_MODULATOR_TRIAL])
        response.append(passage.features[starts[PCA_TRIAL] + RESPONSE])
        answers.append(passage.actions[starts[PCA_TRIAL] + RESPONSE])
        first_items.append(choices.first[PCA_TRIAL])
        psi1 = rank_code.item_activity(network, task, passage.episodes.facts["items"])
        psi2 = rank_code.reinstated_activity(network, task, psi1, passage.states[trained].weights)
        moments["psi1"].add(rank_code.alignments(psi1, axis))
        moments["psi2"].add(rank_code.alignments(psi2, axis))
        moments["similarity"].add(rank_code.structure_similarity(psi1, psi2))
        targets = _decoding_targets(passage, choices, task)
        num_train = max(0, effort.representation - held_out - sum(len(batch) for batch in correct[:-1]))
        decoding.add(passage.features[:, :num_train], targets[:, :num_train])
        tested.append((passage.features[:, num_train:], targets[:, num_train:]))
    metrics, arrays = _of_modulator(np.concatenate(modulator, axis=1).T, np.concatenate(correct))
    more, pictures = _of_components(
        np.concatenate(response), np.concatenate(answers), np.concatenate(first_items), axis
    )
    metrics |= more | {
        "rank_code/structure_similarity": float(moments["similarity"].mean),
        "rank_code/structure_similarity_sd": float(moments["similarity"].deviation),
        "weights/readout_correlation": rank_code.readout_correlation(network),
        "weights/slot_correlation": rank_code.slot_correlation(network, task),
        "weights/trace_rate": network.trace_rate.item(),
        "weights/gain": network.gain.item(),
    }
    arrays |= pictures
    for name in ("psi1", "psi2"):
        arrays[f"rank_code/{name}"] = np.stack((moments[name].mean, moments[name].deviation))
    features, targets = (np.concatenate(parts, axis=1) for parts in zip(*tested, strict=True))
    arrays["decoding/scores"] = decoding.score(features, targets).reshape(len(starts), -1, len(DECODED))
    return metrics, arrays


def _modulator(network: Neuromodulated, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        activity = torch.as_tensor(features).to(network.gain)
        return network.modulation(activity).cpu().numpy().astype(np.float32)


def _of_modulator(modulator: npt.NDArray[Any], correct: npt.NDArray[Any]) -> Measured:
    outcomes = modulator_by_outcome(modulator, correct)
    metrics: dict[str, float] = {}
    for place, step in enumerate(("feedback", "delay")):
        metrics[f"modulator/{step}_right"] = _mean(outcomes.right[:, place])
        metrics[f"modulator/{step}_wrong"] = _mean(outcomes.wrong[:, place])
        if not np.isnan(outcomes.p[place]):
            metrics[f"modulator/{step}_effect"] = float(outcomes.effect[place])
            metrics[f"modulator/{step}_p"] = float(outcomes.p[place])
    return metrics, {"modulator/right": outcomes.right, "modulator/wrong": outcomes.wrong}


def _of_components(
    response: npt.NDArray[Any],
    answers: npt.NDArray[Any],
    first_items: npt.NDArray[Any],
    axis: npt.NDArray[Any],
) -> Measured:
    from sklearn.decomposition import PCA  # slow to import

    components = PCA(2, svd_solver="full").fit(response.astype(np.float64))
    direction = components.components_[0]
    sign = -1.0 if float(direction @ axis) < 0 else 1.0
    scores = sign * components.transform(response.astype(np.float64))
    metrics = {
        "components/axis_correlation": abs(float(pearson(direction, axis))),
        "components/first_share": float(components.explained_variance_ratio_[0]),
        "components/answer_correlation": float(pearson(scores[:, 0], answers)),
    }
    return metrics, {
        "components/scores": scores,
        "components/answers": answers,
        "components/first_items": first_items,
    }


def _decoding_targets(
    passage: Passage, choices: Choices, task: TransitiveInference
) -> npt.NDArray[np.float64]:
    """Targets of the decoding, `DECODED`, at every step; (T, B, 5)."""
    answers = passage.actions[task.layout.starts + RESPONSE]
    by_trial = np.stack(
        (
            choices.first,
            choices.first < choices.second,
            choices.second - choices.first,
            answers,
            choices.correct,
        ),
        axis=-1,
    )
    return np.asarray(by_trial[task.layout.trial], dtype=np.float64)


def _mean(values: npt.NDArray[Any]) -> float:
    """Mean; NaN of an empty sequence."""
    return float(values.mean()) if values.size else float("nan")
