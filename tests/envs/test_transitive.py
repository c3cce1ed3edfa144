"""Transitive inference, against the description in Miconi & Kay (2025) and against plain Python."""

import itertools
import json

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import TaskEnv, TaskVectorEnv, make_task, rollout
from plastic_envs.task import scalars
from plastic_envs.transitive.measures import share_by, share_by_pair
from plastic_envs.transitive.schedules import SCHEDULES, Block, Schedule
from plastic_envs.transitive.task import TransitiveInference


def sample(batch_size=16, seed=0, **kwargs):
    task = TransitiveInference(**kwargs)
    return task, task.sample(np.random.default_rng(seed), batch_size)


def played(batch_size=16, seed=0, **kwargs):
    """Episodes after random actions, and these."""
    task, episodes = sample(batch_size, seed, **kwargs)
    actions = np.random.default_rng(seed + 1).integers(2, size=(episodes.num_steps, batch_size))
    rows = np.arange(batch_size)
    for t in range(episodes.num_steps):
        task.advance(episodes, np.full(batch_size, t), rows, actions[t])
    return task, episodes, actions


def per_trial(task, episodes, name):
    """A step fact as (R, B)."""
    return episodes.step_facts[name][task.layout.starts]


# ---- a trial, to the letter --------------------------------------------------------------------------


def test_the_episode_has_120_steps_of_37_numbers():
    task = make_task("TransitiveInference-v0")
    assert task.observation_space.shape == (37,)
    assert task.action_space == gym.spaces.Discrete(2)
    episodes = task.sample(np.random.default_rng(0), 4)
    assert episodes.observations.shape == (120, 4, 37)
    assert (episodes.lengths == 120).all()


@pytest.mark.parametrize("steps_per_trial", [3, 4, 6])
def test_what_is_shown_when(steps_per_trial):
    """Methods: stimulus, response, feedback, delay; the table of inputs of the released code."""
    _, episodes, actions = played(steps_per_trial=steps_per_trial)
    num_steps = 30 * steps_per_trial
    assert episodes.num_steps == num_steps
    for t, b in itertools.product(range(num_steps), range(16)):
        seen, step = episodes.observations[t, b], t % steps_per_trial
        expected = np.zeros(37, dtype=np.float32)
        expected[31] = 1.0
        expected[32] = np.float32(t / num_steps)
        first, second = (episodes.step_facts[name][t, b] for name in ("first_item", "second_item"))
        if step == 0:
            expected[:15] = episodes.facts["items"][b, first]
            expected[15:30] = episodes.facts["items"][b, second]
        elif step == 1:
            expected[30] = 1.0
        elif step == 2:
            answer = actions[t - 1, b]
            expected[33] = 1.0 if answer == int(first < second) else -1.0
            expected[35 + answer] = 1.0
        np.testing.assert_array_equal(seen, expected)


def test_targets_weights_and_resets():
    task, episodes, _ = played()
    step = np.arange(120) % 4
    first, second = (episodes.step_facts[name] for name in ("first_item", "second_item"))
    is_response = (step == 1)[:, None]
    np.testing.assert_array_equal(episodes.targets, np.where(is_response, first < second, -1))
    is_test = np.arange(120)[:, None] >= 80
    np.testing.assert_array_equal(episodes.mask, np.broadcast_to(is_response & is_test, (120, 16)))
    np.testing.assert_array_equal(task.loss_weights(episodes), np.broadcast_to(is_response, (120, 16)))
    np.testing.assert_array_equal(episodes.resets, np.broadcast_to((step == 0)[:, None], (120, 16)))
    np.testing.assert_array_equal(episodes.periods, np.broadcast_to(is_test, (120, 16)))


def test_rewards_are_for_answers_only():
    task, episodes, actions = played()
    rows = np.arange(16)
    for t in range(120):
        reward = task.reward(episodes, np.full(16, t), rows, actions[t])
        right = actions[t] == (episodes.step_facts["first_item"][t] < episodes.step_facts["second_item"][t])
        np.testing.assert_array_equal(reward, np.where(right, 1.0, -1.0) if t % 4 == 1 else 0.0)
        if t % 4 == 1:
            np.testing.assert_array_equal(episodes.observations[t + 1, :, 33], reward)


def test_facts_of_the_trials():
    _, episodes, actions = played(seed=4)
    facts = episodes.step_facts
    t = np.arange(120)
    np.testing.assert_array_equal(facts["trial"], np.broadcast_to((t // 4)[:, None], (120, 16)))
    np.testing.assert_array_equal(facts["step"], np.broadcast_to((t % 4)[:, None], (120, 16)))
    np.testing.assert_array_equal(facts["distance"], abs(facts["first_item"] - facts["second_item"]))
    np.testing.assert_array_equal(facts["is_adjacent"], facts["distance"] == 1)
    right = actions[1::4] == episodes.targets[1::4]
    correct = facts["correct"].reshape(30, 4, 16)
    assert (correct[:, :2] == -1).all()
    np.testing.assert_array_equal(correct[:, 2], right)
    np.testing.assert_array_equal(correct[:, 3], right)


def test_without_the_time_input_its_place_is_empty():
    task, episodes = sample(time_input=False)
    assert not episodes.observations[..., task.field("time").slice].any()
    assert task.observation_space.shape == (37,)


# ---- items and pairs ---------------------------------------------------------------------------------


def test_any_two_items_differ_in_at_least_six_of_fifteen_entries():
    """Methods, "cues": no more than 66 % of the entries may agree; two items may be exact opposites."""
    _, episodes = sample(3000, num_items=8)
    items = episodes.facts["items"]
    assert set(np.unique(items)) == {-1.0, 1.0}
    equal = (items[:, :, None] == items[:, None]).sum(-1)[:, ~np.eye(8, dtype=bool)]
    assert equal.max() == 9
    assert equal.min() <= 1
    assert abs(items.mean()) < 0.01


def test_the_first_two_items_are_all_but_independent():
    """The overlap rule cuts the binomial distribution of equal entries above 9 and does little else."""
    _, episodes = sample(20_000, num_items=3)
    items = episodes.facts["items"]
    counts = np.bincount((items[:, 0] == items[:, 1]).sum(-1), minlength=16) / 20_000
    assert counts[10:].sum() == 0
    binomial = np.array([len(list(itertools.combinations(range(15), k))) for k in range(10)], dtype=float)
    np.testing.assert_allclose(counts[:10], binomial / binomial.sum(), atol=0.015)


def test_items_that_an_episode_does_not_have_are_zero():
    _, episodes = sample(200)
    items, num_items = episodes.facts["items"], episodes.facts["num_items"]
    np.testing.assert_array_equal(items.any(-1), np.arange(8) < num_items[:, None])
    shown = np.maximum(episodes.step_facts["first_item"], episodes.step_facts["second_item"])
    assert (shown < num_items).all()


def test_one_hot_items():
    _, episodes = sample(64, items="one_hot", num_items=8)
    items = episodes.facts["items"]
    assert ((items == 1).sum(-1) == 1).all()
    assert ((items == -1).sum(-1) == 14).all()
    place = items.argmax(-1)
    assert all(len(set(row)) == 8 for row in place)
    assert abs(np.corrcoef(np.arange(8).repeat(64), place.T.ravel())[0, 1]) < 0.15


def test_a_drawing_that_cannot_succeed_gives_up():
    task = TransitiveInference(num_items=8, cue_size=4, cue_overlap=0.3)
    with pytest.raises(ValueError, match=r"no two may agree in more than 1; raise cue_size or cue_overlap"):
        task.sample(np.random.default_rng(0), 2)


def test_large_and_small_items():
    for size in (12, 70, 130):
        task, episodes = sample(4, cue_size=size, num_items=5)
        items = episodes.facts["items"]
        equal = (items[:, :, None] == items[:, None]).sum(-1)[:, ~np.eye(5, dtype=bool)]
        assert equal.max() <= int(0.66 * size)
        assert task.observation_space.shape == (2 * size + 7,)


def test_train_lists_have_four_to_eight_items_and_test_lists_eight():
    _, episodes = sample(5000)
    counts = np.bincount(episodes.facts["num_items"])
    assert set(np.flatnonzero(counts)) == {4, 5, 6, 7, 8}
    assert abs(counts[4:] - 1000).max() < 4 * (5000 * 0.2 * 0.8) ** 0.5
    for split in ("validation", "test"):
        task = TransitiveInference().with_split(split)
        assert (task.sample(np.random.default_rng(0), 50).facts["num_items"] == 8).all()
        fixed = TransitiveInference(num_items=6).with_split(split)
        assert (fixed.sample(np.random.default_rng(0), 50).facts["num_items"] == 6).all()


def test_pairs_are_uniform():
    """Train: the 2 (N - 1) ordered neighbour pairs; test: all N (N - 1) ordered pairs; 4 standard errors."""
    task, episodes = sample(4000, num_items=8)
    first, second = (per_trial(task, episodes, name) for name in ("first_item", "second_item"))
    table = np.zeros((2, 8, 8))
    for kind, trials in enumerate((slice(0, 20), slice(20, 30))):
        np.add.at(table[kind], (first[trials].ravel(), second[trials].ravel()), 1)
    apart = abs(np.subtract.outer(np.arange(8), np.arange(8)))
    for counts, allowed in zip(table, (apart == 1, apart > 0), strict=True):
        assert not counts[~allowed].any()
        share = 1 / allowed.sum()
        error = (counts.sum() * share * (1 - share)) ** 0.5
        assert abs(counts[allowed] - counts.sum() * share).max() < 4 * error


def test_a_neighbour_pair_is_missing_in_4_6_percent_of_episodes():
    """(6/7)^20 for each of the seven pairs of eight items."""
    task, episodes = sample(6000, num_items=8)
    lower = np.minimum(per_trial(task, episodes, "first_item"), per_trial(task, episodes, "second_item"))[:20]
    missing = np.mean([(lower != k).all(0) for k in range(7)])
    expected = (6 / 7) ** 20
    assert round(expected, 3) == 0.046
    assert abs(missing - expected) < 4 * (expected / 42_000) ** 0.5


def test_trials_are_independent():
    task, episodes = sample(4000, num_items=8)
    lower = np.minimum(per_trial(task, episodes, "first_item"), per_trial(task, episodes, "second_item"))
    assert abs((lower[:19] == lower[1:20]).mean() - 1 / 7) < 0.006
    target = episodes.targets[1::4]
    assert abs((target[:-1] == target[1:]).mean() - 0.5) < 0.006


# ---- the order does not leak -------------------------------------------------------------------------


def test_observations_are_made_of_items_answers_and_feedback_only():
    """Turn every list upside down: with the opposite answers, all but nothing changes."""
    task, episodes = sample(8, num_items=8)
    upside_down = episodes.copy()
    upside_down.facts["items"] = episodes.facts["items"][:, ::-1].copy()
    for name in ("first_item", "second_item"):
        upside_down.step_facts[name] = 7 - episodes.step_facts[name]
    asked = episodes.targets >= 0
    upside_down.targets = np.where(asked, 1 - episodes.targets, -1)
    first, second = (per_trial(task, upside_down, name) for name in ("first_item", "second_item"))
    drawn = task._observations(upside_down.facts["items"], first, second)
    np.testing.assert_array_equal(drawn, episodes.observations)
    rows = np.arange(8)
    for t in range(120):
        action = np.full(8, t % 3 == 1)
        task.advance(episodes, np.full(8, t), rows, action)
        task.advance(upside_down, np.full(8, t), rows, action)
    changed = (episodes.observations != upside_down.observations).any((0, 1))
    assert np.flatnonzero(changed).tolist() == [33]  # nothing but the reward tells the two orders apart


def test_nothing_that_is_seen_before_an_answer_predicts_it():
    """No entry, and no product of entries of the two items, correlates with the first right answer."""
    _, episodes = sample(20_000, num_items=8)
    seen = episodes.observations[0]
    first, second = seen[:, :15], seen[:, 15:30]
    features = np.concatenate((first, second, first * second, first * np.roll(second, 1, axis=1)), axis=1)
    right = 2.0 * episodes.targets[1] - 1.0
    correlations = (features - features.mean(0)).T @ right / len(right) / features.std(0)
    assert abs(correlations).max() < 4.5 / len(right) ** 0.5


def test_how_items_look_does_not_depend_on_their_rank():
    """Drawn one after another, items are not quite alike in law; the shuffle makes all ranks equal."""
    _, episodes = sample(20_000, num_items=8)
    items = episodes.facts["items"]
    i, j = np.triu_indices(8, 1)
    equal = np.einsum("bic,bjc->bij", items, items)[:, i, j]
    by_pair = equal.mean(0)
    assert abs(by_pair - by_pair.mean()).max() < 4.5 * equal.std() / 20_000**0.5


# ---- three views -------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["TransitiveInference-v0", "TransitiveInference-linking-v0"])
def test_feedback_is_the_same_in_all_three_views(env_id):
    task, seeds = make_task(env_id), [20, 21, 22]
    episodes = task.sample([np.random.default_rng(s) for s in seeds], 3)
    actions = np.random.default_rng(0).integers(2, size=(episodes.num_steps, 3))
    rows = np.arange(3)
    envs = TaskVectorEnv(make_task(env_id), 3)
    scalar = [TaskEnv(make_task(env_id)) for _ in seeds]
    seen, _ = envs.reset(seed=seeds)
    for env, s in zip(scalar, seeds, strict=True):
        env.reset(seed=s)
    total = np.zeros(3)
    for t in range(episodes.num_steps):
        np.testing.assert_array_equal(seen, episodes.observations[t])
        task.advance(episodes, np.full(3, t), rows, actions[t])
        seen, rewards, _, _, info = envs.step(actions[t])
        singly = [env.step(a) for env, a in zip(scalar, actions[t], strict=True)]
        np.testing.assert_array_equal([s[0] for s in singly], seen)
        np.testing.assert_array_equal([s[1] for s in singly], rewards)
        assert [s[4]["correct"] for s in singly] == info["correct"].tolist()
        total += rewards
    answers = actions == episodes.targets
    np.testing.assert_array_equal(total, (2.0 * answers - 1.0).sum(0, where=episodes.targets >= 0))


def test_info_tells_what_the_paper_measures():
    env = gym.make("TransitiveInference-v0", num_items=5).unwrapped
    _, info = env.reset(seed=0)
    assert {info[name] for name in ("trial", "step", "block")} == {0}
    assert info["trial_start"]
    assert info["reset"]
    assert info["is_adjacent"]
    assert not info["is_test"]
    assert info["distance"] == 1 == abs(info["first_item"] - info["second_item"])
    assert info["correct"] == -1
    _, _, _, _, info = env.step(0)
    assert not info["trial_start"]
    assert info["target"] == int(info["first_item"] < info["second_item"])
    _, reward, _, _, info = env.step(info["target"])
    assert reward == 1.0
    assert info["correct"] == 1


def test_playing_again_leaves_no_trace():
    task, episodes, _ = played()
    again = episodes.copy()
    fresh = task.sample(np.random.default_rng(0), 16)
    for batch in (again, fresh):
        rollout(task, task.oracle_policy(), batch)
    np.testing.assert_array_equal(again.observations, fresh.observations)
    np.testing.assert_array_equal(again.step_facts["correct"], fresh.step_facts["correct"])


# ---- reference observers -----------------------------------------------------------------------------


def plain_observer(pairs, infers):
    """Expected scores of one episode's trials, by search through a set of known relations."""
    known, scores = set(), []

    def follows(x, y):
        if not infers:
            return (x, y) in known
        reached, frontier = set(), {x}
        while frontier:
            node = frontier.pop()
            reached.add(node)
            frontier |= {b for a, b in known if a == node} - reached
        return y in reached

    for pair in pairs:
        x, y = sorted(pair)
        scores.append(1.0 if follows(x, y) else 0.5)
        known.add((x, y))
    return scores


@pytest.mark.parametrize("infers", [True, False])
@pytest.mark.parametrize("kwargs", [{}, {"num_items": 16}, {"num_items": 8, "schedule": "linking"}])
def test_the_observer_against_a_plain_count(kwargs, infers):
    task, episodes = sample(12, **kwargs)
    first, second = (per_trial(task, episodes, name) for name in ("first_item", "second_item"))
    expected = [plain_observer(zip(first[:, b], second[:, b], strict=True), infers) for b in range(12)]
    np.testing.assert_array_equal(task.observer_scores(episodes, infers), np.transpose(expected))


def test_the_oracle_reaches_0_966_on_eight_items():
    task = TransitiveInference(num_items=8)
    episodes = task.sample(np.random.default_rng(0), 6000)
    scores = task.reference_scores(episodes)
    assert scores["chance"] == 0.5
    assert scores["oracle"] == pytest.approx(0.966, abs=0.003)
    assert scores["seen_pairs"] < 0.7
    rest = episodes.select(slice(0, 1500))
    found = task.metrics(rest, rollout(task, task.oracle_policy(), rest))
    assert found["score"] == pytest.approx(task.reference_scores(rest)["oracle"], abs=0.006)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_the_stepped_oracle_is_right_wherever_it_can_know(schedule):
    task, episodes = sample(100, num_items=7, schedule=schedule)
    sure = task.observer_scores(episodes) == 1.0
    response = task.layout.starts + 1
    right = rollout(task, task.oracle_policy(), episodes)[response] == episodes.targets[response]
    assert right[sure].all()
    assert 0.4 < right[~sure].mean() < 0.6


def test_random_answers_score_chance():
    task, episodes, actions = played(2000)
    assert task.metrics(episodes, actions)["score"] == pytest.approx(0.5, abs=0.015)


# ---- figures -----------------------------------------------------------------------------------------


def test_metrics_against_a_plain_count():
    task, episodes, actions = played(50, seed=3, num_items=5)
    found = task.metrics(episodes, actions)
    tally = {}
    for r, b in itertools.product(range(30), range(50)):
        pair = tuple(sorted(int(episodes.step_facts[n][4 * r, b]) for n in ("first_item", "second_item")))
        right = int(actions[4 * r + 1, b] == episodes.targets[4 * r + 1, b])
        keys = [("trial", r)]
        if r >= 20:
            distance = pair[1] - pair[0]
            keys += ["all", ("pair", pair), ("distance", distance), ("adjacent", distance == 1)]
            keys += [("item", item) for item in pair]
        for key in keys:
            tally.setdefault(key, []).append(right)
    mean = {key: np.mean(values) for key, values in tally.items()}
    assert found["score"] == found["accuracy"] == pytest.approx(mean["all"])
    assert found["accuracy_adjacent"] == pytest.approx(mean["adjacent", True])
    assert found["accuracy_nonadjacent"] == pytest.approx(mean["adjacent", False])
    assert found["accuracy_by_distance"] == pytest.approx([mean["distance", d] for d in range(1, 5)])
    assert found["accuracy_by_item"] == pytest.approx([mean["item", i] for i in range(5)])
    assert found["accuracy_by_trial"] == pytest.approx([mean["trial", r] for r in range(30)])
    table = np.array(found["accuracy_by_pair"])
    assert np.isnan(table[np.eye(5, dtype=bool)]).all()
    for i, j in itertools.combinations(range(5), 2):
        assert table[i, j] == table[j, i] == pytest.approx(mean["pair", (i, j)])
    assert found["score"] == pytest.approx(task.episode_scores(episodes, actions).mean())
    assert set(scalars(found)) == {
        "score", "accuracy", "accuracy_adjacent", "accuracy_nonadjacent", "accuracy_train"
    }  # fmt: skip


def test_linking_metrics_part_the_lists():
    task, episodes, actions = played(400, num_items=8, schedule="linking")
    found = task.metrics(episodes, actions)
    right = (actions == episodes.targets)[task.layout.starts[-1] + 1]
    first, second = (episodes.step_facts[name][-1] for name in ("first_item", "second_item"))
    across = (first < 4) != (second < 4)
    assert found["accuracy_across_lists"] == pytest.approx(right[across].mean())
    assert found["accuracy_within_lists"] == pytest.approx(right[~across].mean())
    assert np.shape(found["accuracy_by_pair"]) == (8, 8)


def test_shares_of_nothing_are_nan():
    assert np.isnan(share_by(np.ones(1), np.array([0]), 2)[1])
    assert np.isnan(share_by_pair(np.ones(1), np.array([0]), np.array([1]), 3)[1, 2])


# ---- schedules ---------------------------------------------------------------------------------------


def test_linking_is_as_published():
    """Methods, "list linking": 10 + 10 + 4 trials and a test; time starts anew in each of the three."""
    task, episodes = sample(500, num_items=8, schedule="linking")
    assert episodes.num_steps == 40 + 2 + 40 + 2 + 20
    blank = np.zeros(104, dtype=bool)
    blank[[40, 41, 82, 83]] = True
    assert not episodes.observations[blank].any()
    assert not episodes.resets[blank].any()
    assert (episodes.targets[blank] == -1).all()
    assert (episodes.step_facts["trial"][blank] == -1).all()
    assert (episodes.observations[~blank, :, 31] == 1).all()
    time = np.concatenate((np.arange(40) / 40, np.arange(40) / 40, np.arange(20) / 20))
    np.testing.assert_array_equal(episodes.observations[~blank, 0, 32], time.astype(np.float32))
    first, second = (per_trial(task, episodes, name) for name in ("first_item", "second_item"))
    lower, higher = np.minimum(first, second), np.maximum(first, second)
    for trials, pairs in (
        (slice(0, 10), {(0, 1), (1, 2), (2, 3)}),
        (slice(10, 20), {(4, 5), (5, 6), (6, 7)}),
        (slice(20, 24), {(3, 4)}),
        (slice(24, 25), set(itertools.combinations(range(8), 2))),
    ):
        assert set(zip(lower[trials].ravel(), higher[trials].ravel(), strict=True)) == pairs
        assert 0.4 < (first[trials] < second[trials]).mean() < 0.6
    assert (episodes.mask.sum(0) == 1).all()
    assert (episodes.mask[101] == 1).all()


def test_linking_switches():
    other = sample(8, num_items=8, schedule=("linking", {"second_list_first": True}))[1]
    assert (other.step_facts["first_item"][:40] >= 4).all()
    assert (other.step_facts["first_item"][42:82] < 4).all()
    longer, episodes = sample(8, num_items=10, schedule=("linking", {"blank_steps": 0}))
    assert episodes.num_steps == 100
    assert longer.full_schedule.lists == ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))


def test_sham_and_matched_sham():
    """The released sham shows B, C once, sides fixed; a matched one differs from linking in the pair only."""
    task, episodes = sample(64, num_items=8, schedule="sham")
    assert task.layout.num_trials == 22
    assert (per_trial(task, episodes, "first_item")[20] == 1).all()
    assert (per_trial(task, episodes, "second_item")[20] == 2).all()
    assert episodes.observations[84:, 0, 32].tolist() == (np.arange(8) / 8).tolist()
    matched, linked = SCHEDULES["matched_sham"](8, (4, 5)), SCHEDULES["linking"](8)
    assert matched.blocks[2].pairs == ((4, 5),)
    assert matched.blocks[:2] + matched.blocks[3:] == linked.blocks[:2] + linked.blocks[3:]
    assert (matched.blocks[2].num_trials, matched.blocks[2].sides) == (4, "random")


def test_massed_presentation():
    """As in the released settings: one pair, sides fixed, between train and test; one clock for all."""
    task, episodes = sample(32, num_items=8, schedule="massed")
    assert episodes.num_steps == 200
    assert (per_trial(task, episodes, "first_item")[20:40] == 3).all()
    assert (per_trial(task, episodes, "second_item")[20:40] == 4).all()
    np.testing.assert_array_equal(episodes.observations[:, 0, 32], (np.arange(200) / 200).astype(np.float32))
    balanced = sample(64, num_items=8, schedule=("massed", {"sides": "random", "num_massed": 5}))
    assert 0.3 < (per_trial(*balanced, "first_item")[20:25] == 3).mean() < 0.7
    assert SCHEDULES["massed"](8, num_massed=0) == SCHEDULES["standard"](8)


def test_withheld_pair():
    arguments = {"pair": (3, 4), "never": [(2, 3)]}
    task, episodes = sample(64, num_items=8, schedule=("withheld_pair", arguments))
    lower = np.minimum(per_trial(task, episodes, "first_item"), per_trial(task, episodes, "second_item"))
    assert task.layout.num_trials == 30
    assert set(lower[:18].ravel()) == {0, 1, 4, 5, 6}
    assert (lower[18] == 3).all()
    assert set(lower[19]) == {0, 1, 3, 4, 5, 6}


def test_restricted_test():
    task, episodes = sample(200, num_items=7, schedule="restricted_test")
    first, second = (per_trial(task, episodes, name) for name in ("first_item", "second_item"))
    pairs = np.sort(np.stack((first, second), axis=-1), axis=-1)
    shown = {tuple(p) for p in pairs[20:28].reshape(-1, 2).tolist()}
    assert shown == {(0, 2), (2, 4), (4, 6), (0, 3), (3, 6)}
    assert {tuple(p) for p in pairs[28:].reshape(-1, 2).tolist()} == {(1, 2), (2, 3), (3, 4), (4, 5)}


def test_a_schedule_of_ones_own():
    schedule = Schedule((
        Block(4, ((0, 1), (1, 2)), draw="in_turn", sides="as_listed"),
        Block(3, "non-neighbours", is_test=True, blank_steps=1),
    ))  # fmt: skip
    task, episodes = sample(32, num_items=4, schedule=schedule)
    assert per_trial(task, episodes, "first_item")[:4].T.tolist() == [[0, 1, 0, 1]] * 32
    assert per_trial(task, episodes, "distance")[4:].min() == 2
    assert episodes.num_steps == 29
    np.testing.assert_allclose(episodes.observations[17, 0, 32], 16 / 28)  # blank steps take no time
    again = TransitiveInference(**json.loads(json.dumps(task.describe())))
    assert again.full_schedule == schedule
    np.testing.assert_array_equal(
        again.sample(np.random.default_rng(0), 32).observations, episodes.observations
    )


@pytest.mark.parametrize("schedule", [*SCHEDULES, ["linking", {"link": [1, 5]}], ["sham", {"pair": [4, 5]}]])
def test_every_schedule_can_be_made_by_gymnasium(schedule):
    env = gym.make("TransitiveInference-v0", num_items=8, schedule=schedule)
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    one, other = (made.reset(seed=1)[0] for made in (env, gym.make(spec)))
    np.testing.assert_array_equal(one, other)


def test_splits_have_episodes_of_their_own():
    task = TransitiveInference(num_items=8)
    batches = [
        task.with_split(s).sample(np.random.default_rng(0), 2) for s in ("train", "validation", "test")
    ]
    for one, other in itertools.combinations(batches, 2):
        assert (one.facts["items"] != other.facts["items"]).any()
    assert task.with_split("train") is task


def test_an_episode_does_not_depend_on_its_neighbours():
    for kwargs in ({}, {"schedule": "linking", "num_items": 8}, {"items": "one_hot"}, {"num_items": 12}):
        task = TransitiveInference(**kwargs)
        together = task.sample([np.random.default_rng(s) for s in range(40)], 40)
        for b in (0, 17, 39):
            alone = task.sample(np.random.default_rng(b), 1)
            np.testing.assert_array_equal(alone.observations[:, 0], together.observations[:, b])


# ---- pictures and misuse -----------------------------------------------------------------------------


def test_text_tells_the_trial():
    env = TaskEnv(TransitiveInference(num_items=8, schedule="linking"), render_mode="ansi")
    env.reset(seed=0)
    first, second = (chr(65 + env.episodes.step_facts[n][0, 0]) for n in ("first_item", "second_item"))
    assert f"{first} or {second}?" in env.render()
    env.step(0)
    env.step(1)
    answered = env.render()
    assert "feedback" in answered
    assert f"{first}: {'right, reward +1' if first < second else 'wrong, reward -1'}" in answered
    for _ in range(38):
        env.step(0)
    assert "blank step before trial 11/25" in env.render()


def test_pictures_change_with_the_steps():
    env = TaskEnv(TransitiveInference(num_items=30, cue_size=40, num_train_trials=0), render_mode="rgb_array")
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(40):
        env.step(1)
        frames.append(env.render()) if len(frames) < 4 else None
    frames.append(env.render())
    assert all(frame.shape == (480, 640, 3) for frame in frames)
    assert all((one != other).any() for one, other in itertools.pairwise(frames))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_items": 2}, "num_items=2: expected 3 to 500"),
        ({"num_items": (6, 4)}, "lowest, highest"),
        ({"items": "words"}, "one of .*one_hot"),
        ({"items": "one_hot", "cue_size": 5}, "expected at least 8"),
        ({"steps_per_trial": 2}, "steps_per_trial=2: expected 3 to"),
        ({"split": "dev"}, "expected one of"),
        ({"cue_overlap": 1.5}, "cue_overlap=1.5: expected 0 or more and below 1"),
        ({"num_test_trials": 0}, "num_test_trials=0"),
        ({"schedule": "masses"}, "massed"),
        ({"schedule": "massed", "num_train_trials": 5}, "put them in `schedule`"),
        ({"schedule": "linking", "num_items": 3}, "at least 4"),
        ({"schedule": "linking"}, "one number of items.*num_items=8"),
        ({"schedule": ("massed", {"pair": (7, 8)}), "num_items": 8}, r"pair \(7, 8\).*items 0 to 7"),
        ({"schedule": "restricted_test"}, "raise num_items"),
        ({"schedule": ("withheld_pair", {"trial": 20})}, "1 to 19"),
    ],
)
def test_misuse_is_told(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TransitiveInference(**kwargs)


def test_misuse_of_schedules_is_told():
    with pytest.raises(ValueError, match="without a test"):
        Schedule((Block(3),))
    with pytest.raises(ValueError, match="leaves no pair"):
        Block(1, ((0, 1),), withheld=((1, 0),)).options(4)
    with pytest.raises(ValueError, match="num_trials=0: expected 1 to"):
        Block(0)
    with pytest.raises(ValueError, match="two different items"):
        Block(1, ((2, 2),))
    with pytest.raises(ValueError, match="sides='left'"):
        Block(1, sides="left")
    with pytest.raises(ValueError, match="in at most one list"):
        Schedule((Block(1, is_test=True),), lists=((0, 1), (1, 2)))
