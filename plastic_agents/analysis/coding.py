"""The code of an angle in a noisy population: tuning, error, information, and the noise's directions.

Letters for shapes: S samples (steps at which something was recorded, all episodes together), N units, K
outputs, A angles (tiles round the circle, equally spaced, angle k at index k). Angles are given by index, so
that no rounding decides which samples belong together. The analyses are those of Bredenberg, Simoncelli and
Savin (NeurIPS 2020), figures 2 to 5, and some of our own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


class Moments(NamedTuple):
    """Means and covariances by angle.

    Attributes:
        mean: (A, M).
        covariance: (A, M, M), divided by the number of samples.
        samples: (A,), numbers of samples; where 0, mean and covariance are NaN.
    """

    mean: FloatArray
    covariance: FloatArray
    samples: npt.NDArray[np.int64]

    @property
    def deviation(self) -> FloatArray:
        """Standard deviations (A, M)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


class OutputError(NamedTuple):
    """Mean squared error by angle, and its parts; error = squared_bias + variance.

    Attributes:
        error: (A,), summed over outputs.
        squared_bias: (A,).
        variance: (A,).
    """

    error: FloatArray
    squared_bias: FloatArray
    variance: FloatArray


def by_angle(values: FloatArray, angle: IntArray, num_angles: int) -> Moments:
    """Means and covariances of values (rates: tuning curves; outputs: clouds on the circle) at each angle.

    Args:
        values: (S, M).
        angle: (S,), index of the angle; samples below 0 are left out.
        num_angles: A.

    Raises:
        ValueError: If shapes do not fit.
    """
    if values.ndim != 2 or angle.shape != values.shape[:1]:
        raise ValueError(f"values {values.shape} and angle {angle.shape}: expected (S, M) and (S,).")
    size = values.shape[1]
    mean, covariance = np.full((num_angles, size), np.nan), np.full((num_angles, size, size), np.nan)
    count = np.bincount(angle[angle >= 0], minlength=num_angles)
    for k in np.flatnonzero(count):
        here = values[angle == k].astype(np.float64)
        mean[k] = here.mean(0)
        covariance[k] = (here - mean[k]).T @ (here - mean[k]) / len(here)
    return Moments(mean, covariance, count)


def output_error(outputs: Moments, targets: FloatArray) -> OutputError:
    """Error of outputs at each angle, split in squared bias and variance.

    Args:
        outputs: Of `by_angle`, M = K.
        targets: (A, K), the right output at each angle.
    """
    squared_bias = np.square(outputs.mean - targets).sum(1)
    variance = np.trace(outputs.covariance, axis1=1, axis2=2)
    return OutputError(squared_bias + variance, squared_bias, variance)


def weighted_mean(values: FloatArray, density: FloatArray) -> float:
    """Mean of values (A,) at angles, weighted with a prior's density (A,) there, normalised to sum 1."""
    return float((values * density).sum() / density.sum())


def preferred_angles(tuning: FloatArray, angles: FloatArray) -> FloatArray:
    """The angle (N,) at which each unit's mean rate (A, N) is largest."""
    preferred: FloatArray = angles[tuning.argmax(0)]
    return preferred


def circular_density(samples: FloatArray, grid: FloatArray, bandwidth: float = 0.4) -> FloatArray:
    """Kernel estimate of a density on the circle, per radian.

    Args:
        samples: (M,) angles in radians.
        grid: (G,) angles of the estimate.
        bandwidth: Standard deviation of the wrapped Gaussian kernel, in radians.

    Returns:
        (G,), which integrates to 1.
    """
    turns = 2 * np.pi * np.arange(-3, 4)
    distance = grid[:, None, None] - samples[None, :, None] - turns
    kernel = np.exp(-0.5 * np.square(distance / bandwidth)).sum(-1) / (bandwidth * np.sqrt(2 * np.pi))
    density: FloatArray = kernel.mean(1)
    return density


def d_prime(values: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Distance of two classes of values (S,), |difference of means| / sqrt(mean of variances).

    Args:
        values: (S,).
        positive: (S,), the class.

    Raises:
        ValueError: If a class has no sample.
    """
    if positive.all() or not positive.any():
        raise ValueError(
            f"{int(positive.sum())} of {len(positive)} samples are positive: both classes are needed."
        )
    one, other = values[positive], values[~positive]
    return float(abs(one.mean() - other.mean()) / np.sqrt((one.var() + other.var()) / 2))


def discriminant(rates: FloatArray, positive: npt.NDArray[np.bool_], ridge: float = 1e-6) -> FloatArray:
    """Fisher's linear discriminant direction (N,) of two classes of rates (S, N), of length 1."""
    one, other = rates[positive], rates[~positive]
    within = (np.cov(one.T) + np.cov(other.T)) / 2 + ridge * np.eye(rates.shape[1])
    direction = np.linalg.solve(within, one.mean(0) - other.mean(0))
    unit: FloatArray = direction / np.linalg.norm(direction)
    return unit


def noise_in_decoder_space(covariance: FloatArray, decoder: FloatArray) -> FloatArray:
    """Share of the largest possible noise volume in the decoder's row space, by angle.

    det(V C V^T) / product of C's K largest eigenvalues, V an orthonormal basis of that space: 1 if the noise
    is largest in the very directions that are read out, small if it is steered away from them.

    Args:
        covariance: C, (A, N, N).
        decoder: D, (K, N), of full row rank.

    Returns:
        (A,), between 0 and 1; NaN at angles without samples.
    """
    basis = np.linalg.qr(decoder.T)[0]  # (N, K)
    finite = np.isfinite(covariance).all((1, 2))
    inside = np.linalg.det(basis.T @ covariance[finite] @ basis)
    largest = np.linalg.eigvalsh(covariance[finite])[:, -len(decoder) :].prod(1)
    share: FloatArray = np.full(len(covariance), np.nan)
    share[finite] = inside / largest
    return share


def signal_to_noise(tuning: Moments, decoder: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Signal to noise ratio of the rates inside the decoder's row space and outside it, by angle.

    Signal is the squared distance of the mean rates from their mean over angles, noise the trace of the
    covariance, each within the space.

    Args:
        tuning: Of the rates, M = N.
        decoder: D, (K, N).

    Returns:
        Two arrays (A,).
    """
    basis = np.linalg.qr(decoder.T)[0]
    signal = tuning.mean - tuning.mean.mean(0)
    noise: FloatArray = np.trace(tuning.covariance, axis1=1, axis2=2)
    signal_in = np.square(signal @ basis).sum(1)
    noise_in: FloatArray = np.trace(basis.T @ tuning.covariance @ basis, axis1=1, axis2=2)
    inside: FloatArray = signal_in / noise_in
    outside: FloatArray = (np.square(signal).sum(1) - signal_in) / (noise - noise_in)
    return inside, outside


def fisher_information(tuning: Moments, angles: FloatArray, ridge: float = 0.0) -> FloatArray:
    """Linear Fisher information about the angle, f'(theta)^T C^-1 f'(theta), per squared radian.

    f' is taken by central differences of the tuning curves round the circle.

    Args:
        tuning: Of the rates at all A angles, with more samples than units each.
        angles: (A,), equally spaced.
        ridge: Added to the diagonal of C.

    Returns:
        (A,).
    """
    spacing = 2 * np.pi / len(angles)
    slope = (np.roll(tuning.mean, -1, 0) - np.roll(tuning.mean, 1, 0)) / (2 * spacing)
    noise = tuning.covariance + ridge * np.eye(slope.shape[1])
    information: FloatArray = (slope * np.linalg.solve(noise, slope[..., None])[..., 0]).sum(1)
    return information


def correlations(tuning: Moments) -> tuple[FloatArray, FloatArray]:
    """Noise correlations at each angle (A, N, N), and signal correlations (N, N) of the tuning curves."""
    deviation = tuning.deviation
    noise: FloatArray = tuning.covariance / (deviation[:, :, None] * deviation[:, None, :])
    signal: FloatArray = np.atleast_2d(np.corrcoef(tuning.mean.T))
    return noise, signal


def population_spectrum(covariance: FloatArray) -> FloatArray:
    """Variances (A, N) along the noise's principal directions, largest first, of covariances (A, N, N)."""
    return np.linalg.eigvalsh(covariance).astype(np.float64)[:, ::-1]


def currents(
    tuning: FloatArray, inputs: FloatArray, recurrent: FloatArray, feedforward: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean currents that recurrent and input weights feed each unit.

    Args:
        tuning: Mean rates, (A, N).
        inputs: (A, I).
        recurrent: W, (N, N).
        feedforward: U, (N, I).

    Returns:
        W r and U s, (A, N) each, and the ratio of their lengths (A,).
    """
    inner, outer = tuning @ recurrent.T, inputs @ feedforward.T
    return inner, outer, np.linalg.norm(inner, axis=1) / np.linalg.norm(outer, axis=1)


def rate_energy(
    rates: FloatArray, inputs: FloatArray, recurrent: FloatArray, feedforward: FloatArray, bias: FloatArray
) -> FloatArray:
    """Energy that the dynamics descend, but for noise, where W is symmetric and rates lie above the knee.

    E = - r W r / 2 - b r - r U s + |r|^2 / 2, where g(r) = r.

    Args:
        rates: (A, N).
        inputs: (A, I).
        recurrent: W, (N, N); its symmetric part is what counts.
        feedforward: U, (N, I).
        bias: b, (N,).

    Returns:
        (A,).
    """
    quadratic = 0.5 * np.square(rates).sum(1) - 0.5 * (rates * (rates @ recurrent.T)).sum(1)
    energy: FloatArray = quadratic - rates @ bias - (rates * (inputs @ feedforward.T)).sum(1)
    return energy
