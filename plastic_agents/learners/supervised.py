"""Learning by back-propagation on a task's targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

from plastic_agents.learners.base import AgentLike, Factor
from plastic_agents.learners.gradient import GradientConfig, GradientLearner
from plastic_agents.seeding import Streams
from plastic_envs.actions import clip_actions
from plastic_envs.arguments import Share
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

__all__ = ["SupervisedConfig", "SupervisedLearner", "supervised_loss"]

_MIXTURE_KEPT = 0.9  # of the components' parts, from one evaluation to the next (published)


@dataclass(frozen=True)
class SupervisedConfig(GradientConfig):
    """Settings of the supervised learner, beside those of every `GradientConfig`.

    Attributes:
        activity_penalty: Factor on the mean square of the last hidden layer's activity.
        loss_mean: What the weighted sum of the losses is divided by: the sum of the "weights", or the number
            of "entries" (steps, episodes and, for vectors, outputs), those without a weight included, as in
            some published work.
        mixture: How the components of a task that has some (`Task.components`) are mixed in training. "task":
            as the task says. "errors": after each evaluation, a component's part S of the mixture becomes 0.9
            (S + g), where g is its validation error, 1 - accuracy, as a share of all components' errors.
        mixture_floor: Share of the mixture that "errors" leaves evenly spread over all components.
        one_component_per_batch: Draw one component for all episodes of an update, instead of one for each.
    """

    activity_penalty: Factor = 0.0
    loss_mean: Literal["weights", "entries"] = "weights"
    mixture: Literal["task", "errors"] = "task"
    mixture_floor: Share = 0.0
    one_component_per_batch: bool = False


def supervised_loss(
    outputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    mean: Literal["weights", "entries"] = "weights",
) -> torch.Tensor:
    """Weighted mean loss of outputs (T, B, K).

    Args:
        outputs: (T, B, K).
        targets: (T, B) int64, for cross-entropy in nats (-1: nothing is right, no loss); or (T, B, K), for
            squared error.
        weights: (T, B); for squared error also (T, B, K). (T, B) means the same for all K.
        mean: Divide the sum of weight times loss by the sum of the "weights", or by the number of "entries":
            T B for cross-entropy, T B K for squared error.

    Raises:
        ValueError: If the weights do not fit.
    """
    by_output = weights.shape == outputs.shape and weights.dim() == 3
    if weights.shape != outputs.shape[:2] and not (by_output and targets.shape == outputs.shape):
        raise ValueError(
            f"weights of shape {tuple(weights.shape)} for outputs {tuple(outputs.shape)} and targets "
            f"{tuple(targets.shape)}: expected (T, B), or, with vectors as targets, (T, B, K)."
        )
    if targets.dtype == torch.int64:
        losses = F.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
        ).view_as(weights)
    else:
        losses = (outputs - targets).square()
        if not by_output:
            losses = losses.mean(-1)
    return (losses * weights).sum() / (weights.sum() if mean == "weights" else weights.numel())


class SupervisedLearner(GradientLearner[SupervisedConfig]):
    """Trains a network on the targets of a task's training split, by Adam on `supervised_loss`.

    In a closed-loop task the agent plays first; the episodes it made are then learned from.

    Attributes:
        shares: Of the components in training, where they follow the errors and there was an evaluation.
    """

    Config = SupervisedConfig
    cost_name = "loss"

    def __init__(self, config: SupervisedConfig, task: Task, seed: int) -> None:
        super().__init__(config, task, seed)
        if (config.mixture == "errors" or config.one_component_per_batch) and not task.components:
            raise ValueError(
                f"mixture={config.mixture!r}, one_component_per_batch={config.one_component_per_batch}: "
                f"{type(task).__name__} has no components to mix; leave both at their defaults."
            )
        self.shares: tuple[float, ...] | None = None
        self._parts = [0.0] * len(task.components)  # S of each component
        self._mixtures: dict[tuple[float, ...], Task] = {}

    def training_episodes(self) -> Episodes:
        """The batch of update number `self.update`."""
        if self.shares is None and not self.config.one_component_per_batch:
            return super().training_episodes()
        shares = self._batch_shares()
        if shares not in self._mixtures:
            self._mixtures[shares] = self.train_task.with_mixture(shares)
        data = self.streams.numpy(Streams.TRAINING_DATA, self.update)
        return self._mixtures[shares].sample(data, self.config.batch_size)

    def _batch_shares(self) -> tuple[float, ...]:
        """Shares of the components in the batch of this update."""
        count = len(self._parts)
        if not self.config.one_component_per_batch:
            assert self.shares is not None
            return self.shares
        draw = self.streams.numpy(Streams.MIXTURE, self.update)
        if self.shares is None:  # by the task's own mixture
            component = int(self.train_task.sample(draw, 1).facts["component"][0])
        else:
            component = int(draw.choice(count, p=self.shares))
        return tuple(float(k == component) for k in range(count))

    def validated(self, cost: float, metrics: Mapping[str, Any]) -> None:
        """Mix the components anew, by their errors."""
        super().validated(cost, metrics)
        if self.config.mixture != "errors":
            return
        errors = 1.0 - np.asarray(metrics["accuracy_by_component"], dtype=np.float64)
        if len(errors) != len(self._parts):
            raise ValueError(
                f"metrics['accuracy_by_component'] has {len(errors)} entries for {len(self._parts)} "
                "components; expected one each, in the order of Task.components."
            )
        valid = ~np.isnan(errors)
        errors[~valid] = errors[valid].mean() if valid.any() else 1.0  # of which no episode was validated
        if not errors.sum() > 0.0:
            errors[:] = 1.0
        parts = _MIXTURE_KEPT * (np.array(self._parts) + errors / errors.sum())
        floor = self.config.mixture_floor
        shares = (1.0 - floor) * parts / parts.sum() + floor / len(parts)
        self._parts = parts.tolist()
        self.shares = tuple((shares / shares.sum()).tolist())
        if not self.config.one_component_per_batch:
            self._mixtures.clear()

    def extra_state(self, *, everything: bool = True) -> dict[str, Any]:
        """The optimiser's moments, and what the mixture has come to."""
        return super().extra_state(everything=everything) | {"parts": self._parts, "shares": self.shares}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with these."""
        super().load_extra_state(state)
        self._parts = list(state["parts"])
        self.shares = None if state["shares"] is None else tuple(state["shares"])

    def loss(self, agent: AgentLike, log: bool) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss on a batch of fresh episodes."""
        episodes = self.training_episodes()
        if self.train_task.closed_loop:
            agent.respond(self.train_task, episodes, self.streams.torch(Streams.BEHAVIOUR, self.update))
        self.env_steps += int(episodes.lengths.sum())
        start = agent.network.initial_state(
            episodes.batch_size, self.streams.torch(Streams.TRAINING_START, self.update)
        )
        inputs = agent.tensor(episodes.observations)
        lengths = torch.as_tensor(episodes.lengths, device=agent.device)
        agent.network.train()
        outputs, features, _ = agent.network.run(inputs, start, agent.resets(episodes), lengths)
        row = {}
        if log:
            answers = outputs.detach()
            answers = answers.argmax(-1) if episodes.targets.ndim == 2 else answers
            actions = clip_actions(self.train_task.action_space, answers.cpu().numpy())
            row = {"train/score": self.train_task.metrics(episodes, actions)["score"]}
        loss = self._cost(agent, self.train_task, episodes, outputs)
        if self.config.activity_penalty > 0.0:
            # After an episode's end a network may leave anything.
            live = torch.arange(len(features), device=agent.device)[:, None] < lengths
            loss = loss + self.config.activity_penalty * features[live].square().mean()
        return loss, row

    def validation_cost(
        self, agent: AgentLike, episodes: Episodes, outputs: torch.Tensor, score: float
    ) -> float:
        """The loss on the validation split, without penalties."""
        return self._cost(agent, self.validation_task, episodes, outputs).item()

    def _cost(self, agent: AgentLike, task: Task, episodes: Episodes, outputs: torch.Tensor) -> torch.Tensor:
        return supervised_loss(
            outputs,
            agent.tensor(episodes.targets),
            agent.tensor(task.loss_weights(episodes)),
            self.config.loss_mean,
        )
