"""A run's directory: where everything that a run makes lies, and when it may be written.

`<logdir>/<env id>/<agent>/seed-<n>/` holds config.yaml from the start and metrics.json from the end of a run,
so the two files alone say what state it is in. Beside it stand, as long as they are needed, `seed-<n>.lock`
(the process that works in it now) and `.seed-<n>.replaced` (the run that `overwrite` gave up, until the new
one is finished).
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np

from plastic_agents.files import read_json, write_text
from plastic_agents.runner.cli import Mistake
from plastic_agents.runner.config import RunConfig, differences, to_yaml
from plastic_agents.runner.config import read as read_config
from plastic_envs.naming import short_name

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
        return cls(config.logdir / short_name(config.env) / short_name(config.agent) / f"seed-{config.seed}")

    @property
    def config_file(self) -> Path:
        """Resolved settings; there from the start."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """File of the results; there once the run is finished."""
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
        """File of the run's log."""
        return self.path / "run.log"

    @property
    def figures_folder(self) -> Path:
        """The figures, as PNG."""
        return self.path / "figures"

    @property
    def finished(self) -> bool:
        """True if a run ended here."""
        return self.metrics_file.exists()

    @property
    def has_checkpoint(self) -> bool:
        """True if there is something to resume from."""
        return self.checkpoint_file.exists()

    @property
    def worth_keeping(self) -> bool:
        """True if training has left something here."""
        return self.finished or self.has_checkpoint or self.agent_file.exists()

    @property
    def _replaced(self) -> Path:
        """Folder in which a run that is written over waits until the new one is finished."""
        return self.path.with_name(f".{self.path.name}.replaced")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process out in this context; a lock that a dead process left is taken over.

        Raises:
            Mistake: If another process works here.
        """
        lock = filelock.SoftFileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise Mistake(
                f"{self.path} is in use{_holder(Path(lock.lock_file))}; wait for it, stop it, or choose "
                f"another --seed or --logdir. If no such process runs any more, delete {lock.lock_file}."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def state(self, config: RunConfig) -> State:
        """Look what a run with these settings would be, and change nothing.

        Raises:
            FileExistsError: If there is an earlier run and neither `resume` nor `overwrite` was asked for, or
                files that are no run.
            Mistake: If the run to resume was started with other settings.
        """
        place = self
        if self._replaced.exists() and not self.worth_keeping:
            place = RunDirectory(self._replaced)  # what `recover` will put back
        if place._foreign_files():
            raise FileExistsError(
                f"{self.path} holds files but no run (no config.yaml); choose another --logdir."
            )
        if not place.worth_keeping or config.overwrite:
            return "new"
        if not config.resume:
            state, remedy = "a trained agent without its score", "make it anew"
            if place.has_checkpoint:
                state, remedy = "a run that was stopped", "go on with it"
            if place.finished:
                state, remedy = "a finished run", "draw its figures and report again"
            raise FileExistsError(
                f"{self.path} holds {state}; pass --resume to {remedy}, --overwrite to delete it and "
                "start over, or another --seed or --logdir."
            )
        before = read_config(place.config_file)
        longer = before.learner.updates < config.learner.updates
        same_length = replace(before, learner=replace(before.learner, updates=config.learner.updates))
        if changed := differences(same_length if longer else before, config):
            raise Mistake(
                f"{self.path} was started with other settings (then, now): {'; '.join(changed)}. "
                "Resume with the settings of config.yaml (--updates may be more), or start over with "
                "--overwrite."
            )
        if place.finished and not longer:
            return "finished"
        return "stopped" if place.has_checkpoint else "new"

    def recover(self) -> None:
        """Put back a run that was moved aside for one that came to nothing; call it while it is `held`."""
        if not self._replaced.exists():
            return
        if self.finished:
            shutil.rmtree(self._replaced)
        elif not self.worth_keeping:
            if self.path.exists():
                shutil.rmtree(self.path)
            self._replaced.rename(self.path)

    def settle(self) -> None:
        """Let go of the run that this one has replaced, now that this one is finished."""
        if self._replaced.exists():
            shutil.rmtree(self._replaced)

    def _foreign_files(self) -> bool:
        """True if there are files that no run can have left; a run can leave `.partial` ones."""
        if not self.path.exists() or self.config_file.exists():
            return False
        return any(not file.name.endswith(".partial") for file in self.path.iterdir())

    def prepare(self, config: RunConfig) -> State:
        """Make the directory ready for a run, without losing anything that was not given up on purpose.

        A run that was stopped before its first checkpoint has nothing worth keeping and makes way silently.
        One to be written over is moved aside; `settle` deletes it once the new one is finished, `recover`
        puts it back if the new one comes to nothing. Call it while the directory is `held`.

        Args:
            config: Settings of the run; `resume` and `overwrite` say what may happen to an earlier one.

        Returns:
            "new", "stopped" (it goes on from its checkpoint) or "finished" (only its figures and report are
            to be made anew).

        Raises:
            FileExistsError: See `state`.
            Mistake: See `state`.
        """
        self.recover()
        state = self.state(config)
        if state == "stopped" and self.finished:  # it is to be trained for longer
            updates = read_config(self.config_file).learner.updates
            self.metrics_file.rename(self.path / f"metrics-{updates}-updates.json")
        if state == "stopped":
            write_text(self.config_file, to_yaml(replace(config, resume=False, overwrite=False)))
        if state != "new":
            return state
        if self.worth_keeping:
            if self._replaced.exists():
                shutil.rmtree(self._replaced)
            self.path.rename(self._replaced)
        elif self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        # Without what was only meant for this once: who starts from this file must not delete by accident.
        write_text(self.config_file, to_yaml(replace(config, resume=False, overwrite=False)))
        return "new"

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json: the sign that the run is finished. What is undefined (NaN) becomes null."""
        write_text(self.metrics_file, json.dumps(_defined(metrics), indent=2, allow_nan=False) + "\n")

    def read_metrics(self) -> dict[str, Any]:
        """Results as `write_metrics` wrote them; a ValueError that names the file if it is damaged."""
        return read_json(self.metrics_file)

    def siblings(self) -> list[RunDirectory]:
        """Finished runs on the same environment, this one excepted, in alphabetical order."""
        pattern = "*/seed-*/metrics.json"
        locks = sorted(self.path.parent.parent.glob(pattern))
        return [RunDirectory(file.parent) for file in locks if file.parent != self.path]


def _holder(lock: Path) -> str:
    """Holder of a lock, as far as its file says: process, machine and since when."""
    try:
        lines = lock.read_text(encoding="utf-8").split()
        since = datetime.fromtimestamp(lock.stat().st_mtime).strftime("%Y-%m-%d %H:%M:%S")
    except (OSError, UnicodeDecodeError):
        return ""
    return f" by process {lines[0]} on {lines[1]} since {since}" if len(lines) > 1 else ""


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
