"""Drawing from a policy."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def gumbel(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Gumbel noise of shape (T, B, K): scores plus noise are greatest at a draw from the scores' softmax.

    Drawn episode by episode, so that an episode's noise does not depend on how many there are.
    """
    steps, batch, size = shape
    # The same draws whatever torch's default device and type are.
    draws = torch.rand((batch, steps, size), generator=generator, dtype=torch.float32, device="cpu")
    draws.clamp_(1e-12, 1 - 1e-7)
    return draws.log_().neg_().log_().neg_().transpose(0, 1)
