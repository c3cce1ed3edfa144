"""The drawings of many tasks draw what they are given, without a warning."""

from __future__ import annotations

import numpy as np
import pytest

from plastic_agents.analysis.clustering import clusters
from plastic_agents.analysis.plots import multitask as multitask_plots
from plastic_agents.analysis.state_shift import state_shift

figures = pytest.importorskip("matplotlib.figure")


@pytest.fixture
def axes():
    figure = figures.Figure()
    yield figure.subplots()
    figure.canvas.draw()


def test_variance_map(axes):
    """Sorted so that clusters are blocks: sums over many columns, drawn as means of neighbours, are kept."""
    rng = np.random.default_rng(0)
    labels, columns = np.array([1, 0, 1, 0]), rng.integers(3, size=4000)
    variance = rng.random((4, 4000))
    image = multitask_plots.draw_variance_map(
        axes, variance, list("abcd"), labels, np.argsort(labels), columns, np.argsort(columns)
    )
    assert image.get_array().shape == (4, 1500)
    np.testing.assert_allclose(image.get_array().mean(1), variance[np.argsort(labels)].mean(1), rtol=0.05)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "d", "a", "c"]
    assert len(axes.lines) == 2 + 1


def test_mean_curve_and_standard_error(axes):
    curves = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, np.nan]])
    multitask_plots.draw_mean_curve(axes, np.arange(3), curves, "black", "mpn", shows_seeds=True)
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), [1, 2, 2])
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == 0  # 1 - sd / sqrt(2), of which sd is sqrt(2)
    assert heights.max() == 3


def test_silhouettes(axes):
    found = clusters.cluster(
        np.random.default_rng(1).random((80, 3)), np.random.default_rng(2), num_repeats=2
    )
    multitask_plots.draw_silhouettes(axes, found, label="rows")
    assert f"rows: {found.num_clusters} clusters" in axes.get_legend().get_texts()[0].get_text()


def test_matrices(axes):
    image = multitask_plots.draw_lesion_matrix(axes, np.array([[0.2, -0.4]]), ["hidden 0"], ["fdgo", "dmcgo"])
    assert image.get_clim() == (-0.4, 0.4)
    image = multitask_plots.draw_co_membership(
        axes, np.array([[100, 0], [0, 100.0]]), ["a", "b"], np.array([1, 0])
    )
    assert image.get_clim() == (0, 100)


def test_points_and_curves(axes):
    rng = np.random.default_rng(3)
    shift = state_shift(*rng.random((2, 4, 8, 5)), rng, num_permutations=9)
    multitask_plots.draw_state_shift(axes, shift)
    multitask_plots.draw_pruning(axes, (0.0, 0.9), rng.random((2, 3)), chance=0.1)
    multitask_plots.draw_states(axes, rng.random((6, 2)), ["fdgo", "oic", "dmcgo"] * 2, (0.6, 0.3))
    multitask_plots.draw_eigenvalues(axes, [np.array([0.5, 0.2j]), np.array([1.3 + 0j])])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[-2:] == ["stable (1)", "unstable (1)"]
