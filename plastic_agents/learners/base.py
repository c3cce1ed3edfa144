"""Base of all learners: the loop over updates, validation, the best weights, and resuming.

A learner meets a task through `Task` and a network through `Network`; it knows neither by name. Everything
random in update u comes from streams derived from (seed, purpose, u), so a run that was stopped and resumed
gives the same numbers as one that was not, and evaluating or plotting in between changes nothing.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy.typing as npt
import torch

from plastic_agents.networks.base import Network
from plastic_agents.seeding import Streams
from plastic_envs.arguments import Range, check_fields
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task, scalars

__all__ = [
    "AgentLike",
    "Callback",
    "CallbackLike",
    "Callbacks",
    "Learner",
    "LearnerConfig",
    "Span",
    "as_callback",
    "put_weights",
    "same_weights",
    "weights_of",
]

_COMPILED = "_orig_mod."  # torch.compile puts it before the names of a network's parameters

Count = Annotated[int, Range(0, 10**9)]

Interval = Annotated[int, Range(1, 10**9)]

BatchSize = Annotated[int, Range(1, 2**16)]

Factor = Annotated[float, Range(0, 1e6)]

Rate = Annotated[float, Range(1e-30, 1000)]


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

    updates: Count = 500
    batch_size: BatchSize = 32
    evaluate_every: Interval = 50
    validation_episodes: BatchSize = 64
    log_every: Interval = 10
    watch_test: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


class AgentLike(Protocol):
    """The part of an agent that a learner needs; see `plastic_agents.NetworkAgent`."""

    name: str
    network: Network[Any]
    learner: Learner[Any]
    device: torch.device

    def respond(
        self, task: Task, episodes: Episodes, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Play episodes from fresh memory: the network's outputs (T, B, K) and the actions (T, B, ...)."""

    def choose(self, outputs: torch.Tensor, noise: torch.Tensor, deterministic: bool) -> npt.NDArray[Any]:
        """Actions (B, ...) of outputs (B, K), with the help of Gumbel noise (B, K)."""

    def tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """The array on the agent's device; floats in the type of the network's parameters."""

    def resets(self, episodes: Episodes) -> torch.Tensor | None:
        """The episodes' resets (T, B) on the agent's device; None if there are none."""


class Callback(Protocol):
    """Hooks that a learner calls while it learns; either may be missing (see `as_callback`)."""

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """After an evaluation on the validation split; comes before `on_update` of the same update."""

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> bool | None:
        """After update number `update` (from 1), when all that belongs to it is done.

        Args:
            agent: The `NetworkAgent` that learns; its `training_state()` is complete.
            update: Number of the update.
            row: Figures by tag; empty between log rows.

        Returns:
            False to stop here; anything else to go on.
        """


CallbackLike: TypeAlias = "Callback | Callable[..., bool | None] | Sequence[Any] | None"
"""A `Callback`, an object with one of its two methods, a function called as `on_update` is, or a list."""


class Callbacks:
    """Several callbacks as one, called in order; learning stops where any of them says so."""

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._on_update = [_hook(c, "on_update") for c in callbacks]
        self._on_evaluation = [_hook(c, "on_evaluation") for c in callbacks]

    def on_update(self, agent: AgentLike, update: int, row: dict[str, float]) -> bool | None:
        """Call all, then return False if any did."""
        answers = [hook(agent, update, row) for hook in self._on_update if hook is not None]
        return False if any(answer is False for answer in answers) else None

    def on_evaluation(self, agent: AgentLike, update: int, row: dict[str, float]) -> None:
        """Call all."""
        for hook in self._on_evaluation:
            if hook is not None:
                hook(agent, update, row)


def _hook(callback: Any, name: str) -> Callable[..., Any] | None:
    hook: Callable[..., Any] | None = getattr(callback, name, None)
    return callback if hook is None and name == "on_update" and _is_function(callback) else hook


def _is_function(callback: Any) -> bool:
    return callable(callback) and not any(hasattr(callback, n) for n in ("on_update", "on_evaluation"))


def as_callback(callback: CallbackLike) -> Callbacks:
    """One callback of whatever `Agent.learn` was given.

    Raises:
        TypeError: If it is none of the kinds in `CallbackLike`, such as a callback of Stable-Baselines3.
    """
    callbacks = callback if isinstance(callback, (list, tuple)) else [] if callback is None else [callback]
    for each in callbacks:
        of_sb3 = hasattr(each, "init_callback")
        if of_sb3 or not (callable(each) or hasattr(each, "on_update") or hasattr(each, "on_evaluation")):
            hint = " (a callback of Stable-Baselines3 reads a model's rollout, which this suite has not)"
            raise TypeError(
                f"callback: got {type(each).__name__}{hint * of_sb3}; expected an object with "
                "on_update(agent, update, row) or on_evaluation(agent, update, row), a function "
                "(agent, update, row), or a list of these. Return False from on_update to stop."
            )
    return Callbacks(callbacks)


class Span(NamedTuple):
    """The stretch of learning that a schedule runs over: from one update, or environment step, to another.

    Attributes:
        start: Updates done at its start, or environment steps.
        end: The same at its end.
        in_steps: Whether it is counted in environment steps.
    """

    start: int
    end: int
    in_steps: bool = False


ConfigT = TypeVar("ConfigT", bound=LearnerConfig)


class Learner(ABC, Generic[ConfigT]):
    """A way to learn: subclasses write `train_step`, and may write how good a network is.

    Args:
        config: Settings.
        task: The task to learn; trains on its "train" split, keeps the network that does best on its
            "validation" split.
        seed: Fixes all data and random starts.

    Attributes:
        task: What the agent plays from now on; a learner that goes from task to task puts the latest here.
        update: Updates done.
        env_steps: Environment steps in them.
        cpu_seconds: CPU seconds of training and validation, all threads together.
        best_update: Update of the best network so far.
        done: Whether a criterion of the settings to stop before the last update has been met.
        span: What the schedule of the latest call runs over.
        interrupted: Whether the latest update was broken off as its call had used up its environment steps;
            it goes on in the next call.
    """

    Config: ClassVar[type[LearnerConfig]] = LearnerConfig
    _COUNTS: ClassVar[dict[str, type]] = {
        "update": int, "env_steps": int, "cpu_seconds": float, "best_cost": float, "best_update": int,
        "done": bool,
    }  # fmt: skip
    cost_name: ClassVar[str] = "cost"
    validates: ClassVar[bool] = True
    """Whether the network is scored while it learns, and the best one kept; otherwise the last one is."""
    samples_actions: ClassVar[bool] = False
    """Whether a policy to draw from is learned, so that agents play by drawing and not by the best action."""

    def __init__(self, config: ConfigT, task: Task, seed: int) -> None:
        self.config, self.streams, self.task = config, Streams(seed), task
        self.train_task, self.validation_task = task.with_split("train"), task.with_split("validation")
        self.test_task = task.with_split("test")
        self.update = 0
        self.env_steps = 0
        self.cpu_seconds = 0.0
        self.best_cost = math.inf
        self.best_update = 0
        self.done = False
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.span = Span(0, config.updates)
        self.interrupted = False
        # The weights at the end of the latest call, while the best ones are in their place.
        self._last_weights: dict[str, torch.Tensor] | None = None

    def learn(
        self,
        agent: AgentLike,
        until: int,
        callback: CallbackLike = None,
        *,
        in_steps: bool = False,
        new_span: bool = False,
    ) -> None:
        """Train up to a number of updates, or until done, then put the best validated weights in place.

        Learning goes on from the last weights, not from the best, unless somebody has put others in their
        place: then these are learned from and the search for the best begins anew. The schedule
        runs over the updates of this call; a call that was broken off (an exception, a signal, a
        callback that returned False) leaves the latest weights in place, and another one with the same end
        goes on with its schedule.

        Args:
            agent: Whose network is changed.
            until: Number of updates to reach, those of earlier calls counted.
            callback: Called after every update and evaluation.
            in_steps: `until` is in environment steps; the update that reaches it is the last.
            new_span: Begin a schedule even if `until` is the end of one that was broken off.
        """
        config, hooks = self.config, as_callback(callback)
        if new_span or self.span[1:] != (until, in_steps) or self._reached() >= until:
            self.span = Span(self.env_steps if in_steps else self.update, until, in_steps)
            self.done = False
        fresh = self._take_up(agent)
        started = time.process_time()
        self.prepare(agent)
        if fresh and not self._ended():
            self._validate(agent, hooks)
        while not self._ended():
            agent.network.train()
            log = (self.update + 1) % config.log_every == 0 or (not in_steps and self.update + 1 == until)
            row = self.train_step(agent, log)
            agent.network.eval()
            if not self.interrupted:
                self.update += 1
                if self.update % config.evaluate_every == 0 or self._ended():
                    self._validate(agent, hooks)
            now = time.process_time()
            self.cpu_seconds, started = self.cpu_seconds + now - started, now
            if self.interrupted:
                break
            if log or self.done:
                row |= {"time/total_timesteps": self.env_steps, "time/cpu_seconds": self.cpu_seconds}
            if hooks.on_update(agent, self.update, row) is False:
                return
            started = time.process_time()  # the callback's own work (files, figures) is no training
        if self.best_weights is not None:
            self._last_weights = copy.deepcopy(weights_of(agent.network))
            put_weights(agent.network, self.best_weights)

    def keep_as_best(self, network: Network[Any]) -> None:
        """Take the network's weights for the best and the last."""
        self.best_weights = self._last_weights = copy.deepcopy(weights_of(network))

    def _reached(self) -> int:
        return self.env_steps if self.span.in_steps else self.update

    def is_broken_off(self) -> bool:
        """True if the latest call (or a first one over the settings' updates) has more to do."""
        return self.span.start <= self._reached() < self.span.end and not self.done

    def _ended(self) -> bool:
        return self.done or self._reached() >= self.span.end

    def progress(self) -> float:
        """Share of the present span that has been learned, 0 to 1."""
        length = self.span.end - self.span.start
        return min((self._reached() - self.span.start) / length, 1.0) if length > 0 else 0.0

    def _take_up(self, agent: AgentLike) -> bool:
        """Put the last weights back in place of the best; tells whether the search for the best is fresh."""
        last, self._last_weights = self._last_weights, None
        if last is not None and self.best_weights is not None:
            if same_weights(weights_of(agent.network), self.best_weights):
                put_weights(agent.network, last)
            else:
                self.best_cost, self.best_weights = math.inf, None
        return self.best_weights is None and self.validates

    # ---- for subclasses -------------------------------------------------------------------------

    @classmethod
    def complete(cls, network: Network[Any]) -> None:
        """Give a fresh network what this learner needs beside the network's own parts. Default: nothing."""

    def prepare(self, agent: AgentLike) -> None:
        """Make ready to train (an optimiser for the network as it is now). Default: nothing."""

    @abstractmethod
    def train_step(self, agent: AgentLike, log: bool) -> dict[str, float]:
        """Make update number `self.update` (from 0) and count its steps in `env_steps`.

        Args:
            agent: Whose network is changed.
            log: Whether figures are wanted.

        Returns:
            Figures by tag (`train/...`), `train/score` among them, if `log`; else an empty dict.
        """

    def validation_cost(
        self, agent: AgentLike, episodes: Episodes, outputs: torch.Tensor, score: float
    ) -> float:
        """Cost by which the best network is chosen. Default: the negative validation score."""
        return -score

    def validated(self, cost: float, metrics: Mapping[str, Any]) -> None:
        """Take note of a validation that the settings ask for, every `evaluate_every` updates. Default: no.

        May set `done`, which a subclass that does keeps in its `extra_state`.

        Args:
            cost: `validation_cost`.
            metrics: What `Task.metrics` gave.
        """

    def extra_state(self, *, everything: bool = True) -> dict[str, Any]:
        """Whatever else a subclass must remember; see `state_dict`."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from `extra_state()`."""

    def training_episodes(self) -> Episodes:
        """The batch of update number `self.update`."""
        data = self.streams.numpy(Streams.TRAINING_DATA, self.update)
        return self.train_task.sample(data, self.config.batch_size)

    # ---- shared ---------------------------------------------------------------------------------

    def _validate(self, agent: AgentLike, hooks: Callbacks) -> None:
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
            self.best_weights = copy.deepcopy(weights_of(agent.network))
        if self.update % self.config.evaluate_every == 0:  # not where a call of `learn` happens to end
            self.validated(cost, metrics)
        row = {f"eval/{self.cost_name}": cost} | {f"eval/{k}": v for k, v in scalars(metrics).items()}
        if self.config.watch_test:
            episodes = self.test_task.sample(self.streams.numpy(Streams.TEST_DATA), len(episodes.lengths))
            start = self.streams.torch(Streams.TEST_START)
            _, actions = agent.respond(self.test_task, episodes, start)
            row["test/score"] = self.test_task.metrics(episodes, actions)["score"]
        hooks.on_evaluation(agent, self.update, row)

    def state_dict(self, *, everything: bool = True) -> dict[str, Any]:
        """The progress of learning, in types that `torch.load(weights_only=True)` takes.

        Args:
            everything: All that goes on to the same numbers (the optimiser's moments, the last weights beside
                the best); otherwise what is small: how far learning has come, and what it is measured by.
        """
        state = {name: getattr(self, name) for name in self._COUNTS}
        state |= {"span": list(self.span), "extra": self.extra_state(everything=everything)}
        if everything:
            state |= {"best_weights": self.best_weights, "last_weights": self._last_weights}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for name, kind in self._COUNTS.items():
            setattr(self, name, kind(state[name]))
        self.span = Span(*state["span"])
        self.best_weights, self._last_weights = state.get("best_weights"), state.get("last_weights")
        self.load_extra_state(state["extra"])


def weights_of(network: Network[Any]) -> dict[str, torch.Tensor]:
    """The network's state dict, by the names it has without `torch.compile`."""
    return {k.replace(_COMPILED, ""): v for k, v in network.state_dict().items()}


def put_weights(network: Network[Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Put what `weights_of` gave into a network."""
    names = {k.replace(_COMPILED, ""): k for k in network.state_dict()}
    network.load_state_dict({names.get(k, k): v for k, v in weights.items()})


def same_weights(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> bool:
    """True if two state dicts hold the same names and numbers."""
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k].to(v)) for k, v in ours.items())
