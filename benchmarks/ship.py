"""Put the network of a finished run among those that come with the suite.

    python benchmarks/ship.py runs/TransitiveInference-v0/neuromodulated/seed-0 transitive-neuromodulated-0

    python benchmarks/ship.py --rewrite

Writes plastic_agents/pretrained/<name>.pt, .yaml and .json; see `plastic_agents.pretrained`.
With --rewrite it writes all of them again, in the file format of today, with the same weights to the bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

import plastic_agents
from plastic_agents import pretrained
from plastic_agents.agent import NetworkAgent
from plastic_agents.files import write_tensors, write_text
from plastic_agents.learners.base import weights_of
from plastic_agents.runner.cli import Mistake, guarded
from plastic_agents.runner.config import RunConfig, from_file, to_yaml
from plastic_agents.runner.rundir import RunDirectory
from plastic_envs.registry import trusted_task_class


def ship(run: Path, name: str, folder: Path | None = None) -> Path:
    """Copy what a shipped network consists of.

    Args:
        run: Directory of a finished run.
        name: New name of the network.
        folder: Where to; by default that of the package.

    Returns:
        The agent's file.

    Raises:
        Mistake: If the directory holds no finished run, or a run of no more than a checkpoint.
    """
    directory, folder = RunDirectory(run), folder or Path(pretrained.__file__).parent
    if not directory.finished:
        raise Mistake(f"{run} holds no finished run (no metrics.json); finish it with --resume first.")
    config = from_file(directory.config_file)
    if config.checkpoint is not None:
        raise Mistake(f"{run} started from {config.checkpoint}; ship the run that trained it.")
    target = folder / f"{name}.pt"
    shutil.copyfile(directory.agent_file, target)
    # Where a run lay is nobody else's concern.
    write_text(target.with_suffix(".yaml"), to_yaml(replace(config, logdir=RunConfig.logdir)))
    write_text(target.with_suffix(".json"), json.dumps(directory.read_metrics(), indent=2) + "\n")
    return target


def rewrite(folder: Path | None = None) -> list[Path]:
    """Write the agents of all shipped networks again, as files of today's format with the same content.

    Args:
        folder: Where they lie; by default the package.

    Returns:
        The files.
    """
    files = sorted((folder or Path(pretrained.__file__).parent).glob("*.pt"))
    for file in files:
        content = torch.load(file, map_location="cpu", weights_only=True)
        settings = asdict(from_file(file.with_suffix(".yaml")).learner)
        content = {"learner": {}, "learner_settings": settings, **content}
        # Constants of a network that an earlier format left out have the value that its arguments give.
        task = trusted_task_class(content["task"])(**content["task_kwargs"])
        agent = plastic_agents.make(
            content["agent"], task, device="cpu", method=content["method"], **content["network_kwargs"]
        )
        if isinstance(agent, NetworkAgent):
            content["weights"] = {**weights_of(agent.network), **content["weights"]}
        write_tensors(file, "agent", {k: v for k, v in content.items() if k not in ("format", "kind")})
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/ship.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", help="directory of a finished run")
    parser.add_argument("name", nargs="?", help="name of the network")
    parser.add_argument("--rewrite", action="store_true", help="write all shipped networks again")
    options = parser.parse_args(arguments)
    if options.rewrite:
        print("\n".join(map(str, rewrite())))
        return 0
    if options.name is None:
        parser.error("give the directory of a run and the name of the network")

    def work() -> int:
        print(ship(options.run.expanduser(), options.name))
        return 0

    return guarded(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
