"""Actor-critic: its loss, how it plays and credits, resuming, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from benchmarks.speed.neuromodulated import PlainLearner
from plastic_agents import ActorCriticConfig
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.actor_critic import ActorCriticLearner, actor_critic_loss, returns
from plastic_agents.networks.sampling import gumbel
from plastic_envs.task import Task

TASK = "TransitiveInference-v0"
SHORT = {"num_items": 4, "num_train_trials": 3, "num_test_trials": 2}
TINY = {"updates": 4, "batch_size": 3, "evaluate_every": 2, "validation_episodes": 4, "log_every": 1}


def short(**changes: Any) -> Task:
    return plastic_envs.make_task(TASK, **{**SHORT, **changes})


def make(
    name: str = "neuromodulated", task: Task | None = None, seed: int = 0, **arguments: Any
) -> NetworkAgent:
    learner = TINY | arguments.pop("learner", {})
    arguments.setdefault("hidden_size", 8)
    agent = plastic_agents.make(
        name, task or short(), seed=seed, device="cpu", method="actor-critic", learner=learner, **arguments
    )
    assert isinstance(agent, NetworkAgent)
    return agent


def weights_of(agent: NetworkAgent) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def learner_of(agent: NetworkAgent) -> ActorCriticLearner:
    assert isinstance(agent.learner, ActorCriticLearner)
    return agent.learner


# ---- the loss ---------------------------------------------------------------------------------------


def test_returns_by_hand() -> None:
    rewards = np.array([[0.0], [1.0], [0.0], [-1.0]], dtype=np.float32)
    expected = [0.9 - 0.9**3, 1 - 0.81, -0.9, -1.0]
    np.testing.assert_allclose(returns(rewards, 0.9)[:, 0], expected, rtol=1e-6)


def test_loss_by_hand() -> None:
    """Two steps, one episode, scores (0, log 3): p = (1/4, 3/4)."""
    outputs = torch.tensor([[[0.0, np.log(3.0)]], [[0.0, np.log(3.0)]]], dtype=torch.float64)
    values = torch.tensor([[0.5], [0.25]], dtype=torch.float64, requires_grad=True)
    loss = actor_critic_loss(
        outputs, values, torch.tensor([[1], [0]]), torch.tensor([[0.9], [1.0]], dtype=torch.float64),
        torch.tensor([[1.0], [3.0]]), torch.ones(2, 1), ActorCriticConfig(),
    )  # fmt: skip
    policy = -(np.log(0.75) * 0.4 + 3 * np.log(0.25) * 0.75) / 2
    concentration, value = (1 / 16 + 9 / 16), (0.4**2 + 0.75**2) / 2
    assert loss.policy.item() == pytest.approx(policy)
    assert loss.concentration.item() == pytest.approx(concentration)
    assert loss.value.item() == pytest.approx(value)
    assert loss.total.item() == pytest.approx(policy + 0.1 * concentration + 0.1 * value)
    (grad,) = torch.autograd.grad(loss.total, values)  # the advantage is a constant to the policy
    np.testing.assert_allclose(grad[:, 0].numpy(), [0.1 * -0.4, 0.1 * -0.75], rtol=1e-12)


@pytest.mark.parametrize("credit", ["response", "all"])
def test_credit(credit: str) -> None:
    """Response steps or all of them; three times as much in trials that count in the score."""
    learner = learner_of(make(learner={"credit": credit}))
    task = short()
    episodes = task.sample(np.random.default_rng(0), 2)
    factors = learner.credits(task, episodes, np.ones((20, 2), dtype=bool))
    trial = [0, 1, 0, 0] if credit == "response" else [1, 1, 1, 1]
    expected = np.concatenate([trial * 3, 3 * np.array(trial * 2)])
    np.testing.assert_array_equal(factors, np.repeat(expected[:, None], 2, axis=1))


def test_loss_is_that_of_the_source() -> None:
    """The whole loss, written as the source's sums over steps (Miconi & Kay 2025, Methods)."""
    agent = make(learner={"credit": "all"})
    learner, task = learner_of(agent), short()
    episodes = task.sample(learner.streams.numpy(0, 0), 3)
    recording, actions, rewards = learner._play(agent, task, episodes)
    steps = len(rewards)
    logits, features, end = recording.outputs.detach(), recording.features.detach(), recording.state
    assert agent.network.value is not None
    values = agent.network.value(features)[..., 0].detach().numpy()
    chances = logits.softmax(-1).numpy()
    total, after = 0.0, np.zeros(3)
    for t in reversed(range(steps)):
        after = rewards[t] + 0.9 * after
        advantage = after - values[t]
        weight = 3 if t >= 12 else 1  # the last two of five trials
        total -= weight * np.mean(np.log(chances[t, np.arange(3), actions[t]]) * advantage)
        total += 0.1 * np.mean((chances[t] ** 2).sum(1)) + 0.1 * np.mean(advantage**2)
    expected = total / steps + 1e-4 * float(end[2].detach().square().mean())
    loss, _ = learner.loss(agent, log=False)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["neuromodulated", "gru", "plastic"])
def test_playing_first_gives_the_gradients_of_playing_with_gradients(name: str) -> None:
    """Actions drawn are constants: rolling out without gradients and differentiating afterwards is exact."""
    kept: list[tuple[float, list[torch.Tensor]]] = []
    for learner in (ActorCriticLearner, PlainLearner):
        agent = make(name, hidden_size=12)
        agent.learner = learner(learner_of(agent).config, agent.task, 0)
        loss, _ = agent.learner.loss(agent, log=False)
        grads = torch.autograd.grad(loss, list(agent.network.parameters()), allow_unused=True)
        kept.append((loss.item(), [g for g in grads if g is not None]))
    (one, ours), (other, plain) = kept
    assert one == pytest.approx(other, rel=1e-5)
    assert len(ours) == len(plain)
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max() + 1e-7


def test_open_loop_tasks_are_learned_from_reward_alike() -> None:
    """One pass; rewards are the task's; padding and steps without a question earn no credit."""
    task = plastic_envs.make_task("PlasticGraph-disjoint-v0", num_steps=6)
    agent = make("rnn", task)
    learner = learner_of(agent)
    episodes = task.sample(np.random.default_rng(0), 3)
    recording, actions, rewards = learner._answer(agent, task, episodes)
    right = (actions == episodes.targets) & (episodes.mask > 0)
    np.testing.assert_array_equal(rewards, right)
    assert recording.outputs.requires_grad
    factors = learner.credits(task, episodes, np.ones(actions.shape, dtype=bool))
    assert not factors[episodes.mask == 0].any()
    agent.learn()
    assert learner.update == 4


# ---- settings ---------------------------------------------------------------------------------------


def test_burn_in_takes_no_step() -> None:
    agent = make(learner={"burn_in": 2})
    learner, before = learner_of(agent), weights_of(agent)
    learner.prepare(agent)
    for update in range(3):
        learner.train_step(agent, log=False)
        learner.update += 1
        assert torch.equal(weights_of(agent), before) == (update < 2)


def test_curriculum() -> None:
    agent = make(learner={"curriculum": ((2, {"num_items": [4, 6]}), (3, {"num_items": 7}))})
    learner = learner_of(agent)
    items = [learner.task_at(update).describe()["num_items"] for update in range(5)]
    assert items == [4, 4, [4, 6], 7, 7]
    assert learner.task_at(4).describe()["num_test_trials"] == 2
    agent.learn()
    assert learner.validation_task.describe()["num_items"] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discount": 1.5}, "discount=1.5"),
        ({"credit": "some"}, "credit='some'"),
        ({"scored_weight": -1.0}, "scored_weight=-1.0"),
        ({"burn_in": -1}, "burn_in=-1"),
        ({"epsilon": 0.0}, "epsilon=0.0"),
        ({"curriculum": ((3, {}), (1, {}))}, r"starts at updates \[3, 1\]"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ActorCriticConfig(), **changes)


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="draws from a Discrete space"):
        plastic_agents.make(
            "rnn", plastic_envs.make_task("StimulusCoding-estimation-v0"), device="cpu", method="actor-critic"
        )


# ---- agents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["neuromodulated", "rnn", "plastic"])
def test_resumed_run_equals_an_unbroken_one(name: str, tmp_path: Path) -> None:
    """Value head, optimiser and random numbers included; the saved agent knows how it was trained."""

    class Stop:
        def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool:
            return update < 3

        def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
            pass

    unbroken, cut, resumed = make(name), make(name), make(name)
    before = weights_of(unbroken)
    unbroken.learn()
    cut.learn(callback=Stop())
    torch.save(cut.training_state(), tmp_path / "state.pt")
    resumed.load_training_state(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.learn()
    assert torch.equal(weights_of(unbroken), weights_of(resumed))
    assert torch.equal(weights_of(unbroken), before) == (learner_of(unbroken).best_update == 0)
    unbroken.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt", device="cpu")
    assert isinstance(loaded, NetworkAgent)
    assert isinstance(loaded.learner, ActorCriticLearner)
    assert "value.weight" in loaded.network.state_dict()
    assert torch.equal(weights_of(loaded), weights_of(unbroken))


def test_weights_are_taken_over_with_or_without_a_value_head() -> None:
    trained = make("gru")
    plain = plastic_agents.make("gru", short(), device="cpu", hidden_size=8, seed=1)
    other = make("gru", seed=2)
    assert isinstance(plain, NetworkAgent)
    head = other.network.state_dict()["value.weight"].clone()
    other.adopt(plain)
    assert torch.equal(other.network.state_dict()["value.weight"], head)
    plain.adopt(trained)
    assert torch.equal(weights_of(plain), weights_of(trained))
    with pytest.raises(ValueError, match="arguments that the saved one was made with"):
        make("gru", hidden_size=9).adopt(trained)


def test_choices_do_not_depend_on_the_batch() -> None:
    agent = make()
    episodes = agent.task.sample(np.random.default_rng(0), 130)
    part = episodes.copy().select(slice(0, 30))
    np.testing.assert_array_equal(agent.act_on(episodes)[:, :30], agent.act_on(part))
    np.testing.assert_array_equal(episodes.observations[:, :30], part.observations)


def test_agents_play_as_they_were_trained() -> None:
    """Drawing from the policy by default, the best action where asked to."""
    agent, episodes = make(), short().sample(np.random.default_rng(0), 50)
    outputs, drawn = agent.respond(agent.task, episodes.copy())
    assert (drawn != outputs.argmax(-1).numpy()).any()
    outputs, best = agent.respond(agent.task, episodes.copy(), deterministic=True)
    np.testing.assert_array_equal(best, outputs.argmax(-1).numpy())


def test_gumbel_noise_draws_from_the_softmax() -> None:
    scores = torch.tensor([0.0, 1.0, -1.0])
    chosen = (scores + gumbel((1000, 20, 3), torch.Generator().manual_seed(0))).argmax(-1)
    shares = torch.bincount(chosen.flatten(), minlength=3) / chosen.numel()
    torch.testing.assert_close(shares, scores.softmax(0), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", ["neuromodulated", "gru", "plastic", "transformer"])
def test_predict_resets_as_episodes_do(name: str) -> None:
    """Stepped by observations alone, with rows at different steps, an agent answers as on whole episodes."""
    options = {"hidden_size": 8} if name in ("gru", "neuromodulated") else {}
    agent = plastic_agents.make(name, short(), device="cpu", method="actor-critic", **options)
    assert isinstance(agent, NetworkAgent)
    episodes = short().sample(np.random.default_rng(1), 2)
    _, whole = agent.respond(agent.task, episodes, deterministic=True)
    seen, delay = episodes.observations, 3  # row 1 starts its episode three steps later
    state: Any = None
    for t in range(episodes.num_steps + delay):
        late = max(t - delay, 0)
        rows = np.stack([seen[min(t, 19), 0], seen[late, 1]])
        actions, state = agent.predict(rows, state, np.array([t == 0, t <= delay]))
        if t < 20:
            assert actions[0] == whole[t, 0]
        if t >= delay:
            assert actions[1] == whole[late, 1]


@pytest.mark.parametrize("env_id", sorted(plastic_envs.ENVIRONMENTS))
def test_tasks_tell_their_resets(env_id: str) -> None:
    """`resets_in` tells of single observations what `resets` tells of episodes."""
    task = gym.make(env_id).unwrapped.task  # type: ignore[attr-defined]
    episodes = task.sample(np.random.default_rng(3), 2)
    for step in range(min(episodes.num_steps, 200)):
        told = task.resets_in(episodes.observations[step], np.full(2, step))
        np.testing.assert_array_equal(told, episodes.resets[step])


@pytest.mark.slow
def test_a_small_network_learns_short_lists() -> None:
    """A reduced run leaves chance (0.5) clearly within seconds. It says nothing of long lists."""
    task = plastic_envs.make_task(TASK, num_items=4, num_train_trials=12, num_test_trials=6)
    settings = {"updates": 200, "evaluate_every": 200, "learning_rate": 2e-3, "schedule": "constant"}
    agent = plastic_agents.make("neuromodulated", task, device="cpu", hidden_size=48, learner=settings)
    agent.learn()
    episodes = task.with_split("test").sample(np.random.default_rng(5), 300)
    assert task.metrics(episodes, agent.act_on(episodes))["score"] > 0.6
