"""What the stimulus-coding experiment measures and draws, and that its study is one that can be run."""

from __future__ import annotations

import numpy as np
import pytest

import plastic_agents
import plastic_envs
from benchmarks.studies.stimulus_coding import STUDY as study
from plastic_agents.learners.three_factor import ThreeFactorConfig
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports import stimulus_coding as experiment


@pytest.mark.usefixtures("brief_holds")
@pytest.mark.parametrize(
    ("agent", "readout"),
    [
        ("three-factor", "estimation"),
        ("three-factor", "classification"),
        ("oracle", "estimation"),
        ("gru", "estimation"),
    ],
)
def test_measurements_and_figures(agent, readout):
    config = RunConfig(
        agent=agent, env=f"StimulusCoding-{readout}-v0", env_kwargs={"num_steps": 50}, device="cpu"
    )
    task = plastic_envs.make_task(config.env, **config.env_kwargs)
    player = plastic_agents.make(agent, task, seed=config.seed, device="cpu")
    metrics, arrays = experiment.measure(player, config)
    assert arrays["after/error"].shape == (12,)
    assert metrics["after/error"] == pytest.approx(arrays["after/error"].mean())
    if agent == "oracle":
        assert metrics["after/error"] < 1e-6
        assert "before/error" not in metrics
    elif readout == "estimation":
        # not trained, so before is after; and the error is its two parts
        np.testing.assert_allclose(arrays["before/error"], arrays["after/error"], atol=1e-6)
        parts = metrics["after/squared_bias"] + metrics["after/variance"]
        assert parts == pytest.approx(metrics["after/error"], rel=1e-4)
    else:
        assert 0.3 < metrics["after/accuracy"] < 0.7
        assert metrics["after/d_prime"] >= 0
    if agent == "three-factor":
        assert 0 < metrics["after/noise_in_decoder_space"] <= 1
    run = Results(config, {**metrics, "score_name": task.score_name}, {}, arrays)
    drawn = experiment.figures(run, [run])
    assert len({name for name, _, _ in drawn}) == len(drawn) >= 3
    group = f"{readout}-three-factor"
    rows = study.table({group: [run, run]})
    assert any(row.quantity.endswith("error over held angles") and row.n == 2 for row in rows)
    assert study.figures({group: [run]})


def test_the_plan_names_settings_that_exist():
    for planned in study.plan():
        ThreeFactorConfig(**planned.settings["learner"])
        plastic_envs.make_task(planned.settings["env"], **planned.settings["env_kwargs"])
        assert len(planned.seeds) >= 5
