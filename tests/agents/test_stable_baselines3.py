"""Stable-Baselines3 and Gymnasium's own tools on every environment, as their users use them."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from plastic_agents import TaskVecEnv
from plastic_envs import ENVIRONMENTS, make_task
from plastic_envs.views.records import SCALAR_ONLY

IDS = sorted(ENVIRONMENTS)
# Long episodes made short, where nothing but their length is at stake.
SHORT = {
    "PlasticGraph": {"num_steps": 8},
    "StimulusCoding": {"num_steps": 20},
    "SensorimotorAssociation-block": {"trials_per_problem": 2},
}
FAMILIES = [
    "Cognitive-reactgo-v0", "Cognitive-delaygo-vector-v0", "EvidenceIntegration-v0",
    "PlasticGraph-disjoint-v0", "PlasticGraph-explore-v0", "SensorimotorAssociation-v0",
    "SensorimotorAssociation-block-v0",
    "StimulusCoding-estimation-v0", "TransitiveInference-v0",
]  # fmt: skip
RESERVED = {"episode", "final_obs", "final_info", "terminal_observation", "TimeLimit.truncated", "is_success"}


def short(env_id):
    return next((kwargs for start, kwargs in SHORT.items() if env_id.startswith(start)), {})


def small(algorithm):
    """Arguments of an algorithm that learns from a few steps."""
    if algorithm is DQN:
        return {"learning_starts": 4, "buffer_size": 64, "batch_size": 4}
    if algorithm is A2C:
        return {"n_steps": 4}
    return {"n_steps": 8, "batch_size": 8, "n_epochs": 1}


def learned(algorithm, env, steps=16, policy="MlpPolicy"):
    size = {"lstm_hidden_size": 4} if policy == "MlpLstmPolicy" else {}
    return algorithm(
        policy, env, seed=0, device="cpu", policy_kwargs={"net_arch": [4], **size}, **small(algorithm)
    ).learn(steps, log_interval=1)


@pytest.mark.parametrize("env_id", IDS)
def test_no_name_in_info_is_taken(env_id):
    """F1 of the report of faults: the episode's number was called "episode"."""
    env = gym.make(env_id)
    names = set(env.reset(seed=0)[1])
    names |= set(env.step(env.action_space.sample())[-1])
    assert not names & RESERVED
    assert not [name for name in names if name.startswith("_")]
    assert "episode_number" in names


@pytest.mark.parametrize("env_id", IDS)
def test_every_algorithm_learns_on_every_environment(env_id):
    """F1: no algorithm of Stable-Baselines3 could train on any of them."""
    envs = make_vec_env(env_id, n_envs=2, env_kwargs=short(env_id), seed=0)
    for algorithm in (PPO, A2C, DQN):
        if algorithm is not DQN or isinstance(envs.action_space, gym.spaces.Discrete):
            assert learned(algorithm, envs).num_timesteps >= 16


@pytest.mark.parametrize("env_id", FAMILIES)
def test_episode_statistics_are_written_while_it_learns(env_id):
    env = gym.make(env_id, **short(env_id))
    episodes = learned(PPO, env, 400 if env_id.startswith("Sensori") else 200).ep_info_buffer
    assert len(episodes) > 0
    length = make_task(env_id, **short(env_id)).sample(np.random.default_rng(0), 1).num_steps
    assert all(0 < episode["l"] <= length or "Cognitive" in env_id for episode in episodes)


@pytest.mark.parametrize("env_id", ["TransitiveInference-v0", "PlasticGraph-disjoint-v0", "Cognitive-fdgo-v0",
                                    "EvidenceIntegration-v0"])  # fmt: skip
def test_recurrent_ppo_learns(env_id):
    assert learned(RecurrentPPO, gym.make(env_id), 16, "MlpLstmPolicy").num_timesteps >= 16


@pytest.mark.parametrize("env_id", IDS)
def test_episode_statistics_of_gymnasium(env_id):
    """F1: both wrappers of Gymnasium failed on every environment."""
    env = RecordEpisodeStatistics(gym.make(env_id, **short(env_id)))
    envs = RecordVectorStatistics(gym.make_vec(env_id, num_envs=2, **short(env_id)))
    env.reset(seed=0)
    envs.reset(seed=0)
    env.action_space.seed(0)
    total, length, over = 0.0, 0, False
    all_over, infos = np.zeros(2, dtype=bool), {}
    while not (over and "episode" in infos):
        action = env.action_space.sample()
        if not over:
            _, reward, over, _, info = env.step(action)
            total, length = total + reward, length + 1
        if "episode" not in infos:
            _, _, all_over, _, infos = envs.step(np.stack((action, action)))
    assert info["episode"]["l"] == length
    assert info["episode"]["r"] == pytest.approx(total, rel=1e-5)
    np.testing.assert_array_equal(infos["_episode"], all_over)
    assert infos["episode"]["l"][0] == length or not all_over[0]
    assert infos["episode"]["r"][0] == pytest.approx(total, rel=1e-5) or not all_over[0]


@pytest.mark.parametrize("env_id", IDS)
def test_checkers_have_no_complaint(env_id):
    env = gym.make(env_id, **short(env_id)).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A recommendation for policies that start from unit noise; an estimate has its target's scale.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized")
        check_env(env)


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("env_id", FAMILIES)
def test_the_adapter_shows_what_dummy_vec_env_shows(env_id, limit):
    num_envs = 3
    kwargs = {**short(env_id), "max_episode_steps": limit}
    ours = TaskVecEnv(gym.make_vec(env_id, num_envs=num_envs, **kwargs))
    theirs = DummyVecEnv([lambda: gym.make(env_id, **kwargs)] * num_envs)
    ours.action_space.seed(0)
    number = ends = 0
    while number < 20 or ends < 4:
        if number in (0, 10):
            if number == 0:
                assert ours.seed(4) == theirs.seed(4)
            np.testing.assert_array_equal(ours.reset(), theirs.reset())
            assert_infos(ours.reset_infos, theirs.reset_infos)
        actions = np.stack([ours.action_space.sample() for _ in range(num_envs)])
        (*shown, infos), (*expected, their_infos) = ours.step(actions), theirs.step(actions)
        for mine, other in zip(shown, expected, strict=True):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
        assert_infos(infos, their_infos)
        dones = shown[-1]
        ends += dones.sum()
        if dones.any():
            assert_infos(ours.reset_infos, theirs.reset_infos)
            assert all(infos[b]["TimeLimit.truncated"] for b in np.flatnonzero(dones)) or limit is None
        number += 1


def assert_infos(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys() - set(SCALAR_ONLY)
        for name, value in mine.items():
            np.testing.assert_array_equal(value, other[name])


def test_ppo_learns_through_the_adapter():
    envs = VecMonitor(TaskVecEnv(gym.make_vec("EvidenceIntegration-v0", num_envs=8)))
    model = learned(PPO, VecNormalize(envs), 200)
    assert len(model.ep_info_buffer) > 0
    assert {episode["l"] for episode in model.ep_info_buffer} == {20}
    assert evaluate_policy(model, model.env, n_eval_episodes=8)[0] >= 0


def test_attributes_and_pictures_through_the_adapter():
    envs = TaskVecEnv(gym.make_vec("EvidenceIntegration-v0", num_envs=3, render_mode="rgb_array"))
    envs.reset()
    assert envs.get_attr("render_mode", [0, 2]) == ["rgb_array"] * 2
    assert len(envs.get_images()) == len(envs.env_method("render")) == 3
    assert envs.render().ndim == 3
    envs.set_attr("mark", 5, indices=1)
    assert envs.get_attr("mark") == [None, 5, None]
    assert envs.env_is_wrapped(gym.Wrapper) == [False] * 3


def test_options_reach_all_environments_of_the_adapter_alike():
    envs = TaskVecEnv(gym.make_vec("SensorimotorAssociation-v0", num_envs=2))
    envs.set_options({"problem": 7})
    envs.reset()
    assert [info["problem"] for info in envs.reset_infos] == [7, 7]
    envs.set_options([{"problem": 7}, {"problem": 8}])
    with pytest.raises(ValueError, match="share one task"):
        envs.reset()


def test_what_is_no_vector_environment_of_ours_is_refused():
    with pytest.raises(TypeError, match=r"got SyncVectorEnv; make it with gym\.make_vec"):
        TaskVecEnv(gym.make_vec("EvidenceIntegration-v0", num_envs=2, vectorization_mode="sync"))
