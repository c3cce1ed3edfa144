"""Statistics that several analyses need: correlation, lines, rank test, components, streamed linear decoding.

Linear algebra goes through torch, which keeps to the number of threads that a run has set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

__all__ = [
    "Components",
    "Line",
    "LinearDecoding",
    "RankTest",
    "RunningMoments",
    "fit_line",
    "mann_whitney",
    "pearson",
    "principal_components",
]

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]


def pearson(a: Numbers, b: Numbers) -> Floats:
    """Pearson correlation along the last axis, the others broadcast; NaN where one of the two does not vary.

    Args:
        a: (..., n).
        b: (..., n).
    """
    centred = [x.astype(np.float64) - x.mean(-1, keepdims=True, dtype=np.float64) for x in (a, b)]
    covariance = (centred[0] * centred[1]).sum(-1)
    size = np.sqrt((centred[0] ** 2).sum(-1) * (centred[1] ** 2).sum(-1))
    return np.asarray(np.divide(covariance, size, out=np.full(covariance.shape, np.nan), where=size > 0))


class Line(NamedTuple):
    """A least-squares line y = intercept + slope x.

    Attributes:
        slope: Of the line.
        intercept: 0 where the line was to go through the origin.
        r: Pearson correlation of x and y, whatever the line.
        p: Two-sided, of no slope, by Student's t with as many degrees of freedom as the line leaves. It takes
            the points for independent.
        num_points: Points without a NaN.
    """

    slope: float
    intercept: float
    r: float
    p: float
    num_points: int


def fit_line(x: Numbers, y: Numbers, through_origin: bool = False) -> Line:
    """Least-squares line through points (n,); those with a NaN are left out.

    Raises:
        ValueError: If fewer than 3 points remain, or x does not vary.
    """
    from scipy.special import stdtr  # slow to import, and used here only

    known = ~(np.isnan(x) | np.isnan(y))
    x, y = (np.asarray(v, dtype=np.float64)[known] for v in (x, y))
    n = len(x)
    about = 0.0 if through_origin else float(x.mean()) if n else 0.0
    size = float(((x - about) ** 2).sum())
    if n < 3 or size == 0:
        raise ValueError(f"{n} points: expected at least 3, at more than one place.")
    slope = float(((x - about) * y).sum()) / size
    intercept = 0.0 if through_origin else float(y.mean()) - slope * about
    free = n - (1 if through_origin else 2)
    error = math.sqrt(float(((y - intercept - slope * x) ** 2).sum()) / free / size)
    p = 2 * float(stdtr(free, -abs(slope) / error)) if error > 0 else 0.0 if slope else 1.0
    return Line(slope, intercept, float(pearson(x, y)), p, n)


class RankTest(NamedTuple):
    """A Mann-Whitney test.

    Attributes:
        u: Pairs (x of the first sample, y of the second) with x > y; ties count half.
        effect: u as a share of all pairs: chance that an x is larger than a y. 0.5 if the samples are alike.
        p: Two-sided, by the normal approximation, corrected for ties and continuity. For samples of some 20
            or more.
    """

    u: float
    effect: float
    p: float


def mann_whitney(first: Numbers, second: Numbers) -> RankTest:
    """Test whether values of one sample (K,) tend to be larger than those of another (L,).

    Raises:
        ValueError: If one of them is empty.
    """
    k, m = len(first), len(second)
    if not k or not m:
        raise ValueError(f"samples of {k} and {m} values: expected at least one in each.")
    _, place, counts = np.unique(np.concatenate((first, second)), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # tied values share the mean of their ranks
    u = float(ranks[:k].sum()) - k * (k + 1) / 2
    total = k + m
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    variance = k * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:  # all values are equal
        return RankTest(u, u / (k * m), 1.0)
    z = max(abs(u - k * m / 2) - 0.5, 0.0) / math.sqrt(variance)
    return RankTest(u, u / (k * m), math.erfc(z / math.sqrt(2)))


class Components(NamedTuple):
    """Principal components, the largest first.

    Attributes:
        axes: (k, n), of length 1. Their signs are arbitrary.
        scores: (K, k), the samples along them.
        shares: (k,), of the variance.
    """

    axes: Floats
    scores: Floats
    shares: Floats


def principal_components(samples: Numbers, count: int = 2) -> Components:
    """The `count` largest principal components of samples (K, n)."""
    centred = samples.astype(np.float64) - samples.mean(0, dtype=np.float64)
    _, sizes, axes = (
        part.numpy() for part in torch.linalg.svd(torch.as_tensor(centred), full_matrices=False)
    )
    shares = sizes**2 / max(float((sizes**2).sum()), np.finfo(np.float64).tiny)
    return Components(axes[:count], centred @ axes[:count].T, shares[:count])


@dataclass
class RunningMoments:
    """Mean and standard deviation of arrays that come one batch at a time and are not kept.

    Attributes:
        count: Arrays so far.
        total: Their sum.
        squares: The sum of their squares.
    """

    count: int = 0
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, values: Numbers) -> None:
        """Add a batch (B, ...)."""
        exact = values.astype(np.float64)
        self.count += len(exact)
        self.total = self.total + exact.sum(0)
        self.squares = self.squares + (exact**2).sum(0)

    @property
    def mean(self) -> Floats:
        """Mean over all arrays."""
        return np.asarray(self.total / self.count)

    @property
    def deviation(self) -> Floats:
        """Standard deviation over all arrays (divided by their number)."""
        return np.asarray(np.sqrt(np.maximum(self.squares / self.count - self.mean**2, 0.0)))


@dataclass
class LinearDecoding:
    """Linear regression, many times side by side, on samples that come in batches and are not kept.

    `add` training samples, then `score` others. M regressions share their samples' numbers but have inputs
    and targets of their own (one per time step, say); n inputs, k targets each.

    Attributes:
        ridge: Added to the inputs' variances, as a share of their mean; keeps silent inputs harmless.
    """

    ridge: float = 1e-6
    _products: Any = field(default=0.0, repr=False)
    _crossed: Any = field(default=0.0, repr=False)

    def add(self, inputs: Numbers, targets: Numbers) -> None:
        """Add training samples: inputs (M, B, n), targets (M, B, k)."""
        extended = _with_constant(inputs)
        self._products = self._products + extended.mT @ extended
        self._crossed = self._crossed + extended.mT @ torch.as_tensor(targets, dtype=torch.float64)

    def predict(self, inputs: Numbers) -> Floats:
        """Predictions (M, B, k) for inputs (M, B, n).

        Raises:
            ValueError: If nothing was added.
        """
        if not isinstance(self._products, torch.Tensor):
            raise ValueError("no training samples; call add() first.")
        penalty = self.ridge * self._products.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
        penalty = penalty.clamp_min(1e-12).repeat(1, self._products.shape[-1])
        penalty[:, -1] = 0.0  # the constant is free
        weights = torch.linalg.solve(self._products + torch.diag_embed(penalty), self._crossed)
        return np.asarray((_with_constant(inputs) @ weights).numpy())

    def score(self, inputs: Numbers, targets: Numbers) -> Floats:
        """Correlation (M, k) of prediction and target over held-out samples; NaN where one does not vary."""
        return pearson(self.predict(inputs).transpose(0, 2, 1), targets.transpose(0, 2, 1))


def _with_constant(inputs: Numbers) -> torch.Tensor:
    exact = torch.as_tensor(inputs, dtype=torch.float64)
    return torch.cat((exact, exact.new_ones(*exact.shape[:-1], 1)), dim=-1)
