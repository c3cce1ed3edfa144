"""Let an agent play while its network is watched or interfered with.

The network itself is not changed: it is stepped through stretches of an episode, and between two stretches
its state may be kept, or replaced by an edited one. Episodes are played in small batches that are handed out
one after the other, so that thousands of them can be analysed without being held.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plastic_agents.agent import NetworkAgent
from plastic_agents.networks.base import Network, State, Stream
from plastic_agents.networks.sampling import gumbel
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

_BATCH = 100  # episodes played at a time


@dataclass(frozen=True)
class Intervention:
    """Changes to a network while it plays.

    Attributes:
        gates: (T,), factors on the modulator of a network that has one; None: nothing.
        edit: Maps a state to the state that replaces it; the tensors it is given must not be changed.
        edit_before: Steps before which that is done.
        ignores_resets: Leave out the task's resets of activity. (With `edit`, others can be put in their
            place.)
    """

    gates: npt.NDArray[np.float32] | None = None
    edit: Callable[[Any], Any] | None = None
    edit_before: Collection[int] = ()
    ignores_resets: bool = False


@dataclass(frozen=True)
class Passage:
    """A batch of episodes as they were played. T steps, B episodes, F features, A actions.

    Attributes:
        task: The task of the episodes.
        episodes: The episodes, as played.
        actions: (T, B).
        outputs: (T, B, A).
        features: (T, B, F), the activity that the readout sees.
        states: The network's state after each of the steps asked for.
    """

    task: Task
    episodes: Episodes
    actions: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    states: dict[int, Any] = field(default_factory=dict)


@torch.no_grad()
def passages(
    agent: NetworkAgent,
    task: Task,
    num_episodes: int,
    rng: np.random.Generator,
    generator: torch.Generator,
    *,
    intervention: Intervention | None = None,
    states_after: Collection[int] = (),
    batch_size: int = _BATCH,
) -> Iterator[Passage]:
    """Let an agent play fresh episodes, a batch at a time, each from fresh memory.

    Args:
        agent: The agent; it samples actions if it learned a stochastic policy.
        task: The task.
        num_episodes: Number of episodes.
        rng: Draws the episodes.
        generator: Draws random starts and choices; the same for every agent with the same number of actions.
        intervention: Changes to the network.
        states_after: Steps after which the state is kept. Within a trial this costs time, not accuracy.
        batch_size: Episodes in a batch.

    Yields:
        The batches.

    Raises:
        ValueError: If the network has no modulator to gate, or a step lies outside of the episode.
    """
    intervention = intervention or Intervention()
    if intervention.gates is not None and "gates" not in inspect.signature(agent.network.stream).parameters:
        raise ValueError(
            f"gates given for {type(agent.network).__name__}, which has no modulator; gate another network."
        )
    for first in range(0, num_episodes, batch_size):
        episodes = task.sample(rng, min(batch_size, num_episodes - first))
        yield _play(agent, task, episodes, generator, intervention, frozenset(states_after))


def _play(
    agent: NetworkAgent,
    task: Task,
    episodes: Episodes,
    generator: torch.Generator,
    intervention: Intervention,
    states_after: frozenset[int],
) -> Passage:
    network, steps, batch = agent.network.eval(), episodes.num_steps, episodes.batch_size
    outside = [s for s in (*intervention.edit_before, *states_after) if not 0 <= s < steps]
    if outside:
        raise ValueError(f"steps {outside} of an episode of {steps} steps: expected 0 to {steps - 1}.")
    resets = None if intervention.ignores_resets else agent.resets(episodes)
    stretches = _Stretches(
        network, network.initial_state(batch, generator), resets, intervention, states_after, steps
    )
    features_by_step: list[torch.Tensor] = []
    # By the contract of `Network`, the features of a step are what its readout is given.
    watch = network.readout.register_forward_pre_hook(lambda _, args: features_by_step.append(args[0]))
    outputs, actions = [], []
    noise = gumbel((steps, batch, network.num_outputs), generator)
    rows = np.arange(batch)
    try:
        for step in range(steps):
            inputs = torch.as_tensor(episodes.observations[step], device=agent.device)
            outputs.append(stretches.step(inputs))
            actions.append(agent.choose(outputs[-1], noise[step], not agent.learner.samples_actions))
            if task.closed_loop:
                task.advance(episodes, np.full_like(rows, step), rows, actions[-1])
    finally:
        watch.remove()
    features = torch.stack(features_by_step).reshape(steps, batch, -1)
    return Passage(
        task, episodes, np.stack(actions), torch.stack(outputs).cpu().numpy(), features.cpu().numpy(),
        stretches.states,
    )  # fmt: skip


class _Stretches:
    """A sequence cut where the state is stored or replaced; each stretch is a `Stream` of its own."""

    def __init__(
        self,
        network: Network[Any],
        start: State,
        resets: torch.Tensor | None,
        intervention: Intervention,
        states_after: frozenset[int],
        steps: int,
    ) -> None:
        self._network, self._resets, self._intervention = network, resets, intervention
        self._gates = None
        if intervention.gates is not None:
            column = torch.as_tensor(intervention.gates, dtype=start[0].dtype, device=start[0].device)
            self._gates = column.unsqueeze(1).expand(-1, len(start[0]))
        self._edits, self._states_after = frozenset(intervention.edit_before), states_after
        self._cuts = sorted({0, steps, *self._edits, *(step + 1 for step in states_after)})
        self._step, self._state = 0, start
        self._stream: Stream[Any]
        self.states: dict[int, Any] = {}

    def step(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs for the next inputs."""
        if self._step == self._cuts[0]:
            self._begin()
        outputs = self._stream.step(inputs)
        self._step += 1
        if self._step == self._cuts[0]:
            self._state = self._stream.state
            if self._step - 1 in self._states_after:
                self.states[self._step - 1] = self._state
        return outputs

    def _begin(self) -> None:
        if self._step in self._edits and self._intervention.edit is not None:
            self._state = self._intervention.edit(self._state)
        del self._cuts[0]
        now = slice(self._step, self._cuts[0])
        resets = None if self._resets is None else self._resets[now]
        more: dict[str, Any] = {} if self._gates is None else {"gates": self._gates[now]}
        self._stream = self._network.stream(self._state, resets, **more)
