"""Transitive inference without a network: items as single values, moved up and down by feedback."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.statistics import pearson


def toy_values(
    rng: np.random.Generator,
    num_episodes: int = 1000,
    num_items: int = 8,
    num_trials: int = 20,
    reinstatement: float = 0.5,
    only_errors: bool = False,
    squashed: bool = False,
) -> npt.NDArray[np.float64]:
    """Values of items after training on random neighbour pairs.

    In each trial the higher ranked item's value goes up by 1 and the other's down by 1, whatever was
    answered. With reinstatement, the item above the higher one goes up too, and the item below the lower one
    down, by less.

    Args:
        rng: Draws initial values in [-1, 1] and pairs.
        num_episodes: B.
        num_items: N.
        num_trials: Number of trials in each episode.
        reinstatement: Change of the outer neighbours; 0: none.
        only_errors: Change values only where the higher ranked item's value is not the larger.
        squashed: Put all values through tanh after every trial.

    Returns:
        (B, N), item 0 the top of the list.

    Source:
        Miconi & Kay, Nature Neuroscience 28, 2025, toy model of rank learning.
    """
    values = rng.uniform(-1.0, 1.0, (num_episodes, num_items))
    rows = np.arange(num_episodes)
    for _ in range(num_trials):
        upper = rng.integers(0, num_items - 1, num_episodes)
        change = np.zeros_like(values)
        change[rows, upper], change[rows, upper + 1] = 1.0, -1.0
        above, below = upper > 0, upper + 2 < num_items
        change[rows[above], upper[above] - 1] = reinstatement
        change[rows[below], upper[below] + 2] = -reinstatement
        if only_errors:
            change *= (values[rows, upper] <= values[rows, upper + 1])[:, None]
        values = np.tanh(values + change) if squashed else values + change
    return values


def rank_correlations(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Correlation (B,) of values (B, N) with rank; 1 if the top item has the largest value, evenly spaced."""
    return pearson(values, -np.arange(values.shape[1]))
