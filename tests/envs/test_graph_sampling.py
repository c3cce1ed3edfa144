"""The graphs have exactly the published generator's law, and a row depends on its own seed only."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.speed.graph_sampling import PlainGenerator
from plastic_envs.graph.labelling import EdgeLists, LabelSets, label_by_repair, nth_set_bit
from plastic_envs.graph.measures import check_constraints, triplet_overlap, triplets
from plastic_envs.graph.sampling import GraphSampler
from plastic_envs.streams import RowStreams


def streams(count: int, seed: int = 0) -> RowStreams:
    return RowStreams(np.arange(count, dtype=np.uint64) + np.uint64(seed << 32))


def connected_graphs(num_nodes: int, max_degree: int) -> list[tuple[int, ...]]:
    """All edge sets (as pair indices) of connected graphs within a degree bound, by brute force."""
    pairs = list(combinations(range(num_nodes), 2))
    found = []
    for code in range(1 << len(pairs)):
        edges = [pairs[i] for i in range(len(pairs)) if code >> i & 1]
        graph = nx.Graph(edges)
        if (
            len(graph) == num_nodes
            and nx.is_connected(graph)
            and max(d for _, d in graph.degree) <= max_degree
        ):
            found.append(tuple(i for i in range(len(pairs)) if code >> i & 1))
    return found


def edge_codes(graphs: np.ndarray) -> np.ndarray:
    u, v = np.triu_indices(graphs.shape[1], 1)
    return (graphs[:, u, v] >= 0) @ (1 << np.arange(len(u)))


def chi_square(observed: np.ndarray, probabilities: np.ndarray) -> float:
    """p-value; cells with few expected counts are pooled."""
    expected = probabilities / probabilities.sum() * observed.sum()
    small = expected < 8
    if small.any():
        observed = np.append(observed[~small], observed[small].sum())
        expected = np.append(expected[~small], expected[small].sum())
    return float(stats.chisquare(observed, expected).pvalue)


@pytest.mark.parametrize(
    ("num_nodes", "edge_prob", "bound"),
    [(5, 0.1, None), (5, 0.5, None), (5, 0.3, 3), pytest.param(6, 0.2, None, marks=pytest.mark.slow)],
)
def test_the_law_of_the_graphs_is_that_of_full_enumeration(num_nodes, edge_prob, bound):
    # 64 labels: greedy labelling never fails, so that the law is G(n, p) given connected and within the
    # degree bound. The bound of 3 is put in by hand, as so few labels would make labellings fail.
    sampler = GraphSampler(num_nodes, 64, edge_prob)
    if bound is not None:
        sampler.max_degree = bound
        sampler._fewest_edges, sampler._edge_count_cdf = sampler._edge_counts()
    size = 400_000 if num_nodes == 6 else 60_000
    graphs = sampler.sample(streams(size))
    all_graphs = connected_graphs(num_nodes, bound or num_nodes)
    odds = edge_prob / (1 - edge_prob)
    law = {sum(1 << i for i in edges): odds ** len(edges) for edges in all_graphs}
    codes, counts = np.unique(edge_codes(graphs), return_counts=True)
    assert set(codes.tolist()) <= set(law)
    observed = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    p = chi_square(np.array([observed.get(c, 0) for c in law]), np.array(list(law.values())))
    assert p > 1e-4


def labelled_law(num_nodes, edge_prob, sets, bound):
    """Exact law of disjointly labelled graphs: all graphs, every course the greedy labelling can take."""
    pairs = list(combinations(range(num_nodes), 2))
    law = {}
    for edges in connected_graphs(num_nodes, bound):
        degree = np.bincount(np.array([pairs[i] for i in edges]).ravel(), minlength=num_nodes)
        order = sorted(edges, key=lambda i: -max(degree[list(pairs[i])]))
        partial = {(): 1.0}
        for position, i in enumerate(order):
            grown = {}
            for labels, probability in partial.items():
                used = {
                    a for j, a in zip(order[:position], labels, strict=True) if set(pairs[j]) & set(pairs[i])
                }
                free = [a for a in sets[i] if a not in used]
                for a in free:
                    grown[(*labels, a)] = probability / len(free)
            partial = grown
        weight = (edge_prob / (1 - edge_prob)) ** len(edges)
        for labels, probability in partial.items():
            law[frozenset(zip(order, labels, strict=True))] = weight * probability
    return law


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_law_of_labelled_graphs_is_that_of_full_enumeration(split):
    sampler = GraphSampler(4, 5, 0.4, split=split, partition_seed=3)
    sets = [np.flatnonzero(row).tolist() for row in sampler.sets.table(5)]
    law = labelled_law(4, 0.4, sets, sampler.max_degree)
    graphs = sampler.sample(streams(60_000, 1))
    u, v = np.triu_indices(4, 1)
    counts = dict.fromkeys(law, 0)
    for row, count in zip(*np.unique(graphs[:, u, v], axis=0, return_counts=True), strict=True):
        counts[frozenset((i, int(a)) for i, a in enumerate(row) if a >= 0)] += (
            count  # KeyError: an impossible graph
        )
    assert chi_square(np.array(list(counts.values())), np.array(list(law.values()))) > 1e-4


@pytest.mark.parametrize(("num_actions", "edge_prob"), [(4, 0.3), (3, 0.4)])
def test_standard_labelling_has_the_law_of_the_plain_procedure(num_actions, edge_prob):
    def features(labels: np.ndarray) -> tuple[int, int, int]:
        edges = labels[np.triu_indices(5, 1)]
        edges = edges[edges >= 0]
        return len(edges), int(np.bincount(edges).max()), len(set(edges.tolist()))

    plain = PlainGenerator(5, num_actions, edge_prob, "standard", "train", seed=5)
    ours = GraphSampler(5, num_actions, edge_prob, "standard").sample(streams(4000, 2))
    theirs = [
        nx.to_numpy_array(plain.draw(), nodelist=range(5), weight="label", nonedge=-1) for _ in range(2000)
    ]
    kinds = sorted({features(g) for g in ours} | {features(g.astype(int)) for g in theirs})
    table = np.array([
        np.bincount([kinds.index(features(np.asarray(g).astype(int))) for g in graphs], minlength=len(kinds))
        for graphs in (ours, theirs)
    ])  # fmt: skip
    table = table[:, table.sum(0) >= 10]
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize(
    ("num_nodes", "num_actions", "split", "low", "high", "count"),
    [
        (8, 10, "train", 7.5, 7.75, 4000),
        (8, 10, "test", 7.5, 7.75, 4000),
        (8, 6, "train", 7.2, 7.45, 4000),
        (50, 15, "train", 104, 107, 40),
        (50, 15, "test", 112, 115, 150),
    ],
)
def test_mean_numbers_of_edges(num_nodes, num_actions, split, low, high, count):
    """Measured with the published generator: 7.5 - 7.7, 7.25, 105 and 113 edges."""
    graphs = GraphSampler(num_nodes, num_actions, 0.1, split=split).sample(streams(count))
    assert low < (graphs >= 0).sum() / 2 / count < high


@settings(max_examples=25, deadline=None)
@given(
    num_nodes=st.integers(2, 12),
    num_actions=st.integers(8, 64),
    edge_prob=st.floats(0.02, 0.35),
    labelling=st.sampled_from(["standard", "disjoint"]),
    seed=st.integers(0, 2**31),
)
def test_graphs_are_legal_and_splits_share_no_triplet(num_nodes, num_actions, edge_prob, labelling, seed):
    train, test = (
        GraphSampler(num_nodes, num_actions, edge_prob, labelling, split, partition_seed=seed)
        for split in ("train", "test")
    )
    a, b = train.sample(streams(20, seed)), test.sample(streams(20, seed))
    check_constraints(a)
    check_constraints(b)
    assert a.max() < num_actions
    if labelling == "disjoint":
        assert triplet_overlap(a, b) == 0.0
        legal = train.sets.table(num_actions)
        index = {pair: i for i, pair in enumerate(combinations(range(num_nodes), 2))}
        assert all(legal[index[u, v], label] for u, label, v in triplets(a).tolist())
        assert not (legal & test.sets.table(num_actions)).any()


@pytest.mark.parametrize(
    "sampler",
    [
        GraphSampler(8, 10, 0.1),
        GraphSampler(8, 4, 0.2, "standard"),
        GraphSampler(70, 40, 0.06, split="test"),
        GraphSampler(8, 10, 0.1, graph_generator=("watts_strogatz_graph", {"k": 4})),
    ],
    ids=lambda s: f"{s.num_nodes}-{s.num_actions}-{s.labelling}",
)
def test_a_graph_depends_on_its_own_stream_only(sampler):
    whole = sampler.sample(streams(60))
    check_constraints(whole)
    for rows in (slice(0, 1), slice(7, 19), slice(59, 60)):
        sampler._tried, sampler._accepted = 40.0, 1.0  # other sizes of the blocks of attempts
        np.testing.assert_array_equal(sampler.sample(streams(60)[rows]), whole[rows])


def test_networkx_generators():
    graphs = GraphSampler(10, 10, graph_generator=("random_regular_graph", {"d": 3})).sample(streams(20))
    assert ((graphs >= 0).sum(-1) == 3).all()
    ring = GraphSampler(6, 4, graph_generator="cycle_graph").sample(streams(5))
    check_constraints(ring)
    assert ((ring >= 0).sum(-1) == 2).all()


def test_gnp_through_networkx_has_the_same_law():
    def counts(generator):
        graphs = GraphSampler(5, 12, 0.4, graph_generator=generator).sample(streams(3000, 9))
        return np.bincount((graphs >= 0).sum((1, 2)) // 2, minlength=11)

    table = np.stack((counts(None), counts("gnp_random_graph")))
    assert stats.chi2_contingency(table[:, table.sum(0) > 10]).pvalue > 1e-4


def test_nth_set_bit():
    masks = np.array([0b1011, 0b1011, 0b1011, 0b1011, 0], dtype=np.uint64)
    assert nth_set_bit(masks, np.array([0, 1, 2, 3, 0])).tolist() == [1, 2, 8, 0, 0]


def test_repair_gives_up_after_ten_sweeps_per_edge():
    present = np.ones((3, 3), dtype=bool)  # a triangle cannot be labelled with two labels
    ends = np.array([[0, 0, 1, 0], [1, 2, 2, 0]])
    edges = EdgeLists.from_pairs(present, ends, busiest_first=False)
    _, proper = label_by_repair(edges, 2, streams(3))
    assert not proper.any()


def test_train_and_test_labels_part_the_whole():
    train, test = (LabelSets.half(28, 11, 4, test=test) for test in (False, True))
    assert (train.size, test.size) == (5, 6)
    assert (np.bitwise_count(train.masks) == 5).all()
    np.testing.assert_array_equal(train.masks ^ test.masks, np.full(28, 2**11 - 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_nodes": 1}, "num_nodes=1: expected 2 to 1000"),
        ({"num_actions": 65}, "1 to 64"),
        ({"num_actions": 1}, "2 or more"),
        ({"num_actions": 3}, "split 'train'.*raise num_actions"),
        ({"edge_prob": 0.0}, "edge_prob"),
        ({"edge_prob": 1.0}, "lower edge_prob or raise num_actions"),
        ({"labelling": "other"}, "labelling='other'"),
        ({"split": "dev"}, "split='dev'"),
        ({"partition_seed": -1}, "partition_seed=-1"),
        ({"graph_generator": "no_such_graph"}, "not a networkx generator"),
        ({"graph_generator": "watts_strogatz_graph"}, "missing arguments"),
        ({"graph_generator": ("gnp_random_graph", {"q": 1})}, "unknown arguments"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        GraphSampler(**{"num_nodes": 8, "num_actions": 10, "edge_prob": 0.1, **arguments})


def test_graphs_too_rare_to_find_name_the_split_and_the_remedy():
    with pytest.raises(ValueError, match=r"split 'test'.*raise num_actions or lower edge_prob"):
        GraphSampler(12, 8, 0.9, split="test").sample(streams(1))
    with pytest.raises(ValueError, match="raise edge_prob"):
        GraphSampler(60, 40, 0.005).sample(streams(1))
    with pytest.raises(ValueError, match="gave 5 nodes for num_nodes=8"):
        GraphSampler(8, 10, graph_generator=("gnp_random_graph", {"n": 5})).sample(streams(1))
