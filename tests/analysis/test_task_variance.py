"""Variance by task-period, on states whose variance is known."""

from __future__ import annotations

import numpy as np
import pytest

from plastic_agents.analysis import task_variance as tv


def test_rows_are_the_epochs_of_every_task_without_fixation():
    epochs = {
        "delaygo": ("fix1", "stim1", "delay1", "go1"),
        "reactgo": ("fix1", "go1"),
        "delaydm1": ("fix1", "stim1", "delay1", "stim2", "delay2", "go1"),
    }
    rows = tv.task_periods(epochs)
    assert len(rows) == 3 + 1 + 5
    assert rows[0] == ("delaygo", "stim1")
    assert str(rows[3]) == "reactgo go1"


def test_variance_of_tuned_units():
    """mu[k, t] = cos(2 pi k / 8): 1/2. mu = t: (T^2 - 1) / 12, all of it over steps. A constant: 0."""
    rng = np.random.default_rng(0)
    bins = np.concatenate((np.arange(8), rng.integers(8, size=42)))
    steps = 5
    online = tv.TaskVariance(2, 3)
    for t in range(steps):
        tuned = np.cos(2 * np.pi * bins / 8)
        online.add(1, np.stack((tuned, np.full(50, t), np.full(50, 1e6)), 1), bins)
    np.testing.assert_allclose(online.pooled[1], [0.5, (steps**2 - 1) / 12, 0.0], atol=1e-9)
    np.testing.assert_allclose(online.means[1], [0.0, 2.0, 1e6], atol=1e-9)
    assert np.isnan(online.pooled[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_online_equals_direct(dtype: type):
    """Against the definition written out; one bin stays empty, some trials have none."""
    rng = np.random.default_rng(1)
    states = (rng.standard_normal((30, 6, 2, 4)) + 100 * rng.standard_normal((2, 4))).astype(dtype)
    bins = rng.integers(-1, 7, size=30)
    mu = np.stack([states[bins == k].mean(0, dtype=np.float64) for k in range(7)]).reshape(7, 6, 8)
    online = tv.TaskVariance(1, 8)
    for t in range(6):
        online.add(0, states[:, t], bins)
    tolerance = 1e-4 if dtype is np.float32 else 1e-10
    np.testing.assert_allclose(online.pooled[0], mu.var((0, 1)), rtol=tolerance)
    with pytest.raises(ValueError, match="expected 8"):
        online.add(0, states[:, 0, 0], bins)
    with pytest.raises(ValueError, match="< 8"):
        online.add(0, states[:, 0], np.full(30, 8))


def test_synapses_from_the_variance_of_modulation():
    rng = np.random.default_rng(2)
    modulation, weights = rng.standard_normal((16, 3, 5)), rng.standard_normal((3, 5))
    plain, effective = tv.TaskVariance(1, 15), tv.TaskVariance(1, 15)
    plain.add(0, modulation, np.arange(16) % 8)
    effective.add(0, weights * modulation, np.arange(16) % 8)
    np.testing.assert_allclose(tv.modulated_variance(plain.pooled, weights), effective.pooled)


def test_normalisation_and_fractions():
    variance = np.array([[1.0, 0.0, 4.0], [2.0, 0.0, 1.0]])
    np.testing.assert_array_equal(tv.normalised_variance(variance), [[0.5, 0, 1], [1, 0, 0.25]])
    fractions = tv.fractional_variance(*variance)
    np.testing.assert_allclose(fractions, [-1 / 3, np.nan, 0.6])
    shares, edges = tv.fractional_histogram(np.append(fractions, [1.0, -1.0]))
    assert len(shares) == 20
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == shares[-1] == 0.25
    assert edges[0] == -1.0
