"""The delta-rule memory: the solve against the rule itself, and what the rule promises."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plastic_agents.networks.delta_rule.network import Binding, BoundFastWeights, FreeFastWeights
from plastic_agents.networks.delta_rule.rule import associate, associate_loop


def problem(num_steps: int, writes_per_step: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0):
    """Random arguments of `associate`: writes at two steps of three, reads at every other step."""
    g = torch.Generator().manual_seed(seed)
    write_times = torch.tensor([t for t in range(num_steps) if t % 3 for _ in range(writes_per_step)])
    read_times = torch.arange(0, num_steps, 2)
    rows, key_size, value_size = 3, 5, 4

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=dtype)

    return (
        F.normalize(normal(rows, len(write_times), key_size), dim=-1).requires_grad_(),
        normal(rows, len(write_times), value_size).requires_grad_(),
        torch.rand(rows, len(write_times), generator=g, dtype=dtype).requires_grad_(),
        write_times,
        normal(rows, len(read_times), key_size).requires_grad_(),
        read_times,
        normal(rows, value_size, key_size).requires_grad_(),
        torch.tensor(-0.03, dtype=dtype).requires_grad_(),
        num_steps,
    )


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize(("num_steps", "chunk"), [(1, 4), (2, 1), (7, 1), (24, 5), (24, 16), (24, 1000)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_solve_equals_loop_with_all_gradients(delta, num_steps, chunk, dtype, tolerance):
    """Reads, final memory and every gradient agree, also where a chunk cuts a step's writes apart."""
    found = []
    for form, extra in ((associate, {"chunk": chunk}), (associate_loop, {})):
        arguments = problem(num_steps, dtype=dtype)
        reads, memory = form(*arguments, delta=delta, **extra)
        (reads.square().mean() + memory.square().mean()).backward()
        grads = [a.grad for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
        found.append([reads, memory, *[torch.zeros(1) if g is None else g for g in grads]])
    for fast, plain in zip(*found, strict=True):
        scale = max(1.0, float(plain.detach().abs().max()) if plain.numel() else 1.0)
        torch.testing.assert_close(fast, plain, atol=tolerance * scale, rtol=0)


def test_gradients_against_finite_differences():
    """Analytic gradients of the solve equal numerical ones."""
    arguments = problem(6)
    floats = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]

    def run(*values: torch.Tensor):
        fresh = iter(values)
        full = [next(fresh) if isinstance(a, torch.Tensor) and a.requires_grad else a for a in arguments]
        return associate(*full, delta=True, chunk=3)

    assert torch.autograd.gradcheck(run, floats)


def test_delta_rule_reads_back_what_it_wrote_last_and_overwrites():
    """At full strength a read returns the last value stored under a key, whatever stood there before."""
    key = F.normalize(
        torch.randn(1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    keys = key.expand(1, 3, 8)
    values = torch.eye(3, dtype=torch.float64)[None]
    reads, _ = associate(
        keys, values, torch.ones(1, 3, dtype=torch.float64), torch.arange(3), keys, torch.arange(3),
        torch.zeros(1, 3, 8, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64), 3, delta=True,
    )  # fmt: skip
    torch.testing.assert_close(reads, values)


BINDING = Binding(cue=(slice(0, 4), slice(4, 9)), outcome=slice(9, 13), exchange=0, chained=False)


def walks(num_steps: int, rows: int, chained: bool = False, seed: int = 0) -> torch.Tensor:
    """Random observations [cue a 4 | cue b 5 | outcome 4 | unused 2], some showing outcomes."""
    g = torch.Generator().manual_seed(seed)
    inputs = torch.zeros(num_steps, rows, 15)
    for t in range(num_steps):
        for b in range(rows):
            inputs[t, b, int(torch.randint(4, (), generator=g))] = 1
            inputs[t, b, 4 + int(torch.randint(5, (), generator=g))] = 1
            if not chained and torch.rand((), generator=g) < 0.4:
                inputs[t, b, 9 + int(torch.randint(4, (), generator=g))] = 1
    return inputs


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("path", ["fast", "loop"])
def test_bound_network_streams_what_it_says_at_once(chained, path):
    """Step by step, in two halves, and whole: the same outputs and the same state."""
    torch.manual_seed(0)
    network = BoundFastWeights(
        15, 6, BINDING._replace(chained=chained), key_size=7, path=path, chunk=5
    ).double()
    inputs = walks(17, 3, chained).double()
    whole, end = network(inputs)
    assert whole.shape == (17, 3, 6)
    for cuts in (range(1, 17), [6]):
        state, parts = None, []
        for part in torch.tensor_split(inputs, list(cuts)):
            outputs, state = network(part, state)
            parts.append(outputs)
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-10, rtol=0)
        for a, b in zip(state, end, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_bound_network_paths_agree_with_gradients():
    """The solve and the loop give the same logits and parameter gradients in float32, within 1e-5 of the
    largest."""
    inputs, found = walks(20, 4), []
    for path in ("fast", "loop"):
        torch.manual_seed(0)
        network = BoundFastWeights(15, 4, BINDING, key_size=7, path=path, chunk=6)
        outputs, _ = network(inputs)
        outputs.square().sum().backward()
        found.append([outputs.detach(), *[p.grad for p in network.parameters()]])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-5 * max(1.0, float(plain.abs().max())), rtol=0)


def test_bound_network_rows_are_independent_and_inputs_untouched():
    """A row's outputs are the same alone and in a batch; state that was passed in is not written to."""
    torch.manual_seed(0)
    network = BoundFastWeights(15, 4, BINDING, key_size=7)
    inputs = walks(12, 5)
    whole, state = network(inputs)
    kept = [t.clone() for t in state]
    alone, _ = network(inputs[:, 2:3])
    torch.testing.assert_close(alone, whole[:, 2:3])
    network(inputs, state)
    for before, after in zip(kept, state, strict=True):
        assert torch.equal(before, after)


def test_readout_cannot_see_which_cue_is_asked():
    """Relabelling the second cue field (with its embeddings) changes nothing: the read-out has no access to
    its identity."""
    torch.manual_seed(0)
    network = BoundFastWeights(15, 4, BINDING, key_size=7)
    inputs, order = walks(12, 3), torch.tensor([3, 1, 4, 0, 2])
    relabelled = inputs.clone()
    relabelled[..., 4:9] = inputs[..., 4:9][..., order]
    outputs, _ = network(inputs)
    with torch.no_grad():
        network.embeddings[1].copy_(network.embeddings[1][order])
    again, _ = network(relabelled)
    torch.testing.assert_close(again, outputs, atol=1e-5, rtol=0)


def test_free_network_streams_and_paths_agree():
    """The form for any task: whole sequence == steps, solve == loop."""
    torch.manual_seed(0)
    network = FreeFastWeights(6, 3, key_size=8, value_size=5, hidden_size=9, window=3, chunk=4).double()
    inputs = torch.randn(13, 2, 6, dtype=torch.float64)
    whole, end = network(inputs)
    state, parts = None, []
    for step in inputs:
        outputs, state = network(step[None], state)
        parts.append(outputs)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-10, rtol=0)
    for a, b in zip(state, end, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_errors_name_the_remedy():
    """Constructor mistakes are caught where they are made."""
    with pytest.raises(ValueError, match=r"path='quick': expected one of \('fast', 'loop'\)"):
        BoundFastWeights(15, 4, BINDING, path="quick")
    with pytest.raises(ValueError, match=r"num_outputs=3.*4 elements"):
        BoundFastWeights(15, 3, BINDING)
    with pytest.raises(ValueError, match="window=0"):
        FreeFastWeights(6, 3, window=0)
