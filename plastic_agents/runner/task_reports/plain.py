"""The experiment of a task that has none: a look at the agent's state before and after one episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.results import Results
from plastic_agents.seeding import named_generator, torch_generator

_LARGEST = 1 << 18  # entries of a matrix that is still worth a picture


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """No further metrics; the state's matrices as `fast_weights/<name>/before` and `/after`."""
    task = config.task().with_split("test")
    episodes = task.sample(named_generator(config.seed, "fast weights"), 1)
    return {}, state_matrices(agent, episodes.observations, torch_generator(config.seed, "fast weights"))


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """None of its own."""
    return []


@torch.no_grad()
def state_matrices(
    agent: Agent, observations: npt.NDArray[np.float32], generator: torch.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    """Every matrix in a network's state, before and after an episode; empty where there is none.

    Args:
        agent: The agent that sees the observations.
        observations: (T, 1, O).
        generator: For random starts of the state.
    """
    if not isinstance(agent, NetworkAgent):
        return {}
    before = agent.network.initial_state(1, generator)
    after = agent.network(torch.as_tensor(observations, device=agent.device), before)[1]
    first, last = _matrices(before, ""), _matrices(after, "")
    shared = [name for name in first if last[name].shape == first[name].shape]
    return {
        f"fast_weights/{name}/{when}": matrices[name]
        for name in shared
        for when, matrices in (("before", first), ("after", last))
    }


def _matrices(state: Any, prefix: str) -> dict[str, npt.NDArray[np.float32]]:
    """The matrices of a state of one row, by name of the field (and place, in a field of several)."""
    matrices: dict[str, npt.NDArray[np.float32]] = {}
    parts = state._asdict().items() if hasattr(state, "_asdict") else enumerate(state)
    for name, part in parts:
        label = f"{prefix}{name}"
        if not isinstance(part, torch.Tensor):
            matrices |= _matrices(part, f"{label}_")
        elif part.dim() == 3 and min(part.shape[1:]) > 1 and 1 < part[0].numel() <= _LARGEST:
            matrices[label] = part[0].float().cpu().numpy()
    return matrices
