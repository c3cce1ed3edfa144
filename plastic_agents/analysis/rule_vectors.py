"""Geometry of rules: a new rule's input weights as a sum of others, and modulation of input channels.

Source: MultiTaskMPN (Allen Institute), transfer by one new column of W_in; arithmetic of rules after Yang,
Joglekar, Song, Newsome & Wang, Nature Neuroscience 22 (2019), fig. 6.

Letters for shapes: E embedding units, N hidden units, R rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.recoding import cosines

Floats = npt.NDArray[np.float64]


class RuleDecomposition(NamedTuple):
    """A rule vector as a sum of others.

    Attributes:
        cosines: With each of the others, (R,).
        coefficients: Of the least-squares sum, (R,).
        residual: The vector less the sum, (E,), at right angles to all of them.
        explained: Share of the vector's squared length that the sum has. By chance about R / E.
    """

    cosines: Floats
    coefficients: Floats
    residual: Floats
    explained: float


def rule_cosines(rules: npt.NDArray[Any]) -> Floats:
    """Cosines between rule vectors, the columns of W_in (E, R), (R, R)."""
    return cosines(rules.T[:, None], rules.T[None])


def decompose_rule(new: npt.NDArray[Any], others: npt.NDArray[Any]) -> RuleDecomposition:
    """Decompose a new rule's column of W_in (E,) into the pretrained ones (E, R).

    Raises:
        ValueError: If there are as many rules as units, so that any vector is their sum.
    """
    if others.ndim != 2 or others.shape[0] <= others.shape[1] or new.shape != others.shape[:1]:
        raise ValueError(
            f"a rule of shape {new.shape} and others of {others.shape}: expected (E,) and (E, R), "
            "more units than rules."
        )
    new, others = new.astype(np.float64), others.astype(np.float64)
    coefficients = np.linalg.lstsq(others, new, rcond=None)[0]
    residual = new - others @ coefficients
    size = float(new @ new)
    explained = 1.0 - float(residual @ residual) / size if size > 0 else float("nan")
    return RuleDecomposition(cosines(new, others.T), coefficients, residual, explained)


def channel_modulation(modulation: npt.NDArray[Any], embedding: npt.NDArray[Any]) -> Floats:
    """||M W_in[:, c]||: how much the modulation changes what an input channel does, (..., channels).

    Args:
        modulation: M, (..., N, E).
        embedding: W_in, (E, channels).
    """
    return np.asarray(np.linalg.norm(modulation @ embedding, axis=-2), dtype=np.float64)
