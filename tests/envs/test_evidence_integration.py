import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import make_task, rollout
from plastic_envs.evidence.task import EvidenceIntegration

ENV = "EvidenceIntegration-v0"


def test_published_sequences():
    """Section 4.1 of the mpn specification: 20 binary tokens of 50 units, of expected length 1; no ties."""
    task = make_task(ENV)
    episodes = task.sample(np.random.default_rng(0), 500)
    assert episodes.observations.shape == (20, 500, 50)
    assert (episodes.targets[:-1] == -1).all()
    assert (episodes.mask[:-1] == 0).all()
    tokens = episodes.step_facts["token"]
    assert (tokens[-1] == 5).all()
    counts = np.stack([(tokens == k).sum(0) for k in range(3)], axis=1)
    np.testing.assert_array_equal(counts, episodes.facts["counts"])
    ordered = np.sort(counts, axis=1)
    assert (ordered[:, 2] > ordered[:, 1]).all()
    np.testing.assert_array_equal(counts.argmax(1), episodes.targets[-1])
    assert set(np.unique(task.tokens)) == {0.0, np.float32(0.2)}
    lengths = [(make_task(ENV, token_seed=s).tokens ** 2).sum(1).mean() for s in range(40)]
    assert np.mean(lengths) == pytest.approx(1.0, abs=0.03)
    assert len(np.unique(task.tokens, axis=0)) == 6


@pytest.mark.parametrize("num_classes", [2, 3])
def test_chance_and_oracle(num_classes):
    task = make_task(ENV, num_classes=num_classes)
    episodes = task.sample(np.random.default_rng(0), 3000)
    assert task.chance == pytest.approx(1 / num_classes)
    share = np.bincount(episodes.facts["label"], minlength=num_classes) / 3000
    np.testing.assert_allclose(share, task.chance, atol=0.03)
    found = task.metrics(episodes, rollout(task, task.oracle_policy(), episodes))
    assert found["score"] == 1.0
    assert found["accuracy_by_margin"] == [1.0] * 5
    guesses = np.random.default_rng(1).integers(num_classes, size=episodes.targets.shape)
    assert task.metrics(episodes, guesses)["score"] == pytest.approx(task.chance, abs=0.03)


def test_counts_are_uniform_and_order_is_random():
    task = EvidenceIntegration(num_classes=2, num_tokens=5)
    episodes = task.sample(np.random.default_rng(0), 12_000)
    _, times = np.unique(episodes.facts["counts"], axis=0, return_counts=True)
    assert len(times) == 12  # of 15 ways to fill 4 places, without 0-0, 1-1 and 2-2
    np.testing.assert_allclose(times, 1000, atol=120)
    first_half, second_half = (episodes.step_facts["token"][s] == 0 for s in (slice(0, 2), slice(2, 4)))
    assert first_half.mean() == pytest.approx(second_half.mean(), abs=0.02)


def test_delay_tokens():
    task = make_task(ENV, num_delay=7)
    episodes = task.sample(np.random.default_rng(0), 10)
    assert episodes.num_steps == 27
    assert (episodes.step_facts["token"][19:26] == 4).all()
    assert (episodes.periods[:, 0] == [0] * 19 + [1] * 7 + [2]).all()
    np.testing.assert_array_equal(episodes.observations[19, 0], task.tokens[4])
    assert task.reference_scores(episodes)["oracle"] == 1.0


def test_tokens_belong_to_the_task():
    a, b = make_task(ENV), make_task(ENV, token_seed=1)
    assert not np.array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.tokens, EvidenceIntegration(**a.describe()).tokens)
    first, again = (a.sample(np.random.default_rng(4), 1).facts["counts"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_the_reward_is_for_the_last_answer():
    env = gym.make(ENV)
    env.reset(seed=0)
    label = int(env.unwrapped.episodes.facts["label"][0])
    rewards = []
    over = False
    while not over:
        _, reward, over, _, _ = env.step(label)
        rewards.append(reward)
    assert rewards == [0.0] * 19 + [1.0]
    text = env.unwrapped.task.render_text(env.unwrapped.episodes, 0, 20, np.full(20, label))
    assert "right" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 4}, "num_classes=4: expected 2 to 3"),
        ({"num_tokens": 1}, "num_tokens=1: expected 2 to"),
        ({"token_size": 4}, "token_size=4: expected 8 to"),
        ({"num_tokens": 400}, "at most"),
    ],
)
def test_mistakes_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_task(ENV, **arguments)
