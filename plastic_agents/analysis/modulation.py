"""Dependence of a network's own modulator on the outcome of a trial.

Source: Miconi & Kay, Nature Neuroscience 28, 2025. Flipping the signs of the modulator's gain and of the
plasticity coefficients together changes nothing, so signs are fixed here by one convention: negative at the
delay step after errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class ModulatorByOutcome(NamedTuple):
    """The modulator at the feedback and the delay step, after right and wrong answers.

    Attributes:
        right: (K, 2), feedback and delay step of trials answered rightly.
        wrong: (L, 2), of the others.
        effect: Probability that the modulator is larger after a right answer than after a wrong one (ties
            count half), at the two steps, (2,); NaN where one of the outcomes never came.
        p: Of that effect, by a two-sided Mann-Whitney test, (2,).
        sign: 1 or -1, the factor that the network's modulator was multiplied with.
    """

    right: Floats
    wrong: Floats
    effect: Floats
    p: Floats
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
    from scipy.stats import mannwhitneyu  # slow to import

    right, wrong = (modulator[np.asarray(correct, dtype=bool) == outcome] for outcome in (True, False))
    sign = -1.0 if fixes_sign and len(wrong) and wrong[:, 1].mean() > 0 else 1.0
    right, wrong = (sign * values.astype(np.float64) for values in (right, wrong))
    effect = p = np.full(2, np.nan)
    if len(right) and len(wrong):
        test = mannwhitneyu(right, wrong, method="asymptotic", axis=0)
        effect, p = test.statistic / (len(right) * len(wrong)), test.pvalue
    return ModulatorByOutcome(right, wrong, effect, p, sign)
