"""Leaky rate units."""

from __future__ import annotations

from collections.abc import Callable

import torch


def leaky_rates(
    drive: torch.Tensor,
    start: torch.Tensor,
    recurrent: torch.Tensor,
    leak: float,
    activation: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """h(t) = (1 - a) h(t - 1) + a f(drive(t) + h(t - 1) W); differentiable.

    Args:
        drive: (T, B, N).
        start: h before the first step, (B, N).
        recurrent: W, (N, N); weights go from the first index to the second.
        leak: a, in (0, 1].
        activation: f.

    Returns:
        h after each step, (T, B, N).
    """
    state, states = start, []
    for x in drive:
        state = (1.0 - leak) * state + leak * activation(x + state @ recurrent)
        states.append(state)
    return torch.stack(states)
