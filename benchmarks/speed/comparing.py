"""Comparing ways to do one thing: CPU time, taking turns, and memory, each way in a process of its own."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Step = Callable[[], object]


def parse(description: str | None, repeats: int, size_numbers: int) -> argparse.Namespace:
    """The command line of a comparison: `repeats`, and `measure` where `peak_growth_mb` has started it.

    Args:
        description: The script's docstring.
        repeats: Timed repeats of each way, by default.
        size_numbers: Numbers per size.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=repeats, help="timed repeats of each way")
    parser.add_argument("--measure", nargs=1 + size_numbers, help=argparse.SUPPRESS)
    return parser.parse_args()


def median_seconds(steps: Sequence[Step], repeats: int) -> list[float]:
    """Median CPU seconds of each step, which take turns, after one round of warming up."""
    seconds: list[list[float]] = [[] for _ in steps]
    for repeat in range(repeats + 1):
        for step, times in zip(steps, seconds, strict=True):
            before = time.process_time()
            step()
            if repeat:
                times.append(time.process_time() - before)
    return [statistics.median(times) for times in seconds]


def peak_growth_mb(module: str, way: str, size: Sequence[int]) -> float:
    """Growth of peak resident memory (MB) over two steps, in a fresh process.

    Args:
        module: The comparison's script, which calls `print_growth` where it is given `--measure`.
        way: The way.
        size: Its size.
    """
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", "--measure", way, *map(str, size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_growth(make: Callable[..., Step], measure: Sequence[str], tiny: Sequence[int]) -> None:
    """Print what `peak_growth_mb` reads.

    Args:
        make: Makes a step of a way and a size, `make(way, *size)`.
        measure: Way and size, as on the command line.
        tiny: Size of a first step, which loads libraries and compiled code: no part of the growth.
    """
    way, *size = measure
    make(way, *tiny)()
    step = make(way, *map(int, size))
    before = _peak_mb()
    step()
    step()
    print(_peak_mb() - before)


def _peak_mb() -> float:
    """Peak resident memory of this process (MB), from Linux.

    Not `getrusage`, whose figure a child process inherits from its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
