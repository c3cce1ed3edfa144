"""Speed of adaptation: accuracy along an episode, and after a change that is not announced."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def rolling_mean(
    hits: npt.NDArray[Any], window: int, starts: npt.NDArray[np.integer[Any]] | None = None
) -> npt.NDArray[np.float64]:
    """Mean of the last `window` entries at each place, of fewer at the start.

    Args:
        hits: (M, ...) values.
        window: Number of entries.
        starts: Places that the window does not reach back over (default: the beginning only).

    Returns:
        (M, ...).
    """
    if window < 1:
        raise ValueError(f"window={window}: expected at least 1 entry.")
    sums = np.concatenate((np.zeros_like(hits[:1], dtype=float), np.cumsum(hits, axis=0, dtype=float)))
    place = np.arange(len(hits))
    marks = np.zeros(len(hits), dtype=np.int64)
    marks[0 if starts is None else starts] = 0 if starts is None else starts
    first = np.maximum(np.maximum.accumulate(marks), place - window + 1)
    lengths = (place - first + 1).reshape(-1, *[1] * (hits.ndim - 1))
    means: npt.NDArray[np.float64] = (sums[place + 1] - sums[first]) / lengths
    return means


def predictions_to_regain(
    hits: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.integer[Any]],
    level: float = 0.95,
    window: int = 20,
) -> int | None:
    """Predictions after a change of graph until accuracy is back at `level`.

    Accuracy is taken over all walks and all changes (not the first graph), and over the last `window`
    predictions on the new graph.

    Args:
        hits: (M, B).
        starts: (S,) first move on each graph; all graphs last equally long.
        level: The accuracy to regain.
        window: Predictions that an accuracy is taken over.

    Returns:
        The number of predictions, or None if it is not reached before the next change.
    """
    by_offset = np.stack([hits[s : s + len(hits) // len(starts)] for s in starts[1:]], axis=1)
    accuracy = rolling_mean(by_offset.mean(axis=(1, 2)), window)
    places = np.flatnonzero(accuracy >= level)
    return int(places[0]) + 1 if len(places) else None
