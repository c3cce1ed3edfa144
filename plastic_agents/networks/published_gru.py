"""The gated network that multi-plasticity networks are compared with, as published; it is not torch's GRU."""

from __future__ import annotations

import torch
from torch import nn

from plastic_agents.networks.activations import activation as activation_named
from plastic_agents.networks.base import Network, in_stretches
from plastic_agents.networks.initial import initialise, initialise_vector
from plastic_agents.networks.leaky_rnn import LeakyState
from plastic_envs.arguments import Size, checked


class PublishedGRU(Network[LeakyState]):
    """Gated units h <- (1 - z) c + z h, y = W_out h; zeros at the start.

        z = sigmoid(U_z u + W_z h + b_z)
        q = sigmoid(U_q u + W_q h + b_q)
        c = f(U u + W (q * h) + b)

    The gate of torch's GRU acts on W h + b in place of h, and `gru` of this suite has a readout of two
    layers. All of the state is activity.

    Args:
        input_size: Length of an observation.
        hidden_size: N.
        num_outputs: O.
        activation: Name of f.
        readout_bias: Whether the readout has a bias.
        keep_activity: Ignore resets.

    Source:
        The baseline of the multi-task successor of Aitken & Mihalas, eLife 12:e83035 (2023).
    """

    readout: nn.Linear

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: Size,
        num_outputs: int,
        activation: str = "tanh",
        readout_bias: bool = False,
        keep_activity: bool = False,
    ) -> None:
        super().__init__()
        activation_named(activation)
        self.num_features, self.num_outputs, self.keep_activity = hidden_size, num_outputs, keep_activity
        self.activation = activation
        self.encode = nn.Linear(input_size, 3 * hidden_size)  # update gate, reset gate, candidate
        self.gates = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.recurrent = nn.Parameter(initialise(torch.empty(hidden_size, hidden_size)))
        for weight in (*self.encode.weight.data.chunk(3), *self.gates.data.chunk(2)):
            initialise(weight)
        initialise_vector(self.encode.bias)
        self.readout = nn.Linear(hidden_size, num_outputs, bias=readout_bias)
        initialise(self.readout.weight)
        if readout_bias:
            initialise_vector(self.readout.bias)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> LeakyState:
        """Zeros; nothing is drawn."""
        return LeakyState(self.recurrent.new_zeros(batch_size, self.num_features))

    def _features(
        self, inputs: torch.Tensor, state: LeakyState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, LeakyState]:
        """Activity (T, B, N) and the state; see `Network.run`."""
        return in_stretches(
            self._stretch, self.encode(inputs), state, resets, self.initial_state(inputs.shape[1])
        )

    def _stretch(self, drive: torch.Tensor, state: LeakyState) -> tuple[torch.Tensor, LeakyState]:
        """Run without resets."""
        f, h, activity = activation_named(self.activation), state.hidden, []
        to_gates, to_candidate = drive.split([2 * self.num_features, self.num_features], dim=-1)
        for gate, candidate in zip(to_gates, to_candidate, strict=True):
            z, q = torch.sigmoid(gate + h @ self.gates.T).chunk(2, dim=-1)
            h = (1.0 - z) * f(candidate + (q * h) @ self.recurrent.T) + z * h
            activity.append(h)
        return torch.stack(activity), LeakyState(h)
