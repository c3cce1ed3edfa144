"""Learning from reward: actor-critic with back-propagation through whole episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.learners.base import AgentLike, BatchSize, Count, Factor, Interval, Rate
from plastic_agents.learners.gradient import GradientConfig, GradientLearner
from plastic_agents.networks.base import Network, Recording
from plastic_agents.networks.sampling import gumbel
from plastic_agents.seeding import Streams
from plastic_envs.arguments import Range, Share
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

__all__ = ["ActorCriticConfig", "ActorCriticLearner", "ActorCriticLoss", "actor_critic_loss", "returns"]


@dataclass(frozen=True)
class ActorCriticConfig(GradientConfig):
    """Settings of the actor-critic learner, beside those of every `GradientConfig`.

    Attributes:
        discount: Share of a reward's worth that is left one step earlier.
        credit: Whose actions the policy learns from: those at steps where the action has an effect
            (`Task.loss_weights`; "response"), or those of all steps ("all", as published; the rest is noise).
        scored_weight: Factor on the policy's loss in periods of the episode that count in the score.
        value_weight: Weight of the value's squared error.
        concentration_weight: Weight of the penalty on sure choices, the sum of squared probabilities.
        fast_weight_penalty: Weight of the mean square of the fast weights at an episode's end.
        curriculum: Changes of the task's arguments by update, as (first update, arguments) in ascending
            order; from the last of them on, the task is that of its arguments. Validation is on the task
            itself throughout.
    """

    updates: Count = 2600
    evaluate_every: Interval = 100
    validation_episodes: BatchSize = 200
    learning_rate: Rate = 1e-3
    final_rate_fraction: Share = 0.05
    max_grad_norm: Annotated[float, Range(1e-30, infinite=True)] = 2.0
    epsilon: Rate = 1e-6
    discount: Share = 0.9
    credit: Literal["response", "all"] = "response"
    scored_weight: Factor = 3.0
    value_weight: Factor = 0.1
    concentration_weight: Factor = 0.1
    fast_weight_penalty: Factor = 1e-4
    curriculum: tuple[tuple[Count, dict[str, Any]], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        firsts = [first for first, _ in self.curriculum]
        if firsts != sorted(set(firsts)):
            raise ValueError(f"curriculum starts at updates {firsts}: expected ascending numbers from 0 on.")


def returns(rewards: npt.NDArray[np.float32], discount: float) -> npt.NDArray[np.float32]:
    """Discounted sums of rewards (T, B) from each step to the last, R_t = r_t + discount R_{t+1}."""
    sums = np.empty_like(rewards)
    after = np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        after = sums[t] = rewards[t] + discount * after
    return sums


class ActorCriticLoss(NamedTuple):
    """The loss and its parts, all scalars.

    Attributes:
        total: policy + concentration_weight concentration + value_weight value.
        policy: - sum_t c_t mean_b[log p(action) advantage] / T.
        concentration: sum_t mean_b[sum over actions of p^2] / T.
        value: sum_t mean_b[advantage^2] / T.
    """

    total: torch.Tensor
    policy: torch.Tensor
    concentration: torch.Tensor
    value: torch.Tensor


def actor_critic_loss(
    outputs: torch.Tensor,
    values: torch.Tensor,
    actions: torch.Tensor,
    goals: torch.Tensor,
    credits: torch.Tensor,
    live: torch.Tensor,
    config: ActorCriticConfig,
) -> ActorCriticLoss:
    """Loss of a batch of episodes of T steps.

    Args:
        outputs: Scores of the actions, (T, B, A).
        values: Estimates of the return, (T, B).
        actions: Actions taken, (T, B) int64.
        goals: Returns, (T, B).
        credits: c, factors on the policy's loss, (T, B).
        live: (T, B), 1 in steps of the episode, 0 in padding.
        config: Weights of the parts.

    Source:
        Miconi & Kay, Nature Neuroscience 28, 2025 (Methods and released settings). The penalty on squared
        probabilities stands in for an entropy bonus.
    """
    log_chances = outputs.log_softmax(-1)
    log_chance = log_chances.gather(2, actions.unsqueeze(2)).squeeze(2)
    advantages = goals - values
    policy = -(credits * log_chance * advantages.detach()).mean()
    concentration = (log_chances.exp().square().sum(-1) * live).mean()
    value = (advantages.square() * live).mean()
    total = policy + config.concentration_weight * concentration + config.value_weight * value
    return ActorCriticLoss(total, policy, concentration, value)


class ActorCriticLearner(GradientLearner[ActorCriticConfig]):
    """Trains a network on the rewards of a task with discrete actions, through the whole episode.

    Actions are drawn from the network's policy. In a closed-loop task the network plays step by step without
    gradients; then the sequence that came of it is differentiated as a whole, which is exact, as the actions
    taken are constants. Returns are discounted sums of the episode's own rewards; the value estimated from
    the network's features is subtracted from them, and is not used beyond the episode's end.
    """

    Config = ActorCriticConfig
    samples_actions: ClassVar[bool] = True

    def __init__(self, config: ActorCriticConfig, task: Task, seed: int) -> None:
        if not isinstance(task.action_space, spaces.Discrete):
            raise ValueError(
                f"{type(task).__name__} has actions in {task.action_space}; actor-critic draws from a "
                "Discrete space. Take method='supervised', or a task with discrete actions."
            )
        super().__init__(config, task, seed)
        # Made here, so that a mistake in the curriculum is found before the first update.
        self._tasks = [
            (first, type(self.train_task)(**{**self.train_task.describe(), **changes}))
            for first, changes in config.curriculum
        ]

    @classmethod
    def complete(cls, network: Network[Any]) -> None:
        """Give the network an estimate of the return, where it has none."""
        network.add_value_head()

    def task_at(self, update: int) -> Task:
        """The task that update number `update` (from 0) trains on."""
        reached = [task for first, task in self._tasks if first <= update]
        return reached[-1] if reached else self.train_task

    def loss(self, agent: AgentLike, log: bool) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss on a batch of fresh episodes, played by the network as it is."""
        config, task = self.config, self.task_at(self.update)
        data = self.streams.numpy(Streams.TRAINING_DATA, self.update)
        episodes = task.sample(data, config.batch_size)
        play = self._play if task.closed_loop else self._answer
        recording, actions, rewards = play(agent, task, episodes)
        self.env_steps += int(episodes.lengths.sum())

        def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
            return agent.tensor(array).to(recording.outputs.dtype)

        live = np.arange(episodes.num_steps)[:, None] < episodes.lengths
        network = agent.network
        assert network.value is not None
        parts = actor_critic_loss(
            recording.outputs,
            network.value(recording.features)[..., 0],
            torch.as_tensor(actions, device=agent.device),
            tensor(returns(rewards, config.discount)),
            tensor(self.credits(task, episodes, live)),
            tensor(live),
            config,
        )
        penalty = fast_weight_size(network, recording.state)
        loss = parts.total if penalty is None else parts.total + config.fast_weight_penalty * penalty
        row = {}
        if log:
            row = {
                "train/score": float(task.metrics(episodes, actions)["score"]),
                "train/reward": float(rewards.sum(0).mean()),
                "train/policy_loss": parts.policy.item(),
                "train/value_loss": parts.value.item(),
                "train/concentration": parts.concentration.item(),
            }
            if penalty is not None:
                row["train/fast_weights_square"] = penalty.item()
        return loss, row

    def credits(self, task: Task, episodes: Episodes, live: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Factors (T, B) on the policy's loss.

        Args:
            task: Where the episodes come from.
            episodes: The batch.
            live: (T, B), steps that are not padding.
        """
        every = np.ones(live.shape, dtype=np.float32)
        credit = task.loss_weights(episodes) if self.config.credit == "response" else every
        periods = np.unique(episodes.periods[episodes.mask > 0])
        factor = np.where(np.isin(episodes.periods, periods), self.config.scored_weight, 1.0)
        return np.asarray(credit * factor * live, dtype=np.float32)

    # ---- behaviour ------------------------------------------------------------------------------

    def _start(self, agent: AgentLike, episodes: Episodes) -> Any:
        generator = self.streams.torch(Streams.TRAINING_START, self.update)
        return agent.network.initial_state(episodes.batch_size, generator)

    def _noise(self, agent: AgentLike, episodes: Episodes) -> torch.Tensor:
        shape = (*episodes.targets.shape[:2], agent.network.num_outputs)
        return gumbel(shape, self.streams.torch(Streams.BEHAVIOUR, self.update))

    def _play(
        self, agent: AgentLike, task: Task, episodes: Episodes
    ) -> tuple[Recording, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Live through episodes that answer back.

        Returns:
            What can be differentiated, and actions and rewards, (T, B).
        """
        stream = agent.network.stream(self._start(agent, episodes), agent.resets(episodes), record=True)
        noise = self._noise(agent, episodes)
        actions = np.zeros(noise.shape[:2], dtype=np.int64)
        rewards = np.zeros(noise.shape[:2], dtype=np.float32)
        for step in range(episodes.num_steps):
            outputs = stream.step(agent.tensor(episodes.observations[step]))
            actions[step] = agent.choose(outputs, noise[step], deterministic=False)
            rows = np.flatnonzero(step < episodes.lengths)
            steps, answers = np.full_like(rows, step), actions[step, rows]
            rewards[step, rows] = task.reward(episodes, steps, rows, answers)
            task.advance(episodes, steps, rows, answers)
        return stream.recorded(), actions, rewards

    def _answer(
        self, agent: AgentLike, task: Task, episodes: Episodes
    ) -> tuple[Recording, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The same for episodes whose observations do not depend on the answers: one pass, with gradients."""
        inputs = agent.tensor(episodes.observations)
        recording = agent.network.run(inputs, self._start(agent, episodes), agent.resets(episodes))
        noise, flat = self._noise(agent, episodes), recording.outputs.detach().flatten(0, 1)
        actions = agent.choose(flat, noise.flatten(0, 1), deterministic=False).reshape(noise.shape[:2])
        steps, rows = np.nonzero(np.arange(episodes.num_steps)[:, None] < episodes.lengths)
        rewards = np.zeros(actions.shape, dtype=np.float32)
        rewards[steps, rows] = task.reward(episodes, steps, rows, actions[steps, rows])
        return recording, actions, rewards


def fast_weight_size(network: Network[Any], state: Any) -> torch.Tensor | None:
    """Mean square of the fast weights in a state of the network; None if it has none that gradients reach."""
    tensors = [getattr(state, name) for name in network.fast_weights]
    tensors = [tensor for tensor in tensors if tensor.requires_grad]
    if not tensors:
        return None
    return torch.cat([tensor.square().mean().reshape(1) for tensor in tensors]).mean()
