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
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch

from plastic_envs.core import Episodes, Task, scalars

if TYPE_CHECKING:
    from plastic_agents.base import NetworkAgent
    from plastic_agents.networks.base import Network

__all__ = ["Callback", "Learner", "LearnerConfig", "Streams"]


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
        done: Whether a criterion of the settings to stop before the last update has been met.
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
        self.done = False
        self.best_weights: dict[str, torch.Tensor] | None = None

    def learn(self, agent: NetworkAgent, until: int, callback: Callback | None = None) -> None:
        """Train up to update number `until`, or until done, then put the best validated weights in place.

        Stopping early (an exception, or a callback that returns False) leaves the latest weights in place and
        the learner ready to go on.
        """
        config = self.config
        started = time.process_time()
        self.prepare(agent)
        if self.update == 0 and until > 0:
            self._validate(agent, callback)
        while self.update < until and not self.done:
            agent.network.train()
            log = (self.update + 1) % config.log_every == 0 or self.update + 1 == until
            row = self.train_step(agent, log)
            agent.network.eval()
            self.update += 1
            if self.update % config.evaluate_every == 0 or self.update == until:
                self._validate(agent, callback)
            now = time.process_time()
            self.cpu_seconds, started = self.cpu_seconds + now - started, now
            if log or self.done:
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

        May set `done`, which a subclass that does keeps in its `extra_state`.

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
