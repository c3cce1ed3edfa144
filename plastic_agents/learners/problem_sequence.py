"""Learning one problem after another, one gradient step per trial, each to a criterion."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from plastic_agents.analysis.subspaces import Moments, moved_readout, subspaces
from plastic_agents.learners.base import (
    AgentLike,
    BatchSize,
    Count,
    Factor,
    Interval,
    Learner,
    LearnerConfig,
    Rate,
)
from plastic_agents.learners.trial_engines import CompiledEngine, StepSettings, Trial, TrialEngine, engine_for
from plastic_agents.networks.leaky_softplus.rule import Costs, FloatArray
from plastic_agents.seeding import Streams, layout_generator
from plastic_envs.arguments import Positive, Range
from plastic_envs.task import Task

__all__ = [
    "Attempt",
    "Outcome",
    "ProblemSequenceConfig",
    "ProblemSequenceLearner",
    "learn_problem",
    "one_trial_each",
]

_LOG = logging.getLogger(__name__)
_TRIALS_AT_ONCE = 64  # whose arrays are made together
_NUM_DIRECTIONS = 4  # moved by a perturbation


@dataclass(frozen=True)
class ProblemSequenceConfig(LearnerConfig):
    """Settings of the problem-sequence learner; the published ones by default.

    Attributes:
        updates: Number of problems; an update is a problem.
        batch_size: Trials per gradient step; always 1.
        evaluate_every: Not used: the network at the end is the one that is kept.
        validation_episodes: Not used.
        log_every: Problems between log rows.
        watch_test: Not used.
        learning_rate: Of Adam, whose moments are forgotten at the start of every problem.
        beta1: Of Adam.
        beta2: Of Adam.
        epsilon: Of Adam, outside the bias correction.
        max_grad_norm: The gradient of all that is trained is scaled down to this Euclidean norm where it is
            longer.
        criterion: A problem is learned when the mean loss of the last `window` trials is below this (nats).
        window: Trials of that mean; there must be more than these.
        max_trials: A problem that takes more has failed.
        rate_cost: Factor on the distance of the mean squared rate from its target.
        input_cost: Factor on the mean squared input weight.
        readout_cost: Factor on the mean squared readout weight.
        recurrent_cost: Factor on the mean square of the largest singular values of the recurrent weights.
        num_singular: How many of these.
        perturbation: "none", or what is done to the readout, which is then frozen, before each problem after
            the first `num_before`: "control" (nothing), "stimulus" (its components along the leading stimulus
            directions change places, S->S), "decision" (those along the decision directions are moved to
            them, D->S). Each of these problems starts from the weights that had learned the first problem.
        num_before: Problems before the perturbed ones.
    """

    updates: Count = 1001
    batch_size: BatchSize = 1
    log_every: Interval = 1
    learning_rate: Rate = 1e-4
    beta1: Annotated[float, Range(0, 1, open_high=True)] = 0.3
    beta2: Annotated[float, Range(0, 1, open_high=True)] = 0.999
    epsilon: Rate = 1e-8
    max_grad_norm: Annotated[float, Range(1e-30, infinite=True)] = 1.0
    criterion: Positive = 0.005
    window: Interval = 50
    max_trials: Interval = 20_000
    rate_cost: Factor = 0.0005
    input_cost: Factor = 0.0001
    readout_cost: Factor = 0.1
    recurrent_cost: Factor = 0.001
    num_singular: Interval = 10
    perturbation: Literal["none", "control", "stimulus", "decision"] = "none"
    num_before: Interval = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size != 1:
            raise ValueError(
                f"batch_size={self.batch_size}: expected 1; this learner takes a step after every trial."
            )
        if self.window >= self.max_trials:
            raise ValueError(
                f"window={self.window}, max_trials={self.max_trials}: expected more trials than the "
                "window has."
            )

    def settings(self, num_units: int) -> StepSettings:
        """Those of a single step."""
        costs = Costs(
            self.rate_cost, self.input_cost, self.readout_cost, self.recurrent_cost,
            min(self.num_singular, num_units),
        )  # fmt: skip
        return StepSettings(
            self.learning_rate, self.beta1, self.beta2, self.epsilon, self.max_grad_norm, costs
        )


class Outcome(NamedTuple):
    """Outcome of learning one problem.

    Attributes:
        losses: Of every trial, before the step that it led to; the published list.
        mean_square: Mean over the last `window` trials of the mean squared rate.
        learned: Whether the criterion was reached.
    """

    losses: list[float]
    mean_square: float
    learned: bool

    def trials_to_criterion(self, window: int) -> float:
        """Number of trials less the window; NaN for a failure."""
        return float(len(self.losses) - window) if self.learned else math.nan


class Attempt:
    """Gradient steps on trials of one problem, until it is learned or has failed.

    Args:
        engine: Takes the steps; its optimiser is reset first.
        task: Whose episodes are trials of the problem.
        data: Source of the trials.
        noise: Source of the network's noise.
        config: Criterion and limits.
    """

    def __init__(
        self,
        engine: TrialEngine,
        task: Task,
        data: np.random.Generator,
        noise: np.random.Generator,
        config: ProblemSequenceConfig,
    ) -> None:
        engine.reset_optimiser()
        self.before = engine.flat.copy()
        self._engine, self._noise, self._config = engine, noise, config
        self._losses: list[float] = []
        self._squares: list[float] = []
        self._trials = _trials(task, data)

    @property
    def num_trials(self) -> int:
        """Trials so far."""
        return len(self._losses)

    def go_on(self, most: int | None = None) -> Outcome | None:
        """Take up to `most` further trials (None: as many as it takes); None if that decides nothing."""
        losses, squares, config = self._losses, self._squares, self._config
        for trial in itertools.islice(self._trials, most):
            losses.append(self._engine.step(trial, self._noise))
            squares.append(self._engine.mean_square)
            failed = not math.isfinite(losses[-1]) or len(losses) > config.max_trials
            enough = len(losses) > config.window
            learned = enough and sum(losses[-config.window :]) < config.criterion * config.window
            if failed or learned:
                return Outcome(losses, float(np.mean(squares[-config.window :])), learned and not failed)
        return None


def _trials(task: Task, data: np.random.Generator) -> Iterator[Trial]:
    """Trials of a problem without end."""
    while True:
        episodes = task.sample(data, _TRIALS_AT_ONCE)
        weights = task.loss_weights(episodes)
        for b in range(episodes.batch_size):
            yield Trial(episodes.observations[:, b], episodes.targets[:, b], weights[:, b])


def learn_problem(
    engine: TrialEngine,
    task: Task,
    data: np.random.Generator,
    noise: np.random.Generator,
    config: ProblemSequenceConfig,
) -> Outcome:
    """Learn one problem; see `Attempt` for the arguments."""
    outcome = Attempt(engine, task, data, noise, config).go_on()
    assert outcome is not None  # it is decided in the end
    return outcome


class ProblemSequenceLearner(Learner[ProblemSequenceConfig]):
    """Learns problem 0, 1, 2 ... of a task with numbered problems, each to criterion, one trial at a time.

    Weights carry over from problem to problem, the optimiser does not. Works with any network;
    `LeakySoftplus`, the published one, is compiled and has the published costs: its mean squared rate is
    drawn to 0 until a problem has been learned, and from then on to what it was in the last trials of that
    problem. Other networks have the loss alone.

    The run's seed is that of the sequence of problems, so that no two seeds meet the same. A failed problem
    is recorded as NaN, and the next begins with the weights that the failed one began with. The agent's task
    is the problem that it met last, and that is what it is scored on.

    Source: Goudar, Peysakhovich, Freedman, Buffalo & Wang, Nature Neuroscience 26 (2023), Methods and
    released settings. Different on purpose: the initial state is rectified after the step, before the next
    trial; failures do not spread; a permutation of the perturbation "stimulus" is never the identity.

    Attributes:
        snapshots: The weights after every problem so far, (problems, P) float32.
        problems: The run's sequence of problems.
    """

    Config = ProblemSequenceConfig
    validates = False

    def __init__(self, config: ProblemSequenceConfig, task: Task, seed: int) -> None:
        super().__init__(config, task, seed)
        try:
            self.problem(0)
        except LookupError as error:
            raise ValueError(
                f"{error} Learn it with method 'supervised', which takes fresh episodes for every step."
            ) from error
        self._engine: TrialEngine | None = None
        self._attempt: Attempt | None = None  # at a problem that a call has broken off
        self._flat: FloatArray | None = None  # the weights in full precision, after loading
        self._rate_target = 0.0
        self._counts: list[float] = []
        self._snapshots: list[torch.Tensor] = []
        self._first_learned: FloatArray | None = None  # the weights, and the target they came with
        self._target_is_set = False
        self._moments: Moments | None = None
        self._orders: list[list[int]] = []

    @property
    def snapshots(self) -> npt.NDArray[np.float32]:
        """The weights after every problem so far, (problems, P) float32."""
        return (
            np.stack([s.numpy() for s in self._snapshots])
            if self._snapshots
            else np.zeros((0, 0), np.float32)
        )

    @property
    def counts(self) -> npt.NDArray[np.float64]:
        """Trials that every problem so far took, less the window, (problems,); NaN for a failure."""
        return np.array(self._counts)

    @property
    def orders(self) -> npt.NDArray[np.int64]:
        """The permutations of the perturbed problems so far, (problems, k)."""
        return np.array(self._orders, dtype=np.int64).reshape(-1, _NUM_DIRECTIONS)

    def problem(self, number: int) -> Task:
        """Problem `number` of this run."""
        return self.train_task.with_problem(number, seed=self.streams.seed)

    # ---- learning -------------------------------------------------------------------------------

    def prepare(self, agent: AgentLike) -> None:
        """Make the engine, with its weights to the last bit where learning goes on."""
        engine = engine_for(agent.network, self.config.settings(agent.network.num_features))
        if self.config.perturbation != "none" and not isinstance(engine, CompiledEngine):
            raise ValueError(
                f"perturbation={self.config.perturbation!r} moves components of a linear readout of rates; "
                f"{type(agent.network).__name__} has none that is known here. "
                "Use agent 'leaky-softplus', or perturbation 'none'."
            )
        # The network holds the weights rounded; where it still holds these, learning goes on with all digits.
        old = self._engine
        exact = self._flat if old is None else old.flat
        if exact is None or not np.array_equal(_rounded(exact), _rounded(engine.flat)):
            old = None  # somebody has put other weights in place
        elif old is None or old.network is not agent.network:
            engine.flat[:], old = exact, None
        if old is None:
            self._attempt = None
        engine = old or engine
        self._flat, self._engine = None, engine
        engine.rate_target = self._rate_target
        self.task = self.problem(max(0, self.update - (self._attempt is None)))

    def train_step(self, agent: AgentLike, log: bool) -> dict[str, float]:
        """Learn one problem."""
        assert self._engine is not None
        engine, config = self._engine, self.config
        task = self.problem(self.update)
        if self._attempt is None:
            if config.perturbation != "none" and self.update >= config.num_before:
                self._perturb(engine)
            data = self.streams.numpy(Streams.TRAINING_DATA, self.update)
            noise = self.streams.numpy(Streams.TRAINING_START, self.update)
            self._attempt = Attempt(engine, task, data, noise, config)
        attempt, earlier = self._attempt, self._attempt.num_trials
        steps = task.sample(layout_generator(), 1).num_steps  # of a trial
        rest = self.span.end - self.env_steps
        outcome = attempt.go_on(-(-rest // steps) if self.span.in_steps else None)
        self.env_steps += (attempt.num_trials - earlier) * steps
        self.task, self.interrupted = task, outcome is None
        if outcome is None:
            engine.write()
            return {}
        self._attempt = None
        if not outcome.learned:
            _LOG.warning("problem %d failed after %d trials", self.update + 1, len(outcome.losses))
            engine.flat[:] = attempt.before
        elif not self._target_is_set:
            engine.rate_target, self._target_is_set = outcome.mean_square, True
            self._rate_target = outcome.mean_square
        engine.write()
        self._counts.append(outcome.trials_to_criterion(config.window))
        self._remember(engine, task)
        if not log:
            return {}
        window = np.asarray(outcome.losses[-config.window :])
        return {
            "problem/trials_to_criterion": self._counts[-1],
            "problem/gradient_steps": float(len(outcome.losses)),
            "problem/first_loss": outcome.losses[0],
            "problem/mean_square_rate": outcome.mean_square,
            "train/loss": float(window.mean()),
            "train/learning_rate": config.learning_rate,
        }

    def _remember(self, engine: TrialEngine, task: Task) -> None:
        """Keep the weights, and what a perturbation will need."""
        self._snapshots.append(torch.from_numpy(engine.flat.astype(np.float32)))
        if self.config.perturbation == "none" or not isinstance(engine, CompiledEngine):
            return
        if self._first_learned is None:
            self._first_learned = engine.flat.copy()
        if self.update < self.config.num_before:
            noise = self.streams.numpy(Streams.VALIDATION_START, self.update)
            states = [engine.states(inputs, noise) for inputs in one_trial_each(task)]
            moments = Moments.of(np.stack(states)[None])
            self._moments = moments if self._moments is None else self._moments.plus(moments)

    def _perturb(self, engine: TrialEngine) -> None:
        """Go back to the weights of the first problem, change the readout, and freeze it."""
        assert isinstance(engine, CompiledEngine)
        assert self._first_learned is not None
        assert self._moments is not None
        engine.flat[:] = self._first_learned
        engine.trained = ~engine.part("readout")
        rng = self.streams.numpy(Streams.BEHAVIOUR, self.update)
        order = np.arange(_NUM_DIRECTIONS)
        if self.config.perturbation != "control":
            spaces = subspaces(self._moments, _NUM_DIRECTIONS)
            stimulus = spaces.stimulus[:, :_NUM_DIRECTIONS]
            sources = stimulus if self.config.perturbation == "stimulus" else spaces.decision
            order = rng.permutation(_NUM_DIRECTIONS)
            while sources is stimulus and (order == np.arange(_NUM_DIRECTIONS)).all():
                order = rng.permutation(_NUM_DIRECTIONS)
            engine.weights.readout[:] = moved_readout(engine.weights.readout, sources, stimulus, order)
        self._orders.append(order.tolist())

    # ---- resuming -------------------------------------------------------------------------------

    def extra_state(self, *, everything: bool = True) -> dict[str, Any]:
        """The weights in full precision, the counts, the snapshots, and what the perturbation goes by.

        A problem that a call has broken off begins again where this state is loaded.
        """
        flat = self._flat if self._engine is None else self._engine.flat
        flat = flat if self._attempt is None else self._attempt.before
        moments = self._moments
        return {
            "flat": None if flat is None else torch.from_numpy(flat.copy()),
            "rate_target": self._rate_target,
            "target_is_set": self._target_is_set,
            "counts": list(self._counts),
            "snapshots": torch.stack(self._snapshots) if everything and self._snapshots else None,
            "first_learned": None if self._first_learned is None else torch.from_numpy(self._first_learned),
            "moments": None
            if moments is None
            else [torch.from_numpy(moments.total), torch.from_numpy(moments.square), moments.num_problems],
            "orders": self._orders[: max(0, self.update - self.config.num_before)],
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from `extra_state()`."""
        self._engine = self._attempt = None
        self._flat, self._first_learned = (
            None if state[name] is None else state[name].numpy().copy() for name in ("flat", "first_learned")
        )
        self._rate_target, self._target_is_set = state["rate_target"], state["target_is_set"]
        self._counts = list(state["counts"])
        self._snapshots = [] if state["snapshots"] is None else list(state["snapshots"])
        if state["moments"] is not None:
            total, square, count = state["moments"]
            self._moments = Moments(total.numpy(), square.numpy(), count)
        self._orders = [list(order) for order in state["orders"]]


def _rounded(flat: FloatArray) -> npt.NDArray[np.float32]:
    return flat.astype(np.float32)


def one_trial_each(task: Task) -> list[npt.NDArray[np.float32]]:
    """Observations (T, O) of one trial per image of a problem, in the order of the images."""
    rng = layout_generator()
    inputs: dict[int, npt.NDArray[np.float32]] = {}
    while True:
        episodes = task.sample(rng, _TRIALS_AT_ONCE)
        for b, image in enumerate(episodes.facts["image"]):
            inputs.setdefault(int(image), episodes.observations[:, b])
        if len(inputs) == episodes.facts["images"].shape[1]:
            return [inputs[image] for image in sorted(inputs)]
