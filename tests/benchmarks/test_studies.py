from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import plastic_agents
from benchmarks.reproduce import config_of, main, markdown, reproduce
from benchmarks.ship import ship
from benchmarks.studies import STUDIES, study
from benchmarks.studies.study import Planned, Row, interval, merged
from benchmarks.studies.transitive import inference
from benchmarks.studies.transitive.conditions import CONDITIONS
from benchmarks.studies.transitive.measures import Effort
from plastic_agents import pretrained
from plastic_agents.agent import NetworkAgent
from plastic_agents.runner.config import RunConfig, differences, from_file
from plastic_agents.runner.results import Results
from plastic_agents.runner.rundir import RunDirectory
from plastic_agents.runner.task_reports import transitive as experiment

_FAKE = '''
"""Two groups on a small task; stands in for a published system."""
import numpy as np
from matplotlib.figure import Figure
from benchmarks.studies.study import Planned, Row, Study

QUICK = {
    "env": "TransitiveInference-v0",
    "env_kwargs": {"num_items": 3, "num_train_trials": 2, "num_test_trials": 1},
    "agent_kwargs": {"hidden_size": 4},
    "updates": 2, "eval_episodes": 20, "learner": {"validation_episodes": 4},
    "method": "actor-critic", "device": "cpu",
}

def plan():
    return [
        Planned("small-net", {"agent": "neuromodulated", **QUICK}, seeds=(0, 1), shipped="small-{seed}"),
        Planned("nobody", {"agent": "random", "env": QUICK["env"], "eval_episodes": 20}),
    ]

def measure(group, agent, run, effort):
    return {"twice": effort * run.metrics["score"], "undefined": float("nan")}, {"name": np.array(agent.name)}

def table(results):
    return [Row.of(f"{g}: {m}", "0.5", [float(r.metrics[m]) for r in runs])
            for g, runs in results.items() for m in ("score", "twice", "undefined", "updates")]

def figures(results):
    return [("blank", "Nothing.", Figure(figsize=(1, 1)))]

STUDY = Study("fake", "a study that takes a moment", plan, table, figures, measure, effort=2)
'''


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A study in a module that new processes can import too; nothing is shipped yet."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "fake_study.py").write_text(_FAKE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(STUDIES, "fake", "fake_study")
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(pretrained, "_FOLDER", shipped)
    return "fake"


def rows_of(root: Path) -> dict[str, dict[str, object]]:
    return {row["quantity"]: row for row in json.loads((root / "table.json").read_text())}


def test_a_study_is_made_once_resumed_and_made_again_from_its_networks(
    fake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], in_this_process: Callable[[], None]
) -> None:
    out = tmp_path / "out"
    assert main([fake, "--out", str(out), "--retrain", "--no-reports"]) == 0
    assert "| small-net: score |" in capsys.readouterr().out
    root = out / fake
    rows = rows_of(root)
    assert (root / "figures" / "blank.png").read_bytes().startswith(b"\x89PNG")
    assert (root / "figures" / "blank.txt").read_text() == "Nothing.\n"
    scores = rows["small-net: score"]["each"]
    assert isinstance(scores, list)
    assert rows["small-net: twice"]["each"] == pytest.approx([2 * s for s in scores])
    assert rows["small-net: undefined"]["ours"] is None
    assert (rows["small-net: score"]["n"], rows["nobody: score"]["n"]) == (2, 1)
    assert rows["nobody: score"]["interval"] is None

    in_this_process()
    # What is there is not made again; what was lost is.
    lost, kept = (
        root / "retrained" / "small-net" / "TransitiveInference-v0" / "neuromodulated" / f"seed-{seed}"
        for seed in (0, 1)
    )
    (lost / "measured.npz").unlink()
    before = {path: path.stat().st_mtime_ns for path in (lost / "metrics.json", kept / "measured.npz")}
    reproduce(fake, out, retrain=True, only="small-*", reports=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = rows_of(root)
    assert again["small-net: twice"] == rows["small-net: twice"]
    assert not any(name.startswith("nobody") for name in again)

    # Once its networks are shipped, nothing is trained, and what training took is still known.
    for seed in (0, 1):
        run = root / "retrained" / "small-net" / "TransitiveInference-v0" / "neuromodulated" / f"seed-{seed}"
        ship(run, f"small-{seed}", tmp_path / "shipped")
    assert pretrained.names() == ["small-0", "small-1"]
    assert str(tmp_path) not in pretrained.config_file("small-0").read_text()
    assert pretrained.record("small-0")["updates"] == 2
    reproduce(fake, out, only="small-*", reports=False)
    shipped = rows_of(root)
    assert shipped["small-net: score"] == rows["small-net: score"]
    assert shipped["small-net: updates"]["each"] == [2.0, 2.0]
    used = root / "runs" / "small-net" / "TransitiveInference-v0" / "neuromodulated" / "seed-0"
    assert json.loads((used / "metrics.json").read_text())["updates"] == 0

    # Nobody has asked to train the one that is not there.
    for file in (tmp_path / "shipped").glob("small-1.*"):
        file.unlink()
    reproduce(fake, out, only="small-*", reports=False)
    assert "left out: small-net, seed 1. --retrain" in capsys.readouterr().err
    assert rows_of(root)["small-net: score"]["n"] == 1


def test_what_is_wrong_is_said(fake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ValueError, match=r"no group of 'fake' matches 'x\*'; it has \['small-net', 'nobody'\]"
    ):
        reproduce(fake, tmp_path, only="x*")
    with pytest.raises(ValueError, match=r"'small-0'.*--retrain"):
        reproduce(fake, tmp_path)
    with pytest.raises(ValueError, match="did you mean one of"):
        study("transitive-inferense")
    for arguments, message in (
        ([], "which study"),
        ([fake, "--jobs", "0"], "expected at least 1"),
        (["nothing"], "unknown study 'nothing'"),
        ([fake, "--only", "x"], "no group"),
    ):
        try:
            status = main([*arguments, "--out", str(tmp_path)])
        except SystemExit as ended:  # argparse's own way
            status = int(ended.code or 0)
        assert status == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"no finished run"):
        ship(tmp_path, "nothing")


@functools.cache
def plan_of(name: str) -> dict[str, Planned]:
    return {planned.group: planned for planned in study(name).plan()}


@functools.cache
def planned_config(name: str, group: str, seed: int) -> RunConfig:
    """What a study would train."""
    return config_of(plan_of(name)[group], seed, Path("out"), retrain=True)


def test_every_study_is_listed_and_says_what_it_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for name in STUDIES:
        assert study(name).name == name
        assert f"{name}: {study(name).description}" in listed
        assert len(plan_of(name)) == len(study(name).plan())
        for planned in plan_of(name).values():
            config = planned_config(name, planned.group, planned.seeds[0])
            assert config.seed == planned.seeds[0]
            assert config.resume


def test_shipped_networks_are_those_that_the_studies_would_train() -> None:
    """A shipped network's settings are those of its study's plan, so `--retrain` makes the same one."""
    for name in STUDIES:
        for planned in plan_of(name).values():
            for seed in planned.seeds:
                network = planned.network(seed)
                if network is not None and network in pretrained.names():
                    ours = planned_config(name, planned.group, seed)
                    assert not differences(from_file(pretrained.config_file(network)), ours)


def test_settings_reach_a_run(tmp_path: Path) -> None:
    planned = Planned(
        "g", {"agent": "rnn", "agent_kwargs": {"hidden_size": 3}, "learner": {"batch_size": 7}}, (4,)
    )
    config = config_of(planned, 4, tmp_path)
    assert (config.agent, config.seed, config.learner.batch_size) == ("rnn", 4, 7)
    assert config.agent_kwargs == {"hidden_size": 3}
    assert RunDirectory.of(config).path.is_relative_to(tmp_path / "runs" / "g")
    assert planned.network(4) is None


def test_settings_are_merged_key_by_key() -> None:
    common = {"updates": 3, "learner": {"batch_size": 7, "learning_rate": 0.1}}
    both = merged(common, {"agent": "gru", "updates": 4, "learner": {"batch_size": 8}})
    assert both == {"agent": "gru", "updates": 4, "learner": {"batch_size": 8, "learning_rate": 0.1}}
    assert common["learner"] == {"batch_size": 7, "learning_rate": 0.1}


def test_rows_and_intervals() -> None:
    assert interval([0.5]) is None
    low, high = interval([1.0, 2.0, 3.0]) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(2 - 4.302653 / 3**0.5), pytest.approx(2 + 4.302653 / 3**0.5))
    wide = interval(list(np.random.default_rng(0).normal(size=1000))) or (0.0, 0.0)
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 / 1000**0.5, rel=0.1)
    row = Row.of("size |x|", "0.9", [1.0, 3.0])
    assert (row.ours, row.n, row.each) == (2.0, 2, [1.0, 3.0])
    text = markdown([row, Row.of("one", "", [math.pi])]).splitlines()
    assert text[2].startswith(r"| size \|x\| | 0.9 | 2.0000 | -10.7")
    assert text[3] == "| one |  | 3.1416 |  | 1 |"


# ---- transitive inference ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Results]]:
    """The study's measurements of untrained networks in very few episodes."""
    effort = Effort(share=0.01, representation=30, withheld=12, recoding=12, recoding_steps=2)
    found: dict[str, list[Results]] = {}
    measure = replace(inference.STUDY, effort=effort).measurement
    assert measure is not None
    for planned in inference.STUDY.plan():
        if planned.group not in ("neuromodulated", "gru-kept"):
            continue
        settings = planned.settings
        agent = plastic_agents.make(
            settings["agent"], settings["env"], method=settings["method"], device="cpu",
            **{**settings.get("agent_kwargs", {}), "hidden_size": 8},
        )  # fmt: skip
        config = RunConfig(agent=agent.name, env=settings["env"], eval_episodes=20, device="cpu")
        own, arrays = experiment.measure(agent, config)
        run = Results(config, {"accuracy": 0.5, "score": 0.5, **own}, {}, arrays)
        metrics, more = measure(planned.group, agent, run)
        found[planned.group] = [replace(run, metrics={**run.metrics, **metrics}, arrays={**arrays, **more})]
    return found


def test_every_agent_is_put_through_what_it_can_be(measured: dict[str, list[Results]]) -> None:
    plastic, recurrent = (measured[name][0] for name in ("neuromodulated", "gru-kept"))
    for name, condition in CONDITIONS.items():
        assert f"{name}/accuracy" in plastic.metrics
        assert (f"{name}/accuracy" in recurrent.metrics) == (condition.intervene is None)
    assert plastic.metrics["sign_flip_difference"] == 0
    aligned = plastic.arrays["withheld DE/alignments"]
    np.testing.assert_allclose(
        aligned[1:3], aligned[[0, 0]], atol=1e-6
    )  # nothing is written in steps 0 and 1


def test_the_table_and_all_figures_come_of_it(measured: dict[str, list[Results]]) -> None:
    rows = inference.STUDY.table(measured)
    names = [row.quantity for row in rows]
    assert len(set(names)) == len(names)
    for pair in ("CD", "EF", "DE", "AH"):
        assert f"neuromodulated: linking: {pair}" in names
    before = dict(mpl.rcParams)
    drawn = inference.STUDY.figures(measured)
    assert len({name for name, _, _ in drawn}) == len(drawn) >= 12
    for _, caption, figure in drawn:
        assert caption.endswith(".")
        figure.draw_without_rendering()
        assert all(axes.get_title(loc="left") for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert dict(mpl.rcParams) == before
    without = {group: runs for group, runs in measured.items() if group != "neuromodulated"}
    assert len(inference.STUDY.figures(without)) == 2


def test_the_experiment_draws_what_a_run_stored(measured: dict[str, list[Results]]) -> None:
    run = measured["neuromodulated"][0]
    drawn = experiment.figures(run, [run, measured["gru-kept"][0]])
    assert [name for name, _, _ in drawn] == [
        "distance_curve",
        "serial_position",
        "learning_curve",
        "pair_table",
    ]
    for _, caption, figure in drawn:
        assert caption.endswith(".")
        figure.draw_without_rendering()
    assert run.arrays["splits/distance"].shape == (10, 7)
    assert run.arrays["splits/trials"].shape == (10, 30)
    assert experiment.figures(replace(run, arrays={}), [run]) == []


def test_a_policy_without_a_network_cannot_be_measured(results: Callable[..., Results]) -> None:
    oracle = plastic_agents.make("oracle", "TransitiveInference-v0")
    assert not isinstance(oracle, NetworkAgent)
    measure = inference.STUDY.measurement
    assert measure is not None
    with pytest.raises(TypeError, match="measures networks"):
        measure("x", oracle, results("oracle"))


def test_studies_without_measurements_have_none() -> None:
    assert study("graph-walk").measurement is None
