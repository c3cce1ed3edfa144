"""Rows of tables from lists of quantities: what is measured, the published figure, and a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from benchmarks.results import Results
from benchmarks.studies.study import Row

__all__ = ["Entry", "Value", "array_entry", "rows_of"]

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


def array_entry(name: str, *place: int) -> Callable[[Results], float]:
    """An entry of an array of a run."""

    def value(run: Results) -> float:
        return float(run.arrays[name][place])

    return value
