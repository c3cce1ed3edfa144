"""Angles in radians: distances and nearest directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TWO_PI = 2.0 * np.pi


def circular_distance(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Angle between directions, in [0, pi]."""
    return np.asarray(np.pi - np.abs(np.pi - np.mod(np.abs(a - b), TWO_PI)))


def evenly_spaced(number: int) -> npt.NDArray[np.float64]:
    """Directions 2 pi j / number, (number,)."""
    return np.asarray(TWO_PI * np.arange(number) / number)


def nearest_direction(theta: npt.NDArray[Any], number: int) -> npt.NDArray[np.int64]:
    """Number of the nearest of `number` directions 2 pi j / number."""
    return np.asarray(np.rint(theta * (number / TWO_PI)).astype(np.int64) % number)


def opposite(theta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The angle on the other side of the circle, in [0, 2 pi)."""
    return np.asarray(np.mod(theta + np.pi, TWO_PI))
