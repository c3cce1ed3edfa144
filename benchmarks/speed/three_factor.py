"""Learning steps per second of the three-factor rule: compiled and in plain NumPy.

    python -m benchmarks.speed.three_factor [--steps 100000] [--repeats 3]

One thread, N = 40, the published constants. A learning step moves the rates, reads them out, and changes all
2160 weights and their running means. The last lines add what else a trial takes: drawing noise, and making
the stimulus.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from plastic_agents.networks.three_factor.constants import RULES, Constants
from plastic_agents.networks.three_factor.rule import (
    initial_weights,
    run_trial,
    run_trial_reference,
)
from plastic_envs import make_task
from plastic_envs.stimulus_coding.task import StimulusCoding

UNITS = 40
REFERENCE_STEPS = 5000  # of plain NumPy
PUBLISHED_STEPS = 26_000_000  # 260 trials of 100 000


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The least CPU time of a call, in seconds."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000, help="steps of a trial (default 100 000)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats, of which the fastest counts (default 3)"
    )
    args = parser.parse_args()
    task = make_task("StimulusCoding-estimation-v0", num_steps=args.steps)
    assert isinstance(task, StimulusCoding)
    rng = np.random.default_rng(0)
    episodes = task.sample(rng, 1)
    inputs, targets = (a[:, 0].astype(np.float64) for a in (episodes.observations, episodes.targets))
    noise = rng.standard_normal((args.steps, UNITS))
    rates = np.full(UNITS, 0.1)
    print(f"{'':>22} {'steps/s':>10} {'s per 26 M steps':>17}")

    def show(name: str, steps: int, spent: float) -> None:
        print(f"{name:>22} {steps / spent:10.0f} {PUBLISHED_STEPS * spent / steps:17.0f}", flush=True)

    totals = {}
    for rule in RULES:
        constants = Constants.published("squared_error", rule)._replace(quiet_steps=0)
        weights = initial_weights(rng, inputs.shape[1], UNITS, targets.shape[1])
        run_trial(weights, rates, inputs[:10], targets[:10], noise[:10], constants)  # compiles
        totals[rule] = seconds(
            lambda w=weights, c=constants: run_trial(w, rates, inputs, targets, noise, c, record_every=100),  # type: ignore[misc]
            args.repeats,
        )
        show(rule, args.steps, totals[rule])
    constants = Constants.published("squared_error")._replace(quiet_steps=0)
    weights = initial_weights(rng, inputs.shape[1], UNITS, targets.shape[1])
    few = min(REFERENCE_STEPS, args.steps)
    plain = seconds(
        lambda: run_trial_reference(weights, rates, inputs[:few], targets[:few], noise[:few], constants),
        args.repeats,
    )
    show("plain NumPy", few, plain)
    drawing = seconds(lambda: rng.standard_normal((args.steps, UNITS)), args.repeats)
    making = seconds(lambda: task.sample(rng, 1), args.repeats)
    show("noise", args.steps, drawing)
    show("stimulus", args.steps, making)
    show("three-factor, in all", args.steps, totals["three-factor"] + drawing + making)
    print(f"compiled / plain: {few and plain / few / (totals['three-factor'] / args.steps):.1f}")


if __name__ == "__main__":
    main()
