"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from plastic_envs.arguments import unknown_name


def _tukey(a: torch.Tensor) -> torch.Tensor:
    """The rising flank of a Tukey window: 0 up to 0, half a cosine wave, 1 from 1 on."""
    return 0.5 - 0.5 * torch.cos(torch.pi * a.clamp(0.0, 1.0))


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda a: a,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "rectified-tanh": lambda a: torch.tanh(a).relu(),
    "rectified-tanh-2x": lambda a: torch.tanh(2.0 * a).relu(),
    "rectified-cube": lambda a: a.relu() ** 3,
    "heaviside": lambda a: 0.5 + 0.5 * torch.sign(a),
    "tukey": _tukey,
}
"""Elementwise functions; `heaviside` is 0.5 at 0, and the gradient that passes it is 0."""


def activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in ACTIVATIONS:
        raise ValueError(unknown_name("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]
