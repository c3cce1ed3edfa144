"""Fifteen tasks in one network: how well, and how they share its units and synapses.

Published on the multi-plasticity network: clusters of task-periods and what falls into one of them, over 7
seeds of 300 units. Nothing was published on accuracies and sizes of lesions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.results import Results
from benchmarks.studies import Planned, Row, metric_row
from benchmarks.studies.cognitive import figures as draw
from benchmarks.studies.cognitive.lesions import KINDS, PRUNED_SHARES, lesions
from benchmarks.studies.cognitive.measures import (
    REPRESENTATIONS,
    Effort,
    accuracies,
    battery_of,
    clusters,
    network_of,
    periods_of,
    representations_of,
    shared,
    shifts,
    state_variance,
)
from benchmarks.studies.cognitive.rows import accuracy_rows
from benchmarks.studies.learning_curves import have_curves
from plastic_agents.analysis.cluster_scores import co_membership_table
from plastic_agents.analysis.statistics import pearson
from plastic_agents.analysis.task_variance import PROBED_EPOCHS
from plastic_agents.base import Agent
from plastic_agents.networks.mpn import MPN

__all__ = ["DESCRIPTION", "EFFORT", "PAIRS", "PUBLISHED", "figures", "measure", "plan", "table"]

DESCRIPTION = "fifteen cognitive tasks in one network: accuracy, clusters, lesions, shifts of state"

# ---- the runs: all settings are here -------------------------------------------------------------------

UPDATES = 25_000
"""Of every network: some 15 CPU minutes of a multi-plasticity network of 100 units."""
REGULARISED_SEEDS = 7
"""Published: 7."""
REGULARISED_UPDATES = 12_000
"""Of networks that are there for the clusters of their task-periods: some 8 CPU minutes at 100 units."""
LARGE_UPDATES = 2_500
"""Of such networks of the published size, 300 units: some 8 CPU minutes."""

_COMMON: dict[str, Any] = {
    "env": "Cognitive-everything-vector-v0",
    "env_kwargs": {"modality_diff": True, "label_strength": True},
    "device": "cpu",
    "eval_episodes": 1500,
    "checkpoint_every": 500,
    "updates": UPDATES,
    "learner.batch_size": 32,
    "learner.mixture": "errors",
    "learner.evaluate_every": 250,
    "learner.validation_episodes": 600,
    "learner.log_every": 50,
}
# As published: one coefficient for weights and activity, and a loss that is the mean over all entries.
_PENALTIES: dict[str, Any] = {
    "learner.weight_penalty": 1e-4,
    "learner.activity_penalty": 1e-4,
    "learner.loss_mean": "entries",
}
# Group -> settings and seeds. Hidden sizes for as many parameters as the first has, 12 501.
_GROUPS: dict[str, tuple[dict[str, Any], Sequence[int]]] = {
    "mpn": ({"agent": "mpn", "learner.learning_rate": 5e-3}, range(3)),
    "leaky-rnn": (
        {"agent": "leaky-rnn", "agent_kwargs": {"hidden_size": 100}, "learner.learning_rate": 3e-3},
        range(2),
    ),
    "gru": ({"agent": "gru", "agent_kwargs": {"hidden_size": 52}, "learner.learning_rate": 5e-3}, range(2)),
    "mpn-regularised": (
        {"agent": "mpn", "learner.learning_rate": 5e-3, "updates": REGULARISED_UPDATES, **_PENALTIES},
        range(REGULARISED_SEEDS),
    ),
    "mpn-300-regularised": (
        {
            "agent": "mpn", "agent_kwargs": {"hidden_size": 300}, "learner.learning_rate": 3e-3,
            "updates": LARGE_UPDATES, **_PENALTIES,
        },
        range(3),
    ),
}  # fmt: skip
EFFORT = Effort()
"""How much each network is put through."""
_CLUSTERS_ONLY = (
    "mpn-regularised",
    "mpn-300-regularised",
)  # groups that are there for the clusters of their task-periods

# ---- what was published --------------------------------------------------------------------------------

PAIRS = (("dmcgo", "dmcnogo"), ("contextdelaydm1", "contextdelaydm2"), ("delaydm1", "delaydm2"))
_NONE = float("nan")
# Per cent of 7 seeds in which both tasks of a pair are in one cluster: pairs by PROBED_EPOCHS (stim1, stim2,
# delay1, delay2, go1).
PUBLISHED: dict[str, npt.NDArray[np.float64]] = {
    "inputs": np.array([[100, _NONE, 100, _NONE, 42.9], [100, 100, 100, 100, 100], [0, 85.7, 100, 100, 100]]),
    "hidden": np.array(
        [[100, _NONE, 100, _NONE, 71.4], [100, 85.7, 100, 100, 100], [0, 42.9, 100, 100, 100]]
    ),
    "modulation": np.array([[0, _NONE, 0, _NONE, 71.4], [71.4, 100, 71.4, 100, 100], [0, 100, 0, 100, 100]]),
}
_ROW_CLUSTERS = {"hidden": "about 6", "modulation": "about 15"}


def plan() -> list[Planned]:
    """The runs; the networks that they made come with the suite."""
    return [
        Planned(group, {**_COMMON, **own}, seeds, shipped=f"everything-{group}-{{seed}}")
        for group, (own, seeds) in _GROUPS.items()
    ]


def measure(group: str, agent: Agent, run: Results) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Accuracies, variances and their clusters; of plastic networks also lesions and shifts of state."""
    network, battery, seed = network_of(agent), battery_of(agent), run.config.seed
    clusters_only = group in _CLUSTERS_ONLY
    effort = replace(EFFORT, synapses=not clusters_only)
    metrics, arrays = accuracies(agent, seed, effort)

    def add(found: tuple[dict[str, float], dict[str, npt.NDArray[Any]]]) -> None:
        metrics.update(found[0])
        arrays.update(found[1])

    add(state_variance(agent, seed, effort))
    add(clusters(arrays, representations_of(network), seed, effort))
    if clusters_only:
        return metrics, arrays
    add(shifts(agent, seed, effort))
    if isinstance(network, MPN):
        (layer,) = network.plastic
        metrics |= shared(arrays, (layer.out_features, layer.in_features), seed)
        add(lesions(network, battery, arrays, seed, effort))
    return metrics, arrays


# ---- the table -----------------------------------------------------------------------------------------


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found, beside what was published; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        rows += accuracy_rows(group, runs)
    for group, runs in results.items():
        rows += _cluster_rows(group, runs) + _lesion_rows(group, runs) + _membership_rows(group, runs)
    return rows


def _cluster_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    rows: list[Row] = []
    for kind in REPRESENTATIONS:
        published = _ROW_CLUSTERS.get(kind, "") if _is_plastic(runs) else ""
        rows += metric_row(
            runs, f"{group}: {kind}, clusters of task-periods", f"clusters/{kind}/rows", published
        )
        for name, text in (
            (f"clusters/{kind}/row_stability", "clusters of task-periods, stability"),
            (f"clusters/{kind}/columns", "clusters of units"),
            (f"clusters/{kind}/column_stability", "clusters of units, stability"),
            (f"dimension/{kind}", "participation ratio, all tasks"),
            (f"dimension_one_task/{kind}", "participation ratio, one task"),
        ):
            rows += metric_row(runs, f"{group}: {kind}, {text}", name)
    for name, text in (
        ("post", "receiving unit"),
        ("pre", "sending unit"),
        ("post_cluster", "cluster of receiving units"),
        ("pre_cluster", "cluster of sending units"),
    ):
        quantity = f"{group}: synapses of one cluster share their {text}, beyond shuffled ones (share)"
        rows += metric_row(runs, quantity, f"shared/{name}")
    for kind in ("hidden", "modulation", "effective"):
        for name, text in (("r", "r"), ("permuted_p", "p, permuting tasks")):
            rows += metric_row(runs, f"{group}: shift of state, {kind}: {text}", f"shift/{kind}/{name}")
    return rows


def _lesion_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    runs = [run for run in runs if "lesions/intact" in run.arrays]
    if not runs:
        return []
    rows: list[Row] = []
    for kind in KINDS:
        for name, text in (("largest", "largest effect on a task"), ("mean", "mean effect")):
            rows += metric_row(runs, f"{group}: lesions, {kind}: {text}", f"lesions/{kind}/{name}")
        for name, text in (("tuning_r", "alike in tuning and in harm, r"), ("size_r", "size and effect, r")):
            rows += metric_row(runs, f"{group}: lesions, {kind}: {text}", f"lesions/{kind}/{name}")
    rows += metric_row(runs, f"{group}: lesions, zero_W and freeze_M: r of effects", "lesions/modes_r")
    rows += metric_row(runs, f"{group}: lesions, pairs against sums: slope", "lesions/pairs_slope")
    rows += metric_row(runs, f"{group}: lesions, pairs against sums: r", "lesions/pairs_r")
    rows += metric_row(
        runs, f"{group}: nothing frozen: bits of outputs changed", "freeze_nothing/changed_bits", "0"
    )
    names = draw.battery(runs[0]).settings.names
    frozen = np.stack([run.arrays["freeze_all/accuracy"] for run in runs])
    delayed = names.index("delaygo")
    chance = draw.battery(runs[0]).chance_by_component[delayed]
    spoken = f"chance ({chance:g})"
    rows.append(Row.of(f"{group}: all of M frozen: delaygo", spoken, frozen[:, delayed].tolist()))
    rows.append(Row.of(f"{group}: all of M frozen: mean of tasks", "", frozen.mean(1).tolist()))
    for place, share in enumerate(PRUNED_SHARES):
        pruned = [float(run.arrays["pruning/accuracy"][place].mean()) for run in runs]
        rows.append(Row.of(f"{group}: {100 * share:g} % of weights pruned: mean of tasks", "", pruned))
    return rows


def _is_plastic(runs: Sequence[Results]) -> bool:
    return all(f"clusters/{kind}/rows/labels" in run.arrays for kind in REPRESENTATIONS for run in runs)


def membership(runs: Sequence[Results]) -> dict[str, npt.NDArray[np.float64]]:
    """Our table of co-membership by representation, (pairs, epochs)."""
    rows = periods_of(draw.battery(runs[0]))
    return {
        kind: co_membership_table(draw.row_labels(runs, kind), rows, PAIRS, PROBED_EPOCHS)
        for kind in REPRESENTATIONS
    }


def _membership_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    """The table of co-membership; the published one is of regularised networks."""
    if not _is_plastic(runs):
        return []
    found = membership(runs)
    rows: list[Row] = []
    for kind in REPRESENTATIONS:
        for i, pair in enumerate(PAIRS):
            for j, epoch in enumerate(PROBED_EPOCHS):
                if np.isnan(found[kind][i, j]):
                    continue
                quantity = f"{group}: {' / '.join(pair)} in one cluster, {kind}, {epoch} (%)"
                rows.append(
                    Row(quantity, f"{PUBLISHED[kind][i, j]:g}", float(found[kind][i, j]), None, len(runs))
                )
    ours, theirs = (np.concatenate([t[kind].ravel() for kind in REPRESENTATIONS]) for t in (found, PUBLISHED))
    known = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = ours[known], theirs[known]
    for quantity, value in (
        ("mean |difference| from the published table (%)", float(np.abs(ours - theirs).mean())),
        ("correlation with the published table", float(pearson(ours, theirs))),
        ("entries on the same side of 50 % (share)", float(((ours > 50) == (theirs > 50)).mean())),
    ):
        rows.append(Row(f"{group}: co-membership, {quantity}", "", value, None, len(runs)))
    return rows


# ---- figures -------------------------------------------------------------------------------------------

_OF_ONE: tuple[tuple[str, str, str, Any], ...] = (
    # name, what a run must have stored, caption, how it is drawn
    (
        "variance",
        "clusters/hidden/columns/labels",
        "Normalised task-period variance: rows and columns sorted by their clusters (white lines)",
        draw.variance_maps,
    ),
    (
        "silhouettes",
        "clusters/hidden/columns/labels",
        "How numbers of clusters were chosen",
        draw.silhouettes,
    ),
    (
        "lesions",
        "lesions/intact",
        "What each task loses by a cluster's lesion, beyond what random lesions of that size cost",
        draw.lesion_matrices,
    ),
    (
        "pruning",
        "pruning/accuracy",
        "Accuracy with the smallest weights pruned, and with all of M held at 0",
        draw.pruning,
    ),
    (
        "shift",
        "shift/hidden/line",
        "States before the stimulus and the first displacements by it; a point is a pair of tasks",
        draw.shift,
    ),
    ("states", "states/hidden", "States at the last step of fixation, by category of task", draw.states),
    (
        "subspaces",
        "subspace/hidden",
        "Variance of one task's states in the four leading directions of another's",
        draw.subspaces,
    ),
)


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """Learning, if there was any here, accuracies, the first plastic network's maps, co-membership."""
    drawn = []
    if have_curves(results, "eval/accuracy_trial"):
        caption = "Accuracy on the validation split while learning (thin: networks; bands: standard error)."
        goals = {"accuracy_trial": 0.97, "accuracy_angle": 0.97}
        drawn.append(("learning", caption, draw.learning(results, goals, UPDATES // 10)))
    drawn.append(
        (
            "accuracy",
            "Accuracy on fresh trials by task, by the ring dialect's rule for each trial and by the compact "
            "measure; dots are networks.",
            draw.accuracy_by_task(results),
        )
    )
    tables = {"published": PUBLISHED}
    for group, runs in results.items():
        if not _is_plastic(runs):
            continue
        for name, needed, caption, function in () if group in _CLUSTERS_ONLY else _OF_ONE:
            if needed in runs[0].arrays:
                drawn.append((f"{group}-{name}", f"{caption} ({runs[0].label}).", function(runs[0])))
        drawn.append(
            (
                f"{group}-co_membership",
                "Share of networks in which two task-periods are in one cluster, in the order of the first "
                "network's tree.",
                draw.co_membership_maps(runs),
            )
        )
        tables[group] = membership(runs)
    if len(tables) > 1:
        caption = (
            "Networks in which both tasks of a pair are in one cluster, by period; published: 7 networks of "
            "300 units, regularised."
        )
        drawn.append(("co_membership_table", caption, draw.co_membership_tables(tables, PAIRS)))
    return drawn
