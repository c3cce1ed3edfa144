"""What a self-made modulator says about the outcome of a trial.

Source: Miconi & Kay, Nature Neuroscience 28, 2025. Flipping the signs of the modulator's gain and of the
plasticity coefficients together changes nothing, so signs are fixed here by one convention: negative at the
delay step after errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.statistics import RankTest, mann_whitney

__all__ = ["ModulatorByOutcome", "modulator_by_outcome"]

Floats = npt.NDArray[np.float64]


class ModulatorByOutcome(NamedTuple):
    """The modulator at the feedback and the delay step, after right and wrong answers.

    Attributes:
        right: (K, 2), feedback and delay step of trials answered rightly.
        wrong: (L, 2), of the others.
        tests: Right against wrong, at the feedback and at the delay step; None where one of the two never
            came.
        sign: What the network's own modulator was multiplied with.
    """

    right: Floats
    wrong: Floats
    tests: tuple[RankTest, RankTest] | None
    sign: float


def modulator_by_outcome(
    modulator: npt.NDArray[Any], correct: npt.NDArray[Any], fixes_sign: bool = True
) -> ModulatorByOutcome:
    """Sort the modulator of one trial of many episodes by outcome.

    Args:
        modulator: (B, 2), at the feedback and at the delay step.
        correct: (B,), whether the answer was right.
        fixes_sign: Turn the sign so that the mean at the delay step after errors is negative.
    """
    right, wrong = (modulator[np.asarray(correct, dtype=bool) == outcome] for outcome in (True, False))
    sign = -1.0 if fixes_sign and len(wrong) and wrong[:, 1].mean() > 0 else 1.0
    right, wrong = (sign * values.astype(np.float64) for values in (right, wrong))
    tests = None
    if len(right) and len(wrong):
        tests = mann_whitney(right[:, 0], wrong[:, 0]), mann_whitney(right[:, 1], wrong[:, 1])
    return ModulatorByOutcome(right, wrong, tests, sign)
