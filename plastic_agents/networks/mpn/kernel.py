"""The compiled form of a plastic layer, exact with clipping; never stores all weights of all steps.

Row i of a trial's modulation M depends on that trial's inputs x and on its own unit's activity h_i only. So
the order is: trial, then a block of a few rows, then time, and the block's weights stay in the first-level
cache. Forward, one pass over a row changes its weights with x(t) and reads them with x(t + 1). Backward, a
block's weights are made again from the stored h, into a history that fits the cache as well, and one sweep
from the end gives every gradient. Rows are filled up with zeros to whole vectors of the processor, which
come out as zeros again and spare each loop its slow rest.

Letters: T steps, B trials, E inputs, N units. With drive(t) = W x(t) + b, one matrix product
that is taken outside:

    a(t) = drive(t) + sum_j gain_j M_j(t) x_j(t),    h(t) = f(a(t))
    P_j(t + 1) = lambda_j M_j(t) + eta_i grid_j h(t) x_j(t),    M(t + 1) = clip(P(t + 1), low, high)

Sums may be taken in any order (so that they use the processor's vectors): results agree with the plain loop
to rounding only; the same call gives the same numbers.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from numba import types
from numba.extending import overload

from plastic_agents.networks.activations import activation
from plastic_agents.networks.compiling import compiled
from plastic_agents.networks.derivatives import graph_of_gradients

ACTIVATIONS = {"linear": 0, "tanh": 1, "relu": 2, "sigmoid": 3, "rectified-tanh": 4}
"""Activations whose slope follows from their value, and the numbers that the kernel knows them by."""

_LINEAR, _TANH, _RELU, _SIGMOID = 0, 1, 2, 3
_ROWS = 4  # of M in a block: enough for the rows' chains of operations to overlap, few enough for the cache
_LANES = 16  # numbers in a vector of the processor, or a multiple of it

FloatArray = npt.NDArray[Any]


def _at(values: Any, j: Any) -> Any:
    """Entry j of a row's rates, which may be one number for all; compiled to one or the other."""
    raise NotImplementedError("only compiled code calls this")


def _compiled_at(values: Any, j: Any) -> Any:
    def entry(values: Any, j: Any) -> Any:
        return values[j]

    def same(values: Any, j: Any) -> Any:
        return values

    return entry if isinstance(values, types.Array) else same


overload(_at, inline="always")(_compiled_at)


@compiled
def _filled_up(values: FloatArray, width: int) -> FloatArray:
    """Rows (N, E) followed by zeros, (N, width)."""
    rows = np.zeros((values.shape[0], width), values.dtype)
    rows[:, : values.shape[1]] = values
    return rows


def _rates(values: Any, width: Any) -> Any:
    """Rates of synapses as long as the filled-up rows, where they are not one for all of a row."""
    raise NotImplementedError("only compiled code calls this")


def _compiled_rates(values: Any, width: Any) -> Any:
    def each(values: Any, width: Any) -> Any:
        return _filled_up(values, width)

    def same(values: Any, width: Any) -> Any:
        return values

    return each if values.ndim == 2 else same


overload(_rates, inline="always")(_compiled_rates)


# tanh(x) = x P(x^2) / Q(x^2) for |x| <= 8.5, and 1 beyond: a least-squares fit whose relative error is
# 3e-8, or 3e-7 when worked out in float32. It takes a fifth of the library function's time.
_FARTHEST = np.float32(8.5)
_P = tuple(
    np.float32(c) for c in (
        0.9999999656984582, 0.12949890928945537, 0.0029538774787564435, 9.573739305228984e-06,
        -1.371892774468813e-08, 2.0723916036001846e-11,
    )
)  # fmt: skip
_Q = tuple(np.float32(c) for c in (1.0, 0.46283194256695614, 0.023898298481823104, 0.00023270320763724603))


def _tanh(a: Any) -> Any:
    """Hyperbolic tangent: the library's in float64, a faster one in float32."""
    raise NotImplementedError("only compiled code calls this")


def _compiled_tanh(a: Any) -> Any:
    def exact(a: Any) -> Any:
        return math.tanh(a)

    def rational(a: Any) -> Any:
        x = min(max(a, -_FARTHEST), _FARTHEST)
        s = x * x
        above = _P[0] + s * (_P[1] + s * (_P[2] + s * (_P[3] + s * (_P[4] + s * _P[5]))))
        below = _Q[0] + s * (_Q[1] + s * (_Q[2] + s * _Q[3]))
        return min(max(x * above / below, -_Q[0]), _Q[0])

    return rational if a == types.float32 else exact


overload(_tanh, inline="always")(_compiled_tanh)


@compiled
def _activate(a: Any, kind: int, one: Any) -> Any:
    """f(a); `one` is 1 in the precision of `a`, which plain literals would widen."""
    if kind == _LINEAR:
        return a
    if kind == _RELU:
        return max(a, one - one)
    if kind == _SIGMOID:
        e = math.exp(-abs(a))  # never above 1
        return (one if a >= 0 else e) / (one + e)
    h = _tanh(a)
    return h if kind == _TANH else max(h, one - one)


@compiled
def _slope(h: Any, kind: int, one: Any) -> Any:
    """The derivative of f where its value is h."""
    if kind == _LINEAR:
        return one
    if kind == _SIGMOID:
        return h * (one - h)
    if kind == _TANH:
        return one - h * h
    if h <= 0:
        return one - one
    return one if kind == _RELU else one - h * h


@compiled
def _forward(
    x: FloatArray, drive: FloatArray, gain: FloatArray, eta: FloatArray, grid: FloatArray, decay: FloatArray,
    start: FloatArray, lengths: npt.NDArray[np.int64], low: Any, high: Any, kind: int, h: FloatArray,
    end: FloatArray,
) -> None:  # fmt: skip
    """Activities into `h` and the modulation after each trial's last step into `end`.

    Args:
        x: (T, B, E).
        drive: (T, B, N).
        gain: (N, E).
        eta: (N,).
        grid: (N, E), or (N,) where it is the same for all of a row.
        decay: lambda, of the shape of `grid`.
        start: M before the first step, (B, N, E), within the bounds.
        lengths: (B,), at least 1.
        low: Lower bound, in the arrays' precision.
        high: Upper bound.
        kind: Number of f.
        h: (T, B, N), for the result; 0 in steps beyond a trial's length.
        end: (B, N, E), for the result.
    """
    units, size = gain.shape
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    width = -(-size // _LANES) * _LANES
    gains, scales, keeps = _filled_up(gain, width), _rates(grid, width), _rates(decay, width)
    xs = np.zeros((x.shape[0], width), x.dtype)
    m = np.zeros((_ROWS, width), x.dtype)
    recalls, rates = np.empty(_ROWS, x.dtype), np.empty(_ROWS, x.dtype)
    for b in range(x.shape[1]):
        last = lengths[b] - 1
        for t in range(last + 1):
            for j in range(size):
                xs[t, j] = x[t, b, j]
        for first in range(0, units, _ROWS):
            rows = min(_ROWS, units - first)
            for r in range(rows):
                total = zero
                for j in range(size):
                    value = start[b, first + r, j]
                    m[r, j] = value
                    total += gains[first + r, j] * value * xs[0, j]
                recalls[r] = total
            for t in range(last):
                for r in range(rows):  # by itself, so that the rows' activations overlap
                    activity = _activate(drive[t, b, first + r] + recalls[r], kind, one)
                    h[t, b, first + r] = activity
                    rates[r] = eta[first + r] * activity
                for r in range(rows):
                    i = first + r
                    rate, scale, keep = rates[r], scales[i], keeps[i]
                    total = zero
                    for j in range(width):
                        value = _at(keep, j) * m[r, j] + rate * _at(scale, j) * xs[t, j]
                        value = min(max(value, low), high)
                        m[r, j] = value
                        total += gains[i, j] * value * xs[t + 1, j]
                    recalls[r] = total
            for r in range(rows):
                i = first + r
                activity = _activate(drive[last, b, i] + recalls[r], kind, one)
                h[last, b, i] = activity
                rate, scale, keep = eta[i] * activity, scales[i], keeps[i]
                for j in range(size):
                    value = _at(keep, j) * m[r, j] + rate * _at(scale, j) * xs[last, j]
                    end[b, i, j] = min(max(value, low), high)
        for t in range(last + 1, x.shape[0]):
            for i in range(units):
                h[t, b, i] = zero


@compiled
def _backward(
    x: FloatArray, gain: FloatArray, eta: FloatArray, grid: FloatArray, decay: FloatArray,
    start: FloatArray, lengths: npt.NDArray[np.int64], low: Any, high: Any, kind: int, h: FloatArray,
    by_h: FloatArray, by_end: FloatArray, by_x: FloatArray, by_drive: FloatArray, by_gain: FloatArray,
    by_eta: FloatArray, by_grid: FloatArray, by_decay: FloatArray, by_start: FloatArray,
) -> None:  # fmt: skip
    """Gradients. An empty array stands for a gradient that is not needed.

    Args:
        x: As in `_forward`; so are the arrays and numbers up to `kind`.
        gain: (N, E).
        eta: (N,).
        grid: (N, E) or (N,).
        decay: As `grid`.
        start: (B, N, E).
        lengths: (B,).
        low: Lower bound.
        high: Upper bound.
        kind: Number of f.
        h: (T, B, N), as `_forward` left it.
        by_h: Gradient of the loss by h, (T, B, N).
        by_end: By the modulation at the end, (B, N, E); empty if it has none.
        by_x: (T, B, E), for the result.
        by_drive: (T, B, N), for the result.
        by_gain: (N, E), added to; may be empty.
        by_eta: (N,), added to.
        by_grid: (N, E), added to; may be empty.
        by_decay: (N, E), added to; may be empty.
        by_start: (B, N, E), for the result; may be empty.
    """
    steps, units, size = x.shape[0], gain.shape[0], gain.shape[1]
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    width = -(-size // _LANES) * _LANES
    gains, scales, keeps = _filled_up(gain, width), _rates(grid, width), _rates(decay, width)
    xs, pull = np.zeros((steps, width), x.dtype), np.empty((steps, width), x.dtype)
    past = np.zeros((steps + 1, _ROWS, width), x.dtype)  # P; M is its clipped form
    reads = np.empty((_ROWS, width), x.dtype)  # gradient by the gain
    rates = np.empty(_ROWS, x.dtype)  # gradient by eta; per trial, as long sums lose digits
    g = np.empty((_ROWS, width), x.dtype)  # gradient by P(t + 1)
    back = np.empty(_ROWS, x.dtype)  # gradient by eta h(t) through P(t + 1)
    for b in range(x.shape[1]):
        last = lengths[b] - 1
        for t in range(last + 1):
            for j in range(size):
                xs[t, j] = x[t, b, j]
            pull[t] = zero
        for first in range(0, units, _ROWS):
            rows = min(_ROWS, units - first)
            seeded = by_end.size > 0
            for r in range(rows):
                for j in range(size):
                    past[0, r, j] = start[b, first + r, j]
                g[r] = zero
                reads[r] = zero
                back[r] = zero
                rates[r] = zero
            for t in range(last + 1 if seeded else last):
                for r in range(rows):
                    i = first + r
                    rate, scale, keep = eta[i] * h[t, b, i], scales[i], keeps[i]
                    for j in range(width):
                        before = min(max(past[t, r, j], low), high)
                        past[t + 1, r, j] = _at(keep, j) * before + rate * _at(scale, j) * xs[t, j]
            if seeded:
                for r in range(rows):
                    i = first + r
                    scale, total = scales[i], zero
                    for j in range(size):
                        p = past[last + 1, r, j]
                        value = by_end[b, i, j]
                        value = value if (p >= low) & (p <= high) else zero
                        g[r, j] = value
                        total += value * _at(scale, j) * xs[last, j]
                    back[r] = total
            for t in range(last, -1, -1):
                earlier = max(t - 1, 0)  # at the first step what is read there is not used
                for r in range(rows):
                    i = first + r
                    activity, scale, keep = h[t, b, i], scales[i], keeps[i]
                    rate = eta[i] * activity
                    kick = (by_h[t, b, i] + eta[i] * back[r]) * _slope(activity, kind, one)
                    by_drive[t, b, i] = kick
                    rates[r] += activity * back[r]
                    if by_grid.size > 0:
                        for j in range(size):
                            by_grid[i, j] += rate * g[r, j] * xs[t, j]
                    if by_decay.size > 0:
                        for j in range(size):
                            by_decay[i, j] += g[r, j] * min(max(past[t, r, j], low), high)
                    total = zero
                    for j in range(width):
                        p = past[t, r, j]
                        before = min(max(p, low), high)
                        pull[t, j] += kick * gains[i, j] * before + rate * _at(scale, j) * g[r, j]
                        reads[r, j] += kick * xs[t, j] * before
                        value = _at(keep, j) * g[r, j] + kick * gains[i, j] * xs[t, j]
                        value = value if (p >= low) & (p <= high) else zero
                        g[r, j] = value
                        total += value * _at(scale, j) * xs[earlier, j]
                    back[r] = total
            for r in range(rows):
                by_eta[first + r] += rates[r]
            if by_gain.size > 0:
                for r in range(rows):
                    for j in range(size):
                        by_gain[first + r, j] += reads[r, j]
            if by_start.size > 0:
                for r in range(rows):
                    for j in range(size):
                        by_start[b, first + r, j] = g[r, j]
        for t in range(last + 1):
            for j in range(size):
                by_x[t, b, j] = pull[t, j]
        for t in range(last + 1, steps):
            for j in range(size):
                by_x[t, b, j] = zero
            for i in range(units):
                by_drive[t, b, i] = zero


class Settings(NamedTuple):
    """A layer's settings beside its tensors.

    Attributes:
        low: Lower bound of M; minus infinity for none.
        high: Upper bound of M; infinity for none.
        activation: A name in `ACTIVATIONS`.
    """

    low: float
    high: float
    activation: str

    def for_kernel(self, array: FloatArray) -> tuple[Any, Any, int]:
        """Bounds in the precision of `array`, and the activation's number."""
        as_scalar = array.dtype.type
        return as_scalar(self.low), as_scalar(self.high), ACTIVATIONS[self.activation]


def _loop(
    x: torch.Tensor, drive: torch.Tensor, gain: torch.Tensor, eta: torch.Tensor, grid: torch.Tensor,
    decay: torch.Tensor, start: torch.Tensor, lengths: torch.Tensor, settings: Settings,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """The computation of `_Fused`, left to autograd."""
    f, modulation, activities = activation(settings.activation), start, []
    rate, keep = eta.unsqueeze(1) * grid.view(len(grid), -1), decay.view(len(decay), -1)
    for t in range(len(x)):
        lives = (t < lengths).unsqueeze(1)
        h = f(drive[t] + (x[t].unsqueeze(1) @ (gain * modulation).mT).squeeze(1))
        changed = keep * modulation + rate * (h.unsqueeze(2) * x[t].unsqueeze(1))
        changed = changed.clamp(settings.low, settings.high)
        modulation = torch.where(lives.unsqueeze(2), changed, modulation)
        activities.append(h * lives)
    return torch.stack(activities), modulation


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, drive: torch.Tensor, gain: torch.Tensor, eta: torch.Tensor,
        grid: torch.Tensor, decay: torch.Tensor, start: torch.Tensor, lengths: torch.Tensor,
        settings: Settings,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        tensors = [part.contiguous() for part in (x, drive, gain, eta, grid, decay, start, lengths)]
        activity, end = torch.empty_like(tensors[1]), torch.empty_like(tensors[6])
        arrays = [part.detach().numpy() for part in tensors]
        _forward(*arrays, *settings.for_kernel(arrays[0]), activity.numpy(), end.numpy())
        ctx.save_for_backward(x, drive, gain, eta, grid, decay, start, lengths, activity)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return activity, end

    @staticmethod
    def backward(
        ctx: Any, by_activity: torch.Tensor | None, by_end: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, ...]:
        *tensors, lengths, activity = ctx.saved_tensors
        if torch.is_grad_enabled():
            loop = functools.partial(_loop, lengths=lengths, settings=ctx.settings)
            return (*graph_of_gradients(loop, tensors, (by_activity, by_end)), None, None)
        x, drive, gain, eta, grid, decay, start = (part.contiguous() for part in tensors)
        nothing = x.new_empty(0, 0)
        needs = ctx.needs_input_grad
        if by_activity is None:
            by_activity = torch.zeros_like(activity)
        by_x, by_drive, by_eta = torch.empty_like(x), torch.empty_like(drive), torch.zeros_like(eta)
        by_gain = torch.zeros_like(gain) if needs[2] else nothing
        by_grid = torch.zeros_like(gain) if needs[4] else nothing
        by_decay = torch.zeros_like(gain) if needs[5] else nothing
        by_start = torch.empty_like(start) if needs[6] else nothing.view(0, 0, 0)
        arrays = [part.numpy() for part in (x, gain, eta, grid, decay, start, lengths)]
        more = (
            activity, by_activity.contiguous(),
            nothing.view(0, 0, 0) if by_end is None else by_end.contiguous(),
            by_x, by_drive, by_gain, by_eta, by_grid, by_decay, by_start,
        )  # fmt: skip
        _backward(*arrays, *ctx.settings.for_kernel(arrays[0]), *(part.numpy() for part in more))
        if by_decay.numel() and decay.dim() == 1:
            by_decay = by_decay.sum(1)
        if by_grid.numel() and grid.dim() == 1:
            by_grid = by_grid.sum(1)
        grads = (by_x, by_drive, by_gain, by_eta, by_grid, by_decay, by_start)
        return (*(part if want else None for part, want in zip(grads, needs, strict=False)), None, None)


def plastic_layer(
    x: torch.Tensor,
    drive: torch.Tensor,
    gain: torch.Tensor,
    eta: torch.Tensor,
    decay: torch.Tensor,
    start: torch.Tensor,
    settings: Settings,
    lengths: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a plastic layer; differentiable backward, by every tensor and any number of times.

    Gradients of gradients are computed by the plain loop.

    Args:
        x: Inputs, (T, B, E), float32 or float64, on the CPU.
        drive: Product of the slow weights and the inputs, plus bias, (T, B, N).
        gain: Factor on M, (N, E).
        eta: (1 or N, 1 or E).
        decay: lambda, (1 or N, 1 or E).
        start: M before the first step, (B, N, E), within the bounds.
        settings: Bounds and activation.
        lengths: (B,) int64, each at least 1 and at most T: steps of each trial; None: all T. Beyond its
            length a trial's h is 0 and its M stays.

    Returns:
        h, (T, B, N), and M after the last step, (B, N, E).
    """
    units, size = gain.shape
    steps, batch = x.shape[:2]
    for name, tensor, shape in (
        ("x", x, (steps, batch, size)), ("drive", drive, (steps, batch, units)),
        ("start", start, (batch, units, size)),
    ):  # fmt: skip
        # Compiled loops check no bounds.
        if tensor.shape != shape or tensor.dtype != gain.dtype or steps == 0:
            raise ValueError(
                f"{name}: got {tensor.dtype} of shape {tuple(tensor.shape)}, expected {gain.dtype} of shape "
                f"{shape}, with at least one step."
            )
    if lengths is None:
        lengths = torch.full((batch,), steps, device=x.device)
    elif (
        lengths.shape != (batch,)
        or lengths.dtype != torch.int64
        or not 1 <= lengths.min() <= lengths.max() <= steps
    ):
        raise ValueError(
            f"lengths={lengths.tolist()}: expected ({batch},) int64 numbers of steps, 1 to {steps}."
        )
    if eta.shape[1] == 1 and decay.shape[1] == 1:
        post, grid = eta[:, 0].expand(units), eta.detach().new_ones(units)
        retention = decay[:, 0].expand(units)
    else:
        post, grid = eta.detach().new_ones(units), eta.expand(units, size)
        retention = decay.expand(units, size)
    results = _Fused.apply(x, drive, gain, post, grid, retention, start, lengths, settings)  # type: ignore[no-untyped-call]
    activity, end = cast(tuple[torch.Tensor, torch.Tensor], results)
    return activity, end
