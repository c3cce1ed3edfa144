"""Arguments and states that every agent refuses or takes alike, whether it learns or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import plastic_agents
from plastic_agents.networks.sampling import gumbel

ENV = "TransitiveInference-v0"


@pytest.fixture
def other_defaults() -> Iterator[None]:
    """Torch's default device and type are other ones than a user would meet first."""
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_device("cpu")
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["gru", "random"])
@pytest.mark.parametrize("keyword", ["log_interval", "tb_log_name", "reset_num_timesteps"])
def test_other_arguments_of_stable_baselines_are_refused_with_advice(name: str, keyword: str) -> None:
    """F31: Python's message said only that the argument was unexpected."""
    with pytest.raises(TypeError, match=rf"{keyword}.*log_every"):
        plastic_agents.make(name, ENV, device="cpu").learn(10, **{keyword: 1})


def test_an_oracle_refuses_a_state_of_other_environments() -> None:
    """F16, of agents without a network: the ideal observer silently forgot all it had seen."""
    agent = plastic_agents.make("oracle", ENV)
    size = agent.observation_space.shape[0]
    _, state = agent.predict(np.zeros((3, size), np.float32))
    agent.predict(np.zeros((3, size), np.float32), state)
    for rows in (1, 5):
        with pytest.raises(ValueError, match="of 3 environments"):
            agent.predict(np.zeros((rows, size), np.float32), state)


@pytest.mark.parametrize("name", ["gru", "oracle", "random"])
def test_every_agent_is_saved_by_the_same_call(name: str, tmp_path: Path) -> None:
    """P8: `optimizer=True` must not depend on whether the agent learns."""
    plastic_agents.make(name, ENV, device="cpu").save(tmp_path / "agent.pt", optimizer=True)
    assert plastic_agents.load(tmp_path / "agent.pt", device="cpu").name == name


def test_choices_are_drawn_alike_whatever_the_defaults_of_torch(other_defaults: None) -> None:
    """F18, F17: noise was made on the default device, and in the default type was other noise."""
    agent = plastic_agents.make("random", ENV)
    assert agent.act_on(agent.task.sample(np.random.default_rng(0), 2)).shape[1] == 2
    drawn = gumbel((5, 3, 2), torch.Generator().manual_seed(0))
    torch.set_default_device("cpu")
    torch.set_default_dtype(torch.float32)
    assert torch.equal(drawn, gumbel((5, 3, 2), torch.Generator().manual_seed(0)))
