"""C2 and K12 of the report of faults: a stopped study went on with what was pending, or left workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STUDY = """
import os, sys, time
from pathlib import Path

from plastic_agents.runner.cli import Stopped, guarded
from plastic_agents.runner.stopping import StopRequest
from plastic_agents.runner.workers import carry_out_all

FOLDER = Path(sys.argv[-1])


def train(number):
    (FOLDER / f"begun-{number}").write_text(str(os.getpid()))
    with StopRequest() as stop:
        while not stop.made:
            time.sleep(0.02)
    (FOLDER / f"saved-{number}").touch()
    raise Stopped(f"run {number} was stopped")


def score(number):
    (FOLDER / f"begun-{number}").write_text(str(os.getpid()))
    time.sleep(60)


def all_of_it(kind):
    work = {str(number): (number,) for number in range(4)}
    print(carry_out_all(kind, work, 2, "the study"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded("study", lambda: all_of_it({"train": train, "score": score}[sys.argv[1]])))
"""


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else True


def begun(folder: Path) -> list[int]:
    return [int(text) for file in folder.glob("begun-*") if (text := file.read_text())]


@pytest.mark.parametrize(
    ("kind", "number"),
    [("train", signal.SIGINT), ("train", signal.SIGKILL), ("score", signal.SIGTERM)],
)
def test_a_stopped_study_ends_with_its_workers_and_begins_nothing_new(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    script = tmp_path / "study.py"
    script.write_text(STUDY)
    process = subprocess.Popen(
        [sys.executable, str(script), kind, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: len(begun(tmp_path)) == 2)
        workers = begun(tmp_path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    until(lambda: not any(map(lives, workers)), seconds=30)
    assert len(begun(tmp_path)) == 2
    assert len(list(tmp_path.glob("saved-*"))) == (2 if kind == "train" else 0)
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert "the same command goes on with it" in errors
        assert "Traceback" not in errors
