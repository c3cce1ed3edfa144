"""Where environments that are played side by side will be, worked out for many steps at once.

When their episodes end, and where the next ones are, depends on lengths alone, not on actions. Finding it out
in every step, for the one or two environments that end there, costs many times as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Itinerary", "itinerary"]


@dataclass
class Itinerary:
    """Where N environments are now (row 0) and in the steps to come.

    Attributes:
        columns: (R, N), column of the episode in the batch.
        steps: (R, N), step of the episode; its length where it is over.
        positions: (R, N), steps * B + columns.
        over: (R, N), whether it is over, so that there is nothing to answer; the next row begins another.
        begun: (R, N), how many episodes have begun since row 0.
    """

    columns: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    over: npt.NDArray[np.bool_]
    begun: npt.NDArray[np.int64]


def itinerary(
    lengths: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    left: npt.NDArray[np.int64],
    ahead: npt.NDArray[np.int64],
    most: int,
) -> Itinerary:
    """Where environments will be, up to the first time that one would need an episode that is not there.

    Args:
        lengths: (B,), of the episodes in the batch.
        columns: (J, N), the columns that each environment goes through; the present one first.
        left: (N,), steps left in the present episodes; 0 where they are over.
        ahead: (N,), how many later episodes there are, at least 1 where `left` is 0. More than J - 1 do not
            count.
        most: Look no more steps ahead.

    Returns:
        At least one row more than the present one, if `most` is at least 1.
    """
    env = np.arange(len(left))
    durations = lengths[columns]
    rows = durations + 1  # those of an episode, the one in which it is over among them
    rows[0] = left
    over_at = rows.cumsum(0)
    starts = over_at - durations
    num_rows = 1 + min(most, int(over_at[np.minimum(ahead, len(columns) - 1), env].min()))
    nth, ending = np.nonzero(over_at < num_rows)
    row = over_at[nth, ending]
    over = np.zeros((num_rows, len(left)), dtype=bool)
    over[row, ending] = True
    begun = np.zeros(over.shape, dtype=np.int32)
    followed = row < num_rows - 1
    at = env  # where `columns` and `starts` have the present episodes: in all rows alike while none begins
    if followed.any():
        begun[row[followed] + 1, ending[followed]] = 1
        np.add.accumulate(begun, axis=0, out=begun)
        at = begun * len(left) + env
    column = np.empty(over.shape, dtype=np.int64)
    column[:] = columns.take(at)
    step = np.arange(num_rows)[:, None] - starts.take(at)
    return Itinerary(column, step, step * len(lengths) + column, over, begun.astype(np.int64))
