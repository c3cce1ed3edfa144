"""The interface of every network: it is called like `torch.nn.RNN`, and its state is explicit.

Letters for shapes: T time steps, B batch rows (one episode each), I inputs, F features, O outputs.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic

import torch
from torch import nn
from typing_extensions import NamedTuple, TypeVar  # generic named tuples: from Python 3.11 on

State = tuple[Any, ...]
"""What a network remembers: a NamedTuple of tensors, each with the batch as its first axis."""

StateT = TypeVar("StateT", bound=State, default=State)


class Recording(NamedTuple, Generic[StateT]):
    """Outputs, features and last state of a sequence.

    Attributes:
        outputs: (T, B, O).
        features: (T, B, F).
        state: After the last step.
    """

    outputs: torch.Tensor
    features: torch.Tensor
    state: StateT


class Network(nn.Module, ABC, Generic[StateT]):
    """A layer that maps a sequence to a sequence, `outputs, state = network(inputs, state)`.

    The same numbers come out whether a sequence is passed whole or step by step, for any batch size at any
    call. All that a network remembers (activity, fast weights, traces, caches) is in the state that it is
    given and returns; it keeps nothing itself, and never writes into the state it was given. What is
    learned slowly is a parameter.

    A task may ask for activity to be forgotten within an episode, between two trials say: where `resets` is
    true, a row forgets its activity *before* that step and keeps its fast weights. Each network's docstring
    says what its activity is; `fast_weights` names the rest.

    A subclass writes `initial_state` and `step`, or, where there is a faster way than a loop over steps,
    `_features`.

    Attributes:
        num_features: F, size of the last hidden layer's activity.
        num_outputs: O.
        readout: Maps features (..., F) to outputs (..., O).
        value: Maps features (..., F) to an estimate of the return to come (..., 1), where there is such a
            head; see `add_value_head`.
        fast_weights: Names of the state's entries that no reset touches; the others are activity.
        keep_activity: Ignore resets, so that activity is carried through the whole episode.
    """

    num_features: int
    num_outputs: int
    readout: nn.Module
    value: nn.Module | None
    fast_weights: ClassVar[tuple[str, ...]] = ()
    keep_activity: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.register_module("value", None)

    @abstractmethod
    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> StateT:
        """The state at the start of an episode, for `batch_size` rows.

        Args:
            batch_size: B.
            generator: Source of the random part of the state, where there is one. None: a fresh generator
                with seed 0, so that a call without one always gives the same state.
        """

    def step(self, inputs: torch.Tensor, state: StateT) -> tuple[torch.Tensor, StateT]:
        """One step: features (B, F) and the next state, from inputs (B, I) and the last state."""
        raise NotImplementedError(f"{type(self).__name__} has neither `step` nor `_features`.")

    def run(
        self,
        inputs: torch.Tensor,
        state: StateT | None = None,
        resets: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> Recording[StateT]:
        """Run over a sequence.

        Args:
            inputs: (T, B, I).
            state: State before the first step; None means `initial_state(B)`.
            resets: (T, B) bool, where activity is forgotten before the step; None: nowhere.
            lengths: (B,) int64, each from 1 to T, after how many steps a row is over, which some networks
                make use of to save time; None: all T. Outputs and features that come after, and the state of
                a row that is over, may be anything.

        Returns:
            Outputs (T, B, O), features (T, B, F) and the state after the last step.

        Raises:
            ValueError: If `resets` does not fit the inputs.
        """
        features, state = self._features(inputs, *self._start(inputs, state, resets))
        return Recording(self.readout(features), features, state)

    def forward(
        self, inputs: torch.Tensor, state: StateT | None = None, resets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, StateT]:
        """The outputs (T, B, O) and the state that `run` gives."""
        outputs, _, state = self.run(inputs, state, resets)
        return outputs, state

    def stream(
        self, state: StateT, resets: torch.Tensor | None = None, *, record: bool = False
    ) -> Stream[StateT]:
        """Begin a sequence whose inputs come one at a time, as they do from an environment; see `Stream`.

        Args:
            state: State before the first step, B rows.
            resets: (T, B) bool for the whole of the sequence to come; None: nowhere.
            record: Whether `Stream.recorded` will be called.
        """
        return Stream(self, state, resets, record=record)

    def add_value_head(self) -> None:
        """Add the head `value`, Linear(F -> 1) with torch's initialisation, if there is none."""
        if self.value is None:
            self.value = nn.Linear(self.num_features, 1)

    def constrain(self) -> None:
        """Project parameters onto their allowed range; called after each update. Default: nothing."""

    def penalised_parameters(self) -> list[nn.Parameter]:
        """Parameters that a learner's `weight_penalty` applies to. Default: all trained matrices."""
        return [p for p in self.parameters() if p.dim() >= 2 and p.requires_grad]

    def _features(
        self, inputs: torch.Tensor, state: StateT, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, StateT]:
        """The features (T, B, F) and the state after the last step. Default: `step` in a loop.

        Args:
            inputs: (T, B, I).
            state: State before the first step.
            resets: (T, B) bool with at least one true entry, or None if there are no resets.
        """
        start = self.initial_state(inputs.shape[1])
        return in_stretches(self._loop, inputs, state, resets, start, self.fast_weights)

    def _loop(self, inputs: torch.Tensor, state: StateT) -> tuple[torch.Tensor, StateT]:
        features = []
        for x in inputs:
            y, state = self.step(x, state)
            features.append(y)
        return torch.stack(features), state

    def _start(
        self, inputs: torch.Tensor, state: StateT | None, resets: torch.Tensor | None
    ) -> tuple[StateT, torch.Tensor | None]:
        """The state to start from, and the resets that change anything; see `run`."""
        if resets is not None:
            if resets.shape != inputs.shape[:2] or resets.dtype != torch.bool:
                raise ValueError(
                    f"resets: got {resets.dtype} of shape {tuple(resets.shape)}, expected bool of shape "
                    f"{tuple(inputs.shape[:2])}, one entry per step and row; pass None for no resets."
                )
            if self.keep_activity or not bool(resets.any()):
                resets = None
        return (self.initial_state(inputs.shape[1]) if state is None else state), resets


class Stream(Generic[StateT]):
    """A sequence that is fed step by step without gradients, and can be repeated whole with gradients.

    So a network is trained in a closed-loop task: play first; then, as the actions taken are
    constants of the gradient, differentiate the recorded sequence. This plain form runs the network a
    second time; a network that can reuse the steps' results overrides `Network.stream`.

    Args:
        network: The network.
        state: State before the first step, B rows.
        resets: (T, B) bool; None: nowhere.
        record: Whether `recorded` will be called, so that the inputs must be kept.
    """

    def __init__(
        self, network: Network[StateT], state: StateT, resets: torch.Tensor | None, *, record: bool
    ) -> None:
        self.network, self._state, self._start, self._resets = network, state, state, resets
        self._record, self._steps, self._inputs = record, 0, list[torch.Tensor]()

    @property
    def state(self) -> StateT:
        """The state after the last step fed."""
        return self._state

    @torch.no_grad()
    def step(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (B, O) for the next inputs (B, I)."""
        resets = None if self._resets is None else self._resets[self._steps : self._steps + 1]
        outputs, self._state = self.network.forward(inputs[None], self._state, resets)
        self._steps += 1
        if self._record:
            self._inputs.append(inputs)
        return outputs[0]

    def recorded(self) -> Recording[StateT]:
        """The sequence fed so far, with gradients to the network's parameters.

        Raises:
            RuntimeError: If nothing was recorded.
        """
        if not self._inputs:
            raise RuntimeError("no step was recorded; pass record=True and call step() first.")
        resets = None if self._resets is None else self._resets[: self._steps]
        return self.network.run(torch.stack(self._inputs), self._start, resets)


def in_stretches(
    run: Callable[[torch.Tensor, StateT], tuple[torch.Tensor, StateT]],
    inputs: torch.Tensor,
    state: StateT,
    resets: torch.Tensor | None,
    fresh: StateT,
    fast_weights: tuple[str, ...] = (),
) -> tuple[torch.Tensor, StateT]:
    """Run a function that has no resets over the stretches between them.

    Args:
        run: Maps inputs (S, B, I) and a state to something (S, B, ...) and the next state.
        inputs: (T, B, I).
        state: State before the first step.
        resets: (T, B) bool; None: nowhere.
        fresh: A state whose activity is that of an episode's start.
        fast_weights: Names of the entries that are kept.

    Returns:
        Results of `run` for all steps, and the state after the last.
    """
    if resets is None:
        return run(inputs, state)
    cuts = resets.any(1).nonzero()[:, 0].tolist()
    edges = [*([] if cuts[:1] == [0] else [0]), *cuts, inputs.shape[0]]
    pieces = []
    for first, last in itertools.pairwise(edges):
        if first in cuts:
            weights = {name: getattr(state, name) for name in fast_weights}
            state = where_rows(resets[first], fresh, state)._replace(**weights)  # type: ignore[attr-defined]
        piece, state = run(inputs[first:last], state)
        pieces.append(piece)
    return torch.cat(pieces), state


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


def recall(
    inputs: torch.Tensor, past: torch.Tensor, resets: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Show the last few inputs beside each input.

    Args:
        inputs: (T, B, I).
        past: (B, k, I), the k inputs before the first, oldest first; zeros before an episode's start.
        resets: (T, B) bool, steps from which on everything earlier is shown as zeros; None: nowhere.

    Returns:
        (T, B, (1 + k) I): the input, then the one before it, then the one before that; and the new `past`.
    """
    steps, count = inputs.shape[0], past.shape[1]
    if count == 0:
        return inputs, past
    history = torch.cat([past.transpose(0, 1), inputs])  # (k + T, B, I)
    windows = [history[count - j : count - j + steps] for j in range(count + 1)]
    if resets is None:
        return torch.cat(windows, dim=-1), history[steps:].transpose(0, 1)
    number = resets.cumsum(
        0
    )  # (T, B), which stretch a step belongs to; what came before belongs to stretch 0
    stretch = torch.cat([number.new_zeros(count, inputs.shape[1]), number])
    same = [stretch[count - j : count - j + steps] == number for j in range(count + 1)]
    windows = [part * alike.unsqueeze(2) for part, alike in zip(windows, same, strict=True)]
    last_inputs = history[steps:] * (stretch[steps:] == number[-1]).unsqueeze(2)
    return torch.cat(windows, dim=-1), last_inputs.transpose(0, 1)


def published_decoder(num_features: int, num_outputs: int) -> nn.Sequential:
    """The graph-walk system's readout: Linear(F -> M), ReLU, Linear(M -> O), with M = floor(sqrt(F O))."""
    middle = math.isqrt(num_features * num_outputs)
    return nn.Sequential(nn.Linear(num_features, middle), nn.ReLU(), nn.Linear(middle, num_outputs))
