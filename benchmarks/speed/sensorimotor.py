"""Milliseconds per trial of learning sensorimotor associations: compiled, and plain autograd, in one run.

    python -m benchmarks.speed.sensorimotor [--trials 200] [--repeats 3]

One thread, batches of one. A trial is everything that learning from it takes: its share of making trials and
noise, forward, loss, backward through all steps, singular values, clipping and Adam. Plain autograd is the
same network run by torch's loop, without the costs on rates and weights.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from plastic_agents import make
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.problem_sequence import ProblemSequenceConfig, learn_problem
from plastic_agents.learners.trial_engines import AutogradEngine, TrialEngine, engine_for
from plastic_agents.networks.leaky_softplus.rule import top_singular_gradient
from plastic_envs import make_task
from plastic_envs.task import Task

AUTOGRAD_SHARE = 20  # autograd gets this many times fewer trials


def ms_per_trial(engine: TrialEngine, task: Task, trials: int, repeats: int) -> float:
    """Least CPU time of a trial, in ms, of some repeats."""
    config = ProblemSequenceConfig(criterion=1e-9, window=1, max_trials=trials)
    spent = []
    for _ in range(repeats):
        data, noise = np.random.default_rng(0), np.random.default_rng(1)
        start = time.process_time()
        done = learn_problem(engine, task, data, noise, config)
        spent.append((time.process_time() - start) / len(done.losses))
    return 1000.0 * min(spent)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200, help="trials at 1 ms (5 times as many at 20 ms)")
    parser.add_argument("--repeats", type=int, default=3, help="repeats, of which the fastest counts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'ms of CPU per trial':>24} {'compiled':>9} {'autograd':>9} {'ratio':>6}")
    weights = None
    for dt_ms, times in ((20.0, 5), (1.0, 1)):
        task = make_task("SensorimotorAssociation-v0", dt_ms=dt_ms)
        agent = make("leaky-softplus", task, method="problem-sequence", device="cpu")
        assert isinstance(agent, NetworkAgent)
        settings = ProblemSequenceConfig().settings(agent.network.num_features)
        compiled = engine_for(agent.network, settings)
        ms_per_trial(compiled, task, 2, 1)  # compiles
        ours = ms_per_trial(compiled, task, times * args.trials, args.repeats)
        few = max(3, times * args.trials // AUTOGRAD_SHARE)
        plain = ms_per_trial(AutogradEngine(agent.network, settings), task, few, args.repeats)
        print(f"{f'steps of {dt_ms:.0f} ms':>24} {ours:9.2f} {plain:9.1f} {plain / ours:6.1f}", flush=True)
        weights = agent.network.get_parameter("recurrent").detach().double().numpy()
    assert weights is not None
    start = time.process_time()
    for _ in range(args.trials):
        top_singular_gradient(weights, 10)
    each = 1000.0 * (time.process_time() - start) / args.trials
    print(f"{'of which singular values':>24} {each:9.2f}")


if __name__ == "__main__":
    main()
