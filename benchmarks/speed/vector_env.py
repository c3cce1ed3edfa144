"""Walk steps per second of `gym.make_vec`, beside `SyncVectorEnv` of the same environment.

    python -m benchmarks.speed.vector_env [--env PlasticGraph-disjoint-v0] [--num-envs 256] [--seconds 3]

Actions are drawn beforehand, so what is timed is `envs.step` alone, resets and the drawing of graphs
included. A walk step is one move of the walker; in the interleaved mode it takes two steps of the environment
(predict it, see it completed).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np

import plastic_envs


def steps_per_second(
    env_id: str, num_envs: int, seconds: float, vectorization_mode: str, **kwargs: Any
) -> float:
    """Environment steps (all environments together) per CPU second, over at least one whole episode."""
    envs = gym.make_vec(env_id, num_envs, vectorization_mode=vectorization_mode, **kwargs)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(64)]
    length = plastic_envs.make_task(env_id, **kwargs).sample(np.random.default_rng(0), 1).num_steps + 1
    for i in range(3 * length if vectorization_mode == "vector_entry_point" else 3):
        envs.step(actions[i % 64])
    start, done = time.process_time(), 0
    # Whole episodes only, so that resets have their true share.
    while (spent := time.process_time() - start) < seconds or done % length:
        envs.step(actions[done % 64])
        done += 1
    envs.close()
    return done * num_envs / spent


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--env", default="PlasticGraph-disjoint-v0", help="environment id")
    parser.add_argument("--num-envs", type=int, default=256, help="environments side by side (default 256)")
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU seconds per measurement (default 3)")
    args = parser.parse_args()
    print(f"{args.env}, {args.num_envs} environments, one core")
    print(f"{'mode':>12} {'':>20} {'env steps/s':>12} {'walk steps/s':>13} {'ratio':>6}")
    for mode in ("interleaved", "predict"):
        per_move = 2 if mode == "interleaved" else 1
        rates = {
            name: steps_per_second(args.env, args.num_envs, args.seconds, name, mode=mode)
            for name in ("sync", "vector_entry_point")
        }
        for name, rate in rates.items():
            print(
                f"{mode:>12} {name:>20} {rate:12.0f} {rate / per_move:13.0f} {rate / rates['sync']:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
