"""Recurrent weights that change by the rule of Bienenstock, Cooper and Munro (1982)."""

from typing import NamedTuple

import torch
from torch import nn

from plastic_agents.networks import Network


class BCMState(NamedTuple):
    """Fast weights (B, N, N), sliding thresholds (B, N) and rates (B, N)."""

    weights: torch.Tensor
    threshold: torch.Tensor
    rates: torch.Tensor


class BCM(Network[BCMState]):
    """Rates y = softplus(U u + (W + a P) x) with P <- (1 - e) P + e y (y - threshold) x^T."""

    fast_weights = ("weights", "threshold")

    def __init__(self, input_size: int, num_outputs: int, hidden_size: int = 32) -> None:
        super().__init__()
        self.num_features, self.num_outputs = hidden_size, num_outputs
        self.encode, self.readout = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, num_outputs)
        self.recurrent, self.gain = (nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(2))
        self.rate = nn.Parameter(torch.tensor(-2.0))

    def initial_state(self, batch_size, generator=None):
        n, zeros = self.num_features, self.rate.new_zeros
        return BCMState(zeros(batch_size, n, n), zeros(batch_size, n), zeros(batch_size, n))

    def step(self, inputs, state):
        weights, threshold, x = state
        recurrent = self.recurrent(x) + torch.einsum("bij,bj->bi", self.gain.weight * weights, x)
        y, e = nn.functional.softplus(self.encode(inputs) + recurrent), torch.sigmoid(self.rate)
        weights = ((1 - e) * weights + e * (y * (y - threshold))[..., None] * x[:, None]).clamp(-1, 1)
        return y, BCMState(weights, threshold + 0.1 * (y**2 - threshold), y)
