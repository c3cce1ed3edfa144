"""Accuracy along an episode, on sequences whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from plastic_agents.analysis.adaptation import predictions_to_regain, rolling_mean


def test_rolling_mean_against_a_loop():
    """As published: the mean of the last `window` predictions, of fewer at the start (and after a mark)."""
    hits = np.random.default_rng(0).random((50, 3)) < 0.5
    starts = np.array([0, 17, 40])
    for marks in (None, starts):
        found = rolling_mean(hits, 8, marks)
        for i in range(50):
            first = 0 if marks is None else max(s for s in starts if s <= i)
            np.testing.assert_allclose(found[i], hits[max(first, i - 7) : i + 1].mean(0))
    with pytest.raises(ValueError, match="window=0"):
        rolling_mean(hits, 0)


def test_predictions_to_regain_finds_the_known_place():
    """Wrong for 30 predictions after every change, right from then on: a window of 20 is at 0.95 after 49."""
    hits = np.ones((400, 6), dtype=bool)
    for start in (100, 200, 300):
        hits[start : start + 30] = False
    starts = np.array([0, 100, 200, 300])
    assert predictions_to_regain(hits, starts) == 30 + 19
    assert predictions_to_regain(hits, starts, window=1) == 31
    hits[100:] = False
    assert predictions_to_regain(hits, starts) is None
