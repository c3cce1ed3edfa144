"""Fixed points of a plastic state under constant input, and how stable they are.

The state M of any shape follows M <- F(M); F is a pure function of M, differentiable, in float64, and one
full step of the network with its input held (that of a period's middle, say). Fixed points are sought as the
minima of

    q(M) = 1/2 |F(M) - M|^2

from many starts at once by Adam, then from each alone by L-BFGS, and accepted where |F(M) - M| / |M| is
small. Adam moves every entry about as fast, so along a line of fixed points it drifts; where it matters which
of them a start leads to, leave it out (`Search(adam_updates=0)`): L-BFGS hardly does.
The linear stability of one is that of J = dF/dM: its leading eigenvalues by Arnoldi's method, from products
with J alone, since J itself has (N E)^2 entries.

Source: MultiTaskMPN (Allen Institute), fixed points of M; minimising q: Sussillo & Barak, Neural Computation
25 (2013).

Letters for shapes: S starts, ... the shape of M.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]
Step = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Search:
    """Settings of the search for fixed points.

    Attributes:
        learning_rate: Learning rate of Adam.
        adam_updates: At most so many.
        adam_loss: Mean over entries of (F(M) - M)^2 at which a start needs no more of Adam.
        lbfgs_updates: Of each start, after that; 0 for none.
        accepted_residual: Largest |F(M) - M| / |M| of a fixed point.
    """

    learning_rate: float = 1e-3
    adam_updates: int = 5000
    adam_loss: float = 1e-8
    lbfgs_updates: int = 200
    accepted_residual: float = 0.05


class FixedPoints(NamedTuple):
    """Results of a search from S starts.

    Attributes:
        points: M, (S, ...).
        speed: q, (S,).
        residual: |F(M) - M| / |M|, (S,); 0 where M does not move at all.
        accepted: Mask of those that pass for fixed points, (S,).
    """

    points: Floats
    speed: Floats
    residual: Floats
    accepted: npt.NDArray[np.bool_]


class Stability(NamedTuple):
    """Linear stability of a fixed point.

    Attributes:
        kind: By the largest magnitude of the eigenvalues: below 1, at 1 or above, within the tolerance. A
            state that decays by lambda per step has the eigenvalue lambda many times over, so with
            lambda >= 1 - tolerance nothing is "stable".
        radius: That magnitude.
        num_marginal: Eigenvalues of a magnitude at 1, of those that were computed.
        ring: One or two marginal eigenvalues, close to 1 itself, the others contracting: what a point on a
            line or ring of fixed points has (one) or on a surface (two).
    """

    kind: Literal["stable", "marginal", "unstable"]
    radius: float
    num_marginal: int
    ring: bool


def find_fixed_points(step: Step, starts: npt.ArrayLike, search: Search | None = None) -> FixedPoints:
    """Fixed points near some starts.

    Args:
        step: F, of states (S, ...), each on its own; with S = 1 too.
        starts: (S, ...): the ends of periods, `random_rank_one`, ...
        search: Settings; None: the defaults.
    """
    search = Search() if search is None else search
    first = torch.as_tensor(np.asarray(starts, dtype=np.float64), device="cpu")
    points = _by_adam(step, first, search)
    if search.lbfgs_updates:
        points = torch.cat([_by_lbfgs(step, point[None], search) for point in points])
    with torch.no_grad():
        moves = (step(points) - points).flatten(1).norm(dim=1).numpy()
        sizes = points.flatten(1).norm(dim=1).numpy()
    never = np.where(moves > 0, np.inf, 0.0)  # of a state of no length that moves, or does not
    residual = np.divide(moves, sizes, out=never, where=sizes > 0)
    return FixedPoints(points.numpy(), moves**2 / 2, residual, residual <= search.accepted_residual)


def follow_fixed_point(
    step_at: Callable[[float], Step],
    start: npt.ArrayLike,
    parameters: Sequence[float],
    search: Search | None = None,
) -> FixedPoints:
    """The fixed point along a path of parameters, each sought from the one before; S parameters.

    A jump of `points`, or an end of `accepted`, is where the branch ends: a bifurcation.

    Args:
        step_at: F at a parameter, such as the share alpha of two tasks' rules, alpha pro + (1 - alpha) anti.
        start: M near the first one, (...).
        parameters: In small steps.
        search: Settings; None: the defaults.
    """
    branch, point = [], np.asarray(start, dtype=np.float64)
    for parameter in parameters:
        here = find_fixed_points(step_at(parameter), point[None], search)
        branch.append(here)
        point = here.points[0]
    return FixedPoints(*(np.concatenate(parts) for parts in zip(*branch, strict=True)))


def random_rank_one(
    count: int, shape: tuple[int, int], rng: np.random.Generator, size: float = 1.0
) -> Floats:
    """Starts u v^T with Gaussian u, v, of Frobenius norm `size`, (count, N, E)."""
    post, pre = (rng.standard_normal((count, n)) for n in shape)
    post, pre = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (post, pre))
    return np.asarray(size * post[:, :, None] * pre[:, None])


def leading_eigenvalues(
    step: Step, point: npt.ArrayLike, rng: np.random.Generator, count: int = 16
) -> Complexes:
    """The eigenvalues of dF/dM of largest magnitude, falling, (count,) or as many as there are.

    From vector-Jacobian products v^T J: the transpose has the same eigenvalues. These need only the gradient
    of F, which every step of a trained network has.

    Args:
        step: F, of states (1, ...).
        point: M, (...).
        rng: Generator of Arnoldi's first vector.
        count: Number of eigenvalues.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    at = torch.as_tensor(np.asarray(point, dtype=np.float64), device="cpu")[None].requires_grad_()
    with torch.enable_grad():
        after = step(at)
    size = at.numel()

    def product(vector: npt.NDArray[Any]) -> Floats:
        along = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64)).reshape(at.shape)
        (result,) = torch.autograd.grad(after, at, along, retain_graph=True, materialize_grads=True)
        return np.asarray(result.numpy().reshape(-1))

    if not after.requires_grad:  # F does not depend on M
        return np.zeros(min(count, size), dtype=np.complex128)
    if size <= max(2 * count + 1, 64):  # Arnoldi's method needs room; a small J can be written out
        values = np.linalg.eigvals(np.stack([product(row) for row in np.eye(size)]))
    else:
        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        start = rng.standard_normal(size)
        try:
            values = eigs(
                operator, count, which="LM", v0=start, ncv=min(size, 3 * count), return_eigenvectors=False
            )
        except ArpackNoConvergence as error:
            values = error.eigenvalues  # those that did converge
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return np.asarray(values[order], dtype=np.complex128)


def stability(eigenvalues: Complexes, tolerance: float = 0.05) -> Stability:
    """Linear stability of a fixed point, from the leading eigenvalues (k,).

    Args:
        eigenvalues: All of the largest ones, from `leading_eigenvalues`.
        tolerance: Largest distance from 1 of a magnitude that counts as 1.
    """
    magnitudes = np.abs(eigenvalues)
    radius = float(magnitudes.max())
    marginal = np.abs(magnitudes - 1) <= tolerance
    kind: Literal["stable", "marginal", "unstable"] = (
        "stable" if radius < 1 - tolerance else "marginal" if radius <= 1 + tolerance else "unstable"
    )
    at_one = np.abs(eigenvalues[marginal] - 1) <= tolerance
    number = int(marginal.sum())
    ring = kind == "marginal" and number <= 2 and bool(at_one.all())
    return Stability(kind, radius, number, ring)


def _by_adam(step: Step, starts: torch.Tensor, search: Search) -> torch.Tensor:
    """All starts at once. Adam scales every entry by itself, so that none feels the others."""
    points = starts.clone().requires_grad_()
    optimiser = torch.optim.Adam([points], lr=search.learning_rate)
    best = starts.clone()
    best_loss = torch.full((len(starts),), float("inf"), dtype=torch.float64, device="cpu")
    for _ in range(search.adam_updates + 1):
        with torch.enable_grad():
            loss = (step(points) - points).square().flatten(1).mean(1)
            (gradient,) = torch.autograd.grad(loss.sum(), points)
        better = loss.detach() < best_loss
        best[better] = points.detach()[better]
        best_loss = torch.where(better, loss.detach(), best_loss)
        if bool((best_loss <= search.adam_loss).all()):
            break
        points.grad = gradient
        optimiser.step()
    return best


def _by_lbfgs(step: Step, start: torch.Tensor, search: Search) -> torch.Tensor:
    """One start (1, ...); the line search is of one function."""
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point],
        max_iter=search.lbfgs_updates,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def speed() -> torch.Tensor:
        loss = (step(point) - point).square().sum() / 2
        (point.grad,) = torch.autograd.grad(loss, point)
        return loss.detach()

    with torch.enable_grad():
        before = (step(start) - start).square().sum()
        optimiser.step(speed)
    end = point.detach()
    with torch.no_grad():
        after = (step(end) - end).square().sum()
    return end if bool(after <= before) else start
