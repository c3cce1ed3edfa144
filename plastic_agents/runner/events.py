"""Live records of a run: TensorBoard events and a CSV file.

Both are written by Stable-Baselines3's own writers, with its tags (`time/...`, `train/...`, `eval/...`). The
step is the number of the update.
"""

from __future__ import annotations

import csv
import math
import os
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import (
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
    filter_excluded_keys,
)
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from plastic_agents.runner.cli import Mistake, one_line
from plastic_agents.runner.config import RunConfig, flat, to_dict
from plastic_envs.naming import short_name

_PROJECT = "plastic-gym"


class _TensorBoard(TensorBoardOutputFormat):
    """Stable-Baselines3's writer, which can continue an earlier run's events.

    Args:
        folder: Folder of the event file.
        first_step: What earlier event files in the folder hold from this step on is void (None: nothing is).
    """

    def __init__(self, folder: Path, first_step: int | None) -> None:
        # In place of super().__init__, whose SummaryWriter cannot be told where to go on.
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=first_step)
        self._is_closed = False


class _Table(KVWriter):
    """A CSV file whose columns come in the order in which they are first reported, in every process.

    Args:
        path: The file, written anew.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer: csv.DictWriter[str] = csv.DictWriter(self._file, [])
        self._rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        """Add a row; all are written again where it brings a new column."""
        self._rows.append(filter_excluded_keys(key_values, key_excluded, "csv"))
        columns = list(dict.fromkeys([*self._writer.fieldnames, *self._rows[-1]]))
        if columns == self._writer.fieldnames:
            self._writer.writerow(self._rows[-1])
        else:
            self._file.seek(0)
            self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")
            self._writer.writeheader()
            self._writer.writerows(self._rows)
            self._file.truncate()
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_outcome(folder: Path, config: RunConfig, metrics: Mapping[str, Any]) -> None:
    """Put a finished run's score into its TensorBoard events, beside chance, oracle and the settings.

    Args:
        folder: The run's directory.
        config: Settings; they go to the tab HPARAMS.
        metrics: `score`, `chance`, `oracle` and `normalized_score` become `final/<name>`, chance and oracle
            as lines over the whole run.
    """
    last = int(metrics["updates"])
    names = ("score", "chance", "oracle", "normalized_score")
    final = {f"final/{name}": float(metrics[name]) for name in names if math.isfinite(metrics[name])}
    plain = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in flat(to_dict(config)).items()
    }
    with SummaryWriter(log_dir=str(folder)) as writer:
        assert writer.file_writer is not None
        for summary in hparams(plain, final):
            writer.file_writer.add_summary(summary)
        for tag, value in final.items():
            for step in {last} if tag in ("final/score", "final/normalized_score") else {0, last}:
                writer.add_scalar(tag, value, step)


def write_images(folder: Path, images: Mapping[str, bytes], step: int) -> None:
    """Put PNG pictures into a run's TensorBoard events, as `figures/<name>`."""
    with SummaryWriter(log_dir=str(folder)) as writer:
        assert writer.file_writer is not None
        for name, png in images.items():
            width, height = struct.unpack(">II", png[16:24])
            image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=4)
            value = Summary.Value(tag=f"figures/{name}", image=image)
            writer.file_writer.add_summary(Summary(value=[value]), step)


class EventWriter:
    """A callback that writes TensorBoard events and progress.csv.

    Args:
        folder: The run's directory.
        past: (update, row) of what a resumed run had reported up to its checkpoint; None for a new run.
        past_seconds: Wall-clock seconds that it had trained for.
    """

    def __init__(
        self,
        folder: Path,
        past: Iterable[tuple[int, dict[str, float]]] | None = None,
        past_seconds: float = 0.0,
    ) -> None:
        rows = None if past is None else list(past)
        last = max((update for update, _ in rows), default=0) if rows is not None else None
        table = _Table(folder / "progress.csv")
        for update, row in (
            rows or ()
        ):  # the table is written anew by each process, so it begins with its past
            table.write({"update": update, **row}, dict.fromkeys(("update", *row), ()))
        writers: list[KVWriter] = [_TensorBoard(folder, None if last is None else last + 1), table]
        self._logger = Logger(str(folder), output_formats=writers)
        self._started = time.perf_counter() - past_seconds

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Write the row, unless it is empty."""
        if row:
            self._write(update, row)

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Write the row."""
        self._write(update, row)

    def close(self) -> None:
        """Write out what is left and close the files."""
        self._logger.close()

    def _write(self, update: int, row: dict[str, float]) -> None:
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        self._logger.record("update", update, exclude=("tensorboard",))
        for tag, value in row.items():
            self._logger.record(tag, value)
        if "time/total_timesteps" in row:
            self._logger.record("time/time_elapsed", elapsed)
            self._logger.record("time/fps", row["time/total_timesteps"] / elapsed)
        self._logger.dump(update)


class Tracker:
    """Mirrors a run's TensorBoard events to a tracking service while the context lasts.

    Enter it before the event files are opened.

    Args:
        config: Settings of the run; `config.track` says which service, "none" does nothing.
        folder: The run's directory; the service's own files go there too.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._run: Any = None

    @staticmethod
    def check(config: RunConfig) -> None:
        """Check the service's package and key before anything is written.

        Raises:
            Mistake: If its package is not installed, or there is no key for it.
        """
        if config.track == "none":
            return
        try:
            import wandb
        except ImportError as error:
            raise Mistake(
                "--track wandb needs the package wandb: "
                "pip install 'plastic-gym[track]', or leave --track out."
            ) from error
        if os.environ.get("WANDB_MODE", "online") != "online":
            return
        try:
            logged_in = wandb.login()
        except wandb.errors.Error as error:
            raise Mistake(f"--track wandb: {one_line(error)}") from error
        if not logged_in:
            raise Mistake("--track wandb: no key; log in with `wandb login`, or set WANDB_MODE=offline.")

    def __enter__(self) -> Tracker:
        if self._config.track == "none":
            return self
        import wandb

        config = self._config
        self._run = wandb.init(
            project=_PROJECT,
            name=f"{short_name(config.env)}/{short_name(config.agent)}/seed-{config.seed}",
            group=short_name(config.env),
            config=to_dict(config),
            dir=str(self._folder),
            sync_tensorboard=True,
        )
        return self

    def summarise(self, metrics: dict[str, Any]) -> None:
        """Show the run's final metrics beside its curves."""
        if self._run is not None:
            self._run.summary.update(metrics)

    def __exit__(self, *_: object) -> None:
        if self._run is not None:
            self._run.finish()
