"""Clusters of task-periods and of units by their variances, with the number of clusters chosen stably.

Ward's tree on Euclidean distances. The number of clusters comes from repeats with jittered entries: of the
numbers whose median silhouette is within 5 % of the best, the one where the tree's merge heights jump most.
The labels are those of the tree of the data as they are.

Synapses are too many for a tree: they are first put into groups (mini-batch k-means, or those that share a
unit), and the tree is of the groups' means.

Samples are always rows here, (n, m): pass V for clusters of task-periods, V.T for clusters of units.
Labels count from 0, in the order in which the tree's leaves are drawn, so that neighbours are alike.

Source: MultiTaskMPN (Allen Institute), clustering of normalised task variance; `k_means_clusters`: Yang,
Joglekar, Song, Newsome & Wang, Nature Neuroscience 22 (2019), fig. 2. The published jitter is 2 % of each
entry; that it is Gaussian is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.clustering.scores import mean_agreement
from plastic_agents.analysis.clustering.silhouettes import silhouettes_of_cuts

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Clustering:
    """Clusters of n samples.

    Attributes:
        labels: (n,), 0 to k - 1; unresponsive samples have k.
        num_clusters: k, without the cluster of the unresponsive.
        order: Responsive samples in the order of the tree's leaves, then the unresponsive, (n,).
        tree: Ward's tree of the responsive samples as SciPy gives it, (n' - 1, 4); `cut` it elsewhere.
        responsive: Mask of the samples in the tree, (n,).
        counts: Numbers of clusters that were tried, (C,).
        silhouettes: Median silhouette over repeats at each, (C,).
        gaps: Height of the tree's next merge above the last one, at each, (C,).
        stability: Mean adjusted Rand index over pairs of repeats, all cut at k; 1 if jitter changes nothing.
    """

    labels: Labels
    num_clusters: int
    order: Labels
    tree: Floats
    responsive: npt.NDArray[np.bool_]
    counts: Labels
    silhouettes: Floats
    gaps: Floats
    stability: float

    def cut(self, num_clusters: int) -> Labels:
        """Labels at another number of clusters, (n,); unresponsive samples have `num_clusters`."""
        labels = np.full(len(self.responsive), num_clusters, dtype=np.int64)
        labels[self.responsive] = cut(self.tree, num_clusters)
        return labels


@dataclass(frozen=True)
class GroupedClustering:
    """Clusters of samples that were put into G groups first.

    Attributes:
        labels: Each sample's cluster, (n,).
        groups: Each sample's group, (n,).
        clustering: Of the groups' means, G samples.
    """

    labels: Labels
    groups: Labels
    clustering: Clustering


def unresponsive(variance: Floats, share: float = 1e-3) -> npt.NDArray[np.bool_]:
    """Units whose mean variance over rows is below a share of the largest unit's, (n,).

    For variances that are not normalised by unit: normalised ones all have a largest entry of 1.

    Args:
        variance: (R, n).
        share: Threshold, as a share of the largest mean.
    """
    mean = variance.mean(0)
    return np.asarray(mean < share * mean.max())


def cluster(
    samples: Numbers,
    rng: np.random.Generator,
    counts: tuple[int, int] = (5, 300),
    num_repeats: int = 100,
    jitter: float = 0.02,
    slack: float = 0.05,
    leave_out: npt.NDArray[np.bool_] | None = None,
) -> Clustering:
    """Ward clusters, their number chosen stably.

    Args:
        samples: (n, m).
        rng: Generator of the jitter.
        counts: Smallest and largest number of clusters tried; the largest is at most n' - 1.
        num_repeats: Repeats with jittered entries.
        jitter: Standard deviation of what each entry is multiplied with, about 1.
        slack: Share of the best median silhouette that a candidate may lack.
        leave_out: (n,), samples that get a cluster of their own: the unresponsive.

    Raises:
        ValueError: If there are too few samples for the smallest number of clusters.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist, squareform

    responsive = ~np.asarray(np.zeros(len(samples)) if leave_out is None else leave_out, dtype=bool)
    data = np.asarray(samples, dtype=np.float64)[responsive]
    numbers = np.arange(counts[0], min(counts[1], len(data) - 1) + 1)
    if not len(numbers) or numbers[0] < 2:
        raise ValueError(
            f"{len(data)} samples into {counts[0]} or more clusters: expected more samples than clusters, "
            "and at least 2 clusters."
        )
    tree = linkage(pdist(data), "ward")
    scores = np.empty((num_repeats, len(numbers)))
    trees = []
    for repeat in range(num_repeats):
        apart = pdist(data * (1.0 + jitter * rng.standard_normal(data.shape)))
        trees.append(linkage(apart, "ward"))
        scores[repeat] = silhouettes_of_cuts(squareform(apart), trees[-1], int(numbers[0]), int(numbers[-1]))
    median = np.median(scores, axis=0)
    gaps = np.diff(tree[:, 2])[::-1][numbers - 2]
    best = float(median.max())
    # Among the candidates the first of the largest gaps, which is the one with the fewest clusters.
    candidate_gaps = np.where(median >= best - slack * abs(best), gaps, -np.inf)
    number = int(numbers[candidate_gaps.argmax()])
    labels = np.full(len(samples), number, dtype=np.int64)
    labels[responsive] = cut(tree, number)
    order = np.concatenate((np.flatnonzero(responsive)[leaves_list(tree)], np.flatnonzero(~responsive)))
    stability = mean_agreement(np.stack([cut(t, number) for t in trees])) if num_repeats > 1 else float("nan")
    return Clustering(labels, number, order, tree, responsive, numbers, median, gaps, stability)


def minibatch_groups(
    samples: Numbers, num_groups: int, rng: np.random.Generator, num_starts: int = 3
) -> Labels:
    """Groups of very many samples by mini-batch k-means, (n,).

    Empty groups are taken out, so there may be fewer than asked for.

    Args:
        samples: (n, m); the rows of V.T for the N E synapses of M.
        num_groups: G (published: 100, 300, 1000; each from 20 seeds).
        rng: Generator of the starts.
        num_starts: Starts that the best is taken of.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import, and used here only

    means = MiniBatchKMeans(
        num_groups,
        n_init=num_starts,
        batch_size=max(1024, 4 * num_groups),
        random_state=int(rng.integers(2**31 - 1)),
    )
    groups = means.fit_predict(np.asarray(samples, dtype=np.float64))
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def cluster_groups(
    samples: Numbers,
    groups: npt.NDArray[np.integer[Any]],
    rng: np.random.Generator,
    counts: tuple[int, int] = (10, 1000),
    num_repeats: int = 100,
    **options: Any,
) -> GroupedClustering:
    """Ward clusters of groups of samples: `cluster` on the groups' means.

    Args:
        samples: (n, m).
        groups: (n,), 0 to G - 1, none empty: from `minibatch_groups`; or each synapse's post- or presynaptic
            unit, `np.indices((N, E)).reshape(2, -1)`.
        rng: Generator of the jitter.
        counts: Smallest and largest number of clusters tried.
        num_repeats: Repeats with jittered entries.
        options: Others of `cluster`; `leave_out` is of groups.
    """
    # Sums by group as a product with a sparse one-hot matrix: one pass through the samples.
    from scipy.sparse import csr_matrix

    number = np.bincount(groups)
    if number.min() == 0:
        raise ValueError(f"group {int(number.argmin())} of {len(number)} has no samples; number them anew.")
    one_hot = csr_matrix((np.ones(len(groups)), (groups, np.arange(len(groups)))))
    means = np.asarray(one_hot @ np.asarray(samples, dtype=np.float64)) / number[:, None]
    clustering = cluster(means, rng, counts, num_repeats, **options)
    return GroupedClustering(clustering.labels[groups], np.asarray(groups, dtype=np.int64), clustering)


def cut(tree: Floats, num_clusters: int) -> Labels:
    """Labels (n,) of exactly `num_clusters` clusters, numbered in the order of the tree's leaves.

    Raises:
        ValueError: If there are fewer samples than that, or no clusters.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list

    size = len(tree) + 1
    if not 1 <= num_clusters <= size:
        raise ValueError(f"{num_clusters} clusters of {size} samples: expected 1 to {size}.")
    # By the merges' numbers, since their heights may be equal.
    labels = fcluster(tree, size - num_clusters - 1, "monocrit", monocrit=np.arange(size - 1.0))
    first = np.unique(labels[leaves_list(tree)], return_index=True)[1]
    return np.asarray(first.argsort().argsort()[labels - 1])
