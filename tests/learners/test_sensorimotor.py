import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import plastic_agents
from plastic_agents.analysis.learning_to_learn import (
    LearningCurve,
    block_means,
    fit_learning_curve,
    moving_mean,
)
from plastic_agents.analysis.subspaces import (
    Moments,
    moved_readout,
    output_currents,
    participation_ratio,
    subspaces,
)
from plastic_agents.analysis.vector_fields import (
    cumulative_change,
    field_change,
    flow,
    summarise,
    trajectories,
)
from plastic_agents.learners.problem_sequence import learn_problem
from plastic_agents.learners.trial_engines import AutogradEngine, CompiledEngine, Trial, engine_for
from plastic_agents.networks.leaky_softplus.network import LeakySoftplus
from plastic_agents.networks.leaky_softplus.rule import (
    Costs,
    Dynamics,
    Weights,
    adam_step,
    layout,
    leaky_softplus,
    run_trial,
    simulate,
    top_singular_gradient,
    views,
)
from plastic_envs import make_task
from plastic_envs.sensorimotor.association import SensorimotorAssociation

ENV = "SensorimotorAssociation-v0"
SIZES = (11, 20, 3)
EASY = {"criterion": 0.3, "window": 5, "max_trials": 400, "learning_rate": 3e-3}


def random_weights(rng, sizes=SIZES, batch=()):
    num = sum(math.prod(shape) for _, shape in layout(*sizes).values())
    flat = 0.3 * rng.standard_normal((*batch, num))
    weights = views(flat, *sizes)
    np.abs(weights.start, out=weights.start)
    return flat, weights


def a_trial(task=None, seed=0):
    task = task or make_task(ENV)
    episodes = task.sample(np.random.default_rng(seed), 1)
    return Trial(episodes.observations[:, 0], episodes.targets[:, 0], episodes.mask[:, 0])


def small_agent(seed=0, task=None, agent="leaky-softplus", arguments=None, **learner):
    task = task or make_task(ENV, dt_ms=100)
    arguments = {"num_units": 30} if arguments is None else arguments
    return plastic_agents.make(
        agent, task, seed=seed, method="problem-sequence", device="cpu",
        learner={"updates": 4, **EASY, **learner}, **arguments,
    )  # fmt: skip


class Rows:
    """Keeps the rows; stops after update `stop`."""

    def __init__(self, stop=None):
        self.stop, self.rows, self.states = stop, [], []

    def on_update(self, agent, update, row):
        self.rows.append(row)
        return False if update == self.stop else None

    def on_evaluation(self, agent, update, row):
        raise AssertionError("this learner validates nothing")

    @property
    def counts(self):
        return [row["problem/trials_to_criterion"] for row in self.rows]


# ---- a trial ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt_ms", [1, 20])
def test_gradients_are_those_of_autograd(dt_ms):
    """Every cost, noise, rate target on either side; float64, to round-off."""
    rng = np.random.default_rng(0)
    flat, weights = random_weights(rng)
    trial = a_trial(make_task(ENV, dt_ms=dt_ms))
    inputs, scored = trial.inputs.astype(float), trial.scored.astype(float)
    xi = rng.standard_normal((len(inputs), SIZES[1]))
    dynamics = Dynamics.of(dt_ms / 100)
    costs = Costs(rate=0.3, input=0.2, readout=0.1, recurrent=0.4, num_singular=5)
    parameter = torch.tensor(flat, requires_grad=True)
    w = Weights(*(parameter[place].view(shape) for place, shape in layout(*SIZES).values()))
    eta, path = torch.zeros(SIZES[1], dtype=torch.float64), []
    for kick in torch.as_tensor(xi):
        eta = dynamics.noise_keep * eta + dynamics.noise_spread * kick
        path.append(eta)
    drive = torch.as_tensor(inputs) @ w.inputs + w.bias + torch.stack(path)
    states = leaky_softplus(drive[:, None], w.start[None], w.recurrent, dynamics.leak)[:, 0]
    outputs = states @ w.readout + w.readout_bias
    losses = F.cross_entropy(outputs, torch.as_tensor(trial.targets), reduction="none")
    loss = (losses * torch.as_tensor(scored)).sum() / scored.sum()
    mean_square = states.square().mean()
    for target in (0.0, 2.0 * mean_square.item()):
        total = (
            loss
            + costs.rate * (mean_square - target).abs()
            + costs.input * w.inputs.square().mean()
            + costs.readout * w.readout.square().mean()
            + costs.recurrent * torch.linalg.svdvals(w.recurrent)[:5].square().mean()
        )
        (expected,) = torch.autograd.grad(total, parameter, retain_graph=True)
        found = run_trial(weights, inputs, trial.targets, scored, xi, dynamics, costs, target)
        assert found.loss == pytest.approx(loss.item(), rel=1e-12)
        assert found.mean_square == pytest.approx(mean_square.item(), rel=1e-12)
        np.testing.assert_allclose(found.gradient, expected.numpy(), rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(found.outputs, outputs.detach().numpy(), rtol=1e-9, atol=1e-11)


def test_first_loss_and_first_gradients():
    """Goudar et al. 2023: as the readout starts at 0, the first loss is ln 3 and nothing is felt upstream."""
    torch.manual_seed(0)
    network = LeakySoftplus(11, 100, 3, leak=0.01)
    assert sum(p.numel() for p in network.parameters()) == 11603
    np.testing.assert_allclose(np.linalg.svd(network.weights().recurrent)[1], 1.0, atol=1e-5)
    trial = a_trial(make_task(ENV, dt_ms=1))
    xi = np.random.default_rng(0).standard_normal((2000, 100))
    found = run_trial(
        network.weights(), trial.inputs.astype(float), trial.targets, trial.scored.astype(float), xi,
        network.dynamics, Costs(0.0, 0.0, 0.0, 0.0), 0.0,
    )  # fmt: skip
    assert found.loss == pytest.approx(math.log(3), rel=1e-12)
    gradient = views(found.gradient, 11, 100, 3)
    assert not any(g.any() for g in (gradient.inputs, gradient.recurrent, gradient.bias, gradient.start))
    assert gradient.readout.all()


def test_indifference_between_choices():
    """A network that fixates perfectly and is indifferent has a loss of (400 / 1900) ln 2."""
    weights = views(np.zeros(layout(*SIZES)["readout_bias"][0].stop), *SIZES)
    weights.readout_bias[:] = 0, 0, -100
    task = make_task(ENV, dt_ms=1)
    trial = a_trial(task)
    response = np.where(task.trial_periods == 3, 1.0, 0.0)
    found = run_trial(
        weights, trial.inputs.astype(float), trial.targets, response, None, Dynamics(0.01), Costs(), 0.0
    )
    assert found.loss * 400 / 1900 == pytest.approx(0.14593, abs=1e-5)


def test_softplus_does_not_overflow():
    _, weights = random_weights(np.random.default_rng(0))
    weights.bias[:] = 1000.0
    weights.recurrent[:] = 0.0
    states, slopes = simulate(weights, np.zeros((5, 11)), None, Dynamics(1.0))
    assert np.isfinite(states).all()
    np.testing.assert_allclose(slopes, 1.0)


def test_noise_law():
    """Published: spread 0.05 and stationary 0.0577 at 1 ms; at 20 ms 0.0224, of equal low-frequency power."""
    fine, coarse = Dynamics.of(0.01), Dynamics.of(0.2)
    assert (fine.noise_keep, fine.noise_spread) == pytest.approx((0.5, 0.05))
    assert fine.noise_spread / math.sqrt(1 - fine.noise_keep**2) == pytest.approx(0.0577, abs=1e-4)
    assert (coarse.noise_keep, coarse.noise_spread) == pytest.approx((0.0, 0.0224), abs=1e-4)
    at_zero = [d.noise_spread**2 / (1 - d.noise_keep) ** 2 * d.leak for d in (fine, coarse)]
    assert at_zero[0] == pytest.approx(at_zero[1])


def test_singular_value_gradient_takes_the_largest():
    matrix = np.random.default_rng(0).standard_normal((12, 12))
    tensor = torch.tensor(matrix, requires_grad=True)
    (torch.linalg.svdvals(tensor)[:3].square().mean()).backward()
    np.testing.assert_allclose(top_singular_gradient(matrix, 3), tensor.grad.numpy(), atol=1e-12)


def test_adam_has_its_epsilon_outside_and_leaves_frozen_weights_alone():
    """w -= lr sqrt(1 - beta2^n) / (1 - beta1^n) m / (sqrt(v) + eps), with a clipped gradient."""
    rng = np.random.default_rng(0)
    flat, trained = rng.standard_normal(8), np.arange(8) < 5
    expected, before = flat.copy(), flat.copy()
    m, v, first, second = np.zeros(8), np.zeros(8), np.zeros(8), np.zeros(8)
    for n in (1, 2, 3):
        gradient = 3.0 * rng.standard_normal(8)
        norm = np.linalg.norm(gradient[trained])
        assert adam_step(
            flat, gradient, first, second, trained, n, 0.1, 0.3, 0.999, 1e-2, 1.0
        ) == pytest.approx(norm)
        g = np.where(trained, gradient / max(norm, 1.0), 0.0)
        m, v = 0.3 * m + 0.7 * g, 0.999 * v + 0.001 * g * g
        expected -= 0.1 * math.sqrt(1 - 0.999**n) / (1 - 0.3**n) * m / (np.sqrt(v) + 1e-2)
    np.testing.assert_allclose(flat, expected, rtol=1e-12)
    np.testing.assert_array_equal(flat[~trained], before[~trained])


# ---- the network -----------------------------------------------------------------------------------


def test_network_agrees_with_the_compiled_form_and_step_by_step():
    torch.manual_seed(0)
    network = LeakySoftplus(11, 20, 3, leak=0.2, noise=0.0)
    _, weights = random_weights(np.random.default_rng(0))
    network.set_weights(weights)
    for ours, given in zip(network.weights(), weights, strict=True):
        np.testing.assert_allclose(ours, given, atol=1e-7)
    inputs = a_trial().inputs
    states, _ = simulate(network.weights(), inputs.astype(float), None, network.dynamics)
    features = network.run(torch.as_tensor(inputs[:, None])).features
    np.testing.assert_allclose(features[:, 0].detach().numpy(), states[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("leak", [0.01, 0.2])
def test_noisy_sequence_is_the_same_in_pieces(leak):
    torch.manual_seed(0)
    network = LeakySoftplus(11, 20, 3, leak=leak)
    inputs = torch.randn(12, 3, 11)
    start = network.initial_state(3, torch.Generator().manual_seed(1))
    resets = torch.zeros(12, 3, dtype=torch.bool)
    resets[7, 1] = True
    whole, last = network(inputs, start, resets)
    state, pieces = start, []
    for t in range(12):
        output, state = network(inputs[t : t + 1], state, resets[t : t + 1])
        pieces.append(output)
    torch.testing.assert_close(torch.cat(pieces), whole)
    torch.testing.assert_close(state.noise, last.noise)
    assert not torch.equal(network.run(inputs[:, :1]).features, network.run(inputs[:, :1], start).features)


def test_clear_errors():
    with pytest.raises(ValueError, match=r"no numbered problems.*method 'supervised'"):
        small_agent(task=make_task("PlasticGraph-disjoint-v0"))
    with pytest.raises(ValueError, match=r"leak=1.5: expected"):
        LeakySoftplus(11, 20, 3, leak=1.5)
    with pytest.raises(ValueError, match="batch_size=2: expected 1"):
        small_agent(batch_size=2)
    with pytest.raises(ValueError, match="more trials"):
        small_agent(window=500)
    agent = small_agent(agent="gru", arguments={"hidden_size": 8}, perturbation="control")
    with pytest.raises(ValueError, match="linear readout of rates"):
        agent.learn()


# ---- problem after problem -------------------------------------------------------------------------


def test_optimiser_is_reset_and_weights_and_target_carry_over():
    agent = small_agent(updates=2)
    agent.learn(updates=1)
    engine = agent.learner._engine
    target, flat = engine.rate_target, engine.flat.copy()
    assert target > 0
    engine.reset_optimiser()
    assert not engine._first.any()
    assert not engine._second.any()
    # as v starts from 0, the first step has the full rate in every weight, whatever its gradient
    trial = a_trial(agent.learner.problem(1))
    engine.step(trial, np.random.default_rng(0))
    change = np.abs(engine.flat - flat)[engine.part("bias")]
    np.testing.assert_allclose(change, EASY["learning_rate"], rtol=0.2)
    assert engine.rate_target == target


def test_criterion_and_counts():
    """More than 50 losses, mean of the last 50 below the criterion; the smallest count is 1."""
    config = small_agent(window=50, max_trials=200).learner.config

    class Told:
        mean_square = 1.0
        flat = np.zeros(1)

        def __init__(self, losses):
            self.losses = iter(losses)

        def reset_optimiser(self):
            pass

        def step(self, trial, noise):
            return next(self.losses)

    def outcome(losses):
        rng = np.random.default_rng(0)
        return learn_problem(Told(losses), make_task(ENV, dt_ms=100), rng, rng, config)

    assert outcome([0.0] * 60).trials_to_criterion(50) == 1.0
    assert outcome([1.0] * 20 + [0.0] * 60).trials_to_criterion(50) == 6.0  # 14 of 50: 0.28 < 0.3
    failed = outcome([1.0] * 300)
    assert not failed.learned
    assert len(failed.losses) == 201
    assert math.isnan(failed.trials_to_criterion(50))
    assert len(outcome([1.0, float("nan")]).losses) == 2


def test_a_killed_run_gives_the_same_counts(tmp_path):
    whole = Rows()
    unbroken = small_agent(updates=6)
    unbroken.learn(callback=whole)
    part = Rows(stop=3)
    stopped = small_agent(updates=6)
    stopped.learn(callback=part)
    torch.save(stopped.training_state(), tmp_path / "state.pt")
    resumed = small_agent(updates=6)
    resumed.load_training_state(torch.load(tmp_path / "state.pt", weights_only=True))
    rest = Rows()
    resumed.learn(callback=rest)
    assert part.counts + rest.counts == whole.counts
    np.testing.assert_array_equal(resumed.learner.snapshots, unbroken.learner.snapshots)
    assert unbroken.learner.snapshots.shape == (6, sum(p.numel() for p in unbroken.network.parameters()))
    assert resumed.task.describe() == unbroken.task.describe() == unbroken.learner.problem(5).describe()
    assert unbroken.task.describe()["problem_seed"] == 0


class RandomLabels(SensorimotorAssociation):
    """Which choice is right is drawn anew for every trial."""

    def generate(self, streams):
        episodes = super().generate(streams)
        drawn = streams.spawn(9).integers(self.num_images)
        episodes.targets = np.where(episodes.targets == self.fixation, self.fixation, drawn)
        return episodes


def test_random_labels_fail_and_the_run_goes_on_from_the_last_good_weights():
    class SecondIsRandom(SensorimotorAssociation):
        def with_problem(self, number, seed=None):
            kind = RandomLabels if number == 1 else type(self)
            return kind(**{**self.describe(), "problem": number, "problem_seed": seed})

    rows = Rows()
    agent = small_agent(task=SecondIsRandom(dt_ms=100), updates=3, criterion=0.1, window=40, max_trials=800)
    agent.learn(callback=rows)
    counts = rows.counts
    assert np.isfinite(counts[0])
    assert math.isnan(counts[1])
    assert rows.rows[1]["problem/gradient_steps"] == 801
    assert np.isfinite(counts[2])
    first, second, _ = agent.learner.snapshots
    np.testing.assert_array_equal(first, second)


def test_loss_that_is_not_finite_is_a_failure_and_changes_nothing():
    engine = small_agent().learner
    agent = small_agent()
    engine = engine_for(agent.network, agent.learner.config.settings(30))
    before = engine.flat.copy()
    trial = a_trial(agent.task)
    broken = trial._replace(inputs=np.full_like(trial.inputs, np.nan))
    assert math.isnan(engine.step(broken, np.random.default_rng(0)))
    np.testing.assert_array_equal(engine.flat, before)


@pytest.mark.parametrize("kind", ["control", "stimulus", "decision"])
def test_perturbed_problems_start_anew_with_a_frozen_readout(kind):
    agent = small_agent(updates=5, perturbation=kind, num_before=3)
    agent.learn()
    snapshots = views(agent.learner.snapshots, *agent.network.sizes)
    assert agent.learner.orders.shape == (2, 4)
    biases = snapshots.readout_bias
    for p in (3, 4):
        np.testing.assert_array_equal(biases[p], biases[0])
        assert (snapshots.readout[p] == snapshots.readout[0]).all() == (kind == "control")
        assert not np.array_equal(snapshots.recurrent[p], snapshots.recurrent[0])
    if kind == "stimulus":
        assert (agent.learner.orders != np.arange(4)).any(1).all()
    engine = agent.learner._engine
    frozen = engine.flat[engine.part("readout")].copy()
    engine.step(a_trial(agent.task), np.random.default_rng(0))
    np.testing.assert_array_equal(engine.flat[engine.part("readout")], frozen)


def test_any_agent_can_take_the_place():
    rows = Rows()
    agent = small_agent(
        agent="gru", arguments={"hidden_size": 16}, updates=2, criterion=0.6, learning_rate=1e-2
    )
    agent.learn(callback=rows)
    assert isinstance(agent.learner._engine, AutogradEngine)
    assert np.isfinite(rows.counts).all()
    assert isinstance(small_agent().network, LeakySoftplus)
    assert isinstance(engine_for(small_agent().network, agent.learner.config.settings(8)), CompiledEngine)


def test_both_engines_take_the_same_steps():
    """Without noise and costs, the compiled form and autograd agree to float32."""
    agent = small_agent(arguments={"num_units": 20, "noise": 0.0}, learning_rate=1e-4)
    settings = agent.learner.config.settings(20)._replace(costs=Costs(0.0, 0.0, 0.0, 0.0))
    compiled = CompiledEngine(agent.network, settings)
    plain = AutogradEngine(small_agent(arguments={"num_units": 20, "noise": 0.0}).network, settings)
    rng = np.random.default_rng(0)
    losses = [
        (compiled.step(t, rng), plain.step(t, rng)) for t in (a_trial(agent.task, s) for s in range(20))
    ]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-4)
    assert losses[-1][0] < losses[0][0]


# ---- analyses --------------------------------------------------------------------------------------


def test_learning_curve_is_found_again():
    truth = LearningCurve(141.0, 37.9, 22.7)
    counts = truth.at(np.arange(1000.0)) + np.random.default_rng(0).normal(0, 1, 1000)
    counts[17] = np.nan
    assert fit_learning_curve(counts) == pytest.approx(truth, rel=0.03)
    flat = fit_learning_curve(np.linspace(10, 20, 100))
    assert flat.scale >= 0
    assert 5 <= flat.time_constant <= 200
    assert block_means(counts)[0] == pytest.approx(np.nanmean(counts[:50]))
    assert len(moving_mean(counts, 30)) == 971
    with pytest.raises(ValueError, match="needs at least 4"):
        fit_learning_curve(np.array([1.0, 2.0, np.nan]))


def test_subspaces_of_a_made_up_population():
    """Shared trajectories in the first 4 dimensions, each problem's own in the next 3."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    shared = rng.standard_normal((2, 40, 4)) * [8, 4, 2, 1]
    own = 0.1 * rng.standard_normal((50, 2, 40, 3))
    paths = shared @ basis[:, :4].T + own @ basis[:, 4:7].T
    halves = Moments.of(paths[:25]).plus(Moments.of(paths[25:]))
    found = subspaces(halves)
    np.testing.assert_allclose(np.linalg.svd(found.decision.T @ basis[:, :4])[1], 1.0, atol=1e-3)
    np.testing.assert_allclose(np.linalg.svd(found.stimulus[:, :3].T @ basis[:, 4:7])[1], 1.0, atol=1e-3)
    np.testing.assert_allclose(found.decision.T @ found.stimulus, 0.0, atol=1e-10)
    rest = np.concatenate([p for trial in paths for p in trial])
    rest = rest - rest @ found.decision @ found.decision.T
    left = np.linalg.svd(rest.T, full_matrices=False)[0][:, :3]
    np.testing.assert_allclose(np.abs(np.diag(left.T @ found.stimulus[:, :3])), 1.0, atol=1e-6)
    readouts = rng.standard_normal((50, 30, 3))
    currents = output_currents(paths, found.decision, readouts)
    np.testing.assert_allclose(sum(currents), paths @ readouts[:, None], atol=1e-9)
    np.testing.assert_allclose(currents.residual_decision.sum(1), 0.0, atol=1e-9)


def test_moved_readouts():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    decision, stimulus, readout = basis[:, :4], basis[:, 4:8], rng.standard_normal((20, 3))
    order = np.array([2, 0, 3, 1])
    swapped = moved_readout(readout, stimulus, stimulus, order)
    np.testing.assert_allclose(stimulus[:, order].T @ swapped, stimulus.T @ readout, atol=1e-12)
    np.testing.assert_allclose(decision.T @ swapped, decision.T @ readout, atol=1e-12)
    moved = moved_readout(readout, decision, stimulus, order)
    np.testing.assert_allclose(decision.T @ moved, 0.0, atol=1e-12)
    expected = stimulus.T @ readout
    expected[order] += decision.T @ readout
    np.testing.assert_allclose(stimulus.T @ moved, expected, atol=1e-12)
    np.testing.assert_array_equal(moved_readout(readout, stimulus, stimulus, np.arange(4)), readout)


def test_participation_ratio():
    assert participation_ratio(np.eye(7)) == pytest.approx(7)
    assert participation_ratio(np.diag([5.0, 0, 0])) == pytest.approx(1)
    assert math.isnan(participation_ratio(np.zeros((3, 3))))


def test_vector_field_changes():
    """The invariants of figure 5: parts add up to the difference of the flows, and V_W,perp = -V_S,perp."""
    rng = np.random.default_rng(0)
    flat, weights = random_weights(rng, batch=(6,))
    _, before = random_weights(rng, batch=(6,))
    before = views(flat + 0.01 * rng.standard_normal(flat.shape), *SIZES)
    inputs = rng.standard_normal((6, 2, 16, 11))
    leak = 0.2
    change = field_change(weights, before, inputs, leak)
    r = trajectories(weights, inputs, leak)
    other = trajectories(before, inputs, leak, start=weights.start)
    one = simulate(Weights(*(w[2] for w in weights)), inputs[2, 1], None, Dynamics(leak))[0]
    np.testing.assert_allclose(r[2, 1], one, rtol=1e-10)
    np.testing.assert_allclose(change.total, np.diff(r, axis=2) - np.diff(other, axis=2), atol=1e-13)
    np.testing.assert_allclose(change.weight_perpendicular, -change.state_perpendicular, atol=1e-13)
    np.testing.assert_allclose(change.weight_parallel + change.weight_perpendicular, change.weight_driven)
    assert np.abs((change.weight_perpendicular * change.total).sum(-1)).max() < 1e-12
    found = summarise(change)
    assert all((values >= 0).all() for values in found.magnitudes.values())
    np.testing.assert_allclose(
        found.magnitudes["weight_perpendicular"], found.magnitudes["state_perpendicular"]
    )
    rows = change.weight_driven[3].reshape(-1, SIZES[1])
    variances = np.linalg.svd(rows)[1] ** 2
    assert found.dimension["weight_driven"][3] == pytest.approx(variances.sum() ** 2 / (variances**2).sum())
    still = field_change(weights, weights, inputs, leak)
    assert not still.weight_driven.any()
    assert not still.total.any()


def test_cumulative_change_of_a_steady_drift():
    """Weights that drift along one line: twice as far back, twice the change."""
    rng = np.random.default_rng(0)
    flat, _ = random_weights(rng)
    bias = layout(*SIZES)["bias"][0]
    steps = np.tile(flat, (9, 1))
    steps[:, bias] += 1e-5 * np.arange(9)[:, None] * rng.standard_normal(SIZES[1])
    inputs = np.tile(rng.standard_normal((1, 2, 17, 11)), (9, 1, 1, 1))
    found = cumulative_change(views(steps, *SIZES), inputs, 0.2, lags=(1, 2, 4, 50))
    assert found.lags.tolist() == [1, 2, 4]
    np.testing.assert_allclose(found.perpendicular / found.perpendicular[0], [1, 2, 4], rtol=0.01)
    assert (found.suppression_perpendicular[3:] > 0).all()
    with pytest.raises(ValueError, match="at least 3"):
        cumulative_change(views(steps[:2], *SIZES), inputs[:2], 0.2)


def test_flow_is_the_softplus_of_the_current():
    _, weights = random_weights(np.random.default_rng(0), batch=(1,))
    inputs, states = np.ones((1, 1, 1, 11)), np.ones((1, 1, 1, 20))
    z = weights.inputs[0].sum(0) + weights.recurrent[0].sum(0) + weights.bias[0]
    np.testing.assert_allclose(flow(weights, inputs, states)[0, 0, 0], np.log1p(np.exp(z)))
