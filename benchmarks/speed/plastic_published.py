"""Time and memory of the published plastic network's fast path against the plain autograd loop.

    python -m benchmarks.speed.plastic_published

One training step (forward and backward, encoders and readout included) on one thread. Times are CPU time,
medians over repeats in which the ways take turns; memory is the growth of peak resident memory, each way in
a process of its own.

* plain: the published equations step by step, encoders and readout inside the loop, left to autograd
* loop: the network with path="loop": encoders and readout hoisted out of the loop
* fast: the network with path="fast"
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from plastic_agents.networks.published import PublishedPlastic

SIZES = ((32, 128, 40), (32, 256, 100), (128, 128, 40))
"""Batch, units, walk steps."""

WAYS = ("plain", "loop", "fast")
NODES, ACTIONS = 8, 10


def plain_step(network: PublishedPlastic, walk: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Logits (T, B, n) of a walk (T, B, n + A), by the equations as published."""
    acquire, predict = walk.new_tensor([0.0, 1.0]), walk.new_tensor([1.0, 0.0])
    batch, logits = walk.shape[1], []
    for t in range(walk.shape[0]):
        if t > 0:
            cue = torch.cat([walk[t - 1], acquire.expand(batch, 2)], dim=1)
            key = torch.relu(network.encode_cue(cue))
            value = torch.relu(network.encode_outcome(walk[t, :, :NODES]))
            weights = weights + value.unsqueeze(2) * key.unsqueeze(1)
            weights = weights / weights.norm(dim=2, keepdim=True).clamp_min(1e-8)
        query = torch.relu(network.encode_cue(torch.cat([walk[t], predict.expand(batch, 2)], dim=1)))
        hidden = torch.relu(torch.bmm(weights, query.unsqueeze(2)).squeeze(2))
        logits.append(network.readout(hidden))
    return torch.stack(logits)


def make(way: str, batch: int, units: int, steps: int) -> Callable[[], None]:
    """A function that does one training step of that kind."""
    torch.manual_seed(0)
    node, action = slice(0, NODES), slice(NODES, NODES + ACTIONS)
    network = PublishedPlastic(NODES + ACTIONS, units, NODES, (node, action), node, chained=True)
    network.path = "fast" if way == "fast" else "loop"
    nodes = torch.randint(NODES, (steps, batch))
    actions = torch.randint(ACTIONS, (steps, batch))
    walk = torch.cat([functional.one_hot(nodes, NODES), functional.one_hot(actions, ACTIONS)], 2).float()
    state = network.initial_state(batch)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        logits = plain_step(network, walk, state.weights) if way == "plain" else network(walk, state)[0]
        loss = functional.cross_entropy(logits[:-1].flatten(0, 1), nodes[1:].flatten())
        loss.backward()

    return step


def cpu_seconds(steps: list[Callable[[], None]], repeats: int) -> list[list[float]]:
    """CPU seconds of each repeat of each function, taking turns, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in steps]
    for repeat in range(repeats + 1):
        for step, taken in zip(steps, seconds, strict=True):
            before = time.process_time()
            step()
            if repeat:
                taken.append(time.process_time() - before)
    return seconds


def peak_mb() -> float:
    """Peak resident memory of this process (MB), from Linux.

    Not `getrusage`, whose figure a child process inherits from its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def peak_growth_mb(way: str, size: tuple[int, int, int]) -> float:
    """Growth of peak resident memory (MB) over two training steps, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.plastic_published", "--measure", way, *map(str, size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table, or one memory figure for `peak_growth_mb`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats of each way")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measure:
        way, *size = arguments.measure
        # The first, tiny step loads libraries, which is no part of the growth.
        make(way, 2, 4, 4)()
        step = make(way, *map(int, size))
        before = peak_mb()
        step()
        step()
        print(peak_mb() - before)
        return
    print(f"{'size':>18} {'way':>6} {'CPU ms':>9} {'plain / way':>12} {'loop / way':>11} {'peak MB':>8}")
    for size in SIZES:
        taken = cpu_seconds([make(way, *size) for way in WAYS], arguments.repeats)
        plain, loop, _ = medians = [statistics.median(seconds) for seconds in taken]
        for way, seconds in zip(WAYS, medians, strict=True):
            label = "B{} H{} T{}".format(*size)
            print(
                f"{label:>18} {way:>6} {1e3 * seconds:9.1f} {plain / seconds:12.1f} {loop / seconds:11.1f}"
                f" {peak_growth_mb(way, size):8.0f}"
            )


if __name__ == "__main__":
    main()
