"""Learners that take Adam steps on a loss: settings, schedules of the learning rate, and what is trained.

See `plastic_agents.learners.base` for what all learners share.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import torch

from plastic_agents.learners.base import AgentLike, Count, Factor, Interval, Learner, LearnerConfig, Rate
from plastic_agents.learners.partial import PartialTraining
from plastic_envs.arguments import Range, Share
from plastic_envs.task import Task

__all__ = ["GradientConfig", "GradientLearner", "Plateau"]


@dataclass(frozen=True)
class GradientConfig(LearnerConfig):
    """Settings of every learner that follows a gradient with Adam, beside those of `LearnerConfig`.

    Attributes:
        learning_rate: Adam's step size at the start.
        schedule: "cosine" lowers the rate to `final_rate_fraction` of itself over each call of `learn`;
            "constant" keeps it; "plateau" multiplies it by `plateau_factor` whenever the validation cost has
            not fallen for more than `plateau_patience` evaluations.
        final_rate_fraction: Share of the learning rate left at the end of a cosine schedule.
        max_grad_norm: The gradient is scaled down to this Euclidean norm where it is longer.
        weight_decay: Decoupled weight decay (AdamW); 0 is plain Adam.
        epsilon: Adam's epsilon, added to the root of the second moment.
        burn_in: First updates in which everything is worked out but no step is taken.
        plateau_factor: Share of the learning rate that is left after a plateau.
        plateau_patience: Evaluations without a fall (by at least 0.01 %) that are put up with.
        least_rate: Lowest learning rate of a plateau schedule.
        weight_penalty: Factor on half the sum of squares of the network's `penalised_parameters`.
        trained: What of the network is trained, such as ["readout.*", "embedding.weight[:, -1]"]; see
            `plastic_agents.learners.partial`. Empty: all of it.
        stop_score: Stop once the validation score has been at least this in `stop_evaluations` evaluations on
            end; None: make all updates.
        stop_evaluations: How many.
        stop_after: Updates before which it is not stopped.
    """

    learning_rate: Rate = 1e-2
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    final_rate_fraction: Share = 0.02
    max_grad_norm: Annotated[float, Range(1e-30, infinite=True)] = 1.0
    weight_decay: Annotated[float, Range(0, 1000)] = 0.0
    epsilon: Rate = 1e-8
    burn_in: Count = 0
    plateau_factor: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.95
    plateau_patience: Count = 30
    least_rate: Annotated[float, Range(0, 1000)] = 1e-8
    weight_penalty: Factor = 0.0
    trained: tuple[str, ...] = ()
    stop_score: float | None = None
    stop_evaluations: Interval = 1
    stop_after: Count = 0

    def rate_at(self, progress: float) -> float:
        """Learning rate after a share `progress` (0 to 1) of a call; of a plateau schedule, the first."""
        if self.schedule != "cosine":
            return self.learning_rate
        share = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.learning_rate * (self.final_rate_fraction + (1.0 - self.final_rate_fraction) * share)


GradientConfigT = TypeVar("GradientConfigT", bound=GradientConfig)


class Plateau:
    """A learning rate that falls when a cost has ceased to, as ReduceLROnPlateau; costs may be negative.

    Args:
        rate: At the start.
        factor: Share of it that is left after a plateau.
        patience: Evaluations without a fall that are put up with.
        least: Lowest rate.

    Attributes:
        rate: Now.
        best: Lowest cost so far.
        waited: Evaluations since it fell.
    """

    _COUNTS = 1e-4  # a fall by this share of the best so far counts

    def __init__(self, rate: float, factor: float, patience: int, least: float) -> None:
        self.rate, self.best, self.waited = rate, math.inf, 0
        self._factor, self._patience, self._least = factor, patience, least

    def note(self, cost: float) -> None:
        """Take note of an evaluation."""
        least_fall = self._COUNTS * abs(self.best) if math.isfinite(self.best) else 0.0
        if cost < self.best - least_fall:
            self.best, self.waited = cost, 0
        else:
            self.waited += 1
        if self.waited > self._patience:
            self.rate, self.waited = min(self.rate, max(self.rate * self._factor, self._least)), 0

    def state(self) -> tuple[float, float, int]:
        """State for resuming."""
        return self.rate, self.best, self.waited

    def load(self, state: tuple[float, float, int]) -> None:
        """Go on from `state()`."""
        self.rate, self.best, self.waited = state


class GradientLearner(Learner[GradientConfigT]):
    """A learner that takes Adam steps on a loss: subclasses write `loss`."""

    _optimizer: torch.optim.Optimizer
    _optimizer_state: dict[str, Any] | None = None
    _part: PartialTraining | None = None

    def __init__(self, config: GradientConfigT, task: Task, seed: int) -> None:
        super().__init__(config, task, seed)
        self._plateau = Plateau(
            config.learning_rate, config.plateau_factor, config.plateau_patience, config.least_rate
        )
        self._good_evaluations = 0  # on end, up to the last one

    def rate(self) -> float:
        """Learning rate of update number `self.update`."""
        return (
            self._plateau.rate if self.config.schedule == "plateau" else self.config.rate_at(self.progress())
        )

    def validated(self, cost: float, metrics: Mapping[str, Any]) -> None:
        """Look whether the cost still falls, and whether the score is good enough to stop."""
        self._plateau.note(cost)
        if self.config.stop_score is not None:
            good = float(metrics["score"]) >= self.config.stop_score
            self._good_evaluations = self._good_evaluations + 1 if good else 0
            enough = self._good_evaluations >= self.config.stop_evaluations
            self.done = enough and self.update >= self.config.stop_after

    @abstractmethod
    def loss(self, agent: AgentLike, log: bool) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of update number `self.update`, ready for `backward`, and figures if `log`."""

    def parameters(self, agent: AgentLike) -> list[torch.nn.Parameter]:
        """Parameters that are trained. Default: all of the network's but those that are marked as fixed."""
        return [p for p in agent.network.parameters() if p.requires_grad]

    def prepare(self, agent: AgentLike) -> None:
        """Make the optimiser, with its moments where learning goes on, and fix what is not trained."""
        config = self.config
        if config.trained:
            self._part = PartialTraining(agent.network, config.trained)
        moments = self._optimizer_state
        if moments is None and hasattr(self, "_optimizer"):
            moments = self._optimizer.state_dict()
        self._optimizer = torch.optim.AdamW(
            self.parameters(agent),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=config.epsilon,
        )
        if moments is not None:
            self._optimizer.load_state_dict(moments)
        self._optimizer_state = None

    def train_step(self, agent: AgentLike, log: bool) -> dict[str, float]:
        """One Adam step."""
        rate = self.rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, row = self.loss(agent, log)
        if self.config.weight_penalty > 0.0:
            squares = sum(weights.square().sum() for weights in agent.network.penalised_parameters())
            loss = loss + 0.5 * self.config.weight_penalty * squares
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._part is not None:
            self._part.mask_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(agent), self.config.max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"update {self.update + 1}: loss {loss.item()}, gradient norm {norm.item()}. "
                "Lower learning_rate or max_grad_norm; the last checkpoint is intact."
            )
        if self.update >= self.config.burn_in:
            self._optimizer.step()
            agent.network.constrain()
            if self._part is not None:
                self._part.restore()
        if log:
            row |= {
                "train/loss": loss.item(),
                "train/grad_norm": float(norm),
                "train/learning_rate": rate,
            }
        return row

    def extra_state(self, *, everything: bool = True) -> dict[str, Any]:
        """The optimiser's moments, how long the cost has not fallen, and how long the score has been good."""
        moments = self._optimizer_state
        if moments is None and hasattr(self, "_optimizer"):
            moments = self._optimizer.state_dict()
        return {
            "optimizer": moments if everything else None,
            "plateau": self._plateau.state(),
            "good_evaluations": self._good_evaluations,
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with these."""
        self._optimizer_state = copy.deepcopy(state["optimizer"])
        self._plateau.load(state["plateau"])
        self._good_evaluations = state["good_evaluations"]
