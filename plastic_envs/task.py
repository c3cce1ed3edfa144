"""A task is a generator of episodes, written once, with three views.

A `Task` makes a batch of episodes as arrays (time first). `TaskEnv` and `TaskVectorEnv` (see
`plastic_envs.views.vector_env`) walk through those arrays one step at a time; `task.sample` hands them out
whole. Where the agent's actions change what comes next (feedback, free exploration), `Task.advance` writes
the next step's rows; everything random has been drawn by then, so an episode stays a function of its seed and
of the actions.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import SPLITS, unknown_names
from plastic_envs.episodes import Association, Episodes, Field
from plastic_envs.policy import Policy
from plastic_envs.streams import RowStreams, episode_seeds

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Task", "rollout", "scalars"]


class Task(ABC):
    """A generator of episodes. Subclasses set the attributes and write `generate`.

    A task may be a frozen dataclass, whose fields are its arguments, or any other class: the arguments that
    it is made with are kept, so that it can be described and made again.

    Attributes:
        observation_space: Space of one observation, `Box` of shape (O,), float32.
        action_space: Space of one action.
        periods: Names of the parts of an episode, indexed by `Episodes.periods`.
        fields: Named parts of the observation; together they cover it.
        association: The question-and-answer structure of the observation, where the task has one.
        closed_loop: Whether actions change what is seen later, so that an agent must be stepped.
        step_time: Duration of a step in units of a neuron's time constant, where the task runs in continuous
            time.
        step_ms: Duration of a step in milliseconds, where steps have one.
        objective: What the reward is, where it has a closed form that learners may use: "squared_error"
            (minus the squared distance of action and target) or "log_likelihood" (of a target of 0 or 1,
            given its probability).
        info_facts: Names of the `step_facts` that the environments show in `info`. Taken by Gymnasium and its
            users, and refused: those in `plastic_envs.views.records.RESERVED`, and any that begins with "_".
        options: Names of the options that `with_options` takes.
        pays_unweighted: Whether `reward` may be other than 0 at a step of weight 0. Where it never is, say
            so: environments side by side then ask for the rewards of weighted steps only.
        components: Names of the tasks that a mixture draws from, one per episode; empty where it is no
            mixture. A mixture's episodes have `facts["component"]` (B,), the number of each one's task, and
            its metrics a list `accuracy_by_component`, in this order, NaN for a task without episodes.
        pictures: Where it is drawn: "module:name" of functions `<name>_frame` and `<name>_text`, both with
            arguments (task, episodes, row, step, actions). None: nowhere, unless `render_frame` and
            `render_text` are written anew.
        split: Which episodes: "train", "validation" or "test". A task whose splits differ takes it as an
            argument, and draws what differs from `split_streams`.
        report: Name ("module:Name" or "file.py:Name") of what a run of the runner measures and draws beyond
            scores; see `plastic_agents.runner.task_reports`. None: the suite's own for this class, if any.
        score_name: What `metrics(...)["score"]` is ("accuracy", "reward", ...).
        chance: Score of an agent that knows the rules but has seen nothing; NaN where the task states none.
    """

    observation_space: spaces.Box
    action_space: spaces.Discrete | spaces.Box
    periods: tuple[str, ...] = ("episode",)
    fields: tuple[Field, ...] = ()
    association: Association | None = None
    closed_loop: bool = False
    step_time: float | None = None
    step_ms: float | None = None
    objective: str | None = None
    info_facts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    pays_unweighted: bool = True
    components: tuple[str, ...] = ()
    pictures: str | None = None
    report: str | None = None
    split: str = "train"
    score_name: str = "accuracy"
    chance: float = math.nan
    _made_with: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})  # arguments of the constructor

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse arguments that there are not, and keep the others for `describe`."""
        takes = _parameters(cls)
        takes_any = any(each.kind is each.VAR_KEYWORD for each in takes.values())
        if unknown := [name for name in kwargs if name not in takes and not takes_any]:
            raise TypeError(f"{cls.__name__}: {unknown_names(unknown, takes)}")
        task = super().__new__(cls)
        object.__setattr__(task, "_made_with", (args, kwargs))  # a frozen dataclass may be a task
        return task

    def _set(self, **values: Any) -> None:
        """Set attributes, of a frozen dataclass too: for its `__post_init__`."""
        vars(self).update(values)

    # ---- episodes -------------------------------------------------------------------------------

    @abstractmethod
    def generate(self, streams: RowStreams) -> Episodes:
        """Make one episode per stream; row b may depend on stream b only."""

    def sample(
        self, rng: np.random.Generator | int | Sequence[np.random.Generator | int], batch_size: int
    ) -> Episodes:
        """Draw a batch of episodes.

        Args:
            rng: A generator, from which one seed per episode is drawn (episode b of the batch is the b-th
                that `TaskEnv` with this generator would play), or one generator per episode. A whole number
                stands for `np.random.default_rng` of it.
            batch_size: Number of episodes B.

        Returns:
            The episodes. In a closed-loop task what depends on actions is filled in by `advance`.
        """
        return self._drawn(episode_seeds(rng, batch_size))

    def _drawn(self, seeds: npt.NDArray[np.uint64]) -> Episodes:
        episodes = self.generate(RowStreams(seeds))
        episodes.seeds = seeds
        return episodes

    def split_streams(self, streams: RowStreams, purpose: int = 0) -> RowStreams:
        """Streams of the task's own split, so that one seed does not show two splits the same.

        Args:
            streams: One per episode.
            purpose: The first of three numbers, which the splits take in turn as keys of `RowStreams.spawn`.
        """
        return streams.spawn(purpose + SPLITS.index(self.split))

    def unplayed(self, episodes: Episodes) -> Episodes:
        """The same episodes, in arrays of their own, as they were before anybody played them.

        In a closed loop an episode keeps what its player did, so whoever plays it next begins with these.

        Raises:
            ValueError: If actions change episodes and these were not drawn by `sample`, so that they have no
                seeds.
        """
        if not self.closed_loop:
            return episodes.copy()
        if episodes.seeds is None:
            raise ValueError(
                f"these episodes of {type(self).__name__} have no seeds, so that they cannot be made again "
                "as they were before they were played; draw them with `sample`."
            )
        return self._drawn(episodes.seeds.copy())

    def advance(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> None:
        """Write, in place, what `actions` change in the episodes' later steps. Default: nothing.

        It is called where `closed_loop` is set. Episodes are as `generate` made them when they begin to be
        played, so that it need not clear what other actions would have written. The lengths of episodes may
        not change.

        Args:
            episodes: The batch being played.
            steps: (K,) the step each action was taken at.
            rows: (K,) the episode it was taken in.
            actions: (K, ...) the actions.
        """

    def reward(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> npt.NDArray[np.float32]:
        """Rewards (K,) of actions. Default: 1 for the target's index in a step that counts, else 0."""
        counts = episodes.mask[steps, rows] > 0
        right = counts & (episodes.targets[steps, rows] == actions)
        return np.asarray(right, dtype=np.float32)

    def loss_weights(self, episodes: Episodes) -> npt.NDArray[np.float32]:
        """Weight of each step in the learner's loss, (T, B); 0 where the answer has no effect.

        Default: `episodes.mask`. A task whose score leaves out answers that are worth learning
        all the same (those of practice trials) says so here. Where targets are (T, B, K), so may be these: a
        weight for every output.

        Raises:
            ValueError: If none of the steps with a weight has a right answer. The steps that are paid are
                then not those that decide, and nothing would be learned of these weights.
        """
        weights = episodes.mask
        counts = weights > 0
        has_answers = episodes.targets.dtype.kind != "i" or (counts & (episodes.targets >= 0)).any()
        if not has_answers and counts.any():
            raise ValueError(
                f"no step of {type(self).__name__} that has a weight has a target, so there would be nothing "
                "to learn; write `loss_weights`, which gives a weight to the steps in which it is decided."
            )
        return weights

    def resets_in(
        self, observations: npt.NDArray[np.float32], steps: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Steps before which an agent that is fed one observation at a time forgets its activity, (K,).

        What `Episodes.resets` tells of whole episodes, for an agent that has only what it sees and the number
        of steps it has lived. Default: resets come at the same steps in every episode. A task in which they
        do not shows them in its observations, and reads them off here.

        Args:
            observations: (K, O).
            steps: (K,), number of each observation in its episode.
        """
        resets = self._reset_steps
        return np.asarray(resets[np.minimum(steps, len(resets) - 1)] & (steps < len(resets)))

    @functools.cached_property
    def _reset_steps(self) -> npt.NDArray[np.bool_]:
        """Resets of an episode, (T,)."""
        return self.sample(np.random.default_rng(0), 1).resets[:, 0]

    # ---- scores ---------------------------------------------------------------------------------

    def step_scores(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Score (T, B) of every action; only steps with a weight count. Default: right or wrong."""
        return np.asarray(episodes.targets == actions, dtype=np.float32)

    def episode_scores(self, episodes: Episodes, actions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Weighted mean score (B,) of each episode, from which intervals over episodes are made."""
        weights = episodes.mask.astype(np.float64)
        return np.asarray((self.step_scores(episodes, actions) * weights).sum(0) / weights.sum(0))

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        """Named figures of a set of played episodes, `score` among them; shares as fractions.

        A figure is a float, or a list of floats (or of such lists), as in "by distance". See `scalars`.

        Args:
            episodes: The episodes as played.
            actions: (T, B, ...) the actions taken in them.
        """
        weights = episodes.mask.astype(np.float64)
        score = float((self.step_scores(episodes, actions) * weights).sum() / weights.sum())
        return {"score": score}

    def reference_scores(self, episodes: Episodes) -> dict[str, float]:
        """Scores of named observers on these very episodes: at least `chance` and `oracle`.

        The oracle plays them as they were before they were played by another; NaN where the task has none.
        """
        try:
            oracle = self.oracle_policy()
        except LookupError:
            return {"chance": self.chance, "oracle": math.nan}
        policy_actions = rollout(self, oracle, fresh := self.unplayed(episodes))
        return {"chance": self.chance, "oracle": self.metrics(fresh, policy_actions)["score"]}

    def oracle_policy(self) -> Policy:
        """A fresh copy of the task's named ideal observer, to be stepped like an agent."""
        raise LookupError(f"{type(self).__name__} names no ideal observer that can be stepped.")

    # ---- pictures -------------------------------------------------------------------------------

    def render_frame(
        self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """Picture (H, W, 3) of an episode at a step, with the actions (step, ...) taken so far."""
        if self.pictures is None:
            raise LookupError(f"{type(self).__name__} has no picture; use render_mode='ansi' or None.")
        frame: npt.NDArray[np.uint8] = self._drawn_by("frame")(self, episodes, row, step, actions)
        return frame

    def render_text(self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
        """The same in a few lines of text."""
        if self.pictures is None:
            raise LookupError(f"{type(self).__name__} has no text form; use render_mode=None.")
        text: str = self._drawn_by("text")(self, episodes, row, step, actions)
        return text

    def _drawn_by(self, form: str) -> Callable[..., Any]:
        """The function that draws this task; imported when first asked for, as matplotlib is slow."""
        assert self.pictures is not None
        module, _, name = self.pictures.partition(":")
        drawer: Callable[..., Any] = getattr(importlib.import_module(module), f"{name}_{form}")
        return drawer

    # ---- the same task otherwise ------------------------------------------------------------------

    def describe(self) -> Mapping[str, Any]:
        """The arguments that make this task, for records (JSON types only).

        Default: the fields of a dataclass; of another class those that it was made with.

        Raises:
            ValueError: If an argument is not of a JSON type, so that no record could make the task again.
        """
        takes = _parameters(type(self))
        if takes.keys() <= getattr(self, "__dataclass_fields__", {}).keys():
            return {name: self._plain(name, getattr(self, name)) for name in takes}
        args, kwargs = self._made_with
        bound = inspect.signature(type(self).__init__).bind(self, *args, **kwargs)
        described: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                described |= {key: self._plain(key, item) for key, item in value.items()}
            elif kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
                raise ValueError(
                    f"{type(self).__name__} takes {name!r} by its place only, so it cannot be described by "
                    "names; write `describe`."
                )
            else:
                described[name] = self._plain(name, value)
        return described

    def _plain(self, name: str, value: Any) -> Any:
        """An argument in JSON types."""
        if isinstance(value, np.generic):
            value = value.item()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return [self._plain(name, item) for item in value]
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: self._plain(name, item) for key, item in value.items()}
        raise ValueError(
            f"argument {name!r} of {type(self).__name__} is a {type(value).__name__}, which no record can "
            "hold; expected numbers, text, lists and dictionaries. Write `describe` so that it returns "
            "arguments of such types that make the task."
        )

    def remake(self, **changes: Any) -> Self:
        """The same task with some arguments changed."""
        return type(self)(**{**self.describe(), **changes})

    def with_split(self, split: str) -> Self:
        """The same task on another split ("train", "validation", "test"); itself, if it takes no `split`."""
        return (
            self
            if split == self.split or "split" not in _parameters(type(self))
            else self.remake(split=split)
        )

    def with_problem(self, number: int, seed: int | None = None) -> Task:
        """The same task on another problem, where problems outlast episodes and are numbered.

        Args:
            number: Which problem, from 0.
            seed: Which sequence of problems; None for the task's own.

        Raises:
            LookupError: If every episode of this task is a problem of its own.
        """
        raise LookupError(f"{type(self).__name__} has no numbered problems; each episode is one of its own.")

    def with_mixture(self, shares: Sequence[float]) -> Task:
        """The same task, drawing component i for an episode with probability shares[i].

        Raises:
            LookupError: If the task is no mixture.
        """
        raise LookupError(f"{type(self).__name__} is no mixture of tasks; it has no components to weigh.")

    def with_options(self, options: Mapping[str, Any]) -> Task:
        """The task that `reset(options=...)` asks an environment to go on with. Default: takes none.

        Raises:
            ValueError: If the task has no option of one of these names (see `options`).
        """
        self.check_options(options)
        return self

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse reset options of names that the task does not have; to be called in `with_options`."""
        if unknown := [name for name in options if name not in self.options]:
            advice = f"expected some of {list(self.options)}" if self.options else "this task takes none"
            raise ValueError(f"unknown reset options {unknown}: {advice}.")

    def probes(self) -> dict[str, Task]:
        """The same task under other conditions, on which an agent is also scored. Default: none."""
        return {}

    def field(self, name: str) -> Field:
        """The observation field of that name.

        Raises:
            KeyError: If the task has no such field.
        """
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"no observation field {name!r}; this task has {[f.name for f in self.fields]}.")


@functools.cache
def _parameters(cls: type[Task]) -> dict[str, inspect.Parameter]:
    """Parameters of the constructor of a task, without `self`."""
    takes = dict(inspect.signature(cls.__init__).parameters)
    del takes[next(iter(takes))]  # self
    return takes


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are single numbers: what a curve over training can show."""
    return {name: value for name, value in metrics.items() if not isinstance(value, list)}


def rollout(task: Task, policy: Policy, episodes: Episodes) -> npt.NDArray[Any]:
    """Play a policy through a batch of episodes, step by step.

    Args:
        task: The task the episodes come from.
        policy: Answers (B, O) observations.
        episodes: Played in place: a closed-loop task writes into them.

    Returns:
        Actions, (T, B, ...).
    """
    rows = np.arange(episodes.batch_size)
    starts = np.ones(episodes.batch_size, dtype=bool)
    actions_by_step = []
    for step in range(episodes.num_steps):
        actions = np.asarray(policy.act(episodes.observations[step].copy(), starts))
        starts = np.zeros_like(starts)
        actions_by_step.append(actions)
        if task.closed_loop:
            task.advance(episodes, np.full_like(rows, step), rows, actions)
    return np.stack(actions_by_step)
