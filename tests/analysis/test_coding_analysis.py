"""The analyses of population codes, on data whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from plastic_agents.analysis import coding

ANGLES = (np.arange(12) - 6) * np.pi / 6


def cloud(rng: np.random.Generator, means: np.ndarray, covariance: np.ndarray, count: int = 4000):
    """Samples (S, M) around means (A, M) with one covariance, and their angles (S,)."""
    angle = np.repeat(np.arange(len(means)), count)
    return rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(angle)) + means[angle], angle


def test_moments_and_error_by_angle():
    rng = np.random.default_rng(0)
    targets = np.stack((np.cos(ANGLES), np.sin(ANGLES)), 1)
    covariance = np.array([[0.04, 0.01], [0.01, 0.02]])
    outputs, angle = cloud(rng, 0.9 * targets, covariance)
    order = rng.permutation(len(angle))
    moments = coding.by_angle(outputs[order], angle[order], 12)
    np.testing.assert_allclose(moments.mean, 0.9 * targets, atol=0.02)
    np.testing.assert_allclose(moments.covariance, np.broadcast_to(covariance, (12, 2, 2)), atol=0.004)
    error = coding.output_error(moments, targets)
    np.testing.assert_allclose(error.squared_bias, 0.01, atol=0.004)
    np.testing.assert_allclose(error.variance, 0.06, atol=0.006)
    np.testing.assert_allclose(error.error, error.squared_bias + error.variance)
    direct = [np.square(outputs[angle == k] - targets[k]).sum(1).mean() for k in range(12)]
    np.testing.assert_allclose(error.error, direct)


def test_angles_without_samples_are_nan_and_drift_is_left_out():
    moments = coding.by_angle(np.ones((3, 1)), np.array([1, 1, -1]), 3)
    assert moments.samples.tolist() == [0, 2, 0]
    assert np.isnan(moments.mean[0, 0])
    assert moments.mean[1, 0] == 1.0
    with pytest.raises(ValueError, match=r"expected \(S, M\)"):
        coding.by_angle(np.ones(3), np.zeros(3, int), 2)


def test_preferred_angles_and_density():
    tuning = np.exp(np.cos(ANGLES[:, None] - ANGLES[[0, 3, 6, 6]]))
    preferred = coding.preferred_angles(tuning, ANGLES)
    np.testing.assert_array_equal(preferred, ANGLES[[0, 3, 6, 6]])
    grid = np.linspace(-np.pi, np.pi, 600, endpoint=False)
    density = coding.circular_density(preferred, grid)
    assert density.mean() * 2 * np.pi == pytest.approx(1.0, abs=1e-9)
    assert abs(grid[density.argmax()]) < 0.02
    turned = coding.circular_density(preferred + np.pi, grid)  # across the seam
    np.testing.assert_allclose(np.roll(density, 300), turned, atol=1e-9)
    assert coding.weighted_mean(np.arange(3.0), np.array([0.0, 2.0, 2.0])) == 1.5


def test_discriminability():
    rng = np.random.default_rng(1)
    positive = rng.random(40_000) < 0.4
    values = rng.standard_normal(40_000) + 1.5 * positive
    assert coding.d_prime(values, positive) == pytest.approx(1.5, abs=0.05)
    with pytest.raises(ValueError, match="both classes"):
        coding.d_prime(values, np.ones(40_000, bool))
    rates = rng.standard_normal((40_000, 3)) * [1.0, 2.0, 1.0] + positive[:, None] * [1.0, 1.0, 0.0]
    expected = np.array([1.0, 0.25, 0.0])
    np.testing.assert_allclose(
        coding.discriminant(rates, positive), expected / np.linalg.norm(expected), atol=0.04
    )


def test_noise_in_the_decoders_space():
    covariance = np.diag([4.0, 3.0, 2.0, 1.0])[None]
    first, last = np.eye(4)[:2], np.eye(4)[2:]
    assert coding.noise_in_decoder_space(covariance, first)[0] == pytest.approx(1)
    mixed = np.array([[1.0, 1.0], [0.0, 2.0]]) @ last  # the same space by another basis
    assert coding.noise_in_decoder_space(covariance, mixed)[0] == pytest.approx(2 / 12)
    np.testing.assert_array_equal(coding.population_spectrum(covariance)[0], [4, 3, 2, 1])


def test_information_and_signal_to_noise():
    """Two units of cosine and sine tuning with independent noise: information 1 / variance at every angle."""
    means = np.stack((np.cos(ANGLES), np.sin(ANGLES), np.full(12, 0.5)), 1)
    covariance = np.broadcast_to(np.diag([0.25, 0.25, 0.1]), (12, 3, 3))
    tuning = coding.Moments(means, covariance, np.full(12, 100))
    step = np.sin(np.pi / 6) / (np.pi / 6)  # central differences see a little less of a cosine's slope
    np.testing.assert_allclose(coding.fisher_information(tuning, ANGLES), 4 * step**2)
    inside, outside = coding.signal_to_noise(tuning, np.eye(3)[:2])
    np.testing.assert_allclose(inside, 2.0)
    np.testing.assert_allclose(outside, 0.0, atol=1e-12)
    noise, signal = coding.correlations(coding.Moments(means[:, :2], covariance[:, :2, :2], tuning.samples))
    np.testing.assert_allclose(noise, np.broadcast_to(np.eye(2), (12, 2, 2)))
    np.testing.assert_allclose(signal, np.eye(2), atol=1e-12)


def test_currents_and_energy():
    tuning, inputs = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0, 0.0]])
    W, U, b = np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((2, 3)), np.array([0.5, 0.0])
    inner, outer, ratio = coding.currents(tuning, inputs, W, U)
    np.testing.assert_array_equal(inner, [[2.0, 1.0]])
    np.testing.assert_array_equal(outer, [[1.0, 1.0]])
    assert ratio[0] == pytest.approx(np.sqrt(5 / 2))
    assert coding.rate_energy(tuning, inputs, W, U, b)[0] == pytest.approx(2.5 - 2.0 - 0.5 - 3.0)
