"""Time and memory of an actor-critic update of the neuromodulated network against the plain autograd loop.

    python -m benchmarks.speed.neuromodulated

One whole update on one thread: environment, playing, loss, backward pass, optimiser. Times are CPU time,
medians over repeats in which the ways take turns; memory is the growth of peak resident memory over two
updates, each way in a process of its own.

* plain: the published equations step by step with gradients, as the episode is played
* fast: as `plastic_agents.make("neuromodulated", ...)` learns
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import plastic_agents
from benchmarks.speed.comparing import median_seconds, parse, peak_growth_mb, print_growth
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.actor_critic import ActorCriticLearner
from plastic_agents.learners.base import AgentLike
from plastic_agents.networks.base import Recording
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

SIZES = ((32, 200), (32, 100))
"""Batch, units; 30 trials of 4 steps."""

WAYS = ("plain", "fast")


class PlainLearner(ActorCriticLearner):
    """The same learner, with every step of the episode left to autograd as it is played."""

    def _play(
        self, agent: AgentLike, task: Task, episodes: Episodes
    ) -> tuple[Recording, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        state, noise = self._start(agent, episodes), self._noise(agent, episodes)
        resets = torch.as_tensor(episodes.resets)
        rows = np.arange(episodes.batch_size)
        outputs, features, actions, rewards = [], [], [], []
        for step in range(episodes.num_steps):
            inputs = torch.as_tensor(episodes.observations[step][None]).clone()  # later steps write into it
            output, feature, state = agent.network.run(inputs, state, resets[step : step + 1])
            outputs.append(output[0])
            features.append(feature[0])
            actions.append(agent.choose(output[0].detach(), noise[step], deterministic=False))
            steps = np.full_like(rows, step)
            rewards.append(task.reward(episodes, steps, rows, actions[-1]))
            task.advance(episodes, steps, rows, actions[-1])
        recording = Recording(torch.stack(outputs), torch.stack(features), state)
        return recording, np.stack(actions), np.stack(rewards)


def make(way: str, batch: int, units: int) -> NetworkAgent:
    """An agent that learns in that way, ready for updates."""
    path = "fast" if way == "fast" else "loop"
    agent = plastic_agents.make(
        "neuromodulated", "TransitiveInference-v0", device="cpu", learner={"batch_size": batch},
        hidden_size=units, path=path,
    )  # fmt: skip
    assert isinstance(agent, NetworkAgent)
    if way == "plain":
        config: Any = agent.learner.config
        agent.learner = PlainLearner(config, agent.task, agent.seed)
    agent.learner.prepare(agent)
    agent.network.train()
    return agent


def step_of(way: str, batch: int, units: int) -> Callable[[], None]:
    """One update of an agent that learns in that way."""
    agent = make(way, batch, units)

    def step() -> None:
        agent.learner.train_step(agent, log=False)
        agent.learner.update += 1

    return step


def main() -> None:
    """Print the table, or one memory figure for `peak_growth_mb`."""
    arguments = parse(__doc__, 3, 2)
    torch.set_num_threads(1)
    if arguments.measure:
        print_growth(step_of, arguments.measure, (2, 4))
        return
    print(f"{'size':>10} {'way':>6} {'CPU ms':>9} {'plain / way':>12} {'peak MB':>8}")
    for size in SIZES:
        plain, _ = medians = median_seconds([step_of(way, *size) for way in WAYS], arguments.repeats)
        for way, seconds in zip(WAYS, medians, strict=True):
            label = "B{} n{}".format(*size)
            growth = peak_growth_mb("neuromodulated", way, size)
            print(f"{label:>10} {way:>6} {1e3 * seconds:9.1f} {plain / seconds:12.1f} {growth:8.0f}")


if __name__ == "__main__":
    main()
