"""Checkpoints of a run, and resuming from them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from plastic_agents.files import checked, read_tensors, write_tensors
from plastic_agents.loading import check_same_agent
from plastic_agents.runner.history import History
from plastic_agents.runner.stopping import StopRequest

__all__ = ["Checkpointer"]

_LOG = logging.getLogger(__name__)

_CONTENT: dict[str, type | tuple[type, ...]] = {
    "update": int, "agent": dict, "rows": list, "cpu_seconds": (int, float), "wall_seconds": (int, float),
}  # fmt: skip


class Checkpointer:
    """A callback that writes a checkpoint every so many updates, after the last, and when the run is to stop.

    Args:
        path: The checkpoint file.
        history: Rows so far, saved along.
        every: Updates between checkpoints.
        last: The run's last update: a kill while the agent is scored must not cost its training.
        stop: When made, the run is saved at the next update and stopped.

    Attributes:
        saved_at: Update of the last checkpoint; 0 before the first.
    """

    def __init__(
        self,
        path: Path,
        history: History,
        every: int,
        last: int,
        stop: StopRequest,
    ) -> None:
        self._path, self._history, self._every, self._last = path, history, every, last
        self._stop = stop
        self.saved_at = 0
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
        ends = update == self._last or agent.learner.done
        if ends or self._stop.made or update - self.saved_at >= self._every:
            self._save(agent, update)
        return False if self._stop.made else None

    def on_evaluation(self, agent: Any, update: int, row: dict[str, float]) -> None:
        """Nothing: `on_update` of the same update comes after it, when the learner's state is complete."""

    def resume(self, agent: Any) -> None:
        """Put agent and history back to where the checkpoint was taken.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            ValueError: If it is damaged, or of another agent, task or seed.
        """
        content, _ = read_tensors(self._path, "checkpoint")
        checked(content, _CONTENT, self._path)
        check_same_agent(str(self._path), agent, content["agent"])
        try:
            agent.load_training_state(content["agent"])
            self._history.rows[:] = [(int(update), dict(row)) for update, row in content["rows"]]
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{str(self._path)!r} does not fit this run: {error!r}; start over with --overwrite."
            ) from error
        self._started = time.perf_counter() - content["wall_seconds"]
        self._cpu_started = time.process_time() - content["cpu_seconds"]
        self.saved_at = content["update"]
        _LOG.info("resumed at update %d", self.saved_at)

    def _save(self, agent: Any, update: int) -> None:
        content = {
            "update": update,
            "agent": agent.training_state(),
            "rows": self._history.rows,
            "cpu_seconds": self.cpu_seconds,
            "wall_seconds": self.wall_seconds,
        }
        write_tensors(self._path, "checkpoint", content)
        self.saved_at = update
        _LOG.info("checkpoint at update %d", update)
