"""Rows of tables from lists of quantities: name, published figure, and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.studies.study import Row
from plastic_agents.runner.results import Results

Value: TypeAlias = str | Callable[[Results], float | None]
"""The name of a metric, or a function of a run; None where a run has no such value."""
Entry: TypeAlias = tuple[str, str, Value]
"""Quantity, published figure ("" for none) and value."""


def rows_of(
    runs: Sequence[Results], title: str, entries: Iterable[Entry], absent: float | None = None
) -> list[Row]:
    """A row of each quantity over runs; quantities that no run has are left out.

    Args:
        runs: One value each.
        title: Put before the name of each quantity.
        entries: The quantities.
        absent: Value of runs that have none. None: such runs do not count.
    """
    rows = []
    for quantity, published, value in entries:
        values = [run.metrics.get(value) if isinstance(value, str) else value(run) for run in runs]
        each = [absent if v is None else float(v) for v in values]
        numbers = [v for v in each if v is not None]
        if numbers:
            rows.append(Row.of(f"{title}{quantity}", published, numbers))
    return rows


def array_mean(name: str, *place: int | slice) -> Callable[[Results], float]:
    """Mean of an entry, or of a part, of an array of a run."""
    return lambda run: defined_mean(run.arrays[name][place])


def defined_mean(values: npt.NDArray[Any]) -> float:
    """Mean of the numbers that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
