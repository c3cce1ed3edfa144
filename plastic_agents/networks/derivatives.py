"""Helpers of hand-written backward passes, so that no derivative comes out wrong.

The fast paths hand autograd a gradient that they worked out by themselves. That serves `backward` and
`torch.autograd.grad`. Where the gradient itself is to be differentiated (`create_graph=True`, Hessians,
penalties on gradients), it is worked out again by the plain loop, as a graph; and for what knows no backward
pass (forward-mode derivatives, the transforms of `torch.func`), the loop takes the fast path's place from the
start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.autograd.forward_ad import unpack_dual


def only_backward(*tensors: torch.Tensor | None) -> bool:
    """True if only ordinary backward differentiation tracks these tensors."""
    return not any(
        tensor is not None
        and (torch.func.debug_unwrap(tensor) is not tensor or unpack_dual(tensor).tangent is not None)
        for tensor in tensors
    )


def graph_of_gradients(
    function: Callable[..., tuple[torch.Tensor, ...]],
    inputs: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor | None],
) -> tuple[torch.Tensor, ...]:
    """Gradients that can be differentiated again, any number of times.

    To be called in a `backward` while gradients are recorded, which they are under `create_graph` only.

    Args:
        function: What was differentiated, left to autograd; maps the inputs to a tuple of outputs.
        inputs: Floating-point tensors, as the outer graph has them.
        grads: Gradient by each output; None for zero.

    Returns:
        Gradient by each input.
    """
    outputs, pull = torch.func.vjp(function, *inputs)[:2]
    filled = (torch.zeros_like(out) if g is None else g for out, g in zip(outputs, grads, strict=True))
    return tuple(pull(tuple(filled)))
