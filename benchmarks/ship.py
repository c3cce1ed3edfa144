"""Put the network of a finished run among those that come with the suite.

    python benchmarks/ship.py runs/TransitiveInference-v0/neuromodulated/seed-0 transitive-neuromodulated-0

Writes plastic_agents/pretrained/<name>.pt, .yaml and .json; see `plastic_agents.pretrained`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.config import RunConfig, from_file, to_yaml
from benchmarks.rundir import RunDirectory, write_text
from plastic_agents import pretrained

__all__ = ["main", "ship"]


def ship(run: Path, name: str, folder: Path | None = None) -> Path:
    """Copy what a shipped network consists of.

    Args:
        run: Directory of a finished run.
        name: What the network is to be called.
        folder: Where to; by default that of the package.

    Returns:
        The agent's file.

    Raises:
        ValueError: If the directory holds no finished run, or a run of no more than a checkpoint.
    """
    directory, folder = RunDirectory(run), folder or Path(pretrained.__file__).parent
    if not directory.finished:
        raise ValueError(f"{run} holds no finished run (no metrics.json); finish it with --resume first.")
    config = from_file(directory.config_file)
    if config.checkpoint is not None:
        raise ValueError(f"{run} started from {config.checkpoint}; ship the run that trained it.")
    target = folder / f"{name}.pt"
    shutil.copyfile(directory.agent_file, target)
    # Where a run lay is nobody else's concern.
    write_text(target.with_suffix(".yaml"), to_yaml(replace(config, logdir=RunConfig.logdir)))
    write_text(target.with_suffix(".json"), json.dumps(directory.read_metrics(), indent=2) + "\n")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/ship.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="directory of a finished run")
    parser.add_argument("name", help="name of the network")
    options = parser.parse_args(arguments)
    try:
        print(ship(options.run, options.name))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
