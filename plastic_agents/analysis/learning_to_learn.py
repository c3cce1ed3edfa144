"""Trials to criterion, problem after problem: exponential fit, moving means and blocks.

Source: Goudar, Peysakhovich, Freedman, Buffalo & Wang, Nature Neuroscience 26 (2023), fig. 1 and released
analysis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BLOCK = 50  # problems
_START, _END = 30, 31  # counts that the start of the fit is taken from
_TAU_START, _TAU_BOUNDS = 50.0, (5.0, 200.0)
_SCALE_OF_LAST_RESORT = 100.0


class LearningCurve(NamedTuple):
    """scale exp(-x / time_constant) + asymptote, at x = 0 for problem 2.

    Attributes:
        scale: Trials.
        time_constant: Problems.
        asymptote: Trials.
    """

    scale: float
    time_constant: float
    asymptote: float

    def at(self, x: FloatArray) -> FloatArray:
        """The curve at problems x + 2."""
        return np.asarray(self.scale * np.exp(-x / self.time_constant) + self.asymptote)


def fit_learning_curve(counts: FloatArray) -> LearningCurve:
    """Least-squares fit with the published bounds and start.

    Start: asymptote, the mean of the last 31 counts; scale, the mean of the first 30 less that (100 if that
    is not positive); time constant, 50. Bounds: up to twice the start for scale and asymptote, 5 to 200
    problems. Failures (NaN) are left out.

    Args:
        counts: Trials to criterion of problems 2, 3, ..., (P,).

    Raises:
        ValueError: If fewer than 4 are finite.
    """
    from scipy.optimize import curve_fit  # slow to import, and used here only

    finite = np.isfinite(counts)
    if finite.sum() < 4:
        raise ValueError(f"{int(finite.sum())} finite counts: a curve of three numbers needs at least 4.")
    x, y = np.flatnonzero(finite).astype(float), counts[finite]
    asymptote = float(y[-_END:].mean())
    scale = float(y[:_START].mean()) - asymptote
    if scale <= 0:
        scale = _SCALE_OF_LAST_RESORT
    highest = (2.0 * scale, _TAU_BOUNDS[1], 2.0 * max(asymptote, 1e-9))
    values, _ = curve_fit(
        lambda x, a, tau, c: a * np.exp(-x / tau) + c, x, y,
        p0=(scale, _TAU_START, asymptote), bounds=((0.0, _TAU_BOUNDS[0], 0.0), highest),
    )  # fmt: skip
    return LearningCurve(*(float(value) for value in values))


def moving_mean(counts: FloatArray, window: int = 30) -> FloatArray:
    """Mean of the last `window` counts, (P - window + 1,); failures (NaN) are left out of it.

    Args:
        counts: (P,).
        window: Problems.
    """
    windows = np.lib.stride_tricks.sliding_window_view(counts, window)
    return np.asarray(np.nanmean(windows, axis=-1))


def block_means(counts: FloatArray, size: int = BLOCK) -> FloatArray:
    """Mean of each whole block of `size` counts, (P // size,); failures (NaN) are left out of it."""
    whole = len(counts) // size * size
    return np.asarray(np.nanmean(counts[:whole].reshape(-1, size), axis=1))
