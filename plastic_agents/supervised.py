"""Learning by back-propagation on a task's targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plastic_agents.learner import GradientConfig, GradientLearner, Streams
from plastic_envs.core import Episodes, Task

if TYPE_CHECKING:
    from plastic_agents.base import NetworkAgent

__all__ = ["SupervisedConfig", "SupervisedLearner", "supervised_loss"]


@dataclass(frozen=True)
class SupervisedConfig(GradientConfig):
    """Settings of the supervised learner.

    Attributes:
        updates: Number of updates, each on a batch of fresh episodes.
        batch_size: Episodes per update.
        evaluate_every: Updates between evaluations on the validation split; the best of those networks is
            kept.
        validation_episodes: Episodes per such evaluation, the same ones each time.
        log_every: Updates between log rows.
        watch_test: Score the test split too at each evaluation (`test/...`). It is only watched: nothing is
            chosen by it.
        learning_rate: Adam's step size at the start.
        schedule: "cosine" lowers the rate to `final_rate_fraction` of itself over all updates; "constant"
            keeps it.
        final_rate_fraction: Share of the learning rate left at the end of a cosine schedule.
        max_grad_norm: The gradient is scaled down to this Euclidean norm where it is longer.
        weight_decay: Decoupled weight decay (AdamW); 0 is plain Adam.
        epsilon: Adam's epsilon, added to the root of the second moment.
        burn_in: First updates in which everything is worked out but no step is taken.
    """


def supervised_loss(outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean loss of outputs (T, B, K).

    Cross-entropy in nats for targets (T, B) of dtype int64 (-1: nothing is right, no loss); squared error,
    averaged over the K outputs, for targets (T, B, K). Weights (T, B).
    """
    if targets.dtype == torch.int64:
        losses = F.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
        ).view_as(weights)
    else:
        losses = (outputs - targets).square().mean(-1)
    return (losses * weights).sum() / weights.sum()


class SupervisedLearner(GradientLearner[SupervisedConfig]):
    """Trains a network on the targets of a task's training split, by Adam on `supervised_loss`.

    In a closed-loop task the agent plays first; the episodes it made are then learned from.
    """

    Config = SupervisedConfig
    cost_name = "loss"

    def loss(self, agent: NetworkAgent, log: bool) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss on a batch of fresh episodes."""
        episodes = self.training_episodes()
        if self.train_task.closed_loop:
            agent.act_on(episodes, self.train_task, self.streams.torch(Streams.BEHAVIOUR, self.update))
        self.env_steps += int(episodes.lengths.sum())
        start = agent.network.initial_state(
            episodes.batch_size, self.streams.torch(Streams.TRAINING_START, self.update)
        )
        inputs = torch.as_tensor(episodes.observations, device=agent.device)
        agent.network.train()
        outputs, _ = agent.network(inputs, start, agent.resets(episodes))
        row = {}
        if log:
            answers = outputs.detach()
            answers = answers.argmax(-1) if episodes.targets.ndim == 2 else answers
            row = {"train/score": self.train_task.metrics(episodes, answers.cpu().numpy())["score"]}
        return self._cost(agent, self.train_task, episodes, outputs), row

    def validation_cost(
        self, agent: NetworkAgent, episodes: Episodes, outputs: torch.Tensor, score: float
    ) -> float:
        """The loss on the validation split."""
        return self._cost(agent, self.validation_task, episodes, outputs).item()

    @staticmethod
    def _cost(agent: NetworkAgent, task: Task, episodes: Episodes, outputs: torch.Tensor) -> torch.Tensor:
        return supervised_loss(
            outputs,
            torch.as_tensor(episodes.targets, device=agent.device),
            torch.as_tensor(task.loss_weights(episodes), device=agent.device),
        )
