"""Odd arguments of all tasks, networks and learners end in a finite score or in an error that names them.

Arguments are read off the signatures, so new tasks, agents and settings join by themselves. The number of
examples can be raised: `PLASTIC_ODD_EXAMPLES=5000 pytest tests/agents/test_odd_arguments.py`.
"""

from __future__ import annotations

import inspect
import math
import os
import time
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plastic_agents
from plastic_agents.registry import AGENTS, LEARNERS
from plastic_envs import ENVIRONMENTS, Task, make_task
from plastic_envs.cognitive.settings import CognitiveSettings
from plastic_envs.registry import ENVIRONMENTS as TABLE

EXAMPLES = int(os.environ.get("PLASTIC_ODD_EXAMPLES", "0"))
SECONDS = 5.0

# Sizes that make an example quick; beside them, each task is as registered.
SMALL: dict[str, dict[str, Any]] = {
    "StimulusCoding": {"num_steps": 20, "hold_steps": 5},
    "GraphWalk": {"num_steps": 6},
    "GraphExplore": {"num_steps": 6, "num_questions": 3},
}
SMALL_NETWORK = {"hidden_size": 4, "key_size": 4, "num_units": 4, "width": 8}

ODD: list[Any] = [
    -1, 0, 1, 2, 3, 7, 10**6, 10**9, 10**12, 2**63, 2**64, -(2**64), 10**400,
    0.0, -0.5, 0.5, 1.0, 1.5, 1e-300, 1e-12, 1e30, 1e300, -1e300, math.nan, math.inf, -math.inf,
    None, True, False, "", "x", "1", "config", "acquire", "é", b"x", 1j, object(), print, int,
    [], {}, (), set(), [1], [1, 2], ["x"], [None], [math.nan], {"a": 1}, {1: 2}, {"x": math.nan}, [[]],
    ([], {}),
    np.int64(3), np.int32(-1), np.float64(0.5), np.float32(math.inf), np.bool_(True), np.array(2),
    np.array([1.0, 2.0]), np.array([]), np.zeros((2, 2)), np.str_("x"), np.datetime64("2020"),
]  # fmt: skip


def small_arguments(env_id: str) -> dict[str, Any]:
    name = TABLE[env_id]["task"].partition(":")[2]
    return SMALL.get(name, {})


def class_of(env_id: str) -> type[Task]:
    return type(make_task(env_id, **small_arguments(env_id)))


def arguments_of_task(env_id: str) -> list[str]:
    names = list(inspect.signature(class_of(env_id).__init__).parameters)[1:]
    if "settings" in names:
        names = [field.name for field in fields(CognitiveSettings)]
    return names


TASK_CASES = [(env_id, name) for env_id in sorted(ENVIRONMENTS) for name in arguments_of_task(env_id)]
NETWORKS = [name for name, spec in AGENTS.items() if spec.kind == "network"]
NETWORK_CASES = [
    (agent, name)
    for agent in NETWORKS
    for name in [*sorted(AGENTS[agent].accepted() or ()), "seed", "device"]
]
LEARNER_CASES = [
    (method, field.name) for method, learner in LEARNERS.items() for field in fields(learner.Config)
]
TASK_OF_METHOD = {
    "three-factor": ("three-factor", "StimulusCoding-estimation-v0"),
    "problem-sequence": ("leaky-softplus", "SensorimotorAssociation-v0"),
    "actor-critic": ("rnn", "TransitiveInference-v0"),
}


def play(task: Task) -> None:
    """Sample two episodes and score random actions, and the chance that the task names."""
    episodes = task.sample(np.random.default_rng(0), 2)
    agent = plastic_agents.make("random", task)
    score = task.metrics(episodes, agent.act_on(episodes))["score"]
    assert np.isfinite(episodes.observations).all()
    assert math.isfinite(score)
    assert math.isfinite(task.chance)


def learn(agent: Any, method: str) -> None:
    """Train one tiny update, then score."""
    if method == "problem-sequence":
        agent.learn(total_timesteps=200)
    else:
        agent.learn(updates=1)
    episodes = agent.task.with_split("test").sample(np.random.default_rng(0), 2)
    score = agent.task.metrics(episodes, agent.act_on(episodes))["score"]
    assert math.isfinite(score)


def use_task(env_id: str, name: str, value: Any) -> None:
    play(make_task(env_id, **{**small_arguments(env_id), name: value}))


def use_network(agent: str, name: str, value: Any) -> None:
    method = AGENTS[agent].method
    env_id = TASK_OF_METHOD[method][1] if method != "supervised" else "PlasticGraph-disjoint-v0"
    spec = AGENTS[agent].accepted() or set()
    small = {k: v for k, v in SMALL_NETWORK.items() if k in spec}
    task = make_task(env_id, **small_arguments(env_id))
    learner = {"batch_size": 2, "validation_episodes": 2}
    learn(plastic_agents.make(agent, task, learner=learner, **{**small, name: value}), method)


def use_learner(method: str, name: str, value: Any) -> None:
    agent, env_id = TASK_OF_METHOD.get(method, ("rnn", "PlasticGraph-disjoint-v0"))
    small = {k: v for k, v in SMALL_NETWORK.items() if k in (AGENTS[agent].accepted() or set())}
    task = make_task(env_id, **small_arguments(env_id))
    tiny = {"batch_size": 1 if method == "problem-sequence" else 2, "validation_episodes": 2}
    learner = {**tiny, name: value}
    learn(plastic_agents.make(agent, task, method=method, learner=learner, **small), method)


USES = {
    **{("task", *case): use_task for case in TASK_CASES},
    **{("network", *case): use_network for case in NETWORK_CASES},
    **{("learner", *case): use_learner for case in LEARNER_CASES},
}


def complaint(case: tuple[str, str, str], value: Any) -> str | None:
    """What is wrong with what an odd value led to; None if nothing is."""
    _, owner, name = case
    started = time.process_time()
    try:
        USES[case](owner, name, value)
    except (ValueError, TypeError) as error:
        if name not in str(error):
            return f"{type(error).__name__} without the name: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    seconds = time.process_time() - started
    return f"{seconds:.1f} s" if seconds > SECONDS else None


@pytest.fixture(scope="module")
def compiled() -> None:
    """Learning rules compile at their first use, which is not what is timed."""
    for method in ("three-factor", "problem-sequence"):
        use_learner(method, "updates", 1)


@pytest.mark.filterwarnings("default")
@settings(
    max_examples=EXAMPLES or 250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(case=st.sampled_from(sorted(USES)), value=st.sampled_from(ODD))
def test_an_odd_argument_gives_a_finite_score_or_an_error_that_names_it(
    compiled: None, case: tuple[str, str, str], value: Any
) -> None:
    """Part 3 of the report of faults: a seventh of such arguments ended in nonsense, a crash or no end."""
    assert complaint(case, value) is None
