import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import make_task, rollout
from plastic_envs.sensorimotor.block import FEEDBACK, trials_to_run
from plastic_envs.sensorimotor.trial import Epochs, draw_images
from plastic_envs.streams import RowStreams
from plastic_envs.views.records import SCALAR_ONLY

TRIAL, BLOCK = "SensorimotorAssociation-v0", "SensorimotorAssociation-block-v0"


def test_published_trial():
    """Goudar et al. 2023, Methods: 2000 steps of 1 ms; 1900 scored, 1500 of them fixation."""
    task = make_task(TRIAL, dt_ms=1)
    episodes = task.sample(np.random.default_rng(0), 3)
    assert episodes.observations.shape == (2000, 3, 11)
    np.testing.assert_array_equal(episodes.mask.sum(0), 1900)
    assert (episodes.mask[1500:1600] == 0).all()
    assert (episodes.targets[:1500] == 2).all()
    np.testing.assert_array_equal(episodes.targets[1500:], np.tile(episodes.facts["image"], (500, 1)))
    fixation = episodes.observations[:, :, 10]
    np.testing.assert_allclose(fixation[:1500], 0.316228, atol=1e-6)
    assert not fixation[1500:].any()
    shown = task.images[episodes.facts["image"]].astype(np.float32)
    np.testing.assert_array_equal(episodes.observations[:500, :, :10], np.tile(shown, (500, 1, 1)))
    assert not episodes.observations[500:, :, :10].any()
    assert task.chance == pytest.approx(1 - 400 / 1900 / 2)


@pytest.mark.parametrize("dt_ms", [1, 2, 5, 10, 20, 50, 100])
def test_epochs_are_kept_in_ms(dt_ms):
    task = make_task(TRIAL, dt_ms=dt_ms)
    counts = np.bincount(task.trial_periods) * dt_ms
    np.testing.assert_array_equal(counts, [500, 1000, 100, 400])
    assert task.step_time == pytest.approx(dt_ms / 100)


def test_images_are_orthonormal_and_alike_across_problems_by_chance_only():
    """Two random unit vectors in 10 dimensions have a mean |cos| of Gamma(5) / (sqrt(pi) Gamma(5.5))."""
    images = draw_images(RowStreams(np.arange(4000, dtype=np.uint64)), 2, 10)
    np.testing.assert_allclose(
        images @ images.swapaxes(1, 2), np.broadcast_to(np.eye(2), (4000, 2, 2)), atol=1e-12
    )
    overlap = np.abs((images[1:, 0] * images[:-1, 0]).sum(-1)).mean()
    assert overlap == pytest.approx(0.2587, abs=0.01)
    assert np.abs(images.mean((0, 1))).max() < 0.02


def test_problems_are_numbered():
    task = make_task(TRIAL, problem=3, problem_seed=5)
    again, other = make_task(TRIAL).with_problem(3, seed=5), make_task(TRIAL).with_problem(3)
    np.testing.assert_array_equal(task.images, again.images)
    assert not np.allclose(task.images, other.images)
    assert not np.allclose(task.images, task.with_problem(4).images)
    with pytest.raises(LookupError, match="no numbered problems"):
        make_task("PlasticGraph-disjoint-v0").with_problem(1)


def test_a_new_problem_comes_on_request_only_and_a_seed_goes_back():
    env = gym.make(TRIAL)
    seen = []
    for options in (None, None, {"new_problem": True}, None, {"problem": 7}, {"new_problem": False}):
        _, info = env.reset(seed=0 if not seen else None, options=options)
        seen.append((info["problem"], info["episode_number"]))
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), (7, 0), (7, 1)]
    assert env.reset(seed=0)[1]["problem"] == 0
    with pytest.raises(ValueError, match=r"unknown reset options \['new'\]"):
        env.reset(options={"new": True})


def test_vector_and_scalar_agree_over_changes_of_the_problem():
    envs = gym.make_vec(TRIAL, num_envs=3, dt_ms=100)
    scalars = [gym.make(TRIAL, dt_ms=100) for _ in range(3)]
    for number, options in enumerate((None, None, {"new_problem": True}, None, {"problem": 4}, None)):
        seed = 5 if number == 0 else None
        observations, infos = envs.reset(seed=seed, options=options)
        for b, env in enumerate(scalars):
            seen, info = env.reset(seed=None if seed is None else seed + b, options=options)
            np.testing.assert_array_equal(seen, observations[b])
            assert all(infos[name][b] == info[name] for name in info.keys() - set(SCALAR_ONLY))


def test_chance_is_what_a_guess_scores():
    task = make_task(TRIAL, num_images=4)
    episodes = task.sample(np.random.default_rng(0), 4000)
    guesses = np.random.default_rng(1).integers(4, size=4000)
    actions = np.where(episodes.periods <= 1, task.fixation, guesses)
    assert task.metrics(episodes, actions)["score"] == pytest.approx(task.chance, abs=0.005)
    assert task.reference_scores(episodes)["oracle"] == 1.0


def test_feedback_comes_at_the_end_of_a_trial():
    task = make_task(BLOCK, trials_per_problem=2)
    env = gym.make(BLOCK, trials_per_problem=2)
    env.reset(seed=0)
    episodes, rewards = env.unwrapped.episodes, []
    steps = len(task.trial_periods)
    observations = []
    for t in range(2 * steps):
        right = episodes.targets[t, 0]
        # right but for the last step of the first trial, and the grace periods; only the last steps matter
        wrong = t == steps - 1 or task.trial_periods[t % steps] == 2
        action = (right + 1) % 2 if wrong else right
        seen, reward, over, _, _ = env.step(action)
        rewards.append(reward)
        observations.append(seen)
    assert over
    assert np.flatnonzero(rewards).tolist() == [steps - 1, 2 * steps - 1]
    assert (rewards[steps - 1], rewards[-1]) == (-1.0, 1.0)
    assert observations[steps - 1][11] == -1.0
    assert observations[0][12:].tolist() == [0.0, 0.0, 1.0]
    assert not any(o[11] for o in observations[steps:])


def test_block_oracle_errs_at_first_sight_only():
    """Of two images it knows both after one trial: 1 - 0.5 / trials."""
    task = make_task(BLOCK, problems_per_episode=2)
    episodes = task.sample(np.random.default_rng(0), 1000)
    actions = rollout(task, task.oracle_policy(), episodes)
    metrics = task.metrics(episodes, actions)
    assert metrics["accuracy_by_trial"][0] == pytest.approx(0.5, abs=0.04)
    assert metrics["accuracy_by_trial"][1:] == [1.0] * 11
    assert metrics["score"] == pytest.approx(1 - 0.5 / 12, abs=0.004)
    assert metrics["problems_learned"] == 1.0
    assert metrics["fixation"] == 1.0
    np.testing.assert_array_equal(
        task.episode_scores(episodes, actions), task.outcomes(episodes, actions).mean(0)
    )


def test_feedback_shows_the_image_beside_its_outcome():
    task = make_task(BLOCK, trials_per_problem=3, feedback_ms=200, image_norm=4.0)
    episodes = task.sample(np.random.default_rng(0), 4)
    actions = rollout(task, task.oracle_policy(), episodes)
    assert len(actions) == 3 * 22
    decided = task.outcome_step
    assert decided == 19
    np.testing.assert_array_equal(np.flatnonzero(episodes.mask[:, 0]), decided + 22 * np.arange(3))
    image, fixation = (episodes.observations[:, :, task.field(name).slice] for name in ("image", "fixation"))
    for trial in range(3):
        told = slice(22 * trial + 20, 22 * trial + 22)
        np.testing.assert_array_equal(image[told], np.stack([image[22 * trial]] * 2))
        assert (fixation[told] > 0).all()
        assert (episodes.targets[told] == task.fixation).all()
    np.testing.assert_allclose(np.linalg.norm(image[0], axis=-1), 4.0, rtol=1e-6)
    assert all(task.observation_space.contains(o) for o in episodes.observations[:, 0])
    reward = episodes.observations[:, :, task.field("reward").start]
    assert np.flatnonzero(reward[:, 0]).tolist() == [20, 42, 64]
    right = task.outcomes(episodes, actions)
    np.testing.assert_array_equal(reward[20::22], np.where(right, 1.0, -1.0))
    assert right[1:].all()
    assert (episodes.periods[20:22] == FEEDBACK).all()


def test_fixation_may_weigh_less_in_the_loss():
    task = make_task(BLOCK, fixation_weight=0.25)
    episodes = task.sample(np.random.default_rng(0), 2)
    weights = task.loss_weights(episodes)[:20, 0]
    np.testing.assert_array_equal(weights, [0.25] * 15 + [0.0] + [1.0] * 4)


def test_splits_of_blocks_share_no_images():
    task = make_task(BLOCK)
    train, test = (
        task.with_split(s).sample(np.random.default_rng(0), 2).facts["images"] for s in ("train", "test")
    )
    assert not np.isclose(train, test).any()


def test_trials_to_run():
    right = np.array([[0, 1, 1, 1, 0, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0, 1]], dtype=bool).T
    np.testing.assert_array_equal(trials_to_run(right, 3), [1, 0, np.nan])
    assert np.isnan(trials_to_run(right[:2], 3)).all()


def test_pictures_show_trial_and_block():
    block = {"problems_per_episode": 2}
    for env_id, trials, kwargs in (
        (TRIAL, 1, {}), (BLOCK, 24, block), (BLOCK, 24, {**block, "feedback_ms": 100, "image_norm": 6})
    ):  # fmt: skip
        task = make_task(env_id, **kwargs)
        episodes = task.sample(np.random.default_rng(0), 1)
        actions = rollout(task, task.oracle_policy(), episodes)
        for step in (0, len(actions) // 2, len(actions)):
            frame = task.render_frame(episodes, 0, step, actions[:step, 0])
            text = task.render_text(episodes, 0, step, actions[:step, 0])
            assert frame.dtype == np.uint8
            assert text.count("\n") == 3
        marks = text.splitlines()[-1].removeprefix("trials: ")
        assert marks.count("+") + marks.count("-") == trials
        assert marks.count("|") == trials // 24


def test_clear_errors():
    with pytest.raises(ValueError, match=r"dt_ms=30.*divides all of them"):
        make_task(TRIAL, dt_ms=30)
    with pytest.raises(ValueError, match="num_images=1: expected 2 to"):
        make_task(TRIAL, num_images=1)
    with pytest.raises(ValueError, match="at least as many dimensions as images"):
        make_task(BLOCK, num_images=11)
    with pytest.raises(ValueError, match="problem=-1"):
        make_task(TRIAL, problem=-1)
    with pytest.raises(ValueError, match="trials_per_problem=0"):
        make_task(BLOCK, trials_per_problem=0)
    with pytest.raises(ValueError, match=r"feedback_ms=150.*whole number of steps"):
        make_task(BLOCK, feedback_ms=150)
    with pytest.raises(ValueError, match="image_norm=0"):
        make_task(BLOCK, image_norm=0)
    with pytest.raises(ValueError, match="fixation_weight=-1"):
        make_task(BLOCK, fixation_weight=-1)
    with pytest.raises(ValueError, match="split='tets'"):
        make_task(BLOCK, split="tets")
    assert make_task(TRIAL, epochs=Epochs(200, 0 + 200, 0, 200)).trial_periods.max() == 3
