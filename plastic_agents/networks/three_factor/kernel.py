"""The compiled loops of `three_factor.run_trial`; one thread, float64.

Sums may be taken in any order (so that they use the processor's vectors), hence results agree with the plain
form to rounding only; the same call gives the same numbers.
"""

from __future__ import annotations

import math

import numpy as np

from plastic_agents.networks.compiling import compiled
from plastic_agents.networks.three_factor.constants import COACTIVATION, NOISE, Constants, FloatArray


@compiled
def _move(
    W: FloatArray,
    U: FloatArray,
    b: FloatArray,
    r: FloatArray,
    s: FloatArray,
    xi: FloatArray,
    c: Constants,
    out: FloatArray,
) -> None:
    """One Euler-Maruyama step of the rates, into `out`."""
    scale = c.sigma * math.sqrt(c.dt)
    for i in range(len(r)):
        drive = 0.0
        for j in range(len(r)):
            drive += W[i, j] * r[j]
        for k in range(len(s)):
            drive += U[i, k] * s[k]
        scaled = r[i] / c.beta
        leak = scaled
        if scaled < 37.0:  # beyond, exp(-scaled) is lost in rounding
            leak += math.log(-math.expm1(-scaled))
        out[i] = r[i] + c.dt * (drive + b[i] - (leak - c.alpha) / c.gamma) + scale * xi[i]


@compiled
def _read(D: FloatArray, r: FloatArray, target: FloatArray, c: Constants, out: FloatArray) -> float:
    """Outputs, into `out`, and the reward."""
    reward = 0.0
    for k in range(len(out)):
        total = 0.0
        for i in range(len(r)):
            total += D[k, i] * r[i]
        if c.gain == 0.0:
            out[k] = total
            reward -= (target[k] - total) ** 2
        else:
            out[k] = 1.0 / (1.0 + math.exp(-c.gain * total))
            sure = min(max(out[k], c.least_probability), 1.0 - c.least_probability)
            reward += target[k] * math.log(sure) + (1.0 - target[k]) * math.log(1.0 - sure)
    return reward


@compiled
def _clip(r: FloatArray, new: FloatArray, c: Constants) -> float:
    """Write clipped rates into `r`; returns their metabolic cost."""
    cost = 0.0
    for i in range(len(r)):
        r[i] = min(max(new[i], c.least_rate), c.largest_rate)
        cost += c.cost_l1 * r[i] + c.cost_l2 * r[i] * r[i]
    return cost


@compiled
def _renew_means(
    w: FloatArray,
    m: FloatArray,
    post: FloatArray,
    pre: FloatArray,
    share: float,
    correction: float,
    step: float,
    keep: float,
) -> None:
    """Renew the running mean m of post pre^T; w <- keep w + step (post pre^T - correction m)."""
    for i in range(w.shape[0]):
        p = post[i]
        for j in range(w.shape[1]):
            pair = p * pre[j]
            mean = m[i, j] + share * (pair - m[i, j])
            m[i, j] = mean
            w[i, j] = keep * w[i, j] + step * (pair - correction * mean)


@compiled
def _renew_traces(
    w: FloatArray,
    e: FloatArray,
    post: FloatArray,
    pre: FloatArray,
    fade: float,
    step: float,
    keep: float,
) -> None:
    """Renew the trace e of post pre^T; w <- keep w + step e."""
    for i in range(w.shape[0]):
        p = post[i]
        for j in range(w.shape[1]):
            trace = fade * e[i, j] + p * pre[j]
            e[i, j] = trace
            w[i, j] = keep * w[i, j] + step * trace


@compiled
def _learn_decoder(
    D: FloatArray, output: FloatArray, target: FloatArray, r: FloatArray, c: Constants
) -> None:
    """One step of the delta rule."""
    size = c.dt * c.decoder_rate
    gain = 1.0 if c.gain == 0.0 else c.gain
    for k in range(D.shape[0]):
        error = size * gain * (target[k] - output[k])
        for i in range(D.shape[1]):
            D[k, i] = (1.0 - size * c.decay_decoder) * D[k, i] + error * r[i]


@compiled
def local_trial(
    W: FloatArray,
    U: FloatArray,
    b: FloatArray,
    D: FloatArray,
    r: FloatArray,
    inputs: FloatArray,
    presynaptic: FloatArray,
    targets: FloatArray,
    noise: FloatArray,
    c: Constants,
    learn: bool,
    record_every: int,
    rewards: FloatArray,
    outputs: FloatArray,
    rates: FloatArray,
) -> None:
    """A trial with the rules that a synapse can follow; see `three_factor.run_trial` for shapes."""
    units, size = U.shape
    column = b.reshape(units, 1)  # a view: biases are weights from a unit that is always at 1
    new, before, kick, one = np.empty(units), np.empty(units), np.empty(units), np.ones(1)
    output = np.empty(D.shape[0])
    mean_W, mean_U, mean_b = np.zeros((units, units)), np.zeros((units, size)), np.zeros((units, 1))
    mean_reward, old_share, fade = 0.0, 1.0, 1.0 - c.dt / c.trace_time
    scale, learning = c.sigma * math.sqrt(c.dt), c.dt * c.rate
    for t in range(len(inputs)):
        _move(W, U, b, r, inputs[t], noise[t], c, new)
        rewards[t] = _read(D, new, targets[t], c, output)
        if (t + 1) % record_every == 0:
            outputs[(t + 1) // record_every - 1] = output
            rates[(t + 1) // record_every - 1] = new
        before[:] = r
        cost = _clip(r, new, c)
        if not learn:
            continue

        reward = _read(D, r, targets[t], c, output) - cost
        old_share *= 1.0 - c.mean_rate
        mean_reward += c.mean_rate * (reward - mean_reward)
        if not math.isnan(c.constant_reward):
            reward = c.constant_reward
        elif c.baseline:
            reward -= mean_reward / (1.0 - old_share)
        on = 1.0 if t + 1 > c.quiet_steps else 0.0
        step = on * learning * reward
        keep_W, keep_U = 1.0 - on * learning * c.decay_recurrent, 1.0 - on * learning * c.decay_input
        keep_b = 1.0 - on * learning * c.decay_bias
        if c.eligibility == COACTIVATION:
            share, whole = c.mean_rate, 1.0 / (1.0 - old_share)
            _renew_means(W, mean_W, r, r, share, whole, step, keep_W)
            _renew_means(U, mean_U, r, presynaptic[t], share, whole, step, keep_U)
            _renew_means(column, mean_b, r, one, share, whole, step, keep_b)
        elif c.eligibility == NOISE:
            for i in range(units):
                kick[i] = scale * noise[t, i]
            _renew_traces(W, mean_W, kick, before, fade, step, keep_W)
            _renew_traces(U, mean_U, kick, presynaptic[t], fade, step, keep_U)
            _renew_traces(column, mean_b, kick, one, fade, step, keep_b)
        if on > 0.0:
            _learn_decoder(D, output, targets[t], r, c)


@compiled
def gradient_trial(
    W: FloatArray,
    U: FloatArray,
    b: FloatArray,
    D: FloatArray,
    r: FloatArray,
    inputs: FloatArray,
    presynaptic: FloatArray,
    targets: FloatArray,
    noise: FloatArray,
    c: Constants,
    learn: bool,
    record_every: int,
    rewards: FloatArray,
    outputs: FloatArray,
    rates: FloatArray,
) -> None:
    """A trial in which W, U and b follow the gradient of the reward along the path that the noise took.

    Rewards of `window` steps are differentiated back to the start of the window, through the clipped Euler
    steps, with the noise held fixed; the mean over noise is the gradient of the mean reward, less what inputs
    and rates before the window contribute. Steps are sigma^2 / 2 times the gradient, which is what the
    three-factor rule follows in the mean, so that both can be given the same rates. The decoder learns by the
    delta rule, step by step.
    """
    units, size = U.shape
    new, output = np.empty(units), np.empty(D.shape[0])
    past, slope, pull = np.empty((c.window, units)), np.empty((c.window, units)), np.empty((c.window, units))
    adjoint, back = np.zeros(units), np.empty(units)
    grad_W, grad_U, grad_b = np.zeros((units, units)), np.zeros((units, size)), np.zeros(units)
    learning = c.dt * c.rate
    filled = 0
    for t in range(len(inputs)):
        past[filled] = r
        for i in range(units):
            slope[filled, i] = 1.0 - c.dt / (c.beta * c.gamma * -math.expm1(-r[i] / c.beta))
        _move(W, U, b, r, inputs[t], noise[t], c, new)
        rewards[t] = _read(D, new, targets[t], c, output)
        if (t + 1) % record_every == 0:
            outputs[(t + 1) // record_every - 1] = output
            rates[(t + 1) // record_every - 1] = new
        _clip(r, new, c)
        _read(D, r, targets[t], c, output)
        on = learn and t + 1 > c.quiet_steps
        for i in range(units):
            inside = c.least_rate < new[i] < c.largest_rate
            total = -c.cost_l1 - 2.0 * c.cost_l2 * r[i]
            for k in range(len(output)):
                if c.gain == 0.0:
                    total += 2.0 * (targets[t, k] - output[k]) * D[k, i]
                elif c.least_probability < output[k] < 1.0 - c.least_probability:
                    total += c.gain * (targets[t, k] - output[k]) * D[k, i]
            pull[filled, i] = total if on and inside else 0.0
            if not inside:  # the next rate does not depend on the one before: mark it
                slope[filled, i] = math.nan
        if on:
            _learn_decoder(D, output, targets[t], r, c)
        filled += 1
        if filled < c.window and t + 1 < len(inputs):
            continue

        adjoint[:] = 0.0  # of the reward by the rate after the step
        grad_W[:], grad_U[:], grad_b[:] = 0.0, 0.0, 0.0
        for q in range(filled - 1, -1, -1):
            back[:] = 0.0
            for i in range(units):
                if math.isnan(slope[q, i]):
                    continue
                a = adjoint[i] + pull[q, i]
                back[i] += slope[q, i] * a
                grad_b[i] += a
                for j in range(units):
                    back[j] += c.dt * W[i, j] * a
                    grad_W[i, j] += a * past[q, j]
                for k in range(size):
                    grad_U[i, k] += a * presynaptic[t + 1 - filled + q, k]
            adjoint[:] = back
        if on:
            # grad sums (dR / dr) over steps; a unit of time of W's pull moves r by dt
            step = 0.5 * c.sigma**2 * learning * c.dt
            keep = learning * filled
            W += step * grad_W - keep * c.decay_recurrent * W
            U += step * grad_U - keep * c.decay_input * U
            b += step * grad_b - keep * c.decay_bias * b
        filled = 0
