"""The settings of one run: a frozen dataclass that is also the command line and the file format.

jsonargparse does the translation, because it is the one well-kept library that takes a plain typed dataclass,
nested ones included, and gives from that one definition all of: flags with checked types, YAML files, help
texts from the docstring, errors for unknown keys, and defaults that a program may set before parsing.
(argparse and tyro read no files; Hydra brings its own directory layout and its own meaning of the working
directory.)
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import docstring_parser
import yaml
from jsonargparse import (
    ActionYesNo,
    ArgumentError,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
    get_loader,
    set_loader,
)

from plastic_agents.files import read_bytes
from plastic_agents.learners.base import LearnerConfig
from plastic_agents.registry import AGENTS, agent_spec, learner_class, learner_defaults, registered_by_others
from plastic_envs import Task, make_task
from plastic_envs.naming import absolute, at_hand, imported, is_name

__all__ = [
    "DEFAULT_ENV",
    "RunConfig",
    "differences",
    "from_file",
    "from_mapping",
    "make_parser",
    "parse",
    "read",
    "to_dict",
    "to_yaml",
]

DEFAULT_ENV = "PlasticGraph-disjoint-v0"

_PROG = "benchmarks/run.py"
_DESCRIPTION = f"""
Train one agent on one task, score it on the task's test split, and write everything into one directory:
<logdir>/<env>/<agent>/seed-<seed>/.

  python benchmarks/run.py --agent plastic
  python benchmarks/run.py --agent rnn --seed 1 --updates 2000 --learner.learning_rate 0.003
  python benchmarks/run.py --env_kwargs '{{num_nodes: 50, num_actions: 15, num_steps: 500}}'
  python benchmarks/run.py --config benchmarks/configs/graph-8-disjoint-plastic-published.yaml
  python benchmarks/run.py --list        # all agents and environments

Agents: {", ".join(list(AGENTS)[: len(AGENTS) // 2])},
  {", ".join(list(AGENTS)[len(AGENTS) // 2 :])}.
"""

# A settings file has some 100 values; aliases of aliases (&a, *a) make millions of a few lines.
_LARGEST_TEXT, _MOST_VALUES, _DEEPEST = 2**20, 100_000, 100

# What may differ between a run and its continuation: it has no bearing on the numbers, beyond the rounding of
# another device. (The number of threads has, and is held.)
_FREE_ON_RESUME: tuple[str, ...] = (
    "logdir",
    "device",
    "resume",
    "overwrite",
    "track",
    "figures",
    "report",
)
_FREE_ON_RESUME += ("checkpoint_every", "progress_bar", "trust")


@dataclass(frozen=True)
class RunConfig:
    """Settings of a run.

    Attributes:
        agent: Name of the agent, one of those above (`--list` says what each is), or your own:
            "module:Name" or "file.py:Name" of a network or an `AgentSpec`.
        env: Id of the environment (`--list` shows all), or your own task: "module:Name" or "file.py:Name".
        env_kwargs: Arguments of the task in place of the registered ones, such as '{num_nodes: 50}'.
        agent_kwargs: Arguments of the agent's network in place of its defaults, such as '{hidden_size: 256}'.
        seed: Fixes everything random: slow weights, training episodes, test episodes.
        updates: Shorthand for learner.updates, over which it takes precedence.
        method: How slow weights are learned (supervised, ...), or your own learner, "file.py:Name"; left out:
            the agent's own way.
        learner: Settings of that; what is left out is the agent's own default.
        eval_episodes: Episodes of the test split that the final score is taken over.
        checkpoint: A saved agent (agent.pt of another run) to start from; with `--updates 0` it is only
            scored.
        logdir: Where runs live.
        resume: Go on from the last checkpoint of a run that was stopped; ends with the same numbers.
        overwrite: Delete what an earlier run with this agent, task and seed has left, and start over.
        checkpoint_every: Updates between checkpoints.
        device: cpu, cuda, cuda:1 ..., or auto: a GPU if there is one.
        threads: Threads of torch on the CPU. Timings are comparable only where this is equal; numbers are
            equal only to rounding where it is not, so a run goes on with as many as it began with.
        track: Mirror the TensorBoard events to a tracking service (needs the extra "track").
        figures: Draw the figures.
        report: Write report.html and report.pdf.
        progress_bar: Show progress while it trains.
        trust: Import modules and files that only a settings file names; what the command line itself names
            is imported anyway.
    """

    agent: str = "plastic"
    env: str = DEFAULT_ENV
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    agent_kwargs: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    updates: int | None = None
    method: str | None = None
    learner: LearnerConfig = None  # type: ignore[assignment]  # made in __post_init__
    eval_episodes: int = 400
    checkpoint: Path | None = None
    logdir: Path = Path("runs")
    resume: bool = False
    overwrite: bool = False
    checkpoint_every: int = 100
    device: str = "auto"
    threads: int = 1
    track: Literal["none", "wandb"] = "none"
    figures: bool = True
    report: bool = True
    progress_bar: bool = True
    trust: bool = False

    def __post_init__(self) -> None:
        for name in ("eval_episodes", "checkpoint_every", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed={self.seed}: expected 0 or more, below 2**63.")
        if self.threads > (most := max(64, 4 * (os.cpu_count() or 1))):
            raise ValueError(f"threads={self.threads}: expected at most {most} on this machine.")
        for name in ("logdir", "checkpoint"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path).expanduser())
        if "task" in self.env_kwargs:
            raise ValueError(
                f"env_kwargs names a task, {self.env_kwargs['task']!r}, but the environment's id says which "
                "task it is; choose another with --env."
            )
        if self.resume and self.overwrite:
            raise ValueError("resume and overwrite were both asked for; pass one of them.")
        for name in ("agent", "env", "method"):
            if (text := getattr(self, name)) is not None:
                object.__setattr__(self, name, absolute(text))
        if self.method is None and (is_name(self.agent) or self.agent in registered_by_others()):
            # So that the file can be read where nobody knows the agent.
            object.__setattr__(self, "method", agent_spec(self.agent).method)
        if getattr(self, "learner", None) is None:
            own = learner_class(self.agent, self.method).Config(**learner_defaults(self.agent, self.method))
            object.__setattr__(self, "learner", own)
        if self.updates is not None:  # folded in, so that there is one place to look it up
            object.__setattr__(self, "learner", replace(self.learner, updates=self.updates))
            object.__setattr__(self, "updates", None)

    @property
    def code_names(self) -> list[str]:
        """Names of modules or files in place of registered environments, agents or methods."""
        return [name for name in (self.env, self.agent, self.method) if name and is_name(name)]

    def task(self) -> Task:
        """The task, of which a module or file that `env` names must be imported already (see `run`)."""
        if is_name(self.env):
            _bring_in(self.env, typed=False, trust=False)
        return make_task(self.env, **self.env_kwargs)


class _Formatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and gives flags room."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=110)  # type: ignore[no-untyped-call]


def make_parser(
    agent: str = RunConfig.agent,
    method: str | None = None,
    exit_on_error: bool = True,
    prog: str = _PROG,
) -> ArgumentParser:
    """The parser behind `benchmarks/run.py`: one option per field of `RunConfig`.

    Args:
        agent: The agent whose own settings of the learner are the defaults.
        method: How it learns, if not in its own way; decides which settings a learner has.
        exit_on_error: Exit with a message on a mistake, as a command does, or raise an ArgumentError.
        prog: Name of the command, for help and messages.

    Raises:
        ValueError: If there is no such agent or method.
    """
    parser = _base_parser(exit_on_error, prog)
    parser.add_class_arguments(learner_class(agent, method).Config, "learner")
    parser.set_defaults({f"learner.{name}": value for name, value in learner_defaults(agent, method).items()})
    return parser


def parse(arguments: Sequence[str] | None = None, *, once: bool = False, prog: str = _PROG) -> RunConfig:
    """Settings from command-line arguments (default: the process's own), files named by `--config` included.

    Names of settings may be written with hyphens: `--eval-episodes` is `--eval_episodes`.

    Exits with a message, as argparse does, where an argument is unknown or has a value of the wrong type or
    range.

    Args:
        arguments: As a shell would pass them.
        once: Refuse a setting that comes twice, of which the last would be taken silently.
        prog: Name of the command, for help and messages.
    """
    texts = [_with_underscores(text) for text in (sys.argv[1:] if arguments is None else arguments)]
    names = [text.partition("=")[0] for text in texts if text.startswith("--") and text != "--config"]
    if once and (twice := sorted({name for name in names if names.count(name) > 1})):
        _base_parser(prog=prog).error(
            f"{', '.join(twice)}: given more than once; a run has one value of each."
        )
    early = [text for text in texts if text not in ("-h", "--help") and not text.startswith("--print_config")]
    try:
        choice = _choice_parser(prog=prog).parse_args(early)
        typed = {absolute(text.partition("=")[2] if text.startswith("--") else text) for text in texts}
        for name in filter(is_name, (choice.env, choice.agent, choice.method)):
            _bring_in(name, typed=absolute(name) in typed, trust=choice.trust)
        parser = make_parser(choice.agent, choice.method, prog=prog)
        return _instantiate(parser, parser.parse_args(texts))
    except (TypeError, ValueError) as error:
        _base_parser(prog=prog).error(str(error))


def _bring_in(name: str, *, typed: bool, trust: bool) -> None:
    """Import what the command line names; what only a settings file names must be imported or trusted.

    Raises:
        ValueError: If it is neither, or there is no such thing.
    """
    if typed or trust:
        imported(name)
        return
    try:
        at_hand(name)
    except LookupError as error:
        raise ValueError(
            f"{name!r} is named in a settings file only, so it is not imported. Name it on the command line "
            "too, or pass --trust if you know who wrote the file."
        ) from error


def _with_underscores(text: str) -> str:
    """An option with its name as it is spelled in the settings; anything else as it is."""
    if not text.startswith("--"):
        return text
    name, sign, value = text[2:].partition("=")
    return f"--{name.replace('-', '_')}{sign}{value}"


def from_file(path: str | Path, *, trust: bool = False, **overrides: Any) -> RunConfig:
    """Settings from a YAML file, with some fields replaced.

    Args:
        path: The file.
        trust: Import the modules and files that it names as task, agent or method.
        **overrides: Fields of `RunConfig`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds unknown settings or values of the wrong type or range, or names a
            module or file that is neither imported nor trusted.
    """
    config = read(path, **overrides)
    typed = {absolute(value) for value in overrides.values() if is_name(value)}
    for name in config.code_names:
        _bring_in(name, typed=name in typed, trust=trust)
    return config


def read(path: str | Path, **overrides: Any) -> RunConfig:
    """Settings as of `from_file`, only to be looked at: nothing that the file names is imported."""
    read_bytes(path, _LARGEST_TEXT)
    try:
        choice = _choice_parser(exit_on_error=False).parse_path(path)
        agent, method = overrides.get("agent", choice.agent), overrides.get("method", choice.method)
        if is_name(name := method or agent):
            _bring_in(name, typed=name in overrides.values(), trust=False)
        # The file of a run has all settings of its learner, and names the method where the agent is not ours.
        neighbour = RunConfig.agent if method and agent not in AGENTS else agent
        parser = make_parser(neighbour, method, exit_on_error=False)
        return replace(_instantiate(parser, parser.parse_path(path)), **overrides)
    except (ArgumentError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r}: {' '.join(str(error).split())}") from error


def _load_settings(text: str) -> Any:
    """Settings in YAML text, checked before anything is made of them: plain values, and not many.

    Raises:
        ValueError: If it is too long, its aliases written out, or names a class (which jsonargparse imports).
    """
    if len(text) > _LARGEST_TEXT:
        raise ValueError(
            f"{len(text)} characters are too many for settings; at most {_LARGEST_TEXT} are read."
        )
    steps = (1 if c in "[{" else -1 if c in "]}" else 0 for c in text)
    try:
        if max(itertools.accumulate(steps), default=0) > _DEEPEST:  # PyYAML takes the square of the depth
            raise RecursionError
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        size = 0 if root is None else _num_values(root, {})
    except RecursionError as error:
        raise ValueError("settings are nested too deeply.") from error
    if size > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values, its aliases written out; settings are some 100.")
    return get_loader("yaml")(text)


def _num_values(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Values in a YAML node, aliases written out; infinite if it holds itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # until it is known
        pairs = isinstance(node, yaml.MappingNode)
        parts = [part for pair in node.value for part in pair] if pairs else node.value
        if isinstance(node, yaml.ScalarNode):
            parts = []
            if node.value in ("class_path", "init_args"):
                raise ValueError(f"{node.value!r}: settings are plain values, and name no classes.")
        sizes[id(node)] = 1 + sum(_num_values(part, sizes) for part in parts)
    return sizes[id(node)]


_MODE = "plain settings"
set_loader(_MODE, _load_settings, exceptions=(yaml.YAMLError,))


def from_mapping(settings: Mapping[str, Any]) -> RunConfig:
    """Settings from nested mappings; what is left out is the agent's own default.

    Args:
        settings: Fields of `RunConfig`; `learner` is a mapping.

    Raises:
        ValueError: If there is no such setting, agent or method, or a value is of the wrong type or range.
    """
    choice = RunConfig(**{name: settings[name] for name in ("agent", "method") if name in settings})
    parser = make_parser(choice.agent, choice.method, exit_on_error=False)
    try:
        return _instantiate(parser, parser.parse_object(dict(settings)))
    except (ArgumentError, TypeError) as error:
        raise ValueError(str(error)) from error


def to_yaml(config: RunConfig) -> str:
    """All settings as YAML that `from_file` reads back to an equal object."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """All settings as nested mappings of plain types."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(config))
    return plain


def differences(config: RunConfig, other: RunConfig) -> list[str]:
    """Settings that tell two runs apart in their numbers, one line "field: this, that" each.

    Where and how a run is watched (device, threads, figures ...) is left out.
    """
    ours, theirs = (flat(_resolved(c)) for c in (config, other))
    return [
        f"{name}: {ours.get(name)!r}, {theirs.get(name)!r}"
        for name in sorted({*ours, *theirs})
        if name.split(".")[0] not in _FREE_ON_RESUME and ours.get(name) != theirs.get(name)
    ]


def _resolved(config: RunConfig) -> dict[str, Any]:
    """The settings as `to_dict`, with the task's arguments filled in and the checkpoint's place resolved."""
    settings = to_dict(config)
    if config.checkpoint is not None and config.checkpoint.exists():
        settings["checkpoint"] = str(config.checkpoint.resolve())
    # Arguments of another version of the suite are compared as they stand.
    with suppress(TypeError, ValueError):
        settings["env_kwargs"] = _plain(dict(config.task().describe()))
    return settings


def _base_parser(exit_on_error: bool = True, prog: str = _PROG) -> ArgumentParser:
    """All options but the learner's."""
    parser = ArgumentParser(
        prog=prog,
        usage="%(prog)s [--config FILE.yaml] [--<setting> VALUE ...]",
        description=_DESCRIPTION if prog == _PROG else _DESCRIPTION.replace(f"python {_PROG}", prog),
        formatter_class=_Formatter,
        exit_on_error=exit_on_error,
        parser_mode=_MODE,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings.")
    # Truth values become switches (`--resume`, `--no_figures`), which the library makes of none by itself.
    types = get_type_hints(RunConfig)
    switches = [f for f in fields(RunConfig) if types[f.name] is bool]
    parser.add_class_arguments(RunConfig, skip={"learner", *(f.name for f in switches)})
    texts = {
        p.arg_name: p.description for p in docstring_parser.parse(inspect.getdoc(RunConfig) or "").params
    }
    for switch in switches:
        parser.add_argument(
            f"--{switch.name}", action=ActionYesNo, default=switch.default, help=texts.get(switch.name, "")
        )
    return parser


def _choice_parser(exit_on_error: bool = True, prog: str = _PROG) -> ArgumentParser:
    """Finds out which agent and method it is, on which depends what settings the learner has."""
    parser = _base_parser(exit_on_error, prog)
    parser.add_argument("--learner", type=dict[str, Any], default={})
    return parser


def _instantiate(parser: ArgumentParser, values: Namespace) -> RunConfig:
    values_by_name = parser.instantiate(values)
    return RunConfig(**{f.name: values_by_name[f.name] for f in fields(RunConfig)})


def _plain(value: Any) -> Any:
    """Paths as text, tuples as lists, all the way down: what YAML knows."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves
