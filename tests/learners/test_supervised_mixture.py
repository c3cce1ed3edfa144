"""The supervised learner's penalties, its plateau schedule, weights per output, and mixtures of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium import spaces

import plastic_agents
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.gradient import Plateau
from plastic_agents.learners.supervised import SupervisedConfig, supervised_loss
from plastic_envs.episodes import Episodes
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task

TINY = {"updates": 8, "batch_size": 6, "evaluate_every": 2, "validation_episodes": 12, "log_every": 1}


class Copying(Task):
    """Three components that ask for the input times 0, 1 or 100, so that their errors differ for long."""

    components = ("nothing", "copy", "much")
    gains = np.array([0.0, 1.0, 100.0])
    chance = 0.0

    def __init__(self, shares: Sequence[float] = (1 / 3, 1 / 3, 1 / 3)) -> None:
        self.shares = tuple(shares)
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def with_mixture(self, shares: Sequence[float]) -> Task:
        assert sum(shares) == pytest.approx(1.0)
        return type(self)(shares)

    def generate(self, streams: RowStreams) -> Episodes:
        batch, steps = len(streams), 5
        component = np.searchsorted(np.cumsum(self.shares)[:-1], streams.uniform(1)[:, 0], side="right")
        shown = streams.normal(1).astype(np.float32)[:, 0]
        observations = np.zeros((steps, batch, 4), np.float32)
        observations[:, :, 0] = shown
        observations[:, np.arange(batch), 1 + component] = 1.0
        targets = np.zeros((steps, batch, 2), np.float32)
        targets[:, :, 0] = shown * self.gains[component]
        return Episodes(
            observations, targets, np.ones((steps, batch), np.float32), np.zeros((steps, batch), np.int8),
            np.zeros((steps, batch), bool), np.full(batch, steps), {"component": component},
        )  # fmt: skip

    def loss_weights(self, episodes: Episodes) -> npt.NDArray[np.float32]:
        weights = np.ones(episodes.targets.shape, np.float32)
        weights[..., 1] = 2.0
        return weights

    def step_scores(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.asarray(np.exp(-np.abs(actions - episodes.targets).sum(-1)), dtype=np.float32)

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        scores, component = self.episode_scores(episodes, actions), episodes.facts["component"]
        each = [float(scores[component == k].mean()) if (component == k).any() else np.nan for k in range(3)]
        return {"score": float(scores.mean()), "accuracy_by_component": each}


class Plain(Copying):
    components = ()


def make(name: str = "mpn", task: Task | None = None, seed: int = 0, **learner: Any) -> Any:
    arguments = {"hidden_size": 8} if name != "plastic" else {}
    return plastic_agents.make(
        name, task or Copying(), seed=seed, device="cpu", learner=TINY | learner, **arguments
    )


def weights_of(agent: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


class Watch:
    """What was trained on, and what the learner thought of it; stops after an update."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.stop_after = stop_after
        self.rates: list[float] = []
        self.shares: list[tuple[float, ...]] = []

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> bool:
        self.rates.append(row["train/learning_rate"])
        self.shares.append(agent.learner.shares)
        return update < self.stop_after

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        pass


# ---- the loss ------------------------------------------------------------------------------------------


def test_loss_weights_per_output() -> None:
    """Sum of weight times square over the sum of weights; (T, B) is (T, B, 1) spread over the outputs."""
    generator = torch.Generator().manual_seed(0)
    outputs, targets = (torch.randn(4, 3, 2, generator=generator) for _ in range(2))
    weights = torch.rand(4, 3, 2, generator=generator)
    squares = weights * (outputs - targets) ** 2
    loss = supervised_loss(outputs, targets, weights)
    assert loss.item() == pytest.approx((squares.sum() / weights.sum()).item())
    entries = supervised_loss(outputs, targets, weights, "entries")
    assert entries.item() == pytest.approx(squares.mean().item())
    flat = weights[..., :1]
    for mean in ("weights", "entries"):
        spread = supervised_loss(outputs, targets, flat.expand(4, 3, 2), mean)  # type: ignore[arg-type]
        same = supervised_loss(outputs, targets, flat[..., 0], mean)  # type: ignore[arg-type]
        assert spread.item() == pytest.approx(same.item())
    with pytest.raises(ValueError, match=r"weights of shape \(4, 3, 2\).*expected \(T, B\), or"):
        supervised_loss(outputs, torch.zeros(4, 3, dtype=torch.int64), weights)
    with pytest.raises(ValueError, match=r"weights of shape \(4,\)"):
        supervised_loss(outputs, targets, weights[:, 0, 0])


@pytest.mark.parametrize("name", ["mpn", "leaky-rnn"])
def test_penalties_by_hand(name: str) -> None:
    """Half the squares of the matrices, neither biases nor eta; the mean square of the activity."""

    def gradients(**learner: Any) -> dict[str, torch.Tensor]:
        agent = make(name, max_grad_norm=1e9, **learner)
        agent.learner.prepare(agent)
        agent.learner.train_step(agent, log=False)
        return {key: p.grad for key, p in agent.network.named_parameters()}

    agent = make(name)
    start = {key: p.detach().clone() for key, p in agent.network.named_parameters()}
    plain, penalised = gradients(), gradients(weight_penalty=0.5)
    for key in plain:
        extra = 0.5 * start[key] if start[key].dim() == 2 else torch.zeros_like(start[key])
        torch.testing.assert_close(penalised[key], plain[key] + extra, rtol=1e-4, atol=1e-5)

    active = gradients(activity_penalty=0.5)
    episodes = agent.learner.training_episodes()
    features = agent.network.run(torch.as_tensor(episodes.observations)).features
    (0.5 * features.square().mean()).backward()
    for key, p in agent.network.named_parameters():
        extra = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(active[key], plain[key] + extra, rtol=1e-4, atol=1e-5)


def test_parameters_are_put_back_after_each_step() -> None:
    agent = plastic_agents.make(
        "mpn", Copying(), device="cpu", learner=TINY | {"learning_rate": 0.5}, hidden_size=8,
        lambda_trained=True, lambda_shape="matrix",
    )  # fmt: skip
    assert isinstance(agent, plastic_agents.NetworkAgent)
    agent.learner.prepare(agent)
    agent.learner.train_step(agent, log=False)
    decay = agent.network.plastic[0].decay  # type: ignore[union-attr, index]
    assert decay.min().item() == 0.0  # a step of 0.5 from below 0.99 went beyond the ends
    assert decay.max().item() == pytest.approx(0.99)


# ---- the schedule --------------------------------------------------------------------------------------


def test_plateau_is_torchs() -> None:
    costs = np.random.default_rng(0).random(300) + np.linspace(1, 0, 300).clip(0.5)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, min_lr=1e-3)
    ours = Plateau(0.1, 0.5, 3, 1e-3)
    for cost in costs:
        scheduler.step(cost)
        ours.note(float(cost))
        assert ours.rate == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.rate == pytest.approx(1e-3)


def test_plateau_schedule_lowers_the_rate() -> None:
    watch = Watch()
    agent = make(schedule="plateau", plateau_patience=0, plateau_factor=0.5, learning_rate=1e3)
    agent.learn(callback=watch)
    assert watch.rates[0] == 1e3
    assert watch.rates[-1] < 1e3
    assert all(watch.rates[i] == watch.rates[i + 1] for i in (0, 2, 4, 6))  # it changes with evaluations only


# ---- mixtures ------------------------------------------------------------------------------------------


def test_shares_follow_errors_as_published() -> None:
    """S <- 0.9 (S + g), g the errors as shares of their sum; what was not validated counts as the mean."""
    agent = make(mixture="errors")
    parts = np.zeros(3)
    for accuracy in ([0.9, 0.5, 0.0], [1.0, 1.0, 0.2], [1.0, 1.0, 1.0], [0.5, np.nan, 0.1]):
        error = 1 - np.array(accuracy)
        error[np.isnan(error)] = np.nanmean(error)
        parts = 0.9 * (parts + (error / error.sum() if error.sum() else 1 / 3))
        agent.learner.validated(1.0, {"accuracy_by_component": accuracy})
        assert agent.learner.shares == pytest.approx(parts / parts.sum())
    floored = make(mixture="errors", mixture_floor=0.3)
    floored.learner.validated(1.0, {"accuracy_by_component": [1.0, 1.0, 0.0]})
    assert floored.learner.shares == pytest.approx((0.1, 0.1, 0.8))
    with pytest.raises(ValueError, match="2 entries for 3 components"):
        floored.learner.validated(1.0, {"accuracy_by_component": [1.0, 1.0]})


def test_batches_have_the_shares() -> None:
    agent = make(mixture="errors", batch_size=3000)
    agent.learner.validated(1.0, {"accuracy_by_component": [1.0, 0.75, 0.25]})
    component = agent.learner.training_episodes().facts["component"]
    np.testing.assert_allclose(np.bincount(component, minlength=3) / 3000, [0, 0.25, 0.75], atol=0.03)


@pytest.mark.parametrize("mixture", ["task", "errors"])
def test_one_component_per_batch(mixture: Any) -> None:
    """Drawn from the shares: the task's own, or those that the errors have made."""
    task = Copying((0.2, 0.0, 0.8))
    agent = make(task=task, mixture=mixture, one_component_per_batch=True)
    if mixture == "errors":
        agent.learner.validated(1.0, {"accuracy_by_component": [0.8, 1.0, 0.2]})
    drawn = []
    for update in range(200):
        agent.learner.update = update
        component = set(agent.learner.training_episodes().facts["component"].tolist())
        assert len(component) == 1
        drawn.append(component.pop())
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 200, [0.2, 0, 0.8], atol=0.1)


@pytest.mark.parametrize(
    "learner",
    [
        {"mixture": "errors", "mixture_floor": 0.1, "schedule": "plateau", "plateau_patience": 0},
        {"mixture": "errors", "one_component_per_batch": True, "weight_penalty": 1e-3},
        {"one_component_per_batch": True, "activity_penalty": 1e-3, "loss_mean": "entries"},
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(learner: dict[str, Any], tmp_path: Any) -> None:
    unbroken, seen = make(**learner), Watch()
    unbroken.learn(callback=seen)
    cut, before = make(**learner), Watch(stop_after=5)
    cut.learn(callback=before)
    torch.save(cut.training_state(), tmp_path / "state.pt")
    resumed, after = make(**learner), Watch()
    resumed.load_training_state(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.learn(callback=after)
    assert torch.equal(weights_of(unbroken), weights_of(resumed))
    assert before.shares + after.shares == seen.shares
    assert before.rates + after.rates == seen.rates


def test_where_a_call_ends_changes_nothing() -> None:
    """The evaluation at the end of a call of `learn` does not move the mixture or the rate."""
    learner = {"mixture": "errors", "schedule": "plateau", "plateau_patience": 0}
    whole, part, seen = make(**learner), make(**learner), Watch()
    whole.learn(updates=8, callback=seen)
    part.learn(updates=3)
    assert part.learner.shares == seen.shares[2] != seen.shares[3]
    assert part.learner.rate() == seen.rates[3]


@pytest.mark.parametrize("learner", [{"mixture": "errors"}, {"one_component_per_batch": True}])
def test_a_task_without_components_is_named(learner: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Plain has no components to mix"):
        make(task=Plain(), **learner)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixture": "error"}, "mixture='error'"),
        ({"mixture_floor": 1.5}, "mixture_floor=1.5"),
        ({"loss_mean": "all"}, "loss_mean='all'"),
        ({"activity_penalty": -1.0}, "activity_penalty=-1.0"),
        ({"weight_penalty": -1.0}, "weight_penalty=-1.0"),
        ({"schedule": "step"}, "schedule='step'"),
        ({"plateau_factor": 1.0}, "plateau_factor=1.0"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupervisedConfig(**settings)


def test_plateau_acts_on_negative_costs_and_never_raises_the_rate() -> None:
    plateau = Plateau(1.0, 0.5, 2, 1e-8)
    for _ in range(7):
        plateau.note(-0.5)
    assert plateau.rate == 0.25
    low = Plateau(1e-12, 0.5, 0, 1e-8)
    low.note(1.0)
    low.note(1.0)
    assert low.rate == 1e-12


def test_learning_goes_on_where_it_stopped_in_the_same_process() -> None:
    """Stopping by a callback and learning on gives the weights of an unbroken run, moments included."""

    class Stop:
        def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None: ...

        def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool | None:
            return False if update == 3 else None

    def fresh() -> NetworkAgent:
        made = plastic_agents.make(
            "rnn", "PlasticGraph-disjoint-v0", hidden_size=4, learner={"updates": 6, "batch_size": 2}
        )
        assert isinstance(made, NetworkAgent)
        return made

    whole, broken = fresh(), fresh()
    whole.learn()
    broken.learn(callback=Stop())
    assert broken.learner.update == 3
    broken.learn()
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, broken.network.state_dict()[name]), name
