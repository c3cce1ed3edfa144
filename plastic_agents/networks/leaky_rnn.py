"""The leaky recurrent network that multi-plasticity networks are compared with."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import nn

from plastic_agents.networks.activations import activation as activation_named
from plastic_agents.networks.base import Network, in_stretches
from plastic_agents.networks.initial import INITIALISATIONS, initialise, initialise_vector
from plastic_agents.networks.leaky_rates import leaky_rates
from plastic_envs.arguments import Range, Size, Words, checked


class LeakyState(NamedTuple):
    """State of `LeakyRNN`.

    Attributes:
        hidden: h, (B, N).
    """

    hidden: torch.Tensor


class LeakyRNN(Network[LeakyState]):
    """h <- r h + (1 - r) f(W_in u + W_rec h + b), y = W_out h; zeros at the start.

    r is the share that is *kept*, 1 - dt / tau; others call dt / tau by the letter that the source has for r.
    `LeakySoftplus` is another network of this kind, with a learned start and noise inside f. All of its state
    is activity.

    Args:
        input_size: Length of an observation.
        hidden_size: N.
        num_outputs: O.
        retention: r, in [0, 1).
        activation: Name of f.
        recurrent_initialisation: Of W_rec, a name in `networks.initial.INITIALISATIONS`; W_in and W_out are
            "xavier".
        recurrent_scale: Factor on W_rec at the start (published for transfer: "identity", 0.8).
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
        retention: Annotated[float, Range(0, 1, open_high=True)] = 0.8,
        activation: str = "tanh",
        recurrent_initialisation: Annotated[str, Words(INITIALISATIONS)] = "xavier",
        recurrent_scale: Annotated[float, Range(-1000, 1000)] = 1.0,
        readout_bias: bool = False,
        keep_activity: bool = False,
    ) -> None:
        super().__init__()
        activation_named(activation)
        self.num_features, self.num_outputs, self.keep_activity = hidden_size, num_outputs, keep_activity
        self.retention, self.activation = retention, activation
        self.encode = nn.Linear(input_size, hidden_size)
        initialise(self.encode.weight)
        initialise_vector(self.encode.bias)
        self.recurrent = nn.Parameter(
            initialise(torch.empty(hidden_size, hidden_size), recurrent_initialisation, recurrent_scale)
        )
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
        drive = self.encode(inputs)
        return in_stretches(self._stretch, drive, state, resets, self.initial_state(inputs.shape[1]))

    def _stretch(self, drive: torch.Tensor, state: LeakyState) -> tuple[torch.Tensor, LeakyState]:
        """Run without resets."""
        f = activation_named(self.activation)
        activity = leaky_rates(drive, state.hidden, self.recurrent.T, 1.0 - self.retention, f)
        return activity, LeakyState(activity[-1])
