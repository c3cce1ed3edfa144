"""The distribution of an angle that drifts on the circle: at the start, over time, and stationary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TILES: npt.NDArray[np.float64] = np.arange(-6, 6, dtype=np.float64) * (np.pi / 6)
"""The angles (12,) that the inputs are tuned to: -pi is one of them, +pi is not, and 0 is exactly 0."""

_HARMONICS = 32  # of the density; concentrations of a few need some ten
_TABLE = 4097  # points of the inverse distribution function, on half a circle


class StimulusLaw:
    """Langevin motion on the circle, d theta = - pull sin(theta - mu) dt + speed dB, from a von Mises start.

    By symmetry the law of the angle is given by its moments c_n = E cos(n (theta - mu)), and Ito's formula
    turns the motion into linear equations for them,

        dc_n / dt = (n pull / 2) (c_{n-1} - c_{n+1}) - (n^2 speed^2 / 2) c_n,    c_0 = 1,

    which are solved exactly (up to 32 harmonics; steps are taken to be small).

    Args:
        kappa: Concentration at the start.
        mu: Mode, in radians.
        speed: Radians per square root of a time unit.
        exact: Whether the start is stationary (pull = kappa speed^2 / 2), or, as published, drawn twice as
            strongly to the mode (pull = kappa speed^2, stationary concentration 2 kappa).
        duration: Time units over which `mean_...` and `density` average.

    Attributes:
        pull: Radians per time unit.
        stationary_kappa: Concentration of the stationary law, 2 pull / speed^2.
    """

    def __init__(self, kappa: float, mu: float, speed: float, exact: bool, duration: float) -> None:
        self.kappa, self.mu, self.speed, self.duration = kappa, mu, speed, duration
        self.pull = kappa * speed**2 * (0.5 if exact else 1.0)
        self.stationary_kappa = 2.0 * self.pull / speed**2
        grid = np.linspace(0.0, np.pi, _TABLE)
        density = np.exp(kappa * (np.cos(grid) - 1.0))
        below = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
        self._grid, self._share = grid, below / below[-1]

    def draw(self, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Starting angles relative to mu, (B,) in [-pi, pi], from uniform numbers (B,) in [0, 1)."""
        centred = 2.0 * uniform - 1.0
        angles: npt.NDArray[np.float64] = np.copysign(
            np.interp(np.abs(centred), self._share, self._grid), centred
        )
        return angles

    def moments(self, time: float | None = None) -> npt.NDArray[np.float64]:
        """c_1 to c_32 at a time after the start, or their mean over the duration.

        Args:
            time: Time units since the start; None for the mean over `duration`.
        """
        n = np.arange(1, _HARMONICS + 1)
        start, end = _von_mises_moments(self.kappa), _von_mises_moments(self.stationary_kappa)
        rates = np.diag(-(n**2) * self.speed**2 / 2.0)
        rates += np.diag(n[1:] * self.pull / 2.0, -1) - np.diag(n[:-1] * self.pull / 2.0, 1)
        values, vectors = np.linalg.eig(rates)
        span = values * (self.duration if time is None else time)
        decay = np.exp(span) if time is not None else np.expm1(span) / span
        moments: npt.NDArray[np.float64] = (
            end + (vectors @ (decay * np.linalg.solve(vectors, start - end))).real
        )
        return moments

    def mean_cosine(self) -> float:
        """Mean of cos(theta - mu) over the duration."""
        return float(self.moments()[0])

    def share_of_upper_half(self) -> float:
        """Share of the duration spent in [0, pi]."""
        n = np.arange(1, _HARMONICS + 1)
        arcs = (np.sin(n * (np.pi - self.mu)) + np.sin(n * self.mu)) / n
        return float(0.5 + (self.moments() * arcs).sum() / np.pi)

    def density(self, theta: npt.NDArray[np.float64], time: float | None = None) -> npt.NDArray[np.float64]:
        """Density (...) per radian at angles (...), of the law met over the duration (or at a time)."""
        n = np.arange(1, _HARMONICS + 1)
        waves = np.cos(n * (theta[..., None] - self.mu))
        density: npt.NDArray[np.float64] = (1.0 + 2.0 * waves @ self.moments(time)) / (2.0 * np.pi)
        return density


def _von_mises_moments(kappa: float) -> npt.NDArray[np.float64]:
    """E cos(n x), n = 1 to 32, under exp(kappa cos x); the sum over equal steps converges geometrically."""
    grid = np.linspace(-np.pi, np.pi, 512, endpoint=False)
    weights = np.exp(kappa * (np.cos(grid) - 1.0))
    moments: npt.NDArray[np.float64] = (
        np.cos(np.outer(np.arange(1, _HARMONICS + 1), grid)) @ weights / weights.sum()
    )
    return moments


def wrapped(angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Angles (...) in radians, brought into (-pi, pi]."""
    turns = np.ceil((angle - np.pi) / (2 * np.pi))
    return np.minimum(angle - 2 * np.pi * turns, np.pi)
