"""The multi-plasticity network: its rule by hand, the compiled form against the loop, and its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from plastic_agents.agent import NetworkAgent
from plastic_agents.networks import MPN, MPNLayer, detach
from plastic_agents.networks.activations import ACTIVATIONS, activation
from plastic_agents.networks.initial import INITIALISATIONS, initialise
from plastic_agents.networks.mpn import rule as mpn_module
from plastic_agents.networks.mpn.rule import Rule, Synapses, fast_path_serves, run, run_loop, step

SHAPES = {"scalar": (1, 1), "pre_vector": (1, 5), "post_vector": (6, 1), "matrix": (6, 5)}


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def synapses(
    eta: str = "scalar",
    decay: str = "scalar",
    dtype: torch.dtype = torch.float64,
    size: int = 5,
    units: int = 6,
) -> Synapses:
    """Slow parameters with a strong plasticity; rates of either sign, as trained ones may be."""
    fit = {5: size, 6: units, 1: 1}
    shapes = [tuple(fit[n] for n in SHAPES[name]) for name in (eta, decay)]
    return Synapses(
        random(units, size, dtype=dtype, seed=2).requires_grad_(),
        random(units, dtype=dtype, seed=3).requires_grad_(),
        (random(*shapes[0], dtype=dtype, seed=4).sign() * 4.0).requires_grad_(),
        (0.9 + 0.05 * random(*shapes[1], dtype=dtype, seed=5).tanh()).requires_grad_(),
    )


Path = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def everything(
    path: Path, x: torch.Tensor, start: torch.Tensor, slow: Synapses, rule: Rule, **options: Any
) -> list[torch.Tensor]:
    """Activity, M at the end, and the gradients by all tensors of a loss that depends on both."""
    x, start = x.clone().requires_grad_(), start.clone().requires_grad_()
    h, end = path(x, start, slow, rule, **options)
    loss = (h * random(*h.shape, dtype=h.dtype, seed=8)).sum()
    loss = loss + (end * random(*end.shape, dtype=h.dtype, seed=9)).sum()
    sources = [x, start, *slow[:4]]
    return [h.detach(), end.detach(), *torch.autograd.grad(loss, sources)]


def assert_agree(got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Agreement relative to each tensor's largest entry: 1e-10 in float64, 1e-5 in float32."""
    for one, other in zip(got, expected, strict=True):
        tolerance = 1e-10 if other.dtype == torch.float64 else 1e-5
        assert (one - other).abs().max() <= tolerance * other.abs().max().clamp_min(1e-2)


def by_hand(network: MPN, inputs: np.ndarray, rule: Rule, f: Callable[..., Any]) -> tuple[Any, Any]:
    """Outputs and M of one row's episode, from the published equations."""
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    eta, keep = network.plastic[0].eta.detach().numpy(), network.plastic[0].decay.detach().numpy()
    if eta.ndim == 1 and len(eta) == network.num_features:
        eta = eta[:, None]
    W, b = p["layers.0.weight"], p["layers.0.bias"]
    M, outputs = np.zeros_like(W), []
    for u in inputs:
        x = f(p["embedding.weight"] @ u)
        G = W * (1 + M) if rule.plasticity == "multiplicative" else W + M
        h = f(G @ x + b)
        outputs.append(p["readout.weight"] @ h)
        post = np.full(len(h), len(h) ** -0.5) if rule.update == "presynaptic" else h
        new = keep * M + eta * np.outer(post, x)
        if rule.update == "oja":
            new = new - np.abs(eta) * (h**2)[:, None] * M
        if rule.squash == "tanh":
            new = np.tanh(new)
        if rule.bounds is not None and rule.plasticity == "multiplicative":
            new = np.clip(new, *rule.bounds)
        elif rule.bounds is not None:  # strengthened up to 2 W, weakened down to 0
            new = np.where(W > 0, np.clip(new, -W, W), np.clip(new, W, -W))
        M = new
    return np.array(outputs), M


@pytest.mark.parametrize(
    ("options", "f"),
    [
        ({}, np.tanh),
        ({"path": "loop"}, np.tanh),
        ({"activation": "relu"}, lambda a: np.maximum(a, 0)),
        ({"plasticity": "additive"}, np.tanh),
        ({"plasticity": "additive", "bounds": None}, np.tanh),
        ({"update": "presynaptic"}, np.tanh),
        ({"update": "oja", "bounds": None, "eta": -0.4}, np.tanh),
        ({"squash": "tanh", "bounds": None}, np.tanh),
        ({"eta_shape": "post_vector", "eta": "gaussian", "m_time_scale_ms": 400.0}, np.tanh),
        ({"eta_shape": "matrix", "activation": "softplus"}, lambda a: np.log1p(np.exp(a))),
    ],
)
def test_rule_by_hand(options: dict[str, Any], f: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    network = MPN(4, 6, 2, embedding_size=7, **options).double()
    inputs = 2 * random(15, 2, 4)
    outputs, end = network(inputs)
    for row in range(2):
        expected, M = by_hand(network, inputs[:, row].numpy(), network.plastic[0].rule, f)
        np.testing.assert_allclose(outputs[:, row].detach().numpy(), expected, rtol=1e-9, atol=1e-11)
        found = network.modulations(end)[0][row].detach().numpy()
        np.testing.assert_allclose(found, M, rtol=1e-9, atol=1e-11)


# ---- the compiled form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("decay", SHAPES)
@pytest.mark.parametrize("eta", SHAPES)
def test_fast_equals_loop(eta: str, decay: str, dtype: torch.dtype) -> None:
    """Activity, M and every gradient, with a good part of M on the clip; a start that is not zero."""
    slow = synapses(eta, decay, dtype)
    x, start = random(13, 3, 5, dtype=dtype).tanh(), 0.5 * random(3, 6, 5, dtype=dtype).tanh()
    loop = everything(run_loop, x, start, slow, Rule())
    assert (loop[1].abs() == 1).float().mean() > 0.3
    assert_agree(everything(run, x, start, slow, Rule()), loop)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("steps", "batch", "size", "units"), [(1, 2, 5, 6), (2, 1, 1, 1), (40, 2, 37, 9), (7, 4, 64, 4)]
)
def test_fast_equals_loop_for_all_sizes(
    steps: int, batch: int, size: int, units: int, dtype: torch.dtype
) -> None:
    slow = synapses(dtype=dtype, size=size, units=units)
    weight, eta = slow.weight.detach() * size**-0.5, 0.3 * slow.eta.detach()  # no chaos in float32
    slow = slow._replace(weight=weight.requires_grad_(), eta=eta.requires_grad_())
    x, start = random(steps, batch, size, dtype=dtype).tanh(), torch.zeros(batch, units, size, dtype=dtype)
    loop = everything(run_loop, x, start, slow, Rule())
    assert_agree(everything(run, x, start, slow, Rule()), loop)


@pytest.mark.parametrize(
    "rule",
    [
        *(Rule(activation=name) for name in ("linear", "relu", "sigmoid", "rectified-tanh")),
        Rule(bounds=(-0.3, 0.7)),
        Rule(bounds=None),
        Rule(plasticity="additive", bounds=None),
    ],
)
def test_fast_equals_loop_for_all_rules_it_serves(rule: Rule) -> None:
    slow = synapses()._replace(eta=torch.full((1, 1), 0.3).double().requires_grad_())
    x, start = random(12, 3, 5).tanh(), 0.2 * random(3, 6, 5).tanh()
    assert fast_path_serves(x, slow, rule)
    loop = everything(run_loop, x, start, slow, rule)
    assert_agree(everything(run, x, start, slow, rule), loop)


@pytest.mark.parametrize("decay", ["scalar", "matrix"])
def test_trials_keep_their_own_length(decay: str) -> None:
    """In both forms; a trial among longer ones is the trial alone, then zeros."""
    slow, lengths = synapses(decay=decay), torch.tensor([1, 13, 7])
    x, start = random(13, 3, 5).tanh(), 0.5 * random(3, 6, 5).tanh()
    loop = everything(run_loop, x, start, slow, Rule(), lengths=lengths)
    assert_agree(everything(run, x, start, slow, Rule(), lengths=lengths), loop)
    alone, end = run(x[:7, 2:], start[2:], slow, Rule())
    assert_agree([loop[0][:7, 2:], loop[1][2:]], [alone, end])
    assert not loop[0][7:, 2].any()


def test_gradients_against_finite_differences() -> None:
    slow, x, start = (
        synapses("matrix", "pre_vector", size=3, units=3),
        random(5, 2, 3).tanh(),
        random(2, 3, 3),
    )
    slow = Synapses(*(tensor.detach().clone().requires_grad_() for tensor in slow[:4]))
    assert torch.autograd.gradcheck(
        lambda x, start, *slow: run(x, start, Synapses(*slow), Rule()),
        (x.requires_grad_(), (0.3 * start.tanh()).requires_grad_(), *slow[:4]),
    )


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (Rule(update="oja"), {}),
        (Rule(update="presynaptic"), {}),
        (Rule(squash="tanh"), {}),
        (Rule(activation="tukey"), {}),
        (Rule(plasticity="additive"), {}),
        (Rule(), {"recurrent": torch.zeros(6, 6).double()}),
    ],
)
def test_the_loop_takes_what_the_compiled_form_does_not(rule: Rule, change: dict[str, Any]) -> None:
    slow, x, start = synapses()._replace(**change), random(4, 2, 5), torch.zeros(2, 6, 5).double()
    assert not fast_path_serves(x, slow, rule)
    got, expected = (everything(path, x, start, slow, rule) for path in (run, run_loop))
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_compiled_loops_are_given_what_fits() -> None:
    slow, x, start = synapses(), random(4, 2, 5), torch.zeros(2, 6, 5).double()
    for lengths in (torch.tensor([0, 4]), torch.tensor([4, 5]), torch.tensor([4])):
        with pytest.raises(ValueError, match=r"lengths=.*expected \(2,\) int64 numbers of steps, 1 to 4"):
            run(x, start, slow, Rule(), lengths=lengths)
    with pytest.raises(ValueError, match=r"start: got torch.float64 of shape \(3, 6, 5\)"):
        run(x, start[:1].expand(3, 6, 5), slow, Rule())
    with pytest.raises(ValueError, match=r"start: got torch.float32"):
        run(x, start.float(), slow, Rule())


def test_a_step_is_pure_and_differentiable_twice() -> None:
    slow, x, start = synapses(), random(2, 5), 0.1 * random(2, 6, 5)
    before = start.clone()
    after = step(x, start.requires_grad_(), slow, Rule(bounds=None))
    assert torch.equal(start, before)
    (first,) = torch.autograd.grad(after.modulation.square().sum(), start, create_graph=True)
    assert torch.autograd.grad(first.sum(), start)[0].any()


# ---- the layer and the network -------------------------------------------------------------------------


def test_layer_in_one_line() -> None:
    h, modulation = MPNLayer(20, 8)(random(7, 3, 20).float())
    assert h.shape == (7, 3, 8)
    assert modulation.shape == (3, 8, 20)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 2, "embedding_size": 5, "recurrent": True},
        {
            "embedding_size": 0,
            "eta_shape": "pre_vector",
            "lambda_shape": "post_vector",
            "lambda_trained": True,
        },
        {"depth": 3, "eta_shape": "matrix", "lambda_shape": "matrix", "embedding_bias": True},
    ],
)
@pytest.mark.parametrize("path", ["fast", "loop"])
def test_parts_of_a_sequence_equal_the_whole(options: dict[str, Any], path: Any) -> None:
    """Step by step, in halves and watched; resets forget h where there is recurrence, and never M."""
    torch.manual_seed(0)
    network = MPN(4, 6, 2, path=path, **options).double()
    inputs, resets = random(11, 3, 4), torch.rand(11, 3, generator=torch.Generator().manual_seed(0)) < 0.3
    start = network.initial_state(3)
    outputs, end = network(inputs, start, resets)
    stream = network.stream(start, resets)
    steps = torch.stack([stream.step(u) for u in inputs])
    first, middle = network(inputs[:4], start, resets[:4])
    rest, last = network(inputs[4:], middle, resets[4:])
    assert_agree([steps, torch.cat([first, rest])], [outputs] * 2)
    for got in (last, stream.state):
        assert_agree([got.modulation], [end.modulation])
    kept, after = network(inputs, start)
    assert torch.equal(kept, outputs) != ("recurrent" in options)
    watched = list(network.watch(inputs))
    features = torch.stack([seen[-1].activity for seen in watched])
    assert_agree([network.readout(features)], [kept])
    for n, modulation in enumerate(network.modulations(after)):
        assert_agree([watched[-1][n].after], [modulation])
        assert not watched[0][n].modulation.any()
        torch.testing.assert_close(activation("tanh")(watched[3][n].pre_activation), watched[3][n].activity)


def test_rows_of_different_lengths() -> None:
    torch.manual_seed(0)
    network, inputs, lengths = MPN(4, 6, 2).double(), random(9, 3, 4), torch.tensor([9, 4, 6])
    outputs, features, _ = network.run(inputs, None, None, lengths)
    whole = network(inputs)[0]
    for row, length in enumerate(lengths):
        assert_agree([outputs[:length, row]], [whole[:length, row]])
        assert not features[length:, row].any()


@pytest.mark.parametrize("path", ["fast", "loop"])
def test_freezing(path: Any) -> None:
    """Nothing: no bit changes. All: the plain feedforward network. Some: their M stays at its start."""
    torch.manual_seed(0)
    network, inputs = MPN(4, 6, 2, path=path).double(), random(9, 3, 4)
    layer, (before, _) = network.plastic[0], network(inputs)
    layer.freeze(torch.zeros(6, 6, dtype=torch.bool))
    assert torch.equal(network(inputs)[0], before)
    layer.freeze(torch.ones(6, 6, dtype=torch.bool))
    plain = torch.tanh(torch.tanh(inputs @ network.embedding.weight.T) @ layer.weight.T + layer.bias)
    frozen, state = network(inputs)
    assert_agree([frozen], [network.readout(plain)])
    assert not state.modulation.any()
    some = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    layer.freeze(some)
    start = network.initial_state(3)._replace(modulation=torch.full((3, 36), 0.3, dtype=torch.float64))
    _, state = network(inputs, start)
    end = network.modulations(state)[0]
    assert (end[:, some] == 0.3).all()
    assert (end[:, ~some] != 0.3).all()
    loss = network(inputs)[0].square().sum()
    assert torch.isfinite(torch.autograd.grad(loss, layer.eta)[0])
    layer.freeze(None)
    assert torch.equal(network(inputs)[0], before)
    with pytest.raises(
        ValueError, match=r"mask: got torch.bool of shape \(2, 6\), expected bool of shape \(6, 6\)"
    ):
        layer.freeze(some[:2])


def test_lambda_is_held_between_zero_and_its_largest_value() -> None:
    network = MPN(4, 6, 2, lambda_max=0.9, lambda_shape="matrix", lambda_trained=True)
    layer = network.plastic[0]
    assert 0 <= layer.decay.min() < layer.decay.max() <= 0.9
    with torch.no_grad():
        layer.decay[0, 0], layer.decay[0, 1], layer.eta[...] = 1.5, -0.5, 7.0
    network.constrain()
    assert (layer.decay[0, 0].item(), layer.decay[0, 1].item()) == (pytest.approx(0.9), 0.0)
    assert layer.eta.item() == 7.0
    fixed = MPN(4, 6, 2, m_time_scale_ms=4000.0, dt_ms=40.0)
    assert fixed.plastic[0].decay.item() == pytest.approx(0.99)
    fixed.constrain()
    assert MPNLayer(3, 4).decay.item() == pytest.approx(0.95)


def test_published_parameter_count() -> None:
    """21 inputs, 300 units, 3 outputs, eta trained: 6300 + 90000 + 300 + 900 + 1."""
    network = MPN(21, 300, 3)
    assert sum(p.numel() for p in network.parameters()) == 97_501
    penalised = {id(p) for p in network.penalised_parameters()}
    names = {name for name, p in network.named_parameters() if id(p) in penalised}
    assert names == {"embedding.weight", "layers.0.weight", "readout.weight"}
    matrix = MPN(4, 6, 2, eta_shape="matrix", lambda_shape="matrix", lambda_trained=True)
    assert sum(p.numel() for p in matrix.penalised_parameters()) == 24 + 36 + 12


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"lambda_shape": "matrix", "lambda_trained": True}])
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = MPN(4, 6, 2, **options)
    network(random(9, 3, 4).float())[0].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert not any(tensor.requires_grad for tensor in detach(network(random(9, 3, 4).float())[1]))


@pytest.mark.parametrize("readout", ["random", "orthogonal"])
def test_fixed_parts_stay(readout: Any) -> None:
    network = MPN(
        4, 6, 2, readout=readout, weight_trained=False, embedding_trained=False, eta_shape="matrix",
        eta_trained=False, lambda_shape="matrix",
    )  # fmt: skip
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["layers.0.bias"]
    assert "layers.0.eta" in network.state_dict()  # drawn, so it must be saved
    if readout == "orthogonal":
        weight = network.readout.weight
        torch.testing.assert_close(weight @ weight.T, torch.eye(2))


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_initialisations(how: str) -> None:
    torch.manual_seed(0)
    weight = initialise(torch.empty(200, 400), how)
    spread = {"xavier": 2 / 600, "sparse-xavier": 2 / 600, "orthogonal": 1 / 400, "one-hot": 1 / 400}
    if "identity" in how:
        torch.testing.assert_close(weight, torch.eye(200, 400), atol=6e-3, rtol=0)
    else:
        assert weight.square().mean().item() == pytest.approx(spread.get(how, 1 / 400), rel=0.1)
    if how.startswith("sparse"):
        assert (weight != 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    if how == "one-hot":
        assert weight.sum(0).max() == 1
        assert (weight.sum(1) == 1).all()


def test_activations() -> None:
    """Values at points where they are known; each is elementwise, on any shape."""
    a = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
    known = {
        "linear": [-1, 0, 0.5, 2], "relu": [0, 0, 0.5, 2],
        "heaviside": [0, 0.5, 1, 1], "tukey": [0, 0, 0.5, 1],
        "rectified-cube": [0, 0, 0.125, 8], "rectified-tanh-2x": [0, 0, np.tanh(1), np.tanh(4)],
    }  # fmt: skip
    for name, values in known.items():
        np.testing.assert_allclose(activation(name)(a), values, atol=1e-12)
    for f in ACTIVATIONS.values():
        torch.testing.assert_close(f(a.view(2, 2)), f(a).view(2, 2))
    torch.manual_seed(0)
    for name in ACTIVATIONS:
        network = MPN(4, 6, 2, activation=name)
        network(random(3, 2, 4).float())[0].sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MPN(3, 0, 2), "hidden_size=0"),
        (lambda: MPN(3, 4, 2, depth=0), "depth=0"),
        (lambda: MPN(3, 4, 2, embedding_size=-1), "embedding_size=-1"),
        (lambda: MPN(3, 4, 2, readout="fixed"), "readout='fixed'"),
        (lambda: MPN(3, 4, 2, activation="tan"), "unknown activation 'tan'; did you mean.*'tanh'"),
        (lambda: MPN(3, 4, 2, embedding_initialisation="he"), "embedding_initialisation='he'"),
        (lambda: MPN(3, 4, 2, lambda_max=1.2), "lambda_max=1.2"),
        (lambda: MPN(3, 4, 2, lambda_max=0.9, m_time_scale_ms=400.0), "give one of them"),
        (lambda: MPN(3, 4, 2, m_time_scale_ms=30.0), "dt_ms=40.0, m_time_scale_ms=30.0"),
        (lambda: MPN(3, 4, 2, eta_shape="row"), "eta_shape='row'"),
        (lambda: MPN(3, 4, 2, lambda_shape="row"), "lambda_shape='row'"),
        (lambda: MPN(3, 4, 2, eta="xavier"), "eta='xavier'"),
        (lambda: MPN(3, 4, 2, update="hebb"), "update='hebb'"),
        (lambda: MPN(3, 4, 2, plasticity="both"), "plasticity='both'"),
        (lambda: MPN(3, 4, 2, bounds=(0.1, 1.0)), r"bounds=\(0.1, 1.0\)"),
        (lambda: MPN(3, 4, 2, squash="tanhh"), "squash='tanhh'"),
        (lambda: MPN(3, 4, 2, path="quick"), "path='quick'"),
        (lambda: MPNLayer(0, 4), "in_features=0"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_agent_learns_by_the_compiled_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default lambda is 0.99 and fixed, eta trained; no step of learning goes through the loop."""
    task = plastic_envs.make_task("PlasticGraph-disjoint-v0", num_steps=8)
    tiny = {"updates": 3, "batch_size": 4, "validation_episodes": 4, "evaluate_every": 3, "log_every": 1}
    agent = plastic_agents.make("mpn", task, device="cpu", learner=tiny)
    assert isinstance(agent, plastic_agents.NetworkAgent)
    network = agent.network
    assert isinstance(network, MPN)
    assert (network.num_features, network.plastic[0].lambda_max) == (100, 0.99)
    assert agent.learner.config.learning_rate == 5e-3

    def refuse(*_: Any) -> Any:
        raise AssertionError("the loop was taken")

    monkeypatch.setattr(mpn_module, "run_loop", refuse)
    agent.learn()
    assert agent.learner.update == 3


def test_time_scale_goes_with_the_steps_of_the_task() -> None:
    """mpn.md 1: lambda_max = 1 - dt / m_time_scale; dt is the task's."""
    for env_id, expected in (("Cognitive-dm1-v0", 0.95), ("Cognitive-delaygo-v0", 0.9)):
        agent = plastic_agents.make("mpn", env_id, hidden_size=3, m_time_scale_ms=400)
        assert isinstance(agent, NetworkAgent)
        assert agent.network.plastic[0].lambda_max == pytest.approx(expected)
    with pytest.raises(ValueError, match="steps of GraphWalk have no duration; give lambda_max"):
        plastic_agents.make("mpn", "PlasticGraph-disjoint-v0", m_time_scale_ms=400)
