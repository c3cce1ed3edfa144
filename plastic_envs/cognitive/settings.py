"""The settings of the cognitive battery, checked, with what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any

from plastic_envs.arguments import Range, Seed, Words, check_argument, check_fields
from plastic_envs.cognitive.tasks import (
    COHERENCES,
    DIALECTS,
    DURATIONS,
    EASY_FACTOR,
    EPOCHS,
    LONG_MS,
    PSYCHOMETRIC_MS,
    TASKS,
    CognitiveTask,
    Duration,
    task_names,
)

__all__ = ["CODES", "GRACE_MS", "MODES", "RESPONSES", "CognitiveSettings"]

MODES = ("random_batch", "random", "long_all", "test", "psychometric")
_OF_ONE_TIMING = ("random", "long_all")  # modes whose trials of a task share what `timing_seed` draws
RESPONSES = ("discrete", "vector")
CODES = ("pair", "rectified", "ring")
NOISE_SCALES = ("published", "exact")
LONG_PARTS = ("fixation", "stimulus", "delay", "response")
GRACE_MS = 100.0  # unscored, at the start of a trial and after the response is called for
Weight = Annotated[float, Range(0, 1e30)]
FEWEST_DIRECTIONS = 6  # so that the categories' locations keep their halves when they snap

_DEFAULTS: dict[str, dict[str, Any]] = {
    "compact": {"dt_ms": 40.0, "sigma_x": 0.0, "n_eachring": 8, "code": "pair"},
    "ring": {"dt_ms": 20.0, "sigma_x": 0.01, "n_eachring": 32, "code": "ring"},
}
_TAU_MS = {"compact": 200.0, "ring": 100.0}
_PSYCHOMETRIC_HINTS: dict[str, Any] = {
    "theta": float | Sequence[float],
    "gamma": float | Sequence[float | Sequence[float]],
    "durations": Mapping[str, Annotated[float, Range(0, 1e6)] | Sequence[Annotated[float, Range(0, 1e6)]]],
}
_PSYCHOMETRIC_KEYS = ("theta1", "theta2", "gamma1", "gamma2", "durations")


@dataclass(frozen=True)
class CognitiveSettings:
    """Arguments of `CognitiveBattery`, which documents them. None stands for the dialect's own value.

    Raises:
        ValueError: If they are unknown, or do not fit each other.
    """

    tasks: str | Sequence[str] = "everything"
    dialect: Annotated[str, Words(DIALECTS)] = "compact"
    response: Annotated[str, Words(RESPONSES)] = "discrete"
    mode: Annotated[str, Words(MODES)] = "random_batch"
    dt_ms: Annotated[float, Range(0.1, 1e6)] | None = None
    sigma_x: Annotated[float, Range(0, 1000)] | None = None
    n_eachring: Annotated[int, Range(FEWEST_DIRECTIONS, 1000)] | None = None
    code: Annotated[str, Words(CODES)] | None = None
    noise_scale: Annotated[str, Words(NOISE_SCALES)] = "published"
    task_sampling: Sequence[Weight] | Mapping[str, Weight] | None = None
    rule_input: bool = True
    rule_columns: str | Sequence[str] | None = None
    rules: Mapping[str, Annotated[float, Range(-1000, 1000)]] | None = None
    rule_on_ms: Annotated[float, Range(0, 1e6)] = 0.0
    rule_off_ms: Annotated[float, Range(0, 1e6)] | None = None
    fixate_off: bool | None = None
    modality_diff: bool = False
    label_strength: bool = False
    easy_task: bool = False
    compatible_nonmatch: bool = False
    long: Sequence[str] = ()
    timing_seed: Seed = 0
    align_periods: bool = False
    psychometric: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self._set(tasks=task_names(self.tasks))
        for name, default in _DEFAULTS[self.dialect].items():
            if getattr(self, name) is None:
                self._set(**{name: default})
        self._check_codes()
        self._check_tasks()
        self._check_rules()
        if self.fixate_off is None:
            self._set(fixate_off=self.dialect == "compact" and len(self.tasks) > 2)
        self._check_mode()
        self._set(task_sampling=self._shares())

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # ---- checks ------------------------------------------------------------------------------------

    def _check_codes(self) -> None:
        if self.dialect == "ring" and self.code != "ring":
            raise ValueError(
                f"code={self.code!r}: the ring dialect has one code, 'ring'; use dialect='compact'."
            )
        if self.dialect == "compact" and self.noise_scale == "published" and self.step_ms >= self.tau_ms:
            raise ValueError(
                f"dt_ms={self.dt_ms}: the published noise scale needs a step below tau = {self.tau_ms:.0f} "
                "ms; use noise_scale='exact'."
            )
        if self.directions % 2:
            raise ValueError(
                f"n_eachring={self.n_eachring}: expected an even number, so that every direction has an "
                "opposite."
            )
        if self.label_strength and self.dialect == "ring":
            raise ValueError("label_strength=True scales the compact targets; the ring's have no length.")

    def _check_tasks(self) -> None:
        for name in self.tasks:
            task = TASKS[name]
            if self.dialect not in task.dialects:
                raise ValueError(f"task {name!r} is defined in dialect {task.dialects[0]!r} only.")
            if task.is_simultaneous and self.code != "ring":
                raise ValueError(
                    f"task {name!r} shows two stimuli at once in one modality, which the code {self.code!r} "
                    "would add up; use dialect='ring', or code='ring'."
                )
        for part in self.long:
            if part not in LONG_PARTS:
                raise ValueError(f"long={tuple(self.long)}: unknown {part!r}; expected some of {LONG_PARTS}.")
        self._set(long=tuple(self.long))
        if self.grace_steps < 1:
            raise ValueError(f"dt_ms={self.dt_ms}: expected at most {GRACE_MS:.0f} ms, the grace period.")

    def _check_rules(self) -> None:
        if not self.rule_input:
            if self.rule_columns or self.rules is not None or len(self.tasks) > 1:
                raise ValueError(
                    f"rule_input=False with tasks={self.tasks}, rule_columns={self.rule_columns}, "
                    f"rules={self.rules}: only one task can do without a rule input; leave rule_input out."
                )
            self._set(rule_columns=())
            return
        columns = self.tasks if self.rule_columns is None else task_names(self.rule_columns, "rule_columns")
        if missing := [name for name in self.tasks if name not in columns]:
            raise ValueError(
                f"rule_columns={columns} lack {missing}, which are among the tasks; append them."
            )
        self._set(rule_columns=columns)
        if self.rules is not None:
            if len(self.tasks) > 1:
                raise ValueError(
                    f"rules={dict(self.rules)} with tasks={self.tasks}: replaced rules hold for one task; "
                    "see `CognitiveBattery.only`."
                )
            if unknown := sorted(set(self.rules) - set(columns)):
                raise ValueError(f"rules: no rule column for {unknown}; rule_columns are {columns}.")
        if self.rule_off_ms is not None and self.rule_off_ms <= self.rule_on_ms:
            raise ValueError(
                f"rule_on_ms={self.rule_on_ms}, rule_off_ms={self.rule_off_ms}: expected off later than on."
            )

    def _check_mode(self) -> None:
        if self.align_periods and self.mode not in _OF_ONE_TIMING:
            raise ValueError(f"align_periods=True with mode={self.mode!r}: it is for mode='random'.")
        if self.timing_seed and self.mode not in _OF_ONE_TIMING:
            raise ValueError(
                f"timing_seed={self.timing_seed} with mode={self.mode!r}, whose trials have timings of their "
                "own: it is for mode='random'."
            )
        if (self.mode == "psychometric") != (self.psychometric is not None):
            raise ValueError(
                f"mode={self.mode!r}, psychometric={self.psychometric!r}: mode='psychometric' needs "
                "conditions, and no other mode takes them; expected a mapping with some of "
                f"{_PSYCHOMETRIC_KEYS}."
            )
        if self.psychometric is not None:
            self._check_psychometric(self.psychometric)

    def _check_psychometric(self, psychometric: Mapping[str, Any]) -> None:
        if len(self.tasks) > 1:
            raise ValueError(
                f"mode='psychometric' with tasks={self.tasks}: conditions are those of one task."
            )
        if unknown := sorted(set(psychometric) - set(_PSYCHOMETRIC_KEYS)):
            raise ValueError(f"psychometric: unknown {unknown}; expected some of {_PSYCHOMETRIC_KEYS}.")
        for name, value in psychometric.items():
            hint = _PSYCHOMETRIC_HINTS["durations" if name == "durations" else name[:5]]
            check_argument(f"psychometric: {name}", value, hint)
        task = self.definitions[0]
        if task.family not in PSYCHOMETRIC_MS:
            raise ValueError(f"mode='psychometric' is not defined for task {task.name!r}.")
        needed = ["theta1", *(["theta2"] if len(task.shown) > 1 else [])]
        needed += ["gamma1", "gamma2"] if task.rule == "stronger" else []
        durations = {**PSYCHOMETRIC_MS[task.family], **psychometric.get("durations", {})}
        absent = [name for name in needed if name not in psychometric]
        absent += [f"durations[{epoch!r}]" for epoch in task.epochs if epoch not in durations]
        if absent:
            raise ValueError(f"psychometric: task {task.name!r} also needs {absent}.")
        if extra := sorted(set(durations) - set(task.epochs)):
            raise ValueError(f"psychometric: task {task.name!r} has no epochs {extra}; it has {task.epochs}.")

    def _shares(self) -> tuple[float, ...] | None:
        """Probability of each task; None where they are equal."""
        given = self.task_sampling
        if given is None:
            return None
        if isinstance(given, Mapping):
            if unknown := sorted(set(given) - set(self.tasks)):
                raise ValueError(f"task_sampling: unknown tasks {unknown}; expected some of {self.tasks}.")
            weights = [given.get(name, 1.0) for name in self.tasks]
        else:
            weights = list(given)
        total = sum(weights)
        if len(weights) != len(self.tasks) or not total > 0:
            raise ValueError(
                f"task_sampling={given!r}: expected {len(self.tasks)} weights, none below 0 and not all 0, "
                f"in the order of {self.tasks}; or a mapping of names."
            )
        total = 1.0 if abs(total - 1.0) < 1e-9 else total  # shares stay what they are
        return tuple(weight / total for weight in weights)

    # ---- what follows ------------------------------------------------------------------------------

    @property
    def definitions(self) -> tuple[CognitiveTask, ...]:
        """The tasks."""
        return tuple(TASKS[name] for name in self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.tasks)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the rule inputs, in their order."""
        return tuple(self.rule_columns or ())

    @property
    def num_modalities(self) -> int:
        """Modalities that are shown."""
        return max(TASKS[name].num_modalities for name in (*self.tasks, *self.columns))

    @property
    def num_stimuli(self) -> int:
        """Stimuli of the task that shows most, at least 2."""
        return max(2, max(len(task.shown) for task in self.definitions))

    @property
    def step_ms(self) -> float:
        """Duration of a step."""
        assert self.dt_ms is not None
        return float(self.dt_ms)

    @property
    def tau_ms(self) -> float:
        """Time constant of the dialect's networks."""
        return _TAU_MS[self.dialect]

    @property
    def directions(self) -> int:
        """Number of directions (compact), or of units of a ring."""
        assert self.n_eachring is not None
        return int(self.n_eachring)

    @property
    def snaps(self) -> bool:
        """True if stimuli and responses are at one of the directions, not between them."""
        return self.dialect == "compact"

    @property
    def grace_steps(self) -> int:
        """Steps that are not scored at the start, and after the response is called for."""
        return int(GRACE_MS / self.step_ms)

    @property
    def noise(self) -> float:
        """`sigma_x`."""
        assert self.sigma_x is not None
        return float(self.sigma_x)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the input noise, sigma_x sqrt(2 / alpha).

        alpha is dt / tau, but for the published compact scale: there it is the share kept, 1 - dt / tau.
        """
        alpha = self.step_ms / self.tau_ms
        if self.dialect == "compact" and self.noise_scale == "published":
            alpha = 1.0 - alpha
        return float(self.noise * (2.0 / alpha) ** 0.5)

    def durations(self, task: CognitiveTask) -> dict[str, Duration]:
        """The laws of a task's epochs."""
        laws = dict(DURATIONS[self.dialect][task.family])
        for part in self.long:
            for epoch, ms in LONG_MS.get(task.family, {}).get(part, {}).items():
                laws[epoch] = Duration(ms, ms)
        return laws

    def coherences(self, task: CognitiveTask) -> tuple[float, ...]:
        """The coherences that a task draws from."""
        kind = "simultaneous" if task.is_simultaneous else "delayed"
        factor = EASY_FACTOR[kind] if self.easy_task else 1.0
        return tuple(factor * coherence for coherence in COHERENCES[kind])

    def rule_strengths(self) -> list[list[float]]:
        """Strength of every rule input, for each task."""
        if self.rules is not None:
            return [[self.rules.get(name, 0.0) for name in self.columns]]
        return [[float(column == task) for column in self.columns] for task in self.tasks]

    def psychometric_durations(self) -> dict[str, Any]:
        """Milliseconds of each epoch, one number or one per condition, in psychometric mode."""
        task = self.definitions[0]
        durations = (self.psychometric or {}).get("durations", {})
        merged = {**PSYCHOMETRIC_MS[task.family], **durations}
        return {epoch: merged[epoch] for epoch in EPOCHS if epoch in merged}

    def describe(self) -> dict[str, Any]:
        """The settings in JSON types; they make the same task again."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_as_list))
        return described

    def changed(self, **changes: Any) -> CognitiveSettings:
        """The same with some changes. A new dialect or number of tasks brings its own defaults."""
        names = {field.name for field in fields(self)}
        if unknown := sorted(set(changes) - names):
            raise ValueError(f"unknown settings {unknown}: expected some of {sorted(names)}.")
        common: dict[str, Any] = {}
        if changes.get("dialect", self.dialect) != self.dialect:
            common |= dict.fromkeys((*_DEFAULTS[self.dialect], "fixate_off"))
        if "tasks" in changes and task_names(changes["tasks"]) != self.tasks:
            common |= dict.fromkeys(("task_sampling", "rule_columns", "rules", "fixate_off"))
        if changes.get("mode", self.mode) not in _OF_ONE_TIMING:
            common |= {"timing_seed": 0, "align_periods": False}
        return replace(self, **{**common, **changes})


def _as_list(value: Any) -> Any:
    """Arrays and other sequences as lists, mappings as dictionaries."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else list(value)
