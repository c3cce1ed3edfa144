"""What every learner of the suite shares: the loop over updates, validation, the best weights, and resuming.

A learner meets a task through `Task` and a network through `Network`; it knows neither by name. Everything
random in update u comes from streams derived from (seed, purpose, u), so a run that was stopped and resumed
gives the same numbers as one that was not, and evaluating or plotting in between changes nothing.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
import torch

from plastic_envs.core import Episodes, Task, scalars

if TYPE_CHECKING:
    from plastic_agents.base import NetworkAgent
    from plastic_agents.networks.base import Network

__all__ = ["Callback", "GradientLearner", "Learner", "LearnerConfig", "Streams"]


class Streams:
    """Random streams of a run, one of its own for every (purpose, index).

    Args:
        seed: The run's seed.
    """

    TRAINING_DATA, VALIDATION_DATA, TRAINING_START, VALIDATION_START, BEHAVIOUR, TEST_DATA, TEST_START = (
        range(7)
    )
    MIXTURE = 7

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def numpy(self, purpose: int, index: int = 0) -> np.random.Generator:
        """A NumPy generator."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, index)))

    def torch(self, purpose: int, index: int = 0) -> torch.Generator:
        """A torch generator on the CPU."""
        words = np.random.SeedSequence(self.seed, spawn_key=(purpose, index)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))


@dataclass(frozen=True)
class LearnerConfig:
    """Settings that every learner has.

    Attributes:
        updates: Number of updates, each on a batch of fresh episodes.
        batch_size: Episodes per update.
        evaluate_every: Updates between evaluations on the validation split; the best of those networks is
            kept.
        validation_episodes: Episodes per such evaluation, the same ones each time.
        log_every: Updates between log rows.
        watch_test: Score the test split too at each evaluation (`test/...`). It is only watched: nothing is
            chosen by it.
    """

    updates: int = 500
    batch_size: int = 32
    evaluate_every: int = 50
    validation_episodes: int = 64
    log_every: int = 10
    watch_test: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "evaluate_every", "validation_episodes", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1.")
        if self.updates < 0:
            raise ValueError(f"updates={self.updates}: expected 0 (no training) or more.")


class Callback(Protocol):
    """What a learner tells while it learns."""

    def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
        """After an evaluation on the validation split; comes before `on_update` of the same update."""

    def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool | None:
        """After update number `update` (from 1), when all that belongs to it is done.

        Args:
            agent: Who learns; its `training_state()` is complete.
            update: Number of the update.
            row: Figures by tag; empty between log rows.

        Returns:
            False to stop here; anything else to go on.
        """


ConfigT = TypeVar("ConfigT", bound=LearnerConfig)


class Learner(ABC, Generic[ConfigT]):
    """A way to learn: subclasses write `train_step`, and may write how good a network is.

    Args:
        config: Settings.
        task: The task to learn; trains on its "train" split, keeps the network that does best on its
            "validation" split.
        seed: Fixes all data and random starts.

    Attributes:
        update: Updates done.
        env_steps: Environment steps in them.
        cpu_seconds: CPU seconds of training and validation, all threads together.
        best_update: Update of the best network so far.
    """

    Config: ClassVar[type[LearnerConfig]] = LearnerConfig
    cost_name: ClassVar[str] = "cost"
    validates: ClassVar[bool] = True
    """Whether the network is scored while it learns, and the best one kept; otherwise the last one is."""
    samples_actions: ClassVar[bool] = False
    """Whether a policy to draw from is learned, so that agents play by drawing and not by the best action."""

    def __init__(self, config: ConfigT, task: Task, seed: int) -> None:
        self.config, self.streams = config, Streams(seed)
        self.train_task, self.validation_task = task.with_split("train"), task.with_split("validation")
        self.test_task = task.with_split("test")
        self.update = 0
        self.env_steps = 0
        self.cpu_seconds = 0.0
        self.best_cost = math.inf
        self.best_update = 0
        self.best_weights: dict[str, torch.Tensor] | None = None

    def learn(self, agent: NetworkAgent, until: int, callback: Callback | None = None) -> None:
        """Train up to update number `until`, then put the best validated weights in place.

        Stopping early (an exception, or a callback that returns False) leaves the latest weights in place and
        the learner ready to go on.
        """
        config = self.config
        started = time.process_time()
        self.prepare(agent)
        if self.update == 0 and until > 0:
            self._validate(agent, callback)
        while self.update < until:
            agent.network.train()
            log = (self.update + 1) % config.log_every == 0 or self.update + 1 == until
            row = self.train_step(agent, log)
            agent.network.eval()
            self.update += 1
            if self.update % config.evaluate_every == 0 or self.update == until:
                self._validate(agent, callback)
            now = time.process_time()
            self.cpu_seconds, started = self.cpu_seconds + now - started, now
            if log:
                row |= {"time/total_timesteps": self.env_steps, "time/cpu_seconds": self.cpu_seconds}
            if callback is not None and callback.on_update(agent, self.update, row) is False:
                return
            started = time.process_time()  # the callback's own work (files, figures) is no training
        if self.best_weights is not None:
            agent.network.load_state_dict(self.best_weights)

    # ---- for subclasses -------------------------------------------------------------------------

    @classmethod
    def complete(cls, network: Network[Any]) -> None:
        """Give a fresh network what this learner needs beside the network's own parts. Default: nothing."""

    def prepare(self, agent: NetworkAgent) -> None:
        """Make ready to train (an optimiser for the network as it is now). Default: nothing."""

    @abstractmethod
    def train_step(self, agent: NetworkAgent, log: bool) -> dict[str, float]:
        """Make update number `self.update` (from 0) and count its steps in `env_steps`.

        Args:
            agent: Whose network is changed.
            log: Whether figures are wanted.

        Returns:
            Figures by tag (`train/...`), `train/score` among them, if `log`; else an empty dict.
        """

    def validation_cost(
        self, agent: NetworkAgent, episodes: Episodes, outputs: torch.Tensor, score: float
    ) -> float:
        """What the best network has least of. Default: the negative validation score."""
        return -score

    def validated(self, cost: float, metrics: Mapping[str, Any]) -> None:
        """Take note of a validation that the settings ask for, every `evaluate_every` updates. Default: no.

        Args:
            cost: `validation_cost`.
            metrics: What `Task.metrics` gave.
        """

    def extra_state(self) -> dict[str, Any]:
        """What a subclass must remember for resuming, in types that `torch.load(weights_only=True)` takes."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from `extra_state()`."""

    def training_episodes(self) -> Episodes:
        """The batch of update number `self.update`."""
        data = self.streams.numpy(Streams.TRAINING_DATA, self.update)
        return self.train_task.sample(data, self.config.batch_size)

    # ---- shared ---------------------------------------------------------------------------------

    def _validate(self, agent: NetworkAgent, callback: Callback | None) -> None:
        """Score the network on the validation split; remember its weights if it is the best so far."""
        if not self.validates:
            return
        task = self.validation_task
        episodes = task.sample(self.streams.numpy(Streams.VALIDATION_DATA), self.config.validation_episodes)
        outputs, actions = agent.respond(task, episodes, self.streams.torch(Streams.VALIDATION_START))
        metrics = task.metrics(episodes, actions)
        cost = self.validation_cost(agent, episodes, outputs, metrics["score"])
        if cost < self.best_cost:
            self.best_cost, self.best_update = cost, self.update
            self.best_weights = copy.deepcopy(agent.network.state_dict())
        if self.update % self.config.evaluate_every == 0:  # not where a call of `learn` happens to end
            self.validated(cost, metrics)
        row = {f"eval/{self.cost_name}": cost} | {f"eval/{k}": v for k, v in scalars(metrics).items()}
        if self.config.watch_test:
            episodes = self.test_task.sample(self.streams.numpy(Streams.TEST_DATA), len(episodes.lengths))
            start = self.streams.torch(Streams.TEST_START)
            _, actions = agent.respond(self.test_task, episodes, start)
            row["test/score"] = self.test_task.metrics(episodes, actions)["score"]
        if callback is not None:
            callback.on_evaluation(agent, self.update, row)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs beside the network's weights."""
        return {
            "update": self.update,
            "env_steps": self.env_steps,
            "cpu_seconds": self.cpu_seconds,
            "best_cost": self.best_cost,
            "best_update": self.best_update,
            "best_weights": self.best_weights,
            "extra": self.extra_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.update, self.env_steps = state["update"], state["env_steps"]
        self.cpu_seconds = state["cpu_seconds"]
        self.best_cost, self.best_update = state["best_cost"], state["best_update"]
        self.best_weights = state["best_weights"]
        self.load_extra_state(state["extra"])


@dataclass(frozen=True)
class GradientConfig(LearnerConfig):
    """Settings of every learner that follows a gradient with Adam.

    Attributes:
        learning_rate: Adam's step size at the start.
        schedule: "cosine" lowers the rate to `final_rate_fraction` of itself over all updates; "constant"
            keeps it; "plateau" multiplies it by `plateau_factor` whenever the validation cost has not fallen
            for more than `plateau_patience` evaluations.
        final_rate_fraction: Share of the learning rate left at the end of a cosine schedule.
        max_grad_norm: The gradient is scaled down to this Euclidean norm where it is longer.
        weight_decay: Decoupled weight decay (AdamW); 0 is plain Adam.
        epsilon: Adam's epsilon, added to the root of the second moment.
        burn_in: First updates in which everything is worked out but no step is taken.
        plateau_factor: Share of the learning rate that is left after a plateau.
        plateau_patience: Evaluations without a fall (by at least 0.01 %) that are put up with.
        least_rate: Lowest learning rate of a plateau schedule.
        weight_penalty: Factor on half the sum of squares of the network's `penalised_parameters`.
    """

    learning_rate: float = 1e-2
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    final_rate_fraction: float = 0.02
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    burn_in: int = 0
    plateau_factor: float = 0.95
    plateau_patience: int = 30
    least_rate: float = 1e-8
    weight_penalty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.burn_in < 0:
            raise ValueError(f"burn_in={self.burn_in}: expected 0 (none) or more updates.")
        for name in ("learning_rate", "max_grad_norm", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected a positive number.")
        if self.schedule not in ("cosine", "constant", "plateau"):
            raise ValueError(f"schedule={self.schedule!r}: expected 'cosine', 'constant' or 'plateau'.")
        if not 0.0 < self.plateau_factor < 1.0 or self.plateau_patience < 0:
            raise ValueError(
                f"plateau_factor={self.plateau_factor}, plateau_patience={self.plateau_patience}: expected a "
                "share between 0 and 1, and 0 or more evaluations."
            )
        for name in ("least_rate", "weight_penalty"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more.")

    def rate_at(self, update: int) -> float:
        """Learning rate of update number `update` (from 0); of a plateau schedule, the one at the start."""
        if self.schedule != "cosine" or self.updates == 0:
            return self.learning_rate
        share = 0.5 * (1.0 + math.cos(math.pi * min(update / self.updates, 1.0)))
        return self.learning_rate * (self.final_rate_fraction + (1.0 - self.final_rate_fraction) * share)


GradientConfigT = TypeVar("GradientConfigT", bound=GradientConfig)


class Plateau:
    """A learning rate that falls when a cost has ceased to, as torch's ReduceLROnPlateau with its defaults.

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

    _COUNTS = 1.0 - 1e-4  # a cost below this share of the best so far is a fall

    def __init__(self, rate: float, factor: float, patience: int, least: float) -> None:
        self.rate, self.best, self.waited = rate, math.inf, 0
        self._factor, self._patience, self._least = factor, patience, least

    def note(self, cost: float) -> None:
        """Take note of an evaluation."""
        if cost < self.best * self._COUNTS:
            self.best, self.waited = cost, 0
        else:
            self.waited += 1
        if self.waited > self._patience:
            self.rate, self.waited = max(self.rate * self._factor, self._least), 0

    def state(self) -> tuple[float, float, int]:
        """What resuming takes."""
        return self.rate, self.best, self.waited

    def load(self, state: tuple[float, float, int]) -> None:
        """Go on from `state()`."""
        self.rate, self.best, self.waited = state


class GradientLearner(Learner[GradientConfigT]):
    """A learner that takes Adam steps on a loss: subclasses write `loss`."""

    _optimizer: torch.optim.Optimizer
    _optimizer_state: dict[str, Any] | None = None

    def __init__(self, config: GradientConfigT, task: Task, seed: int) -> None:
        super().__init__(config, task, seed)
        self._plateau = Plateau(
            config.learning_rate, config.plateau_factor, config.plateau_patience, config.least_rate
        )

    def rate(self) -> float:
        """Learning rate of update number `self.update`."""
        return self._plateau.rate if self.config.schedule == "plateau" else self.config.rate_at(self.update)

    def validated(self, cost: float, metrics: Mapping[str, Any]) -> None:
        """Look whether the cost still falls."""
        self._plateau.note(cost)

    @abstractmethod
    def loss(self, agent: NetworkAgent, log: bool) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of update number `self.update`, ready for `backward`, and figures if `log`."""

    def parameters(self, agent: NetworkAgent) -> list[torch.nn.Parameter]:
        """What is trained. Default: all of the network, but for what is marked as fixed."""
        return [p for p in agent.network.parameters() if p.requires_grad]

    def prepare(self, agent: NetworkAgent) -> None:
        """Make the optimiser, with its moments where learning goes on."""
        config = self.config
        self._optimizer = torch.optim.AdamW(
            self.parameters(agent),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=config.epsilon,
        )
        if self._optimizer_state is not None:
            self._optimizer.load_state_dict(self._optimizer_state)

    def train_step(self, agent: NetworkAgent, log: bool) -> dict[str, float]:
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
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(agent), self.config.max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"update {self.update + 1}: loss {loss.item()}, gradient norm {norm.item()}. "
                "Lower learning_rate or max_grad_norm; the last checkpoint is intact."
            )
        if self.update >= self.config.burn_in:
            self._optimizer.step()
            agent.network.constrain()
        if log:
            row |= {
                "train/loss": loss.item(),
                "train/grad_norm": float(norm),
                "train/learning_rate": rate,
            }
        return row

    def extra_state(self) -> dict[str, Any]:
        """The optimiser's moments, and how long the cost has not fallen."""
        moments = self._optimizer.state_dict() if hasattr(self, "_optimizer") else None
        return {"optimizer": moments, "plateau": self._plateau.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with these."""
        self._optimizer_state = state["optimizer"]
        if "plateau" in state:  # runs that began before there was one have no such entry
            self._plateau.load(state["plateau"])
