"""Drawings of what `plastic_agents.analysis.coding` finds, each on given axes; A angles in radians."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from plastic_agents.analysis.coding import Moments, OutputError, circular_density

__all__ = ["draw_error", "draw_outputs_on_circle", "draw_preferred", "draw_tuning", "round_the_circle"]

_INK, _FAINT = "#22303c", "#c3cad1"


def round_the_circle(axes: Axes) -> None:
    """Label an angle axis from -pi to pi in degrees."""
    axes.set(xticks=np.linspace(-np.pi, np.pi, 5), xlabel="angle (degrees)", xlim=(-np.pi - 0.2, np.pi + 0.2))
    axes.set_xticklabels([f"{d:g}" for d in (-180, -90, 0, 90, 180)])


def _closed(angles: npt.NDArray[Any], values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both with the first angle once more at the end, so that a line goes round."""
    return np.append(angles, angles[0] + 2 * np.pi), np.concatenate((values, values[:1]))


def draw_outputs_on_circle(
    axes: Axes, outputs: Moments, targets: npt.NDArray[np.float64], color: str
) -> None:
    """Mean outputs with one standard deviation's ellipse, each joined to its target on the circle.

    Args:
        axes: Axes to draw on.
        outputs: Of A angles, M = 2.
        targets: (A, 2).
        color: Of the outputs.
    """
    around = np.linspace(-np.pi, np.pi, 181)
    axes.plot(np.cos(around), np.sin(around), color=_FAINT, linewidth=1, zorder=1)
    for mean, covariance, target in zip(outputs.mean, outputs.covariance, targets, strict=True):
        if np.isnan(mean).any():
            continue
        values, vectors = np.linalg.eigh(covariance)
        turn = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        short, long = 2 * np.sqrt(np.maximum(values, 0.0))
        axes.add_patch(
            Ellipse((mean[0], mean[1]), long, short, angle=turn, color=color, alpha=0.25, zorder=2)
        )
        axes.plot(*zip(target, mean, strict=True), color=_INK, linewidth=1, zorder=3)
        axes.plot(*target, "o", color=_INK, markersize=3, zorder=3)
        axes.plot(*mean, "o", color=color, markersize=4, zorder=4)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xlabel="output 1", ylabel="output 2")


def draw_tuning(axes: Axes, mean: npt.NDArray[np.float64], angles: npt.NDArray[np.float64]) -> Any:
    """Mean rates (A, N) as an image, units sorted by preferred angle; returns the image."""
    order = np.argsort(mean.argmax(0), kind="stable")
    half = (angles[1] - angles[0]) / 2
    extent = (angles[0] - half, angles[-1] + half, mean.shape[1], 0)
    image = axes.imshow(
        mean[:, order].T, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest"
    )
    axes.grid(visible=False)
    axes.set(ylabel="unit, by preferred angle")
    round_the_circle(axes)
    axes.set_xlim(extent[0], extent[1])
    return image


def draw_preferred(
    axes: Axes, preferred: npt.NDArray[np.float64], angles: npt.NDArray[np.float64], color: str, label: str
) -> None:
    """Histogram of preferred angles (N,) with a kernel estimate, as densities per radian."""
    spacing = angles[1] - angles[0]
    share = np.array([np.isclose(preferred, a).mean() for a in angles]) / spacing
    axes.bar(angles, share, width=0.8 * spacing, color=color, alpha=0.25)
    grid = np.linspace(-np.pi, np.pi, 181)
    axes.plot(grid, circular_density(preferred, grid), color=color, label=label)
    axes.set(ylabel="density per radian")
    round_the_circle(axes)


def draw_error(
    axes: Axes, error: OutputError, angles: npt.NDArray[np.float64], color: str, label: str
) -> None:
    """Error by angle as a line, its variance as a dashed one; what lies between is the squared bias."""
    axes.plot(*_closed(angles, error.error), color=color, marker="o", markersize=3, label=label)
    axes.plot(*_closed(angles, error.variance), color=color, linestyle="--", linewidth=1)
    axes.set(ylabel="squared error (dashed: its variance)")
    axes.set_ylim(bottom=0)
    round_the_circle(axes)
