"""The published gated network against its equations."""

from __future__ import annotations

import numpy as np
import torch

import plastic_agents
from plastic_agents.networks import PublishedGRU


def test_it_follows_the_published_equations_and_forgets_at_resets() -> None:
    """P10: candidate f(U u + W (q * h) + b), a linear readout; torch's GRU gates W h + b."""
    torch.manual_seed(0)
    network, inputs = PublishedGRU(3, 5, 2).double(), torch.randn(7, 2, 3).double()
    resets = torch.zeros(7, 2, dtype=torch.bool)
    resets[4, 1] = True
    outputs, state = network(inputs, None, resets)
    (uz, uq, uc), (bz, bq, bc) = network.encode.weight.chunk(3), network.encode.bias.chunk(3)
    wz, wq = network.gates.chunk(2)
    h = torch.zeros(2, 5).double()
    for t, u in enumerate(inputs):
        h = torch.where(resets[t, :, None], 0.0, h)
        z = torch.sigmoid(u @ uz.T + h @ wz.T + bz)
        q = torch.sigmoid(u @ uq.T + h @ wq.T + bq)
        c = torch.tanh(u @ uc.T + (q * h) @ network.recurrent.T + bc)
        h = (1 - z) * c + z * h
        torch.testing.assert_close(outputs[t], h @ network.readout.weight.T)
    torch.testing.assert_close(state.hidden, h)
    assert network.readout.bias is None


def test_steps_equal_the_sequence_and_gradients_are_right() -> None:
    torch.manual_seed(0)
    network, inputs = PublishedGRU(3, 4, 2).double(), torch.randn(5, 2, 3).double()
    whole, _ = network(inputs)
    state = None
    for t in range(5):
        step, state = network(inputs[t : t + 1], state)
        torch.testing.assert_close(step[0], whole[t])
    assert torch.autograd.gradcheck(lambda x: network(x)[0], inputs.requires_grad_())


def test_it_learns_a_task_of_the_battery() -> None:
    agent = plastic_agents.make(
        "gru-published", "Cognitive-delaygo-vector-v0", hidden_size=32, device="cpu",
        learner={"learning_rate": 5e-3, "validation_episodes": 32},
    )  # fmt: skip
    scores: list[float] = []

    class Scores:
        def on_evaluation(self, agent: object, update: int, row: dict[str, float]) -> None:
            scores.append(row["eval/loss"])

    agent.learn(updates=50, callback=Scores())
    assert scores[-1] < 0.6 * scores[0]
    assert np.isfinite(scores).all()
