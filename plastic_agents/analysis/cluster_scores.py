"""How alike clusterings are, what clusters share, and how good they are.

Source: MultiTaskMPN (Allen Institute): co-membership of task-periods over seeds, and whether synapses in one
cluster share units. Adjusted Rand index: Hubert & Arabie, Journal of Classification 2 (1985). Indices of
quality: Calinski & Harabasz (1974), Davies & Bouldin (1979), Dunn (1974), Rousseeuw (1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.silhouettes import distances, silhouette
from plastic_agents.analysis.task_variance import TaskPeriod

__all__ = [
    "Quality",
    "SharedUnits",
    "adjusted_rand",
    "block_quality",
    "co_membership",
    "co_membership_table",
    "mean_agreement",
    "quality",
    "shared_units",
]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]


class SharedUnits(NamedTuple):
    """How many pairs of synapses of one cluster also share a unit.

    Attributes:
        observed: Pairs in one cluster and one group.
        control: The same with the cluster labels shuffled, mean over shuffles.
        deviation: Standard deviation over shuffles.
        excess: (observed - control) / control; 0 if clusters know nothing of the groups.
    """

    observed: float
    control: float
    deviation: float
    excess: float


class Quality(NamedTuple):
    """Indices of how compact and how far apart clusters are; but for Davies and Bouldin's, larger is better.

    Attributes:
        calinski_harabasz: Variance between clusters over variance within, each by its degrees of freedom.
        davies_bouldin: Mean over clusters of the worst (spread + spread) / distance to another.
        dunn: Smallest distance between clusters over largest spread.
        silhouette: Mean over samples.
    """

    calinski_harabasz: float
    davies_bouldin: float
    dunn: float
    silhouette: float


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Adjusted Rand index of two labellings (n,): 1 if they are the same clusters, 0 expected by chance."""
    table = _contingency(first, second)
    both, rows, columns = _pairs(table), _pairs(table.sum(1)), _pairs(table.sum(0))
    expected = rows * columns / max(_pairs(np.array([len(first)])), 1.0)
    largest = (rows + columns) / 2
    return (both - expected) / (largest - expected) if largest != expected else 1.0


def mean_agreement(labels: Labels) -> float:
    """Mean adjusted Rand index over pairs of labellings (S, n)."""
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} labellings: expected at least 2.")
    pairs = [adjusted_rand(a, b) for place, a in enumerate(labels) for b in labels[:place]]
    return float(np.mean(pairs))


def co_membership(labels: Labels) -> Floats:
    """Per cent of labellings (S, R), one per seed, in which two rows fall into one cluster, (R, R)."""
    labels = np.asarray(labels)
    return 100.0 * np.asarray((labels[:, :, None] == labels[:, None]).mean(0), dtype=np.float64)


def co_membership_table(
    labels: Labels,
    rows: Sequence[TaskPeriod],
    pairs: Sequence[tuple[str, str]],
    epochs: Sequence[str],
) -> Floats:
    """Per cent of seeds in which two tasks' same epoch falls into one cluster, (pairs, epochs).

    Args:
        labels: (S, R).
        rows: The R task-periods.
        pairs: Pairs of tasks.
        epochs: Columns of the table; NaN where one of the two tasks has no such epoch.
    """
    together = co_membership(labels)
    place = {row: index for index, row in enumerate(rows)}
    table = np.full((len(pairs), len(epochs)), np.nan)
    for i, pair in enumerate(pairs):
        for j, epoch in enumerate(epochs):
            first, second = (place.get(TaskPeriod(task, epoch)) for task in pair)
            if first is not None and second is not None:
                table[i, j] = together[first, second]
    return table


def shared_units(
    clusters: Labels, groups: Labels, rng: np.random.Generator, num_shuffles: int = 100
) -> SharedUnits:
    """Do synapses of one cluster share a unit, or a cluster of units, more often than by chance?

    Args:
        clusters: Each synapse's cluster, (n,).
        groups: Its pre- or postsynaptic unit, or that unit's cluster, (n,).
        rng: Of the shuffles.
        num_shuffles: How many.
    """
    clusters, groups = (np.unique(x, return_inverse=True)[1] for x in (clusters, groups))
    observed = _pairs(_contingency(clusters, groups))
    shuffled = np.array(
        [_pairs(_contingency(rng.permutation(clusters), groups)) for _ in range(num_shuffles)]
    )
    control = float(shuffled.mean())
    excess = (observed - control) / control if control else float("nan")
    return SharedUnits(observed, control, float(shuffled.std()), excess)


def quality(samples: npt.NDArray[Any], labels: Labels) -> Quality:
    """Indices of clusters (n,) of samples (n, m).

    Dunn's is the distance of the two closest samples of different clusters over the largest diameter.
    """
    from sklearn import metrics

    data = np.asarray(samples, dtype=np.float64)
    apart = distances(data)
    same = labels[:, None] == labels[None]
    diameter = float(apart[same].max())
    return Quality(
        float(metrics.calinski_harabasz_score(data, labels)),
        float(metrics.davies_bouldin_score(data, labels)),
        float(apart[~same].min()) / diameter if diameter > 0 else float("inf"),
        silhouette(apart, labels),
    )


def block_quality(matrix: npt.NDArray[Any], rows: Labels, columns: Labels) -> Quality:
    """Indices of the blocks (row cluster x column cluster) that a matrix falls into.

    Every entry is a sample on the line, its block the cluster. Since the entries of different blocks may lie
    as close as they like, Dunn's index is here Bezdek and Pal's of centres: the two closest blocks' distance
    of means over twice the largest mean distance of an entry from its block's mean.

    Args:
        matrix: (R, n).
        rows: Each row's cluster, (R,).
        columns: Each column's cluster, (n,).
    """
    values = np.asarray(matrix, dtype=np.float64).reshape(-1)
    columns = np.unique(columns, return_inverse=True)[1]
    block = (np.asarray(rows)[:, None] * (columns.max() + 1) + columns[None]).reshape(-1)
    block = np.unique(block, return_inverse=True)[1]
    number = np.bincount(block).astype(np.float64)
    if len(number) < 2:
        raise ValueError("one block only: expected at least 2 clusters of rows or of columns.")
    centre = np.bincount(block, values) / number
    residual = values - centre[block]
    between = float((number * (centre - values.mean()) ** 2).sum()) / (len(number) - 1)
    within = float((residual**2).sum()) / max(len(values) - len(number), 1)
    spread = np.bincount(block, np.abs(residual)) / number
    apart = np.abs(centre[:, None] - centre[None])
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = np.nan_to_num((spread[:, None] + spread[None]) / apart, nan=0.0).max(1)
    widest = 2 * float(spread.max())
    return Quality(
        between / within if within > 0 else float("inf"),
        float(worst.mean()),
        float(apart.min()) / widest if widest > 0 else float("inf"),
        _silhouette_on_line(values, block, number),
    )


def _silhouette_on_line(values: Floats, labels: Labels, number: Floats) -> float:
    """Mean silhouette of values (n,) in O(n clusters log n): distances on a line need no pairs."""
    within = np.empty(len(values))
    other = np.full(len(values), np.inf)
    for label in range(len(number)):
        member = labels == label
        ordered = np.sort(values[member])
        sums = np.concatenate(([0.0], np.cumsum(ordered)))
        below = ordered.searchsorted(values)
        total = values * (2 * below - len(ordered)) + sums[-1] - 2 * sums[below]
        within[member] = total[member] / max(len(ordered) - 1, 1)
        np.minimum(other, total / len(ordered), out=other, where=~member)
    larger = np.maximum(within, other)
    score = np.divide(other - within, larger, out=np.zeros_like(larger), where=larger > 0)
    return float(np.where(number[labels] == 1, 0.0, score).mean())


def _contingency(first: Labels, second: Labels) -> Floats:
    """Samples by both labels; labels are not negative."""
    width = int(second.max()) + 1
    height = int(first.max()) + 1
    table = np.bincount(first * width + second, minlength=height * width)
    return table.reshape(height, width).astype(np.float64)


def _pairs(counts: Floats | npt.NDArray[Any]) -> float:
    """Number of pairs within each of some sets, summed."""
    return float((counts * (counts - 1.0)).sum()) / 2
