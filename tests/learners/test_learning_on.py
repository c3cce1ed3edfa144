"""Learning in several calls, after a look, and after saving, as users of Stable-Baselines3 expect it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from stable_baselines3.common.callbacks import CheckpointCallback

import plastic_agents
import plastic_envs
from plastic_agents import NetworkAgent
from plastic_agents.learners.base import same_weights, weights_of

TINY = {"batch_size": 2, "validation_episodes": 2, "log_every": 1, "evaluate_every": 3}
ENV = "EvidenceIntegration-v0"


def make(env: str = ENV, name: str = "gru", **settings: Any) -> NetworkAgent:
    agent = plastic_agents.make(
        name, env, device="cpu", hidden_size=4, learner={**TINY, **settings}
    )  # fmt: skip
    assert isinstance(agent, NetworkAgent)
    return agent


def problems(**settings: Any) -> NetworkAgent:
    learner = {"criterion": 0.6, "window": 5, "max_trials": 60, "learning_rate": 3e-3, **settings}
    agent = plastic_agents.make(
        "leaky-softplus", "SensorimotorAssociation-v0", seed=3, method="problem-sequence", device="cpu",
        learner=learner, num_units=8,
    )  # fmt: skip
    assert isinstance(agent, NetworkAgent)
    return agent


def same(one: NetworkAgent, other: NetworkAgent) -> bool:
    return same_weights(weights_of(one.network), weights_of(other.network))


class Rates:
    """Keeps the learning rate of every update; has only one of a callback's two methods."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
        self.rates.append(row["train/learning_rate"])


def test_each_call_of_learn_trains_as_much_as_it_is_asked_to() -> None:
    """F2: a second `learn` did nothing."""
    agent = make()
    agent.learn(updates=3)
    agent.learn(updates=4)
    assert agent.learner.update == 7
    agent.learn(total_timesteps=100)
    assert agent.learner.update == 10  # 40 steps an update


@pytest.mark.parametrize("env", ["Cognitive-dm2-v0", "Cognitive-everything-v0", "Cognitive-reactgo-v0"])
def test_total_timesteps_are_reached_and_passed_by_less_than_an_update(env: str) -> None:
    """F3: they were reckoned with the length of one sampled episode, 0.73 to 1.16 of what was asked."""
    agent = make(env)
    steps: list[int] = []
    agent.learn(total_timesteps=1000, callback=lambda a, update, row: steps.append(a.learner.env_steps))
    assert steps[-1] == agent.learner.env_steps >= 1000 > steps[-2]


def test_total_timesteps_of_whole_problems() -> None:
    """F3, P12: 300 steps were 60 300. A problem that is broken off goes on in the next call."""
    agent, whole = problems(), problems()
    agent.learn(total_timesteps=350)
    assert agent.learner.env_steps == 400  # trials of 100 steps
    assert agent.learner.update == 0
    agent.learn(total_timesteps=2000)
    while agent.learner.update < 1:
        agent.learn(total_timesteps=500)
    whole.learn(updates=1)
    assert agent.learner.counts[0] == whole.learner.counts[0] or np.isnan(whole.learner.counts[0])
    np.testing.assert_array_equal(agent.learner.snapshots[0], whole.learner.snapshots[0])


def test_the_schedule_spans_the_call() -> None:
    """F4, P13: `learn(updates=20)` ran at the first rate of the 1500 updates of the settings."""
    agent, first, second, by_steps = make(updates=1500), Rates(), Rates(), Rates()
    agent.learn(updates=20, callback=first)
    assert first.rates[0] == agent.learner.config.learning_rate == 1e-3
    assert first.rates[-1] == pytest.approx(2.6e-5, rel=0.05)
    agent.learn(updates=20, callback=second)
    assert second.rates == first.rates
    agent.learn(total_timesteps=20 * 40, callback=by_steps)
    assert by_steps.rates == first.rates


@pytest.mark.parametrize("name", ["gru", "mpn", "plastic-published"])
def test_two_calls_make_one_run_where_the_rate_is_constant(name: str) -> None:
    """F2: after a call the best weights stood beside the moments of the last, and learning mixed the two."""
    env = "PlasticGraph-disjoint-v0"
    once, twice = (make(env, name, schedule="constant") for _ in range(2))
    once.learn(updates=6)
    twice.learn(updates=2)
    twice.predict(np.zeros(twice.observation_space.shape, dtype=np.float32))  # a look
    twice.act_on(twice.task.sample(np.random.default_rng(0), 2))
    twice.learn(updates=4)
    last = [a.learner.state_dict()["last_weights"] for a in (once, twice)]
    assert same_weights(*last)


def test_weights_that_a_user_has_put_in_place_are_learned_from() -> None:
    agent = make()
    agent.learn(updates=3)
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.fill_(0.25)
    moved: list[float] = []
    agent.learn(updates=1, callback=lambda a, *_: moved.append(next(a.network.parameters()).max().item()))
    assert moved[0] == pytest.approx(0.25, abs=0.01)


def test_a_saved_agent_knows_how_it_learns_and_how_far_it_has_come(tmp_path: Path) -> None:
    """P8, P15: after `load` the learner had the agent's default settings and began at update 0."""
    agent = make(learning_rate=1e-4, updates=77)
    agent.learn(updates=4)
    agent.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt")
    assert isinstance(loaded, NetworkAgent)
    assert loaded.learner.config == agent.learner.config
    for name in ("update", "env_steps", "best_cost", "best_update", "cpu_seconds"):
        assert getattr(loaded.learner, name) == getattr(agent.learner, name), name
    loaded.learn(updates=2)
    assert loaded.learner.update == 6
    assert loaded.learner.best_cost <= agent.learner.best_cost


def test_an_agent_saved_with_its_optimiser_learns_on_as_if_nothing_had_come_between(tmp_path: Path) -> None:
    straight, halves = make(), make()
    for agent in (straight, halves):
        agent.learn(updates=4)
    halves.save(tmp_path / "agent.pt", optimizer=True)
    loaded = plastic_agents.load(tmp_path / "agent.pt")
    assert isinstance(loaded, NetworkAgent)
    for agent in (straight, loaded):
        agent.learn(updates=4)
    assert same(straight, loaded)


def test_problems_learned_in_two_calls_leave_the_network_of_one() -> None:
    """P11: a second call drew the rates to 0 for good, and the weights were rounded in between."""
    whole, parts = problems(), problems()
    whole.learn(updates=3)
    parts.learn(updates=1)
    parts.learn(updates=2)
    np.testing.assert_array_equal(parts.learner.snapshots, whole.learner.snapshots)
    np.testing.assert_array_equal(parts.learner.counts, whole.learner.counts)
    assert parts.learner._engine.rate_target == whole.learner._engine.rate_target > 0


def test_a_saved_learner_of_problems_goes_on_at_its_next_problem(tmp_path: Path) -> None:
    """P15: it began at problem 0 again, with another target of its rates."""
    whole, parts = problems(), problems()
    whole.learn(updates=3)
    parts.learn(updates=2)
    parts.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt")
    assert isinstance(loaded, NetworkAgent)
    assert loaded.learner.config.criterion == 0.6
    loaded.learn(updates=1)
    np.testing.assert_array_equal(loaded.learner.counts, whole.learner.counts)
    assert same(loaded, whole)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"updates": -5}, "updates=-5"),
        ({"total_timesteps": -1}, "total_timesteps=-1"),
        ({"updates": 2, "total_timesteps": 5}, "give one of them"),
    ],
)
@pytest.mark.parametrize("name", ["gru", "random"])
def test_amounts_that_cannot_be_are_refused(name: str, how: dict[str, int], message: str) -> None:
    agent = make() if name == "gru" else plastic_agents.make(name, ENV)
    with pytest.raises(ValueError, match=message):
        agent.learn(**how)


def test_callbacks_of_every_kind(tmp_path: Path) -> None:
    """F31: a function, a list and a callback of Stable-Baselines3 were an AttributeError."""

    class Evaluations:
        seen: list[int] = []

        def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
            self.seen.append(update)

    agent, updates = make(), []
    agent.learn(updates=3, callback=[lambda a, update, row: updates.append(update), Evaluations()])
    assert updates == [1, 2, 3]
    assert Evaluations.seen == [0, 3]
    agent.learn(updates=3, callback=lambda a, update, row: False)
    assert agent.learner.update == 4
    agent.learn()  # the rest of the call that was broken off
    assert agent.learner.update == 6
    with pytest.raises(TypeError, match=r"CheckpointCallback.*Stable-Baselines3"):
        agent.learn(updates=3, callback=CheckpointCallback(1, str(tmp_path)))
    with pytest.raises(TypeError, match="got int"):
        agent.learn(updates=3, callback=3)
    assert agent.learner.update == 6


def test_a_compiled_network_is_saved_under_its_own_names(tmp_path: Path) -> None:
    """F19: the names of the weights began with `_orig_mod.`, and the file could not be loaded."""
    agent = make()
    agent.network = torch.compile(agent.network, backend="eager")
    agent.learn(updates=2)
    agent.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt")
    assert isinstance(loaded, NetworkAgent)
    assert same(agent, loaded)


@pytest.fixture
def double() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


NETWORKS = sorted(n for n, s in plastic_agents.AGENTS.items() if s.kind == "network")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_agent_plays_and_learns_in_double_precision(name: str) -> None:
    """F17: inputs stayed float32 beside networks made in the default type."""
    env = "TransitiveInference-v0" if name == "neuromodulated" else "PlasticGraph-disjoint-v0"
    agent = plastic_agents.make(name, env, device="cpu", learner=TINY)
    agent.predict(np.zeros((2, *agent.observation_space.shape), np.float32))
    agent.learn(updates=1)


@pytest.mark.usefixtures("double")
def test_a_shipped_network_plays_in_double_precision() -> None:
    agent = plastic_agents.load("transitive-neuromodulated-1", device="cpu")
    agent.predict(np.zeros(agent.observation_space.shape, np.float32))


# ---- playing ------------------------------------------------------------------------------------------


def test_actions_that_are_scored_are_in_the_space() -> None:
    """F10: `act_on` gave what the environment refuses (score -48.66 in place of -8.05); `predict` clipped."""
    task = plastic_envs.make_task("StimulusCoding-estimation-v0", num_steps=20)
    agent = plastic_agents.make("gru", task, hidden_size=8, device="cpu")
    with torch.no_grad():
        agent.network.readout[-1].bias.fill_(5.0)
    episodes = task.sample(np.random.default_rng(0), 1)
    actions = agent.act_on(episodes)
    assert task.action_space.contains(actions[0, 0])
    assert task.metrics(episodes, actions)["score"] == pytest.approx(-8.05, abs=0.01)


@pytest.mark.parametrize("name", ["leaky-rnn", "leaky-softplus", "three-factor", "gru", "mpn", "lstm"])
@pytest.mark.parametrize(("before", "now"), [(3, 1), (1, 3)])
def test_a_state_of_other_environments_is_refused(name: str, before: int, now: int) -> None:
    """F16: it was broadcast, and three actions came for one observation."""
    agent = plastic_agents.make(name, ENV, device="cpu")
    _, state = agent.predict(np.zeros((before, 50), np.float32))
    with pytest.raises(ValueError, match=f"of {before} environments"):
        agent.predict(np.zeros((now, 50), np.float32), state)


@pytest.mark.parametrize("name", sorted(set(plastic_agents.AGENTS) - {"plastic-published", "neuromodulated"}))
def test_observations_that_are_not_finite_are_refused(name: str) -> None:
    """K14: NaN was answered without a sign."""
    agent = plastic_agents.make(name, ENV, device="cpu")
    with pytest.raises(ValueError, match="not finite"):
        agent.predict(np.full(50, np.nan, np.float32))


@pytest.mark.parametrize("name", ["gru", "random", "oracle"])
def test_observations_may_be_lists_and_views(name: str) -> None:
    """F25: the policy agents took no lists; K15: a reversed view was a stride error."""
    agent = plastic_agents.make(name, ENV, device="cpu")
    actions, _ = agent.predict([0.0] * 50)
    assert np.shape(actions) == ()
    view = np.zeros((4, 50), np.float32)[::-1]
    assert agent.predict(view)[0].shape == (4,)
    with pytest.raises(ValueError, match="shape"):
        agent.predict(np.zeros(49, np.float32))


def test_random_actions_change_from_call_to_call_and_follow_the_seed() -> None:
    """F25: without a state every call gave the same actions, and `act_on` the same for any two batches."""
    one, same_seed, other = (plastic_agents.make("random", ENV, seed=s) for s in (0, 0, 1))
    observations = np.zeros((40, 50), np.float32)
    first, second = (one.predict(observations)[0] for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, same_seed.predict(observations)[0])
    assert (first != other.predict(observations)[0]).any()
    a, b = (one.task.sample(np.random.default_rng(s), 20) for s in (0, 1))
    assert (one.act_on(a) != one.act_on(b)).any()
    assert (one.act_on(a, generator=torch.Generator().manual_seed(1)) != one.act_on(a)).any()


def answers(agent: plastic_agents.Agent, episodes: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return agent.act_on(episodes.copy().select(rows))


@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("random", "TransitiveInference-v0"),
        ("oracle", "TransitiveInference-v0"),
        ("random", ENV),
        ("plastic-published", "PlasticGraph-disjoint-v0"),
        ("three-factor", ENV),
        ("leaky-softplus", ENV),
        ("neuromodulated", "TransitiveInference-v0"),
        ("gru", "PlasticGraph-explore-v0"),
    ],
)
def test_an_episode_is_played_alike_beside_any_others(name: str, env: str) -> None:
    """F32, P14: random choices, guesses and starts depended on the row's place and on its neighbours."""
    agent = plastic_agents.make(name, env, device="cpu", seed=3)
    episodes = agent.task.sample(np.random.default_rng(0), 6)
    whole = answers(agent, episodes, np.arange(6))
    np.testing.assert_array_equal(answers(agent, episodes, np.arange(6)[::-1]), whole[:, ::-1])
    alone = np.concatenate([answers(agent, episodes, np.array([row])) for row in range(6)], axis=1)
    np.testing.assert_array_equal(alone, whole)


def test_agents_have_spaces_of_their_own() -> None:
    """F26: seeding the space of one changed the draws of all."""
    task = plastic_envs.make_task(ENV)
    one, other = (plastic_agents.make("gru", task, hidden_size=4) for _ in range(2))
    assert one.action_space is not other.action_space
    assert one.action_space == other.action_space
