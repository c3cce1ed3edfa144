from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import plastic_agents
import plastic_envs
from plastic_agents.learners.base import as_callback
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.evaluation import evaluate, normalised
from plastic_agents.runner.history import read_arrays
from plastic_agents.runner.run import Stopped, main, run
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.task_reports import EXPERIMENTS, experiment_of, graph_walk, graphs
from plastic_agents.seeding import named_generator

ROOT = Path(__file__).parents[2]
REQUIRED = (
    *("env_id", "agent", "seed", "score", "chance", "oracle", "normalized_score", "updates", "env_steps"),
    *("train_seconds", "params_slow", "params_fast"),
)
Settings = Callable[..., RunConfig]


def scalars(directory: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(directory.path), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: sorted((e.step, e.value) for e in events.Scalars(tag)) for tag in tags}


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


class _Interrupting:
    """Passes rows on to a callback; at one update this process gets Ctrl-C, or dies with an error."""

    def __init__(self, inner: Any, at: int, dies: bool) -> None:
        self._inner, self._at, self._dies = inner, at, dies

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> bool | None:
        if update == self._at and not self._dies:
            signal.raise_signal(signal.SIGINT)
        answer: bool | None = self._inner.on_update(agent, update, row)
        if update == self._at and self._dies:
            raise RuntimeError("power cut")
        return answer

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        self._inner.on_evaluation(agent, update, row)


def interrupt_at(update: int, monkeypatch: pytest.MonkeyPatch, dies: bool = False) -> None:
    learn = plastic_agents.NetworkAgent.learn_until

    def interrupted(self: Any, updates: int, callback: Any, **kwargs: Any) -> Any:
        return learn(self, updates, _Interrupting(as_callback(callback), update, dies), **kwargs)

    monkeypatch.setattr(plastic_agents.NetworkAgent, "learn_until", interrupted)


def test_a_run_leaves_everything_it_promises(quick: Settings) -> None:
    directory = run(quick())
    metrics = json.loads(directory.metrics_file.read_text())
    assert set(REQUIRED) <= set(metrics)
    assert {"train_split/score", "labels_permuted/score", "reference/oracle", "accuracy_seen"} <= set(metrics)
    assert metrics["normalized_score"] == pytest.approx(
        (metrics["score"] - metrics["chance"]) / (metrics["oracle"] - metrics["chance"])
    )
    assert metrics["updates"] == 6
    # 12 nodes are 11 moves: predict, acquire, ..., predict.
    assert metrics["env_steps"] == 6 * 4 * (2 * 11 - 1)
    curves, arrays = read_arrays(directory.curves_file)
    np.testing.assert_array_equal(curves["train/loss"].updates, np.arange(1, 7))
    assert arrays["long_walk/hits"].shape[0] == 59
    assert arrays["boundaries/hits"].shape[0] == 5 * 30
    assert "finished" in directory.log_file.read_text()
    assert torch.load(directory.checkpoint_file, weights_only=True)["update"] == 6


def test_events_read_back(quick: Settings) -> None:
    directory = run(quick())
    found = scalars(directory)
    curves, _ = read_arrays(directory.curves_file)
    assert {"time/fps", "time/time_elapsed", "time/total_timesteps"} <= set(found)
    for tag in ("train/loss", "train/learning_rate", "train/grad_norm", "eval/score", "eval/loss"):
        assert [step for step, _ in found[tag]] == list(curves[tag].updates)
        assert [value for _, value in found[tag]] == pytest.approx(list(curves[tag].values), rel=1e-5)
    header, *rows = (directory.path / "progress.csv").read_text().splitlines()
    assert {"update", "train/loss", "eval/score"} <= set(header.split(","))
    assert len(rows) == 6 + 3


def test_tensorboard_shows_the_outcome_and_the_table_has_one_order(quick: Settings) -> None:
    """C7 of the report of faults: the final score was nowhere; the order of columns changed."""
    directory = run(
        quick("--env", "EvidenceIntegration-v0", "--env_kwargs", "{}", "--agent", "gru", "--figures")
    )
    metrics = directory.read_metrics()
    shown = scalars(directory)
    assert shown["final/score"] == [(6, pytest.approx(metrics["score"]))]
    assert shown["final/oracle"] == [(step, pytest.approx(metrics["oracle"])) for step in (0, 6)]
    events = EventAccumulator(str(directory.path))
    events.Reload()
    assert "figures/training_curves" in events.Tags()["images"]
    assert "_hparams_/experiment" in events.summary_metadata
    header = (directory.path / "progress.csv").read_text().splitlines()[0].split(",")
    assert header[0] == "update"
    assert header[1].startswith("eval/")  # the validation before the first update comes first


def test_the_saved_agent_scores_the_same(quick: Settings) -> None:
    config = quick()
    directory = run(config)
    agent = plastic_agents.load(directory.agent_file, device="cpu")
    task = plastic_envs.make_task(config.env, **config.env_kwargs).with_split("test")
    scores, _ = evaluate(agent, task, config.eval_episodes, config.seed)
    assert scores["score"] == directory.read_metrics()["score"]


@pytest.fixture(scope="module")
def unbroken_runs() -> dict[Any, RunDirectory]:
    """Runs that were not stopped, by what tells them apart."""
    return {}


AT_LAST = pytest.param(5, 3, marks=pytest.mark.slow)


# Update 3 comes with an evaluation, 4 and 5 do not; with 1, every update does.
@pytest.mark.parametrize(("stop_at", "evaluate_every"), [(3, 3), (4, 3), AT_LAST, (2, 1)])
@pytest.mark.parametrize("agent", ["plastic", "plastic-published"])
def test_a_stopped_run_ends_with_the_same_numbers(
    quick: Settings, unbroken_runs: dict[Any, RunDirectory], agent: str, stop_at: int, evaluate_every: int
) -> None:
    settings = ["--agent", agent, "--learner.evaluate_every", str(evaluate_every), "--checkpoint_every", "50"]
    unbroken, broken = (quick(*settings, logdir=name) for name in ("unbroken", "broken"))
    expected = unbroken_runs.get((agent, evaluate_every)) or run(unbroken)
    unbroken_runs[agent, evaluate_every] = expected
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(stop_at, patch)
        with pytest.raises(Stopped, match="with --resume goes on"):
            run(broken)
    assert not RunDirectory.of(broken).finished
    found = run(replace(broken, resume=True))
    assert without_times(found.read_metrics()) == without_times(expected.read_metrics())
    shown = scalars(found)
    for tag, points in scalars(expected).items():
        if not tag.startswith("time/"):
            assert shown[tag] == points, tag
    ours, theirs = (read_arrays(d.curves_file)[0] for d in (found, expected))
    for tag in set(theirs) - {"time/cpu_seconds"}:
        np.testing.assert_array_equal(ours[tag].updates, theirs[tag].updates)
        np.testing.assert_array_equal(ours[tag].values, theirs[tag].values)


def test_a_run_that_died_shows_no_update_twice(quick: Settings) -> None:
    config = quick()
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(5, patch, dies=True)
        with pytest.raises(RuntimeError, match="power cut"):
            run(config)
    assert "power cut" in RunDirectory.of(config).log_file.read_text()
    time.sleep(1.1)  # event files are read in the order of the seconds that they are named after
    found = run(replace(config, resume=True))
    expected = run(quick(logdir="unbroken"))
    assert without_times(found.read_metrics()) == without_times(expected.read_metrics())
    shown = scalars(found)["train/loss"]
    assert [step for step, _ in shown] == [1, 2, 3, 4, 5, 6]
    assert shown == scalars(expected)["train/loss"]
    lines = [len((d.path / "progress.csv").read_text().splitlines()) for d in (found, expected)]
    assert lines[0] == lines[1]


def test_signals_are_handled_as_before_after_a_run(quick: Settings) -> None:
    before = signal.getsignal(signal.SIGINT)
    run(quick())
    assert signal.getsignal(signal.SIGINT) is before


# Of the battery's tasks, which the runner cannot tell apart, all but three are slow.
EACH = [
    pytest.param(env, marks=pytest.mark.slow)
    if env.startswith("Cognitive-") and "everything" not in env and "delaygo" not in env
    else env
    for env in sorted(plastic_envs.ENVIRONMENTS)
]


@pytest.mark.parametrize("env", EACH)
@pytest.mark.parametrize("agent", ["oracle", "random"])
@pytest.mark.usefixtures("brief_holds")
def test_both_ends_of_the_scale_on_every_environment(quick: Settings, env: str, agent: str) -> None:
    config = replace(quick("--agent", agent), env=env, env_kwargs={}, eval_episodes=12)
    metrics = run(config).read_metrics()
    assert metrics["updates"] == metrics["env_steps"] == metrics["params_slow"] == 0
    if agent == "random":
        assert metrics["normalized_score"] < 0.3


def test_a_saved_agent_can_be_scored_elsewhere(quick: Settings) -> None:
    trained = run(quick())
    moved = quick("--updates", "0", "--checkpoint", str(trained.agent_file), logdir="moved")
    assert run(moved).read_metrics()["score"] == trained.read_metrics()["score"]
    wrong = replace(moved, agent="rnn", overwrite=True)
    with pytest.raises(ValueError, match="holds agent 'plastic'"):
        run(wrong)


def test_the_command_line_as_a_user_types_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--agent", "random", "--env", "EvidenceIntegration-v0", "--eval_episodes", "5"]
    arguments += ["--env_kwargs", "{num_tokens: 6}", "--logdir", str(tmp_path)]
    command = [sys.executable, "benchmarks/run.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "random on EvidenceIntegration-v0, seed 0: accuracy" in first.stdout
    folder = tmp_path / "EvidenceIntegration-v0" / "random" / "seed-0"
    assert (folder / "report.html").exists()
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert main(arguments) == 2
    again = capsys.readouterr().err
    assert "--overwrite" in again
    assert "Traceback" not in again


def test_wandb_offline(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    directory = run(quick("--track", "wandb"))
    (record,) = directory.path.glob("wandb/offline-run-*/run-*.wandb")
    content = record.read_bytes()
    assert b"train/loss" in content
    assert b"normalized_score" in content


def test_a_missing_tracker_says_which_extra(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match=r"pip install 'plastic-gym\[track\]'"):
        run(quick("--track", "wandb"))


def test_named_streams_differ_by_seed_and_name() -> None:
    draws = {
        tuple(named_generator(s, n).integers(2**62, size=3)) for s in (0, 1) for n in ("test", "probe/x")
    }
    assert len(draws) == 4
    assert tuple(named_generator(0, "test").integers(2**62, size=3)) in draws


def test_normalised_score() -> None:
    assert normalised(0.5, chance=0.5, oracle=1.0) == 0.0
    assert normalised(1.0, chance=0.5, oracle=1.0) == 1.0
    with pytest.raises(ValueError, match="cannot tell agents apart"):
        normalised(0.5, chance=0.5, oracle=0.5)


def test_experiments_are_found_by_class() -> None:
    assert experiment_of(plastic_envs.make_task("PlasticGraph-switch-v0")) is graph_walk
    assert experiment_of(plastic_envs.make_task("PlasticGraph-explore-v0")) is graphs
    for name in EXPERIMENTS:
        module, _, qualname = name.partition(":")
        assert hasattr(__import__(module, fromlist=[qualname]), qualname)
