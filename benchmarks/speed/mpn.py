"""Time and memory of a multi-plasticity network's forward and backward pass against the plain autograd loop.

    python -m benchmarks.speed.mpn

One thread; embedding, one plastic layer with the published clip at -+1, readout; gradients of all parameters.
Times are CPU time, medians over repeats in which the ways take turns; memory is the growth of peak resident
memory over two passes, each way in a process of its own. `clipped` is the share of M on the clip at the end.

* loop: the published equations step by step, left to autograd (left out where it would take many gigabytes)
* fast: the compiled form, as `plastic_agents.make("mpn", ...)` learns
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

from benchmarks.speed.comparing import median_seconds, parse, peak_growth_mb, print_growth
from plastic_agents.networks import MPN

SIZES = ((32, 100, 100), (128, 100, 100), (128, 300, 107))
"""Batch, units, steps; the last is the published size."""

LARGEST_LOOP = 50_000_000
"""Numbers B N N T beyond which the loop is not run: it keeps several arrays of them."""

Way = Literal["loop", "fast"]
WAYS: tuple[Way, ...] = ("loop", "fast")
INPUTS, OUTPUTS = 21, 3


def ways(size: tuple[int, int, int]) -> tuple[Way, ...]:
    """The ways that are run at a size."""
    batch, units, steps = size
    return WAYS if batch * units * units * steps <= LARGEST_LOOP else ("fast",)


def make(way: Way, units: int) -> MPN:
    """A network with the published defaults."""
    torch.manual_seed(0)
    return MPN(INPUTS, units, OUTPUTS, lambda_max=0.99, path=way)


def one_pass(network: MPN, inputs: torch.Tensor) -> torch.Tensor:
    """Forward and backward; returns M at the end."""
    network.zero_grad()
    outputs, state = network(inputs)
    outputs.square().mean().backward()
    end: torch.Tensor = state.modulation.detach()
    return end


def inputs_of(size: tuple[int, int, int]) -> torch.Tensor:
    """Slowly changing inputs, (T, B, I), as a trial's are."""
    batch, _, steps = size
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(-(-steps // 20), batch, INPUTS, generator=generator)
    return parts.repeat_interleave(20, dim=0)[:steps]


def step_of(way: Way, *size: int) -> Callable[[], torch.Tensor]:
    """A pass of a network of that size."""
    batch, units, steps = size
    network, inputs = make(way, units), inputs_of((batch, units, steps))
    return lambda: one_pass(network, inputs)


def streaming_ms(way: Way, batch: int, units: int, repeats: int = 200) -> float:
    """CPU milliseconds of one step without gradients, as an agent in an environment takes it."""
    network, inputs = make(way, units), inputs_of((batch, units, 1))
    with torch.no_grad():
        _, state = network(inputs)
        before = time.process_time()
        for _ in range(repeats):
            _, state = network(inputs, state)
    return 1e3 * (time.process_time() - before) / repeats


def main() -> None:
    """Print the tables, or one memory figure for `peak_growth_mb`."""
    arguments = parse(__doc__, 3, 3)
    torch.set_num_threads(1)
    if arguments.measure:
        print_growth(step_of, arguments.measure, (2, 4, 3))
        return
    print(f"{'size':>16} {'way':>5} {'CPU ms':>9} {'loop / way':>11} {'peak MB':>8} {'clipped':>8}")
    for size in SIZES:
        steps = {way: step_of(way, *size) for way in ways(size)}
        medians = dict(zip(steps, median_seconds(list(steps.values()), arguments.repeats), strict=True))
        clipped = float((steps["fast"]().abs() == 1.0).float().mean())
        label = "B{} N{} T{}".format(*size)
        for way, seconds in medians.items():
            ratio = f"{medians['loop'] / seconds:11.1f}" if "loop" in medians else f"{'-':>11}"
            growth = peak_growth_mb("mpn", way, size)
            print(f"{label:>16} {way:>5} {1e3 * seconds:9.1f} {ratio} {growth:8.0f} {clipped:8.2f}")
    print("\none step without gradients, CPU ms")
    for batch, units in ((1, 100), (64, 100), (64, 300)):
        times = "  ".join(f"{way} {streaming_ms(way, batch, units):.3f}" for way in WAYS)
        print(f"{f'B{batch} N{units}':>16}  {times}")


if __name__ == "__main__":
    main()
