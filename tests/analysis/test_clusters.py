"""Clusters, on samples whose clusters are known and against scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from plastic_agents.analysis.clustering import clusters, silhouettes
from plastic_agents.analysis.clustering import scores as scores
from plastic_agents.analysis.task_variance import TaskPeriod

metrics = pytest.importorskip("sklearn.metrics")


def blobs(rng: np.random.Generator, k: int, each: int, spread: float = 0.3):
    """`each` samples around each of k centres, equally far apart, shuffled; and their centres' numbers."""
    labels = rng.permutation(np.repeat(np.arange(k), each))
    return (1 + 4 * np.eye(k))[labels] + spread * rng.standard_normal((k * each, k)), labels


def test_silhouettes_of_all_cuts_against_scikit_learn():
    rng = np.random.default_rng(0)
    samples, _ = blobs(rng, 7, 9, spread=1.0)
    samples[5] = samples[6] = samples[7]  # samples that coincide
    apart = squareform(pdist(samples))
    tree = linkage(pdist(samples), "ward")
    found = silhouettes.silhouettes_of_cuts(apart, tree, 2, 62)
    for k, score in zip(range(2, 63), found, strict=True):
        expected = metrics.silhouette_score(apart, clusters.cut(tree, k), metric="precomputed")
        assert score == pytest.approx(expected, abs=1e-10)
    with pytest.raises(ValueError, match="expected 2 to 62"):
        silhouettes.silhouettes_of_cuts(apart, tree, 2, 63)


def test_cuts_are_the_trees():
    samples, _ = blobs(np.random.default_rng(1), 4, 8, spread=2.0)
    tree = linkage(pdist(samples), "ward")
    for k in (1, 2, 5, 11, 32):
        labels = clusters.cut(tree, k)
        assert metrics.adjusted_rand_score(labels, fcluster(tree, k, "maxclust") - 1) == 1.0
        assert (np.diff(labels[leaves_list(tree)]) >= 0).all()
        assert labels.max() == k - 1
    with pytest.raises(ValueError, match="expected 1 to 32"):
        clusters.cut(tree, 33)
    alike = linkage(np.zeros(6), "ward")  # four samples in one place: all heights are equal
    assert [len(np.unique(clusters.cut(alike, k))) for k in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_finds_the_clusters_that_are_there():
    rng = np.random.default_rng(2)
    samples, truth = blobs(rng, 8, 10)
    found = clusters.cluster(samples, np.random.default_rng(3), num_repeats=20)
    assert found.num_clusters == 8
    assert metrics.adjusted_rand_score(found.labels, truth) == 1.0
    assert found.stability > 0.999
    assert found.counts[0] == 5
    assert found.counts[-1] == 79
    assert sorted(found.order) == list(range(80))
    again = clusters.cluster(samples, np.random.default_rng(3), num_repeats=20)
    np.testing.assert_array_equal(found.labels, again.labels)
    np.testing.assert_array_equal(found.silhouettes, again.silhouettes)
    assert found.cut(3).max() == 2


def test_unstable_clusters_are_reported_as_such():
    noise = np.random.default_rng(4).uniform(0.9, 1.1, (40, 5))
    found = clusters.cluster(noise, np.random.default_rng(5), num_repeats=10, jitter=0.1)
    assert found.stability < 0.5


def test_candidates_are_decided_by_the_gap():
    """Six tight blobs in three pairs: a silhouette of 6, but with enough slack the gap decides for 3."""
    rng = np.random.default_rng(6)
    centres = np.array([[x + d, 5.0] for x in (1, 50, 100) for d in (0, 4)])
    samples = np.repeat(centres, 10, 0) + 0.2 * rng.standard_normal((60, 2))
    options = {"counts": (2, 20), "num_repeats": 5, "jitter": 1e-4}
    assert clusters.cluster(samples, rng, slack=0.0, **options).num_clusters == 3
    tight = np.repeat(centres, 10, 0) + 0.01 * rng.standard_normal((60, 2))
    assert clusters.cluster(tight, rng, slack=0.0, **options).num_clusters == 6
    assert clusters.cluster(tight, rng, slack=0.2, **options).num_clusters == 3


def test_unresponsive_samples_are_their_own_cluster():
    rng = np.random.default_rng(7)
    samples, truth = blobs(rng, 6, 8)
    silent = np.zeros(48, dtype=bool)
    silent[[3, 17]] = True
    samples[silent] = 1e-6
    np.testing.assert_array_equal(clusters.unresponsive(samples.T), silent)
    found = clusters.cluster(samples, rng, num_repeats=5, leave_out=silent)
    assert found.num_clusters == 6
    assert (found.labels[silent] == 6).all()
    assert metrics.adjusted_rand_score(found.labels[~silent], truth[~silent]) == 1.0
    assert found.order[-2:].tolist() == [3, 17]
    assert (found.cut(4)[silent] == 4).all()
    with pytest.raises(ValueError, match="more samples than clusters"):
        clusters.cluster(samples[:5], rng)


def test_synapses_by_way_of_groups():
    rng = np.random.default_rng(8)
    samples, truth = blobs(rng, 12, 150, spread=0.1)
    groups = clusters.minibatch_groups(samples, 40, rng)
    found = clusters.cluster_groups(samples, groups, rng, num_repeats=5)
    assert found.clustering.num_clusters == 12
    assert metrics.adjusted_rand_score(found.labels, truth) == 1.0
    np.testing.assert_array_equal(found.labels, found.clustering.labels[groups])
    post, _ = np.indices((60, 30)).reshape(2, -1)  # groups by unit: means over each unit's synapses
    by_unit = clusters.cluster_groups(samples, post, rng, counts=(5, 20), num_repeats=2)
    assert by_unit.labels.reshape(60, 30).std(1).max() == 0
    with pytest.raises(ValueError, match="has no samples"):
        clusters.cluster_groups(samples, 2 * post, rng)


def test_mean_agreement_is_the_mean_of_scikit_learns_rand_index():
    rng = np.random.default_rng(10)
    a, b = rng.integers(5, size=(2, 60))
    b[:30] = a[:30]
    one, apart = np.zeros(60, int), np.arange(60)
    labels = np.stack((a, 4 - a, b, one, one, apart, apart))
    expected = np.mean([metrics.adjusted_rand_score(*pair) for pair in combinations(labels, 2)])
    assert scores.mean_agreement(labels) == pytest.approx(expected)


def test_co_membership():
    rows = [TaskPeriod(t, e) for t in ("dmcgo", "dmcnogo") for e in ("stim1", "go1")]
    labels = np.array([[0, 1, 0, 1], [0, 1, 0, 2], [3, 1, 0, 3], [1, 1, 1, 2]])
    table = scores.co_membership_table(labels, rows, [("dmcgo", "dmcnogo")], ("stim1", "stim2", "go1"))
    np.testing.assert_array_equal(table, [[75.0, np.nan, 25.0]])
    assert (np.diag(scores.co_membership(labels)) == 100).all()


def test_clusters_that_share_units():
    """Clusters equal to the groups share all pairs there are; unrelated ones no more than by chance."""
    rng = np.random.default_rng(11)
    pre = np.indices((20, 30))[1].reshape(-1)
    same = scores.shared_units(pre, pre, rng)
    pairs = 30 * 20 * 19 / 2
    assert same.observed == pairs
    assert same.control == pytest.approx(pairs**2 / (600 * 599 / 2), rel=0.05)
    unrelated = scores.shared_units(rng.integers(6, size=600), pre, rng)
    assert abs(unrelated.observed - unrelated.control) < 4 * unrelated.deviation
    assert abs(unrelated.excess) < 0.1
