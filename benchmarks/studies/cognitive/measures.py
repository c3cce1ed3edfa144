"""Measurements of the studies of many cognitive tasks: accuracy, variance by task-period, clusters.

Every function takes a network and trials of its own, the same ones for all networks with that seed. States
are reduced step by step and not stored: all M of all trials would fill a hundred gigabytes.

Letters for shapes: T tasks, R task-periods, K directions, E embedding units, N hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.studies.study import Arrays, Measured, network_agent
from plastic_agents.agent import Agent
from plastic_agents.analysis import task_variance as variance
from plastic_agents.analysis.clustering.clusters import Clustering, cluster, cluster_groups, minibatch_groups
from plastic_agents.analysis.clustering.scores import shared_units
from plastic_agents.analysis.state_shift import StateShift, state_shift
from plastic_agents.analysis.statistics import Line
from plastic_agents.analysis.subspaces import cross_variance, principal_basis, state_dimension
from plastic_agents.networks.base import Network
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.seeding import named_generator
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.cognitive.tasks import EPOCHS, TASKS
from plastic_envs.episodes import Episodes

Floats = npt.NDArray[np.float64]

REPRESENTATIONS = ("inputs", "hidden", "modulation")
"""States of a multi-plasticity network: its embedding, its hidden units, the M of its synapses."""

_ROWS_AT_ONCE = 64
_NUM_BINS = 8


@dataclass(frozen=True)
class Effort:
    """Numbers of trials and repetitions.

    Attributes:
        accuracy: Fresh trials of each task for the accuracies.
        variance: Trials of each task on the fixed timeline (published: 50).
        shift: The same for the shift of states.
        drawn: Of these, trials whose states are drawn.
        lesion: Trials of each task that lesions are scored on (published: 200).
        frozen: Trials of each task with all of M frozen, and at each share of weights pruned.
        controls: Random lesions beside each.
        clusters: Clusters of units or synapses that are taken away one by one.
        pairs: Clusters of inputs, and as many of hidden units, that are also taken away two at a time.
        groups: G, groups of synapses before their tree (published: 100, 300, 1000).
        repeats: Repeats of the clustering with jittered entries.
        synapses: Cluster synapses by column too.
    """

    accuracy: int = 500
    variance: int = 50
    shift: int = 50
    drawn: int = 20
    lesion: int = 20
    frozen: int = 200
    controls: int = 10
    clusters: int = 20
    pairs: int = 5
    groups: int = 300
    repeats: int = 100
    synapses: bool = True


# ---- agents and trials -------------------------------------------------------------------------------


def network_of(agent: Agent) -> Network[Any]:
    """The agent's network.

    Raises:
        TypeError: If it has none.
    """
    return network_agent(agent).network


def battery_of(agent: Agent) -> CognitiveBattery:
    """The agent's tasks.

    Raises:
        TypeError: If they are none of the cognitive battery's.
    """
    if not isinstance(agent.task, CognitiveBattery):
        raise TypeError(f"{type(agent.task).__name__}: this study measures agents of a CognitiveBattery.")
    return agent.task


def trials_of(battery: CognitiveBattery, name: str, count: int, seed: int, purpose: str) -> Episodes:
    """Trials of one of the tasks, the same for every network with that seed and purpose."""
    rng = named_generator(seed, f"{purpose}/{name}")
    return battery.with_options({"task": name}).sample(rng, count)


def periods_of(battery: CognitiveBattery) -> list[variance.TaskPeriod]:
    """The R rows of the variance."""
    return variance.task_periods({name: TASKS[name].epochs for name in battery.settings.names})


@torch.no_grad()
def outputs_of(network: Network[Any], episodes: Episodes) -> npt.NDArray[np.float32]:
    """Outputs (steps, B, outputs) in trials of different lengths; zeros after their ends."""
    device = next(network.parameters()).device
    outputs = np.zeros((episodes.num_steps, episodes.batch_size, network.num_outputs), dtype=np.float32)
    order = np.argsort(episodes.lengths, kind="stable")  # alike lengths together
    network.eval()
    for first in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[first : first + _ROWS_AT_ONCE]
        lengths = episodes.lengths[rows]
        steps = int(lengths.max())
        inputs = torch.as_tensor(episodes.observations[:steps, rows], device=device)
        values, _, _ = network.run(inputs, lengths=torch.as_tensor(lengths, device=device))
        lives = np.arange(steps)[:, None, None] < lengths[None, :, None]
        outputs[:steps, rows] = np.where(lives, values.cpu().numpy(), 0.0)
    return outputs


def accuracies(agent: Agent, seed: int, effort: Effort) -> Measured:
    """Scores of each task on fresh trials: arrays `accuracy/<measure>` (T,); metrics `accuracy/mean`, ..."""
    network, battery = network_of(agent), battery_of(agent)
    names = battery.settings.names
    measures = ("accuracy_trial", "accuracy_angle", "accuracy_response", "accuracy_fixation")
    table = np.full((len(measures), len(names)), np.nan)
    for number, name in enumerate(names):
        episodes = trials_of(battery, name, effort.accuracy, seed, "accuracy")
        scores = battery.metrics(episodes, outputs_of(network, episodes))
        table[:, number] = [scores[measure] for measure in measures]
    arrays = {f"accuracy/{m.removeprefix('accuracy_')}": row for m, row in zip(measures, table, strict=True)}
    trial, angle = table[0], table[1]
    return {
        "accuracy/mean": float(trial.mean()),
        "accuracy/worst": float(trial.min()),
        "accuracy/angle_mean": float(angle.mean()),
        "accuracy/angle_worst": float(angle.min()),
    }, arrays


# ---- states ------------------------------------------------------------------------------------------


def representations_of(network: Network[Any]) -> tuple[str, ...]:
    """Those of `REPRESENTATIONS` that a network has."""
    return REPRESENTATIONS if isinstance(network, MPN) else ("hidden",)


@torch.no_grad()
def states(network: Network[Any], episodes: Episodes) -> Iterator[Arrays]:
    """State of a network at each step, (B, ...) by representation.

    `modulation` is the M that the step is answered with, as published; `modulation_after` is what the step
    leaves. Of other networks there is `hidden` only: what their readout sees.
    """
    inputs = torch.as_tensor(episodes.observations, device=next(network.parameters()).device)
    network.eval()
    if isinstance(network, MPN):
        for layers in network.watch(inputs):
            last = layers[-1]
            yield {
                "inputs": last.x.cpu().numpy(),
                "hidden": last.activity.cpu().numpy(),
                "modulation": last.modulation.cpu().numpy(),
                "modulation_after": last.after.cpu().numpy(),
            }
    else:
        for hidden in network.run(inputs).features.cpu().numpy():
            yield {"hidden": hidden}


def state_variance(agent: Agent, seed: int, effort: Effort) -> Measured:
    """Task-period variances, and the subspaces of the periods' ends, on the fixed timeline.

    Arrays: `variance/<representation>` (R, n) float32, not normalised; `subspace/<representation>` (T, T),
    share of the column task's variance in the row task's 4 leading directions. Metrics:
    `dimension/<representation>`, participation ratio of all tasks' states at the ends of periods (means of 8
    directions), and `dimension_one_task/...`, mean over tasks.
    """
    network, battery = network_of(agent), battery_of(agent)
    names, kinds, rows = battery.settings.names, representations_of(network), periods_of(battery)
    place = {row: number for number, row in enumerate(rows)}
    sums: dict[str, variance.TaskVariance] = {}
    ends: dict[str, list[list[npt.NDArray[Any]]]] = {kind: [] for kind in kinds}
    probe = battery.with_settings(mode="long_all")
    for name in names:
        episodes = trials_of(probe, name, effort.variance, seed, "variance")
        bins, starts = episodes.facts["direction"][:, 0], episodes.facts["epoch_starts"][0]
        for kind in kinds:
            ends[kind].append([])
        for step, state in enumerate(states(network, episodes)):
            epoch = EPOCHS[int(np.searchsorted(starts, step, side="right")) - 1] if step < starts[-1] else ""
            row = place.get(variance.TaskPeriod(name, epoch))
            if row is None:
                continue
            for kind in kinds:
                if kind not in sums:
                    sums[kind] = variance.TaskVariance(len(rows), state[kind][0].size, _NUM_BINS)
                sums[kind].add(row, state[kind], bins)
                if step + 1 == starts[EPOCHS.index(epoch) + 1]:
                    means = variance.condition_means(state[kind], bins, _NUM_BINS).reshape(_NUM_BINS, -1)
                    ends[kind][-1].append(means[~np.isnan(means[:, 0])].astype(np.float32))
    metrics: dict[str, float] = {}
    arrays: Arrays = {}
    for kind in kinds:
        arrays[f"variance/{kind}"] = sums[kind].pooled.astype(np.float32)
        each = [np.concatenate(parts) for parts in ends[kind]]
        metrics[f"dimension/{kind}"] = state_dimension(np.concatenate(each))
        metrics[f"dimension_one_task/{kind}"] = float(np.mean([state_dimension(part) for part in each]))
        count = min(4, min(min(len(part) - 1, part.shape[1]) for part in each))
        if count > 0:
            arrays[f"subspace/{kind}"] = cross_variance(each, count)
    return metrics, arrays


def shifts(agent: Agent, seed: int, effort: Effort) -> Measured:
    """State-space shift of h, M and W * M with input noise 0.01, and states before the stimulus to draw.

    M is what the last step of fixation leaves, and what the first step of the stimulus leaves. Arrays:
    `shift/<representation>/<field>`, see `unpacked_shift`; `states/<representation>` (T drawn, 2) scores on
    two principal components and `states_shares/<representation>` (2,), trials task by task. Metrics:
    `shift/<representation>/r`, `slope`, `p`, `permuted_p`.
    """
    network, battery = network_of(agent), battery_of(agent)
    probe = battery.with_settings(mode="long_all", sigma_x=0.01)
    kinds = {"hidden": "hidden", "modulation": "modulation_after"}
    if not isinstance(network, MPN):
        kinds.pop("modulation")
    means: dict[str, list[list[Floats]]] = {kind: [[], []] for kind in kinds}
    examples: dict[str, list[npt.NDArray[Any]]] = {kind: [] for kind in kinds}
    for name in battery.settings.names:
        episodes = trials_of(probe, name, effort.shift, seed, "shift")
        bins, onset = episodes.facts["direction"][:, 0], int(episodes.facts["epoch_starts"][0, 1])
        for step, state in enumerate(states(network, episodes)):
            if step < onset - 1:
                continue
            for kind, source in kinds.items():
                means[kind][step - onset + 1].append(
                    variance.condition_means(state[source], bins, _NUM_BINS).reshape(_NUM_BINS, -1)
                )
                if step < onset:
                    examples[kind].append(state[source][: effort.drawn].reshape(effort.drawn, -1).copy())
            if step == onset:
                break
    pairs = {kind: (np.stack(before), np.stack(after)) for kind, (before, after) in means.items()}
    if isinstance(network, MPN):
        weights = network.plastic[-1].weight.detach().cpu().numpy().reshape(-1)
        before, after = pairs["modulation"]
        pairs["effective"] = (before * weights, after * weights)
    metrics: dict[str, float] = {}
    arrays: Arrays = {}
    for kind, (before, after) in pairs.items():
        if len(before) < 3:
            continue
        shift = state_shift(before, after, named_generator(seed, "permutations"))
        arrays |= {
            f"shift/{kind}/distance": shift.distance,
            f"shift/{kind}/angle": shift.angle,
            f"shift/{kind}/pairs": shift.pairs,
            f"shift/{kind}/line": np.array(shift.line),
            f"shift/{kind}/permuted_p": np.array(shift.permuted_p),
        }
        line = {"r": shift.line.r, "slope": shift.line.slope, "p": shift.line.p}
        metrics |= {f"shift/{kind}/{key}": value for key, value in line.items()}
        metrics[f"shift/{kind}/permuted_p"] = shift.permuted_p
    for kind, parts in examples.items():
        every = np.concatenate(parts)
        centred = every - every.mean(0)
        scores = centred @ principal_basis(every, 2)
        arrays[f"states/{kind}"] = scores
        arrays[f"states_shares/{kind}"] = np.square(scores).sum(0) / np.square(centred).sum()
    return metrics, arrays


def unpacked_shift(arrays: Arrays, kind: str) -> StateShift:
    """A `StateShift` that `shifts` stored."""
    slope, intercept, r, p, points = arrays[f"shift/{kind}/line"].tolist()
    return StateShift(
        arrays[f"shift/{kind}/distance"],
        arrays[f"shift/{kind}/angle"],
        arrays[f"shift/{kind}/pairs"],
        Line(slope, intercept, r, p, int(points)),
        float(arrays[f"shift/{kind}/permuted_p"]),
    )


# ---- clusters ----------------------------------------------------------------------------------------


def clusters(arrays: Arrays, kinds: tuple[str, ...], seed: int, effort: Effort) -> Measured:
    """Clusters of task-periods and of units or synapses by their normalised variance.

    Args:
        arrays: Arrays with `variance/<representation>`.
        kinds: Representations.
        seed: Seed of the run.
        effort: Repeats, groups.

    Returns:
        Metrics `clusters/<representation>/rows` and `/columns` (numbers of clusters), `/row_stability`,
        `/column_stability`, `shared/...` (see `shared`); arrays
        `clusters/<representation>/rows/<field>` and `/columns/<field>`, see `unpacked`, and
        `clusters/modulation/groups` (N E,).
    """
    metrics: dict[str, float] = {}
    tables: Arrays = {}
    for kind in kinds:
        values = variance.normalised_variance(np.asarray(arrays[f"variance/{kind}"], dtype=np.float64))
        rng = named_generator(seed, f"clusters/{kind}")
        parts = {"rows": cluster(values, rng, (_fewest(len(values)), 300), effort.repeats)}
        if kind != "modulation":
            parts["columns"] = cluster(values.T, rng, (_fewest(values.shape[1]), 300), effort.repeats)
        elif effort.synapses:
            groups = minibatch_groups(values.T, min(effort.groups, values.shape[1] // 2), rng)
            fewest = _fewest(int(groups.max()) + 1, 10)
            grouped = cluster_groups(values.T, groups, rng, (fewest, 1000), effort.repeats)
            parts["columns"] = grouped.clustering
            tables[f"clusters/{kind}/groups"] = groups
        for part, clustering in parts.items():
            metrics[f"clusters/{kind}/{part}"] = float(clustering.num_clusters)
            metrics[f"clusters/{kind}/{part.removesuffix('s')}_stability"] = clustering.stability
            tables |= packed(clustering, f"clusters/{kind}/{part}")
    return metrics, tables


def _fewest(samples: int, published: int = 5) -> int:
    """Smallest number of clusters to try: 2 if there are hardly more samples than the published number."""
    return published if samples > 2 * published else 2


def shared(arrays: Arrays, shape: tuple[int, int], seed: int) -> dict[str, float]:
    """Synapses of one cluster that share a unit, or a cluster of units, in excess of shuffled synapses.

    Args:
        arrays: Results of `clusters`.
        shape: (N, E).
        seed: Seed of the shuffles.
    """
    labels = arrays["clusters/modulation/columns/labels"][arrays["clusters/modulation/groups"]]
    post, pre = np.indices(shape).reshape(2, -1)
    groups = {
        "post": post,
        "pre": pre,
        "post_cluster": arrays["clusters/hidden/columns/labels"][post],
        "pre_cluster": arrays["clusters/inputs/columns/labels"][pre],
    }
    rng = named_generator(seed, "shared units")
    return {f"shared/{name}": shared_units(labels, units, rng).excess for name, units in groups.items()}


def packed(clustering: Clustering, prefix: str) -> Arrays:
    """A clustering as named arrays."""
    return {f"{prefix}/{f.name}": np.asarray(getattr(clustering, f.name)) for f in fields(clustering)}


def unpacked(arrays: Arrays, prefix: str) -> Clustering:
    """The clustering from the arrays of `packed`."""
    parts: dict[str, Any] = {f.name: arrays[f"{prefix}/{f.name}"] for f in fields(Clustering)}
    parts |= {"num_clusters": int(parts["num_clusters"]), "stability": float(parts["stability"])}
    return Clustering(**parts)
