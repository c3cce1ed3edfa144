"""What every learner of the suite shares: the loop over updates, validation, the best weights, and resuming.

A learner meets a task through `Task` and a network through `Network`; it knows neither by name. Everything
random in update u comes from streams derived from (seed, purpose, u), so a run that was stopped and resumed
gives the same numbers as one that was not, and evaluating or plotting in between changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    pass

__all__ = ["Streams"]


class Streams:
    """Random streams of a run, one of its own for every (purpose, index).

    Args:
        seed: The run's seed.
    """

    TRAINING_DATA, VALIDATION_DATA, TRAINING_START, VALIDATION_START, BEHAVIOUR, TEST_DATA, TEST_START = (
        range(7)
    )
    MIXTURE = 7

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def numpy(self, purpose: int, index: int = 0) -> np.random.Generator:
        """A NumPy generator."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, index)))

    def torch(self, purpose: int, index: int = 0) -> torch.Generator:
        """A torch generator on the CPU."""
        words = np.random.SeedSequence(self.seed, spawn_key=(purpose, index)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
