"""The rows that a learner reports, kept, stored and read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.files import in_place_of, read_npz


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
    with in_place_of(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def read_arrays(path: Path) -> tuple[dict[str, Curve], dict[str, npt.NDArray[Any]]]:
    """Read the training curves and the further arrays that `write_arrays` stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    content = read_npz(path)
    tags = [name.removeprefix("curve/") for name in content if name.startswith("curve/")]
    if missing := [tag for tag in tags if f"updates/{tag}" not in content]:
        raise ValueError(f"{str(path)!r} is damaged: it has no updates of curves {missing}; make it anew.")
    curves = {tag: Curve(content[f"updates/{tag}"], content[f"curve/{tag}"]) for tag in tags}
    arrays = {
        name.removeprefix("array/"): array for name, array in content.items() if name.startswith("array/")
    }
    return curves, arrays
