"""A leaky softplus network with a learned initial state: the learner of sensorimotor associations."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import nn

from plastic_agents.networks.base import Network, in_stretches
from plastic_agents.networks.leaky_softplus.rule import Dynamics, Weights, leaky_softplus, views
from plastic_agents.seeding import noise_keys, noise_streams
from plastic_envs.arguments import Range, Size, checked

_STEPS_AT_ONCE = 64  # whose noise is drawn together, to bound memory


class LeakySoftplusState(NamedTuple):
    """State of `LeakySoftplus`.

    Attributes:
        rates: h, (B, N).
        noise: eta, (B, N).
        noise_key: Names each row's stream of noise, (B,) int64.
        step: Steps so far, (B,) int64; the noise of a step depends on it and on the key alone.
    """

    rates: torch.Tensor
    noise: torch.Tensor
    noise_key: torch.Tensor
    step: torch.Tensor


class LeakySoftplus(Network[LeakySoftplusState]):
    """Rates h <- (1 - a) h + a softplus(x W_in + h W_rec + b + eta), read out linearly.

    See `plastic_agents.networks.leaky_softplus.rule`, which has a compiled form of a whole trial too.
    Initially W_in is normal with standard deviation 1 / sqrt(I), W_rec a random orthogonal matrix, and all
    else zero. The start h0 is learned, and rectified where it is used. Activity, which a reset forgets, is
    the rates and their noise.

    Args:
        input_size: I.
        num_units: N.
        num_outputs: K.
        leak: a, duration of a step in time constants, at most 1.
        noise: sigma of the Ornstein-Uhlenbeck noise inside the softplus (published: 0.05); 0 for none.
        noise_time: Its time constant, in time constants of the units.
    """

    readout: nn.Linear
    fast_weights = ("noise_key", "step")  # not weights, but no activity either

    @checked
    def __init__(
        self,
        input_size: int,
        num_units: Size,
        num_outputs: int,
        leak: Annotated[float, Range(1e-9, 1)] = 0.2,
        noise: Annotated[float, Range(0, 1000)] = 0.05,
        noise_time: Annotated[float, Range(1e-6, 1e6)] = 0.02,
    ) -> None:
        super().__init__()
        self.input_size, self.num_features, self.num_outputs = input_size, num_units, num_outputs
        self.dynamics = Dynamics.of(leak, noise, noise_time)
        self.inputs = nn.Parameter(torch.randn(input_size, num_units) * input_size**-0.5)
        self.recurrent = nn.Parameter(nn.init.orthogonal_(torch.empty(num_units, num_units)))
        self.bias = nn.Parameter(torch.zeros(num_units))
        self.start = nn.Parameter(torch.zeros(num_units))
        self.readout = nn.Linear(num_units, num_outputs)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    # ---- weights --------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int, int]:
        """I, N and K."""
        return self.input_size, self.num_features, self.num_outputs

    def weights(self) -> Weights:
        """Copies of the parameters as float64 arrays; views of one vector, in the order of `layout`."""
        parts = (self.inputs, self.recurrent, self.bias, self.start, self.readout.weight.T, self.readout.bias)
        arrays = [part.detach().cpu().numpy().astype(np.float64).ravel() for part in parts]
        return views(np.concatenate(arrays), *self.sizes)

    @torch.no_grad()
    def set_weights(self, weights: Weights) -> None:
        """Take over these weights."""
        parts = (self.inputs, self.recurrent, self.bias, self.start, self.readout.weight.T, self.readout.bias)
        for part, value in zip(parts, weights, strict=True):
            part.copy_(torch.as_tensor(value, device=part.device))

    # ---- running --------------------------------------------------------------------------------

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> LeakySoftplusState:
        """The learned start; each row draws the name of its noise."""
        rates = self.start.clamp(min=0.0).expand(batch_size, -1)
        return LeakySoftplusState(
            rates,
            torch.zeros_like(rates),
            noise_keys(batch_size, generator).to(rates.device),
            torch.zeros(batch_size, dtype=torch.int64, device=rates.device),
        )

    def _features(
        self, inputs: torch.Tensor, state: LeakySoftplusState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, LeakySoftplusState]:
        """Rates (T, B, N) and the state; see `Network.run`."""
        rates = self.start.clamp(min=0.0).expand_as(state.rates)
        # The names of the noise are given back whatever the reset, so any will do here.
        fresh = state._replace(rates=rates, noise=torch.zeros_like(rates))
        return in_stretches(self._stretch, inputs, state, resets, fresh, self.fast_weights)

    def _stretch(
        self, inputs: torch.Tensor, state: LeakySoftplusState
    ) -> tuple[torch.Tensor, LeakySoftplusState]:
        """Run without resets."""
        drive = inputs @ self.inputs + self.bias  # (T, B, N)
        noise = state.noise
        if self.dynamics.noise_spread > 0.0:
            eta = self._noise(state, len(inputs))
            drive, noise = drive + eta, eta[-1]
        rates = leaky_softplus(drive, state.rates, self.recurrent, self.dynamics.leak)
        return rates, LeakySoftplusState(rates[-1], noise, state.noise_key, state.step + len(inputs))

    def _noise(self, state: LeakySoftplusState, steps: int) -> torch.Tensor:
        """The noise (eta) of the steps that follow a state, (T, B, N)."""
        keys = state.noise_key.cpu().numpy()
        number = state.step.cpu().numpy() + np.arange(steps)[:, None]  # (T, B)
        xi = np.empty((*number.shape, self.num_features), dtype=np.float32)
        for first in range(0, steps, _STEPS_AT_ONCE):
            some = number[first : first + _STEPS_AT_ONCE]
            streams = noise_streams(keys, some)
            xi[first : first + _STEPS_AT_ONCE] = streams.normal(self.num_features).reshape(*some.shape, -1)
        eta = (
            torch.as_tensor(xi, dtype=state.noise.dtype, device=state.noise.device)
            * self.dynamics.noise_spread
        )
        if self.dynamics.noise_keep == 0.0:
            return eta
        past, path = state.noise.detach(), []
        for kick in eta:
            past = self.dynamics.noise_keep * past + kick
            path.append(past)
        return torch.stack(path)
