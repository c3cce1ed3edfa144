"""A noisy rate network in continuous time; a three-factor rule learns from its noise."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from plastic_agents.networks.base import Network, in_stretches
from plastic_agents.networks.three_factor.constants import Constants
from plastic_agents.networks.three_factor.rule import Weights, initial_weights, run_trial
from plastic_agents.seeding import noise_keys, noise_streams, numpy_of_global
from plastic_envs.arguments import Positive, Range, Size, checked

_STEPS_AT_ONCE = 4096  # whose noise is held in memory
START_RATE = 0.1


class NoisyRateState(NamedTuple):
    """State of `NoisyRates`.

    Attributes:
        rates: Clipped rates, (B, N) float64.
        noise_key: Names each row's stream of noise, (B,) int64.
        step: Steps so far, (B,) int64; the noise of a step depends on it and on the key alone.
    """

    rates: torch.Tensor
    noise_key: torch.Tensor
    step: torch.Tensor


class RateReadout(nn.Module):
    """Outputs gain D r, or their logistic.

    Args:
        num_units: N.
        num_outputs: K.
        gain: Factor on D r.
        logistic: Whether outputs are probabilities.
    """

    def __init__(self, num_units: int, num_outputs: int, gain: float = 1.0, logistic: bool = False) -> None:
        super().__init__()
        self.gain, self.logistic = gain, logistic
        self.weight = nn.Parameter(torch.empty(num_outputs, num_units))

    def forward(self, rates: torch.Tensor) -> torch.Tensor:
        """Outputs (..., K) of rates (..., N)."""
        outputs = self.gain * nn.functional.linear(rates, self.weight)
        return torch.sigmoid(outputs) if self.logistic else outputs


class NoisyRates(Network[NoisyRateState]):
    """Rates that follow dr = [-g(r) + W r + U s + b] dt + sigma dB.

    See `plastic_agents.networks.three_factor.rule` for the equations and their source. Runs in torch,
    differentiable, where gradients are wanted, and compiled otherwise (on the CPU); both in float64, so that
    they give the same numbers to rounding. Features are the rates before clipping, as published. Activity,
    which a reset forgets, is the rates.

    Args:
        input_size: I.
        num_units: N.
        num_outputs: K.
        step_time: Time units per step of the task; the unit is the neurons' time constant.
        substeps: Euler steps per step of the task.
        sigma: Noise, per square root of a time unit.
        start_bias: Initial value of b.
        gain: Gain of the readout.
        logistic: Whether outputs are probabilities.
    """

    readout: RateReadout
    fast_weights = ("noise_key", "step")  # not weights, but no activity either

    @checked
    def __init__(
        self,
        input_size: int,
        num_units: Size,
        num_outputs: int,
        step_time: Positive = 0.01,
        substeps: Annotated[int, Range(1, 10_000)] = 1,
        sigma: Annotated[float, Range(0, 1000)] = 0.2,
        start_bias: Annotated[float, Range(-1000, 1000)] = 0.0,
        gain: Annotated[float, Range(-1e6, 1e6)] = 1.0,
        logistic: bool = False,
    ) -> None:
        super().__init__()
        if step_time > substeps:
            raise ValueError(
                f"step_time={step_time}, substeps={substeps}: expected Euler steps of at most "
                "1 time constant; raise substeps."
            )
        self.input_size, self.num_features, self.num_outputs = input_size, num_units, num_outputs
        self.step_time, self.substeps = step_time, substeps
        self.constants = Constants(dt=step_time / substeps, sigma=sigma)
        self.readout = RateReadout(num_units, num_outputs, gain, logistic)
        self.recurrent = nn.Parameter(torch.empty(num_units, num_units))
        self.input = nn.Parameter(torch.empty(num_units, input_size))
        self.bias = nn.Parameter(torch.empty(num_units))
        if self.bias.is_meta:  # only its shapes are asked for
            return
        self.set_weights(initial_weights(numpy_of_global(), input_size, num_units, num_outputs, start_bias))

    # ---- weights --------------------------------------------------------------------------------

    def weights(self) -> Weights:
        """Copies of the parameters as float64 arrays."""
        parameters = (self.recurrent, self.input, self.bias, self.readout.weight)
        return Weights(*(p.detach().cpu().numpy().astype(np.float64) for p in parameters))

    @torch.no_grad()
    def set_weights(self, weights: Weights) -> None:
        """Take over these weights."""
        parameters = (self.recurrent, self.input, self.bias, self.readout.weight)
        for parameter, value in zip(parameters, weights, strict=True):
            parameter.copy_(torch.as_tensor(value, device=parameter.device))

    # ---- running --------------------------------------------------------------------------------

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> NoisyRateState:
        """All rates at 0.1; each row draws the name of its noise."""
        place = self.bias.device
        return NoisyRateState(
            torch.full((batch_size, self.num_features), START_RATE, dtype=torch.float64, device=place),
            noise_keys(batch_size, generator).to(place),
            torch.zeros(batch_size, dtype=torch.int64, device=place),
        )

    def noise(self, state: NoisyRateState, steps: int) -> npt.NDArray[np.float64]:
        """Standard normal numbers (steps, substeps, B, N) of the steps that follow a state."""
        keys = state.noise_key.cpu().numpy()
        number = state.step.cpu().numpy() + np.arange(steps)[:, None]  # (T, B)
        normals = noise_streams(keys, number).normal(self.substeps, self.num_features)
        return normals.reshape(steps, len(keys), self.substeps, -1).swapaxes(1, 2)

    def _features(
        self, inputs: torch.Tensor, state: NoisyRateState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, NoisyRateState]:
        """Rates (T, B, N) before clipping, in the type of the weights, and the state; see `Network.run`."""
        # The names of the noise are given back whatever the reset, so any will do here.
        fresh = state._replace(rates=torch.full_like(state.rates, START_RATE))
        return in_stretches(self._stretch, inputs, state, resets, fresh, self.fast_weights)

    def _stretch(self, inputs: torch.Tensor, state: NoisyRateState) -> tuple[torch.Tensor, NoisyRateState]:
        """Run without resets, some steps at a time."""
        compiled = not torch.is_grad_enabled() and inputs.device.type == "cpu" and len(inputs) > 1
        move = self._move_compiled if compiled else self._move
        parts = []
        for part in inputs.split(max(1, _STEPS_AT_ONCE // inputs.shape[1])):
            rates, last = move(part, state)
            parts.append(rates)
            state = NoisyRateState(last, state.noise_key, state.step + len(part))
        return torch.cat(parts).to(self.bias.dtype), state

    def _move(self, inputs: torch.Tensor, state: NoisyRateState) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.as_tensor(self.noise(state, len(inputs)), device=inputs.device)
        drive = inputs.double() @ self.input.double().T + self.bias.double()  # (T, B, N)
        recurrent, rates, results = self.recurrent.double(), state.rates, []
        for x, kicks in zip(drive, noise, strict=True):
            for kick in kicks:
                free = rate_step(rates, x + rates @ recurrent.T, kick, self.constants)
                rates = free.clamp(self.constants.least_rate, self.constants.largest_rate)
            results.append(free)
        return torch.stack(results), rates

    def _move_compiled(
        self, inputs: torch.Tensor, state: NoisyRateState
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weights, k = self.weights(), self.substeps
        noise = self.noise(state, len(inputs)).reshape(k * len(inputs), -1, self.num_features)
        inner = np.repeat(inputs.numpy().astype(np.float64), k, axis=0)  # (T k, B, I)
        unasked = np.zeros((len(inner), self.num_outputs))
        rows = [
            run_trial(
                weights,
                start,
                inner[:, b],
                unasked,
                noise[:, b],
                self.constants,
                learn=False,
                record_every=k,
            )
            for b, start in enumerate(state.rates.numpy())
        ]
        rates = torch.as_tensor(np.stack([row.rates for row in rows], axis=1), device="cpu")
        return rates, torch.as_tensor(np.stack([row.final_rates for row in rows]), device="cpu")


def rate_step(
    rates: torch.Tensor, drive: torch.Tensor, kick: torch.Tensor, constants: Constants
) -> torch.Tensor:
    """One Euler-Maruyama step, not clipped yet.

    Args:
        rates: (B, N), clipped.
        drive: W r + U s + b, (B, N).
        kick: (B, N), standard normal.
        constants: Constants of the network.
    """
    scaled = rates / constants.beta
    leak = (scaled + torch.log(-torch.expm1(-scaled)) - constants.alpha) / constants.gamma
    return rates + constants.dt * (drive - leak) + constants.sigma * math.sqrt(constants.dt) * kick
