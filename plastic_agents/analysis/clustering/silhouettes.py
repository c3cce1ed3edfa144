"""Silhouettes of clusters, and of all cuts of a tree at once.

With a the mean distance to the other samples of the own cluster and b the smallest mean distance to another
cluster, a sample's silhouette is (b - a) / max(a, b); 0 for a sample alone in its cluster.

Source: Rousseeuw, Journal of Computational and Applied Mathematics 20 (1987).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def silhouettes_of_cuts(apart: Floats, tree: Floats, smallest: int, largest: int) -> Floats:
    """Mean silhouette of each cut of a tree into `smallest` to `largest` clusters, (largest - smallest + 1,).

    Goes up the tree and keeps, for every sample, its mean distance to every cluster. A merge averages two of
    them, and since an average is not below both, only samples whose nearest other cluster was one of the two
    can get another one. That makes all cuts together as cheap as a few.

    Args:
        apart: Distances, (n, n).
        tree: Of the same samples, (n - 1, 4).
        smallest: Number of clusters, at least 2.
        largest: At most n - 1.
    """
    n = len(apart)
    if not 2 <= smallest <= largest <= n - 1:
        raise ValueError(f"{smallest} to {largest} clusters of {n} samples: expected 2 to {n - 1}.")
    means = apart.copy()  # [cluster, sample]; infinite for a sample's own cluster and for clusters gone
    np.fill_diagonal(means, np.inf)
    nearest = means.argmin(0)
    within = np.zeros(n)  # sum of distances to the sample's own cluster
    own = np.arange(n)
    sizes = np.ones(n)
    row = np.empty(2 * n - 1, dtype=np.int64)  # where a node of the tree stands
    row[:n] = np.arange(n)
    scores = np.empty(largest - smallest + 1)
    every = np.arange(n)
    for merge in range(n - smallest):
        first, second = row[int(tree[merge, 0])], row[int(tree[merge, 1])]
        row[n + merge] = first
        in_first, in_second = own == first, own == second
        within[in_first] += sizes[second] * means[second, in_first]
        within[in_second] += sizes[first] * means[first, in_second]
        total = sizes[first] + sizes[second]
        means[first] = (sizes[first] * means[first] + sizes[second] * means[second]) / total
        means[second] = np.inf
        sizes[first] = total
        own[in_second] = first
        stale = np.flatnonzero((nearest == first) | (nearest == second))
        nearest[stale] = means[:, stale].argmin(0)
        count = n - merge - 1
        if count <= largest:
            number = sizes[own]
            each = _silhouettes(within / np.maximum(number - 1, 1), means[nearest, every], number)
            scores[count - smallest] = each.mean()
    return scores


def _silhouettes(within: Floats, other: Floats, sizes: Floats) -> Floats:
    """(b - a) / max(a, b); 0 in clusters of one, and where both are 0."""
    larger = np.maximum(within, other)
    score = np.divide(other - within, larger, out=np.zeros_like(larger), where=larger > 0)
    score[sizes == 1] = 0.0
    return score
