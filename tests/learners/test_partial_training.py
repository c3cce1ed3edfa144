from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import plastic_agents
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.gradient import GradientConfig
from plastic_agents.learners.partial import trained_entries
from plastic_agents.learners.supervised import SupervisedConfig

_ENV = "EvidenceIntegration-v0"


def agent(name: str = "mpn", hidden: int = 6, arguments: Any = None, **learner: Any) -> NetworkAgent:
    settings = {"batch_size": 4, "evaluate_every": 2, "validation_episodes": 8, "updates": 6, **learner}
    made = plastic_agents.make(
        name, _ENV, device="cpu", learner=settings, hidden_size=hidden, **(arguments or {})
    )
    assert isinstance(made, NetworkAgent)
    return made


def weights(agent: NetworkAgent) -> dict[str, torch.Tensor]:
    return {name: w.clone() for name, w in agent.network.state_dict().items()}


class Latest:
    """Notes the weights after each update, before the best ones are put in place."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.weights: dict[str, torch.Tensor] = {}
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.state: dict[str, Any] = {}
        self._stop_at = stop_at

    def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
        pass

    def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool | None:
        self.weights = weights(agent)
        self.rows.append((update, row))
        if update == self._stop_at:
            self.state = agent.training_state()
            return False
        return None


def test_only_the_entries_named_are_changed_whatever_else_pulls_at_them() -> None:
    pulls = {"weight_decay": 0.1, "weight_penalty": 0.1, "learning_rate": 0.05}
    for name, part in (("mpn", "embedding.weight[:, -1]"), ("leaky-rnn", "encode.weight[:, 3:5]")):
        made = agent(name, trained=[part, "readout.*[0]"], **pulls)
        before, latest = weights(made), Latest()
        made.learn(callback=latest)
        parameter = part.partition("[")[0]
        changed = {key: (latest.weights[key] != before[key]) for key in before if "decay" not in key}
        columns = changed[parameter].any(0).nonzero()[:, 0].tolist()
        assert columns == ([49] if name == "mpn" else [3, 4])
        assert changed.pop("readout.weight").any(1).tolist() == [True, False, False]
        assert not any(bool(entries.any()) for key, entries in changed.items() if key != parameter)


def test_a_part_learns_as_the_whole_does_there() -> None:
    """Adam's first step in the part is that in the whole: its size does not depend on the gradient's."""
    whole, part = agent(max_grad_norm=1e9), agent(max_grad_norm=1e9, trained=["layers.0.bias[:3]"])
    notes = Latest(), Latest()
    for made, note in zip((whole, part), notes, strict=True):
        made.learn(updates=1, callback=note)
    bias = [note.weights["layers.0.bias"] for note in notes]
    torch.testing.assert_close(bias[0][:3], bias[1][:3])
    assert not torch.equal(bias[0][3:], bias[1][3:])


def test_what_is_trained_survives_a_stop() -> None:
    settings: dict[str, Any] = {"trained": ["embedding.weight[:, 1]", "layers.0.eta"], "schedule": "plateau"}
    straight, halves = Latest(), Latest()
    agent(**settings).learn(callback=straight)
    stopped = Latest(stop_at=3)
    agent(**settings).learn(callback=stopped)
    resumed = agent(**settings)
    resumed.load_training_state(stopped.state)
    resumed.learn(callback=halves)
    for name, expected in straight.weights.items():
        assert torch.equal(expected, halves.weights[name])


def test_parts_are_named_by_patterns_and_indices() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False))
    found = trained_entries(network, ["0.weight[:, 1]", "0.weight[2]", "1.*"])
    mask = found["0.weight"]
    assert mask is not None
    expected = torch.zeros(3, 4, dtype=torch.bool)
    expected[:, 1], expected[2] = True, True
    assert torch.equal(mask, expected)
    assert found["1.weight"] is None
    assert set(found) == {"0.weight", "1.weight"}
    # All entries, in parts or at once, are a whole; so is what a wider part names too.
    assert trained_entries(network, ["0.weight[:2]", "0.weight[2:]", "0.bias[-3:]"]) == {
        "0.weight": None,
        "0.bias": None,
    }
    assert trained_entries(network, ["0.weight", "0.weight[0]"]) == {"0.weight": None}
    network[1].weight.requires_grad_(False)
    for part, message in (
        ("2.*", "no parameter of that name is trained; there are"),
        ("1.weight", "no parameter of that name"),
        ("0.weight[:, 4]", r"is of shape \(3, 4\)"),
        ("0.weight[:, 4:]", "names no entry"),
        ("0.weight[0, 0, 0]", r"is of shape \(3, 4\)"),
        ("0.weight[::2]", "neither an integer nor a slice"),
        ("0.weight[]", "neither an integer nor a slice"),
        ("0.weight[x]", "neither an integer nor a slice"),
        ("[0]", "expected a pattern"),
    ):
        with pytest.raises(ValueError, match=message):
            trained_entries(network, [part])


# ---- stopping early ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "number", "last"), [(0, 1, 0), (0, 3, 4), (5, 1, 6), (1, 4, 6)])
def test_it_stops_once_the_score_has_been_good_for_long_enough(after: int, number: int, last: int) -> None:
    made = agent(updates=20, stop_score=0.0, stop_evaluations=number, stop_after=after)
    latest = Latest()
    made.learn(callback=latest)
    assert made.learner.update == last
    assert made.learner.done
    if latest.rows:
        assert "time/total_timesteps" in latest.rows[-1][1]  # logged although it is no log row
    made.learn(updates=4)  # a further call goes on, and stops by the same rule
    assert last < made.learner.update <= last + 4


def test_a_score_never_reached_stops_nothing_and_resuming_counts_on() -> None:
    made = agent(stop_score=1.1)
    made.learn()
    assert made.learner.update == 6
    settings: dict[str, Any] = {"updates": 20, "stop_score": 0.0, "stop_evaluations": 4}
    stopped, rest = Latest(stop_at=5), Latest()
    agent(**settings).learn(callback=stopped)
    resumed = agent(**settings)
    resumed.load_training_state(stopped.state)
    resumed.learn(callback=rest)
    assert resumed.learner.update == 6
    again = agent(**settings)
    again.load_training_state(resumed.training_state())
    again.learn_until(20)
    assert again.learner.update == 6


def test_settings_that_cannot_be_are_refused() -> None:
    for name, value in (("stop_evaluations", 0), ("stop_after", -1)):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            GradientConfig(**{name: value})
    assert SupervisedConfig(trained=["a", "b"]).trained == ("a", "b")  # type: ignore[arg-type]
