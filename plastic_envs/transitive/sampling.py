"""Random items and random pairs for many episodes at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plastic_envs.streams import RowStreams
from plastic_envs.transitive.schedules import Block, Layout

_CANDIDATES = 32  # vectors drawn at a time; one draw nearly always holds eight that differ enough
_MAX_CANDIDATES = 10_000
_ORDER = 1  # purpose of a stream; candidates have those from 2 on


def draw_random_items(
    streams: RowStreams, num_items: npt.NDArray[np.int64], most: int, size: int, max_equal: int
) -> npt.NDArray[np.float32]:
    """Sign vectors of which any two of an episode agree in at most `max_equal` entries.

    Vectors are drawn one after the other and refused if too like one accepted before. That makes the later
    ones slightly different in law from the earlier ones, so which item has which is shuffled at the end: an
    item's place in the list cannot be read from its looks.

    Args:
        streams: One per episode, B in all.
        num_items: (B,) items of each episode.
        most: N, the largest number of items there may be.
        size: C, entries of an item.
        max_equal: Agreeing entries that are still allowed.

    Returns:
        (B, N, C) float32, +1 and -1; zeros in place of items that an episode does not have.

    Raises:
        ValueError: If 10 000 vectors are not enough to find that many: the items are too many or too small.
    """
    batch = len(streams)
    items = np.zeros((batch, most, size), dtype=np.float32)
    counts = np.zeros(batch, dtype=np.int64)
    rows = np.arange(batch)
    for draw in range(_MAX_CANDIDATES // _CANDIDATES):
        rows = rows[counts[rows] < num_items[rows]]
        if not len(rows):
            break
        # Streams by draw, as another row's need for a second draw must not move this row's numbers.
        candidates = _signs(streams.spawn(2 + draw)[rows], _CANDIDATES, size)
        # Two sign vectors with e equal entries have the scalar product 2 e - C.
        products = candidates @ items[rows].transpose(0, 2, 1)  # (K, candidates, N)
        exists = (
            np.arange(most) < counts[rows, None, None]
        )  # the zeros of items not yet found are like nothing
        refused = np.any((products > 2 * max_equal - size) & exists, axis=2)
        alike = candidates @ candidates.transpose(0, 2, 1) > 2 * max_equal - size
        for c in range(_CANDIDATES):
            accepts = np.flatnonzero(~refused[:, c] & (counts[rows] < num_items[rows]))
            at = rows[accepts]
            items[at, counts[at]] = candidates[accepts, c]
            counts[at] += 1
            refused[accepts] |= alike[accepts, c]
    else:
        raise ValueError(
            f"{int(counts.min())} of {most} items of {size} entries found in {_MAX_CANDIDATES} tries: no two "
            f"may agree in more than {max_equal}; raise cue_size or cue_overlap, or lower num_items."
        )
    return _shuffled(streams, items, num_items)


def draw_one_hot_items(
    streams: RowStreams, num_items: npt.NDArray[np.int64], most: int, size: int
) -> npt.NDArray[np.float32]:
    """Items with one entry +1, another one for each, and all others -1; see `draw_random_items`."""
    place = np.argsort(streams.spawn(_ORDER).uniform(size), axis=1)[:, :most]
    items = np.where(place[:, :, None] == np.arange(size), 1.0, -1.0)
    return np.asarray(items * (np.arange(most) < num_items[:, None])[:, :, None], dtype=np.float32)


def _signs(streams: RowStreams, count: int, size: int) -> npt.NDArray[np.float32]:
    """Random signs, (B, count, size)."""
    words = streams.bits(count, -(-size // 64))
    bits = (words[..., None] >> np.arange(min(size, 64), dtype=np.uint64)) & np.uint64(1)
    return bits.reshape(len(streams), count, -1)[..., :size].astype(np.float32) * 2.0 - 1.0


def _shuffled(
    streams: RowStreams, items: npt.NDArray[np.float32], num_items: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    most = items.shape[1]
    keys = streams.spawn(_ORDER).uniform(most) + (
        np.arange(most) >= num_items[:, None]
    )  # missing items stay last
    return np.take_along_axis(items, np.argsort(keys, axis=1)[:, :, None], axis=1)


class PairSampler:
    """Draws the pairs of a schedule's trials.

    Args:
        blocks: Blocks of the schedule.
        layout: Its steps and R trials.
        fewest: Smallest number of items an episode may have.
        most: Largest number.

    Raises:
        ValueError: If a block has nothing to show for one of these numbers.
    """

    def __init__(self, blocks: Sequence[Block], layout: Layout, fewest: int, most: int) -> None:
        options = [[block.options(n) for n in range(fewest, most + 1)] for block in blocks]
        self._fewest = fewest
        self._counts = np.array([[len(pairs) for pairs in of_block] for of_block in options])
        self._options = np.zeros((*self._counts.shape, self._counts.max(), 2), dtype=np.int64)
        for b, of_block in enumerate(options):
            for n, pairs in enumerate(of_block):
                self._options[b, n, : len(pairs)] = pairs
        self._block, self._turn = layout.block[:, None], layout.turn[:, None]
        self._in_turn = np.array([block.draw == "in_turn" for block in blocks])[self._block]
        self._random_sides = np.array([block.sides == "random" for block in blocks])[self._block]

    def draw(
        self, streams: RowStreams, num_items: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The items shown first and second in each trial, (R, B) each, for (B,) numbers of items."""
        draws = streams.uniform(2, len(self._block))  # (B, 2, R)
        row = num_items - self._fewest
        counts = self._counts[self._block, row]  # (R, B)
        uniform = (draws[:, 0].T * counts).astype(np.int64)
        pairs = self._options[self._block, row, np.where(self._in_turn, self._turn % counts, uniform)]
        swapped = self._random_sides & (draws[:, 1].T < 0.5)
        first, second = pairs[..., 0], pairs[..., 1]
        return np.where(swapped, second, first), np.where(swapped, first, second)
