"""A run's directory: where everything that a run makes lies, and when it may be written.

`<logdir>/<env id>/<agent>/seed-<n>/` holds config.yaml from the start and metrics.json from the end of a run,
so the two files alone say what state it is in.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.config import RunConfig, differences, from_file, to_yaml
from plastic_agents.files import read_json, write_text

__all__ = ["RunDirectory", "State", "run_log"]

State = Literal["new", "stopped", "finished"]


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run.

    Attributes:
        path: Where it is.
    """

    path: Path

    @classmethod
    def of(cls, config: RunConfig) -> RunDirectory:
        """The directory that belongs to these settings, whether it exists or not."""
        return cls(Path(config.logdir) / config.env / config.agent / f"seed-{config.seed}")

    @property
    def config_file(self) -> Path:
        """Resolved settings; there from the start."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """What came out; there once the run is finished."""
        return self.path / "metrics.json"

    @property
    def checkpoint_file(self) -> Path:
        """All that a stopped run needs to go on."""
        return self.path / "checkpoint.pt"

    @property
    def agent_file(self) -> Path:
        """The trained agent, for `plastic_agents.load`."""
        return self.path / "agent.pt"

    @property
    def curves_file(self) -> Path:
        """Training and evaluation curves as arrays."""
        return self.path / "curves.npz"

    @property
    def log_file(self) -> Path:
        """What happened when."""
        return self.path / "run.log"

    @property
    def figures_folder(self) -> Path:
        """The figures, as PNG."""
        return self.path / "figures"

    @property
    def finished(self) -> bool:
        """Whether a run ended here."""
        return self.metrics_file.exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume from."""
        return self.checkpoint_file.exists()

    def prepare(self, config: RunConfig) -> State:
        """Make the directory ready for a run, without losing anything that was not given up in so many words.

        A run that was stopped before its first checkpoint has nothing worth keeping and makes way silently.

        Args:
            config: Settings of the run; `resume` and `overwrite` say what may happen to an earlier one.

        Returns:
            "new", "stopped" (it goes on from its checkpoint) or "finished" (only its figures and report are
            to be made anew).

        Raises:
            FileExistsError: If there is an earlier run and neither was asked for, or files that are no run.
            ValueError: If the run to resume was started with other settings.
        """
        occupied = self.path.exists() and any(self.path.iterdir())
        if occupied and not self.config_file.exists():
            raise FileExistsError(
                f"{self.path} holds files but no run (no config.yaml); choose another --logdir."
            )
        worth_keeping = occupied and (self.finished or self.has_checkpoint)
        if worth_keeping and config.resume:
            if changed := differences(from_file(self.config_file), config):
                raise ValueError(
                    f"{self.path} was started with other settings (then, now): {'; '.join(changed)}. "
                    "Resume with the settings of config.yaml, or start over with --overwrite."
                )
            return "finished" if self.finished else "stopped"
        if worth_keeping and not config.overwrite:
            state = "a finished run" if self.finished else "a run that was stopped"
            remedy = "draw its figures and report again" if self.finished else "go on with it"
            raise FileExistsError(
                f"{self.path} holds {state}; pass --resume to {remedy}, --overwrite to delete it and "
                "start over, or another --seed or --logdir."
            )
        if occupied:
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        # Without what was only meant for this once: who starts from this file must not delete by accident.
        write_text(self.config_file, to_yaml(replace(config, resume=False, overwrite=False)))
        return "new"

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json: the sign that the run is finished. What is undefined (NaN) becomes null."""
        write_text(self.metrics_file, json.dumps(_defined(metrics), indent=2, allow_nan=False) + "\n")

    def read_metrics(self) -> dict[str, Any]:
        """What `write_metrics` wrote; a ValueError that names the file if it is damaged."""
        return read_json(self.metrics_file)

    def siblings(self) -> list[RunDirectory]:
        """Finished runs on the same environment, this one excepted, in alphabetical order."""
        pattern = "*/seed-*/metrics.json"
        found = sorted(self.path.parent.parent.glob(pattern))
        return [RunDirectory(file.parent) for file in found if file.parent != self.path]


def _defined(value: Any) -> Any:
    """Plain types all the way down, with None for what is not finite."""
    if isinstance(value, Mapping):
        return {name: _defined(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _defined(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def run_log(path: Path) -> Iterator[logging.Logger]:
    """Send the log records of this suite to a file while the context lasts.

    Args:
        path: The file, appended to, so that a resumed run's log is one.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("benchmarks", "plastic_agents", "plastic_envs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield loggers[0]
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()
