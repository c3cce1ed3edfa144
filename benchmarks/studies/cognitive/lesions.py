"""Lesions, pruning and frozen synapses of a multi-plasticity network, scored on trials of their own.

Letters for shapes: T tasks, L lesions, E embedding units, N hidden units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.studies.cognitive.measures import Effort, outputs_of, trials_of, unpacked
from benchmarks.studies.study import Arrays, Measured
from plastic_agents.analysis.lesions import (
    PRUNED_SHARES,
    Lesion,
    LesionedWeights,
    LesionEffects,
    Responsive,
    additivity,
    cluster_profiles,
    lesion_effects,
    lesioned_weights,
    mode_agreement,
    pair_lesions,
    prune_lesions,
    random_controls,
    similarity_agreement,
    size_effect,
    synapse_lesions,
    unit_lesions,
)
from plastic_agents.analysis.statistics import Line
from plastic_agents.analysis.task_variance import normalised_variance
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.seeding import named_generator
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.episodes import Episodes

__all__ = ["KINDS", "PRUNED_SHARES", "lesioned", "lesions"]

KINDS = ("inputs", "hidden", "zero_W", "freeze_M")
"""Kinds of lesions: of embedding units, hidden units, weights W, plasticity (M held at 0)."""


def lesioned(network: MPN, lesion: Lesion) -> MPN:
    """A copy of a network with one plastic layer and an embedding, without what the lesion takes away."""
    copied = copy.deepcopy(network)
    (layer,) = copied.plastic
    readout, embedding, bias = copied.readout, copied.embedding, layer.bias
    if embedding is None or bias is None:
        raise ValueError("lesions are of networks with an embedding and a bias; got one without.")
    parts = (embedding.weight, layer.weight, bias, readout.weight)
    weights = lesioned_weights(LesionedWeights(*(p.detach().cpu().numpy() for p in parts)), lesion)
    with torch.no_grad():
        for parameter, values in zip(parts, weights, strict=True):
            parameter.copy_(torch.as_tensor(values))
    layer.freeze(torch.as_tensor(lesion.frozen) if lesion.frozen.any() else None)
    return copied


class _Scored:
    """Accuracy of a network by task (T,), always on the same trials.

    Args:
        network: The network.
        battery: Its tasks.
        count: Trials of each.
        seed: Seed of the run.
    """

    def __init__(self, network: MPN, battery: CognitiveBattery, count: int, seed: int) -> None:
        self.network, self.battery = network, battery
        self.trials: list[Episodes] = [
            trials_of(battery, name, count, seed, "lesions") for name in battery.settings.names
        ]

    def __call__(self, lesion: Lesion) -> npt.NDArray[np.float64]:
        """With a lesion."""
        return self.of(lesioned(self.network, lesion))

    def of(self, network: MPN) -> npt.NDArray[np.float64]:
        """Of another network."""
        return np.array([self.battery.episode_scores(e, outputs_of(network, e)).mean() for e in self.trials])


def lesions(network: MPN, battery: CognitiveBattery, arrays: Arrays, seed: int, effort: Effort) -> Measured:
    """All lesions of a network whose clusters are known.

    Arrays: `lesions/intact` (T,); for each of `KINDS` `lesions/<kind>/accuracy`, `control`,
    `control_deviation` (L, T) and `size` (L,); `pruning/accuracy` (8, T); `freeze_all/accuracy` (T,).
    Metrics: `freeze_nothing/changed_bits` (0), `lesions/<kind>/largest` and `/mean` effects, and the
    relation of lesions to tuning, size and one another (`lesions/...`).

    Args:
        network: With one plastic layer.
        battery: Its tasks.
        arrays: Results of `measures.state_variance` and `clusters`.
        seed: Of the run; the trials are others than those the clusters were found on.
        effort: Trials, controls, clusters.
    """
    (layer,) = network.plastic
    shape = (layer.out_features, layer.in_features)
    evaluate = _Scored(network, battery, effort.lesion, seed)
    metrics = {"freeze_nothing/changed_bits": float(_changed_bits(network, evaluate.trials[0]))}
    results: Arrays = {}
    groups = _labels(arrays, shape, effort.clusters)
    by_kind = {
        "inputs": unit_lesions(groups["inputs"], "inputs", shape),
        "hidden": unit_lesions(groups["hidden"], "hidden", shape),
    }
    if "synapses" in groups:
        by_kind |= {
            "zero_W": synapse_lesions(groups["synapses"], "zero_W"),
            "freeze_M": synapse_lesions(groups["synapses"], "freeze_M"),
        }
    rng = named_generator(seed, "random lesions")
    every = Responsive(*(np.ones(s, dtype=bool) for s in (shape[1], shape[0], shape)))
    effects: dict[str, LesionEffects] = {}
    for kind, each in by_kind.items():
        controls = [random_controls(lesion, every, rng, effort.controls) for lesion in each]
        effects[kind] = lesion_effects(evaluate, each, controls)
        metrics |= {
            f"lesions/{kind}/largest": float(effects[kind].effect.max()),
            f"lesions/{kind}/mean": float(effects[kind].effect.mean()),
        }
        results |= {
            "lesions/intact": effects[kind].intact,
            f"lesions/{kind}/accuracy": effects[kind].accuracy,
            f"lesions/{kind}/control": effects[kind].control,
            f"lesions/{kind}/control_deviation": effects[kind].control_deviation,
            f"lesions/{kind}/size": effects[kind].sizes.max(1),
        }
    profiles = {
        kind: normalised_variance(np.asarray(arrays[f"variance/{kind}"], dtype=np.float64))
        for kind in ("inputs", "hidden")
    }
    metrics |= _relations(effects, profiles, groups)
    metrics |= _pairs(evaluate, by_kind, effects, effort.pairs)
    weights = layer.weight.detach().cpu().numpy().astype(np.float64)
    precisely = _Scored(network, battery, effort.frozen, seed)
    results["pruning/accuracy"] = np.stack([precisely(lesion) for lesion in prune_lesions(weights)])
    frozen = replace(Lesion.nothing(shape, "all M"), frozen=np.ones(shape, dtype=bool))
    results["freeze_all/accuracy"] = precisely(frozen)
    return metrics, results


def _labels(arrays: Arrays, shape: tuple[int, int], number: int) -> dict[str, npt.NDArray[np.int64]]:
    """Clusters at a fixed number of them: of inputs (E,), hidden units (N,) and synapses (N, E)."""
    labels = {}
    for kind in ("inputs", "hidden", "modulation"):
        if f"clusters/{kind}/columns/labels" not in arrays:
            continue
        clustering = unpacked(arrays, f"clusters/{kind}/columns")
        labels[kind] = clustering.cut(min(number, len(clustering.labels)))
    if "modulation" in labels:
        groups = arrays["clusters/modulation/groups"].astype(np.int64)
        labels["synapses"] = labels.pop("modulation")[groups].reshape(shape)
    return labels


def _changed_bits(network: MPN, episodes: Episodes) -> int:
    """Number of output values that an empty lesion changes; it should be 0."""
    (layer,) = network.plastic
    same = lesioned(network, Lesion.nothing((layer.out_features, layer.in_features)))
    # `freeze` itself would drop a mask that holds nothing.
    same.plastic[0].frozen = torch.zeros_like(layer.weight, dtype=torch.bool)
    before, after = (outputs_of(n, episodes).view(np.uint32) for n in (network, same))
    return int((before != after).sum())


def _relations(
    effects: dict[str, LesionEffects],
    profiles: dict[str, npt.NDArray[np.float64]],
    groups: dict[str, npt.NDArray[np.int64]],
) -> dict[str, float]:
    """Effects beside tuning, sizes, and each other; NaN where a cluster or an effect does not vary."""
    metrics: dict[str, float] = {}

    def note(name: str, fit: Callable[[], Line]) -> None:
        line = _fitted(fit)
        metrics[f"lesions/{name}"] = float("nan") if line is None else line.r

    for kind, profile in profiles.items():
        tuning = cluster_profiles(profile, groups[kind])
        effect = effects[kind].effect
        note(f"{kind}/tuning_r", partial(_alike, tuning, effect))
    for kind, each in effects.items():
        note(f"{kind}/size_r", partial(size_effect, each.sizes.max(1), each.effect))
    if "zero_W" in effects:
        zeroed, frozen = effects["zero_W"].effect, effects["freeze_M"].effect
        note("modes_r", partial(mode_agreement, zeroed, frozen))
    return metrics


def _alike(tuning: npt.NDArray[np.float64], effect: npt.NDArray[np.float64]) -> Line:
    return similarity_agreement(tuning, effect).line


def _pairs(
    evaluate: _Scored, by_kind: dict[str, list[Lesion]], effects: dict[str, LesionEffects], count: int
) -> dict[str, float]:
    """Additivity of losses by the most harmful clusters of inputs and of hidden units."""
    if count < 1:
        return {}
    worst: dict[str, npt.NDArray[np.int64]] = {}
    losses: dict[str, npt.NDArray[np.float64]] = {}
    for kind in ("inputs", "hidden"):
        loss = effects[kind].intact - effects[kind].accuracy
        worst[kind] = np.argsort(-loss.mean(1), kind="stable")[:count]
        losses[kind] = loss[worst[kind]]
    both = pair_lesions(*([by_kind[kind][i] for i in worst[kind]] for kind in ("inputs", "hidden")))
    together = effects["inputs"].intact - np.stack([evaluate(lesion) for lesion in both])
    line = _fitted(lambda: additivity(losses["inputs"], losses["hidden"], together))
    slope, r = (float("nan"),) * 2 if line is None else (line.slope, line.r)
    return {"lesions/pairs_slope": slope, "lesions/pairs_r": r}


def _fitted(fit: Callable[[], Line]) -> Line | None:
    """A line, or None where there is none: too few clusters, or nothing varies."""
    try:
        return fit()
    except ValueError:
        return None
