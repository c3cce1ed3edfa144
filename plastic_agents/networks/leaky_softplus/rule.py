"""Leaky softplus networks: the plain loop in torch, and a whole trial forward and back, compiled.

A state is a row h (N,); x (I,) is the input, xi standard normal:

    eta(t) = keep eta(t-1) + spread xi(t)
    z(t)   = x(t) W_in + h(t-1) W_rec + b + eta(t)
    h(t)   = (1 - a) h(t-1) + a log(1 + exp(z(t)))
    y(t)   = h(t) W_out + b_out

The compiled form back-propagates through all steps, in float64 and on one thread. With a batch of one, a step
is two products of a vector with the matrix W_rec, for which an eager framework spends most of its time on
overhead; gradients of the weights are formed at the end of the trial, one matrix product each.

Source: Goudar, Peysakhovich, Freedman, Buffalo & Wang, Nature Neuroscience 26 (2023), Methods.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from plastic_agents.networks.compiling import compiled
from plastic_agents.networks.leaky_rates import leaky_rates

FloatArray = npt.NDArray[np.float64]


class Weights(NamedTuple):
    """The trained arrays, rows first: weights go from the first index to the second.

    Attributes:
        inputs: W_in, (I, N).
        recurrent: W_rec, (N, N).
        bias: b, (N,).
        start: h before the first step, (N,), not below 0.
        readout: W_out, (N, K).
        readout_bias: b_out, (K,).
    """

    inputs: FloatArray
    recurrent: FloatArray
    bias: FloatArray
    start: FloatArray
    readout: FloatArray
    readout_bias: FloatArray


class Dynamics(NamedTuple):
    """Constants of the network.

    Attributes:
        leak: a, duration of a step in time constants.
        noise_keep: Share of the noise that is left after a step.
        noise_spread: Standard deviation of the noise added in a step.
    """

    leak: float
    noise_keep: float = 0.0
    noise_spread: float = 0.0

    @classmethod
    def of(cls, leak: float, noise: float = 0.05, noise_time: float = 0.02) -> Dynamics:
        """The published Ornstein-Uhlenbeck noise, or white noise of equal power at low frequencies.

        With a_n = leak / noise_time, keep = 1 - a_n and spread = noise sqrt(2 a_n) while a_n <= 1 (the
        published 1 ms: 0.5). For longer steps that equation ceases to describe noise with a time constant
        (beyond a_n = 2 it is unstable), and independent numbers of spread noise sqrt(2 / a_n) take its place.

        Args:
            leak: a.
            noise: sigma, 0 for none.
            noise_time: Time constant of the noise, in time constants of the units (published: 2 ms of 100
                ms).
        """
        ratio = leak / noise_time
        if ratio <= 1.0:
            return cls(leak, 1.0 - ratio, noise * math.sqrt(2.0 * ratio))
        return cls(leak, 0.0, noise * math.sqrt(2.0 / ratio))


class Costs(NamedTuple):
    """Costs added to the loss of a trial; means are over the entries of an array.

    Attributes:
        rate: Factor on |mean of h^2 over steps and units - rate_target|.
        input: Factor on the mean of W_in^2.
        readout: Factor on the mean of W_out^2.
        recurrent: Factor on the mean of the squares of the largest singular values of W_rec.
        num_singular: Number of these.
    """

    rate: float = 0.0005
    input: float = 0.0001
    readout: float = 0.1
    recurrent: float = 0.001
    num_singular: int = 10


class TrialResult(NamedTuple):
    """Results of a trial.

    Attributes:
        loss: Mean cross-entropy over the scored steps, in nats, without further costs.
        mean_square: Mean of h^2 over steps and units.
        gradient: Of loss and costs by the flat weights, (P,).
        states: h after each step, (T, N).
        outputs: y, (T, K).
    """

    loss: float
    mean_square: float
    gradient: FloatArray
    states: FloatArray
    outputs: FloatArray


# ---- weights as one vector ---------------------------------------------------------------------------


def layout(num_inputs: int, num_units: int, num_outputs: int) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """Slice of each of the `Weights` in the flat vector of all, and its shape."""
    shapes: dict[str, tuple[int, ...]] = {
        "inputs": (num_inputs, num_units),
        "recurrent": (num_units, num_units),
        "bias": (num_units,),
        "start": (num_units,),
        "readout": (num_units, num_outputs),
        "readout_bias": (num_outputs,),
    }
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()]).tolist()
    return {
        name: (slice(end - math.prod(shape), end), shape)
        for (name, shape), end in zip(shapes.items(), ends, strict=True)
    }


def views(flat: npt.NDArray[Any], num_inputs: int, num_units: int, num_outputs: int) -> Weights:
    """The arrays in a flat vector (..., P); views of it, with the leading axes kept."""
    parts = layout(num_inputs, num_units, num_outputs).values()
    return Weights(*(flat[..., place].reshape(*flat.shape[:-1], *shape) for place, shape in parts))


# ---- the plain form ----------------------------------------------------------------------------------


def leaky_softplus(
    drive: torch.Tensor, start: torch.Tensor, recurrent: torch.Tensor, leak: float
) -> torch.Tensor:
    """States after each step; differentiable.

    Args:
        drive: x W_in + b + eta, (T, B, N).
        start: h before the first step, (B, N).
        recurrent: W_rec, (N, N).
        leak: a.

    Returns:
        (T, B, N).
    """
    # The threshold is where log(1 + e^z) = z in float64.
    return leaky_rates(drive, start, recurrent, leak, lambda z: F.softplus(z, threshold=40.0))


# ---- the compiled form -------------------------------------------------------------------------------


@compiled
def _forward(
    recurrent: FloatArray, start: FloatArray, drive: FloatArray, xi: FloatArray, leak: float, keep: float,
    spread: float, states: FloatArray, slopes: FloatArray,
) -> None:  # fmt: skip
    """States (T + 1, N) from `start` on, and slopes of the softplus (T, N); xi is empty for no noise."""
    steps, units = drive.shape
    noisy = xi.shape[0] > 0
    eta, z = np.zeros(units), np.empty(units)
    states[0] = start
    for t in range(steps):
        for j in range(units):
            z[j] = drive[t, j]
        if noisy:
            for j in range(units):
                eta[j] = keep * eta[j] + spread * xi[t, j]
                z[j] += eta[j]
        h = states[t]
        whole = units - units % 4
        for i in range(0, whole, 4):
            h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
            for j in range(units):
                z[j] += (
                    h0 * recurrent[i, j]
                    + h1 * recurrent[i + 1, j]
                    + h2 * recurrent[i + 2, j]
                    + h3 * recurrent[i + 3, j]
                )
        for i in range(whole, units):
            for j in range(units):
                z[j] += h[i] * recurrent[i, j]
        for j in range(units):
            e = math.exp(-abs(z[j]))  # never above 1
            states[t + 1, j] = (1.0 - leak) * h[j] + leak * (max(z[j], 0.0) + math.log1p(e))
            slopes[t, j] = (1.0 if z[j] > 0.0 else e) / (1.0 + e)


@compiled
def _backward(
    recurrent: FloatArray, pull: FloatArray, slopes: FloatArray, leak: float, kicks: FloatArray
) -> FloatArray:
    """Gradients by z (T, N), into `kicks`, of those by h after each step; returns that by the start."""
    steps, units = pull.shape
    adjoint, back = np.zeros(units), np.empty(units)
    for t in range(steps - 1, -1, -1):
        for j in range(units):
            adjoint[j] += pull[t, j]
            kicks[t, j] = leak * adjoint[j] * slopes[t, j]
        for i in range(units):
            total = 0.0
            for j in range(units):
                total += recurrent[i, j] * kicks[t, j]
            back[i] = (1.0 - leak) * adjoint[i] + total
        adjoint[:] = back
    return adjoint


@compiled
def _cross_entropy(
    outputs: FloatArray, targets: npt.NDArray[np.int64], weights: FloatArray, pull: FloatArray
) -> float:
    """Weighted mean of -log softmax(y)[target]; its gradient by y (T, K), into `pull`."""
    total, loss = weights.sum(), 0.0
    for t in range(outputs.shape[0]):
        top = outputs[t].max()
        norm = 0.0
        for k in range(outputs.shape[1]):
            pull[t, k] = math.exp(outputs[t, k] - top)
            norm += pull[t, k]
        share = weights[t] / total if targets[t] >= 0 else 0.0
        for k in range(outputs.shape[1]):
            pull[t, k] *= share / norm
        if share > 0.0:
            loss += share * (math.log(norm) + top - outputs[t, targets[t]])
            pull[t, targets[t]] -= share
    return loss


def top_singular_gradient(recurrent: FloatArray, count: int) -> FloatArray:
    """Gradient (N, N) of the mean of the squares of the `count` largest singular values of W.

    It is (2 / count) W V V^T with the right singular vectors V of these values, which are the eigenvectors of
    W^T W: several times cheaper than a full decomposition.
    """
    from scipy.linalg import lapack  # loaded only where a network is trained

    size = len(recurrent)
    square = recurrent.T @ recurrent
    _, vectors, _, _, status = lapack.dsyevr(square, range="I", il=size - count + 1, iu=size)
    if status != 0:
        raise FloatingPointError(
            f"LAPACK's dsyevr found no singular values of the weights (info = {status})."
        )
    gradient: FloatArray = (2.0 / count) * (recurrent @ vectors[:, :count]) @ vectors[:, :count].T
    return gradient


def simulate(
    weights: Weights, inputs: FloatArray, xi: FloatArray | None, dynamics: Dynamics
) -> tuple[FloatArray, FloatArray]:
    """Run a trial.

    Args:
        weights: Weights of the network.
        inputs: (T, I).
        xi: Standard normal numbers (T, N); None: no noise.
        dynamics: Its constants.

    Returns:
        States with the start before them, (T + 1, N), and the softplus's slopes, (T, N).
    """
    steps, units = len(inputs), len(weights.bias)
    states, slopes = np.empty((steps + 1, units)), np.empty((steps, units))
    drive = inputs @ weights.inputs + weights.bias
    noise = np.empty((0, units)) if xi is None else xi
    _forward(weights.recurrent, weights.start, drive, noise, *dynamics, states, slopes)
    return states, slopes


def run_trial(
    weights: Weights,
    inputs: FloatArray,
    targets: npt.NDArray[np.int64],
    step_weights: FloatArray,
    xi: FloatArray | None,
    dynamics: Dynamics,
    costs: Costs,
    rate_target: float,
) -> TrialResult:
    """Run a trial and compute the gradient of its total cost.

    Args:
        weights: Weights of the network.
        inputs: (T, I).
        targets: (T,), -1: nothing is right.
        step_weights: (T,), weight of each step in the loss.
        xi: Standard normal numbers (T, N); None: no noise.
        dynamics: Constants of the network.
        costs: Costs added to the loss.
        rate_target: Target of the mean of h^2.

    Returns:
        The result; its gradient is in the order of `layout`.
    """
    states, slopes = simulate(weights, inputs, xi, dynamics)
    after = states[1:]
    outputs = after @ weights.readout + weights.readout_bias
    pull = np.empty_like(outputs)
    loss = _cross_entropy(outputs, targets, step_weights, pull)
    mean_square = float(np.vdot(after, after)) / after.size
    by_state = pull @ weights.readout.T
    by_state += (costs.rate * np.sign(mean_square - rate_target) * 2.0 / after.size) * after
    kicks = np.empty_like(slopes)
    by_start = _backward(weights.recurrent, by_state, slopes, dynamics.leak, kicks)
    by_inputs = inputs.T @ kicks + (2.0 * costs.input / weights.inputs.size) * weights.inputs
    by_recurrent = states[:-1].T @ kicks
    if costs.recurrent > 0.0 and np.isfinite(loss):
        by_recurrent += costs.recurrent * top_singular_gradient(weights.recurrent, costs.num_singular)
    by_readout = after.T @ pull + (2.0 * costs.readout / weights.readout.size) * weights.readout
    parts = (by_inputs, by_recurrent, kicks.sum(0), by_start, by_readout, pull.sum(0))
    gradient = np.concatenate([part.ravel() for part in parts])
    return TrialResult(loss, mean_square, gradient, after, outputs)


@compiled
def adam_step(
    flat: FloatArray, gradient: FloatArray, first: FloatArray, second: FloatArray,
    trained: npt.NDArray[np.bool_], number: int, rate: float, beta1: float, beta2: float,
    epsilon: float, longest: float,
) -> float:  # fmt: skip
    """Clip the gradient of the trained weights by norm, and take one step of Adam, in place.

    The epsilon is outside the bias correction: w -= rate sqrt(1 - beta2^n) / (1 - beta1^n) m / (sqrt(v) +
    epsilon).

    Args:
        flat: Weights, (P,).
        gradient: (P,).
        first: m, (P,).
        second: v, (P,).
        trained: (P,); the others are not touched, and do not count in the length.
        number: n, from 1.
        rate: Learning rate.
        beta1: Share of m that is kept.
        beta2: Share of v that is kept.
        epsilon: Added to the root of v.
        longest: Euclidean norm to which a longer gradient is scaled down.

    Returns:
        The norm before clipping.
    """
    square = 0.0
    for p in range(len(flat)):
        if trained[p]:
            square += gradient[p] * gradient[p]
    norm = math.sqrt(square)
    scale = longest / norm if norm > longest else 1.0
    size = rate * math.sqrt(1.0 - beta2**number) / (1.0 - beta1**number)
    for p in range(len(flat)):
        if trained[p]:
            g = scale * gradient[p]
            first[p] = beta1 * first[p] + (1.0 - beta1) * g
            second[p] = beta2 * second[p] + (1.0 - beta2) * g * g
            flat[p] -= size * first[p] / (math.sqrt(second[p]) + epsilon)
    return norm
