"""Places of environments that are played side by side, worked out for many steps at once.

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
    """Places of N environments now (row 0) and in the steps to come.

    Attributes:
        columns: (R, N), column of the episode in the batch.
        steps: (R, N), step of the episode; its length where it is over.
        positions: (R, N), steps * B + columns.
        over: (R, N), whether an episode is over: with a pause the row's own, so that there is nothing to
            answer and the next row begins another; without, the one before, and this row begins another.
        new_episodes: (R, N), how many episodes have begun since row 0.
    """

    columns: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    over: npt.NDArray[np.bool_]
    new_episodes: npt.NDArray[np.int64]


def itinerary(
    lengths: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    steps_left: npt.NDArray[np.int64],
    ahead: npt.NDArray[np.int64],
    most: int,
    pause: int = 1,
) -> Itinerary:
    """Places of environments up to the first time that one needs an episode that is not there.

    Args:
        lengths: (B,), of the episodes in the batch, or steps after which they are broken off.
        columns: (J, N), the columns that each environment goes through; the present one first.
        steps_left: (N,), steps left in the present episodes; 0 where they are over, which takes a pause.
        ahead: (N,), how many later episodes there are. More than J - 1 do not count.
        most: Look no more steps ahead.
        pause: Rows in which an episode is over, before the next begins: 1 or 0.

    Returns:
        The present row and at most `most` more: one more at least, if `most` and `ahead` are at least 1.
    """
    env = np.arange(len(steps_left))
    durations = lengths[columns]
    rows = durations + pause
    rows[0] = steps_left
    over_at = rows.cumsum(0)
    starts = over_at - durations
    last = over_at[np.minimum(ahead, len(columns) - 1), env].min()  # the row in which one has no more
    num_rows = min(1 + most, int(last) + pause)
    nth, ending = np.nonzero(over_at < num_rows)
    row = over_at[nth, ending]
    over = np.zeros((num_rows, len(steps_left)), dtype=bool)
    over[row, ending] = True
    new_episodes = np.zeros(over.shape, dtype=np.int32)
    followed = row + pause < num_rows
    at = env  # where `columns` and `starts` have the present episodes: in all rows alike while none begins
    if followed.any():
        new_episodes[row[followed] + pause, ending[followed]] = 1
        np.add.accumulate(new_episodes, axis=0, out=new_episodes)
        at = new_episodes * len(steps_left) + env
    column = np.empty(over.shape, dtype=np.int64)
    column[:] = columns.take(at)
    step = np.arange(num_rows)[:, None] - starts.take(at)
    return Itinerary(column, step, step * len(lengths) + column, over, new_episodes.astype(np.int64))
