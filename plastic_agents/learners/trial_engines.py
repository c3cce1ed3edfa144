"""One gradient step per trial, for any network; compiled where there is a compiled form of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from plastic_agents.learners.supervised import supervised_loss
from plastic_agents.networks.base import Network
from plastic_agents.networks.leaky_softplus.network import LeakySoftplus
from plastic_agents.networks.leaky_softplus.rule import (
    Costs,
    FloatArray,
    adam_step,
    layout,
    run_trial,
    simulate,
    views,
)
from plastic_agents.seeding import torch_of

__all__ = ["AutogradEngine", "CompiledEngine", "StepSettings", "Trial", "TrialEngine", "engine_for"]


class StepSettings(NamedTuple):
    """Settings of a step; see `leaky_softplus.rule.adam_step` and `Costs`."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    max_grad_norm: float
    costs: Costs


class Trial(NamedTuple):
    """One episode of a batch.

    Attributes:
        inputs: (T, I) float32.
        targets: (T,) int64.
        scored: (T,) float32, weight of each step in the loss.
    """

    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int64]
    scored: npt.NDArray[np.float32]


class TrialEngine(ABC):
    """Learns trial by trial: back-propagation through all of the trial, one Adam step, batches of one.

    Attributes:
        flat: All weights, (P,) float64; what is learned from and written to until `write` hands it to the
            network.
        network: Whose weights they are.
        trained: (P,) bool; the others stay as they are bit for bit.
        rate_target: What the mean of squared rates is drawn to, where the engine has such a cost.
        mean_square: Mean of squared rates of the last trial.
        outputs: Outputs (T, K) of the last trial.
    """

    network: Network[Any]

    def __init__(self, flat: FloatArray, settings: StepSettings) -> None:
        self.flat, self.settings = flat, settings
        self.trained = np.ones(len(flat), dtype=bool)
        self.rate_target, self.mean_square = 0.0, 0.0
        self.outputs: npt.NDArray[Any] = np.zeros((0, 0))
        self._first, self._second, self._steps = np.zeros_like(flat), np.zeros_like(flat), 0

    def reset_optimiser(self) -> None:
        """Forget Adam's moments and their number."""
        self._first[:], self._second[:], self._steps = 0.0, 0.0, 0

    def step(self, trial: Trial, noise: np.random.Generator) -> float:
        """Learn from a trial.

        Args:
            trial: What is shown and right.
            noise: Source of the network's noise.

        Returns:
            The loss before the step. Nothing is changed if it, or its gradient, is not finite: then it is not
            finite.
        """
        loss, gradient = self.loss_and_gradient(trial, noise)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return float("nan")
        self._steps += 1
        s = self.settings
        adam_step(
            self.flat, gradient, self._first, self._second, self.trained, self._steps,
            s.learning_rate, s.beta1, s.beta2, s.epsilon, s.max_grad_norm,
        )  # fmt: skip
        self.constrain()
        return loss

    @abstractmethod
    def loss_and_gradient(self, trial: Trial, noise: np.random.Generator) -> tuple[float, FloatArray]:
        """The loss of a trial with the weights `flat`, and the gradient (P,) of the total cost."""

    @abstractmethod
    def write(self) -> None:
        """Put `flat` into the network."""

    @abstractmethod
    def part(self, name: str) -> npt.NDArray[np.bool_]:
        """Mask (P,) of the weights that belong to a part of the network, such as "readout"."""

    def constrain(self) -> None:
        """Bring the weights back to where they may be after a step. Default: nothing."""


class CompiledEngine(TrialEngine):
    """For `LeakySoftplus`; see `leaky_softplus.rule.run_trial`."""

    def __init__(self, network: LeakySoftplus, settings: StepSettings) -> None:
        parts = network.weights()
        super().__init__(np.concatenate([part.ravel() for part in parts]), settings)
        self.network: LeakySoftplus = network
        self.weights = views(self.flat, *network.sizes)
        self.constrain()

    def loss_and_gradient(self, trial: Trial, noise: np.random.Generator) -> tuple[float, FloatArray]:
        """See `TrialEngine.loss_and_gradient`."""
        inputs = trial.inputs.astype(np.float64)
        scored = trial.scored.astype(np.float64)
        result = run_trial(
            self.weights, inputs, trial.targets, scored, self._kicks(len(inputs), noise),
            self.network.dynamics, self.settings.costs, self.rate_target,
        )  # fmt: skip
        self.mean_square, self.outputs = result.mean_square, result.outputs
        return result.loss, result.gradient

    def states(self, inputs: npt.NDArray[np.float32], noise: np.random.Generator) -> FloatArray:
        """States (T, N) after each step of a trial in which nothing is learned."""
        kicks = self._kicks(len(inputs), noise)
        return simulate(self.weights, inputs.astype(np.float64), kicks, self.network.dynamics)[0][1:]

    def _kicks(self, steps: int, noise: np.random.Generator) -> FloatArray | None:
        if self.network.dynamics.noise_spread == 0.0:
            return None
        return noise.standard_normal((steps, self.network.num_features))

    def write(self) -> None:
        """See `TrialEngine.write`."""
        self.network.set_weights(self.weights)

    def part(self, name: str) -> npt.NDArray[np.bool_]:
        """See `TrialEngine.part`."""
        mask = np.zeros(len(self.flat), dtype=bool)
        for array, (place, _) in layout(*self.network.sizes).items():
            mask[place] = array.startswith(name)
        return mask

    def constrain(self) -> None:
        """Rectify the initial state: after the step, before the next trial."""
        if self.trained[layout(*self.network.sizes)["start"][0]].any():
            np.maximum(self.weights.start, 0.0, out=self.weights.start)


class AutogradEngine(TrialEngine):
    """For any network: its own forward pass, torch's gradients, and no costs beside the loss."""

    def __init__(self, network: Network[Any], settings: StepSettings) -> None:
        self.network = network
        self._parameters = list(network.named_parameters())
        flat = torch.nn.utils.parameters_to_vector(p for _, p in self._parameters)
        super().__init__(flat.detach().cpu().numpy().astype(np.float64), settings)

    def loss_and_gradient(self, trial: Trial, noise: np.random.Generator) -> tuple[float, FloatArray]:
        """See `TrialEngine.loss_and_gradient`."""
        self.write()
        place = self._parameters[0][1].device
        start = self.network.initial_state(1, torch_of(noise))
        inputs = torch.as_tensor(trial.inputs[:, None], device=place, dtype=self._parameters[0][1].dtype)
        outputs, _ = self.network(inputs, start)
        loss = supervised_loss(
            outputs,
            torch.as_tensor(trial.targets[:, None], device=place),
            torch.as_tensor(trial.scored[:, None], device=place),
        )
        parameters = [p for _, p in self._parameters]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        parts = [gradient.cpu().numpy().astype(np.float64).ravel() for gradient in gradients]
        self.outputs = outputs.detach()[:, 0].cpu().numpy()
        return loss.item(), np.concatenate(parts)

    @torch.no_grad()
    def write(self) -> None:
        """See `TrialEngine.write`."""
        first = 0
        for _, parameter in self._parameters:
            last = first + parameter.numel()
            parameter.copy_(torch.from_numpy(self.flat[first:last].reshape(parameter.shape)))
            first = last

    def part(self, name: str) -> npt.NDArray[np.bool_]:
        """See `TrialEngine.part`."""
        return np.concatenate([np.full(p.numel(), key.startswith(name)) for key, p in self._parameters])


@singledispatch
def engine_for(network: Network[Any], settings: StepSettings) -> TrialEngine:
    """The engine of a network: its compiled form where one is registered here, autograd otherwise."""
    return AutogradEngine(network, settings)


@engine_for.register
def _compiled(network: LeakySoftplus, settings: StepSettings) -> TrialEngine:
    return CompiledEngine(network, settings)
