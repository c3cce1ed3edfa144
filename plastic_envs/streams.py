"""Random numbers for a batch of episodes: one independent stream per episode, drawn side by side.

An episode of this suite is a pure function of the task and of one 64-bit seed. That is what makes
the scalar environment, the vector environment and the data-set view agree, whatever the batch size, and what
lets a batch be made ahead of time. NumPy's generators give one stream per object and cost some 10
microseconds each to build, which is more than a whole episode may cost here; so the streams are counter
based: number i of the stream with seed s is `mix(s + i * gamma)`, the SplitMix64 generator (Steele, Lea &
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), evaluated for all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RowStreams", "episode_seeds"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function. `z` is overwritten."""
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z


def episode_seeds(
    rng: np.random.Generator | int | Sequence[np.random.Generator | int], batch_size: int
) -> npt.NDArray[np.uint64]:
    """Draw the seeds of the next episodes.

    Args:
        rng: One generator (episode b of the batch is then the b-th episode that this generator
            gives, so one batch of B equals B batches of one), or one generator per episode. A whole
            number stands for `np.random.default_rng` of it.
        batch_size: Number of episodes.

    Returns:
        Seeds, shape (batch_size,), uint64.

    Raises:
        ValueError: If the batch size is not positive, or differs from the number of generators.
        TypeError: If `rng` is something else, such as the older `np.random.RandomState`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected at least 1 episode.")
    if not isinstance(rng, (list, tuple)):
        return _generator(rng).integers(0, 2**63, size=batch_size, dtype=np.uint64)
    if len(rng) != batch_size:
        raise ValueError(f"{len(rng)} generators for batch_size={batch_size}: pass one per episode.")
    return np.array([_generator(g).integers(0, 2**63, dtype=np.uint64) for g in rng], dtype=np.uint64)


def _generator(rng: Any) -> np.random.Generator:
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and int(rng) >= 0:
        return np.random.default_rng(int(rng))
    raise TypeError(
        f"rng={rng!r}: expected a np.random.Generator, such as np.random.default_rng(0), a whole number from "
        "0 on, or a list with one of them per episode."
    )


class RowStreams:
    """A stream of random numbers for each of B rows; row b depends on `seeds[b]` alone.

    Every call takes the next numbers of every row's stream. `spawn` gives streams for another
    purpose that share no numbers with these; indexing gives the streams of some rows.

    Args:
        seeds: Shape (B,), uint64.
    """

    def __init__(self, seeds: npt.NDArray[np.uint64]) -> None:
        self.seeds = np.asarray(seeds, dtype=np.uint64)
        if self.seeds.ndim != 1:
            raise ValueError(f"seeds of shape {self.seeds.shape}: expected one dimension, (B,).")
        self._used = 0

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> RowStreams:
        """The streams of some rows, at the position that these have reached."""
        part = RowStreams(self.seeds[rows])
        part._used = self._used
        return part

    def spawn(self, key: int | npt.NDArray[np.integer]) -> RowStreams:
        """Fresh streams that depend on each row's seed and on `key` (a number, or one per row)."""
        keys = np.broadcast_to(np.asarray(key), self.seeds.shape).astype(np.uint64)
        with np.errstate(over="ignore"):
            # The key is mixed before it meets the seed and the sum is mixed again, so that children
            # of one row, and equal children of rows whose seeds lie close, start far apart.
            return RowStreams(_mix(self.seeds + _mix((keys + np.uint64(1)) * _MIX_2)))

    def bits(self, *shape: int) -> npt.NDArray[np.uint64]:
        """The next raw 64-bit numbers, shape (B, *shape)."""
        count = int(np.prod(shape, dtype=np.int64))
        with np.errstate(over="ignore"):
            steps = np.arange(self._used + 1, self._used + count + 1, dtype=np.uint64) * _GAMMA
            z = _mix(self.seeds[:, None] + steps)
        self._used += count
        return z.reshape(len(self), *shape)

    def uniform(self, *shape: int) -> npt.NDArray[np.float64]:
        """Uniform numbers in [0, 1), 53 bits each, shape (B, *shape), float64."""
        z = self.bits(*shape)
        z >>= np.uint64(11)
        return np.asarray(z * _TO_UNIT, dtype=np.float64)

    def integers(self, high: int | npt.NDArray[np.integer], *shape: int) -> npt.NDArray[np.int64]:
        """Uniform integers in [0, high), shape (B, *shape), int64; `high` broadcasts against it."""
        return (self.uniform(*shape) * high).astype(np.int64)

    def normal(self, *shape: int) -> npt.NDArray[np.float64]:
        """Standard normal numbers (Box-Muller), shape (B, *shape), float64."""
        count = int(np.prod(shape, dtype=np.int64))
        u = self.uniform(2, (count + 1) // 2)
        radius = np.sqrt(-2.0 * np.log1p(-u[:, 0]))
        angle = (2.0 * np.pi) * u[:, 1]
        z = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
        return z[:, :count].reshape(len(self), *shape)
