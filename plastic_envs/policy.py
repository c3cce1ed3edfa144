"""Policies: anything that answers observations."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Policy"]


class Policy(Protocol):
    """Something that answers observations, for a whole batch at a time, and may remember."""

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[Any]:
        """Actions (B, ...) for observations (B, O); `episode_starts` (B,) marks first steps."""
