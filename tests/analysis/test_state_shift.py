"""State-space shift, on states whose distances and angles are known; and the geometry of rule vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from plastic_agents.analysis import rule_vectors
from plastic_agents.analysis import subspaces as sub
from plastic_agents.analysis.state_shift import CATEGORIES, category_of, state_shift


def turned_states(angles: np.ndarray, directions: int = 8):
    """Tasks at angle a on a line, whose displacement is turned by a, in the plane of each direction."""
    before = np.zeros((len(angles), directions, 3, 2 * directions))
    after = np.zeros_like(before)
    for k in range(directions):
        before[:, k, 0, 0] = after[:, k, 0, 0] = 2 * angles
        after[:, k, 1, 2 * k] = 0.1 * np.cos(angles)
        after[:, k, 2, 2 * k + 1] = 0.1 * np.sin(angles)
    return before, after


def test_angle_grows_with_distance():
    """States a distance 2 |a - b| apart whose displacements are |a - b| apart: slope 1/2, r 1."""
    angles = np.array([0.0, 0.1, 0.35, 0.8, 1.6, 2.9])
    before, after = turned_states(angles)
    found = state_shift(before, after, np.random.default_rng(0))
    expected = np.abs(angles[:, None] - angles)[np.triu_indices(6, 1)]
    np.testing.assert_allclose(found.angle, expected)
    np.testing.assert_allclose(found.distance, 2 * expected)
    assert found.pairs[0].tolist() == [0, 1]
    assert found.line.slope == pytest.approx(0.5)
    assert found.line.intercept == 0
    assert found.line.r == pytest.approx(1.0)
    assert found.permuted_p < 0.02
    before[0, 3] = np.nan  # a direction that a task did not have
    before[2, 5] = np.nan
    np.testing.assert_allclose(state_shift(before, after, np.random.default_rng(0)).angle, expected)


def test_p_of_the_line_through_the_origin_is_that_of_least_squares():
    """Against the t test of the slope, with one degree of freedom less than there are points."""
    rng = np.random.default_rng(5)
    before, after = rng.standard_normal((2, 6, 1, 4))
    shift = state_shift(before, after, rng, num_permutations=1)
    x, y = shift.distance, shift.angle
    slope = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
    error = np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 1) / (x**2).sum())
    assert shift.line.slope == pytest.approx(slope)
    assert shift.line.p == pytest.approx(2 * stats.t.sf(slope / error, len(x) - 1))


def test_unrelated_shift_is_not_significant():
    rng = np.random.default_rng(1)
    before, after = rng.standard_normal((2, 8, 8, 30))
    found = state_shift(before, before + 0.1 * after, rng)
    assert found.permuted_p > 0.05
    np.testing.assert_allclose(found.angle, np.pi / 2, atol=0.3)


def test_refuses_what_cannot_be_compared():
    before, after = turned_states(np.arange(4.0))
    with pytest.raises(ValueError, match="3 tasks or more"):
        state_shift(before[:2], after[:2], np.random.default_rng(0))
    before[0, :4] = before[1, 4:] = np.nan
    with pytest.raises(ValueError, match="no direction in common"):
        state_shift(before, after, np.random.default_rng(0))
    assert sum(len(tasks) for tasks in CATEGORIES.values()) == 15
    assert category_of("dmcgo") == "Categorization"
    assert category_of("oic") is None


def test_rule_vectors_are_decomposed():
    rng = np.random.default_rng(2)
    known = rng.standard_normal((40, 3))
    extra = rng.standard_normal(40)
    extra -= known @ np.linalg.lstsq(known, extra, rcond=None)[0]
    inside = known @ [1.0, 1.0, -1.0]
    exact = rule_vectors.decompose_rule(inside, known)
    np.testing.assert_allclose(exact.coefficients, [1, 1, -1])
    assert exact.explained == pytest.approx(1.0)
    mixed = rule_vectors.decompose_rule(inside + extra, known)
    np.testing.assert_allclose(mixed.coefficients, [1, 1, -1])
    np.testing.assert_allclose(mixed.residual, extra)
    assert mixed.explained == pytest.approx(inside @ inside / (inside @ inside + extra @ extra))
    expected = [inside @ v / np.linalg.norm(inside) / np.linalg.norm(v) for v in known.T]
    np.testing.assert_allclose(exact.cosines, expected)
    table = rule_vectors.rule_cosines(known)
    np.testing.assert_allclose(np.diag(table), 1)
    with pytest.raises(ValueError, match="more units than rules"):
        rule_vectors.decompose_rule(inside[:2], known[:2])


def test_modulation_of_channels():
    rng = np.random.default_rng(3)
    modulation, embedding = rng.standard_normal((5, 4, 6)), rng.standard_normal((6, 3))
    found = rule_vectors.channel_modulation(modulation, embedding)
    assert found.shape == (5, 3)
    assert found[2, 1] == pytest.approx(np.linalg.norm(modulation[2] @ embedding[:, 1]))


def test_variance_captured_in_anothers_basis():
    """Two tasks that share one of two directions each: half of the variance."""
    rng = np.random.default_rng(4)
    axes = np.linalg.qr(rng.standard_normal((50, 3)))[0].T
    scores = rng.standard_normal((20, 2))
    scores -= scores.mean(0)
    scores = np.linalg.qr(scores)[0]
    first, second = scores @ axes[:2] + 3.0, scores @ axes[1:]
    for samples in (first, np.tile(first, (5, 1))):  # fewer and more samples than units
        basis = sub.principal_basis(samples, 2)
        np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-10)
        np.testing.assert_allclose(sub.captured_variance(first, basis)[-1], 1.0)
        assert sub.captured_variance(second, basis)[-1] == pytest.approx(0.5)
    table = sub.cross_variance([first, second], 2)
    np.testing.assert_allclose(table, [[1, 0.5], [0.5, 1]])
    with pytest.raises(ValueError, match="expected at most 19"):
        sub.principal_basis(first, 20)


def test_dimension_of_states():
    samples = np.concatenate((np.eye(6), -np.eye(6))) + 5.0
    assert sub.state_dimension(samples) == pytest.approx(6)
    assert sub.state_dimension(samples @ np.eye(6, 40)) == pytest.approx(6)
    assert sub.state_dimension(samples @ np.eye(6, 3)) == pytest.approx(3)
