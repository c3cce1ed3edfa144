"""Directions of a population: subspaces, dimension, and readouts moved between subspaces.

Arrays in, arrays out. P is a number of problems, K of images in each, T of steps, N of units.

Source: Goudar, Peysakhovich, Freedman, Buffalo & Wang, Nature Neuroscience 26 (2023), figs 2 and 3 and
released programs; the measures between two sets of states (`principal_basis` and below): MultiTaskMPN (Allen
Institute), subspaces of tasks and periods of a multi-plasticity network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Moments of a set of trajectories that its subspaces depend on; those of parts add up.

    Attributes:
        total: Sum of the trajectories over problems, (K, T, N).
        square: Sum of h^T h over problems, images and steps, (N, N).
        num_problems: Number of problems.
    """

    total: FloatArray
    square: FloatArray
    num_problems: int

    @classmethod
    def of(cls, trajectories: FloatArray) -> Moments:
        """Of trajectories (P, K, T, N)."""
        rows = trajectories.reshape(-1, trajectories.shape[-1])
        return cls(trajectories.sum(0), rows.T @ rows, len(trajectories))

    def plus(self, other: Moments) -> Moments:
        """Of both sets together."""
        return Moments(
            self.total + other.total, self.square + other.square, self.num_problems + other.num_problems
        )


class Subspaces(NamedTuple):
    """Orthonormal directions, by falling variance.

    Attributes:
        decision: D, of what a trajectory has in common over problems, (N, k).
        stimulus: S, of the rest, (N, N - k); orthogonal to D.
        decision_energy: Share of the mean trajectories' squares along each direction, (N,).
        stimulus_energy: Share of all trajectories' squares that lies outside of D.
    """

    decision: FloatArray
    stimulus: FloatArray
    decision_energy: FloatArray
    stimulus_energy: float


def principal_directions(square: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Uncentred principal directions, by falling variance.

    Args:
        square: Sum of h^T h, (N, N).

    Returns:
        Their variances (N,), not below 0, and the directions as columns (N, N).
    """
    values, vectors = np.linalg.eigh(square)
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def subspaces(moments: Moments, num_decision: int = 4) -> Subspaces:
    """Decision and stimulus subspaces, without centring.

    The left singular vectors of trajectories put side by side are the eigenvectors of the sum of their h^T h,
    so that no trajectory has to be kept. With noise and problems 1-50 this is what the perturbations use;
    without noise and problems 2-51, what figure 2 shows.

    Args:
        moments: Moments of the trajectories.
        num_decision: k, directions of the decision subspace.
    """
    mean = (moments.total / moments.num_problems).reshape(-1, moments.total.shape[-1])
    values, vectors = principal_directions(mean.T @ mean)
    # The other directions span what is outside; in their coordinates, what is found there is orthogonal to D.
    decision, outside = vectors[:, :num_decision], vectors[:, num_decision:]
    rest = outside.T @ moments.square @ outside
    stimulus = outside @ principal_directions(rest)[1]
    share = float(np.trace(rest) / np.trace(moments.square))
    return Subspaces(decision, stimulus, values / values.sum(), share)


def moved_readout(
    readout: FloatArray, sources: FloatArray, destinations: FloatArray, order: npt.NDArray[np.integer]
) -> FloatArray:
    """The readout with its components along some directions moved to others.

        W' = W + sum_i (destination_order(i) - source_i) (source_i^T W)

    With the stimulus directions as both, their components change places (S->S); with decision directions as
    sources and stimulus directions as destinations (D->S), the readout's own components along S stay, and are
    added to.

    Args:
        readout: W, (N, O).
        sources: (N, k), orthonormal.
        destinations: (N, k).
        order: (k,), a permutation.
    """
    return np.asarray(readout + (destinations[:, order] - sources) @ (sources.T @ readout))


def participation_ratio(square: FloatArray) -> float:
    """Dimension (sum l)^2 / sum l^2 of vectors with uncentred principal variances l; NaN if all are 0.

    Args:
        square: Sum of v^T v, (N, N), whose trace is sum l and whose squared Frobenius norm is sum l^2.
    """
    total = float(np.square(square).sum())
    return float(np.trace(square) ** 2 / total) if total > 0 else float("nan")


class Currents(NamedTuple):
    """Contributions to the currents of the outputs, each (P, K, T, O).

    Attributes:
        mean_decision: By the mean trajectories over problems within D.
        residual_decision: By the rest within D.
        stimulus: By the part outside of D.
    """

    mean_decision: FloatArray
    residual_decision: FloatArray
    stimulus: FloatArray


def output_currents(trajectories: FloatArray, decision: FloatArray, readouts: FloatArray) -> Currents:
    """Contributions of parts of the trajectories to the outputs, without biases (figure 2).

    Args:
        trajectories: (P, K, T, N).
        decision: D, (N, k), orthonormal.
        readouts: Each problem's own W_out, (P, N, O).
    """
    within = trajectories @ decision @ decision.T
    mean = within.mean(1, keepdims=True)
    weights = readouts[:, None]
    common = np.broadcast_to(mean @ weights, (*trajectories.shape[:-1], readouts.shape[-1]))
    return Currents(common, (within - mean) @ weights, (trajectories - within) @ weights)


def principal_basis(samples: npt.NDArray[Any], count: int) -> FloatArray:
    """Leading principal directions of states about their mean, as orthonormal columns (n, count).

    By way of the smaller of the two products with the transpose: for a few hundred states of the N E synapses
    of M that is thousands of times cheaper than a singular value decomposition of everything.

    Args:
        samples: States, (S, n).
        count: At most S - 1 and n (published: 20).
    """
    deviations = _centred(samples)
    most = min(len(samples) - 1, samples.shape[1])
    if count > most:
        raise ValueError(f"{count} directions of {len(samples)} states: expected at most {most}.")
    if len(deviations) >= deviations.shape[1]:
        return np.ascontiguousarray(principal_directions(deviations.T @ deviations)[1][:, :count])
    directions = deviations.T @ principal_directions(deviations @ deviations.T)[1][:, :count]
    return np.asarray(np.linalg.qr(directions)[0])  # of unit length; at right angles where variances vanish


def captured_variance(samples: npt.NDArray[Any], basis: FloatArray) -> FloatArray:
    """Share of the variance of states (S, n) in the first 1, 2, ... directions of a basis (n, k), (k,)."""
    deviations = _centred(samples)
    along = np.square(deviations @ basis).sum(0)
    return np.asarray(np.cumsum(along) / np.square(deviations).sum())


def cross_variance(sets: Sequence[npt.NDArray[Any]], count: int) -> FloatArray:
    """Share of each set's variance in the `count` leading directions of each other, (basis, states).

    Args:
        sets: States (S, n) of periods or tasks; S may differ.
        count: k (published: 2 to 4).
    """
    bases = [principal_basis(samples, count) for samples in sets]
    return np.array([[captured_variance(samples, basis)[-1] for samples in sets] for basis in bases])


def state_dimension(samples: npt.NDArray[Any]) -> float:
    """Participation ratio of states (S, n) about their mean."""
    deviations = _centred(samples)
    wide = deviations.shape[1] > len(deviations)
    return participation_ratio(deviations @ deviations.T if wide else deviations.T @ deviations)


def _centred(samples: npt.NDArray[Any]) -> FloatArray:
    return np.asarray(samples - samples.mean(0, dtype=np.float64), dtype=np.float64)
