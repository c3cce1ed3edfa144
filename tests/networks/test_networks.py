"""What every network must hold: whole sequence == step by step, explicit state, rows apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from plastic_agents.networks import (
    CausalTransformer,
    Network,
    Neuromodulated,
    PublishedPlastic,
    TorchRecurrent,
    detach,
    where_rows,
)
from plastic_agents.networks.base import recall
from plastic_agents.networks.delta_rule.network import Binding, BoundFastWeights, FreeFastWeights

NODES, ACTIONS = 4, 3
SIZE = 2 * NODES + ACTIONS + 2
NODE, ACTION = slice(0, NODES), slice(NODES, NODES + ACTIONS)
REACHED = slice(NODES + ACTIONS, 2 * NODES + ACTIONS)
MODE = slice(SIZE - 2, SIZE)


def published(**options: Any) -> PublishedPlastic:
    outcome = NODE if options.get("chained") else REACHED
    return PublishedPlastic(SIZE, 12, NODES, (NODE, ACTION), outcome, MODE, **options)


def bound(**options: Any) -> BoundFastWeights:
    chained = options.pop("chained", False)
    return BoundFastWeights(SIZE, NODES, Binding((NODE, ACTION), REACHED, 0, chained), key_size=8, **options)


NETWORKS: dict[str, Callable[[], Network[Any]]] = {
    "published": published,
    "published-loop": lambda: published(path="loop"),
    "published-small-chunk": lambda: published(chunk=3),
    "published-chained": lambda: published(chained=True),
    "rnn": lambda: TorchRecurrent(SIZE, 12, NODES),
    "gru-history": lambda: TorchRecurrent(SIZE, 12, NODES, "gru", history=2),
    "lstm": lambda: TorchRecurrent(SIZE, 12, NODES, "lstm"),
    "transformer": lambda: CausalTransformer(SIZE, NODES, 16, num_heads=2, history=1),
    "transformer-short": lambda: CausalTransformer(SIZE, NODES, 16, num_heads=2, context=5),
    "bound": bound,
    "bound-chained": lambda: bound(chained=True),
    "free": lambda: FreeFastWeights(SIZE, NODES, key_size=8, value_size=6, hidden_size=10),
    "neuromodulated": lambda: Neuromodulated(SIZE, 12, NODES),
    "neuromodulated-loop": lambda: Neuromodulated(SIZE, 12, NODES, path="loop"),
    "transformer-blind": lambda: CausalTransformer(SIZE, NODES, 16, num_heads=2, context=1),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network[Any]:
    torch.manual_seed(0)
    return NETWORKS[request.param]()


def walk(steps: int, batch: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Interleaved acquire and predict steps (steps, batch, SIZE) with random content."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.zeros(steps, batch, SIZE, dtype=dtype)
    for part, size in ((NODE, NODES), (ACTION, ACTIONS), (REACHED, NODES)):
        index = torch.randint(size, (steps, batch, 1), generator=generator)
        inputs[..., part].scatter_(2, index, 1.0)
    acquires = torch.arange(steps) % 2 == 0
    inputs[~acquires, :, REACHED] = 0
    inputs[acquires, :, MODE.start + 1] = 1
    inputs[~acquires, :, MODE.start] = 1
    return inputs


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = 1e-10 if got.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("grad", [True, False])
def test_sequence_equals_steps(network: Network[Any], dtype: torch.dtype, grad: bool) -> None:
    network = network.to(dtype)
    inputs, start = walk(13, 3, dtype), network.initial_state(3)
    with torch.set_grad_enabled(grad):
        outputs, end = network(inputs, start)
        state, steps = start, []
        for step in inputs.split([1] * 13):
            output, state = network(step, state)
            steps.append(output)
        halves, middle = network(inputs[:6], start)
        rest, last = network(inputs[6:], middle)
    close(torch.cat(steps), outputs)
    close(torch.cat([halves, rest]), outputs)
    for one, other, third in zip(end, state, last, strict=True):
        close(other.to(dtype), one.to(dtype))
        close(third.to(dtype), one.to(dtype))


RESETS = {
    "somewhere": lambda: torch.rand(21, 3, generator=torch.Generator().manual_seed(3)) < 0.2,
    "trials": lambda: (torch.arange(21) % 4 == 0)[:, None].expand(21, 3),
    "trials, late": lambda: (torch.arange(21) % 4 == 2)[:, None].expand(21, 3),
    "one row": lambda: torch.stack([torch.arange(21) == 9, *[torch.zeros(21, dtype=torch.bool)] * 2], dim=1),
}


@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("pattern", RESETS)
def test_resets_in_a_sequence_equal_resets_at_steps(
    network: Network[Any], pattern: str, dtype: torch.dtype
) -> None:
    """Whole, in halves, step by step, streamed; and a reset is activity put back to the start, by hand."""
    network = network.to(dtype)
    inputs, resets = walk(21, 3, dtype), RESETS[pattern]()
    fresh = network.initial_state(3)
    _, start = network(walk(5, 3, dtype, seed=2))
    start = detach(start)
    outputs, end = network(inputs, start, resets)
    stream = network.stream(start, resets, record=True)
    streamed = torch.stack([stream.step(x) for x in inputs])
    state, steps, by_hand, hand = start, [], start, []
    for t in range(21):
        output, state = network(inputs[t : t + 1], state, resets[t : t + 1])
        steps.append(output)
        kept = {name: getattr(by_hand, name) for name in network.fast_weights}
        by_hand = where_rows(resets[t], fresh, by_hand)._replace(**kept)
        output, by_hand = network(inputs[t : t + 1], by_hand)
        hand.append(output)
    halves, middle = network(inputs[:10], start, resets[:10])
    rest, last = network(inputs[10:], middle, resets[10:])
    for other in (torch.cat(steps), streamed, torch.cat([halves, rest]), torch.cat(hand)):
        close(other, outputs)
    for name in type(end)._fields:
        if isinstance(network, CausalTransformer) and name in ("keys", "values"):
            continue  # what was forgotten is not read again, and may stand there
        for other in (state, stream.state, last, by_hand):
            close(getattr(other, name).to(dtype), getattr(end, name).to(dtype))
    if pattern == "trials" and not network.fast_weights:  # nothing is left of earlier trials
        alone, _ = network(inputs[20:], fresh)
        close(outputs[20:], alone)


def test_recorded_stream_has_the_gradients_of_the_sequence(network: Network[Any]) -> None:
    network = network.double()
    inputs, resets = walk(12, 3, torch.float64), RESETS["trials"]()[:12]
    start, weight = network.initial_state(3), next(iter(network.parameters()))
    stream = network.stream(start, resets, record=True)
    for x in inputs:
        assert not stream.step(x).requires_grad
    recording, (outputs, features, _) = stream.recorded(), network.run(inputs, start, resets)
    close(recording.outputs, outputs)
    close(recording.features, features)
    for one, other in zip(
        torch.autograd.grad(recording.outputs.square().sum(), weight),
        torch.autograd.grad(outputs.square().sum(), weight),
        strict=True,
    ):
        close(one, other)


def test_resets_can_be_ignored() -> None:
    for make in (
        lambda keep: TorchRecurrent(SIZE, 12, NODES, "lstm", history=1, keep_activity=keep),
        lambda keep: CausalTransformer(SIZE, NODES, 16, num_heads=2, keep_activity=keep),
        lambda keep: FreeFastWeights(SIZE, NODES, keep_activity=keep),
        lambda keep: Neuromodulated(SIZE, 12, NODES, keep_activity=keep),
    ):
        torch.manual_seed(0)
        keeps = make(True)
        forgets = make(False)
        forgets.load_state_dict(keeps.state_dict())
        inputs, resets = walk(9, 2), RESETS["trials"]()[:9, :2]
        assert torch.equal(keeps(inputs, None, resets)[0], forgets(inputs)[0])
        assert not torch.allclose(keeps(inputs)[0], forgets(inputs, None, resets)[0])
        stream = keeps.stream(keeps.initial_state(2), resets)
        close(torch.stack([stream.step(x) for x in inputs]), keeps(inputs)[0])


def test_resets_must_fit_the_inputs() -> None:
    network = TorchRecurrent(SIZE, 12, NODES)
    with pytest.raises(ValueError, match=r"shape \(3,\), expected bool of shape \(4, 3\)"):
        network(walk(4, 3), None, torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"torch\.float32"):
        network(walk(4, 3), None, torch.zeros(4, 3))


def test_called_like_a_torch_layer(network: Network[Any]) -> None:
    for batch in (1, 5, 2):
        outputs, state = network(walk(6, batch))
        features = network.run(walk(6, batch)).features
        assert outputs.shape == (6, batch, network.num_outputs)
        assert features.shape == (6, batch, network.num_features)
        assert all(tensor.shape[0] == batch for tensor in state)
        shapes = [tensor.shape for tensor in network.initial_state(batch)]
        assert [tensor.shape for tensor in state] == shapes
        assert [t.dtype for t in state] == [t.dtype for t in network.initial_state(batch)]


def test_readout_of_features_is_output(network: Network[Any]) -> None:
    inputs = walk(8, 2)
    outputs, _ = network(inputs)
    read = network.readout(network.run(inputs).features)
    if isinstance(network, PublishedPlastic):
        asked = inputs[..., MODE.start] > 0
        assert not outputs[~asked].any()
        outputs, read = outputs[asked], read[asked]
    close(read, outputs)


def test_state_is_explicit(network: Network[Any]) -> None:
    """No side effects, nothing of a batch's size in what is saved, default state as documented."""
    inputs, before = walk(7, 3), {k: v.clone() for k, v in network.state_dict().items()}
    start = network.initial_state(3)
    copy = type(start)(*(tensor.clone() for tensor in start))
    first, _ = network(inputs, start)
    again, _ = network(inputs, start)
    default, _ = network(inputs)
    assert torch.equal(first, again)
    assert torch.equal(first, default)
    assert all(torch.equal(a, b) for a, b in zip(start, copy, strict=True))
    parameters = dict(network.named_parameters())
    assert set(network.state_dict()) == set(parameters)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_rows_do_not_leak(network: Network[Any]) -> None:
    network = network.double()
    inputs = walk(9, 4, torch.float64)
    other = walk(9, 4, torch.float64, seed=1)
    start = network.initial_state(4)
    mixed = inputs.clone()
    mixed[:, 1] = other[:, 1]
    outputs, changed = network(inputs, start)[0], network(mixed, start)[0]
    rows = [0, 2, 3]
    close(changed[:, rows], outputs[:, rows])
    assert not torch.allclose(changed[:, 1], outputs[:, 1])
    alone, _ = network(inputs[:, 2:3], type(start)(*(tensor[2:3] for tensor in start)))
    close(alone, outputs[:, 2:3])


def test_rows_start_anew(network: Network[Any]) -> None:
    """Rows put back to the start go on as from the start, the others as if nothing had happened."""
    network = network.double()
    before, after = walk(7, 3, torch.float64), walk(6, 3, torch.float64, seed=1)
    start = network.initial_state(3)
    _, state = network(before, start)
    mask = torch.tensor([False, True, False])
    mixed, _ = network(after, where_rows(mask, start, detach(state)))
    fresh, kept = network(after, start)[0], network(after, state)[0]
    close(mixed[:, 1], fresh[:, 1])
    close(mixed[:, [0, 2]], kept[:, [0, 2]])


def test_every_parameter_gets_a_gradient(network: Network[Any]) -> None:
    network.add_value_head()
    outputs, features, state = network.run(walk(12, 8))
    assert network.value is not None
    (outputs.square().sum() + network.value(features).square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    assert all(not tensor.requires_grad for tensor in detach(state))


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (PublishedPlastic(18, 128, 8, (slice(0, 8), slice(8, 18)), slice(0, 8), chained=True), 8_232),
        (PublishedPlastic(65, 128, 50, (slice(0, 50), slice(50, 65)), slice(0, 50), chained=True), 29_602),
        (TorchRecurrent(18, 1024, 8), 1_162_034),
    ],
)
def test_published_parameter_counts(network: Network[Any], count: int) -> None:
    """The published graph-walk system's reports print the first and the last figure (8 nodes, 10 labels)."""
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_history_shows_earlier_inputs() -> None:
    inputs = torch.arange(1.0, 9.0).view(4, 2, 1)  # row 0: 1 3 5 7
    shown, past = recall(inputs, torch.zeros(2, 2, 1))
    assert shown[:, 0].tolist() == [[1, 0, 0], [3, 1, 0], [5, 3, 1], [7, 5, 3]]
    assert past[0, :, 0].tolist() == [5, 7]
    shown, past = recall(inputs[:1], past)
    assert shown[0, 0].tolist() == [1, 7, 5]
    assert past[0, :, 0].tolist() == [7, 1]


def test_transformer_forgets_what_left_its_window() -> None:
    """With L layers, what was seen L (context - 1) steps ago and earlier than that no longer counts."""
    torch.manual_seed(0)
    network = CausalTransformer(SIZE, NODES, 16, num_layers=2, num_heads=2, context=4).double()
    inputs = walk(20, 1, torch.float64)
    changed = inputs.clone()
    changed[5] = walk(20, 1, torch.float64, seed=3)[5]
    one, other = network(inputs)[0], network(changed)[0]
    same = [torch.allclose(a, b, atol=1e-12, rtol=0) for a, b in zip(one, other, strict=True)]
    assert same == [not 5 <= t <= 5 + 2 * 3 for t in range(20)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TorchRecurrent(3, 4, 2, "elman"), "cell='elman': expected one of .*'lstm'"),
        (lambda: TorchRecurrent(3, 4, 2, history=-1), "history=-1"),
        (lambda: CausalTransformer(3, 2, 18, num_heads=4), "even multiple"),
        (lambda: CausalTransformer(3, 2, context=0), "context=0"),
        (lambda: CausalTransformer(3, 2, history=-1), "history=-1"),
        (lambda: PublishedPlastic(3, 4, 2, (), slice(0, 2)), "at least one field"),
        (lambda: PublishedPlastic(3, 4, 2, (slice(0, 2),), slice(2, 4)), "within the 3 inputs"),
        (lambda: PublishedPlastic(5, 4, 2, (slice(0, 2),), slice(2, 4), slice(4, 5)), "two bits"),
        (lambda: PublishedPlastic(5, 4, 2, (slice(0, 2),), slice(2, 4), chained=True), "must be the first"),
        (lambda: PublishedPlastic(5, 0, 2, (slice(0, 2),), slice(2, 4)), "hidden_size=0"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
