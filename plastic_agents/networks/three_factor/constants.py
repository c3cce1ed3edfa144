"""Numbers of the noisy rate network and of its rules, for their plain and their compiled form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["COACTIVATION", "FROZEN", "GRADIENT", "NOISE", "RULES", "Constants", "FloatArray"]

FloatArray = npt.NDArray[np.float64]

RULES = ("three-factor", "decoder-only", "reward-independent", "node-perturbation", "exact-gradient")
FROZEN, COACTIVATION, NOISE, GRADIENT = range(4)
_ELIGIBILITY = {
    "three-factor": COACTIVATION,
    "decoder-only": FROZEN,
    "reward-independent": COACTIVATION,
    "node-perturbation": NOISE,
    "exact-gradient": GRADIENT,
}


class Constants(NamedTuple):
    """Numbers of the network and of its plasticity; times in units of the neurons' time constant.

    Attributes:
        dt: Time step.
        sigma: Noise of the rates, per square root of a time unit.
        alpha: Shift of the firing-rate curve.
        beta: Its height.
        gamma: Its steepness.
        least_rate: Rates are clipped from below here.
        largest_rate: And from above here.
        gain: 0: the output is D r, the reward minus the squared error. Above: the output is 1 / (1 +
            exp(-gain D r)), the reward the log likelihood of the target.
        least_probability: Such outputs are clipped to [this, 1 - this] in the reward.
        eligibility: 0 only the decoder learns, 1 coactivation less its mean, 2 filtered noise, 3 the pathwise
            gradient.
        mean_rate: Share of the running means that is renewed per step, theta = 3 dt / 20.
        trace_time: Time constant of eligibility 2.
        window: Steps that eligibility 3 goes back over.
        quiet_steps: Nothing is learned in the first so many steps of a trial.
        rate: eta of W, U and b.
        decoder_rate: eta of D.
        decay_recurrent: lambda of W.
        decay_input: lambda of U.
        decay_bias: lambda of b.
        decay_decoder: lambda of D.
        cost_l1: lambda_1 of the metabolic cost lambda_1 sum |r| + lambda_2 sum r^2 in the reward that is
            learned from.
        cost_l2: lambda_2.
        baseline: 1: the reward's running mean is subtracted from it, 0: not.
        constant_reward: Stands in for the reward in the rule, unless it is NaN.
    """

    dt: float = 0.01
    sigma: float = 0.2
    alpha: float = 0.0
    beta: float = 1.0 / 30.0
    gamma: float = 30.0
    least_rate: float = 0.001
    largest_rate: float = 100.0
    gain: float = 0.0
    least_probability: float = 1e-4
    eligibility: int = COACTIVATION
    mean_rate: float = 0.0015
    trace_time: float = 1.0
    window: int = 1000
    quiet_steps: int = 4000
    rate: float = 5e-4
    decoder_rate: float = 5e-4
    decay_recurrent: float = 8e-4
    decay_input: float = 4.8e-3
    decay_bias: float = 4.8e-3
    decay_decoder: float = 8e-4
    cost_l1: float = 0.0
    cost_l2: float = 0.0
    baseline: int = 0
    constant_reward: float = math.nan

    @classmethod
    def published(cls, objective: str, rule: str = "three-factor", dt: float = 0.01) -> Constants:
        """The published constants.

        Args:
            objective: "squared_error" (estimation) or "log_likelihood" (classification).
            rule: Name in `RULES`; "reward-independent" puts -0.1, a trained network's reward, in the reward's
                place.
            dt: Time step.

        Raises:
            ValueError: If a name is not known.
        """
        if rule not in RULES:
            raise ValueError(f"rule={rule!r}: expected one of {RULES}.")
        own: dict[str, dict[str, Any]] = {
            "squared_error": {},
            "log_likelihood": {
                "gain": 100.0,
                "rate": 1e-4,
                "decoder_rate": 1e-6,
                "decay_recurrent": 1.875e-3,
                "decay_bias": 0.05,
                "decay_input": 0.0625,
                "decay_decoder": 1.875e-3,
            },
        }
        if objective not in own:
            raise ValueError(f"objective={objective!r}: expected one of {tuple(own)}.")
        return cls()._replace(
            dt=dt,
            mean_rate=3 * dt / 20,
            quiet_steps=round(40 / dt),
            window=round(10 / dt),
            eligibility=_ELIGIBILITY[rule],
            constant_reward=-0.1 if rule == "reward-independent" else math.nan,
            **own[objective],
        )
