"""The pattern of activity that stands for a recalled item: the recoded reinstatement.

The plastic weights that a trial leaves are, to first order, outer products q u^T: a common pattern q that is
written, beside the pattern u of what was active. The fit asks what u would have to be for item X so that
showing X afterwards drives the network along its decision axis.

Source: Miconi & Kay, Nature Neuroscience 28, 2025.

Shapes: B episodes, N items, n units, K presentations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cosine_similarity

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Recoding:
    """A fitted recoding.

    Attributes:
        items: u, (B, N, n), pattern of each item in each episode.
        written: q, (n,), pattern common to all.
        mean_cosine: Mean cosine of the fit, at most 1. The family of solutions sought reaches 0.5.
        num_starts: Starts it took.
    """

    items: npt.NDArray[np.float32]
    written: npt.NDArray[np.float32]
    mean_cosine: float
    num_starts: int

    def turned(self, activity: Numbers, answers: Numbers) -> Recoding:
        """The same with signs chosen so that q goes along with the answer (u and q may turn together).

        Args:
            activity: Activity at the feedback step, (K, n).
            answers: 1 for the first item, 0 or -1 for the second, (K,).
        """
        along = float((cosines(activity, self.written) * np.where(answers > 0, 1.0, -1.0)).mean())
        sign = np.float32(-1.0 if along < 0 else 1.0)
        return Recoding(sign * self.items, sign * self.written, self.mean_cosine, self.num_starts)


def fit_recoding(
    activity: torch.Tensor,
    recurrent: torch.Tensor,
    plasticity: torch.Tensor,
    axis: torch.Tensor,
    generator: torch.Generator,
    *,
    num_steps: int = 1000,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    wanted: float = 0.5,
    max_starts: int = 3,
) -> Recoding:
    """Find u and q that maximise the cosine of (w + alpha * (q u^T)) psi1 with the decision axis.

    There are two families of solutions; the fit starts anew until it has found one that reaches `wanted`, and
    returns the best.

    Args:
        activity: psi1, (B, N, n).
        recurrent: w, (n, n).
        plasticity: alpha, (n, n).
        axis: Decision axis, (n,).
        generator: Draws the starts, uniform in +-0.005.
        num_steps: Number of Adam's steps.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        wanted: Mean cosine that ends the search.
        max_starts: Starts at most.
    """
    if max_starts < 1:
        raise ValueError(f"max_starts={max_starts}: expected at least 1.")
    best: Recoding | None = None
    direct = activity @ recurrent.T
    for start in range(1, max_starts + 1):
        items, pattern = (
            ((torch.rand(shape, generator=generator, device=generator.device) - 0.5) * 0.01)
            .to(activity)
            .requires_grad_()
            for shape in (activity.shape, axis.shape)
        )
        optimizer = torch.optim.Adam([items, pattern], lr=learning_rate, weight_decay=weight_decay)
        similarity = activity.new_zeros(())
        for _ in range(num_steps):
            # (alpha * (q u^T)) psi = q * (alpha (u * psi))
            drive = direct + pattern * ((items * activity) @ plasticity.T)
            similarity = cosine_similarity(drive, axis, dim=-1).sum()
            optimizer.zero_grad(set_to_none=True)
            (-similarity).backward()
            optimizer.step()
        mean = float(similarity.detach()) / (activity.shape[0] * activity.shape[1])
        if best is None or mean > best.mean_cosine:
            by_item, common = (tensor.detach().cpu().numpy().copy() for tensor in (items, pattern))
            best = Recoding(by_item, common, mean, start)
        if mean >= wanted:
            break
    assert best is not None
    return best


def cosines(first: Numbers, second: Numbers) -> Floats:
    """Cosine along the last axis, the others broadcast; 0 where one of the two is zero."""
    product = (first.astype(np.float64) * second).sum(-1)
    size = np.linalg.norm(first, axis=-1).astype(np.float64) * np.linalg.norm(second, axis=-1)
    return np.asarray(np.divide(product, size, out=np.zeros(product.shape), where=size > 0))


def pair_by_item(similarity: Numbers, first: Numbers, second: Numbers, num_items: int) -> Floats:
    """Mean similarity to each item's pattern by the ordered neighbour pair shown, (2 (N - 1), N).

    Rows: AB, BC, ... (the higher item first), then BA, CB, ...; NaN for pairs that were not shown.

    Args:
        similarity: (K, N), of the activity in each presentation with each item's pattern.
        first: (K,) item shown first.
        second: (K,) item shown second.
        num_items: N.
    """
    rows = []
    for step in (1, -1):
        for upper in range(num_items - 1):
            pair = (upper, upper + 1)[::step]
            matches = (first == pair[0]) & (second == pair[1])
            rows.append(similarity[matches].mean(0) if matches.any() else np.full(num_items, np.nan))
    return np.stack(rows)


def reinstatement_effect(
    similarity: Numbers, change: Numbers, answers: Numbers, item: int
) -> tuple[float, float]:
    """Regression of an item's move at the delay step on its reinstatement at the response step.

    Args:
        similarity: (K, N), of the activity at the response step with each item's pattern.
        change: (K, N), of the items' alignments from the step before to the delay step.
        answers: (K,), 1 for the first item, 0 or -1 for the second.
        item: Number of the item, usually one that was not shown.

    Returns:
        Correlation over presentations of (similarity times the sign of the answer) with the change, and the
        slope.
    """
    signed = similarity[:, item] * np.where(answers > 0, 1.0, -1.0)
    covariance = np.cov(signed, change[:, item])
    size = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
    if size == 0:
        return float("nan"), float("nan")
    return float(covariance[0, 1] / size), float(covariance[0, 1] / covariance[0, 0])
