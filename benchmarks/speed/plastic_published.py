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

from collections.abc import Callable

import torch
from torch.nn import functional

from benchmarks.speed.comparing import median_seconds, parse, peak_growth_mb, print_growth
from plastic_agents.networks.normalised_hebb.network import PublishedPlastic

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


def main() -> None:
    """Print the table, or one memory figure for `peak_growth_mb`."""
    arguments = parse(__doc__, 5, 3)
    torch.set_num_threads(1)
    if arguments.measure:
        print_growth(make, arguments.measure, (2, 4, 4))
        return
    print(f"{'size':>18} {'way':>6} {'CPU ms':>9} {'plain / way':>12} {'loop / way':>11} {'peak MB':>8}")
    for size in SIZES:
        plain, loop, _ = medians = median_seconds([make(way, *size) for way in WAYS], arguments.repeats)
        for way, seconds in zip(WAYS, medians, strict=True):
            label = "B{} H{} T{}".format(*size)
            growth = peak_growth_mb("plastic_published", way, size)
            print(
                f"{label:>18} {way:>6} {1e3 * seconds:9.1f} {plain / seconds:12.1f} {loop / seconds:11.1f}"
                f" {growth:8.0f}"
            )


if __name__ == "__main__":
    main()
