"""Networks that come with the suite do what they are said to do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import plastic_agents
import plastic_envs
from plastic_agents import pretrained
from plastic_agents.agent import NetworkAgent
from plastic_agents.analysis.transitive import choices_of, pair_tables, sham_pattern
from plastic_envs.transitive.task import TransitiveInference

ACTIVE = "transitive-neuromodulated-1"
LISTS = ((0, 1, 2, 3), (4, 5, 6, 7))


def played(agent: NetworkAgent, task: TransitiveInference, episodes: int) -> npt.NDArray[np.float64]:
    """Accuracy by pair (8, 8) in the last trial (linking) or the last ten trials (standard test)."""
    batch = task.sample(np.random.default_rng(5), episodes)
    choices = choices_of(batch, agent.act_on(batch, task), task.layout)
    return np.asarray(pair_tables(choices.trials(task.layout.is_test))[0])


@pytest.fixture(scope="module")
def agent() -> NetworkAgent:
    """A shipped network with the active solution."""
    loaded = plastic_agents.load(ACTIVE, device="cpu")
    assert isinstance(loaded, NetworkAgent)
    return loaded


def made(env_id: str, **arguments: object) -> TransitiveInference:
    task = plastic_envs.make_task(env_id, num_items=8, split="test", **arguments)
    assert isinstance(task, TransitiveInference)
    return task


def test_transitive_inference_and_distance_effect(agent: NetworkAgent) -> None:
    """Miconi & Kay 2025: a little over 0.90 on 8 items; accuracy rises with distance, up to 1.00 at 7."""
    table = played(agent, made("TransitiveInference-v0"), 300)
    by_distance = [np.nanmean(np.diagonal(table, k)) for k in range(1, 8)]
    assert 0.88 < np.nanmean(table[np.triu_indices(8, 1)]) < 1.0
    assert by_distance[0] < by_distance[3] < by_distance[6]
    assert by_distance[6] > 0.97


def test_linking_joins_two_lists_and_a_sham_does_not(agent: NetworkAgent) -> None:
    """Miconi & Kay 2025, linking: across lists well above chance; sham: D before E almost never."""
    linked = played(agent, made("TransitiveInference-linking-v0"), 400)
    assert np.nanmean(linked[:4, 4:]) > 0.8
    sham = made("TransitiveInference-linking-v0", schedule=("sham", {}))
    pattern = sham_pattern(np.nan_to_num(played(agent, sham, 400), nan=0.5), LISTS)
    assert pattern.disagree < 0.25 < 0.75 < pattern.agree


@pytest.mark.parametrize("name", pretrained.names())
def test_every_shipped_network_loads_and_answers(name: str) -> None:
    loaded = plastic_agents.load(name, device="cpu")
    space = loaded.task.observation_space
    action, _ = loaded.predict(space.sample()[None], None, np.ones(1, dtype=bool))
    assert len(action) == 1
    assert pretrained.record(name)["seed"] >= 0
