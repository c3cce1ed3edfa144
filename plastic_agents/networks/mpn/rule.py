"""Multi-plasticity layers: weights modulated by the layer's own inputs and activity.

Per trial, with inputs x (E,), units h (N,) and modulation M (N, E), receiving units first:

    G(t) = W (1 + M(t - 1)) ("multiplicative") or W + M(t - 1) ("additive")
    a(t) = G(t) x(t) + b [+ W_rec h(t - 1)]
    h(t) = f(a(t))
    M(t) = clip(g(lambda M(t - 1) + eta h(t) x(t)^T))

So step t is answered with the M that earlier steps left. There is one pure step, the loop over it, which is
the rule as it stands here, and a compiled form of the usual case; see `kernel.py`.

Source: Aitken & Mihalas, eLife 12:e83035 (2023), and its multi-task successor. Differences on purpose: the
bounds of the additive form, and Oja's rule for batches, which the published code does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from plastic_agents.networks.activations import activation
from plastic_agents.networks.compiling import DISABLED
from plastic_agents.networks.derivatives import only_backward
from plastic_agents.networks.mpn import kernel


@dataclass(frozen=True)
class Rule:
    """A layer's modulation rule: its effect on the weights and its update.

    Attributes:
        plasticity: "multiplicative" or "additive".
        update: Term added to lambda M. "associative": eta h x^T. "presynaptic": eta x^T / sqrt(N),
            whatever the receiving unit does. "oja": eta h x^T - |eta| h^2 M, row by row (with lambda = 1,
            Oja's own rule).
        bounds: Least and largest M, 0 between them; None for none. In the additive form they are shares of
            each weight: with (-1, 1), as in the multiplicative form, W + M lies between 0 and 2 W.
        squash: Name of g, applied before the bounds.
        activation: Name of f.
    """

    plasticity: Literal["multiplicative", "additive"] = "multiplicative"
    update: Literal["associative", "presynaptic", "oja"] = "associative"
    bounds: tuple[float, float] | None = (-1.0, 1.0)
    squash: str = "linear"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("plasticity", ("multiplicative", "additive")),
            ("update", ("associative", "presynaptic", "oja")),
        ):
            if getattr(self, name) not in allowed:
                expected = ", ".join(map(repr, allowed))
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {expected}.")
        if self.bounds is not None and not (
            self.bounds[0] <= 0.0 <= self.bounds[1] and self.bounds[0] < self.bounds[1]
        ):
            raise ValueError(
                f"bounds={self.bounds}: expected (least, largest) around 0, or None for no bounds."
            )
        activation(self.squash)
        activation(self.activation)


class Synapses(NamedTuple):
    """A layer's slow parameters.

    Attributes:
        weight: W, (N, E).
        bias: b, (N,).
        eta: Plasticity rate, (1 or N, 1 or E).
        decay: lambda, share of M kept per step, (1 or N, 1 or E).
        frozen: (N, E) bool, where M never changes; None: nowhere.
        recurrent: W_rec, (N, N); None for no ordinary recurrence.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    eta: torch.Tensor
    decay: torch.Tensor
    frozen: torch.Tensor | None = None
    recurrent: torch.Tensor | None = None


class Step(NamedTuple):
    """Results of one step.

    Attributes:
        pre_activation: a, (B, N).
        activity: h, (B, N).
        modulation: M after the step, (B, N, E).
    """

    pre_activation: torch.Tensor
    activity: torch.Tensor
    modulation: torch.Tensor


def step(
    x: torch.Tensor,
    modulation: torch.Tensor,
    synapses: Synapses,
    rule: Rule,
    previous: torch.Tensor | None = None,
) -> Step:
    """One step; a pure function, differentiable any number of times.

    Args:
        x: (B, E).
        modulation: M that earlier steps left, (B, N, E).
        synapses: Slow parameters.
        rule: M's effect and update.
        previous: h before, (B, N), for a layer with ordinary recurrence.
    """
    weight, bias, eta, decay, frozen, recurrent = synapses
    total = weight * (1.0 + modulation) if rule.plasticity == "multiplicative" else weight + modulation
    a = (x.unsqueeze(1) @ total.transpose(1, 2)).squeeze(1) + bias
    if recurrent is not None and previous is not None:
        a = a + previous @ recurrent.T
    h = activation(rule.activation)(a)
    changed = decay * modulation
    if rule.update == "presynaptic":
        changed = changed + eta * (x * weight.shape[0] ** -0.5).unsqueeze(1)
    else:
        changed = changed + eta * (h.unsqueeze(2) * x.unsqueeze(1))
    if rule.update == "oja":
        changed = changed - eta.abs() * h.square().unsqueeze(2) * modulation
    changed = activation(rule.squash)(changed)
    if rule.bounds is not None:
        low, high = rule.bounds
        if rule.plasticity == "multiplicative":
            changed = changed.clamp(low, high)
        else:
            ends = low * weight, high * weight
            changed = changed.clamp(torch.minimum(*ends), torch.maximum(*ends))
    return Step(a, h, changed if frozen is None else torch.where(frozen, modulation, changed))


def run_loop(
    x: torch.Tensor,
    modulation: torch.Tensor,
    synapses: Synapses,
    rule: Rule,
    previous: torch.Tensor | None = None,
    resets: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rule, step by step; see `run`."""
    if previous is None and synapses.recurrent is not None:
        previous = x.new_zeros(x.shape[1], len(synapses.weight))
    activities = []
    for t, x_t in enumerate(x):
        if previous is not None and resets is not None:
            previous = previous.masked_fill(resets[t].unsqueeze(1), 0.0)
        _, h, after = step(x_t, modulation, synapses, rule, previous)
        if lengths is not None:
            lives = (t < lengths).unsqueeze(1)
            h, after = h * lives, torch.where(lives.unsqueeze(2), after, modulation)
        modulation = after
        activities.append(h)
        if synapses.recurrent is not None:
            previous = h
    return torch.stack(activities), modulation


def fast_path_serves(x: torch.Tensor, synapses: Synapses, rule: Rule) -> bool:
    """True if the compiled form can take the loop's place."""
    return (
        rule.update == "associative"
        and rule.squash == "linear"
        and rule.activation in kernel.ACTIVATIONS
        and (rule.plasticity == "multiplicative" or rule.bounds is None)
        and synapses.recurrent is None
        and not DISABLED
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
    )


def run(
    x: torch.Tensor,
    modulation: torch.Tensor,
    synapses: Synapses,
    rule: Rule,
    previous: torch.Tensor | None = None,
    resets: torch.Tensor | None = None,
    lengths: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a layer by the compiled form where possible, else by the loop; equal within rounding.

    Differentiable by all tensors, M at the start and at the end included, in whatever way and any number of
    times; all but the first backward pass takes the loop's time.

    Args:
        x: (T, B, E).
        modulation: M before the first step, (B, N, E), within the bounds.
        synapses: Slow parameters.
        rule: M's effect and update.
        previous: h before the first step, (B, N), for a layer with ordinary recurrence; None: zeros.
        resets: (T, B) bool, where h is forgotten before the step; None: nowhere. M stays.
        lengths: (B,) int64, each from 1 to T: steps of each trial; None: all T. Beyond its length a trial's h
            is 0 and its M stays.

    Returns:
        h, (T, B, N), and M after the last step, (B, N, E).
    """
    if not (fast_path_serves(x, synapses, rule) and only_backward(x, modulation, *synapses)):
        return run_loop(x, modulation, synapses, rule, previous, resets, lengths)
    weight, eta, decay = synapses.weight, synapses.eta, synapses.decay
    if synapses.frozen is not None:  # M stays where it decays not at all and nothing is added
        eta = torch.where(synapses.frozen, 0.0, eta)
        decay = torch.where(synapses.frozen, 1.0, decay)
    gain = weight if rule.plasticity == "multiplicative" else torch.ones_like(weight)
    low, high = (-torch.inf, torch.inf) if rule.bounds is None else rule.bounds
    return kernel.plastic_layer(
        x, torch.nn.functional.linear(x, weight, synapses.bias), gain, eta, decay, modulation,
        kernel.Settings(low, high, rule.activation), lengths,
    )  # fmt: skip
