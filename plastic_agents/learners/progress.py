"""A progress bar for training."""

from __future__ import annotations

from tqdm.auto import tqdm

from plastic_agents.learners.base import AgentLike

__all__ = ["ProgressBar"]


class ProgressBar:
    """A callback that shows progress and the current score.

    Args:
        total: Updates, or environment steps, in the end.
        done: The same done before.
        in_steps: Whether it is counted in environment steps.
        name: Shown before the bar.
    """

    def __init__(self, total: int, done: int, in_steps: bool, name: str) -> None:
        self._in_steps = in_steps
        self._bar = tqdm(
            total=total, initial=done, desc=name, unit="step" if in_steps else "update",
            dynamic_ncols=True,
        )  # fmt: skip
        self._shown: dict[str, str] = {}

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_update(self, agent: AgentLike, update: int, row: dict[str, float]) -> None:
        """Move the bar."""
        if "train/score" in row:
            self._shown["train"] = f"{row['train/score']:.3f}"
            self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update((agent.learner.env_steps if self._in_steps else update) - self._bar.n)

    def on_evaluation(self, agent: AgentLike, update: int, row: dict[str, float]) -> None:
        """Show the score."""
        self._shown["validation"] = f"{row['eval/score']:.3f}"
        self._bar.set_postfix(self._shown)
