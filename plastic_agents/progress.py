"""A progress bar for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from plastic_agents.learner import Callback

if TYPE_CHECKING:
    from plastic_agents.base import NetworkAgent

__all__ = ["ProgressBar"]


class ProgressBar:
    """A callback that shows progress and the current score, and passes everything on."""

    def __init__(self, inner: Callback | None, updates: int, done: int, name: str) -> None:
        self._inner = inner
        self._bar = tqdm(total=updates, initial=done, desc=name, unit="update", dynamic_ncols=True)
        self._shown: dict[str, str] = {}

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_update(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> bool | None:
        """Move the bar."""
        if "train/score" in row:
            self._shown["train"] = f"{row['train/score']:.3f}"
            self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(update - self._bar.n)
        return self._inner.on_update(agent, update, row) if self._inner else None

    def on_evaluation(self, agent: NetworkAgent, update: int, row: dict[str, float]) -> None:
        """Show the score."""
        self._shown["validation"] = f"{row['eval/score']:.3f}"
        self._bar.set_postfix(self._shown)
        if self._inner:
            self._inner.on_evaluation(agent, update, row)
