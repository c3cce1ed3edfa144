"""The drifting stimulus: its law, its inputs, its targets, its scores, and one stream whichever way it is
read."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import TaskVectorEnv, make_task, rollout
from plastic_envs.stimulus_coding.law import wrapped
from plastic_envs.stimulus_coding.task import TILES, StimulusCoding, estimate, label, tuned_inputs
from plastic_envs.streams import RowStreams

IDS = ("StimulusCoding-estimation-v0", "StimulusCoding-classification-v0")


def stationary_cosine(kappa: float) -> float:
    """I_1(kappa) / I_0(kappa), by quadrature."""
    grid = np.linspace(-np.pi, np.pi, 2000, endpoint=False)
    weights = np.exp(kappa * np.cos(grid))
    return float((np.cos(grid) * weights).sum() / weights.sum())


# ---- the law ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drift", "kappa_end", "cosine"), [("published", 1.5, 0.596), ("exact", 0.75, 0.351)]
)
def test_stationary_law_of_the_drift(drift, kappa_end, cosine):
    """A stationary von Mises law has the concentration 2 pull / speed^2: mean cosine 0.596 and 0.351.

    Simulated fast (speed 1, where a relaxation takes 2 time units), as only the ratio of pull and noise
    matters.
    """
    task = StimulusCoding(prior_drift=drift, speed=1.0, dt=0.02, num_steps=2500)
    assert stationary_cosine(kappa_end) == pytest.approx(cosine, abs=5e-4)
    assert task.law.stationary_kappa == pytest.approx(kappa_end)
    assert task.law.moments(1e9)[0] == pytest.approx(cosine, abs=5e-4)
    theta = task.sample(np.random.default_rng(0), 300).step_facts["theta"]
    late = np.cos(theta[500:]).mean(0)  # 10 time units on; one mean for each of 300 independent episodes
    margin = 4 * late.std() / math.sqrt(len(late))
    assert margin < 0.06
    assert abs(late.mean() - cosine) < margin + 0.005


def test_the_published_prior_sharpens_over_a_trial():
    """0.351 at the start, about 0.41, 0.53, 0.58 at times 100, 500, 1000 (simulated in the source's
    terms)."""
    law = StimulusCoding().law
    for time, cosine in ((0.0, 0.351), (100.0, 0.41), (500.0, 0.53), (1000.0, 0.58)):
        assert law.moments(time)[0] == pytest.approx(cosine, abs=0.008)
    theta = StimulusCoding(num_steps=1).sample(np.random.default_rng(0), 20000).step_facts["theta"]
    assert np.cos(theta).mean() == pytest.approx(0.351, abs=4 * 0.7 / math.sqrt(20000))


def test_density_is_one_and_is_met():
    law = StimulusCoding(mu=1.0, num_steps=2000, speed=1.0).law
    grid = np.linspace(-np.pi, np.pi, 400, endpoint=False)
    density = law.density(grid)
    assert density.mean() * 2 * np.pi == pytest.approx(1.0, abs=1e-9)
    assert abs(grid[density.argmax()] - 1.0) < 0.02
    upper = density[(grid >= 0)].mean() * np.pi
    assert law.share_of_upper_half() == pytest.approx(upper, abs=5e-3)
    theta = StimulusCoding(mu=1.0, num_steps=2000, speed=1.0).sample(np.random.default_rng(1), 100)
    share = (theta.step_facts["theta"] >= 0).mean(0)
    assert share.mean() == pytest.approx(law.share_of_upper_half(), abs=4 * share.std() / 10)


def test_a_step_is_the_euler_step_of_the_source():
    """theta <- theta - kappa sin(theta - mu) s^2 dt + s sqrt(dt) xi."""
    task = StimulusCoding(num_steps=50, mu=0.3)
    theta = np.unwrap(task.sample(np.random.default_rng(0), 3).step_facts["theta"], axis=0)
    kicks = np.diff(theta, axis=0) + 0.75 * np.sin(theta[:-1] - 0.3) * 0.06**2 * 0.01
    assert 0.7 < kicks.std() / (0.06 * 0.1) < 1.3
    still = StimulusCoding(num_steps=50, mu=0.3, speed=1e-12).sample(np.random.default_rng(0), 3)
    assert np.ptp(still.step_facts["theta"], axis=0).max() < 1e-9


def test_rotating_the_prior_rotates_the_stimulus():
    tasks = (StimulusCoding(num_steps=300, mu=mu) for mu in (0.0, np.pi))
    one, other = (task.sample(np.random.default_rng(4), 5) for task in tasks)
    turned = wrapped(one.step_facts["theta"] + np.pi)
    np.testing.assert_allclose(np.cos(turned - other.step_facts["theta"]), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.roll(one.observations, 6, axis=-1), other.observations, atol=1e-6)


# ---- inputs and targets -------------------------------------------------------------------------


def test_tiles_are_exact():
    assert TILES[6] == 0.0
    assert TILES[0] == -np.pi
    assert np.pi not in TILES
    np.testing.assert_allclose(np.diff(TILES), np.pi / 6)
    np.testing.assert_array_equal(label(TILES), [1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])


def test_angles_are_wrapped_into_the_half_open_circle():
    angles = wrapped(np.array([0.0, np.pi, -np.pi, 3 * np.pi, 7.0, -7.0, np.nextafter(np.pi, 4)]))
    assert (angles > -np.pi).all()
    assert (angles <= np.pi).all()
    assert angles[1] == np.pi
    np.testing.assert_allclose(np.cos(angles[4:6]), np.cos(7.0))


def test_inputs_show_the_angle_exactly():
    theta = np.linspace(-np.pi, np.pi, 101)
    inputs = tuned_inputs(theta)
    assert inputs.min() == 0.0
    assert inputs.max() <= 1.0
    np.testing.assert_allclose(estimate(inputs), np.stack((np.cos(theta), np.sin(theta)), -1), atol=1e-12)


@pytest.mark.parametrize("env_id", IDS)
def test_targets_follow_from_the_angle(env_id):
    task = make_task(env_id, num_steps=40)
    for split, tile_is_held in (("train", False), ("test", True)):
        episodes = task.with_split(split).sample(np.random.default_rng(2), 20)
        theta = episodes.step_facts["theta"]
        expected = task.target(theta)
        assert episodes.targets.shape == (40, 20, expected.shape[-1])
        np.testing.assert_allclose(episodes.targets, expected, atol=1e-6)
        assert ((episodes.step_facts["tile"] >= 0) == tile_is_held).all()
        assert (episodes.periods == int(tile_is_held)).all()


def test_held_angles():
    """Each tile is equally likely, is held for 200 time units, then drawn anew: five in a published trial."""
    published = StimulusCoding(split="test")
    assert published.hold_steps * published.dt == 200
    assert published.num_steps == 5 * published.hold_steps
    task = StimulusCoding(split="test", num_steps=50, hold_steps=10)
    episodes = task.sample(np.random.default_rng(0), 2000)
    tile = episodes.step_facts["tile"]
    assert (tile.reshape(5, 10, -1) == tile[::10, None]).all()
    np.testing.assert_array_equal(TILES[tile], episodes.step_facts["theta"])
    share = np.bincount(tile[::10].ravel(), minlength=12) / 10_000
    assert abs(share - 1 / 12).max() < 4 * math.sqrt(1 / 12 / 10_000)
    np.testing.assert_array_equal(episodes.step_facts["since"][:, 0], np.arange(50) % 10)
    other = task.with_split("validation").sample(np.random.default_rng(0), 2000).step_facts["tile"]
    assert (other[::10] == tile[::10]).mean() < 0.15  # a seed does not hold the same angles in both


def test_first_steps_can_be_left_out_of_the_score():
    task = StimulusCoding(split="test", num_steps=100, hold_steps=50, settle_steps=20)
    episodes = task.sample(np.random.default_rng(0), 1)
    assert episodes.mask[:, 0].tolist() == ([0.0] * 20 + [1.0] * 30) * 2
    rewards = task.reward(episodes, np.zeros(1, int), np.zeros(1, int), np.zeros((1, 2)))
    assert rewards[0] == pytest.approx(-1.0)  # given all the same


# ---- one stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_stepping_blocks_and_the_vector_are_one_stream(split, noise):
    kwargs = {"num_steps": 2300, "hold_steps": 700, "split": split, "input_noise": noise}
    task = make_task(IDS[0], **kwargs)
    whole = task.sample(np.random.default_rng(9), 3)
    for steps in (1, 999, 5000):
        if steps == 1 and (noise or split == "test"):
            continue  # once is enough for the slowest
        blocks = list(task.blocks(np.random.default_rng(9), 3, steps))
        assert [b.num_steps for b in blocks][:-1] == [min(steps, 2300)] * (len(blocks) - 1)
        for name in ("observations", "targets", "mask", "periods"):
            joined = np.concatenate([getattr(b, name) for b in blocks])
            np.testing.assert_array_equal(joined, getattr(whole, name))
        for name in whole.step_facts:
            joined = np.concatenate([b.step_facts[name] for b in blocks])
            np.testing.assert_array_equal(joined, whole.step_facts[name])
    env, envs = gym.make(IDS[0], **kwargs), gym.make_vec(IDS[0], 2, **kwargs)
    first = task.sample(np.random.default_rng(9), 1)
    seen, info = env.reset(seed=9)
    seen_too, info_too = envs.reset(seed=8)
    action = np.zeros(2, np.float32)
    for t in range(40):
        np.testing.assert_array_equal(seen, first.observations[t, 0])
        np.testing.assert_array_equal(seen_too[1], seen)
        assert info["theta"] == first.step_facts["theta"][t, 0] == info_too["theta"][1]
        np.testing.assert_array_equal(info["target"], first.targets[t, 0])
        seen, reward, *_, info = env.step(action)
        seen_too, rewards, *_, info_too = envs.step(np.stack((action, action)))
        assert reward == rewards[1]


def test_input_noise_is_added_to_clean_inputs():
    task = make_task(IDS[0], num_steps=500, input_noise=0.3)
    episodes = task.sample(np.random.default_rng(0), 2)
    clean = episodes.step_facts["clean_observations"]
    np.testing.assert_allclose(clean, tuned_inputs(episodes.step_facts["theta"]), atol=1e-6)
    assert (episodes.observations - clean).std() == pytest.approx(0.3, abs=0.02)


def test_long_episodes_do_not_fill_the_memory():
    """Side by side, only what is being played is held when episodes are large."""
    envs = TaskVectorEnv(make_task(IDS[0], num_steps=100_000), 16)
    envs.reset(seed=0)
    assert envs._reel._records is not None
    assert envs._reel._records.episodes.batch_size == 16
    alone = TaskVectorEnv(make_task(IDS[0], num_steps=100_000), 1)
    alone.reset(seed=0)
    assert alone._reel._records is not None
    assert alone._reel._records.episodes.observations.nbytes < 64 * 2**20


# ---- scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_oracle_and_chance(env_id, split):
    """The linear readout makes no error; no constant answer beats chance by more than sampling."""
    task = make_task(env_id, num_steps=20, speed=1.5).with_split(split)
    episodes = task.sample(np.random.default_rng(0), 2500)
    part = episodes.select(slice(0, 50))
    oracle = task.metrics(part, rollout(task, task.oracle_policy(), part))["score"]
    best = 0.0 if task.readout == "estimation" else math.log1p(-1e-4)
    assert oracle == pytest.approx(best, abs=1e-6)
    constant = episodes.targets.mean((0, 1), dtype=np.float64)
    answers = np.broadcast_to(constant, episodes.targets.shape)
    scores = task.episode_scores(episodes, answers)
    assert abs(scores.mean() - task.chance) < 4 * scores.std() / math.sqrt(len(scores)) + 0.003
    for answer in (constant * 0.8, constant * 0.8 + 0.05):
        answers = np.broadcast_to(answer, episodes.targets.shape)
        assert task.metrics(episodes, answers)["score"] < scores.mean()


def test_published_chance():
    assert make_task(IDS[0]).with_split("test").chance == -1.0
    seven = 7 / 12
    entropy = seven * math.log(seven) + (1 - seven) * math.log(1 - seven)
    assert make_task(IDS[1]).with_split("test").chance == pytest.approx(entropy)
    assert make_task(IDS[1]).chance == pytest.approx(-math.log(2))


def test_rewards_by_hand():
    estimation = StimulusCoding("estimation", split="test", num_steps=1)
    episodes = estimation.generate(RowStreams(np.arange(1, dtype=np.uint64)))
    episodes.targets[0, 0] = (1.0, 0.0)
    at = np.zeros(1, int)
    assert estimation.reward(episodes, at, at, np.array([[0.5, 0.5]]))[0] == pytest.approx(-0.5)
    classes = StimulusCoding("classification", split="test", num_steps=1)
    episodes = classes.generate(RowStreams(np.arange(1, dtype=np.uint64)))
    cases = ((1, 0.8, math.log(0.8)), (0, 0.8, math.log(0.2)), (1, 0.0, math.log(1e-4)))
    for target, answer, reward in cases:
        episodes.targets[0, 0] = target
        assert classes.reward(episodes, at, at, np.array([[answer]]))[0] == pytest.approx(reward, rel=1e-5)
    assert classes.metrics(episodes, np.full((1, 1, 1), 0.9))["accuracy"] == 1.0


def test_arguments_are_checked():
    for kwargs, message in (
        ({"readout": "guess"}, "readout='guess'.*estimation"),
        ({"split": "dev"}, "split='dev'"),
        ({"prior_drift": "slow"}, "prior_drift='slow'.*published"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"num_steps": 10, "settle_steps": 10}, "settle_steps=10"),
        ({"dt": 0.0}, "dt=0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            StimulusCoding(**kwargs)
    with pytest.raises(ValueError, match="steps=0"):
        next(StimulusCoding().blocks(np.random.default_rng(0), 1, 0))
