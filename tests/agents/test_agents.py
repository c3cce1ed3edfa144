"""The agents through their public surface: learn, predict, save, load, resume."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import plastic_agents
import plastic_envs
from plastic_agents.learners.supervised import SupervisedConfig, supervised_loss

ENV = "PlasticGraph-disjoint-v0"
SMALL = {"num_steps": 12}
TINY = {"updates": 6, "batch_size": 4, "evaluate_every": 2, "validation_episodes": 5, "log_every": 1}
SLOW = pytest.mark.slow
GRAPHS = [env_id for env_id in plastic_envs.ENVIRONMENTS if env_id.startswith("PlasticGraph")]
NETWORKS = [name for name, spec in plastic_agents.AGENTS.items() if spec.kind == "network"]


def small(name: str, seed: int = 0, **arguments: object) -> plastic_agents.Agent:
    """An agent on short walks with a learner of a few updates."""
    task = plastic_envs.make_task(ENV, **SMALL)
    learner = TINY if name in NETWORKS else None
    return plastic_agents.make(name, task, seed=seed, device="cpu", learner=learner, **arguments)


def weights_of(agent: plastic_agents.Agent) -> torch.Tensor:
    assert isinstance(agent, plastic_agents.NetworkAgent)
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


@pytest.mark.parametrize("name", sorted(plastic_agents.AGENTS))
@pytest.mark.parametrize("env_id", [GRAPHS[0], *(pytest.param(i, marks=SLOW) for i in GRAPHS[1:])])
def test_every_agent_plays_every_graph_task_through_stable_baselines(name, env_id):
    """`evaluate_policy` takes every agent as it takes its own."""
    agent = plastic_agents.make(name, plastic_envs.make_task(env_id, num_steps=6), device="cpu")
    envs = DummyVecEnv([lambda: Monitor(gym.make(env_id, num_steps=6)) for _ in range(2)])
    envs.seed(0)
    returns, lengths = evaluate_policy(agent, envs, n_eval_episodes=4, return_episode_rewards=True)
    assert len(returns) == 4
    assert all(0 <= r <= n for r, n in zip(returns, lengths, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", ["interleaved", "predict"])
def test_predict_step_by_step_equals_whole_episodes(name, mode):
    """`predict` with its state gives, one observation at a time, the actions of `act_on`."""
    task = plastic_envs.make_task(ENV, num_steps=12, mode=mode)
    agent = plastic_agents.make(name, task, seed=3, device="cpu")
    with torch.no_grad():  # a network whose readout starts at 0 prefers nothing, and picks at random
        for parameter in agent.network.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    episodes = task.sample(np.random.default_rng(0), 3)
    # From one generator, as `predict` has only that for random starts.
    _, whole = agent.respond(task, episodes, torch.Generator().manual_seed(3 + 1), deterministic=True)
    state, starts = None, np.ones(3, dtype=bool)
    for t in range(episodes.num_steps):
        actions, state = agent.predict(episodes.observations[t], state, starts)
        starts = np.zeros(3, dtype=bool)
        asked = episodes.mask[t] > 0
        np.testing.assert_array_equal(actions[asked], whole[t][asked])


def test_episode_start_empties_memory_row_by_row():
    """A row that starts anew answers as a fresh one does, while its neighbour goes on."""
    agent = small("plastic")
    first, second = (agent.task.sample(np.random.default_rng(s), 1).observations[:, 0] for s in (1, 2))
    state, fresh_state, starts = None, None, np.array([True, True])
    for obs in first[:7]:
        _, state = agent.predict(np.stack([obs, obs]), state, starts)
        starts = np.array([False, False])
    for t, obs in enumerate(second[:5]):
        both, state = agent.predict(np.stack([obs, first[7 + t]]), state, np.array([t == 0, False]))
        alone, fresh_state = agent.predict(obs, fresh_state)
        if obs[-2] == 1:
            assert both[0] == alone


def test_results_do_not_depend_on_the_batch():
    """Playing episodes together or in parts gives the same answers, random starts included."""
    for name in ("plastic", "plastic-published"):
        agent = small(name)
        episodes = agent.task.sample(np.random.default_rng(0), 230)
        whole = agent.act_on(episodes)
        part = agent.act_on(episodes.select(slice(0, 110)))
        np.testing.assert_array_equal(whole[:, :110], part)


@pytest.mark.parametrize("name", NETWORKS)
def test_save_load_and_go_on(tmp_path, name):
    """A saved agent answers alike; a run cut at update 3 ends with the very weights of an unbroken one."""
    unbroken = small(name)
    unbroken.learn(updates=6)

    cut = small(name)

    class Stop:
        def on_update(self, agent, update, row):
            return update < 3

        def on_evaluation(self, agent, update, row):
            pass

    cut.learn(updates=6, callback=Stop())
    torch.save(cut.training_state(), tmp_path / "state.pt")
    resumed = small(name)
    resumed.load_training_state(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.learn()
    assert torch.equal(weights_of(unbroken), weights_of(resumed))

    unbroken.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt")
    assert loaded.task.describe() == unbroken.task.describe()
    episodes = unbroken.task.sample(np.random.default_rng(5), 4)
    np.testing.assert_array_equal(loaded.act_on(episodes), unbroken.act_on(episodes))


def test_one_seed_fixes_everything_and_watching_changes_nothing():
    """Same seed, same weights; another seed, others; evaluating and drawing in between makes no
    difference."""

    class Watch:
        def on_update(self, agent, update, row):
            agent.act_on(agent.task.sample(np.random.default_rng(update), 2))
            np.random.default_rng().normal()
            torch.rand(3)

        def on_evaluation(self, agent, update, row):
            assert 0 <= row["eval/score"] <= 1

    runs = []
    for seed, callback in ((0, None), (0, Watch()), (1, None)):
        agent = small("plastic-published", seed)
        agent.learn(callback=callback)
        runs.append(weights_of(agent))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_best_network_is_put_back():
    """After learning, the weights are those with the lowest validation loss, not the last ones."""
    agent = plastic_agents.make(
        "rnn", plastic_envs.make_task(ENV, **SMALL), device="cpu",
        learner=TINY | {"updates": 12, "learning_rate": 5.0, "schedule": "constant", "max_grad_norm": 100.0},
    )  # fmt: skip
    losses = {}

    class Note:
        def on_update(self, agent, update, row):
            pass

        def on_evaluation(self, agent, update, row):
            losses[update] = (row["eval/loss"], weights_of(agent))

    agent.learn(callback=Note())
    best = min(losses, key=lambda update: losses[update][0])
    assert best < 12  # such a rate ruins the network, so that the test has something to find
    assert torch.equal(weights_of(agent), losses[best][1])


@pytest.mark.slow
def test_a_short_training_clears_a_real_bar():
    """Fifteen seconds of training: fast weights look up what they saw, on graphs with labels they never
    trained on.

    The undirected table without guesses gets 0.924 here (graph walk, 8 nodes, T = 100); this bar is above the
    published network's 0.860.
    """
    torch.set_num_threads(1)
    agent = plastic_agents.make(
        "plastic", ENV, seed=0, device="cpu", learner={"updates": 150, "evaluate_every": 150}
    )
    agent.learn()
    task = agent.task.with_split("test")
    episodes = task.sample(np.random.default_rng(1), 200)
    metrics = task.metrics(episodes, agent.act_on(episodes))
    assert metrics["score"] > 0.92
    assert metrics["accuracy_seen"] > 0.99
    assert metrics["accuracy_reverse"] > 0.9


def test_clear_errors():
    with pytest.raises(ValueError, match=r"did you mean one of .*plastic"):
        plastic_agents.make("plastik", ENV)
    with pytest.raises(ValueError, match=r"did you mean one of .*disjoint"):
        plastic_agents.make("plastic", "PlasticGraph-disjoin-v0")
    with pytest.raises(TypeError, match="key_sise"):
        plastic_agents.make("plastic", ENV, key_sise=3)
    with pytest.raises(ValueError, match="learner: unexpected keyword argument 'rate'"):
        plastic_agents.make("plastic", ENV, learner={"rate": 3})
    with pytest.raises(ValueError, match="batch_size=0: expected 1 to"):
        SupervisedConfig(batch_size=0)
    with pytest.raises(ValueError, match=r"shape \(3, 7\): expected \(28,\)"):
        small("plastic").predict(np.zeros((3, 7), dtype=np.float32))
    with pytest.raises(TypeError, match="takes no arguments"):
        plastic_agents.make("oracle", ENV, key_size=3)


def test_load_refuses_other_files(tmp_path):
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not an agent of this suite"):
        plastic_agents.load(tmp_path / "other.pt")


def test_supervised_loss_by_hand():
    """Weighted mean cross-entropy in nats, and mean squared error for vectors."""
    outputs = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]])
    loss = supervised_loss(outputs, torch.tensor([[0], [1]]), torch.tensor([[1.0], [3.0]]))
    expected = (np.log(2) + 3 * (2 + np.log1p(np.exp(-2)))) / 4
    assert loss.item() == pytest.approx(expected)
    vectors = supervised_loss(outputs, torch.zeros(2, 1, 2), torch.ones(2, 1))
    assert vectors.item() == pytest.approx(1.0)


def test_learning_rate_schedule():
    config = SupervisedConfig(updates=100, learning_rate=1.0, final_rate_fraction=0.1)
    assert config.rate_at(0) == pytest.approx(1.0)
    assert config.rate_at(0.5) == pytest.approx(0.55)
    assert config.rate_at(1.0) == pytest.approx(0.1)
    assert SupervisedConfig(updates=100, learning_rate=1.0, schedule="constant").rate_at(0.7) == 1.0


def test_an_environment_stands_for_its_task():
    """C5 of the report of faults: it was an AttributeError."""
    env = gym.make("EvidenceIntegration-v0", num_tokens=5)
    agent = plastic_agents.make("gru", env, hidden_size=4)
    assert agent.task is env.unwrapped.task
    with pytest.raises(TypeError, match="expected the id of an environment of this suite"):
        plastic_agents.make("gru", gym.make("CartPole-v1"), hidden_size=4)
