"""The how-to pages: their code is the examples, which run, and their commands parse.

`PYTHONPATH=. python tests/outside/test_howto.py` puts the examples into the pages.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.reproduce import config_of
from benchmarks.studies import study
from benchmarks.studies.study import Study
from plastic_agents.runner.config import parse
from plastic_agents.runner.main import main
from plastic_agents.runner.results import Results
from plastic_agents.runner.run import run
from plastic_envs import make_task
from plastic_envs.testing import check_task

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
QUICK = [
    *(
        "--env_kwargs",
        "{num_steps: 20}",
        "--eval_episodes",
        "20",
        "--updates",
        "2",
        "--learner.batch_size",
        "4",
    ),
    *("--learner.validation_episodes", "4", "--no_progress_bar", "--no_report", "--device", "cpu"),
]


_ALL = re.DOTALL | re.MULTILINE
_PYTHON = re.compile(r"^```python\n.*?^```", _ALL)


def with_code(page: str) -> str:
    """The page with its example's code as it is now in the first block of Python."""
    (name,) = re.findall(r"\]\(\.\./examples/(\w+\.py)\)", page)
    code = (ROOT / "docs" / "examples" / name).read_text()
    return re.sub(_PYTHON, lambda _: f"```python\n{code}```", page, count=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in (ROOT / "docs" / "examples").glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in set(sys.modules) - before if name.endswith("%2Epy") or name == "bandit"]:
        del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_the_file_that_it_names_and_commands_that_parse(page: Path) -> None:
    text = page.read_text()
    assert with_code(text) == text
    for block in re.findall(
        r"^```\n(.*?)^```", re.sub(r"^```python\n.*?^```", "", text, flags=_ALL), flags=_ALL
    ):
        for line in block.splitlines():
            command, script, *arguments = shlex.split(line)
            if script == "benchmarks/reproduce.py":
                assert isinstance(study(arguments[0]), Study)
            elif command == "python" or (command, script) == ("plastic-gym", "run"):
                parse(arguments, once=True)


def test_five_pages_are_named_in_the_guest_book() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(PAGES) == 5
    for file in (*PAGES, *(ROOT / "docs" / "examples").glob("*.py")):
        assert str(file.relative_to(ROOT)) in text
    for path in re.findall(r"\]\((docs/[^)]+)\)", text):
        assert (ROOT / path).exists(), path


def test_the_task_keeps_what_a_task_promises() -> None:
    report = check_task(make_task("bandit.py:ReversalBandit"))
    assert "oracle" in " ".join(report.checked)


def test_the_learner_learns_by_scores_alone() -> None:
    assert main(["run", *QUICK, "--env", "bandit.py:ReversalBandit", "--agent", "gru", "--no_figures",
                 "--method", "evolution.py:Evolution", "--learner.pairs", "2"]) == 0  # fmt: skip


def test_the_figure_is_drawn_for_all_neighbours(folder: Path) -> None:
    for agent in ("gru", "oracle"):
        assert main(["run", *QUICK, "--env", "after_change.py:ReversalBandit", "--agent", agent]) == 0
    (picture,) = folder.glob("runs/*/oracle/seed-0/figures/after_change.png")
    assert picture.stat().st_size > 5000


def test_the_study_makes_its_table_and_figures(folder: Path) -> None:
    own = study("memory_study.py:STUDY")
    plan = [p.__class__(p.group, {**p.settings, "updates": 1, "eval_episodes": 20}, (0,)) for p in own.plan()]
    runs = [Results.read(run(config_of(plan[0], 0, folder)))]
    assert [row.quantity for row in own.table({"gru": runs})] == ["normalised score, gru"]
    (drawing,) = own.figures({"gru": runs})
    drawing[2].draw_without_rendering()


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_code(page.read_text()))
