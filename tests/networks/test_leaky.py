"""The leaky recurrent network against its equation, and its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import plastic_agents
import plastic_envs
from plastic_agents.networks import LeakyRNN, where_rows


def test_rule_by_hand() -> None:
    """h <- r h + (1 - r) tanh(W_in u + W_rec h + b), r the share that is kept; y = W_out h."""
    torch.manual_seed(0)
    network, inputs = LeakyRNN(4, 6, 2, retention=0.7).double(), torch.randn(9, 3, 4).double()
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    outputs, end = network(inputs)
    for row in range(3):
        h = np.zeros(6)
        for t in range(9):
            u = inputs[t, row].numpy()
            h = 0.7 * h + 0.3 * np.tanh(p["encode.weight"] @ u + p["recurrent"] @ h + p["encode.bias"])
            np.testing.assert_allclose(outputs[t, row].detach().numpy(), p["readout.weight"] @ h, rtol=1e-10)
        np.testing.assert_allclose(end.hidden[row].detach().numpy(), h, rtol=1e-10)


def test_parts_of_a_sequence_equal_the_whole() -> None:
    torch.manual_seed(0)
    network, inputs = LeakyRNN(4, 6, 2).double(), torch.randn(9, 3, 4).double()
    resets = torch.rand(9, 3) < 0.3
    outputs, end = network(inputs, None, resets)
    stream = network.stream(network.initial_state(3), resets)
    torch.testing.assert_close(torch.stack([stream.step(u) for u in inputs]), outputs)
    torch.testing.assert_close(stream.state.hidden, end.hidden)
    state = network.initial_state(3)
    for t in range(9):  # a reset is activity put back to the start
        state = where_rows(resets[t], network.initial_state(3), state)
        output, state = network(inputs[t : t + 1], state)
        torch.testing.assert_close(output[0], outputs[t])


def test_first_weights() -> None:
    network = LeakyRNN(4, 6, 2, recurrent_initialisation="identity", recurrent_scale=0.8)
    torch.testing.assert_close(network.recurrent.detach(), 0.8 * torch.eye(6))
    assert network.readout.bias is None
    assert len(network.penalised_parameters()) == 3


def test_retention_follows_the_tasks_step() -> None:
    """As published at steps of a fifth of the time constant, or where steps have no duration."""
    task = plastic_envs.make_task("PlasticGraph-disjoint-v0", num_steps=8)
    agent = plastic_agents.make("leaky-rnn", task, device="cpu")
    assert agent.network.retention == 0.8
    task = type("Timed", (plastic_envs.GraphWalk,), {"step_time": 0.4})(num_steps=8)
    agent = plastic_agents.make("leaky-rnn", task, device="cpu")
    assert agent.network.retention == pytest.approx(0.6)
    assert plastic_agents.make("leaky-rnn", task, device="cpu", retention=0.5).network.retention == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeakyRNN(3, 0, 2), "hidden_size=0"),
        (lambda: LeakyRNN(3, 4, 2, retention=1.0), "retention=1.0"),
        (lambda: LeakyRNN(3, 4, 2, activation="tan"), "activation 'tan'"),
        (lambda: LeakyRNN(3, 4, 2, recurrent_initialisation="he"), "recurrent_initialisation='he'"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
