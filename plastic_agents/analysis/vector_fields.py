"""Change of a leaky softplus network's flow by learning a problem, from the weights after each problem.

With F_p(x, h) = log(1 + exp(x W_in,p + h W_rec,p + b_p)) of the weights after problem p, r the trajectory
under them and r' that under those of problem p - 1, for the same images and from the same start:

    V_W = a (F_p(x, r) - F_{p-1}(x, r))                         weight-driven change of the flow
    V_S = a (r' - r + F_{p-1}(x, r) - F_{p-1}(x, r'))           state-driven change
    dZ  = V_W + V_S = (r(t+1) - r(t)) - (r'(t+1) - r'(t))

Both are split into the part along dZ and the rest, of which V_W,perp = -V_S,perp by construction. No noise.

Letters for shapes: P problems, K images, T steps, I inputs, N units. All in float64.

Source: Goudar, Peysakhovich, Freedman, Buffalo & Wang, Nature Neuroscience 26 (2023), figs 5 to 7 and
released analysis. As there, both trajectories start from the initial state of problem p, so that its change
never enters r'. Magnitudes are all positive here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.subspaces import participation_ratio, principal_directions
from plastic_agents.networks.leaky_softplus.rule import Weights

FloatArray = npt.NDArray[np.float64]

_SMALLEST = 1e-300  # length below which a vector has no direction


class FieldChange(NamedTuple):
    """The change of the flow along a problem's trajectories; vectors are (P, K, T, N).

    Attributes:
        states: r before each step.
        weight_driven: V_W.
        state_driven: V_S.
        total: dZ.
        weight_parallel: Part of V_W along dZ.
        weight_perpendicular: Rest of V_W.
        state_parallel: Part of V_S along dZ.
        state_perpendicular: Rest of V_S.
        current: Change of the current, x dW_in + r dW_rec + db.
        recurrent: Frobenius norm of the change of W_rec, (P,).
    """

    states: FloatArray
    weight_driven: FloatArray
    state_driven: FloatArray
    total: FloatArray
    weight_parallel: FloatArray
    weight_perpendicular: FloatArray
    state_parallel: FloatArray
    state_perpendicular: FloatArray
    current: FloatArray
    recurrent: FloatArray

    def parts(self) -> dict[str, FloatArray]:
        """The changes by name, (P, K, T, N) each."""
        return {name: getattr(self, name) for name in _PARTS}


_PARTS = (
    "current", "weight_driven", "state_driven", "total",
    "weight_parallel", "weight_perpendicular", "state_parallel", "state_perpendicular",
)  # fmt: skip


class FieldSummary(NamedTuple):
    """Figures per problem, and dimensions.

    Attributes:
        magnitudes: Length of every part and of the change of W_rec ("recurrent"), mean over steps, then
            images; each (P,).
        dimension: Participation ratio of every part for each problem (K T vectors), (P,); that of `total` is
            of unit vectors.
        squares: Sum of v^T v over all problems, (N, N); its participation ratio is the dimension of all
            together, and sums of parts of a block add up.
    """

    magnitudes: dict[str, FloatArray]
    dimension: dict[str, FloatArray]
    squares: dict[str, FloatArray]


class CumulativeChange(NamedTuple):
    """Changes of the flow since earlier problems, projected on directions of the latest change.

    Attributes:
        lags: p - q, (Q,).
        perpendicular: |projection| on the leading direction of V_W,perp, by lag, mean over problems, images,
            windows; (Q,).
        parallel: The same for V_W,par.
        suppression_perpendicular: Projection since problem 1 less that since p - 1, signs set per image so
            that their mean is positive, (P,).
        suppression_parallel: The same for V_W,par.
    """

    lags: npt.NDArray[np.int64]
    perpendicular: FloatArray
    parallel: FloatArray
    suppression_perpendicular: FloatArray
    suppression_parallel: FloatArray


def flow(weights: Weights, inputs: FloatArray, states: FloatArray) -> FloatArray:
    """F(x, h), (P, K, T, N).

    Args:
        weights: Each with the problems as leading axis, (P, ...).
        inputs: (P, K, T, I).
        states: (P, K, T, N).
    """
    z = inputs @ weights.inputs[:, None] + states @ weights.recurrent[:, None] + weights.bias[:, None, None]
    return np.logaddexp(0.0, z)


def trajectories(
    weights: Weights, inputs: FloatArray, leak: float, start: FloatArray | None = None
) -> FloatArray:
    """Noiseless states from the start on, (P, K, T + 1, N).

    Args:
        weights: Each with the problems as leading axis, (P, ...).
        inputs: (P, K, T, I).
        leak: a.
        start: Initial states (P, N), if not those of the weights.
    """
    problems, images, steps, _ = inputs.shape
    first = weights.start if start is None else start
    drive = inputs @ weights.inputs[:, None] + weights.bias[:, None, None]
    states = np.empty((problems, images, steps + 1, drive.shape[-1]))
    states[:, :, 0] = first[:, None]
    for t in range(steps):
        h = states[:, :, t]
        rates = np.logaddexp(0.0, drive[:, :, t] + h @ weights.recurrent)
        states[:, :, t + 1] = (1.0 - leak) * h + leak * rates
    return states


def field_change(weights: Weights, before: Weights, inputs: FloatArray, leak: float) -> FieldChange:
    """The change of the flow from one set of weights to another, problem by problem.

    Args:
        weights: After each problem, (P, ...).
        before: After the problem before it, (P, ...).
        inputs: Trials of each problem's images, (P, K, T, I).
        leak: a.
    """
    r = trajectories(weights, inputs, leak)
    r_before = trajectories(before, inputs, leak, start=weights.start)
    now, past = r[:, :, :-1], r_before[:, :, :-1]
    flow_before = flow(before, inputs, now)
    by_weights = leak * (flow(weights, inputs, now) - flow_before)
    by_state = leak * (past - now + flow_before - flow(before, inputs, past))
    total = by_weights + by_state
    unit = _unit(total)
    along_weights = (by_weights * unit).sum(-1, keepdims=True) * unit
    along_state = (by_state * unit).sum(-1, keepdims=True) * unit
    differences = Weights(*(a - b for a, b in zip(weights, before, strict=True)))
    current = (
        inputs @ differences.inputs[:, None]
        + now @ differences.recurrent[:, None]
        + differences.bias[:, None, None]
    )
    return FieldChange(
        now, by_weights, by_state, total, along_weights, by_weights - along_weights, along_state,
        by_state - along_state, current, np.linalg.norm(differences.recurrent, axis=(-2, -1)),
    )  # fmt: skip


def summarise(change: FieldChange) -> FieldSummary:
    """Magnitudes and dimensions of the parts of a change."""
    magnitudes = {name: np.linalg.norm(part, axis=-1).mean((1, 2)) for name, part in change.parts().items()}
    magnitudes["recurrent"] = change.recurrent
    squares = {
        name: _squares(_unit(part) if name == "total" else part) for name, part in change.parts().items()
    }
    dimension = {name: np.array([participation_ratio(s) for s in square]) for name, square in squares.items()}
    return FieldSummary(magnitudes, dimension, {name: square.sum(0) for name, square in squares.items()})


def cumulative_change(
    snapshots: Weights,
    inputs: FloatArray,
    leak: float,
    lags: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200),
    num_windows: int = 8,
) -> CumulativeChange:
    """Change of the flow at each problem's trajectory since earlier problems (figure 7).

    The full analysis is quadratic in the number of problems; here earlier problems are sampled at some lags,
    and the first.

    Args:
        snapshots: Weights after problems 1, 2, ..., (P, ...).
        inputs: Trials of each problem's images, (P, K, T, I).
        leak: a.
        lags: Numbers of problems back.
        num_windows: Windows of equal length that the trial is cut into (250 ms each); steps left over at the
            end belong to none.

    Raises:
        ValueError: If there are fewer than 3 problems, or fewer steps than windows.
    """
    problems, _, steps, _ = inputs.shape
    steps -= steps % num_windows
    inputs = inputs[:, :, :steps]
    if problems < 3 or steps == 0:
        raise ValueError(f"{problems} problems of {steps} steps: expected at least 3, and a step per window.")
    lags = tuple(lag for lag in lags if lag < problems)
    sums = np.zeros((2, len(lags)))
    counts = np.zeros(len(lags))
    suppression = np.full((2, problems), np.nan)
    for p in range(1, problems):
        some = np.array([p])
        weights = _at(snapshots, some)
        change = field_change(weights, _at(snapshots, some - 1), inputs[some], leak)
        after = flow(weights, inputs[some], change.states)
        parts = (change.weight_perpendicular[0], change.weight_parallel[0])
        directions = np.stack([_leading(_windows(part, num_windows)) for part in parts])  # (2, W, N)
        projections = {}
        for q in {0, p - 1, *(p - lag for lag in lags if lag <= p)}:
            earlier = flow(_at(snapshots, np.array([q])), inputs[some], change.states)
            change_since = leak * _windows((after - earlier)[0], num_windows)  # (W, K, T / W, N)
            projections[q] = np.einsum("wktn,xwn->xwkt", change_since, directions)
        for place, lag in enumerate(lags):
            if lag <= p:
                sums[:, place] += np.abs(projections[p - lag]).mean((1, 2, 3))
                counts[place] += 1
        if p > 1:
            far, near = (np.abs(projections[q].mean(-1)).mean((1, 2)) for q in (0, p - 1))
            suppression[:, p] = far - near
    perpendicular, parallel = sums / np.maximum(counts, 1)
    return CumulativeChange(np.array(lags), perpendicular, parallel, suppression[0], suppression[1])


def _at(weights: Weights, problems: npt.NDArray[np.int64]) -> Weights:
    return Weights(*(array[problems] for array in weights))


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _SMALLEST))


def _squares(vectors: FloatArray) -> FloatArray:
    """Sum of v^T v over images and steps, (P, N, N)."""
    rows = vectors.reshape(len(vectors), -1, vectors.shape[-1])
    return np.asarray(rows.swapaxes(1, 2) @ rows)


def _windows(vectors: FloatArray, num_windows: int) -> FloatArray:
    """(K, T, N) -> (W, K, T / W, N)."""
    images, steps, units = vectors.shape
    return vectors.reshape(images, num_windows, steps // num_windows, units).swapaxes(0, 1)


def _leading(vectors: FloatArray) -> FloatArray:
    """First uncentred principal direction of each window's vectors (W, K, T / W, N), (W, N)."""
    return np.stack([principal_directions(square)[1][:, 0] for square in _squares(vectors)])
