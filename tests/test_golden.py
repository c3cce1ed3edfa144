"""Numbers that no change of the code's structure may move: short runs, sampled episodes, shipped networks.

`golden.json` beside this file was written by `python tests/test_golden.py --write`. Write it anew only where
a number is meant to move, and say in the changelog which one and why. Whole numbers and truth values are
compared to the last bit. Floats are compared by summaries within 1e-4 of their size: processors round
differently, and a run of some updates multiplies that.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from plastic_agents import pretrained

GOLDEN = Path(__file__).with_name("golden.json")


class Short(NamedTuple):
    """A short run: agent and environment, and what differs from the defaults."""

    agent: str
    env: str
    updates: int = 3
    method: str | None = None
    env_kwargs: dict[str, Any] = {}
    agent_kwargs: dict[str, Any] = {}
    learner: dict[str, Any] = {}


_SMALL = {"batch_size": 4, "validation_episodes": 4, "evaluate_every": 2}
_TRIALS = {"updates": 3, "criterion": 0.6, "window": 10, "max_trials": 300, "learning_rate": 3e-3}
RUNS = {
    "plastic-disjoint": Short("plastic", "PlasticGraph-disjoint-v0"),
    "published-standard": Short(
        "plastic-published", "PlasticGraph-standard-v0", agent_kwargs={"hidden_size": 16}
    ),
    "rnn-switch": Short("rnn", "PlasticGraph-switch-v0", agent_kwargs={"hidden_size": 16}),
    "plastic-explore": Short("plastic", "PlasticGraph-explore-v0"),
    "gru-evidence": Short("gru", "EvidenceIntegration-v0", agent_kwargs={"hidden_size": 8}),
    "lstm-block": Short("lstm", "SensorimotorAssociation-block-v0", agent_kwargs={"hidden_size": 8}),
    "transformer-delaygo": Short("transformer", "Cognitive-delaygo-v0"),
    "mpn-everything": Short(
        "mpn", "Cognitive-everything-v0", agent_kwargs={"hidden_size": 16},
        learner={"mixture": "errors", "mixture_floor": 0.3},
    ),
    "leaky-vector": Short("leaky-rnn", "Cognitive-dm1-vector-v0", agent_kwargs={"hidden_size": 16}),
    "neuromodulated-inference": Short(
        "neuromodulated", "TransitiveInference-v0", agent_kwargs={"hidden_size": 12}
    ),
    "gru-linking": Short(
        "gru", "TransitiveInference-linking-v0", method="actor-critic", agent_kwargs={"hidden_size": 12}
    ),
    "three-factor-estimation": Short(
        "three-factor", "StimulusCoding-estimation-v0", env_kwargs={"num_steps": 60}
    ),
    "three-factor-classification": Short(
        "three-factor", "StimulusCoding-classification-v0", env_kwargs={"num_steps": 60}
    ),
    "three-factor-delaydm1": Short("three-factor", "Cognitive-delaydm1-v0"),
    "softplus-problems": Short(
        "leaky-softplus", "SensorimotorAssociation-v0", method="problem-sequence",
        env_kwargs={"dt_ms": 20}, agent_kwargs={"num_units": 12}, learner=_TRIALS,
    ),
    "softplus-supervised": Short(
        "leaky-softplus", "SensorimotorAssociation-v0", method="supervised",
        env_kwargs={"dt_ms": 20}, agent_kwargs={"num_units": 12},
    ),
}  # fmt: skip
ENVS = sorted(plastic_envs.ENVIRONMENTS)


def fingerprint(array: np.ndarray[Any, Any]) -> list[Any]:
    """A shape, and a hash of whole numbers or the summaries of floats that a change of one entry moves."""
    values = np.ascontiguousarray(array)
    if values.dtype.kind in "iubSU":
        wide = values if values.dtype.kind in "SU" else values.astype(np.int64)
        return [list(values.shape), hashlib.sha256(wide.tobytes()).hexdigest()[:16]]
    flat = values.astype(np.float64).ravel()
    waves = np.sin(np.arange(1, flat.size + 1) * 0.7391) if flat.size else flat
    finite = np.where(np.isfinite(flat), flat, 3.0)
    return [list(values.shape), *(float(f"{v:.9g}") for v in (np.abs(finite).sum(), finite @ waves))]


def episodes_of(env: str) -> dict[str, Any]:
    """Fingerprints of three episodes of an environment's task, and how random actions score in them."""
    task = plastic_envs.make_task(env)
    episodes = task.sample(np.random.default_rng(11), 3)
    names = ("observations", "targets", "periods", "resets", "lengths")
    prints = {name: fingerprint(getattr(episodes, name)) for name in names}
    prints |= {f"facts/{k}": fingerprint(np.asarray(v)) for k, v in sorted(episodes.facts.items())}
    prints |= {f"step_facts/{k}": fingerprint(np.asarray(v)) for k, v in sorted(episodes.step_facts.items())}
    return prints


def run_of(short: Short) -> dict[str, Any]:
    """The weights that a short run ends with, and the score on the test split."""
    task = plastic_envs.make_task(short.env, **short.env_kwargs)
    settings = {**({} if short.method == "problem-sequence" else _SMALL), **short.learner}
    settings |= {"updates": short.updates}
    agent = plastic_agents.make(
        short.agent, task, seed=5, device="cpu", method=short.method, learner=settings, **short.agent_kwargs
    )
    agent.learn(updates=short.updates)
    weights = {k: fingerprint(v.numpy()) for k, v in sorted(agent.network.state_dict().items())}
    return {"score": score_of(agent, task), "weights": weights}


def score_of(agent: Any, task: Any) -> float:
    """The score on eight episodes of the test split."""
    test = task.with_split("test")
    episodes = test.sample(np.random.default_rng(7), 8)
    actions = agent.act_on(episodes, test, torch.Generator().manual_seed(3))
    return float(test.metrics(episodes, actions)["score"])


def shipped_score(name: str) -> float:
    """The score of a shipped network."""
    agent = plastic_agents.load(name, device="cpu")
    return score_of(agent, agent.task)


def assert_alike(new: Any, old: Any, where: str) -> None:
    """Equal structure and whole numbers; floats within 1e-4 of their size."""
    if isinstance(old, dict):
        assert sorted(new) == sorted(old), where
        for name, value in old.items():
            assert_alike(new[name], value, f"{where}/{name}")
    elif isinstance(old, list):
        assert len(new) == len(old), where
        if len(old) == 3 and isinstance(old[1], float):  # the sum of sizes tells how large rounding may be
            assert new[0] == old[0], where
            assert new[1:] == pytest.approx(old[1:], rel=1e-4, abs=1e-4 * abs(old[1]) + 1e-7), where
        else:
            assert new == old, where
    else:
        assert new == pytest.approx(old, rel=1e-4, abs=1e-4), where


def _golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", RUNS)
def test_a_short_run_ends_with_the_golden_weights_and_score(name: str) -> None:
    assert_alike(run_of(RUNS[name]), _golden()["runs"][name], name)


@pytest.mark.parametrize("env", ENVS)
def test_sampled_episodes_are_the_golden_ones(env: str) -> None:
    assert_alike(episodes_of(env), _golden()["episodes"][env], env)


@pytest.mark.parametrize("name", pretrained.names())
def test_a_shipped_network_scores_as_before(name: str) -> None:
    assert_alike(shipped_score(name), _golden()["shipped"][name], name)


def test_nothing_golden_is_left_out() -> None:
    golden = _golden()
    assert sorted(golden["runs"]) == sorted(RUNS)
    assert set(golden["episodes"]) <= set(ENVS)
    assert set(golden["shipped"]) <= set(pretrained.names())


def _write() -> None:
    torch.set_num_threads(1)
    content = {
        "runs": {name: run_of(short) for name, short in RUNS.items()},
        "episodes": {env: episodes_of(env) for env in ENVS},
        "shipped": {name: shipped_score(name) for name in pretrained.names()},
    }
    GOLDEN.write_text(
        json.dumps(content, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python tests/test_golden.py --write: write tests/golden.json anew")
    _write()
