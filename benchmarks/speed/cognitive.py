"""The cognitive battery: ms per batch of 128 trials, and steps per second beside NeuroGym's same tasks.

    python -m benchmarks.speed.cognitive [--neurogym /path/to/python] [--num-envs 64] [--seconds 1]

NeuroGym is not a dependency. Install it in an environment of its own and name that one's interpreter::

    python -m venv /tmp/neurogym && /tmp/neurogym/bin/pip install neurogym==2.0.0
    python -m benchmarks.speed.cognitive --neurogym /tmp/neurogym/bin/python

Its newest release also needs torch. Steps are counted in CPU time, with actions drawn beforehand; NeuroGym's
environment is as its own `make` gives it (16 directions, steps of 100 ms), ours is `gym.make_vec`, once as
registered and once in the ring dialect with noise, which is the nearer of the two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np

import plastic_envs

BATCH = 128
TARGET_MS, TARGET_RATIO = 2.0, 20.0
PUBLISHED_RATES = (22_000, 125_000)  # of NeuroGym on one core, where it is not there to be measured
NEUROGYM = {
    "fdgo": "go", "reactgo": "rtgo", "delaygo": "dlygo", "fdanti": "anti", "reactanti": "rtanti",
    "delayanti": "dlyanti", "dm1": "dm1", "contextdm1": "ctxdm1", "multidm": "multidm", "delaydm1": "dlydm1",
    "contextdelaydm1": "ctxdlydm1", "multidelaydm": "multidlydm", "dmsgo": "dms", "dmsnogo": "dnms",
    "dmcgo": "dmc", "dmcnogo": "dnmc",
}  # fmt: skip

_MEASURE_NEUROGYM = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import neurogym
rates = {}
for name in sys.argv[2:]:
    env = neurogym.make(f"yang19.{name}-v0")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [int(env.action_space.sample()) for _ in range(500)]
    for action in actions:
        env.step(action)
    start, done = time.process_time(), 0
    while time.process_time() - start < float(sys.argv[1]):
        for action in actions:
            env.step(action)
        done += 500
    rates[name] = done / (time.process_time() - start)
print(json.dumps(rates))
"""


def ms_per_batch(task: plastic_envs.Task, repeats: int) -> float:
    """Mean CPU time of a random batch, in ms."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        task.sample(rng, BATCH)
    start = time.process_time()
    for _ in range(repeats):
        task.sample(rng, BATCH)
    return 1000.0 * (time.process_time() - start) / repeats


def steps_per_second(env_id: str, num_envs: int, seconds: float, **kwargs: Any) -> float:
    """Steps (all environments together) per CPU second of `gym.make_vec`."""
    envs = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(64)]
    # Out of step with each other, as they soon are, and past the first refill.
    for i in range(300):
        envs.step(actions[i % 64])
    start, done = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        for i in range(64):
            envs.step(actions[i])
        done += 64
    envs.close()
    return done * num_envs / spent


def neurogym_rates(python: str, seconds: float) -> dict[str, float]:
    """Steps per CPU second of NeuroGym's tasks, by our names; empty where it cannot be imported."""
    command = [python, "-c", _MEASURE_NEUROGYM, str(seconds), *NEUROGYM.values()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"NeuroGym: {python} cannot run it ({ran.stderr.strip().splitlines()[-1]}).")
        return {}
    rates = json.loads(ran.stdout.splitlines()[-1])
    return {ours: rates[theirs] for ours, theirs in NEUROGYM.items()}


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--neurogym", default=sys.executable, help="interpreter that can import neurogym")
    parser.add_argument("--num-envs", type=int, default=64, help="environments side by side")
    parser.add_argument("--repeats", type=int, default=20, help="batches per measurement")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds per measurement of steps")
    args = parser.parse_args()

    print(f"ms of CPU per random batch of {BATCH} trials (compact: at most {TARGET_MS:.0f})")
    names = [env_id for env_id in plastic_envs.ENVIRONMENTS if env_id.startswith("Cognitive-")]
    for env_id in names:
        if not env_id.endswith("-vector-v0") or "everything" in env_id:
            task = plastic_envs.make_task(env_id)
            print(f"{env_id:>36} {ms_per_batch(task, args.repeats):7.2f}", flush=True)
    ring = plastic_envs.make_task("Cognitive-everything-v0", tasks="all", dialect="ring", fixate_off=False)
    print(f"{'all 20, ring, noise':>36} {ms_per_batch(ring, args.repeats):7.2f}\n")

    theirs = neurogym_rates(args.neurogym, args.seconds)
    low, high = PUBLISHED_RATES
    if not theirs:
        print(f"Ratios are to its published rates, {low} to {high} steps/s.")
    print(f"steps per CPU second, {args.num_envs} environments (wanted: {TARGET_RATIO:.0f} times NeuroGym's)")
    print(f"{'task':>16} {'ours':>10} {'ours, ring':>11} {'NeuroGym':>10} {'ratio':>7} {'ring':>6}")
    for name in NEUROGYM:
        env_id = f"Cognitive-{name}-v0"
        own = steps_per_second(env_id, args.num_envs, args.seconds)
        as_ring = steps_per_second(env_id, args.num_envs, args.seconds, dialect="ring")
        rate = theirs.get(name, float(high))
        print(
            f"{name:>16} {own:10.0f} {as_ring:11.0f} {rate:10.0f} {own / rate:7.1f} {as_ring / rate:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
