"""C3 of the report of faults: README's lines run as they are typed (with less training)."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import plastic_envs
from plastic_agents.runner.config import from_file, parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_the_example_runs_and_shows_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for long, short in (("updates=300", "updates=2"), ("n_eval_episodes=20", "n_eval_episodes=1")):
        assert long in code
        code = code.replace(long, short)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "agent.pt").exists()
    references, score, evaluated = capsys.readouterr().out.splitlines()
    assert "chance" in references
    assert 0 <= float(score) <= 1
    assert evaluated.startswith("(")


def shell_lines() -> list[list[str]]:
    (block,) = re.findall(r"From the shell.*?```\n(.*?)```", README, flags=re.DOTALL)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_the_shell_lines_are_commands_in_an_order_that_works() -> None:
    first, *lines = shell_lines()
    assert first == ["source", ".venv/bin/activate"]  # without it, neither torch nor tensorboard is there
    runs = [line[2:] for line in lines if line[:2] == ["python", "benchmarks/run.py"]]
    assert len(runs) >= 3
    begun = set()
    for arguments in (a for a in runs if a != ["--list"]):
        config = parse(arguments, once=True)
        place = (config.env, config.agent, config.seed)
        assert config.resume == (place in begun), "--resume where a run was begun, and only there"
        begun.add(place)
    for tool, *rest in lines:
        assert tool == "tensorboard" or (ROOT / rest[0]).exists()


def test_every_path_and_configuration_that_is_named_exists() -> None:
    for path in re.findall(r"\((docs/[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(graph-[\w-]+-published)`", README):
        assert from_file(ROOT / "benchmarks" / "configs" / f"{name}.yaml").agent in name


def test_help_of_a_task_is_its_documentation() -> None:
    (call,) = re.findall(r"`(help\(.*?\))`, and likewise", README)
    with redirect_stdout(io.StringIO()) as shown:
        exec(call, {"plastic_envs": plastic_envs})
    assert "observation" in shown.getvalue()
    assert "GraphWalk" in shown.getvalue()
