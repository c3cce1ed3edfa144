"""Trials of four steps for the neuromodulated layer: the exact step rule at a fraction of the cost.

Where activity and trace are put to zero at the first of four steps, most of the rule (see
`plastic_agents.networks.neuromodulated.rule`) does nothing: step 0 has no recurrent input, no step before 2
can change P, and the trace of step 3 is thrown away. With h_0 ... h_3 the activities of a trial, P the
plastic weights at its start, and m_2, m_3 the modulators,

    h_1 = tanh(drive_1 + A h_0),  h_2 = tanh(drive_2 + A h_1),             A = w + alpha * P
    h_3 = tanh(drive_3 + (A + alpha * m_2 eta tanh(h_1 h_0^T)) h_2)
    P' = P + c_1 tanh(h_1 h_0^T) + c_2 tanh(h_2 h_1^T),   c_1 = eta (m_2 + (1 - eta) m_3),  c_2 = eta m_3.

As |h_i h_j| <= 1, the tanh of an outer product is a matrix of low rank to within round-off: with tanh(x) =
sum_k a_k x^(2k+1) on [-1, 1] (Chebyshev interpolation of tanh(sqrt s) / sqrt s), tanh(u v^T) =
sum_k a_k u^(2k+1) (v^(2k+1))^T. A trial is then three matrix-vector products and one update of rank 2K.

The backward pass carries G, the adjoint of alpha * P without its factor alpha: dL/dP = alpha * G + (dL/dP at
the end), and takes the increments off A again on its way back, so that no matrix is stored per trial.

Shapes: T = 4 N steps, B rows, n units, K powers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial

from plastic_agents.networks.derivatives import graph_of_gradients

TRIAL_STEPS = 4

TrialsLoop = Callable[..., tuple[torch.Tensor, torch.Tensor]]

_NUM_POWERS = {torch.float32: 7, torch.float64: 14}
"""K: the series then differs from tanh by 4e-8 and 3e-15, which is round-off."""

_BLOCK_ENTRIES = 700_000
"""Rows are taken back together while their matrices have no more entries, so that they stay in the cache."""


class ModulatedWeights(NamedTuple):
    """The trained weights of the layer.

    Attributes:
        recurrent: w, (n, n).
        plasticity: alpha, (n, n).
        trace_rate: eta, (1,).
        gain: g, (1,).
        modulator_weight: W_mod, (2, n).
        modulator_bias: b_mod, (2,).
    """

    recurrent: torch.Tensor
    plasticity: torch.Tensor
    trace_rate: torch.Tensor
    gain: torch.Tensor
    modulator_weight: torch.Tensor
    modulator_bias: torch.Tensor


def modulation(activity: torch.Tensor, slow: ModulatedWeights) -> torch.Tensor:
    """The modulator m (...,) that goes with an activity (..., n)."""
    first, second = (
        torch.nn.functional.linear(activity, slow.modulator_weight, slow.modulator_bias).tanh().unbind(-1)
    )
    return slow.gain * (first - second)


@functools.cache
def odd_tanh_series(count: int) -> tuple[float, ...]:
    """Coefficients a_k of tanh(x) = sum_k a_k x^(2k+1) on [-1, 1], k < count, by interpolation in x^2."""

    def slope(square: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        root = np.sqrt(square)
        return np.asarray(np.tanh(root) / root)

    series = Chebyshev.interpolate(slope, count - 1, domain=[0, 1])  # its nodes lie inside (0, 1)
    return tuple(float(a) for a in series.convert(kind=Polynomial).coef)


def _coefficients(like: torch.Tensor) -> torch.Tensor:
    """The a_k as (K, 1), in the number format of `like`."""
    return like.new_tensor(odd_tanh_series(_NUM_POWERS[like.dtype])).unsqueeze(1)


def _odd_powers(activity: torch.Tensor) -> torch.Tensor:
    """h, h^3, h^5 ... of (..., n), as (..., K, n)."""
    square, powers = activity * activity, [activity]
    for _ in range(_NUM_POWERS[activity.dtype] - 1):
        powers.append(powers[-1] * square)
    return torch.stack(powers, dim=-2)


def _through_powers(
    grad: torch.Tensor, powers: torch.Tensor, activity: torch.Tensor, rates: torch.Tensor
) -> torch.Tensor:
    """Gradient (..., n) of an activity, with its odd powers' (..., K, n); rates 3, 5 ... (K - 1, 1)."""
    higher = (grad[..., 1:, :] * powers[..., :-1, :]).mul_(rates).sum(-2)
    return torch.addcmul(grad[..., 0, :], activity, higher)


def _times(vectors: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Rows (B, n) times matrices (B, n, n)."""
    return torch.bmm(vectors.unsqueeze(1), matrices).squeeze(1)


def end_trace(last: torch.Tensor, slow: ModulatedWeights) -> torch.Tensor:
    """The trace E (B, n, n) after a trial with activities `last` (4, B, n)."""
    powers, rate = _odd_powers(last), slow.trace_rate
    parts = [powers[t] * (rate * (1 - rate) ** (3 - t)) for t in (1, 2, 3)]
    left = torch.cat(parts, dim=1) * _coefficients(last).repeat(3, 1)
    return torch.bmm(left.mT, torch.cat([powers[0], powers[1], powers[2]], dim=1))


class TrialTape:
    """Runs trials step by step without gradients, and can give them gradients afterwards.

    Args:
        weights: Plastic weights at the start, (B, n, n); not changed.
        slow: The trained weights.
        clip: Largest size of a plastic weight.
        gates: (T, B), factors on the modulator; None: 1.

    Attributes:
        activities: h of each step so far, (B, n).
        modulators: m of steps 2 and 3 of each trial so far, (B,), gates included.
        weights: P after the last whole trial, (B, n, n).
        clipped: (B,) bool, rows in which the clip may have acted. In the others |P| was at most `clip` after
            every write without it.
    """

    def __init__(
        self, weights: torch.Tensor, slow: ModulatedWeights, clip: float, gates: torch.Tensor | None = None
    ) -> None:
        self._slow = slow = ModulatedWeights(*(tensor.detach() for tensor in slow))
        self._clip, self._gates = clip, gates
        self.activities: list[torch.Tensor] = []
        self.modulators: list[torch.Tensor] = []
        self.weights = weights.detach().clone()
        self._matrix = torch.addcmul(slow.recurrent, slow.plasticity, self.weights)
        self._scale = _coefficients(weights)
        self._largest = self.weights.abs().amax((1, 2))  # a bound on |P|, (B,)
        self.clipped = torch.zeros_like(self._largest, dtype=torch.bool)
        # |tanh(h_i h_j)| is below tanh(1) < 0.762.
        self._formed = 0.762 * float(slow.trace_rate.abs())
        self._retention = float((1 - slow.trace_rate).abs())

    @torch.no_grad()
    def step(self, drive: torch.Tensor) -> torch.Tensor:
        """Activity (B, n) at the next step, whose input to the units is `drive` (B, n)."""
        place = len(self.activities) % TRIAL_STEPS
        if place:
            drive = drive + _times(self.activities[-1], self._matrix.mT)
        if place == 3:
            drive = self._with_first_write(drive)
        activity = torch.tanh(drive)
        self.activities.append(activity)
        if place >= 2:
            modulator = modulation(activity, self._slow)
            if self._gates is not None:
                modulator = modulator * self._gates[len(self.activities) - 1]
            self.modulators.append(modulator)
        if place == 3:
            self._end_trial()
        return activity

    def _with_first_write(self, drive: torch.Tensor) -> torch.Tensor:
        """Add step 2's write, m_2 eta tanh(h_1 h_0^T), to the input of step 3, and check the clip."""
        slow, (h0, h1, h2) = self._slow, self.activities[-3:]
        self._powers = [_odd_powers(h) for h in (h0, h1, h2)]
        p0, p1, _ = self._powers
        size = self.modulators[-1] * slow.trace_rate
        through = (p0 * h2.unsqueeze(1)) @ slow.plasticity.mT  # (B, K, n)
        added = (through * p1).mul_(self._scale).sum(1).mul_(size.unsqueeze(1))
        change = self.modulators[-1].abs() * self._formed
        if bool((self._largest + change > self._clip).any()):
            self._largest = self.weights.abs().amax((1, 2))
            self.clipped |= self._largest + change > self._clip
        self._largest = self._largest + change
        self._middle = None
        if bool(self.clipped.any()):
            # These rows follow the rule without the shortcut.
            rows = self.clipped
            update = size[rows].view(-1, 1, 1) * torch.tanh(h1[rows].unsqueeze(2) * h0[rows].unsqueeze(1))
            self._middle = (self.weights[rows] + update).clamp_(-self._clip, self._clip)
            matrix = torch.mul(slow.plasticity, self._middle - self.weights[rows])
            added[rows] = _times(h2[rows], matrix.mT)
        return drive + added

    def _end_trial(self) -> None:
        """Add the trial's writes to P."""
        slow, clip = self._slow, self._clip
        (first, second), (p0, p1, p2) = self.modulators[-2:], self._powers
        left, right = _factors(first, second, slow.trace_rate, self._scale, p0, p1, p2)
        if self._middle is not None:
            rows, (h0, h1, h2) = self.clipped.clone(), self.activities[-4:-1]
            old = torch.tanh(h1[rows].unsqueeze(2) * h0[rows].unsqueeze(1))
            new = torch.tanh(h2[rows].unsqueeze(2) * h1[rows].unsqueeze(1))
            trace = slow.trace_rate * ((1 - slow.trace_rate) * old + new)
            exact = (self._middle + second[rows].view(-1, 1, 1) * trace).clamp_(-clip, clip)
        self.weights.baddbmm_(left.mT, right)
        if self._middle is not None:
            self.weights[rows] = exact
        self._largest = self._largest + second.abs() * (self._formed * (1 + self._retention))
        if bool((self._largest > clip).any()):
            self._largest = self.weights.abs().amax((1, 2))
            if bool((over := self._largest > clip).any()):
                self.clipped |= over
                self.weights.clamp_(-clip, clip)
                self._largest.clamp_(max=clip)
        torch.addcmul(slow.recurrent, slow.plasticity, self.weights, out=self._matrix)

    def select(self, rows: torch.Tensor) -> TrialTape:
        """The tape of some rows (K,) int64, to be differentiated; it takes no further steps."""
        part = object.__new__(TrialTape)
        part._gates = None if self._gates is None else self._gates[:, rows]
        part.activities = [h[rows] for h in self.activities]
        part.modulators = [m[rows] for m in self.modulators]
        part.weights, part.clipped = self.weights[rows], self.clipped[rows]
        return part

    def differentiable(
        self, drives: torch.Tensor, start: torch.Tensor, slow: ModulatedWeights, loop: TrialsLoop
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The results, with gradients to their inputs.

        Rows in which the clip acted must not be among it.

        Args:
            drives: Inputs of `step`, (T, B, n), T a multiple of 4.
            start: The plastic weights at the start, (B, n, n).
            slow: The trained weights.
            loop: The same function of drives, start and the six trained weights, left to autograd, for
                gradients of gradients.

        Returns:
            Activities (T, B, n) and the plastic weights after the last trial (B, n, n).
        """
        activities, weights = _Trials.apply(self, loop, drives, start, *slow)  # type: ignore[no-untyped-call]
        return activities, weights


def _factors(
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    scale: torch.Tensor,
    p0: torch.Tensor,
    p1: torch.Tensor,
    p2: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A trial's change of P as left^T right, each (B, 2K, n); modulators (B,), powers (B, K, n)."""
    c1 = rate * (first + (1 - rate) * second)
    c2 = rate * second
    left = torch.cat([p1 * (scale * c1.view(-1, 1, 1)), p2 * (scale * c2.view(-1, 1, 1))], dim=1)
    return left, torch.cat([p0, p1], dim=1)


class _Trials(torch.autograd.Function):
    """The adjoint of the trials on a tape."""

    @staticmethod
    def forward(
        ctx: Any, tape: TrialTape, loop: TrialsLoop, drives: torch.Tensor, start: torch.Tensor,
        *slow: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Returns activities (T, B, n) and P at the end (B, n, n), as the tape has them."""
        activities = torch.stack(tape.activities)
        modulators = torch.stack(tape.modulators).unflatten(0, (-1, 2))  # (N, 2, B)
        weights = tape.weights.clone()
        gates = None if tape._gates is None else tape._gates.unflatten(0, (-1, TRIAL_STEPS))[:, 2:]
        ctx.save_for_backward(activities, modulators, weights, gates, drives, start, *slow)
        ctx.loop = loop
        ctx.set_materialize_grads(False)
        return activities, weights

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """A block of rows at a time, each from its last trial to its first."""
        activities, modulators, weights, gates, drives, start, *rest = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, None, *graph_of_gradients(ctx.loop, (drives, start, *rest), grads)
        slow = ModulatedWeights(*rest)
        batch, units = activities.shape[1:]
        grad_activities = torch.zeros_like(activities) if grads[0] is None else grads[0]
        back = _Backward(slow, activities, grad_activities, modulators, gates)
        grad_start = torch.empty_like(start) if ctx.needs_input_grad[3] else None
        block = max(1, _BLOCK_ENTRIES // units**2)
        for first in range(0, batch, block):
            rows = slice(first, first + block)
            end = None if grads[1] is None else grads[1][rows]
            began = back.rows(rows, weights[rows], start[rows], end)
            if grad_start is not None:
                grad_start[rows] = began
        return None, None, back.grad_drives.flatten(0, 1), grad_start, *back.parameters()


class _Backward:
    """The backward pass: shared inputs of all blocks of rows, and sums over blocks.

    Activities and their gradients come as (T, B, n), modulators and gates of steps 2 and 3 as (N, 2, B).
    """

    def __init__(
        self,
        slow: ModulatedWeights,
        activities: torch.Tensor,
        grad_activities: torch.Tensor,
        modulators: torch.Tensor,
        gates: torch.Tensor | None,
    ) -> None:
        self.slow, self.modulators = slow, modulators
        self.activities = activities.unflatten(0, (-1, TRIAL_STEPS))  # (N, 4, B, n)
        self.grad_activities = grad_activities.unflatten(0, (-1, TRIAL_STEPS))
        self.grad_drives = torch.empty_like(self.activities)
        self.scale = _coefficients(activities)
        self.rates = 2 * torch.arange(1, len(self.scale), device=activities.device).unsqueeze(1) + 1
        # d m / d (W_mod h + b_mod), (N, 2, B, 2); gates scale m and everything behind it.
        late = self.activities[:, 2:]
        self.units = torch.nn.functional.linear(late, slow.modulator_weight, slow.modulator_bias).tanh()
        self.slopes = (1 - self.units**2) * slow.gain * activities.new_tensor([1.0, -1.0])
        self.gates = gates
        if gates is not None:
            self.slopes = self.slopes * gates.unsqueeze(3)
        self.grad_modulators = torch.empty_like(modulators)
        self.grad_plasticity = torch.zeros_like(slow.recurrent)
        self.grad_rate = torch.zeros_like(slow.trace_rate)

    def rows(
        self, rows: slice, end: torch.Tensor, start: torch.Tensor, grad_end: torch.Tensor | None
    ) -> torch.Tensor:
        """Take some rows back through all trials.

        Args:
            rows: Which, R of them.
            end: P after the last trial, (R, n, n).
            start: P before the first, (R, n, n).
            grad_end: dL/dP after the last trial, or None for zero.

        Returns:
            dL/dP before the first trial, (R, n, n).
        """
        alpha, rate, scale = self.slow.plasticity, self.slow.trace_rate, self.scale
        count = scale.shape[0]
        matrix = torch.addcmul(self.slow.recurrent, alpha, end)  # A of the trial at hand
        adjoint, gathered = torch.zeros_like(end), torch.zeros_like(end)
        direct, change = torch.empty_like(end), torch.empty_like(end)
        for trial in reversed(range(len(self.activities))):
            h0, h1, h2, h3 = h = self.activities[trial, :, rows]
            p0, p1, p2 = _odd_powers(h[:3])
            first, second = self.modulators[trial, :, rows]
            left, right = _factors(first, second, rate, scale, p0, p1, p2)

            # The change of P: dL/dP = alpha * G + grad_end on either side of it.
            if grad_end is None:
                torch.mul(alpha, adjoint, out=direct)
            else:
                torch.addcmul(grad_end, alpha, adjoint, out=direct)
            grad_left, grad_right = torch.bmm(right, direct.mT), torch.bmm(left, direct)
            torch.bmm(left.mT, right, out=change)
            gathered.addcmul_(change, adjoint)
            matrix.addcmul_(alpha, change, value=-1)
            by_first, by_second = grad_left[:, :count].mul_(scale), grad_left[:, count:].mul_(scale)
            c1 = (by_first * p1).sum((1, 2))
            c2 = (by_second * p2).sum((1, 2))
            grad_p1 = by_first.mul_((rate * (first + (1 - rate) * second)).view(-1, 1, 1))
            grad_p1 += grad_right[:, count:]
            grad_p2 = by_second.mul_((rate * second).view(-1, 1, 1))
            grad_p0 = grad_right[:, :count]

            # Step 3: h_3 = tanh(drive_3 + A h_2 + s sum_k a_k h_1^(2k+1) * alpha (h_0^(2k+1) * h_2)), s = eta
            # m_2.
            grad3 = self._through_modulator(trial, 1, rows, rate * ((1 - rate) * c1 + c2))
            d3 = grad3.mul_(1 - h3 * h3)
            product = p0 * h2.unsqueeze(1)
            through = (product @ alpha.mT).mul_(scale)
            by_size = d3 * (through * p1).sum(1)
            size = (rate * first).unsqueeze(1)
            spread = (d3 * size).unsqueeze(1)
            grad_p1 += through.mul_(spread)
            grad_through = p1 * scale * spread
            self.grad_plasticity.addmm_(grad_through.flatten(0, 1).T, product.flatten(0, 1))
            grad_asked = grad_through @ alpha
            grad_p0 = torch.addcmul(grad_p0, grad_asked, h2.unsqueeze(1))
            s = by_size.sum(1)
            grad2 = self._through_modulator(trial, 0, rows, rate * (c1 + s))
            grad2 += (grad_asked * p0).sum(1)
            grad2 += _times(d3, matrix)
            grad2 += _through_powers(grad_p2, p2, h2, self.rates)
            self.grad_rate += (c1 * (first + (1 - 2 * rate) * second) + c2 * second + s * first).sum()

            d2 = grad2.mul_(1 - h2 * h2)
            grad1 = self.grad_activities[trial, 1, rows] + _times(d2, matrix)
            d1 = grad1.add_(_through_powers(grad_p1, p1, h1, self.rates)).mul_(1 - h1 * h1)
            grad0 = self.grad_activities[trial, 0, rows] + _times(d1, matrix)
            d0 = grad0.add_(_through_powers(grad_p0, p0, h0, self.rates)).mul_(1 - h0 * h0)
            self.grad_drives[trial, :, rows] = torch.stack([d0, d1, d2, d3])
            adjoint.baddbmm_(torch.stack([d1, d2, d3], dim=2), h[:3].transpose(0, 1))
        self.grad_plasticity += gathered.addcmul_(start, adjoint).sum(0)
        return alpha * adjoint if grad_end is None else torch.addcmul(grad_end, alpha, adjoint)

    def _through_modulator(self, trial: int, which: int, rows: slice, grad: torch.Tensor) -> torch.Tensor:
        """Gradient (R, n) of the activity at step 2 + `which`, with its modulator's (R,); a new tensor."""
        self.grad_modulators[trial, which, rows] = grad
        outer = self.grad_activities[trial, 2 + which, rows]
        slopes = grad.unsqueeze(1) * self.slopes[trial, which, rows]
        return torch.addmm(outer, slopes, self.slow.modulator_weight)

    def parameters(self) -> ModulatedWeights:
        """Gradients of the trained weights."""
        later, before = self.grad_drives[:, 1:].flatten(0, 2), self.activities[:, :3].flatten(0, 2)
        slopes = (self.slopes * self.grad_modulators.unsqueeze(3)).flatten(0, 2)  # (2 N B, 2)
        difference = self.units[..., 0] - self.units[..., 1]
        if self.gates is not None:
            difference = difference * self.gates
        return ModulatedWeights(
            recurrent=later.T @ before,
            plasticity=self.grad_plasticity,
            trace_rate=self.grad_rate,
            gain=(difference * self.grad_modulators).sum().reshape(1),
            modulator_weight=slopes.T @ self.activities[:, 2:].flatten(0, 2),
            modulator_bias=slopes.sum(0),
        )
