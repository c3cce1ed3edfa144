"""Code for the rank of items in a neuromodulated network: plastic weights, read along one direction.

Definitions, of one item X, n units and a network at rest: psi1(X) is the activity one step after X was shown
alone in the first slot; psi2(X) the activity one more step later with nothing shown, which depends on the
plastic weights P. The *alignment* of X is the correlation over units of psi2(X) with the direction of
activity that makes the network choose the first item.

Source: Miconi & Kay, Nature Neuroscience 28, 2025.

Shapes: B episodes, N items of C entries, n units, I inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plastic_agents.analysis.statistics import pearson
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_envs.task import Task

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]


def decision_axis(network: Neuromodulated) -> npt.NDArray[np.float32]:
    """Direction of activity (n,) in which action 1 (the first item) gains on action 0."""
    weight = _readout_weight(network)
    return np.asarray(weight[1] - weight[0])


def readout_correlation(network: Neuromodulated) -> float:
    """Correlation of the readout's two rows (published: about -0.9)."""
    first, second = _readout_weight(network)[:2]
    return float(pearson(first, second))


def slot_correlation(network: Neuromodulated, task: Task) -> float:
    """Correlation of the input weights of the two items' slots (published: -0.8 to -0.9).

    Close to -1, the network is shown the difference of two items.
    """
    weight = network.encode.weight.detach().cpu().numpy()
    first, second = (weight[:, task.field(name).slice].ravel() for name in ("first_item", "second_item"))
    return float(pearson(first, second))


@torch.no_grad()
def item_activity(network: Neuromodulated, task: Task, items: npt.NDArray[np.float32]) -> torch.Tensor:
    """psi1: activity (B, N, n) one step from rest, each item alone in the first slot, no time elapsed.

    Args:
        network: The network.
        task: Says where in an observation an item stands.
        items: (B, N, C).
    """
    inputs = network.encode.weight.new_zeros(*items.shape[:2], network.input_size)
    inputs[..., task.field("first_item").slice] = torch.as_tensor(items, device=inputs.device).to(inputs)
    inputs[..., task.field("constant").slice] = 1.0
    return torch.tanh(network.encode(inputs))  # at rest there is no recurrent input


@torch.no_grad()
def reinstated_activity(
    network: Neuromodulated, task: Task, activity: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """psi2: activity (B, N, n) one step after psi1, with nothing shown.

    Args:
        network: The network.
        task: Says where in an observation the constant stands.
        activity: psi1, (B, N, n).
        weights: Plastic weights, (B, n, n).
    """
    blank = activity.new_zeros(network.input_size)
    blank[task.field("constant").slice] = 1.0
    slow = network.slow_weights()
    matrix = torch.addcmul(slow.recurrent, slow.plasticity, weights)
    return torch.tanh(network.encode(blank) + torch.bmm(activity, matrix.mT))


def alignments(activity: torch.Tensor | Numbers, axis: Numbers) -> Floats:
    """Pearson correlation over units of activities (..., n) with a direction (n,); (...)."""
    return pearson(_array(activity), axis)


def structure_similarity(first: torch.Tensor | Numbers, second: torch.Tensor | Numbers) -> Floats:
    """Agreement of two sets of item representations on which items are alike, (B,).

    Correlation, over the pairs of items, of the correlations between items in the first set (B, N, n) with
    those in the second.
    """
    first, second = _array(first), _array(second)
    upper: Sequence[Any] = np.triu_indices(first.shape[1], 1)
    pairs = [pearson(x[:, :, None], x[:, None])[:, upper[0], upper[1]] for x in (first, second)]
    return pearson(*pairs)


def _readout_weight(network: Neuromodulated) -> npt.NDArray[np.float32]:
    weight = network.readout.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().cpu().numpy().astype(np.float32)


def _array(values: torch.Tensor | Numbers) -> Numbers:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
