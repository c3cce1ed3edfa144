"""What a run must not lose or mix up, and how it says that something was asked that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import main_job
from plastic_agents.learners.base import LearnerConfig
from plastic_agents.learners.gradient import GradientConfig
from plastic_agents.learners.supervised import SupervisedConfig
from plastic_agents.runner import run as runner
from plastic_agents.runner.config import RunConfig, differences, make_parser, parse
from plastic_agents.runner.report import present
from plastic_agents.runner.results import Results, number
from plastic_agents.runner.run import run
from plastic_agents.runner.rundir import RunDirectory

Settings = Callable[..., RunConfig]
FEW_FIGURES = ("--env", "EvidenceIntegration-v0", "--env_kwargs", "{}")


def files(directory: RunDirectory) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.path.iterdir() if p.is_file()}


def test_overwriting_with_a_mistake_keeps_the_finished_run(quick: Settings) -> None:
    """F11: `--overwrite` deleted the old run before it was known that the new one could start."""
    config = quick("--agent", "gru")
    before = files(run(config))
    mistakes: tuple[dict[str, Any], ...] = (
        {"agent_kwargs": {"hidden": 10}},
        {"env_kwargs": {"num_node": 3}},
        {"checkpoint": Path("nope.pt")},
        {"device": "cuda:7"},
        {"checkpoint": Path("transitive-gru-0")},
    )
    for mistake in mistakes:
        with pytest.raises((ValueError, FileNotFoundError)):
            run(replace(config, overwrite=True, **mistake))
        assert files(RunDirectory.of(config)) == before, mistake


def test_a_run_that_fails_while_it_overwrites_gives_the_old_one_back(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F11, K10: a kill or an error during `--overwrite` left a directory that every later run refused."""
    config = quick("--agent", "gru")
    before = files(run(config))

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(runner, "_train", dies)
    with pytest.raises(RuntimeError, match="power cut"):
        run(replace(config, overwrite=True))
    assert files(RunDirectory.of(config)) == before


def test_what_a_kill_between_two_moves_leaves_is_taken_up(quick: Settings) -> None:
    config = quick("--agent", "random")
    directory = run(config)
    os.replace(directory.path, directory.path.with_name(f".{directory.path.name}.replaced"))
    with pytest.raises(FileExistsError, match="a finished run"):
        run(config)
    assert run(replace(config, resume=True)).finished


def test_two_runs_at_once_do_not_share_a_directory(quick: Settings) -> None:
    """F12, K7: the second began in the first one's directory, and both ended with a mixture."""
    config = quick("--agent", "random")
    with RunDirectory.of(config).held(), pytest.raises(ValueError, match=r"in use.*--seed or --logdir"):
        run(config)
    assert run(config).finished


def test_an_unreadable_sibling_is_left_out_with_a_warning(
    quick: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """F13: one broken run of the same environment failed every later run after its training."""
    directory = run(quick("--agent", "random", *FEW_FIGURES))
    broken = directory.path.parent.parent / "old" / "seed-0"
    broken.mkdir(parents=True)
    (broken / "metrics.json").write_text('{"score": 0.')
    (broken / "config.yaml").write_text("some_new_setting: 3\n")
    present(directory)
    assert str(broken) in caplog.text
    assert (directory.path / "report.html").exists()


def test_a_score_that_is_undefined_is_shown_as_a_dash(quick: Settings) -> None:
    """F13's kind: a null score broke figures, report and table."""
    directory = run(quick("--agent", "random"))
    metrics = json.loads(directory.metrics_file.read_text())
    directory.write_metrics({**metrics, "score": None, "normalized_score": None, "oracle": None})
    present(directory)
    assert number(None) == number(float("nan")) == "-"
    assert number(-0.00001) == "0.0000"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--env_kwargs", "{num_node: 3}"],
        ["--agent", "gru", "--agent_kwargs", "{hidden: 3}"],
        ["--checkpoint", "nofile.pt"],
        ["--device", "tpu"],
        ["--env", "EvidenceIntegration-v0", "--checkpoint", "transitive-gru-0", "--agent", "gru"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F15: these were tracebacks and status 1."""
    status = runner.main([*arguments, "--logdir", str(tmp_path), "--updates", "1"])
    text = capsys.readouterr().err
    assert status == 2
    assert len(text.strip().splitlines()) == 1
    assert text.startswith("benchmarks/run.py: ")


def test_a_logdir_that_is_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K6."""
    (tmp_path / "file").write_text("")
    assert runner.main(["--agent", "random", "--logdir", str(tmp_path / "file")]) == 2
    assert main_job.main(["--logdir", str(tmp_path / "file"), "--updates", "1"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


def test_a_setting_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--seed", "0", "--seed", "1"], once=True)
    assert "--seed: given more than once" in capsys.readouterr().err


def test_a_run_made_from_python_has_the_settings_of_the_command_line() -> None:
    """C4: the learning rate was 0.01 in place of 0.001, and 500 updates in place of 1500."""
    for agent in ("gru", "neuromodulated", "three-factor", "mpn"):
        assert RunConfig(agent=agent) == parse(["--agent", agent])


def test_a_partial_file_alone_is_no_run(quick: Settings) -> None:
    """K1: a kill just before config.yaml was in place left a directory that every run refused."""
    config = quick("--agent", "random")
    directory = RunDirectory.of(config)
    directory.path.mkdir(parents=True)
    (directory.path / "config.yaml.123-4.partial").write_text("agent: ran")
    assert run(config).finished


def test_a_finished_run_is_trained_for_longer(quick: Settings) -> None:
    config = quick("--agent", "gru")
    first = run(config)
    learner = replace(config.learner, updates=config.learner.updates + 3)
    longer = run(replace(config, learner=learner, resume=True))
    assert longer.read_metrics()["updates"] == config.learner.updates + 3
    kept = json.loads((first.path / f"metrics-{config.learner.updates}-updates.json").read_text())
    assert kept["updates"] == config.learner.updates
    with pytest.raises(ValueError, match=r"learner\.updates"):
        run(replace(config, resume=True))


def test_runs_may_be_made_in_a_thread(quick: Settings) -> None:
    """F23: signals cannot be caught there; it was a ValueError."""
    config = quick("--agent", "random")
    thread = threading.Thread(target=run, args=(config,))
    thread.start()
    thread.join()
    assert RunDirectory.of(config).finished


def test_the_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """F24: `--logdir=~/x` made a folder named "~"."""
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parse(["--logdir=~/x", "--checkpoint=~/a.pt"])
    assert config.logdir == tmp_path / "x"
    assert config.checkpoint == tmp_path / "a.pt"


def test_settings_that_mean_the_same_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F28: a checkpoint named from another folder, and a default written out, counted as other settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    here = RunConfig(checkpoint=Path("a.pt"))
    assert differences(here, replace(here, checkpoint=Path("sub") / ".." / "a.pt")) == []
    assert differences(RunConfig(), RunConfig(env_kwargs={"num_nodes": 8})) == []
    assert differences(RunConfig(), RunConfig(env_kwargs={"num_nodes": 9})) != []


def test_threads_are_held_and_bounded() -> None:
    """K4, K13: the number of threads has a bearing on the numbers; 40 000 ended in a segmentation fault."""
    assert differences(RunConfig(threads=1), RunConfig(threads=2)) == ["threads: 1, 2"]
    with pytest.raises(ValueError, match="threads=40000"):
        RunConfig(threads=40_000)


def test_names_with_a_dollar_sign_are_no_formulas(quick: Settings) -> None:
    """K6: `100%_$5_and_$6` in the logdir broke every figure."""
    directory = run(quick("--agent", "gru", *FEW_FIGURES, logdir="100%_$5_and_$6"))
    present(directory)
    assert (directory.path / "report.pdf").exists()
    assert Results.read(directory).path == directory.path


def test_help_needs_no_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """F22: `python -OO`, which drops them, was a KeyError."""
    for described in (RunConfig, SupervisedConfig, GradientConfig, LearnerConfig):
        monkeypatch.setattr(described, "__doc__", None)
    assert "--learner.batch_size" in make_parser().format_help()


@pytest.mark.slow
def test_help_is_given_under_python_without_docstrings() -> None:
    """The same by `python -OO`, which compiles every library anew."""
    root = Path(__file__).parents[2]
    code = "from plastic_agents.runner.config import make_parser; make_parser().format_help()"
    done = subprocess.run([sys.executable, "-OO", "-c", code], cwd=root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_list_names_every_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """P18: the help named 8 of 13."""
    assert runner.main(["--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("neuromodulated", "leaky-softplus", "mpn", "EvidenceIntegration-v0"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
