"""Statistics that several analyses need: correlation of batches, lines, streamed moments and linear decoding.

Linear algebra goes through torch, which keeps to the number of threads that a run has set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]


def pearson(a: Numbers, b: Numbers) -> Floats:
    """Pearson correlation along the last axis, the others broadcast; NaN where one of the two does not vary.

    Args:
        a: (..., n).
        b: (..., n).
    """
    deviations = [x.astype(np.float64) - x.mean(-1, keepdims=True, dtype=np.float64) for x in (a, b)]
    covariance = (deviations[0] * deviations[1]).sum(-1)
    size = np.sqrt((deviations[0] ** 2).sum(-1) * (deviations[1] ** 2).sum(-1))
    return np.asarray(np.divide(covariance, size, out=np.full(covariance.shape, np.nan), where=size > 0))


class Line(NamedTuple):
    """Least-squares line y = intercept + slope x.

    Attributes:
        slope: Slope of the line.
        intercept: Intercept of the line.
        r: Pearson correlation of x and y; NaN where y does not vary.
        p: Two-sided, of no slope, by Student's t, for independent points.
        num_points: Points without a NaN.
    """

    slope: float
    intercept: float
    r: float
    p: float
    num_points: int


def fit_line(x: Numbers, y: Numbers) -> Line:
    """Least-squares line through points (n,); those with a NaN are left out.

    Raises:
        ValueError: If fewer than 3 points remain, or x does not vary.
    """
    from scipy.stats import linregress  # slow to import

    finite = ~(np.isnan(x) | np.isnan(y))
    x, y = (np.asarray(v, dtype=np.float64)[finite] for v in (x, y))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"{len(x)} points: expected at least 3, at more than one place.")
    fit = linregress(x, y)
    return Line(float(fit.slope), float(fit.intercept), float(pearson(x, y)), float(fit.pvalue), len(x))


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
    _covariances: Any = field(default=0.0, repr=False)

    def add(self, inputs: Numbers, targets: Numbers) -> None:
        """Add training samples: inputs (M, B, n), targets (M, B, k)."""
        columns = _with_constant(inputs)
        self._products = self._products + columns.mT @ columns
        self._covariances = self._covariances + columns.mT @ torch.as_tensor(
            targets, dtype=torch.float64, device="cpu"
        )

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
        weights = torch.linalg.solve(self._products + torch.diag_embed(penalty), self._covariances)
        return np.asarray((_with_constant(inputs) @ weights).numpy())

    def score(self, inputs: Numbers, targets: Numbers) -> Floats:
        """Correlation (M, k) of prediction and target over held-out samples; NaN where one does not vary."""
        return pearson(self.predict(inputs).transpose(0, 2, 1), targets.transpose(0, 2, 1))


def _with_constant(inputs: Numbers) -> torch.Tensor:
    exact = torch.as_tensor(inputs, dtype=torch.float64, device="cpu")
    return torch.cat((exact, exact.new_ones(*exact.shape[:-1], 1)), dim=-1)
