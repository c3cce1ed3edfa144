"""Variance of each unit's or synapse's state over stimuli, in each period of each task.

For task-period r = (task, epoch) and unit n, with mu[k, t, n] the mean state at step t over the trials whose
first stimulus points in direction k:

    V[r, n] = variance of mu[k, t, n] over directions k and steps t pooled

`TaskVariance` computes it while a network runs, in memory that grows with neither trials nor steps, so that
the N E synapses of M are no more than many units.

Letters for shapes: B trials, K directions, T steps, R task-periods, n units (embedding, hidden or N E).

Source: MultiTaskMPN (Allen Institute), normalised task-period variance of a multi-plasticity network; the
variance across conditions and the fractional variance: Yang, Joglekar, Song, Newsome & Wang, Nature
Neuroscience 22 (2019), figs 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[Any]

PROBED_EPOCHS = ("stim1", "stim2", "delay1", "delay2", "go1")


class TaskPeriod(NamedTuple):
    """One row of the variance: an epoch of a task."""

    task: str
    epoch: str

    def __str__(self) -> str:
        return f"{self.task} {self.epoch}"


def task_periods(epochs: Mapping[str, Sequence[str]]) -> list[TaskPeriod]:
    """The rows, task by task: every epoch that a task has, fixation left out.

    Args:
        epochs: Names of each task's epochs. The 15 tasks of the compact battery make 49 rows.
    """
    return [TaskPeriod(task, e) for task, names in epochs.items() for e in PROBED_EPOCHS if e in names]


def condition_means(states: Numbers, bins: Integers, num_bins: int = 8) -> Floats:
    """Mean state of the trials of each bin, (K, ...); NaN for a bin without trials.

    Args:
        states: (B, ...).
        bins: Each trial's bin, (B,); trials with a negative one are left out.
        num_bins: K.
    """
    member, counts = _membership(bins, num_bins)
    flat = np.asarray(states).reshape(len(states), -1)
    flat = flat if flat.dtype.kind == "f" else flat.astype(np.float64)
    sums = (member.astype(flat.dtype) @ flat).astype(np.float64)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts[:, None], out=means, where=counts[:, None] > 0)
    return means.reshape(num_bins, *np.shape(states)[1:])


class TaskVariance:
    """Variance of condition means by task-period, from states that come one step at a time and are not kept.

    Every `add` must bring all trials of a task at one step (50 in the published analysis), which makes
    mu[:, t] final at once.

    Args:
        num_rows: R.
        num_units: n.
        num_bins: K, conditions: 8 directions.
    """

    def __init__(self, num_rows: int, num_units: int, num_bins: int = 8) -> None:
        self.num_bins = num_bins
        self._counts = np.zeros(num_rows)
        self._mean = np.zeros((num_rows, num_units))
        self._scatter = np.zeros((num_rows, num_units))  # sum of squares about the mean so far

    def add(self, row: int, states: Numbers, bins: Integers) -> None:
        """Add all trials of one task at one step of a task-period.

        Args:
            row: r.
            states: (B, ...), any shape of n entries per trial.
            bins: Each trial's condition, (B,); trials with a negative one are left out.

        Raises:
            ValueError: If the number of units is not n.
        """
        mu = condition_means(states, bins, self.num_bins).reshape(self.num_bins, -1)
        if mu.shape[1] != self._mean.shape[1]:
            raise ValueError(
                f"states of {mu.shape[1]} units: expected {self._mean.shape[1]}, as at construction."
            )
        mu = mu[~np.isnan(mu[:, 0])]  # a bin without trials says nothing
        if not len(mu):
            return
        here = mu.mean(0)
        mu -= here
        scatter = np.einsum("kn,kn->n", mu, mu)
        # Chan, Golub & LeVeque's merging of two sets' moments: no cancellation, whatever the mean's size.
        before = self._counts[row]
        total = before + len(mu)
        shift = here - self._mean[row]
        self._scatter[row] += scatter + shift**2 * (before * len(mu) / total)
        self._mean[row] += shift * (len(mu) / total)
        self._counts[row] = total

    @property
    def pooled(self) -> Floats:
        """V, variance over conditions and steps pooled, (R, n); NaN for rows that nothing was added to."""
        return _ratio(self._scatter, self._counts)

    @property
    def means(self) -> Floats:
        """Mean over conditions and steps, (R, n)."""
        return _ratio(self._mean * self._counts[:, None], self._counts)


def normalised_variance(variance: Floats) -> Floats:
    """Each unit's variance as a share of its largest over rows, (R, n); 0 for units that never vary."""
    largest = variance.max(0)
    return np.asarray(np.divide(variance, largest, out=np.zeros_like(variance), where=largest > 0))


def modulated_variance(variance: Floats, weights: Floats) -> Floats:
    """V of the effective modulation W * M, from V of M: a synapse's weight is one factor in all its states.

    Args:
        variance: Of M, (R, N E).
        weights: W, (N, E).
    """
    return np.asarray(variance * np.square(weights).reshape(-1))


def fractional_variance(first: Floats, second: Floats) -> Floats:
    """(V1 - V2) / (V1 + V2) of each unit in two tasks, in [-1, 1]; NaN where it varies in neither, (n,)."""
    total = first + second
    return np.asarray(np.divide(first - second, total, out=np.full(total.shape, np.nan), where=total > 0))


def fractional_histogram(fractions: Floats, num_bins: int = 20) -> tuple[Floats, Floats]:
    """Shares of units (bins,) in equal bins of fractional variance on [-1, 1], and the bins' edges."""
    finite = fractions[~np.isnan(fractions)]
    counts, edges = np.histogram(finite, bins=num_bins, range=(-1.0, 1.0))
    return counts / max(len(finite), 1), edges


def _membership(bins: Integers, num_bins: int) -> tuple[Floats, Floats]:
    """One-hot (K, B) and the number of trials in each bin (K,)."""
    bins = np.asarray(bins)
    if bins.ndim != 1 or (bins.size and bins.max() >= num_bins):
        raise ValueError(
            f"bins of shape {bins.shape}, values up to {bins.max()}: expected (B,), < {num_bins}."
        )
    member = (bins[None] == np.arange(num_bins)[:, None]).astype(np.float64)
    return member, member.sum(1)


def _ratio(sums: Floats, counts: Floats) -> Floats:
    result = np.full(sums.shape, np.nan)
    return np.asarray(np.divide(sums, counts[:, None], out=result, where=counts[:, None] > 0))
