"""Networks that come with the suite, by name.

A shipped network is three files: `<name>.pt` (the agent, as `Agent.save` writes it), `<name>.yaml` (the
settings of the run that trained it) and `<name>.json` (what training it took and how it scored).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from plastic_agents.files import read_json
from plastic_envs.arguments import unknown_name

__all__ = ["agent_file", "config_file", "names", "record", "record_file"]

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all shipped networks."""
    return sorted(file.stem for file in _FOLDER.glob("*.pt"))


def agent_file(name: str | os.PathLike[str]) -> Path:
    """The file of a shipped network, for `plastic_agents.load`.

    Raises:
        ValueError: If no network of that name is shipped (with the nearest ones).
    """
    name, available = os.fspath(name), names()
    if name not in available:
        raise ValueError(unknown_name("shipped network", name, available))
    return _FOLDER / f"{name}.pt"


def config_file(name: str | os.PathLike[str]) -> Path:
    """The settings of the run that trained a shipped network, for `benchmarks/run.py --config`."""
    return agent_file(name).with_suffix(".yaml")


def record_file(name: str | os.PathLike[str]) -> Path:
    """The file behind `record`."""
    return agent_file(name).with_suffix(".json")


def record(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Effort of training a shipped network (`updates`, `env_steps`, `train_seconds` ...), and its scores."""
    return read_json(record_file(name))
