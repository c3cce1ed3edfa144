"""Derivatives of every kind through every fast path, against the loop (P3 of the report of faults).

They were silently wrong: `once_differentiable` raises under `backward` only, and `torch.autograd.grad` with
`inputs`, hence Hessians and penalties on gradients, dropped terms.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from plastic_agents.networks import MPN, Network, Neuromodulated
from plastic_agents.networks.normalised_hebb.rule import normalised_hebbian

Loss = Callable[[torch.Tensor], torch.Tensor]


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _mpn(**options: object) -> Callable[[str], tuple[nn.Module, torch.Tensor, Loss]]:
    def build(path: str) -> tuple[nn.Module, torch.Tensor, Loss]:
        torch.manual_seed(0)
        network = MPN(2, 6, 2, path=path, **options).double()  # type: ignore[arg-type]
        return network, drawn(5, 2, 2), lambda x: _squares(network, x)

    return build


def _padded(path: str) -> tuple[nn.Module, torch.Tensor, Loss]:
    network, x, _ = _mpn()(path)
    lengths = torch.tensor([5, 3])
    return network, x, lambda x: network.run(x, None, None, lengths)[1].square().sum()  # type: ignore[operator]


def _neuromodulated(clip: float, start: int) -> Callable[[str], tuple[nn.Module, torch.Tensor, Loss]]:
    def build(path: str) -> tuple[nn.Module, torch.Tensor, Loss]:
        torch.manual_seed(0)
        network = Neuromodulated(1, 4, 2, path=path, clip=clip).double()  # type: ignore[arg-type]
        with torch.no_grad():
            network.plasticity *= 30
            network.trace_rate.fill_(1.2)
        resets = torch.zeros(9, 2, dtype=torch.bool)
        resets[start::4] = True
        return network, drawn(9, 2, 1), lambda x: _squares(network, x, resets)

    return build


class _Hebbian(nn.Module):
    """The normalised rule, its keys, values and queries made of one input."""

    def __init__(self, path: str, mask: torch.Tensor | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.path, self.mask = path, mask
        self.maps = nn.ModuleList(nn.Linear(2, 3).double() for _ in range(3))
        self.start = nn.Parameter(nn.functional.normalize(drawn(2, 3, 3, seed=2), dim=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keys, values, queries = (torch.tanh(part(x)) for part in self.maps)
        reads, end = normalised_hebbian(
            keys, values, queries, self.start, [0, 2, 3, 5, 5], self.mask, path=self.path, chunk=3  # type: ignore[arg-type]
        )  # fmt: skip
        return reads.square().sum() + (end**3).sum()


def _hebbian(masked: bool) -> Callable[[str], tuple[nn.Module, torch.Tensor, Loss]]:
    mask = torch.tensor([[True, True, False, True, True], [False, False, True, True, False]])

    def build(path: str) -> tuple[nn.Module, torch.Tensor, Loss]:
        network = _Hebbian(path, mask if masked else None)
        return network, drawn(2, 5, 2), network

    return build


def _squares(network: Network, x: torch.Tensor, resets: torch.Tensor | None = None) -> torch.Tensor:
    outputs, state = network(x, None, resets)
    return outputs.square().sum() + sum((part**3).sum() for part in state)


FAST = {
    "mpn": _mpn(),
    "mpn, rates by synapse": _mpn(eta_shape="matrix", lambda_shape="matrix", lambda_trained=True),
    "mpn, additive": _mpn(plasticity="additive", bounds=None),
    "mpn, two layers": _mpn(depth=2, activation="sigmoid"),
    "mpn, padded": _padded,
    "neuromodulated, trials": _neuromodulated(50.0, 0),
    "neuromodulated, trials after a step": _neuromodulated(50.0, 1),
    "neuromodulated, some rows clipped": _neuromodulated(0.05, 0),
    "normalised rule": _hebbian(False),
    "normalised rule, masked": _hebbian(True),
}


def by_backward(network: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    """A penalty on the gradient, differentiated by `backward` twice."""
    x = x.clone().requires_grad_()
    loss(x).backward(create_graph=True)
    assert x.grad is not None
    penalty = x.grad.square().sum()
    x.grad = None
    for parameter in network.parameters():
        parameter.grad = None
    penalty.backward()
    return torch.cat([x.grad.ravel(), *(p.grad.ravel() for p in network.parameters() if p.grad is not None)])


def by_grad(network: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    """The same by `grad`, for some of the tensors only."""
    x, weight = x.clone().requires_grad_(), next(network.parameters())
    first = torch.autograd.grad(loss(x), [x, weight], create_graph=True)
    penalty = sum(g.square().sum() for g in first)
    return torch.cat([g.ravel() for g in torch.autograd.grad(penalty, [x, weight])])


def by_hessian(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    return torch.autograd.functional.hessian(loss, x)


def by_hvp(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    return torch.autograd.functional.hvp(loss, x, drawn(*x.shape, seed=3))[1]


def by_vhp(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    return torch.autograd.functional.vhp(loss, x, drawn(*x.shape, seed=3))[1]


def by_jvp(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Forward mode by differentiating backward twice."""
    return torch.autograd.functional.jvp(loss, x, drawn(*x.shape, seed=3))[1]


def by_forward_mode(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, drawn(*x.shape, seed=3)))).tangent
        assert tangent is not None
        return tangent.clone()


def by_func_grad(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    return torch.func.grad(loss)(x)  # type: ignore[no-any-return]


def by_func_hessian(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Forward over backward, vectorised."""
    return torch.func.hessian(loss)(x)  # type: ignore[no-any-return]


def by_func_penalty(_: nn.Module, x: torch.Tensor, loss: Loss) -> torch.Tensor:
    return torch.func.grad(lambda x: torch.func.grad(loss)(x).square().sum())(x)  # type: ignore[no-any-return]


WAYS = [
    by_backward, by_grad, by_hessian, by_hvp, by_vhp, by_jvp, by_forward_mode, by_func_grad, by_func_hessian,
    by_func_penalty,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FAST)
@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_derivatives_of_every_kind_are_those_of_the_loop(
    name: str, way: Callable[[nn.Module, torch.Tensor, Loss], torch.Tensor]
) -> None:
    fast, loop = (way(*FAST[name](path)).detach() for path in ("fast", "loop"))
    assert loop.abs().max() > 1e-3
    torch.testing.assert_close(fast, loop, rtol=1e-8, atol=1e-9 * float(loop.abs().max()))


def test_hessian_of_the_report() -> None:
    """Its trace was -4.486 where 0.637 is right."""
    torch.manual_seed(0)
    network = MPN(4, 6, 2).double()
    x = torch.randn(5, 1, 4, dtype=torch.double)
    hessian = torch.autograd.functional.hessian(lambda u: network(u)[0].square().sum(), x)
    assert hessian.reshape(20, 20).trace().item() == pytest.approx(0.637, abs=5e-4)


def test_third_derivatives_and_gradients_of_parts() -> None:
    """A graph of gradients may be differentiated again; no path counts twice where inputs hang together."""
    third = []
    for path in ("fast", "loop"):
        _, x, loss = _mpn()(path)
        x.requires_grad_()
        value, powers = loss(x), []
        for _ in range(3):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            powers.append(gradient)
            value = gradient.square().sum()
        third.append(powers[-1])
    fast, loop = (part.detach() for part in third)
    torch.testing.assert_close(fast, loop, rtol=1e-8, atol=1e-9 * float(loop.abs().max()))
