"""Choices between ranked items: accuracy by pair, distance and place, and what an observer could know.

Arrays in, arrays out. K is a number of choices, R of trials in an episode, B of episodes, N of items.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Values = npt.NDArray[np.bool_ | np.float64]


def share_by(values: Values, key: Ints, size: int) -> npt.NDArray[np.float64]:
    """Mean of `values` (K,) where `key` (K,) is 0, 1, ... size - 1; (size,), NaN where there are none."""
    count = np.bincount(key, minlength=size)
    total = np.bincount(key, weights=values, minlength=size)
    return np.asarray(np.divide(total, count, out=np.full(size, np.nan), where=count > 0))


def share_by_pair(values: Values, first: Ints, second: Ints, num_items: int) -> npt.NDArray[np.float64]:
    """Mean of `values` (K,) for each pair, whichever stood first; (N, N), symmetric, NaN for none."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    table = share_by(values, low * num_items + high, num_items**2).reshape(num_items, num_items)
    return np.where(np.tri(num_items, k=-1, dtype=bool), table.T, table)


def share_by_distance(values: Values, first: Ints, second: Ints, num_items: int) -> npt.NDArray[np.float64]:
    """Mean of `values` (K,) by symbolic distance 1, 2, ... N - 1; (N - 1,)."""
    return share_by(values, np.abs(first.astype(np.int64) - second), num_items)[1:]


def share_by_item(values: Values, first: Ints, second: Ints, num_items: int) -> npt.NDArray[np.float64]:
    """Mean of `values` (K,) over the choices that show each item, by its place in the list; (N,)."""
    return share_by(np.concatenate((values, values)), np.concatenate((first, second)), num_items)


def transitive_closure_scores(
    first: Ints, second: Ints, num_items: int, infers: bool = True
) -> npt.NDArray[np.float64]:
    """Expected score of an observer that remembers the right answer of every trial it has seen.

    It is sure of a pair if its order follows from answers remembered, and guesses otherwise.

    Args:
        first: (R, B) item shown first; the lower number is the right choice.
        second: (R, B) item shown second.
        num_items: N.
        infers: Whether it draws conclusions (A > B and B > C, so A > C); without, it knows only pairs it has
            seen.

    Returns:
        (R, B): 1 where it is sure, 0.5 where it guesses.
    """
    num_trials, batch = first.shape
    rows = np.arange(batch)
    above = np.zeros((batch, num_items, num_items), dtype=bool)  # [b, i, j]: i is known to rank above j
    upper, lower = np.minimum(first, second), np.maximum(first, second)
    scores = np.empty((num_trials, batch))
    for t in range(num_trials):
        i, j = upper[t], lower[t]
        sure = above[rows, i, j]
        scores[t] = np.where(sure, 1.0, 0.5)
        if infers:
            add_relation(above, rows[~sure], i[~sure], j[~sure])
        else:
            above[rows, i, j] = True
    return scores


def add_relation(above: npt.NDArray[np.bool_], rows: Ints, upper: Ints, lower: Ints) -> None:
    """Add "`upper` (K,) is above `lower` (K,)" and what follows to `above` (B, N, N) at `rows` (K,)."""
    each = np.arange(len(rows))
    order = above[rows]
    # The upper one and all above it are above the lower one and all below it.
    higher = order[each, :, upper]
    higher[each, upper] = True
    lesser = order[each, lower]
    lesser[each, lower] = True
    above[rows] = order | (higher[:, :, None] & lesser[:, None, :])
