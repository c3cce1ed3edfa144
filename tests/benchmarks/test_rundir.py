from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plastic_agents.runner.config import RunConfig, from_file
from plastic_agents.runner.rundir import RunDirectory, run_log


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig(agent="rnn", seed=3, logdir=tmp_path)


def finished(config: RunConfig) -> RunDirectory:
    directory = RunDirectory.of(config)
    directory.prepare(config)
    directory.write_metrics({"score": 0.5})
    return directory


def test_place_and_resolved_settings(config: RunConfig, tmp_path: Path) -> None:
    directory = RunDirectory.of(config)
    assert directory.prepare(config) == "new"
    assert directory.path == tmp_path / "PlasticGraph-disjoint-v0" / "rnn" / "seed-3"
    assert from_file(directory.config_file) == config


def test_stored_settings_do_not_delete_by_accident(config: RunConfig) -> None:
    directory = RunDirectory.of(config)
    directory.prepare(replace(config, overwrite=True))
    assert not from_file(directory.config_file).overwrite


def test_a_finished_run_is_kept(config: RunConfig) -> None:
    directory = finished(config)
    with pytest.raises(FileExistsError, match=r"finished run; pass --resume .* --overwrite"):
        directory.prepare(config)
    assert directory.prepare(replace(config, resume=True)) == "finished"
    assert directory.read_metrics() == {"score": 0.5}


def test_overwrite_starts_over(config: RunConfig) -> None:
    directory = finished(config)
    assert directory.prepare(replace(config, overwrite=True)) == "new"
    assert not directory.finished


def test_a_stopped_run_goes_on_only_when_asked(config: RunConfig) -> None:
    directory = RunDirectory.of(config)
    directory.prepare(config)
    directory.checkpoint_file.write_bytes(b"")
    with pytest.raises(FileExistsError, match="a run that was stopped; pass --resume to go on with it"):
        directory.prepare(config)
    assert directory.prepare(replace(config, resume=True)) == "stopped"


def test_a_run_without_a_checkpoint_makes_way(config: RunConfig) -> None:
    directory = RunDirectory.of(config)
    directory.prepare(config)
    assert directory.prepare(config) == "new"
    assert directory.prepare(replace(config, resume=True)) == "new"


def test_resuming_with_other_settings_is_refused(config: RunConfig) -> None:
    finished(config)
    changed = replace(config, resume=True, learner=replace(config.learner, batch_size=7))
    with pytest.raises(ValueError, match=r"learner.batch_size: 32, 7"):
        RunDirectory.of(config).prepare(changed)


def test_files_that_are_no_run_are_left_alone(config: RunConfig) -> None:
    directory = RunDirectory.of(config)
    directory.path.mkdir(parents=True)
    (directory.path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match=r"no config\.yaml"):
        directory.prepare(replace(config, overwrite=True))
    assert (directory.path / "thesis.tex").exists()


def test_siblings_are_the_other_finished_runs_on_the_environment(config: RunConfig) -> None:
    first = finished(config)
    second = finished(replace(config, agent="gru"))
    finished(replace(config, env="PlasticGraph-standard-v0"))
    RunDirectory.of(replace(config, seed=9)).prepare(replace(config, seed=9))
    assert first.siblings() == [second]


def test_metrics_are_strict_json(config: RunConfig) -> None:
    directory = finished(config)
    directory.write_metrics({"score": np.float64(0.5), "none": float("nan"), "many": np.array([1.0, np.inf])})
    found = json.loads(directory.metrics_file.read_text())
    assert found == {"score": 0.5, "none": None, "many": [1.0, None]}
    assert not list(directory.path.glob("*.partial"))


def test_log_is_appended_to_and_let_go(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with run_log(tmp_path / "run.log") as log:
            log.info(text)
    logging.getLogger("benchmarks").warning("three")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["one", "two"]
