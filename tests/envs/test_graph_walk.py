import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

from plastic_envs import TaskEnv, TaskVectorEnv, make_task, rollout
from plastic_envs.graph.explore import GraphExplore
from plastic_envs.graph.measures import action_counts, check_constraints, triplet_overlap
from plastic_envs.graph.walk import GraphWalk
from plastic_envs.views.records import SCALAR_ONLY


def sample(batch_size=16, seed=0, **kwargs):
    task = GraphWalk(**kwargs)
    return task, task.sample(np.random.default_rng(seed), batch_size)


def decoded(task, episodes, name):
    part = episodes.observations[..., task.field(name).slice]
    return np.where(part.any(-1), part.argmax(-1), -1)


# ---- what the steps show -----------------------------------------------------------------------------


def test_interleaved_asks_for_a_move_then_shows_it():
    task, episodes = sample(num_steps=12)
    assert episodes.num_steps == 2 * 11 - 1
    facts = episodes.step_facts
    asks = np.arange(21) % 2 == 0
    np.testing.assert_array_equal(episodes.mask, np.broadcast_to(asks[:, None], (21, 16)))
    np.testing.assert_array_equal(episodes.periods, episodes.mask)
    np.testing.assert_array_equal(facts["move"], np.broadcast_to(np.arange(21)[:, None] // 2, (21, 16)))
    np.testing.assert_array_equal(decoded(task, episodes, "node"), facts["node"])
    np.testing.assert_array_equal(decoded(task, episodes, "action"), facts["action"])
    np.testing.assert_array_equal(
        decoded(task, episodes, "reached"), np.where(asks[:, None], -1, facts["next_node"])
    )
    np.testing.assert_array_equal(episodes.targets, np.where(asks[:, None], facts["next_node"], -1))
    np.testing.assert_array_equal(decoded(task, episodes, "mode"), np.broadcast_to(~asks[:, None], (21, 16)))
    assert (episodes.observations[..., task.field("mode").slice].sum(-1) == 1).all()
    assert ((facts["key_kind"] == -1) == ~asks[:, None]).all()


def test_the_modes_show_the_same_walk():
    (_, both), (predict_task, predict), (acquire_task, acquire) = (
        sample(num_steps=9, mode=mode) for mode in ("interleaved", "predict", "acquire")
    )
    assert predict.num_steps == acquire.num_steps == 8
    np.testing.assert_array_equal(both.observations[0::2], predict.observations)
    np.testing.assert_array_equal(both.observations[1::2], acquire.observations[:-1])
    assert predict.mask.all()
    assert not acquire.mask.any()
    assert (acquire.targets == -1).all()
    assert predict_task.association.chained
    assert not acquire_task.association.chained
    with pytest.raises(ValueError, match=r"nothing is asked.*mode='acquire'"):  # a score of NaN broke reports
        acquire_task.metrics(acquire, acquire.targets)
    np.testing.assert_array_equal(predict_task.moves(predict)["node"][1:], predict.targets[:-1])


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"num_segments": 3},
        {"walk": "biased"},
        {"permute_labels": True},
        {"labelling": "standard"},
        {"num_graphs": 3},
    ],
    ids=str,
)
def test_every_move_follows_an_edge_and_its_label(kwargs):
    task, episodes = sample(num_steps=20, **kwargs)
    check_constraints(episodes.facts["labels"])
    facts = episodes.step_facts
    rows = np.broadcast_to(np.arange(16), facts["node"].shape)
    labels = episodes.facts["labels"][rows, facts["segment"]]
    np.testing.assert_array_equal(
        np.take_along_axis(
            np.take_along_axis(labels, facts["node"][..., None, None].astype(int), 2)[:, :, 0],
            facts["next_node"][..., None].astype(int), 2,
        )[..., 0],
        facts["action"],
    )  # fmt: skip
    degrees = np.take_along_axis((labels >= 0).sum(-1), facts["node"][..., None].astype(int), 2)[..., 0]
    np.testing.assert_array_equal(degrees, facts["degree"])
    moves = task.moves(episodes)
    np.testing.assert_array_equal(moves["node"][1:], moves["next_node"][:-1])  # also where a new graph begins
    assert moves["segment"].max() + 1 == task.num_segments
    assert (np.bincount(moves["segment"][:, 0]) == 19).all()


@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_kinds_of_keys_against_a_plain_recount(drift):
    task, episodes = sample(num_steps=60, num_segments=2, label_drift=drift, mode="predict")
    moves = task.moves(episodes)
    for b in range(16):
        walked, segment = set(), 0
        for x, a, y, s, kind in zip(
            *(moves[k][:, b].tolist() for k in ("node", "action", "next_node", "segment", "key_kind")),
            strict=True,
        ):
            walked, segment = (walked, s) if s == segment else (set(), s)
            assert kind == (0 if (x, a, y) in walked else 1 if (y, a, x) in walked else 2)
            walked.add((x, a, y))


def test_starts_and_moves_are_uniform():
    task, episodes = sample(3000, num_steps=6, mode="predict", num_graphs=1)
    moves = task.moves(episodes)
    assert stats.chisquare(np.bincount(moves["node"][0], minlength=8)).pvalue > 1e-4
    edge = episodes.facts["labels"][0, 0] >= 0
    counts = action_counts(moves["node"], moves["action"], moves["next_node"], 8, 10).sum(-1)
    assert (counts > 0).tolist() == edge.tolist()
    for node in np.flatnonzero(edge.sum(1) > 1):
        assert stats.chisquare(counts[node][edge[node]]).pvalue > 1e-4


def test_a_biased_walk_prefers_some_labels_and_bias_zero_is_uniform():
    def spread(bias):
        task, episodes = sample(200, num_steps=200, mode="predict", walk="biased", walk_bias=bias)
        moves = task.moves(episodes)
        again = [  # how concentrated the moves from each (episode, node) are
            (np.bincount(moves["next_node"][moves["node"][:, b] == x, b], minlength=8) ** 2).sum()
            for b in range(200) for x in range(8)
        ]  # fmt: skip
        return np.mean(again)

    _, uniform = sample(200, num_steps=200, mode="predict")
    _, zero = sample(200, num_steps=200, mode="predict", walk="biased", walk_bias=0.0)
    np.testing.assert_array_equal(uniform.targets, zero.targets)
    assert spread(2.0) > 1.1 * spread(0.0)


def test_drift_keeps_labels_legal_and_does_happen():
    task, episodes = sample(50, num_steps=100, mode="predict", label_drift=0.5)
    moves = task.moves(episodes)
    legal = np.zeros((8, 8, 10), dtype=bool)
    u, v = task.sampler.ends[:, :-1]
    legal[u, v] = legal[v, u] = task.sampler.sets.table(10)
    assert legal[moves["node"], moves["next_node"], moves["action"]].all()
    start = episodes.facts["labels"][np.arange(50), 0, moves["node"], moves["next_node"]]
    changed = start != moves["action"]
    assert not changed[0].any()
    assert changed[-20:].mean() > 0.5
    _, still = sample(50, num_steps=100, mode="predict")
    np.testing.assert_array_equal(
        still.targets, episodes.targets
    )  # drift renames edges, it does not move the walker


def test_pools_are_the_same_for_everyone_and_apart_between_splits():
    pools = {split: GraphWalk(num_graphs=40, split=split).pool() for split in ("train", "validation", "test")}
    np.testing.assert_array_equal(GraphWalk(num_graphs=7, num_steps=5).pool(), pools["train"][:7])
    assert not (pools["train"] == pools["validation"]).all((1, 2)).any()
    assert triplet_overlap(pools["train"], pools["test"]) == 0.0
    assert triplet_overlap(pools["train"], pools["validation"]) > 0.5
    assert not np.array_equal(GraphWalk(num_graphs=7, partition_seed=1).pool(), pools["train"][:7])
    task, episodes = sample(300, num_graphs=5, num_steps=3)
    assert np.unique(episodes.facts["graph"]).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(episodes.facts["labels"], task.pool()[episodes.facts["graph"]])
    with pytest.raises(ValueError, match="pass num_graphs"):
        GraphWalk().pool()


def test_one_seed_shows_the_splits_different_fresh_graphs():
    train, validation = (sample(50, split=split)[1].facts["labels"] for split in ("train", "validation"))
    assert (train == validation).all((1, 2, 3)).mean() < 0.1


def test_permuted_labels_rename_one_and_the_same_walk():
    _, plain = sample(num_steps=30)
    _, renamed = sample(num_steps=30, permute_labels=True)
    np.testing.assert_array_equal(plain.targets, renamed.targets)
    np.testing.assert_array_equal(plain.step_facts["key_kind"], renamed.step_facts["key_kind"])
    for b in range(16):
        pairs = set(
            zip(
                plain.step_facts["action"][:, b].tolist(),
                renamed.step_facts["action"][:, b].tolist(),
                strict=True,
            )
        )
        assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)


def test_an_episode_does_not_depend_on_the_batch():
    kwargs = {
        "num_steps": 15,
        "num_segments": 2,
        "walk": "biased",
        "label_drift": 0.3,
        "permute_labels": True,
    }
    task, episodes = sample(12, **kwargs)
    rng = np.random.default_rng(0)
    for start in (0, 4, 8):
        part = task.sample(rng, 4)
        np.testing.assert_array_equal(part.observations, episodes.observations[:, start : start + 4])


# ---- the three views ---------------------------------------------------------------------------------

VARIANTS = [
    GraphWalk(num_steps=6),
    GraphWalk(num_steps=6, mode="predict", num_segments=2, permute_labels=True),
    GraphWalk(num_steps=6, label_drift=0.3, walk="biased", num_graphs=4),
    GraphExplore(num_steps=7, num_questions=5),
]


@pytest.mark.parametrize("task", VARIANTS, ids=lambda t: type(t).__name__)
def test_three_views_agree_step_for_step(task):
    """Two episodes in a row with random actions, also of an agent that explores."""
    num_envs, rng = 3, np.random.default_rng(5)
    vector = TaskVectorEnv(task, num_envs)
    scalars = [TaskEnv(task) for _ in range(num_envs)]
    generators = [np.random.default_rng(40 + b) for b in range(num_envs)]
    observations, infos = vector.reset(seed=40)
    for b, env in enumerate(scalars):
        np.testing.assert_array_equal(env.reset(seed=40 + b)[0], observations[b])
    for _ in range(2):
        played = task.sample(generators, num_envs)
        for t in range(played.num_steps):
            np.testing.assert_array_equal(played.observations[t], observations)
            np.testing.assert_array_equal(played.targets[t], infos["target"])
            np.testing.assert_array_equal(played.periods[t], infos["period"])
            actions = rng.integers(task.action_space.n, size=num_envs)
            steps, rows = np.full(num_envs, t), np.arange(num_envs)
            expected = task.reward(played, steps, rows, actions)
            task.advance(played, steps, rows, actions)
            observations, rewards, over, _, infos = vector.step(actions)
            np.testing.assert_array_equal(rewards, expected)
            for b, env in enumerate(scalars):
                seen, reward, terminated, truncated, info = env.step(actions[b])
                np.testing.assert_array_equal(seen, observations[b])
                assert (reward, terminated, truncated) == (rewards[b], over[b], False)
                assert all(infos[name][b] == info[name] for name in info.keys() - set(SCALAR_ONLY))
        assert over.all()
        observations, rewards, over, _, infos = vector.step(actions)  # autoreset
        assert not over.any()
        assert not rewards.any()
        for b, env in enumerate(scalars):
            np.testing.assert_array_equal(env.reset()[0], observations[b])


# ---- exploration ---------------------------------------------------------------------------------------


def test_exploring_against_a_plain_walker():
    task = GraphExplore(num_steps=25, num_questions=12, permute_labels=True)
    episodes = task.sample(np.random.default_rng(1), 20)
    rng = np.random.default_rng(2)

    class Anything:
        def act(self, observations, episode_starts):
            return rng.integers(task.action_space.n, size=len(observations))

    actions = rollout(task, Anything(), episodes)
    reached = decoded(task, episodes, "reached")
    facts = episodes.step_facts
    shares = task.known_shares(episodes)
    for b in range(20):
        labels = episodes.facts["labels"][b, 0]
        here, walked = reached[0, b], set()
        for t in range(24):
            there = np.flatnonzero(labels[here] == actions[t, b])
            target = int(there[0]) if there.size else here
            assert reached[t + 1, b] == target
            assert facts["node"][t + 1, b] == here == decoded(task, episodes, "node")[t + 1, b]
            if there.size:
                walked.add((here, actions[t, b], target))
            here = target
        for t in range(25, 37):
            x, a, y = (int(facts[k][t, b]) for k in ("node", "action", "next_node"))
            assert labels[x, y] == a >= 0
            assert episodes.targets[t, b] == y
            assert facts["key_kind"][t, b] == (0 if (x, a, y) in walked else 1 if (y, a, x) in walked else 2)
        assert shares[b] == len({(frozenset((x, y))) for x, _, y in walked}) / ((labels >= 0).sum() / 2)
    scores = task.reference_scores(episodes)
    assert scores["oracle"] > scores["table_on_own_walk"] > scores["chance"]
    assert 0 <= task.metrics(episodes, actions)["share_keys_known"] <= 1


def test_questions_are_uniform_over_keys():
    task = GraphExplore(num_steps=1, num_questions=50, num_graphs=1)
    episodes = task.sample(np.random.default_rng(1), 200)
    asked = action_counts(*(episodes.step_facts[k][1:] for k in ("node", "action", "next_node")), 8, 10).sum(
        -1
    )
    edge = episodes.facts["labels"][0, 0] >= 0
    assert (asked > 0).tolist() == edge.tolist()
    assert stats.chisquare(asked[edge]).pvalue > 1e-4


# ---- scores and settings -------------------------------------------------------------------------------


def test_metrics_by_kind_of_key():
    task, episodes = sample(64, num_steps=40)
    right = task.metrics(episodes, episodes.targets)
    assert (
        right["score"] == right["accuracy_seen"] == right["accuracy_reverse"] == right["accuracy_new"] == 1.0
    )
    assert right["share_seen"] + right["share_reverse"] + right["share_new"] == pytest.approx(1.0)
    only_seen = np.where(episodes.step_facts["key_kind"] == 0, episodes.targets, -2)
    measured = task.metrics(episodes, only_seen)
    assert measured["score"] == pytest.approx(right["share_seen"])
    assert (measured["accuracy_seen"], measured["accuracy_new"]) == (1.0, 0.0)


def test_a_random_policy_scores_chance_and_the_table_the_documented_oracle():
    """Ideal observer 0.950, unvisited-first table 0.9495 on the published setting's test walks."""
    task, episodes = sample(600, split="test")
    guesses = np.random.default_rng(0).integers(8, size=episodes.targets.shape)
    assert task.metrics(episodes, guesses)["score"] == pytest.approx(task.chance, abs=0.01)
    scores = task.reference_scores(episodes)
    assert scores["oracle"] == pytest.approx(0.9495, abs=0.006)
    assert scores["chance"] == task.chance
    assert task.metrics(episodes, rollout(task, task.oracle_policy(), episodes))["score"] == pytest.approx(
        scores["oracle"], abs=0.006
    )


@pytest.mark.parametrize("task", VARIANTS, ids=lambda t: type(t).__name__)
def test_a_task_can_be_described_and_made_again(task):
    description = json.loads(json.dumps(task.describe()))
    again = type(task)(**description)
    for other in (again, pickle.loads(pickle.dumps(task)), task.with_split("train")):
        np.testing.assert_array_equal(
            other.sample(np.random.default_rng(0), 3).observations,
            task.sample(np.random.default_rng(0), 3).observations,
        )
    test = task.with_split("test")
    assert (test.split, type(test), test.num_graphs) == ("test", type(task), task.num_graphs)
    other = "labels_as_drawn" if task.permute_labels else "labels_permuted"
    assert set(test.probes()) == {"train_split", other}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 1}, "num_steps=1: expected 2 to"),
        ({"mode": "both"}, "mode='both'"),
        ({"walk": "levy"}, "walk='levy'"),
        ({"walk_bias": float("nan")}, "walk_bias"),
        ({"label_drift": 1.5}, "label_drift=1.5"),
        ({"num_segments": 0}, "num_segments=0"),
        ({"num_graphs": 0}, "num_graphs=0"),
        ({"split": "dev"}, "expected one of .*validation"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        gym.make("PlasticGraph-disjoint-v0", **arguments)


def test_explore_arguments_out_of_range():
    with pytest.raises(ValueError, match="num_questions=0"):
        make_task("PlasticGraph-explore-v0", num_questions=0)
    with pytest.raises(ValueError, match="num_steps=0"):
        make_task("PlasticGraph-explore-v0", num_steps=0)
