"""Fixed points and their stability, on maps where both are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plastic_agents.analysis import fixed_points as fp

torch.set_num_threads(1)


def ring(states: torch.Tensor) -> torch.Tensor:
    """Ring attractor of radius 1 in the first two entries: eigenvalues 1 along, 0.4 across; 0.5 elsewhere."""
    plane, rest = states[:, 0, :2], states[:, 0, 2:]
    radius = plane.norm(dim=1, keepdim=True)
    return torch.cat((plane * (1 + 0.6 * (1 - radius)), 0.5 * rest), 1)[:, None]


def test_linear_map_has_its_fixed_point_and_eigenvalues():
    rng = np.random.default_rng(0)
    size = 100
    values = np.concatenate(([0.98, -0.9, 0.8], rng.uniform(-0.3, 0.3, size - 5)))
    block = np.zeros((size, size))
    block[:-2, :-2] = np.diag(values)
    block[-2:, -2:] = 0.7 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    basis = rng.standard_normal((size, size)) / 30 + np.eye(size)
    matrix = torch.as_tensor(basis @ block @ np.linalg.inv(basis))
    truth = rng.standard_normal((4, 25))
    shift = torch.as_tensor(truth.ravel() - matrix.numpy() @ truth.ravel())

    def step(states: torch.Tensor) -> torch.Tensor:
        return (states.flatten(1) @ matrix.T + shift).reshape(states.shape)

    starts = truth + 0.05 * rng.standard_normal((3, 4, 25))
    found = fp.find_fixed_points(step, starts, fp.Search(adam_updates=100))
    assert found.points.shape == (3, 4, 25)
    assert found.accepted.all()
    np.testing.assert_allclose(found.points, np.stack([truth] * 3), atol=0.01)
    assert found.speed.max() < 1e-7
    eigenvalues = fp.leading_eigenvalues(step, truth, rng, count=5)
    expected = [0.98, -0.9, 0.8, 0.7 * np.exp(1j), 0.7 * np.exp(-1j)]
    np.testing.assert_allclose(np.abs(eigenvalues), np.abs(expected), atol=1e-8)
    np.testing.assert_allclose(eigenvalues[:3], expected[:3], atol=1e-8)
    np.testing.assert_allclose(sorted(eigenvalues[3:].imag), 0.7 * np.sin([-1, 1]), atol=1e-8)
    again = fp.leading_eigenvalues(step, truth, np.random.default_rng(1), count=5)
    np.testing.assert_allclose(np.abs(again), np.abs(eigenvalues), atol=1e-8)


def test_arnoldi_finds_many_equal_eigenvalues_and_those_above():
    """What a plastic layer has: lambda as often as there are synapses, and a few on top."""
    rng = np.random.default_rng(1)
    post, pre = rng.standard_normal(40), rng.standard_normal((2, 30))

    def step(states: torch.Tensor) -> torch.Tensor:
        weights = torch.as_tensor(post)[:, None] * torch.as_tensor(pre[0])
        along = (states * torch.as_tensor(pre[1])).sum(-1, keepdim=True)
        return 0.9 * states + 0.02 * along * weights / 40

    found = fp.leading_eigenvalues(step, np.zeros((40, 30)), rng)
    own = 0.9 + 0.02 * post / 40 * (pre[0] @ pre[1])
    np.testing.assert_allclose(found.real.max(), own.max(), atol=1e-6)
    assert len(found) == 16
    np.testing.assert_allclose(found.imag, 0, atol=1e-6)
    flat = fp.leading_eigenvalues(lambda states: 0.7 * states, np.zeros((40, 30)), rng)
    np.testing.assert_allclose(flat, 0.7, atol=1e-8)
    still = fp.leading_eigenvalues(lambda states: torch.ones_like(states), np.zeros((40, 30)), rng)
    np.testing.assert_array_equal(still, 0)


def test_ring_attractor():
    rng = np.random.default_rng(2)
    starts = np.zeros((6, 1, 40))
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    starts[:, 0, :2] = np.stack((np.cos(angles), np.sin(angles)), 1) * rng.uniform(0.8, 1.2, (6, 1))
    starts[:, 0, 2:] = 0.1 * rng.standard_normal((6, 38))
    found = fp.find_fixed_points(ring, starts)
    assert found.accepted.all()
    np.testing.assert_allclose(np.linalg.norm(found.points[:, 0, :2], axis=1), 1, atol=1e-3)
    alone = fp.find_fixed_points(
        ring, starts, fp.Search(adam_updates=0)
    )  # which does not move along the ring
    x, y = alone.points[:, 0, :2].T
    np.testing.assert_allclose(np.unwrap(np.arctan2(y, x)), angles, atol=0.01)
    eigenvalues = fp.leading_eigenvalues(ring, found.points[2], rng, count=3)
    np.testing.assert_allclose(eigenvalues, [1, 0.5, 0.5], atol=1e-3)
    assert fp.stability(eigenvalues) == ("marginal", pytest.approx(1.0, abs=1e-3), 1, True)


def test_what_is_not_fixed_is_not_accepted():
    found = fp.find_fixed_points(lambda m: m + 1, np.ones((2, 3)), fp.Search(adam_updates=5))
    assert not found.accepted.any()
    np.testing.assert_allclose(found.speed, 1.5)
    origin = fp.find_fixed_points(lambda m: m / 2, np.zeros((1, 3)))
    assert origin.accepted.all()
    assert origin.residual[0] == 0


def test_kinds_of_stability():
    assert fp.stability(np.array([0.5 + 0.5j, 0.5 - 0.5j])).kind == "stable"
    assert fp.stability(np.array([1.2, 0.99 + 0j])) == ("unstable", 1.2, 1, False)
    assert fp.stability(np.array([0.97, 1.02, 0.1 + 0j])).ring
    assert not fp.stability(np.array([0.99j, -0.99j])).ring  # turns: no line of fixed points
    assert not fp.stability(np.full(16, 0.99 + 0j)).ring


def test_following_a_fixed_point_to_its_end():
    """x <- x + a - x^2: a fixed point at sqrt(a), which meets -sqrt(a) and ends at a = 0."""
    shares = np.array([0.5, 0.3, 0.1, -0.2])
    search = fp.Search(adam_updates=500)
    found = fp.follow_fixed_point(lambda a: lambda x: x + a - x**2, [0.7], shares, search)
    np.testing.assert_allclose(found.points[:3, 0], np.sqrt(shares[:3]), atol=1e-3)
    assert found.accepted.tolist() == [True, True, True, False]


def test_starts_of_rank_one():
    starts = fp.random_rank_one(4, (5, 7), np.random.default_rng(3), size=2.0)
    np.testing.assert_allclose(np.linalg.norm(starts, axis=(1, 2)), 2.0)
    assert (np.linalg.matrix_rank(starts) == 1).all()
