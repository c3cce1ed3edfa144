"""One trial of transitive inference, step by step: movement of items, and activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.studies.study import Arrays, Measured
from benchmarks.studies.transitive.conditions import NUM_ITEMS, WITHHELD, WITHHELD_TRIAL
from benchmarks.studies.transitive.measures import PCA_TRIAL, Effort, passages_of, standard_task
from plastic_agents.agent import NetworkAgent
from plastic_agents.analysis import rank_code
from plastic_agents.analysis.recoding import cosines, fit_recoding, pair_by_item, reinstatement_effect
from plastic_agents.analysis.statistics import pearson
from plastic_agents.analysis.transitive import choices_of
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_agents.seeding import torch_generator
from plastic_envs.transitive.schedules import FEEDBACK, RESPONSE


@dataclass(frozen=True)
class _Trial:
    """One trial of many episodes; steps first, B episodes, N items, n units."""

    psi1: npt.NDArray[np.float32]  # (B, N, n)
    alignments: npt.NDArray[np.float64]  # (5, B, N): before the trial and after each of its steps
    features: npt.NDArray[np.float32]  # (4, B, n)
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int64]
    correct: npt.NDArray[np.float64]


def _trial(agent: NetworkAgent, schedule: Any, trial: int, episodes: int, seed: int, name: str) -> _Trial:
    network, task = agent.network, standard_task(agent, {"schedule": schedule})
    assert isinstance(network, Neuromodulated)
    start = int(task.layout.starts[trial])
    steps = range(start - 1, start + task.steps_per_trial)
    axis, parts = rank_code.decision_axis(network), []
    for passage in passages_of(agent, task, episodes, seed, name, states_after=steps):
        choices = choices_of(passage.episodes, passage.actions, task.layout)
        psi1 = rank_code.item_activity(network, task, passage.episodes.facts["items"])
        aligned = [
            rank_code.alignments(
                rank_code.reinstated_activity(network, task, psi1, passage.states[step].weights), axis
            )
            for step in steps
        ]
        parts.append(
            _Trial(
                psi1=psi1.cpu().numpy(),
                alignments=np.stack(aligned),
                features=passage.features[start : start + task.steps_per_trial],
                first=choices.first[trial],
                second=choices.second[trial],
                answers=passage.actions[start + RESPONSE],
                correct=choices.correct[trial],
            )
        )
    episode_axis = {"alignments": 1, "features": 1}
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=episode_axis.get(name, 0))
        for name in _Trial.__dataclass_fields__
    }
    return _Trial(**joined)


def step_by_step(agent: NetworkAgent, seed: int, effort: Effort) -> Measured:
    """Movement of items, and activity, at the first presentation of a pair, in trial 18.

    Metrics: `withheld <pair>/accuracy` at that trial. Arrays: `withheld <pair>/alignments` (5, N), means
    before the trial and after each step; of the recoded reinstatement (only with D, E withheld)
    `recoding/...`.
    """
    metrics: dict[str, float] = {}
    arrays: Arrays = {}
    for name, arguments in WITHHELD.items():
        trials = _trial(
            agent, ("withheld_pair", arguments), WITHHELD_TRIAL, effort.withheld, seed, f"withheld {name}"
        )
        metrics[f"withheld {name}/accuracy"] = float(trials.correct.mean())
        arrays[f"withheld {name}/alignments"] = trials.alignments.mean(1)
        if name == "DE":
            withheld = trials
    more, pictures = _recoding(agent, withheld, seed, effort)
    return metrics | more, arrays | pictures


def _recoding(agent: NetworkAgent, withheld: _Trial, seed: int, effort: Effort) -> Measured:
    network = agent.network
    assert isinstance(network, Neuromodulated)
    half = max(2, effort.recoding // 2)
    withheld = _first(withheld, half)
    standard = _trial(agent, None, PCA_TRIAL, half, seed, "recoding")
    slow = network.slow_weights()
    axis = torch.as_tensor(rank_code.decision_axis(network)).to(slow.recurrent)
    psi1 = torch.as_tensor(np.concatenate((withheld.psi1, standard.psi1))).to(slow.recurrent)
    fit = fit_recoding(
        psi1, slow.recurrent.detach(), slow.plasticity.detach(), axis, torch_generator(seed, "recoding fit"),
        num_steps=effort.recoding_steps,
    )  # fmt: skip
    both = (np.concatenate((withheld.features[FEEDBACK], standard.features[FEEDBACK])),)
    fit = fit.turned(*both, np.concatenate((withheld.answers, standard.answers)))
    count = len(withheld.answers)
    of_withheld, of_standard = fit.items[:count], fit.items[count:]
    # Seen from the higher item first: with the sides swapped, items are reinstated with the other sign.
    side = np.where(withheld.first < withheld.second, 1.0, -1.0)[:, None]
    items = np.stack([side * cosines(h[:, None], of_withheld) for h in withheld.features])  # (4, B, N)
    plain = np.stack([side * cosines(h[:, None], withheld.psi1) for h in withheld.features])
    answer = np.where(withheld.answers > 0, 1.0, -1.0)
    common = np.stack([answer * cosines(h, fit.written) for h in withheld.features])
    change = withheld.alignments[-1] - withheld.alignments[-2]
    response = cosines(withheld.features[RESPONSE][:, None], of_withheld)
    effects = {
        letter: reinstatement_effect(response, change, withheld.answers, item)[0]
        for letter, item in (("C", 2), ("F", 5))
    }
    by_pair = pair_by_item(
        cosines(standard.features[RESPONSE][:, None], of_standard), standard.first, standard.second, NUM_ITEMS
    )
    metrics = {
        "recoding/mean_cosine": fit.mean_cosine,
        "recoding/starts": float(fit.num_starts),
        "recoding/correlation_with_plain": float(np.abs(pearson(fit.items, psi1.cpu().numpy())).mean()),
        **{f"recoding/effect_of_{letter}": value for letter, value in effects.items()},
    }
    return metrics, {
        "recoding/items": items.mean(1),
        "recoding/plain": plain.mean(1),
        "recoding/written": common.mean(1),
        "recoding/by_pair": by_pair,
    }


def _first(trial: _Trial, count: int) -> _Trial:
    """The first episodes."""
    late: Sequence[str] = ("alignments", "features")
    return replace(
        trial,
        **{
            name: getattr(trial, name)[:, :count] if name in late else getattr(trial, name)[:count]
            for name in _Trial.__dataclass_fields__
        },
    )
