"""A noisy rate network that learns by reward-modulated Hebbian plasticity, as functions of NumPy arrays.

The network, the rule and the constants are those of Bredenberg, Simoncelli and Savin, "Learning efficient
task-dependent representations with synaptic plasticity", NeurIPS 33 (2020). Rates r (N,) follow

    dr = [ -g(r) + W r + U s + b ] dt + sigma dB,        g(r) = (log(exp(r / beta) - 1) - alpha) / gamma,

g being the inverse of the firing-rate curve beta log(1 + exp(alpha + gamma x)). For symmetric W their
stationary law is exp(-2 E / sigma^2) with an energy E linear in W, U and b, so that the gradient of any mean
reward is a covariance of the reward with coactivation: the three-factor rule

    dW / dt = eta [ R (r r^T - m) - lambda W ],        m the recent mean of r r^T,

and alike for U (r s^T) and b (r): beside a synapse's local signals it needs only the reward R. The
decoder D learns by the delta rule.

`run_trial` is compiled (Numba); `run_trial_reference` is the same rule written plainly, for the same noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from plastic_agents.networks.three_factor.constants import FROZEN, GRADIENT, NOISE, Constants, FloatArray
from plastic_agents.networks.three_factor.kernel import gradient_trial, local_trial


class Weights(NamedTuple):
    """The learned weights, float64; element [i, j] leads from j to i.

    Attributes:
        recurrent: W, (N, N).
        input: U, (N, I).
        bias: b, (N,).
        decoder: D, (K, N).
    """

    recurrent: FloatArray
    input: FloatArray
    bias: FloatArray
    decoder: FloatArray

    def copy(self) -> Weights:
        """Weights that share no memory with these."""
        return Weights(*(array.copy() for array in self))


@dataclass(frozen=True)
class Trial:
    """Records of a trial.

    Attributes:
        rewards: (T,), of the outputs, without metabolic cost.
        outputs: (T', K), of every `record_every`-th step.
        rates: (T', N), of the same steps, before clipping.
        final_rates: (N,), after the last step, clipped.
    """

    rewards: FloatArray
    outputs: FloatArray
    rates: FloatArray
    final_rates: FloatArray


def initial_weights(
    rng: np.random.Generator, num_inputs: int, num_units: int, num_outputs: int, bias: float = 0.0
) -> Weights:
    """Random weights: W, U, D uniform within 0.3 / sqrt(N), 0.5 / sqrt(I), 1 / N (published), b constant."""

    def uniform(bound: float, *shape: int) -> FloatArray:
        return rng.uniform(-bound, bound, shape)

    return Weights(
        uniform(0.3 / math.sqrt(num_units), num_units, num_units),
        uniform(0.5 / math.sqrt(num_inputs), num_units, num_inputs),
        np.full(num_units, bias),
        uniform(1.0 / num_units, num_outputs, num_units),
    )


def rate_curve(drive: FloatArray, constants: Constants) -> FloatArray:
    """Firing rate (...) of a drive (...): beta log(1 + exp(alpha + gamma x))."""
    return constants.beta * np.logaddexp(0.0, constants.alpha + constants.gamma * drive)


def rate_curve_inverse(rates: FloatArray, constants: Constants) -> FloatArray:
    """The drive (...) that holds rates (...) > 0; written so that large rates do not overflow."""
    scaled = rates / constants.beta
    return (scaled + np.log(-np.expm1(-scaled)) - constants.alpha) / constants.gamma


def run_trial(
    weights: Weights,
    rates: FloatArray,
    inputs: FloatArray,
    targets: FloatArray,
    noise: FloatArray,
    constants: Constants,
    *,
    learn: bool = True,
    record_every: int = 1,
    rule_inputs: FloatArray | None = None,
) -> Trial:
    """Run a trial from fresh running means, and learn in it; compiled when it is first called.

    Per step: input s(t) and rates r(t - 1) give r(t); the output and the recorded reward are those of r(t);
    r(t) is clipped; the rule, and the reward in it, use the clipped r(t). (As published, but that there the
    input of the step before drives the rates, 0.01 time units ago.) The running means are divided by the
    weight of their samples so far, so that they are means from the first step on; after the published quiet
    time that is a factor of 1.002.

    Args:
        weights: Changed in place if `learn`.
        rates: (N,), before the first step; unchanged.
        inputs: (T, I).
        targets: (T, K).
        noise: (T, N), standard normal.
        constants: Constants of network and rule.
        learn: Whether weights change.
        record_every: Steps between recorded outputs and rates; the first record is of step `record_every -
            1`.
        rule_inputs: (T, I), the inputs in the rule, if they are not those that drive the rates (input noise).

    Raises:
        ValueError: If shapes do not fit.
        FloatingPointError: If weights or rates grew beyond all bounds.
    """
    inputs, targets, noise, pre = _checked(weights, rates, inputs, targets, noise, rule_inputs)
    steps, records = len(inputs), len(inputs) // record_every
    trial = Trial(
        np.empty(steps), np.empty((records, targets.shape[1])), np.empty((records, len(rates))), rates.copy()
    )
    run = gradient_trial if learn and constants.eligibility == GRADIENT else local_trial
    run(
        *weights, trial.final_rates, inputs, pre, targets, noise, constants, learn, record_every,
        trial.rewards, trial.outputs, trial.rates,
    )  # fmt: skip
    if not (np.isfinite(trial.final_rates).all() and all(np.isfinite(w).all() for w in weights)):
        raise FloatingPointError(
            f"rates or weights are not finite after a trial of {steps} steps: lower the learning rates "
            f"(rate={constants.rate}, decoder_rate={constants.decoder_rate}) or raise the decay."
        )
    return trial


def _checked(
    weights: Weights, rates: FloatArray, inputs: FloatArray, targets: FloatArray, noise: FloatArray,
    rule_inputs: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Check inputs, targets, noise and the rule's inputs, and convert them for the kernel."""
    units, size = weights.input.shape
    steps, outputs = len(inputs), len(weights.decoder)
    pre = inputs if rule_inputs is None else rule_inputs
    for name, array, shape in (
        ("rates", rates, (units,)), ("inputs", inputs, (steps, size)), ("rule_inputs", pre, (steps, size)),
        ("targets", targets, (steps, outputs)), ("noise", noise, (steps, units)),
    ):  # fmt: skip
        if array.shape != shape:
            raise ValueError(f"{name} of shape {array.shape}: expected {shape}, by the weights and inputs.")
    inputs, targets, noise, pre = (
        np.ascontiguousarray(array, dtype=np.float64) for array in (inputs, targets, noise, pre)
    )
    return inputs, targets, noise, pre


def output_and_reward(
    output: FloatArray, target: FloatArray, constants: Constants
) -> tuple[FloatArray, float]:
    """The output (K,) of D r (K,), and the reward it earns."""
    if constants.gain == 0.0:
        return output, -float(np.square(target - output).sum())
    output = 1.0 / (1.0 + np.exp(-constants.gain * output))
    sure = np.clip(output, constants.least_probability, 1.0 - constants.least_probability)
    return output, float((target * np.log(sure) + (1.0 - target) * np.log(1.0 - sure)).sum())


def run_trial_reference(
    weights: Weights,
    rates: FloatArray,
    inputs: FloatArray,
    targets: FloatArray,
    noise: FloatArray,
    constants: Constants,
    *,
    learn: bool = True,
    record_every: int = 1,
    rule_inputs: FloatArray | None = None,
) -> Trial:
    """`run_trial` in plain NumPy, one equation a line; slow. Not written for the pathwise gradient."""
    c = constants
    if c.eligibility == GRADIENT and learn:
        raise ValueError(
            "the pathwise gradient has no reference here; torch's autograd through the network is one."
        )
    inputs, targets, noise, pre = _checked(weights, rates, inputs, targets, noise, rule_inputs)
    W, U, b, D = weights
    r = rates.copy()
    mean_W, mean_U, mean_b = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    mean_reward, old_share = 0.0, 1.0
    rewards, outputs, recorded = [], [], []
    for t, (s, s_rule, target) in enumerate(zip(inputs, pre, targets, strict=True)):
        before = r
        kick = c.sigma * math.sqrt(c.dt) * noise[t]
        r = r + c.dt * (W @ r + U @ s + b - rate_curve_inverse(r, c)) + kick
        output, reward = output_and_reward(D @ r, target, c)
        rewards.append(reward)
        if (t + 1) % record_every == 0:
            outputs.append(output)
            recorded.append(r)
        r = np.clip(r, c.least_rate, c.largest_rate)
        if not learn:
            continue

        output, reward = output_and_reward(D @ r, target, c)
        reward -= c.cost_l1 * np.abs(r).sum() + c.cost_l2 * np.square(r).sum()
        old_share *= 1.0 - c.mean_rate
        mean_reward += c.mean_rate * (reward - mean_reward)
        if not math.isnan(c.constant_reward):
            reward = c.constant_reward
        elif c.baseline:
            reward -= mean_reward / (1.0 - old_share)
        if c.eligibility == NOISE:
            keep = 1.0 - c.dt / c.trace_time
            mean_W = keep * mean_W + np.outer(kick, before)
            mean_U = keep * mean_U + np.outer(kick, s_rule)
            mean_b = keep * mean_b + kick
            eligible_W, eligible_U, eligible_b = mean_W, mean_U, mean_b
        else:
            mean_W = mean_W + c.mean_rate * (np.outer(r, r) - mean_W)
            mean_U = mean_U + c.mean_rate * (np.outer(r, s_rule) - mean_U)
            mean_b = mean_b + c.mean_rate * (r - mean_b)
            seen_share = 1.0 - old_share
            eligible_W = np.outer(r, r) - mean_W / seen_share
            eligible_U = np.outer(r, s_rule) - mean_U / seen_share
            eligible_b = r - mean_b / seen_share
        if t + 1 <= c.quiet_steps:
            continue
        if c.eligibility != FROZEN:
            W += c.dt * c.rate * (reward * eligible_W - c.decay_recurrent * W)
            U += c.dt * c.rate * (reward * eligible_U - c.decay_input * U)
            b += c.dt * c.rate * (reward * eligible_b - c.decay_bias * b)
        error = (c.gain or 1.0) * (target - output)
        D += c.dt * c.decoder_rate * (np.outer(error, r) - c.decay_decoder * D)
    return Trial(np.array(rewards), np.array(outputs), np.array(recorded), r)
