"""A recurrent layer whose weights are changed by its own modulator: the step rule.

Source: Miconi & Kay, "Neural mechanisms of relational learning and fast knowledge reassembly in plastic
neural networks", Nature Neuroscience 28, 2025, in the form of its released networks. One time step, from
activity h, eligibility trace E and plastic weights P (row = receiving unit, column = sending unit):

    h' = tanh(drive + (w + alpha * P) h)            drive = W_in x + b_in
    m  = g (d_0 - d_1),  d = tanh(W_mod h' + b_mod)
    P' = clip(P + m E, -50, 50)                     with the old trace
    E' = (1 - eta) E + eta tanh(h' h^T)

An association can therefore be written one step after it was formed, at the earliest. eta and g are free
numbers: trained networks have eta above 1. The clip passes no gradient where it acts.

`run_loop` is this rule, left to autograd. `run` takes `plastic_agents.networks.neuromodulated.kernel` for
stretches that allow it and gives the same numbers within round-off.

Shapes: T time steps, B rows, n units.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from plastic_agents.networks.derivatives import only_backward
from plastic_agents.networks.neuromodulated.kernel import (
    TRIAL_STEPS,
    ModulatedWeights,
    TrialsLoop,
    TrialTape,
    end_trace,
    modulation,
)

__all__ = [
    "CLIP",
    "ModulatedWeights",
    "PlasticState",
    "Segment",
    "modulation",
    "run",
    "run_loop",
    "segments",
    "step",
]

CLIP = 50.0
"""Largest size of a plastic weight (the published system's)."""


class PlasticState(NamedTuple):
    """State of the layer.

    Attributes:
        activity: h, (B, n).
        trace: E, (B, n, n).
        weights: P, (B, n, n).
    """

    activity: torch.Tensor
    trace: torch.Tensor
    weights: torch.Tensor


class Segment(NamedTuple):
    """Steps `first` to `last` - 1 of a sequence, and whether they are whole trials for `TrialTape`."""

    first: int
    last: int
    is_trials: bool


def step(
    drive: torch.Tensor,
    state: PlasticState,
    slow: ModulatedWeights,
    clip: float = CLIP,
    gate: torch.Tensor | None = None,
) -> PlasticState:
    """One time step of the rule above.

    Args:
        drive: Input to the units, (B, n).
        state: Before the step.
        slow: The trained weights.
        clip: Largest size of a plastic weight.
        gate: (B,), factors on the modulator, for experiments; None: 1.
    """
    matrix = torch.addcmul(slow.recurrent, slow.plasticity, state.weights)
    # A row times the transposed matrix: several times faster on CPU than a matrix times a column.
    activity = torch.tanh(drive + torch.bmm(state.activity.unsqueeze(1), matrix.mT).squeeze(1))
    modulator = modulation(activity, slow)
    if gate is not None:
        modulator = modulator * gate
    weights = torch.addcmul(state.weights, modulator.view(-1, 1, 1), state.trace).clamp(-clip, clip)
    formed = torch.tanh(activity.unsqueeze(2) * state.activity.unsqueeze(1))
    return PlasticState(activity, (1 - slow.trace_rate) * state.trace + slow.trace_rate * formed, weights)


def forget(state: PlasticState, rows: torch.Tensor) -> PlasticState:
    """The state with activity and trace at zero in the rows (B,) bool; the plastic weights stay."""
    return PlasticState(
        state.activity.masked_fill(rows.unsqueeze(1), 0.0),
        state.trace.masked_fill(rows.view(-1, 1, 1), 0.0),
        state.weights,
    )


def run_loop(
    drives: torch.Tensor,
    state: PlasticState,
    slow: ModulatedWeights,
    resets: torch.Tensor | None = None,
    clip: float = CLIP,
    gates: torch.Tensor | None = None,
) -> tuple[torch.Tensor, PlasticState]:
    """The rule step by step: the reference, for any resets. Arguments and result as in `run`."""
    activities = []
    for t in range(drives.shape[0]):
        if resets is not None and bool(resets[t].any()):
            state = forget(state, resets[t])
        state = step(drives[t], state, slow, clip, None if gates is None else gates[t])
        activities.append(state.activity)
    return torch.stack(activities), state


def run(
    drives: torch.Tensor,
    state: PlasticState,
    slow: ModulatedWeights,
    resets: torch.Tensor | None = None,
    clip: float = CLIP,
    gates: torch.Tensor | None = None,
    *,
    path: Literal["fast", "loop"] = "fast",
) -> tuple[torch.Tensor, PlasticState]:
    """Run the layer over a sequence; differentiable in all tensors.

    The two paths compute one function and differ in the order of floating-point operations only. The fast one
    treats whole trials (see `segments`) by `TrialTape`, whose backward pass is written by hand; all other
    steps go through the loop, and so do forward-mode derivatives and gradients of gradients.

    Args:
        drives: Input to the units, (T, B, n).
        state: State before the first step.
        slow: The trained weights.
        resets: (T, B) bool, where activity and trace are put to zero before the step; None: nowhere.
        clip: Largest size of a plastic weight.
        gates: (T, B), factors on the modulator, for experiments; None: 1.
        path: "loop" to take the plain loop, the reference.

    Returns:
        Activities (T, B, n), and the state after the last step.
    """
    if path == "loop" or not only_backward(drives, gates, *state, *slow):
        return run_loop(drives, state, slow, resets, clip, gates)
    pieces = []
    for part in segments(resets, drives):
        now = slice(part.first, part.last)
        gate = None if gates is None else gates[now]
        if not part.is_trials:
            activities, state = run_loop(
                drives[now], state, slow, None if resets is None else resets[now], clip, gate
            )
        else:
            recorded = torch.is_grad_enabled() and any(
                tensor.requires_grad for tensor in (drives, state.weights, *slow)
            )
            tape = TrialTape(state.weights, slow, clip, gate)
            for drive in drives[now].detach():
                tape.step(drive)
            activities, state = finished(tape, drives[now], state.weights, slow, clip, gate, recorded)
        pieces.append(activities)
    return (torch.cat(pieces) if len(pieces) > 1 else pieces[0]), state


def segments(resets: torch.Tensor | None, like: torch.Tensor) -> list[Segment]:
    """Cut a sequence into whole trials and other steps.

    A trial is four steps of which the first, and no other, resets all rows.

    Args:
        resets: (T, B) bool, or None for none.
        like: (T, ...), in the number format that the layer runs in.
    """
    steps = like.shape[0]
    if resets is None or like.dtype not in (torch.float32, torch.float64):
        return [Segment(0, steps, False)] if steps else []
    everywhere, somewhere = resets.all(1).tolist(), resets.any(1).tolist()
    spans: list[Segment] = []
    t = 0
    while t < steps:
        stop = t + TRIAL_STEPS
        whole = stop <= steps and everywhere[t] and not any(somewhere[t + 1 : stop])
        stop = stop if whole else t + 1
        if spans and spans[-1].is_trials == whole:
            spans[-1] = spans[-1]._replace(last=stop)
        else:
            spans.append(Segment(t, stop, whole))
        t = stop
    return spans


def finished(
    tape: TrialTape,
    drives: torch.Tensor,
    start: torch.Tensor,
    slow: ModulatedWeights,
    clip: float,
    gates: torch.Tensor | None,
    with_gradients: bool,
) -> tuple[torch.Tensor, PlasticState]:
    """Activities and state of whole trials that a tape has run.

    Rows in which the clip acted are differentiated by the loop, the others by the tape.

    Args:
        tape: The tape, after its last trial.
        drives: Inputs of its steps, (T, B, n).
        start: The plastic weights that it began with, (B, n, n).
        slow: The trained weights.
        clip: Largest size of a plastic weight.
        gates: (T, B) or None.
        with_gradients: Whether gradients are wanted.
    """
    if not with_gradients:
        activities, weights = torch.stack(tape.activities), tape.weights
    elif not bool(tape.clipped.any()):
        activities, weights = tape.differentiable(drives, start, slow, _trials_loop(clip, gates))
    else:
        clipped = tape.clipped.nonzero()[:, 0]
        free = (~tape.clipped).nonzero()[:, 0]
        of_clipped, of_free = (
            _trials_loop(clip, None if gates is None else gates[:, rows]) for rows in (clipped, free)
        )
        looped, looped_end = of_clipped(drives[:, clipped], start[clipped], *slow)
        exact, exact_end = tape.select(free).differentiable(drives[:, free], start[free], slow, of_free)
        order = torch.argsort(torch.cat([clipped, free]))
        activities = torch.cat([looped, exact], dim=1)[:, order]
        weights = torch.cat([looped_end, exact_end])[order]
    return activities, PlasticState(activities[-1], end_trace(activities[-TRIAL_STEPS:], slow), weights)


def _trials_loop(clip: float, gates: torch.Tensor | None) -> TrialsLoop:
    """The loop over whole trials, as a function of drives (T, B, n), start (B, n, n) and trained weights."""

    def run_trials(
        drives: torch.Tensor, start: torch.Tensor, *slow: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        steps, batch, _ = drives.shape
        resets = (torch.arange(steps, device=drives.device) % TRIAL_STEPS == 0).unsqueeze(1).expand(-1, batch)
        state = PlasticState(torch.zeros_like(start[..., 0]), torch.zeros_like(start), start)
        activities, end = run_loop(drives, state, ModulatedWeights(*slow), resets, clip, gates)
        return activities, end.weights

    return run_trials
