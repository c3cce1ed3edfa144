"""Stopping a run and going on with it."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from benchmarks.history import History
from plastic_agents.base import save_atomically

__all__ = ["Checkpointer", "StopRequest"]

_LOG = logging.getLogger(__name__)


class StopRequest:
    """Turns Ctrl-C and SIGTERM into a wish that training grants between two updates, while the context lasts.

    The second signal is not caught: it ends the process at once.

    Attributes:
        made: Whether a signal has come.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.made = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in self._SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Checkpointer:
    """A callback that writes a checkpoint every so many updates, and when the run is to stop.

    A learner that evaluates after an update tells so after `on_update`; what the evaluation finds (the best
    weights so far) belongs to the checkpoint. So an update that is followed by an evaluation is saved in
    `on_evaluation` only.

    Args:
        path: The checkpoint file.
        history: Rows so far, saved along.
        every: Updates between checkpoints.
        evaluation_follows: Whether an evaluation comes after update u.
        stop: When made, the run is saved at the next update and stopped.

    Attributes:
        saved_at: Update of the last checkpoint; -1 before the first.
    """

    def __init__(
        self,
        path: Path,
        history: History,
        every: int,
        evaluation_follows: Callable[[int], bool],
        stop: StopRequest,
    ) -> None:
        self._path, self._history, self._every = path, history, every
        self._evaluation_follows, self._stop = evaluation_follows, stop
        self.saved_at = -1
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()

    @property
    def cpu_seconds(self) -> float:
        """Seconds of CPU time of training, all threads together, those before a resumption included."""
        return time.process_time() - self._cpu_started

    @property
    def wall_seconds(self) -> float:
        """Seconds of wall-clock time of training, those before a resumption included."""
        return time.perf_counter() - self._started

    def on_update(self, agent: Any, update: int, row: dict[str, float]) -> bool | None:
        """Save if it is time; return False to stop."""
        if not self._evaluation_follows(update):
            self._save_if_due(agent, update)
        # At most one update is lost, where an evaluation follows every single one.
        return False if self._stop.made and self.saved_at >= update - 1 else None

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Save if it is time."""
        self._save_if_due(agent, update)

    def resume(self, agent: Any) -> None:
        """Put agent and history back to where the checkpoint was taken."""
        content = torch.load(self._path, weights_only=True, map_location="cpu")
        agent.load_training_state(content["agent"])
        self._history.rows[:] = [(update, row) for update, row in content["rows"]]
        self._started = time.perf_counter() - content["wall_seconds"]
        self._cpu_started = time.process_time() - content["cpu_seconds"]
        self.saved_at = content["update"]
        _LOG.info("resumed at update %d", self.saved_at)

    def _save_if_due(self, agent: Any, update: int) -> None:
        if update > 0 and (self._stop.made or update - max(self.saved_at, 0) >= self._every):
            content = {
                "update": update,
                "agent": agent.training_state(),
                "rows": self._history.rows,
                "cpu_seconds": self.cpu_seconds,
                "wall_seconds": self.wall_seconds,
            }
            save_atomically(content, self._path)
            self.saved_at = update
            _LOG.info("checkpoint at update %d", update)
