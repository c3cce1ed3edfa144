"""Lesions, on networks whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest

from plastic_agents.analysis import lesions as ls
from plastic_agents.analysis.statistics import fit_line

SHAPE = (6, 8)  # N, E
EVERYTHING = ls.Responsive(np.ones(8, bool), np.ones(6, bool), np.ones(SHAPE, bool))


def weights(rng: np.random.Generator) -> ls.LesionedWeights:
    return ls.LesionedWeights(*(rng.standard_normal(s) for s in ((8, 3), SHAPE, (6,), (2, 6))))


def outputs(w: ls.LesionedWeights, x: np.ndarray) -> np.ndarray:
    return w.readout @ np.tanh(w.plastic @ np.tanh(w.embedding @ x) + w.bias)


def test_silenced_units_say_nothing():
    rng = np.random.default_rng(0)
    intact = weights(rng)
    labels = np.array([0, 0, 1, 1, 1, -1])
    hidden = ls.unit_lesions(labels, "hidden", SHAPE)
    inputs = ls.unit_lesions(np.arange(8) % 3, "inputs", SHAPE)
    assert [lesion.name for lesion in hidden] == ["hidden 0", "hidden 1"]
    assert [lesion.sizes for lesion in inputs] == [(3, 0, 0, 0), (3, 0, 0, 0), (2, 0, 0, 0)]
    x = rng.standard_normal(3)
    cut = ls.lesioned_weights(intact, hidden[1])
    keep = labels != 1
    embedded = np.tanh(intact.embedding @ x)
    expected = intact.readout[:, keep] @ np.tanh(intact.plastic[keep] @ embedded + intact.bias[keep])
    np.testing.assert_allclose(outputs(cut, x), expected)
    cut = ls.lesioned_weights(intact, inputs[2])
    keep = np.arange(8) % 3 != 2
    expected = intact.readout @ np.tanh(intact.plastic[:, keep] @ embedded[keep] + intact.bias)
    np.testing.assert_allclose(outputs(cut, x), expected)
    assert (cut.embedding[2] == 0).all()
    same = ls.lesioned_weights(intact, ls.Lesion.nothing(SHAPE))
    assert all(np.array_equal(a, b) for a, b in zip(same, intact, strict=True))
    both = ls.pair_lesions(inputs, hidden)
    assert len(both) == 6
    assert both[1].name == "input 0 + hidden 1"
    assert both[1].sizes == (3, 3, 0, 0)
    with pytest.raises(ValueError, match="expected 8"):
        ls.unit_lesions(labels, "inputs", SHAPE)


def test_synapse_lesions_and_pruning():
    rng = np.random.default_rng(1)
    intact = weights(rng)
    labels = rng.integers(3, size=SHAPE)
    zero, freeze = (ls.synapse_lesions(labels, mode) for mode in ("zero_W", "freeze_M"))
    np.testing.assert_array_equal(zero[2].zeroed, labels == 2)
    np.testing.assert_array_equal(freeze[2].frozen, labels == 2)
    assert not zero[2].frozen.any()
    np.testing.assert_array_equal(
        ls.lesioned_weights(intact, zero[1]).plastic, np.where(labels == 1, 0, intact.plastic)
    )
    np.testing.assert_array_equal(ls.lesioned_weights(intact, freeze[1]).plastic, intact.plastic)
    pruned = ls.prune_lesions(intact.plastic)
    assert [lesion.zeroed.sum() for lesion in pruned] == [0, 5, 24, 43, 46, 47, 48, 48]
    half = pruned[2].zeroed
    assert np.abs(intact.plastic[half]).max() <= np.abs(intact.plastic[~half]).min()
    assert pruned[3].name == "pruned 90 %"


def test_controls_have_the_same_size_and_are_responsive():
    rng = np.random.default_rng(2)
    responsive = ls.Responsive(np.arange(8) < 5, np.ones(6, bool), rng.random(SHAPE) < 0.5)
    lesion = ls.pair_lesions(
        ls.unit_lesions(np.arange(8) % 2, "inputs", SHAPE),
        ls.synapse_lesions(np.arange(48).reshape(SHAPE) % 7, "freeze_M"),
    )[0]
    controls = ls.random_controls(lesion, responsive, rng)
    assert len(controls) == 10
    for control in controls:
        assert control.sizes == lesion.sizes
        assert not (control.inputs & ~responsive.inputs).any()
        assert not (control.frozen & ~responsive.synapses).any()
    assert len({control.inputs.tobytes() for control in controls}) > 1
    again = ls.random_controls(lesion, responsive, np.random.default_rng(5))
    same = ls.random_controls(lesion, responsive, np.random.default_rng(5))
    assert all(np.array_equal(a.frozen, b.frozen) for a, b in zip(again, same, strict=True))
    with pytest.raises(ValueError, match="6 out of 5 responsive"):
        ls.random_controls(
            ls.unit_lesions(np.minimum(np.arange(8), 6) // 6, "inputs", SHAPE)[0], responsive, rng
        )


def test_effects_find_the_units_that_matter():
    """Task t needs input units 4 t to 4 t + 3; accuracy falls by 0.2 for each of them that is gone."""
    rng = np.random.default_rng(3)
    labels = np.arange(8) // 4

    def evaluate(lesion: ls.Lesion) -> list[float]:
        return [1 - 0.2 * lesion.inputs[labels == task].sum() for task in range(2)]

    found = ls.unit_lesions(labels, "inputs", SHAPE)
    controls = [ls.random_controls(lesion, EVERYTHING, rng, count=200) for lesion in found]
    effects = ls.lesion_effects(evaluate, found, controls)
    np.testing.assert_allclose(effects.intact, [1, 1])
    np.testing.assert_allclose(effects.accuracy, [[0.2, 1], [1, 0.2]])
    np.testing.assert_allclose(effects.control, 0.6, atol=0.05)
    np.testing.assert_allclose(effects.effect, [[0.4, -0.4], [-0.4, 0.4]], atol=0.05)
    assert effects.sizes.tolist() == [[4, 0, 0, 0], [4, 0, 0, 0]]
    # Hypergeometric: 4 drawn of 8, of which 4 count.
    np.testing.assert_allclose(effects.control_deviation, 0.2 * np.sqrt(4 / 7), atol=0.02)
    with pytest.raises(ValueError, match="a control of it"):
        ls.lesion_effects(evaluate, found, [controls[0], [ls.Lesion.nothing(SHAPE)]])


def test_follow_ups():
    rng = np.random.default_rng(4)
    profiles = rng.random((6, 10))
    alike = ls.similarity_agreement(profiles, 2 * profiles - 1)
    assert alike.first.shape == (15,)
    assert alike.line.r == pytest.approx(1.0)
    assert alike.line.slope == pytest.approx(1.0)
    unrelated = ls.similarity_agreement(rng.random((20, 40)), rng.random((20, 40)), "cosine")
    assert abs(unrelated.line.r) < 0.3
    first, second = rng.random((3, 4)), rng.random((5, 4))
    line = ls.additivity(first, second, 0.1 + 0.7 * (first[:, None] + second[None]))
    np.testing.assert_allclose(line[:3], (0.7, 0.1, 1.0))
    assert ls.size_effect(np.arange(6), np.outer(np.arange(6), [1.0, 3.0])).slope == pytest.approx(2)
    assert ls.mode_agreement(first, first / 2).slope == pytest.approx(0.5)
    tuning = ls.cluster_profiles(np.array([[1.0, 3, 5, 9], [0, 2, 4, 9]]), np.array([1, 1, 0, -1]))
    np.testing.assert_array_equal(tuning, [[5, 4], [2, 1]])


def test_lines_leave_out_points_without_a_number():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    x = rng.random(30)
    y = 0.5 * x + 0.3 * rng.standard_normal(30)
    expected = stats.linregress(x, y)
    found = fit_line(np.append(x, np.nan), np.append(y, 1.0))
    np.testing.assert_allclose(
        found[:4], (expected.slope, expected.intercept, expected.rvalue, expected.pvalue)
    )
    assert found.num_points == 30
    assert np.isnan(fit_line(x, np.ones(30)).r)
    with pytest.raises(ValueError, match="2 points"):
        fit_line(x[:2], y[:2])
