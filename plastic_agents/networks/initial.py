"""Initialisations of a weight matrix, by name."""

from __future__ import annotations

import math

import torch
from torch import nn

INITIALISATIONS = (
    "xavier", "gaussian", "two-peak", "log-normal", "sparse-xavier", "sparse-gaussian", "one-hot", "identity",
    "noisy-identity", "orthogonal",
)  # fmt: skip
"""Names that `initialise` knows; it says what they are."""

_KEPT = 0.1  # share of a sparse matrix's entries that are not 0
_PEAK = 0.9  # where the two peaks lie, in standard deviations of the whole


@torch.no_grad()
def initialise(weight: torch.Tensor, how: str = "xavier", scale: float = 1.0) -> torch.Tensor:
    """Draw a matrix in place, from torch's global generator.

    * "xavier": uniform between -+ sqrt(6 / (N + E)).
    * "gaussian": standard deviation 1 / sqrt(E).
    * "two-peak": a Gaussian around each of -+ 0.9 / sqrt(E); variance 1 / E in all.
    * "log-normal": sizes are the exponential of a standard normal number, signs are random; mean square 1 /
      E.
    * "sparse-xavier", "sparse-gaussian": a tenth of the entries, drawn one by one, the others 0; the variance
      is that of the full matrix.
    * "one-hot": each row is a 1 at a place of its own, drawn as a permutation (repeated where there are more
      rows than columns).
    * "identity", "noisy-identity": ones on the diagonal; plus Gaussian noise of standard deviation 1e-3.
    * "orthogonal": rows (or columns, the fewer of them) of length 1 and at right angles.

    Args:
        weight: (N, E), to be filled.
        how: A name in `INITIALISATIONS`.
        scale: Factor on all entries.

    Returns:
        The same tensor.

    Raises:
        ValueError: On an unknown name.
    """
    rows, columns = weight.shape
    spread = columns**-0.5
    if how.startswith("sparse-") and how in INITIALISATIONS:
        initialise(weight, how.removeprefix("sparse-"))
        weight.mul_((torch.rand_like(weight) < _KEPT) * _KEPT**-0.5)
    elif how == "xavier":
        nn.init.xavier_uniform_(weight)
    elif how == "gaussian":
        weight.normal_(0.0, spread)
    elif how == "two-peak":
        signs = torch.where(torch.rand_like(weight) < 0.5, -1.0, 1.0)
        weight.normal_(0.0, math.sqrt(1.0 - _PEAK**2) * spread).add_(signs, alpha=_PEAK * spread)
    elif how == "log-normal":
        signs = torch.where(torch.rand_like(weight) < 0.5, -1.0, 1.0)
        weight.normal_().exp_().mul_(signs).mul_(spread / math.e)  # the square of such a number has mean e^2
    elif how == "one-hot":
        places = torch.cat([torch.randperm(columns) for _ in range(-(-rows // columns))])[:rows]
        weight.zero_().scatter_(1, places.to(weight.device).unsqueeze(1), 1.0)
    elif how in ("identity", "noisy-identity"):
        nn.init.eye_(weight)
        if how == "noisy-identity":
            weight.add_(torch.randn_like(weight), alpha=1e-3)
    elif how == "orthogonal":
        nn.init.orthogonal_(weight)
    else:
        raise ValueError(f"initialisation {how!r}: expected one of {INITIALISATIONS}.")
    return weight.mul_(scale)


@torch.no_grad()
def initialise_vector(vector: torch.Tensor) -> torch.Tensor:
    """Fill a vector with Gaussian numbers of standard deviation 1 / sqrt(length), in place."""
    return vector.normal_(0.0, vector.numel() ** -0.5)
