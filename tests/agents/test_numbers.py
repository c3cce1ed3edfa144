"""Numbers that were wrong, or would have been, without a sign: draws, derivatives, seeds, constants."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

import plastic_agents
import plastic_envs
from plastic_agents import NetworkAgent
from plastic_agents.analysis import coding
from plastic_agents.analysis.playing import passages
from plastic_agents.learners.base import same_weights, weights_of
from plastic_agents.networks import MPN
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_agents.networks.normalised_hebb.rule import normalised_hebbian

Function = Callable[[torch.Tensor], torch.Tensor]


def test_passages_draw_from_the_policy() -> None:
    """P1: uniform noise in place of Gumbel noise; at p = .67 action 1 was taken in 93 % of cases."""
    agent = plastic_agents.load("transitive-neuromodulated-1", device="cpu")
    assert isinstance(agent, NetworkAgent)
    task = plastic_envs.make_task("TransitiveInference-linking-v0")
    generator = torch.Generator().manual_seed(1)
    (passage,) = passages(agent, task, 300, np.random.default_rng(8), generator, batch_size=300)
    chance = torch.softmax(torch.tensor(passage.outputs), -1)[..., 1].numpy()
    for low in np.arange(0.1, 0.9, 0.1):
        inside = (chance > low) & (chance < low + 0.1)
        share, expected = passage.actions[inside].mean(), chance[inside].mean()
        assert abs(share - expected) < 4 * (0.25 / inside.sum()) ** 0.5, low


def _mpn(path: Any) -> Function:
    torch.manual_seed(0)
    network = MPN(4, 6, 2).double()
    network.plastic[0].path = path
    return lambda x: network(x)[0].square().sum()


def _neuromodulated(path: Any) -> Function:
    torch.manual_seed(0)
    network = Neuromodulated(4, 5, 2, path=path).double()
    resets = torch.zeros(8, 1, dtype=torch.bool)
    resets[::4] = True
    return lambda x: network(x.repeat(2, 1, 1)[:8], None, resets)[0].square().sum()


def _published(path: Any) -> Function:
    random = torch.Generator().manual_seed(0)
    keys, values, queries, start = (
        torch.randn(1, count, 4, dtype=torch.double, generator=random) for count in (5, 5, 6, 4)
    )
    start = torch.nn.functional.normalize(start, dim=2)

    def reads(x: torch.Tensor) -> torch.Tensor:
        shift = 0.1 * x.transpose(0, 1)
        return (
            normalised_hebbian(keys + shift, values + shift, queries, start, [1, 2, 3, 4, 5, 5], path=path)[0]
            .square()
            .sum()
        )

    return reads


ENTRIES: dict[str, Callable[[Function, torch.Tensor], torch.Tensor]] = {
    "hessian": lambda f, x: torch.autograd.functional.hessian(f, x).reshape(x.numel(), -1),
    "hvp": lambda f, x: torch.autograd.functional.hvp(f, x, torch.ones_like(x))[1],
    "backward with create_graph": lambda f, x: _penalty(f, x, by_backward=True),
    "grad with create_graph": lambda f, x: _penalty(f, x, by_backward=False),
    "torch.func.hessian": lambda f, x: torch.func.hessian(f)(x).reshape(x.numel(), -1),
    "forward mode": lambda f, x: _forward(f, x),
}


def _penalty(f: Function, x: torch.Tensor, by_backward: bool) -> torch.Tensor:
    x = x.clone().requires_grad_()
    if by_backward:
        f(x).backward(create_graph=True)
        gradient = x.grad
    else:
        (gradient,) = torch.autograd.grad(f(x), x, create_graph=True)
    assert gradient is not None
    x.grad = None
    (penalty,) = torch.autograd.grad(gradient.square().sum(), x)
    return penalty


def _forward(f: Function, x: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
        assert tangent is not None
        return tangent


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("make", [_mpn, _neuromodulated, _published])
def test_second_derivatives_of_fast_paths_are_those_of_the_loop(
    make: Callable[[Any], Function], entry: str
) -> None:
    """P3: through `autograd.grad` terms were dropped silently: -4.486 in place of 0.637, 0.0 of 36.2."""
    x = torch.randn(5, 1, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    ours, plain = (ENTRIES[entry](make(path), x) for path in ("fast", "loop"))
    assert plain.abs().max() > 1e-6
    torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-9)


def test_agents_made_in_threads_have_the_weights_of_their_seeds() -> None:
    """K5: 109 of 120 networks had others, as all threads seeded one generator."""
    seeds = list(range(8))
    alone = [weights_of(_small(seed).network) for seed in seeds]
    for _ in range(3):
        made: dict[int, NetworkAgent] = {}
        threads = [threading.Thread(target=_note, args=(made, seed)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(same_weights(weights_of(made[s].network), alone[s]) for s in seeds)


def _note(agents: dict[int, NetworkAgent], seed: int) -> None:
    agents[seed] = _small(seed)


def _small(seed: int) -> NetworkAgent:
    agent = plastic_agents.make("gru", "EvidenceIntegration-v0", seed=seed, hidden_size=16, device="cpu")
    assert isinstance(agent, NetworkAgent)
    return agent


@pytest.mark.parametrize("name", sorted(n for n, s in plastic_agents.AGENTS.items() if s.kind == "network"))
def test_agents_play_whatever_the_default_device(name: str) -> None:
    """F18: tensors were made on torch's default device, beside networks on the CPU."""
    env = "TransitiveInference-v0" if name == "neuromodulated" else "PlasticGraph-disjoint-v0"
    agent = plastic_agents.make(name, env, device="cpu")
    episodes = agent.task.sample(np.random.default_rng(0), 2)
    with torch.device("meta"):
        agent.predict(np.zeros((2, *agent.observation_space.shape), np.float32))
        agent.act_on(episodes)


@pytest.mark.parametrize(
    ("name", "method"),
    [("plastic", None), ("gru", "actor-critic"), ("three-factor", "three-factor"), ("leaky-softplus", None)],
)
def test_agents_learn_whatever_the_default_device(name: str, method: str | None) -> None:
    """F18: `torch.as_tensor` of an array goes to the default device; `three-factor` could not learn."""
    rows: dict[str, list[dict[str, float]]] = {"cpu": [], "meta": []}
    for device, seen in rows.items():
        settings = {"batch_size": 2, "validation_episodes": 2, "log_every": 1}
        agent = plastic_agents.make(
            name, "EvidenceIntegration-v0", device="cpu", method=method, learner=settings
        )
        with torch.device(device):
            agent.learn(updates=2, callback=lambda agent, update, row, seen=seen: seen.append(row))
    assert len(rows["cpu"]) == 2
    for plain, elsewhere in zip(rows["cpu"], rows["meta"], strict=True):
        same = [key for key in plain if "second" not in key]  # but for how long it took
        assert {key: plain[key] for key in same} == {key: elsewhere[key] for key in same}


def test_a_fixed_rate_of_forgetting_is_kept_in_a_file(tmp_path: Path) -> None:
    """P7: lambda and eta that are not trained were in no checkpoint; .7 came back as .99."""
    agent = plastic_agents.make("mpn", "EvidenceIntegration-v0", hidden_size=4, device="cpu")
    assert isinstance(agent, NetworkAgent)
    agent.network.plastic[0].decay.data.fill_(0.7)
    agent.save(tmp_path / "agent.pt")
    loaded = plastic_agents.load(tmp_path / "agent.pt", device="cpu")
    assert isinstance(loaded, NetworkAgent)
    assert float(loaded.network.plastic[0].decay) == pytest.approx(0.7)
    assert any(key.endswith("decay") for key in MPN(3, 4, 2, lambda_max=0.9).state_dict())


def test_noise_at_an_angle_without_samples_is_undefined() -> None:
    """P16: it was a LinAlgError."""
    rng = np.random.default_rng(0)
    moments = coding.by_angle(rng.standard_normal((50, 4)), np.arange(50) % 11, 12)
    share = coding.noise_in_decoder_space(moments.covariance, np.ones((1, 4)))
    np.testing.assert_array_equal(np.isnan(share), np.arange(12) == 11)


@pytest.mark.slow
def test_agents_run_without_numbas_compiler() -> None:
    """F21: it was a NotImplementedError."""
    code = """
import plastic_agents, plastic_envs
task = plastic_envs.make_task("EvidenceIntegration-v0", num_tokens=4)
learner = {"batch_size": 2, "validation_episodes": 2}
for name in ("mpn", "three-factor", "leaky-softplus"):
    plastic_agents.make(name, task, device="cpu", learner=learner).learn(updates=1)
"""
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_package_is_imported_where_nothing_may_be_written(tmp_path: Path) -> None:
    """K13: without a folder for Numba's cache the import failed."""
    code = """
import numba
from numba.core import caching
def refuse(self, py_func):
    raise RuntimeError("cannot cache function: no locator available")
caching.CompileResultCacheImpl.__init__ = refuse
import plastic_agents
from plastic_agents.networks.compiling import compiled
plastic_agents.make("mpn", "EvidenceIntegration-v0", hidden_size=4, device="cpu")
assert compiled(lambda x: x + 1)(1) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
