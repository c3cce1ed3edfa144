"""Fifteen tasks in one network: accuracy, and units and synapses that the tasks share.

Published on the multi-plasticity network: clusters of task-periods and what falls into one of them, over 7
seeds of 300 units. Nothing was published on accuracies and sizes of lesions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

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
from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import Drawn, Groups, Measured, Planned, Row, Settings, Study, combined, merged
from plastic_agents.agent import Agent
from plastic_agents.analysis.clustering.scores import co_membership_table
from plastic_agents.analysis.statistics import pearson
from plastic_agents.analysis.task_variance import PROBED_EPOCHS
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.runner.results import Results

# ---- the runs: all settings are here -------------------------------------------------------------------

_UPDATES = 25_000  # some 15 CPU minutes of a multi-plasticity network of 100 units
_COMMON: Settings = {
    "env": "Cognitive-everything-vector-v0",
    "env_kwargs": {"modality_diff": True, "label_strength": True},
    "device": "cpu",
    "eval_episodes": 1500,
    "checkpoint_every": 500,
    "updates": _UPDATES,
    "learner": {
        "batch_size": 32,
        "mixture": "errors",
        "evaluate_every": 250,
        "validation_episodes": 600,
        "log_every": 50,
    },
}
# Networks for the clusters of their task-periods, some 8 CPU minutes each. As published: one coefficient for
# weights and activity, and a loss that is the mean over all entries.
_REGULARISED: Settings = {
    "agent": "mpn",
    "learner": {"weight_penalty": 1e-4, "activity_penalty": 1e-4, "loss_mean": "entries"},
}
# Group -> its own settings, and seeds. Hidden sizes for as many parameters as the first has, 12 501; the last
# group has the published size.
_GROUPS: dict[str, tuple[Settings, Sequence[int]]] = {
    "mpn": ({"agent": "mpn", "learner": {"learning_rate": 5e-3}}, range(3)),
    "leaky-rnn": (
        {"agent": "leaky-rnn", "agent_kwargs": {"hidden_size": 100}, "learner": {"learning_rate": 3e-3}},
        range(2),
    ),
    "gru": (
        {"agent": "gru", "agent_kwargs": {"hidden_size": 52}, "learner": {"learning_rate": 5e-3}},
        range(2),
    ),
    "mpn-regularised": (
        merged(_REGULARISED, {"updates": 12_000, "learner": {"learning_rate": 5e-3}}),
        range(7),
    ),
    "mpn-300-regularised": (
        merged(
            _REGULARISED,
            {"agent_kwargs": {"hidden_size": 300}, "updates": 2_500, "learner": {"learning_rate": 3e-3}},
        ),
        range(3),
    ),
}
_CLUSTERS_ONLY = ("mpn-regularised", "mpn-300-regularised")


def _plan() -> list[Planned]:
    return [
        Planned(group, merged(_COMMON, own), seeds, shipped=f"everything-{group}-{{seed}}")
        for group, (own, seeds) in _GROUPS.items()
    ]


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


# ---- measurements --------------------------------------------------------------------------------------


def _measure(group: str, agent: Agent, run: Results, effort: Effort) -> Measured:
    """Accuracies, variances and their clusters; of plastic networks also lesions and shifts of state."""
    network, battery, seed = network_of(agent), battery_of(agent), run.config.seed
    clusters_only = group in _CLUSTERS_ONLY
    effort = replace(effort, synapses=not clusters_only)
    variances = state_variance(agent, seed, effort)
    metrics, arrays = combined(
        accuracies(agent, seed, effort),
        variances,
        clusters(variances[1], representations_of(network), seed, effort),
    )
    if clusters_only:
        return metrics, arrays
    parts = [(metrics, arrays), shifts(agent, seed, effort)]
    if isinstance(network, MPN):
        (layer,) = network.plastic
        parts += [
            (shared(arrays, (layer.out_features, layer.in_features), seed), {}),
            lesions(network, battery, arrays, seed, effort),
        ]
    return combined(*parts)


# ---- the table -----------------------------------------------------------------------------------------


def _table(results: Groups) -> list[Row]:
    """Accuracies, clusters, lesions and co-membership; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        rows += accuracy_rows(group, runs)
    for group, runs in results.items():
        rows += rows_of(runs, f"{group}: ", _cluster_entries(_is_plastic(runs)))
        rows += _lesion_rows(group, runs) + _membership_rows(group, runs)
    return rows


def _cluster_entries(is_plastic: bool) -> list[Entry]:
    published = _ROW_CLUSTERS if is_plastic else {}
    return [
        *(
            (
                f"{kind}, {text}",
                published.get(kind, "") if name == "clusters/{}/rows" else "",
                name.format(kind),
            )
            for kind in REPRESENTATIONS
            for name, text in (
                ("clusters/{}/rows", "clusters of task-periods"),
                ("clusters/{}/row_stability", "clusters of task-periods, stability"),
                ("clusters/{}/columns", "clusters of units"),
                ("clusters/{}/column_stability", "clusters of units, stability"),
                ("dimension/{}", "participation ratio, all tasks"),
                ("dimension_one_task/{}", "participation ratio, one task"),
            )
        ),
        *(
            (
                f"synapses of one cluster share their {text}, beyond shuffled ones (share)",
                "",
                f"shared/{name}",
            )
            for name, text in (
                ("post", "receiving unit"),
                ("pre", "sending unit"),
                ("post_cluster", "cluster of receiving units"),
                ("pre_cluster", "cluster of sending units"),
            )
        ),
        *(
            (f"shift of state, {kind}: {text}", "", f"shift/{kind}/{name}")
            for kind in ("hidden", "modulation", "effective")
            for name, text in (("r", "r"), ("permuted_p", "p, permuting tasks"))
        ),
    ]


_LESIONS: Sequence[Entry] = (
    *(
        (f"lesions, {kind}: {text}", "", f"lesions/{kind}/{name}")
        for kind in KINDS
        for name, text in (
            ("largest", "largest effect on a task"),
            ("mean", "mean effect"),
            ("tuning_r", "alike in tuning and in harm, r"),
            ("size_r", "size and effect, r"),
        )
    ),
    ("lesions, zero_W and freeze_M: r of effects", "", "lesions/modes_r"),
    ("lesions, pairs against sums: slope", "", "lesions/pairs_slope"),
    ("lesions, pairs against sums: r", "", "lesions/pairs_r"),
    ("nothing frozen: bits of outputs changed", "0", "freeze_nothing/changed_bits"),
)


def _lesion_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    runs = [run for run in runs if "lesions/intact" in run.arrays]
    if not runs:
        return []
    battery = draw.battery(runs[0])
    delayed = battery.settings.names.index("delaygo")
    chance = f"chance ({battery.chance_by_component[delayed]:g})"
    frozen, pruned = (
        np.stack([run.arrays[name] for run in runs]) for name in ("freeze_all/accuracy", "pruning/accuracy")
    )
    title = f"{group}: all of M frozen"
    return [
        *rows_of(runs, f"{group}: ", _LESIONS),
        Row.of(f"{title}: delaygo", chance, frozen[:, delayed].tolist()),
        Row.of(f"{title}: mean of tasks", "", frozen.mean(1).tolist()),
        *(
            Row.of(f"{group}: {100 * share:g} % of weights pruned: mean of tasks", "", each.mean(1).tolist())
            for share, each in zip(PRUNED_SHARES, pruned.swapaxes(0, 1), strict=True)
        ),
    ]


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
    table = membership(runs)
    rows: list[Row] = []
    for kind in REPRESENTATIONS:
        for i, pair in enumerate(PAIRS):
            for j, epoch in enumerate(PROBED_EPOCHS):
                value = float(table[kind][i, j])
                if not np.isnan(value):
                    quantity = f"{group}: {' / '.join(pair)} in one cluster, {kind}, {epoch} (%)"
                    rows.append(Row(quantity, f"{PUBLISHED[kind][i, j]:g}", value, None, len(runs)))
    ours, theirs = (np.concatenate([t[kind].ravel() for kind in REPRESENTATIONS]) for t in (table, PUBLISHED))
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = ours[both], theirs[both]
    for quantity, value in (
        ("mean |difference| from the published table (%)", float(np.abs(ours - theirs).mean())),
        ("correlation with the published table", float(pearson(ours, theirs))),
        ("entries on the same side of 50 % (share)", float(((ours > 50) == (theirs > 50)).mean())),
    ):
        rows.append(Row(f"{group}: co-membership, {quantity}", "", value, None, len(runs)))
    return rows


# ---- figures -------------------------------------------------------------------------------------------

# Of one network: name, an array that the figure needs, caption, function.
_OF_ONE: Sequence[tuple[str, str, str, Callable[[Results], Figure]]] = (
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


def _figures(results: Groups) -> list[Drawn]:
    """Learning curves of networks trained here, accuracies, one network's maps, co-membership."""
    caption = "Accuracy on the validation split while learning (thin: networks; bands: standard error)."
    figures = draw.learning_here(
        results, caption, {"accuracy_trial": 0.97, "accuracy_angle": 0.97}, _UPDATES // 10
    )
    caption = (
        "Accuracy on fresh trials by task, by the ring dialect's rule for each trial and by the compact "
        "measure; dots are networks."
    )
    figures.append(("accuracy", caption, draw.accuracy_by_task(results)))
    tables = {"published": PUBLISHED}
    for group, runs in results.items():
        if not _is_plastic(runs):
            continue
        first = runs[0]
        if group not in _CLUSTERS_ONLY:
            figures += [
                (f"{group}-{name}", f"{caption} ({first.label}).", function(first))
                for name, array, caption, function in _OF_ONE
                if array in first.arrays
            ]
        caption = (
            "Share of networks in which two task-periods are in one cluster, in the order of the first "
            "network's tree."
        )
        figures.append((f"{group}-co_membership", caption, draw.co_membership_maps(runs)))
        tables[group] = membership(runs)
    if len(tables) > 1:
        caption = (
            "Networks in which both tasks of a pair are in one cluster, by period; published: 7 networks of "
            "300 units, regularised."
        )
        figures.append(("co_membership_table", caption, draw.co_membership_tables(tables, PAIRS)))
    return figures


STUDY = Study(
    "everything",
    "fifteen cognitive tasks in one network: accuracy, clusters, lesions, shifts of state",
    _plan,
    _table,
    _figures,
    _measure,
    effort=Effort(),
)
