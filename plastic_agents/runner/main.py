"""The command `plastic-gym`: a run, a study, or a list of what there is."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import plastic_envs
from plastic_agents.runner.cli import Mistake, guarded
from plastic_agents.runner.run import listing
from plastic_agents.runner.run import main as run

__all__ = ["main"]

_STUDIES = Path(__file__).parents[2] / "benchmarks" / "reproduce.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="plastic-gym", description="Tasks for networks that learn within an episode, and such networks."
    )
    parser.add_argument("--version", action="version", version=f"plastic-gym {plastic_envs.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {
        "run": "train one agent on one task; `plastic-gym run --help` shows all settings",
        "reproduce": "make a published system's runs, table and figures (in a checkout of the repository)",
        "list": "show all agents and environments",
        "agents": "show all agents",
        "envs": "show all environments",
        "methods": "show all ways to learn",
    }.items():
        commands.add_parser(name, help=text, add_help=name not in ("run", "reproduce"))
    options, rest = parser.parse_known_args(arguments)
    if options.command == "run":
        return run(rest, prog="plastic-gym run")
    if options.command == "reproduce":
        return guarded("plastic-gym reproduce", lambda: _reproduce(rest))
    if rest:
        parser.error(f"{options.command} takes no {' '.join(rest)}")
    print(listing(*(() if options.command == "list" else (options.command,))))
    return 0


def _reproduce(arguments: list[str]) -> int:
    if not _STUDIES.is_file():
        raise Mistake(
            f"studies are part of the repository, not of the installed package ({_STUDIES} is not there); "
            "clone it, and use `python benchmarks/reproduce.py` there."
        )
    sys.path.insert(0, str(_STUDIES.parents[1]))
    return int(runpy.run_path(str(_STUDIES))["main"](arguments))
