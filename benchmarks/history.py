"""The rows that a learner reports, kept, stored and read back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "History", "read_arrays", "write_arrays"]


class Curve(NamedTuple):
    """One figure over training.

    Attributes:
        updates: (N,) int64, the updates it was taken at.
        values: (N,) float64.
    """

    updates: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class History:
    """A callback that keeps every row.

    Attributes:
        rows: (update, row) in the order in which they came.
    """

    def __init__(self, rows: Iterable[tuple[int, dict[str, float]]] = ()) -> None:
        self.rows = [(int(update), dict(row)) for update, row in rows]

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Keep the row, unless it is empty (between two log rows)."""
        if row:
            self.rows.append((update, dict(row)))

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Keep the row."""
        self.rows.append((update, dict(row)))

    def curves(self) -> dict[str, Curve]:
        """The rows by tag."""
        points: dict[str, list[tuple[int, float]]] = {}
        for update, row in self.rows:
            for tag, value in row.items():
                points.setdefault(tag, []).append((update, value))
        return {
            tag: Curve(
                np.array([u for u, _ in all_], dtype=np.int64), np.array([v for _, v in all_], dtype=float)
            )
            for tag, all_ in sorted(points.items())
        }


def write_arrays(path: Path, curves: dict[str, Curve], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Store training curves and further named arrays in one file, atomically.

    Args:
        path: The npz file.
        curves: By tag; stored as `curve/<tag>` (values) and `updates/<tag>`.
        arrays: By name; stored as `array/<name>`.
    """
    content: dict[str, npt.NDArray[Any]] = {}
    for tag, curve in curves.items():
        content[f"curve/{tag}"], content[f"updates/{tag}"] = curve.values, curve.updates
    content |= {f"array/{name}": array for name, array in arrays.items()}
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)
    os.replace(partial, path)


def read_arrays(path: Path) -> tuple[dict[str, Curve], dict[str, npt.NDArray[Any]]]:
    """What `write_arrays` stored: the training curves and the further arrays."""
    with np.load(path, allow_pickle=False) as content:
        curves = {
            tag: Curve(content[f"updates/{tag}"], content[name])
            for name in content.files
            if name != (tag := name.removeprefix("curve/"))
        }
        arrays = {
            short: content[name] for name in content.files if name != (short := name.removeprefix("array/"))
        }
    return curves, arrays
