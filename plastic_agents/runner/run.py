"""Train one agent on one task and write everything that came of it into one directory.

    python benchmarks/run.py --agent plastic
    python benchmarks/run.py --help

The directory holds config.yaml (resolved settings), run.log, TensorBoard events, progress.csv, checkpoint.pt,
agent.pt (the trained agent), curves.npz, metrics.json, figures/, report.html and report.pdf.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Any

import torch

import plastic_agents
import plastic_envs
from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.registry import AGENTS, LEARNERS
from plastic_agents.runner.checkpoints import Checkpointer
from plastic_agents.runner.cli import Mistake, Stopped, asked_for, guarded
from plastic_agents.runner.config import RunConfig, parse
from plastic_agents.runner.evaluation import evaluate
from plastic_agents.runner.events import EventWriter, Tracker, write_outcome
from plastic_agents.runner.history import History, write_arrays
from plastic_agents.runner.report import present
from plastic_agents.runner.results import number
from plastic_agents.runner.rundir import RunDirectory, run_log
from plastic_agents.runner.stopping import StopRequest
from plastic_agents.runner.task_reports import experiment_of
from plastic_envs.naming import imported, short_name
from plastic_envs.task import Task

__all__ = ["Stopped", "main", "run"]

_LOG = logging.getLogger("plastic_agents.runner.run")


@dataclass(frozen=True)
class _Effort:
    """Effort of training: updates, environment steps, seconds of CPU and of wall-clock time."""

    updates: int
    env_steps: int
    cpu_seconds: float
    wall_seconds: float


def run(config: RunConfig) -> RunDirectory:
    """Carry out a run, or the rest of one.

    Args:
        config: Its settings.

    Returns:
        Its directory, with metrics.json in it.

    Raises:
        Mistake: If the settings make no task, agent or tracker, do not fit the run to resume, or another
            process works in the directory. Nothing is written or deleted then.
        FileExistsError: If there is an earlier run; see `RunDirectory.state`.
        FloatingPointError: If training left the range of numbers.
        Stopped: If it was asked to stop.
    """
    directory = RunDirectory.of(config)
    finished = directory.state(config) == "finished"
    torch.set_num_threads(config.threads)
    with asked_for():  # all that can fail by what was asked for, before anything is touched
        for name in config.code_names:
            imported(name)
        task = config.task()
        agent = None if finished else _make_agent(config, task)
        Tracker.check(config)
    with directory.held():
        try:
            _carry_out(config, task, agent, directory)
        finally:
            directory.recover()
    return directory


def _carry_out(config: RunConfig, task: Task, agent: Agent | None, directory: RunDirectory) -> None:
    state = directory.prepare(config)
    with run_log(directory.log_file):
        _LOG.info(
            "%s on %s, seed %d, in %s (%s)", config.agent, config.env, config.seed, directory.path, state
        )
        try:
            if state != "finished":
                agent = agent or _make_agent(config, task)
                _train_and_score(config, agent, task, directory, resumes=state == "stopped")
                directory.settle()
            present(directory, figures=config.figures, report=config.report)
        except Stopped as stopped:
            _LOG.info("%s", stopped)
            raise
        except Exception:
            _LOG.exception("the run ended with an error")
            raise
        _LOG.info("finished")


def _train_and_score(
    config: RunConfig, agent: Agent, task: Task, directory: RunDirectory, resumes: bool
) -> None:
    history = History()
    with Tracker(config, directory.path) as tracker:
        effort = _train(config, agent, directory, history, resumes)
        agent.save(directory.agent_file)
        _LOG.info("trained: %s", effort)
        scores, _ = evaluate(agent, agent.task.with_split("test"), config.eval_episodes, config.seed)
        more, arrays = experiment_of(task).measure(agent, config)
        parameters = agent.num_parameters()
        metrics: dict[str, Any] = {
            "env_id": config.env,
            "agent": config.agent,
            "seed": config.seed,
            **{name: scores.pop(name) for name in ("score", "chance", "oracle", "normalized_score")},
            "updates": effort.updates,
            "env_steps": effort.env_steps,
            "train_seconds": effort.cpu_seconds,
            "train_wall_seconds": effort.wall_seconds,
            "params_slow": parameters["slow"],
            "params_fast": parameters["fast"],
            "score_name": task.score_name,
            "eval_episodes": config.eval_episodes,
            "threads": config.threads,
            "device": str(getattr(agent, "device", "cpu")),
            **scores,
            **more,
        }
        write_outcome(directory.path, config, metrics)
        tracker.summarise(metrics)
    write_arrays(directory.curves_file, history.curves(), arrays)
    directory.write_metrics(metrics)  # last: from here on the run counts as finished


def _make_agent(config: RunConfig, task: Task) -> Agent:
    """A fresh agent for the training split, or a saved one's network with these settings if they name one."""
    saved, arguments = None, config.agent_kwargs
    if config.checkpoint is not None:
        saved = plastic_agents.load(config.checkpoint, task=task, device=config.device)
        if saved.name != config.agent:
            raise Mistake(
                f"{config.checkpoint} holds agent {saved.name!r}, not {config.agent!r}; "
                f"pass --agent {saved.name}."
            )
        arguments = {**getattr(saved, "network_kwargs", {}), **arguments}
    agent = plastic_agents.make(
        config.agent,
        task,
        seed=config.seed,
        device=config.device,
        method=config.method,
        learner=config.learner,
        **arguments,
    )
    if isinstance(agent, NetworkAgent) and isinstance(saved, NetworkAgent):
        agent.adopt(saved)
    return agent


def _train(
    config: RunConfig, agent: Agent, directory: RunDirectory, history: History, resumes: bool
) -> _Effort:
    """Let the agent learn; raises `Stopped` once a checkpoint is saved if a signal asked for it."""
    total = config.learner.updates
    with StopRequest() as stop:
        checkpointer = Checkpointer(
            directory.checkpoint_file,
            history,
            config.checkpoint_every,
            last=total,
            stop=stop,
        )
        if resumes:
            checkpointer.resume(agent)
        past = history.rows if resumes else None
        events = EventWriter(directory.path, past, checkpointer.wall_seconds)
        try:
            callbacks = [history, events, checkpointer]  # rows are kept before they are saved
            if isinstance(agent, NetworkAgent):
                agent.learn_until(total, callbacks, progress_bar=config.progress_bar)
        finally:
            events.close()
    updates = max((update for update, _ in history.rows), default=0)
    if stop.made and updates < total:
        raise Stopped(
            f"stopped at update {checkpointer.saved_at} of {total}, saved in {directory.path}; "
            "the same command with --resume goes on."
        )
    steps = history.curves().get("time/total_timesteps")
    return _Effort(
        updates=updates,
        env_steps=0 if steps is None else int(steps.values[-1]),
        cpu_seconds=checkpointer.cpu_seconds,
        wall_seconds=checkpointer.wall_seconds,
    )


def main(arguments: list[str] | None = None, prog: str = "benchmarks/run.py") -> int:
    """The command line, under the name `prog`. Returns the exit status."""
    texts = sys.argv[1:] if arguments is None else arguments
    if "--list" in texts:
        print(listing())
        return 0
    if "--version" in texts:
        print(f"plastic-gym {plastic_envs.__version__}")
        return 0
    return guarded(prog, lambda: _run_and_tell(parse(texts, once=True, prog=prog)))


def listing(*kinds: str) -> str:
    """All names by kind ("agents", "envs", "methods"), a line each; default: agents and envs."""
    tables = {
        "agents": ("agents (--agent)", {name: spec.description for name, spec in AGENTS.items()}),
        "envs": ("environments (--env)", dict.fromkeys(plastic_envs.ENVIRONMENTS, "")),
        "methods": ("methods (--method)", {name: _summary(learner) for name, learner in LEARNERS.items()}),
    }
    parts = [tables[kind] for kind in kinds or ("agents", "envs")]
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:<20}{text}".rstrip() for name, text in table.items())])
        for title, table in parts
    )


def _summary(learner: type) -> str:
    return (learner.__doc__ or "").partition("\n")[0]


def _run_and_tell(config: RunConfig) -> int:
    directory = run(config)
    metrics = directory.read_metrics()
    print(
        f"{short_name(config.agent)} on {short_name(config.env)}, seed {config.seed}: "
        f"{metrics['score_name']} {number(metrics['score'])} "
        f"(chance {number(metrics['chance'])}, oracle {number(metrics['oracle'])}, "
        f"normalised {number(metrics['normalized_score'], 3)}) "
        f"after {metrics['train_seconds']:.1f} CPU seconds of training"
    )
    print(f"everything is in {directory.path}")
    return 0
