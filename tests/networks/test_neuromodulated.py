"""The neuromodulated network: its rule, the fast path for trials, published files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from plastic_agents.networks import Neuromodulated
from plastic_agents.networks.neuromodulated import rule as layer_module
from plastic_agents.networks.neuromodulated.kernel import TrialTape, odd_tanh_series
from plastic_agents.networks.neuromodulated.rule import PlasticState, run, run_loop, segments

EXACT, ROUGH = 1e-10, 1e-5


def build(units: int = 7, dtype: torch.dtype = torch.float64, **options: Any) -> Neuromodulated:
    """A network with a strong plasticity, and eta above 1, as trained ones have."""
    torch.manual_seed(0)
    network = Neuromodulated(5, units, 2, **options)
    with torch.no_grad():
        network.plasticity *= 30
        network.trace_rate.fill_(1.2)
        network.gain.fill_(1.7)
    return network.to(dtype)


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def trials(steps: int, batch: int, first: int = 0) -> torch.Tensor:
    """Resets at every fourth step from `first` on, in all rows."""
    resets = torch.zeros(steps, batch, dtype=torch.bool)
    resets[first::4] = True
    return resets


def everything(
    network: Neuromodulated, inputs: torch.Tensor, start: PlasticState, resets: torch.Tensor | None, path: str
) -> list[torch.Tensor]:
    """Outputs, the whole state at the end, and all gradients of a loss that depends on all of them."""
    network.path = path  # type: ignore[assignment]
    start = PlasticState(*(tensor.detach().clone().requires_grad_() for tensor in start))
    inputs = inputs.clone().requires_grad_()
    outputs, features, end = network.run(inputs, start, resets)
    results = [outputs, features, network.value(features), *end]
    loss = sum((x * random(*x.shape, dtype=x.dtype, seed=9)).sum() for x in results)
    assert isinstance(loss, torch.Tensor)
    sources = [inputs, *start, *network.parameters()]
    grads = torch.autograd.grad(loss, sources, allow_unused=True)
    return [*(x.detach() for x in results), *(torch.zeros(1) if g is None else g for g in grads)]


def assert_agree(got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Agreement relative to each tensor's largest entry: 1e-10 in float64, 1e-5 in float32.

    Entries are sums of terms of order 1. Where these cancel, their rounding stays, which differs between
    processors: so no less is asked for than 1e-12 and 1e-6 (eight units of a float32's last place at 1).
    """
    for one, other in zip(got, expected, strict=True):
        tolerance, least = (EXACT, 1e-2) if other.dtype == torch.float64 else (ROUGH, 1e-1)
        assert (one - other).abs().max() <= tolerance * other.abs().max().clamp_min(least)


@pytest.fixture
def loop_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of steps that went through the loop."""
    counted: list[int] = []

    def counting(drives: torch.Tensor, *rest: Any) -> Any:
        counted.append(drives.shape[0] * drives.shape[1])
        return run_loop(drives, *rest)

    monkeypatch.setattr(layer_module, "run_loop", counting)
    return counted


def by_hand(network: Neuromodulated, inputs: np.ndarray, resets: np.ndarray) -> np.ndarray:
    """Plastic weights after one row's episode. Source: Miconi & Kay 2025, the released networks' rule."""
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    n = network.num_features
    h, trace, weights = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    for x, reset in zip(inputs, resets, strict=True):
        if reset:
            h, trace = np.zeros(n), np.zeros((n, n))
        total = p["recurrent"] + p["plasticity"] * weights
        new = np.tanh(p["encode.weight"] @ x + p["encode.bias"] + total @ h)
        d = np.tanh(p["modulator.weight"] @ new + p["modulator.bias"])
        m = p["gain"] * (d[0] - d[1])
        weights = np.clip(weights + m * trace, -50, 50)
        rate = p["trace_rate"]
        trace = (1 - rate) * trace + rate * np.tanh(np.outer(new, h))
        h = new
    return weights


@pytest.mark.parametrize("path", ["fast", "loop"])
def test_rule_by_hand(path: str) -> None:
    network, inputs, resets = build(path=path), random(12, 2, 5), trials(12, 2)
    _, end = network(inputs, None, resets)
    for row in range(2):
        expected = by_hand(network, inputs[:, row].numpy(), resets[:, row].numpy())
        np.testing.assert_allclose(end.weights[row].detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("units", "batch", "steps", "first"), [
    (3, 1, 4, 0), (7, 3, 24, 0), (40, 5, 20, 0), (12, 4, 23, 2), (9, 2, 13, 0), (6, 2, 7, 5),
])  # fmt: skip
def test_fast_equals_loop(units: int, batch: int, steps: int, first: int, dtype: torch.dtype) -> None:
    """Outputs, state and every gradient; whole trials with or without other steps around them; any start."""
    network = build(units, dtype)
    start = PlasticState(*(0.5 * random(*x.shape, dtype=dtype) for x in network.initial_state(batch)))
    inputs, resets = random(steps, batch, 5, dtype=dtype), trials(steps, batch, first)
    fast = everything(network, inputs, start, resets, "fast")
    assert_agree(fast, everything(network, inputs, start, resets, "loop"))


def test_fast_path_is_taken_for_trials_only(loop_steps: list[int]) -> None:
    network, inputs = build(), random(20, 3, 5)
    network(inputs, None, trials(20, 3))
    assert not loop_steps
    network(inputs, None, trials(20, 3, first=2))
    assert loop_steps == [2 * 3, 2 * 3]  # two steps before the first trial, two after the last
    loop_steps.clear()
    uneven = trials(20, 3)
    uneven[5, 1] = True  # one row resets in the middle of trial 1
    network(inputs, None, uneven)
    assert loop_steps == [4 * 3]
    assert [part.is_trials for part in segments(uneven, inputs)] == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("clip", "all_rows"), [(0.2, True), (1.7, False), (2.5, False)])
def test_rows_in_which_the_clip_acts_take_the_loop(
    clip: float, all_rows: bool, dtype: torch.dtype, loop_steps: list[int]
) -> None:
    network, resets = build(8, dtype, clip=clip), trials(24, 6)
    inputs = random(24, 6, 5, dtype=dtype) * torch.linspace(0.02, 3, 6, dtype=dtype).view(1, 6, 1)
    start = network.initial_state(6)
    fast = everything(network, inputs, start, resets, "fast")
    assert (sum(loop_steps) == 24 * 6) if all_rows else (0 < sum(loop_steps) < 24 * 6)
    expected = everything(network, inputs, start, resets, "loop")
    assert (expected[5].abs() == clip).any()
    assert_agree(fast, expected)


@pytest.mark.usefixtures("loop_steps")
def test_the_clips_bound_is_safe_and_tightened(loop_steps: list[int]) -> None:
    """A loose bound alone would send these rows to the loop; their weights never come near the clip."""
    network, inputs = build(8), random(400, 2, 5)
    _, end = network(inputs, None, trials(400, 2))
    tape = TrialTape(torch.zeros(2, 8, 8, dtype=torch.float64), network.slow_weights(), 50.0)
    for drive in network.encode(inputs).detach():
        tape.step(drive)
    total = sum(0.762 * 1.2 * float(m.abs().max()) for m in tape.modulators)
    assert total > 50 > float(end.weights.detach().abs().max())
    assert not loop_steps


def test_gradients_against_finite_differences() -> None:
    network, drives = build(3), random(8, 2, 3).requires_grad_()
    slow = [tensor.detach().clone().requires_grad_() for tensor in network.slow_weights()]
    weights = (0.3 * random(2, 3, 3, seed=4)).requires_grad_()
    gates = torch.rand(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def layer(drives: torch.Tensor, weights: torch.Tensor, *slow: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = PlasticState(torch.zeros(2, 3).double(), torch.zeros(2, 3, 3).double(), weights)
        activities, end = run(drives, state, type(network.slow_weights())(*slow), trials(8, 2), gates=gates)
        return activities, end.weights, end.trace

    assert torch.autograd.gradcheck(layer, (drives, weights, *slow))


def test_flipping_alpha_and_gain_changes_nothing() -> None:
    """Exactly: signs of the modulator and of plasticity mean something together only."""
    for path in ("fast", "loop"):
        network = build(path=path)
        inputs, resets = random(16, 3, 5), trials(16, 3)
        outputs, end = network(inputs, None, resets)
        with torch.no_grad():
            network.plasticity.neg_()
            network.gain.neg_()
        flipped, other = network(inputs, None, resets)
        assert torch.equal(outputs, flipped)
        assert torch.equal(end.weights, -other.weights)


def test_tanh_series() -> None:
    """Errors of the published scheme's orders: 4e-8 at K = 7 (float32), round-off at K = 14 (float64)."""
    x = np.linspace(-1, 1, 2001)
    for count, bound in ((7, 6e-8), (14, 5e-15)):
        series = sum(a * x ** (2 * k + 1) for k, a in enumerate(odd_tanh_series(count)))
        assert np.abs(series - np.tanh(x)).max() < bound


@pytest.mark.parametrize(("steps", "first"), [(16, 0), (18, 2), (19, 0)])
@pytest.mark.parametrize("gated", [False, True])
def test_stream_equals_sequence(steps: int, first: int, gated: bool) -> None:
    """Steps give the outputs of the whole; what was recorded has its gradients."""
    network, inputs, resets = build(), random(steps, 3, 5), trials(steps, 3, first)
    gates = (torch.arange(steps) < 9).double()[:, None].expand(steps, 3) if gated else None
    start = network.initial_state(3)
    stream = network.stream(start, resets, record=True, gates=gates)
    outputs, states = [], []
    for x in inputs:
        outputs.append(stream.step(x))
        states.append(stream.state)
    outputs = torch.stack(outputs)
    assert not outputs.requires_grad
    for t in (0, 3, 5, 6, 11, steps - 1):
        upto = slice(0, t + 1)
        gate = None if gates is None else gates[upto]
        _, state = run_loop(
            network.encode(inputs[upto]), start, network.slow_weights(), resets[upto], gates=gate
        )
        assert_agree([*states[t]], [*state])
    recording = stream.recorded()
    drives = network.encode(inputs)
    features, end = run_loop(drives, start, network.slow_weights(), resets, gates=gates)
    assert_agree([outputs, recording.outputs], [network.readout(features)] * 2)
    assert_agree([*stream.state], [*end])
    for got, expected in zip(
        torch.autograd.grad(recording.features.square().sum() + recording.state[2].sum(), network.recurrent),
        torch.autograd.grad(features.square().sum() + end.weights.sum(), network.recurrent),
        strict=True,
    ):
        assert_agree([got], [expected])


def test_a_stream_must_be_recorded_and_whole() -> None:
    network = build()
    stream = network.stream(network.initial_state(2), trials(8, 2), record=True)
    stream.step(random(2, 5))
    with pytest.raises(RuntimeError, match="remaining steps"):
        stream.recorded()
    with pytest.raises(RuntimeError, match="record=True"):
        network.stream(network.initial_state(2), trials(8, 2)).recorded()


@pytest.mark.parametrize(("shape", "size"), [("unit", (7, 1)), ("one", (1, 1))])
def test_shared_plasticity(shape: str, size: tuple[int, int]) -> None:
    network = build(plasticity=shape)
    assert network.plasticity.shape == size
    inputs, start = random(12, 2, 5), network.initial_state(2)
    fast = everything(network, inputs, start, trials(12, 2), "fast")
    assert_agree(fast, everything(network, inputs, start, trials(12, 2), "loop"))


def test_published_parameter_count() -> None:
    """200 units, 37 inputs: 88 607 (Miconi & Kay 2025, released networks)."""
    assert sum(p.numel() for p in Neuromodulated(37, 200, 2).parameters()) == 88_607


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Neuromodulated(3, 0, 2), "hidden_size=0"),
        (lambda: Neuromodulated(3, 4, 2, plasticity="row"), "plasticity='row'"),
        (lambda: Neuromodulated(3, 4, 2, clip=0), "clip=0"),
        (lambda: Neuromodulated(3, 4, 2, path="quick"), "path='quick'"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---- published files --------------------------------------------------------------------------------


def published(units: int = 6, inputs: int = 37) -> dict[str, torch.Tensor]:
    """A state dict as the released networks have it."""
    shapes = {
        "w": (units, units), "alpha": (units, units), "etaet": (1,), "DAmult": (1,),
        "i2h.weight": (units, inputs), "i2h.bias": (units,), "h2DA.weight": (2, units), "h2DA.bias": (2,),
        "h2o.weight": (2, units), "h2o.bias": (2,), "h2v.weight": (1, units), "h2v.bias": (1,),
    }  # fmt: skip
    return {name: random(*shape, seed=i).float() for i, (name, shape) in enumerate(shapes.items())}


def test_published_files_are_read(tmp_path: Path) -> None:
    content = published()
    torch.save(content, tmp_path / "net.dat")
    agent = plastic_agents.load(tmp_path / "net.dat", device="cpu")
    assert isinstance(agent, plastic_agents.NetworkAgent)
    network = agent.network
    assert isinstance(network, Neuromodulated)
    assert (agent.name, network.num_features) == ("neuromodulated", 6)
    assert torch.equal(network.recurrent, content["w"])
    assert torch.equal(network.trace_rate, content["etaet"])
    assert torch.equal(network.modulator.weight, content["h2DA.weight"])
    assert torch.equal(network.value.weight, content["h2v.weight"])  # type: ignore[arg-type]
    agent.save(tmp_path / "agent.pt")
    again = plastic_agents.load(tmp_path / "agent.pt", device="cpu")
    episodes = agent.task.sample(np.random.default_rng(0), 3)
    np.testing.assert_array_equal(agent.act_on(episodes.copy()), again.act_on(episodes.copy()))


def _without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in published().items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_without("alpha"), r"missing here: \['alpha'\]"),
        ({**published(), "extra": torch.zeros(1)}, r"unknown: \['extra'\]"),
        ({**published(), "h2DA.weight": torch.zeros(1, 6)}, r"h2DA.weight.*\(1, 6\), \(2, 6\)"),
        ({**published(), "w": 3.0}, r"'w': \(\(\), \(6, 6\)\)"),
        (published(inputs=20), r"does not fit TransitiveInference.*encode.weight.*\(6, 20\), \(6, 37\)"),
        ({"weight": torch.zeros(2)}, "not an agent of this suite"),
        ([torch.zeros(2)], "got a list, expected a dictionary"),
    ],
)
def test_other_files_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.dat")
    with pytest.raises(ValueError, match=message):
        plastic_agents.load(tmp_path / "net.dat", device="cpu")


def test_files_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save(build(), tmp_path / "net.dat")  # a pickled module
    (tmp_path / "text.dat").write_text("no network")
    for name in ("net.dat", "text.dat"):
        with pytest.raises(ValueError, match=f"{name}.*is damaged, or not a file of this suite"):
            plastic_agents.load(tmp_path / name, device="cpu")


def test_an_untrained_network_is_at_chance() -> None:
    agent = plastic_agents.make("neuromodulated", "TransitiveInference-v0", device="cpu", hidden_size=20)
    task = plastic_envs.make_task("TransitiveInference-v0").with_split("test")
    episodes = task.sample(np.random.default_rng(0), 300)
    score = task.metrics(episodes, agent.act_on(episodes, task))["score"]
    assert abs(score - 0.5) < 4 * 0.5 / np.sqrt(3000)
