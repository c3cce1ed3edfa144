"""What every network of the suite has in common: it is called like `torch.nn.RNN`, and its state is explicit.

Letters for shapes: T time steps, B batch rows (one episode each), I inputs, F features, O outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Generic

import torch
from torch import nn
from typing_extensions import TypeVar

__all__ = ["Network", "State", "StateT", "detach", "published_decoder", "recall", "where_rows"]

State = tuple[Any, ...]
"""What a network remembers: a NamedTuple of tensors, each with the batch as its first axis."""

StateT = TypeVar("StateT", bound=State, default=State)


class Network(nn.Module, ABC, Generic[StateT]):
    """A layer that maps a sequence to a sequence, `outputs, state = network(inputs, state)`.

    The same numbers come out whether a sequence is passed whole or step by step, for any batch size at any
    call. All that a network remembers (activity, fast weights, traces, caches) is in the state that it is
    given and returns; it keeps nothing itself, and never writes into the state it was given. What is
    learned slowly is a parameter.

    Attributes:
        num_features: F, size of the last hidden layer's activity.
        num_outputs: O.
        readout: Maps features (..., F) to outputs (..., O).
    """

    num_features: int
    num_outputs: int
    readout: nn.Module

    @abstractmethod
    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> StateT:
        """The state at the start of an episode, for `batch_size` rows.

        Args:
            batch_size: B.
            generator: Source of the random part of the state, where there is one. None: a fresh generator
                with seed 0, so that a call without one always gives the same state.
        """

    @abstractmethod
    def features(self, inputs: torch.Tensor, state: StateT | None = None) -> tuple[torch.Tensor, StateT]:
        """Run without the readout.

        Args:
            inputs: (T, B, I).
            state: Where to start; None means `initial_state(B)`.

        Returns:
            The features (T, B, F) and the state after the last step.
        """

    def forward(self, inputs: torch.Tensor, state: StateT | None = None) -> tuple[torch.Tensor, StateT]:
        """Run over a sequence.

        Args:
            inputs: (T, B, I).
            state: Where to start; None means `initial_state(B)`.

        Returns:
            The outputs (T, B, O) and the state after the last step.
        """
        features, state = self.features(inputs, state)
        return self.readout(features), state


def where_rows(mask: torch.Tensor, a: StateT, b: StateT) -> StateT:
    """Rows of state `a` where the mask is true, rows of `b` elsewhere (as when some episodes start anew).

    Args:
        mask: (B,) bool.
        a: State of B rows.
        b: State of B rows and of the same type.
    """
    picked = (torch.where(mask.view(-1, *[1] * (x.dim() - 1)), x, y) for x, y in zip(a, b, strict=True))
    return type(a)(*picked)


def detach(state: StateT) -> StateT:
    """The same state, cut off from the graph that made it."""
    return type(state)(*(tensor.detach() for tensor in state))


def recall(inputs: torch.Tensor, past: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Show the last few inputs beside each input.

    Args:
        inputs: (T, B, I).
        past: (B, k, I), the k inputs before the first, oldest first; zeros before an episode's start.

    Returns:
        (T, B, (1 + k) I): the input, then the one before it, then the one before that; and the new `past`.
    """
    steps, count = inputs.shape[0], past.shape[1]
    if count == 0:
        return inputs, past
    known = torch.cat([past.transpose(0, 1), inputs])  # (k + T, B, I)
    shown = torch.cat([known[count - j : count - j + steps] for j in range(count + 1)], dim=-1)
    return shown, known[steps:].transpose(0, 1)


def published_decoder(num_features: int, num_outputs: int) -> nn.Sequential:
    """The graph-walk system's readout: Linear(F -> M), ReLU, Linear(M -> O), with M = floor(sqrt(F O))."""
    middle = math.isqrt(num_features * num_outputs)
    return nn.Sequential(nn.Linear(num_features, middle), nn.ReLU(), nn.Linear(middle, num_outputs))
