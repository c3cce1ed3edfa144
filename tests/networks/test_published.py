"""The published plastic network: its equations, and its fast path against the plain loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from plastic_agents.networks.normalised_hebb import rule as normalised_hebb
from plastic_agents.networks.normalised_hebb.network import PublishedPlastic, PublishedState
from plastic_agents.networks.normalised_hebb.rule import normalised_hebbian, write

NODES, ACTIONS = 5, 4
NODE, ACTION = slice(0, NODES), slice(NODES, NODES + ACTIONS)
REACHED, MODE = slice(9, 14), slice(14, 16)


class LoopTaken(Exception):
    """Raised in place of the plain loop by `no_loop`."""


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LoopTaken

    monkeypatch.setattr(normalised_hebb, "normalised_hebbian_loop", refuse)


def problem(
    writes: int, reads: int, dtype: torch.dtype = torch.float64, units: int = 6, cue: int = 7, batch: int = 3
) -> list[torch.Tensor]:
    """Keys, values, queries and a start, rectified as the network's are; norms of a write around 1."""
    generator = torch.Generator().manual_seed(0)
    keys, values, queries, start = (
        torch.randn(batch, *shape, generator=generator, dtype=torch.float64)
        for shape in ((writes, cue), (writes, units), (reads, cue), (units, cue))
    )
    start = start / torch.linalg.vector_norm(start, dim=2, keepdim=True)
    tensors = [keys.relu() * 0.6, values.relu() * 0.6, queries.relu(), start]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def grads_of(
    tensors: list[torch.Tensor],
    writes_before: list[int],
    mask: torch.Tensor | None,
    path: str,
    chunk: int = 48,
) -> list[torch.Tensor]:
    """Reads, last weights, and the gradients of a fixed random function of both."""
    tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    keys, values, queries, start = tensors
    reads, weights = normalised_hebbian(
        keys, values, queries, start, writes_before, mask, path=path, chunk=chunk
    )
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)).sum()
        for x in (reads, weights)
    )
    assert isinstance(loss, torch.Tensor)
    return [reads, weights, *torch.autograd.grad(loss, tensors)]


def assert_agree(got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Agreement relative to each tensor's largest entry: 1e-10 in float64, 1e-5 in float32."""
    for one, other in zip(got, expected, strict=True):
        tolerance = 1e-10 if other.dtype == torch.float64 else 1e-5
        assert (one - other).abs().max() <= tolerance * other.abs().max()


PATTERNS = {
    "write then read": lambda n: list(range(1, n + 1)),
    "read then write": lambda n: list(range(n)),
    "uneven": lambda n: [0, 0, n // 3, n // 3, n],
    "reads first": lambda n: [0, 0],
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("steps", "chunk"), [(1, 1), (6, 1), (7, 3), (40, 17), (33, 32), (20, 64)])
def test_fast_equals_loop(steps: int, chunk: int, masked: bool, pattern: str, dtype: torch.dtype) -> None:
    writes_before = PATTERNS[pattern](steps)
    tensors = problem(steps, len(writes_before), dtype)
    # The rule is not bound to unit rows at the start, nor to a row that has been written.
    with torch.no_grad():
        tensors[3] *= torch.linspace(0.5, 2, 6, dtype=dtype).unsqueeze(1)
    mask = torch.rand(3, steps, generator=torch.Generator().manual_seed(2)) < 0.5 if masked else None
    fast = grads_of(tensors, writes_before, mask, "fast", chunk)
    assert_agree(fast, grads_of(tensors, writes_before, mask, "loop"))


@pytest.mark.usefixtures("no_loop")
def test_fast_path_is_taken() -> None:
    tensors = problem(12, 12)
    grads_of(tensors, list(range(12)), None, "fast", 5)
    with torch.no_grad():
        normalised_hebbian(*tensors, list(range(12)))
    with pytest.raises(LoopTaken):
        grads_of(tensors, list(range(12)), None, "loop")


def test_masked_rows_keep_their_weights() -> None:
    tensors = problem(9, 1)
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[1] = True
    with torch.no_grad():
        tensors[3] *= 1.5
        _, weights = normalised_hebbian(*tensors, [9], mask, chunk=4)
        _, without = normalised_hebbian(*tensors, [9], chunk=4)
    torch.testing.assert_close(weights[[0, 2]], tensors[3][[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(weights[1], without[1], rtol=1e-12, atol=1e-12)


def test_norm_after_a_write() -> None:
    """What the dual form rests on: with r = P k, squared norms go from 1 to 1 + 2 v r + v^2 |k|^2."""
    keys, values, _, start = (tensor.detach() for tensor in problem(1, 1))
    key, value = keys[:, 0], values[:, 0]
    norms = torch.linalg.vector_norm(start + value.unsqueeze(2) * key.unsqueeze(1), dim=2)
    through = torch.einsum("bhj,bj->bh", start, key)
    expected = 1 + 2 * value * through + value**2 * (key**2).sum(1, keepdim=True)
    torch.testing.assert_close(norms**2, expected, rtol=1e-13, atol=1e-13)
    rows = torch.linalg.vector_norm(write(start, key, value), dim=2)
    torch.testing.assert_close(rows, torch.ones_like(rows), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_against_finite_differences(masked: bool) -> None:
    tensors = problem(5, 4, units=3, cue=3, batch=2)
    mask = torch.tensor([[True, True, False, True, True], [False, False, True, True, False]])

    def run(*arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return normalised_hebbian(*arguments, [0, 2, 3, 5], mask if masked else None, chunk=2)

    assert torch.autograd.gradcheck(run, tensors)


@pytest.mark.usefixtures("no_loop")
def test_scales_stay_in_range() -> None:
    """N is a product of norms: in one chunk its square leaves float32 (256 units, 100 writes)."""
    tensors = problem(100, 100, torch.float32, units=256, cue=256, batch=2)
    with torch.no_grad():
        grown = 0.5 * (1 + (tensors[1].square() * tensors[0].square().sum(2, keepdim=True))).log2()
        assert 2 * grown.sum(1).max() > 128
    results = grads_of(tensors, list(range(1, 101)), None, "fast", chunk=1000)
    assert all(torch.isfinite(tensor).all() for tensor in results)


def test_default_network_stays_in_range() -> None:
    """Default initialisation at 256 units and 100 steps, the case that gave NaN in one chunk."""
    torch.manual_seed(0)
    network = PublishedPlastic(9, 256, NODES, (NODE, ACTION), NODE, chained=True, chunk=1000)
    walk = random_walk(100, 2).float()
    outputs, state = network(walk)
    outputs.square().sum().backward()
    network.path = "loop"
    expected, end = network(walk)
    assert_agree([outputs, state.weights], [expected, end.weights])
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def cancelling(keys: torch.Tensor, values: torch.Tensor, start: torch.Tensor) -> None:
    """Make the third write all but remove the rows it is added to."""
    keys[:, 2] = 0.7 * start[:, 0]
    keys[:, :2] = 0
    values[:, 2] = -1 / 0.7 + 1e-5
    start[:] = start[:, :1]


@pytest.mark.parametrize("case", ["zero row", "huge write", "cancelled row"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_falls_back_to_the_loop(case: str, dtype: torch.dtype, request: pytest.FixtureRequest) -> None:
    tensors = problem(6, 6, dtype)
    keys, values, _, start = tensors
    with torch.no_grad():
        if case == "zero row":
            start[1, 2] = 0
        elif case == "huge write":
            keys[0, 3] *= 1e13 if dtype == torch.float32 else 1e80
            values[0, 3] *= 1e13 if dtype == torch.float32 else 1e80
        else:
            cancelling(keys, values, start)
    writes_before = list(range(1, 7))
    fast, loop = (grads_of(tensors, writes_before, None, path) for path in ("fast", "loop"))
    for one, other in zip(fast, loop, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    request.getfixturevalue("no_loop")
    with pytest.raises(LoopTaken):
        grads_of(tensors, writes_before, None, "fast")


@pytest.mark.parametrize(
    ("writes_before", "options", "message"),
    [
        ([1], {}, "needs 2 numbers"),
        ([2, 1], {}, "ascending"),
        ([0, 5], {}, "must lie in 0 ... 4"),
        ([0, 1], {"path": "quick"}, "choose 'fast' or 'loop'"),
        ([0, 1], {"chunk": 0}, "at least 1 write"),
    ],
)
def test_mistakes_are_named(writes_before: list[int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalised_hebbian(*problem(4, 2), writes_before, **options)


# ---- the network ------------------------------------------------------------------------------------


def random_walk(steps: int, batch: int) -> torch.Tensor:
    """One-hot node and action at each step, (steps, batch, n + A), float64; any content will do here."""
    generator = torch.Generator().manual_seed(5)
    nodes = torch.randint(NODES, (steps, batch), generator=generator)
    actions = torch.randint(ACTIONS, (steps, batch), generator=generator)
    return torch.cat([functional.one_hot(nodes, NODES), functional.one_hot(actions, ACTIONS)], 2).double()


def interleaved(walk: torch.Tensor) -> torch.Tensor:
    """The walk as acquire and predict steps: acquire (x_{t-1}, a_{t-1}, x_t), then predict (x_t, a_t)."""
    steps, batch, _ = walk.shape
    acquire, predict = torch.zeros(2, steps - 1, batch, 16, dtype=walk.dtype)
    acquire[..., :9], acquire[..., REACHED], acquire[..., 15] = walk[:-1], walk[1:, :, NODE], 1
    predict[..., :9], predict[..., 14] = walk[1:], 1
    first = torch.zeros(1, batch, 16, dtype=walk.dtype)
    first[..., :9], first[..., 14] = walk[:1], 1
    return torch.cat([first, torch.stack([acquire, predict], 1).flatten(0, 1)])


def build(hidden_size: int = 12, **options: Any) -> PublishedPlastic:
    torch.manual_seed(3)
    outcome = NODE if options.get("chained") else REACHED
    return PublishedPlastic(16, hidden_size, NODES, (NODE, ACTION), outcome, **{"mode": MODE, **options})


def published_by_hand(
    parameters: dict[str, npt.NDArray[np.float64]],
    walk: npt.NDArray[np.float64],
    fast: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The published forward pass for one walk (T, n + A), sample by sample and unit by unit; also the last P.

    Source: the published graph-walk system's plastic network.
    """
    fast = fast.copy()
    cue_weight, cue_bias = parameters["encode_cue.weight"], parameters["encode_cue.bias"]

    def encode(step: npt.NDArray[np.float64], mode: list[float]) -> npt.NDArray[np.float64]:
        return np.maximum(cue_weight @ np.concatenate([step, mode]) + cue_bias, 0)

    logits = []
    for t in range(len(walk)):
        if t > 0:
            key = encode(walk[t - 1], [0, 1])
            reached = parameters["encode_outcome.weight"] @ walk[t, :NODES]
            value = np.maximum(reached + parameters["encode_outcome.bias"], 0)
            for i in range(len(fast)):
                fast[i] = fast[i] + value[i] * key
                fast[i] = fast[i] / max(math.sqrt(float(fast[i] @ fast[i])), 1e-8)
        hidden = np.maximum(fast @ encode(walk[t], [1, 0]), 0)
        middle = parameters["readout.0.weight"] @ hidden + parameters["readout.0.bias"]
        logits.append(parameters["readout.2.weight"] @ np.maximum(middle, 0) + parameters["readout.2.bias"])
    return np.stack(logits), fast


@pytest.mark.parametrize("path", ["fast", "loop"])
@pytest.mark.parametrize("form", ["chained", "interleaved"])
def test_network_is_the_published_one(form: str, path: str) -> None:
    walk = random_walk(11, 3)
    network = build(chained=form == "chained", path=path, chunk=4).double()
    start = network.initial_state(3, torch.Generator().manual_seed(9))
    if form == "chained":
        shown = functional.pad(walk, (0, 7))
        shown[..., 14] = 1
        logits, end = network(shown, start)
    else:
        logits, end = network(interleaved(walk), start)
        assert not logits[1::2].any()
        logits = logits[::2]
    parameters = {name: value.detach().numpy() for name, value in network.named_parameters()}
    for row in range(3):
        expected, fast = published_by_hand(parameters, walk[:, row].numpy(), start.weights[row].numpy())
        np.testing.assert_allclose(logits[:, row].detach().numpy(), expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(end.weights[row].detach().numpy(), fast, rtol=1e-10, atol=1e-12)


def gradients(
    network: PublishedPlastic, inputs: torch.Tensor, state: PublishedState, path: str
) -> list[torch.Tensor]:
    """Outputs, last weights and every parameter's gradient."""
    network.path = path  # type: ignore[assignment]
    outputs, end = network(inputs, state)
    target = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(4)).to(outputs.dtype)
    grads = torch.autograd.grad((outputs * target).sum(), list(network.parameters()))
    return [outputs.detach(), end.weights.detach(), *grads]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("chunk", [1, 7, 48])
@pytest.mark.parametrize("form", ["chained", "interleaved", "rows differ", "rows differ, chained"])
def test_network_fast_equals_loop(form: str, chunk: int, dtype: torch.dtype) -> None:
    network = build(32, chained="chained" in form, chunk=chunk).to(dtype)
    inputs = interleaved(random_walk(20, 4)).to(dtype)
    state = network.initial_state(4)
    if form == "rows differ":  # every row its own pattern, steps that do nothing among them
        inputs = torch.stack([inputs[:, row].roll(row, dims=0) for row in range(4)], dim=1)
        inputs[30:, 2] = 0
    elif form == "rows differ, chained":  # some rows have been asked before; some steps do not ask
        inputs[..., MODE] = torch.tensor([1.0, 0.0], dtype=dtype)
        inputs[5, 1, MODE] = 0
        cue = inputs[3, :, :9]
        state = state._replace(cue=cue, has_cue=torch.tensor([True, False, False, True]))
    fast = gradients(network, inputs, state, "fast")
    assert_agree(fast, gradients(network, inputs, state, "loop"))


def test_rows_with_different_patterns_equal_rows_alone() -> None:
    network = build().double()
    inputs = interleaved(random_walk(8, 3))
    inputs = torch.stack([inputs[:, row].roll(row, dims=0) for row in range(3)], dim=1)
    start = network.initial_state(3)
    outputs, end = network(inputs, start)
    for row in range(3):
        alone, last = network(inputs[:, [row]], PublishedState(*(x[[row]] for x in start)))
        torch.testing.assert_close(outputs[:, [row]], alone, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(end.weights[[row]], last.weights, rtol=1e-10, atol=1e-12)


def test_modes_are_read_from_the_outcome_if_there_are_no_bits() -> None:
    inputs = interleaved(random_walk(6, 2))
    with_bits, without = build().double(), build(mode=None).double()
    torch.testing.assert_close(with_bits(inputs)[0], without(inputs)[0], rtol=0, atol=0)


def test_padding_changes_nothing() -> None:
    for chained in (False, True):
        network = build(chained=chained).double()
        inputs = interleaved(random_walk(4, 2))
        outputs, end = network(inputs)
        padded, last = network(functional.pad(inputs, (0, 0, 0, 0, 0, 3)))
        torch.testing.assert_close(padded[:-3], outputs)
        assert not padded[-3:].any()
        for one, other in zip(end, last, strict=True):
            torch.testing.assert_close(one, other)


def test_start_is_random_rows_of_unit_norm() -> None:
    network = build(64)
    one = network.initial_state(5, torch.Generator().manual_seed(1)).weights
    norms = torch.linalg.vector_norm(one, dim=2)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    assert abs(float(one.mean())) < 4 / math.sqrt(one.numel() * 64)
    assert torch.equal(one, network.initial_state(5, torch.Generator().manual_seed(1)).weights)
    assert not torch.equal(one, network.initial_state(5, torch.Generator().manual_seed(2)).weights)
    default = network.initial_state(5, torch.Generator().manual_seed(0)).weights
    assert torch.equal(default, network.initial_state(5).weights)
