"""Torch's recurrent layers as baselines, with the published graph-walk system's decoder."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from torch import nn

from plastic_agents.networks.base import Network, in_stretches, published_decoder, recall
from plastic_envs.arguments import Range, Size, check_size, checked

_LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentState(NamedTuple):
    """State of `TorchRecurrent`.

    Attributes:
        hidden: Activity, (B, H).
        cell: Cell values of an LSTM, (B, H); (B, 0) for the others.
        past: The last inputs, oldest first, (B, history, I).
    """

    hidden: torch.Tensor
    cell: torch.Tensor
    past: torch.Tensor


class TorchRecurrent(Network[RecurrentState]):
    """One recurrent layer of torch's, then Linear(H -> M), ReLU, Linear(M -> O), M = floor(sqrt(H O)).

    Torch's GRU multiplies its reset gate into W_rec h + b_rec, where others multiply it into h first: the
    candidate is f(W_in u + b + q * (W_rec h + b_rec)), not f(W_in u + W_rec (q * h) + b). There is no leak.

    The published baseline is `cell="rnn"` (tanh, torch's initialisation, zero start). Everything starts at
    zero. All of its state is activity: where an episode resets activity, nothing is left unless
    `keep_activity`.

    Args:
        input_size: I, length of an observation.
        hidden_size: H.
        num_outputs: O.
        cell: "rnn", "gru" or "lstm".
        history: Number of earlier observations shown beside each one (zeros before the first), newest first.
        keep_activity: Ignore resets of activity.
    """

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: Size,
        num_outputs: int,
        cell: Literal["rnn", "gru", "lstm"] = "rnn",
        history: Annotated[int, Range(0, 1000)] = 0,
        keep_activity: bool = False,
    ) -> None:
        super().__init__()
        self.input_size, self.history, self.cell = input_size, history, cell
        self.keep_activity = keep_activity
        self.num_features, self.num_outputs = hidden_size, num_outputs
        num_weights = 4 * hidden_size * ((1 + history) * input_size + hidden_size)
        check_size(4 * num_weights, "the network", hidden_size=hidden_size, history=history)
        self.layer = _LAYERS[cell]((1 + history) * input_size, hidden_size)
        self.readout = published_decoder(hidden_size, num_outputs)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> RecurrentState:
        """Zeros; nothing is drawn."""
        zeros = self.layer.weight_hh_l0.new_zeros
        return RecurrentState(
            zeros(batch_size, self.num_features),
            zeros(batch_size, self.num_features if self.cell == "lstm" else 0),
            zeros(batch_size, self.history, self.input_size),
        )

    def _features(
        self, inputs: torch.Tensor, state: RecurrentState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, RecurrentState]:
        """Activity (T, B, H) and the state; see `Network.run`."""
        windows, past = recall(inputs, state.past, resets)
        activity, state = in_stretches(
            self._stretch, windows, state, resets, self.initial_state(inputs.shape[1])
        )
        return activity, state._replace(past=past)

    def _stretch(self, inputs: torch.Tensor, state: RecurrentState) -> tuple[torch.Tensor, RecurrentState]:
        """Torch's layer over steps without a reset, (S, B, (1 + history) I)."""
        # Torch's own state has the layers as its first axis: (B, H) -> (1, B, H).
        hidden, cell = state.hidden.unsqueeze(0), state.cell
        if self.cell == "lstm":
            activity, (hidden, memory) = self.layer(inputs, (hidden, cell.unsqueeze(0)))
            cell = memory.squeeze(0)
        else:
            activity, hidden = self.layer(inputs, hidden)
        return activity, RecurrentState(hidden.squeeze(0), cell, state.past)
