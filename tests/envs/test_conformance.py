"""Every registered environment keeps the same promises. A new id is tested by being in the table."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence

from plastic_envs import ENVIRONMENTS, Episodes, Task, TaskEnv, TaskVectorEnv, make_task
from plastic_envs.views.records import SCALAR_ONLY

IDS = sorted(ENVIRONMENTS)
# One id of those that differ only in which task of a battery they play, for the tests that take long.
KINDS = sorted(
    {repr(sorted((k, v) for k, v in ENVIRONMENTS[i].items() if k != "tasks")): i for i in IDS}.values()
)


def whole_episode(env, seed, actions_seed=0):
    """Everything an episode with random actions shows."""
    rng = np.random.default_rng(actions_seed)
    seen = [env.reset(seed=seed)]
    over = False
    while not over:
        env.action_space.seed(int(rng.integers(2**31)))
        seen.append(env.step(env.action_space.sample()))
        over = seen[-1][2] or seen[-1][3]
    return seen


@pytest.mark.parametrize("env_id", KINDS)
def test_gymnasium_checker_has_no_complaint(env_id):
    env = gym.make(env_id, disable_env_checker=True).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A recommendation for policies that start from unit noise; an estimate has its target's scale.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        check_env(env)


@pytest.mark.parametrize("env_id", IDS)
def test_a_seed_replays_the_whole_episode(env_id):
    env, other = gym.make(env_id), gym.make(env_id)
    first, again, fresh = whole_episode(env, 3), whole_episode(env, 3), whole_episode(other, 3)
    assert data_equivalence(first, again)
    assert data_equivalence(first, fresh)
    # Where an episode is one of a few (trials with one of two images), two seeds may well give the same.
    assert not all(data_equivalence(first, whole_episode(env, seed)) for seed in range(4, 10))


@pytest.mark.parametrize("env_id", IDS)
def test_spaces_contain_what_is_shown_and_infos_share_no_memory(env_id):
    env = gym.make(env_id)
    seen = whole_episode(env, 1)
    for step in seen:
        assert step[0] in env.observation_space
    arrays = [v for step in seen for v in (step[0], *step[-1].values()) if isinstance(v, np.ndarray)]
    episodes = env.unwrapped.episodes
    assert not any(np.shares_memory(a, episodes.observations) for a in arrays)
    envs = gym.make_vec(env_id, num_envs=3)
    observations, infos = envs.reset(seed=0)
    assert observations in envs.observation_space
    kept = [observations.copy(), {k: v.copy() for k, v in infos.items()}]
    later, *_, later_infos = envs.step(envs.action_space.sample())
    assert later in envs.observation_space
    assert data_equivalence([observations, infos], kept)
    assert not np.shares_memory(observations, later)
    for name, value in infos.items():
        assert all(not np.shares_memory(value, other) for other in later_infos.values())
        assert all(not np.shares_memory(value, other) for key, other in infos.items() if key != name)


@pytest.mark.parametrize("env_id", KINDS)
def test_row_b_of_the_vector_is_the_environment_seeded_with_s_plus_b(env_id):
    num_envs, seed = 3, 11
    envs = gym.make_vec(env_id, num_envs=num_envs)
    assert isinstance(envs.unwrapped, TaskVectorEnv)
    scalars = [gym.make(env_id) for _ in range(num_envs)]
    observations, infos = envs.reset(seed=seed)
    over = np.zeros(num_envs, dtype=bool)
    for b, env in enumerate(scalars):
        first, info = env.reset(seed=seed + b)
        np.testing.assert_array_equal(first, observations[b])
    envs.action_space.seed(0)
    episodes_ended = np.zeros(num_envs, dtype=int)
    while episodes_ended.min() < 1 or not over.any():
        actions = envs.action_space.sample()
        started = over
        observations, rewards, over, truncated, infos = envs.step(actions)
        assert not truncated.any()
        for b, env in enumerate(scalars):
            if started[b]:
                (seen, info), reward, terminated = env.reset(), 0.0, False
            else:
                seen, reward, terminated, _, info = env.step(actions[b])
            np.testing.assert_array_equal(seen, observations[b])
            assert (reward, terminated) == (rewards[b], over[b])
            for name in info.keys() - set(SCALAR_ONLY):
                np.testing.assert_array_equal(info[name], infos[name][b])
                assert infos[f"_{name}"][b]
        episodes_ended += started


@pytest.mark.parametrize("env_id", IDS)
def test_pickled_environments_go_on_as_they_were(env_id):
    env = gym.make(env_id)
    env.reset(seed=2)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(5):
        action = env.action_space.sample()
        assert data_equivalence(env.step(action), twin.step(action))
    envs = gym.make_vec(env_id, num_envs=2)
    envs.reset(seed=2)
    twins = pickle.loads(pickle.dumps(envs))
    for _ in range(5):
        actions = envs.action_space.sample()
        assert data_equivalence(envs.step(actions), twins.step(actions))


@pytest.mark.parametrize("env_id", IDS)
def test_the_spec_survives_json(env_id):
    env = gym.make(env_id)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert data_equivalence(env.reset(seed=0), again.reset(seed=0))
    assert again.spec == env.spec


@pytest.mark.parametrize(("mode", "env_id"), [("rgb_array", i) for i in KINDS] + [("ansi", i) for i in IDS])
def test_every_render_mode(env_id, mode):
    env = gym.make(env_id, render_mode=mode)
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.render()
    env.reset(seed=0)
    for _ in range(3):
        frame = env.render()
        if mode == "ansi":
            assert isinstance(frame, str)
            assert frame.strip()
        else:
            assert frame.dtype == np.uint8
            assert frame.ndim == 3
            assert frame.shape[2] == 3
            assert frame.std() > 0
        env.step(env.action_space.sample())
    envs = gym.make_vec(env_id, num_envs=2, render_mode=mode)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    assert len(envs.render()) == 2


@pytest.mark.parametrize("env_id", IDS)
def test_a_task_says_what_it_is(env_id):
    task = make_task(env_id)
    covered = sorted(i for f in task.fields for i in range(f.start, f.start + f.size))
    assert covered == list(range(task.observation_space.shape[0]))
    episodes = task.sample(np.random.default_rng(0), 2)
    assert np.isfinite(task.chance)
    assert task.reference_scores(episodes)["oracle"] > task.chance
    assert set(task.info_facts) <= set(episodes.step_facts)
    assert (episodes.weights.sum(0) > 0).all()
    if task.association is not None:
        for name in (*task.association.cue, task.association.outcome):
            assert task.field(name).vocabulary is not None


class Countdown(Task):
    """Episodes of 1 to 6 steps: environments side by side do not stay in step."""

    observation_space = gym.spaces.Box(0.0, 10.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(7)
    chance = 1 / 7
    info_facts = ("left",)

    def generate(self, streams):
        lengths = 1 + streams.integers(6)
        left = (lengths - np.arange(lengths.max())[:, None]).clip(0)
        code = np.broadcast_to(10 * streams.uniform(), left.shape)
        live = left > 0
        return Episodes(
            observations=(np.stack((left, code), -1) * live[..., None]).astype(np.float32),
            targets=np.where(live, left, -1),
            weights=live.astype(np.float32),
            periods=np.zeros(left.shape, np.int8),
            resets=np.zeros(left.shape, bool),
            lengths=lengths,
            step_facts={"left": left},
        )


@pytest.mark.parametrize("num_envs", [1, 4, 300])
def test_environments_out_of_step(num_envs):
    task = Countdown()
    envs, scalars = TaskVectorEnv(task, num_envs), [TaskEnv(task) for _ in range(num_envs)]
    for seed in (5, 100):
        observations, _ = envs.reset(seed=seed)
        for b, env in enumerate(scalars):
            np.testing.assert_array_equal(env.reset(seed=seed + b)[0], observations[b])
        started = np.zeros(num_envs, dtype=bool)
        for t in range(40):
            actions = np.full(num_envs, t % 7)
            observations, rewards, over, _, infos = envs.step(actions)
            for b, env in enumerate(scalars):
                if started[b]:
                    (seen, info), reward, terminated = env.reset(), 0.0, False
                else:
                    seen, reward, terminated, _, info = env.step(actions[b])
                np.testing.assert_array_equal(seen, observations[b])
                assert (reward, terminated) == (rewards[b], over[b])
                assert all(infos[name][b] == info[name] for name in info.keys() - set(SCALAR_ONLY))
            started = over
        # without a seed the environments go on with their own episodes
        observations, _ = envs.reset()
        for b, env in enumerate(scalars):
            np.testing.assert_array_equal(env.reset()[0], observations[b])


def test_misuse_is_told():
    env = gym.make("PlasticGraph-disjoint-v0", num_steps=2).unwrapped
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        env.step(0)
    env.reset()
    with pytest.raises(ValueError, match="not in the action space"):
        env.step(99)
    env.step(0)
    with pytest.raises(gym.error.ResetNeeded, match="over"):
        env.step(0)
    with pytest.raises(ValueError, match="render_mode='human'"):
        TaskEnv(make_task("PlasticGraph-disjoint-v0"), render_mode="human")
    with pytest.raises(ValueError, match=r"did you mean.*PlasticGraph-disjoint-v0"):
        make_task("PlasticGraph-disjont-v0")
    envs = TaskVectorEnv(make_task("PlasticGraph-disjoint-v0"), 2)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(np.zeros(2, dtype=int))
    envs.reset()
    with pytest.raises(ValueError, match=r"shape \(3,\): expected \(2,\)"):
        envs.step(np.zeros(3, dtype=int))
