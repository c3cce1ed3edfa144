from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

import plastic_agents
import plastic_envs
from plastic_agents.registry import AGENTS
from plastic_agents.runner.config import (
    DEFAULT_ENV,
    RunConfig,
    differences,
    from_file,
    make_parser,
    parse,
    to_yaml,
)

CONFIGS = sorted((Path(__file__).parents[2] / "benchmarks" / "configs").glob("*.yaml"))


def test_defaults() -> None:
    config = parse([])
    assert (config.agent, config.env, config.seed) == ("plastic", DEFAULT_ENV, 0)


def test_flags_reach_nested_and_free_form_settings() -> None:
    config = parse(
        ["--learner.learning_rate", "0.5", "--env_kwargs.num_nodes", "12", "--agent_kwargs", "{key_size: 8}"]
    )
    assert config.learner.learning_rate == 0.5
    assert config.env_kwargs == {"num_nodes": 12}
    assert config.agent_kwargs == {"key_size": 8}


def test_switches() -> None:
    config = parse(["--resume", "--no_figures"])
    assert config.resume
    assert not config.figures
    assert config.report


def test_updates_is_a_shorthand_on_the_command_line_and_in_files(tmp_path: Path) -> None:
    assert parse(["--updates", "7", "--learner.updates", "8"]).learner.updates == 7
    file = tmp_path / "run.yaml"
    file.write_text("updates: 9\n")
    assert parse(["--config", str(file)]).learner.updates == 9
    assert parse(["--config", str(file), "--updates", "3"]).learner.updates == 3


def test_learner_starts_from_the_agents_own_settings(tmp_path: Path) -> None:
    own = AGENTS["rnn"].learner
    assert parse(["--agent", "rnn"]).learner.learning_rate == own["learning_rate"]
    file = tmp_path / "run.yaml"
    file.write_text("agent: rnn\nlearner: {batch_size: 5}\n")
    learner = parse(["--config", str(file)]).learner
    assert (learner.batch_size, learner.learning_rate) == (5, own["learning_rate"])
    assert from_file(file).learner == learner


def test_every_field_survives_a_round_trip(tmp_path: Path) -> None:
    config = parse(
        [
            "--agent",
            "gru",
            "--seed",
            "4",
            "--env_kwargs",
            "{num_nodes: 9}",
            "--checkpoint",
            "a.pt",
            "--no_report",
        ]
    )
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert from_file(file) == config
    assert set(yaml.safe_load(file.read_text())) == {f.name for f in fields(RunConfig)}
    assert from_file(file, seed=5) == replace(config, seed=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sede", "1"], "--sede"),
        (["--learner.lr", "1"], "learner.lr"),
        (["--seed", "one"], "seed"),
        (["--seed", "-1"], "seed=-1: expected 0 or more"),
        (["--agent", "plastik"], "did you mean one of"),
        (["--env_kwargs", "5"], "env_kwargs"),
        (["--learner.schedule", "linear"], "learner.schedule"),
        (["--learner.batch_size", "0"], "batch_size=0: expected 1 to 65536"),
        (["--resume", "--overwrite"], "pass one of them"),
        (["--track", "mlflow"], "track"),
    ],
)
def test_mistakes_end_with_a_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "key"), [("sede: 1\n", "sede"), ("learner: {lr: 1}\n", "lr")])
def test_unknown_keys_in_files_are_errors(
    text: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit):
        parse(["--config", str(file)])
    message = capsys.readouterr().err
    assert key in message
    assert "accept" in message


def test_help_shows_the_named_agents_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help", "--agent", "rnn"])
    assert ended.value.code == 0
    assert f"default: {AGENTS['rnn'].learner['learning_rate']}" in capsys.readouterr().out


def test_help_names_every_setting() -> None:
    text = make_parser().format_help()
    assert all(name in text for name in AGENTS)  # P18 of the report of faults: five were left out
    for name in {f.name for f in fields(RunConfig)} - {"learner"}:
        assert f"--{name}" in text
    assert "--learner.learning_rate" in text
    assert "Adam's step size at the start." in text
    assert max(map(len, text.splitlines())) <= 112


def test_differences_leave_out_what_does_not_change_numbers() -> None:
    config = RunConfig()
    assert (
        differences(config, replace(config, resume=True, logdir=Path("x"), device="cpu", track="wandb")) == []
    )
    other = replace(config, seed=3, env_kwargs={"num_nodes": 9})
    assert [line.split(":")[0] for line in differences(config, other)] == [
        "env_kwargs.num_nodes",
        "seed",
    ]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_shipped_configs_make_a_task_and_an_agent(file: Path) -> None:
    config = from_file(file)
    task = plastic_envs.make_task(config.env, **config.env_kwargs)
    agent = plastic_agents.make(config.agent, task, learner=config.learner, **config.agent_kwargs)
    if file.stem.startswith("graph"):
        size, labelling = config.env_kwargs["num_nodes"], task.describe()["labelling"]
        assert file.stem == f"graph-{size}-{labelling}-{config.agent}"
    if file.stem == "graph-8-disjoint-plastic-published":
        # graph-walk report: 8 232 slow parameters at 8 nodes, 10 actions, H = 128.
        assert agent.num_parameters()["slow"] == 8232


def test_shipped_configs_are_all_there() -> None:
    assert sum(file.stem.startswith("graph") for file in CONFIGS) == 8


def test_settings_may_be_written_with_hyphens() -> None:
    config = parse(["--eval-episodes", "7", "--learner.batch-size=3", "--no-report", "--logdir", "a-b--c"])
    assert (config.eval_episodes, config.learner.batch_size, config.report) == (7, 3, False)
    assert str(config.logdir) == "a-b--c"
