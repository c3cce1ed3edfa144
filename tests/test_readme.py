"""The README's Python runs as it stands (with less training)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_the_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for long, short in (("updates=300", "updates=2"), ("n_eval_episodes=20", "n_eval_episodes=1")):
        assert long in code
        code = code.replace(long, short)
    exec(compile(code, str(README), "exec"), {})
    assert (tmp_path / "agent.pt").exists()
