"""Pictures and text of transitive inference: the trial as a strip of steps, and all trials so far.

An onlooker sees which item is which (A is the top of the list), the agent sees only how they look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.rendering import new_figure, pixels
from plastic_envs.task import Task
from plastic_envs.transitive.schedules import FEEDBACK, RESPONSE, STIMULUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_INCHES, _DPI = (6.4, 4.8), 100
_INK, _FAINT_INK, _PAPER, _OPEN = "#22303c", "#8a949c", "#ffffff", "#c9d0d6"
_PLUS, _MINUS, _CURRENT, _TEST, _RULE = "#2f5d8a", "#dfe8f1", "#f2a33a", "#fdf3e3", "#eef1f3"
_RIGHT, _WRONG = "#2a9d4a", "#d1343b"
_STEPS = ("stimulus", "response", "feedback", "delay")


@dataclass(frozen=True)
class _Scene:
    """An onlooker's knowledge at a step; R trials have begun."""

    step: int
    length: int
    trial: int  # the last one that has begun; -1 before the first
    num_trials: int
    step_in_trial: int  # -1 in blank steps and after the end
    first: npt.NDArray[np.integer]  # (R,) item numbers
    second: npt.NDArray[np.integer]
    choice: npt.NDArray[np.integer]  # (R,) item number, -1 while not answered
    is_test: npt.NDArray[np.bool_]  # (R of the whole episode,)
    block: npt.NDArray[np.integer]  # (R of the whole episode,)
    items: npt.NDArray[np.float32]  # (N, C), the items of this episode
    steps_per_trial: int

    @property
    def is_over(self) -> bool:
        return self.step >= self.length

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(R,), whether each answer was right; False where there is none yet."""
        return np.asarray(self.choice == np.minimum(self.first, self.second))

    @property
    def phase(self) -> str:
        if self.is_over:
            return "over"
        return "blank" if self.step_in_trial < 0 else _STEPS[min(self.step_in_trial, len(_STEPS) - 1)]

    @property
    def where(self) -> str:
        if self.phase == "blank":
            return f"blank step before trial {self.trial + 2}/{self.num_trials}"
        kind = "test" if self.is_test[self.trial] else "train"
        return f"trial {self.trial + 1}/{self.num_trials} ({kind}): {self.phase}"

    @property
    def score(self) -> str:
        counted = (self.choice >= 0) & self.is_test[: len(self.choice)]
        if not counted.any():
            return "no test answer yet"
        num_right = int(self.right[counted].sum())
        return f"score {num_right / counted.sum():.3f} ({num_right}/{counted.sum()})"


def item_name(item: int) -> str:
    """A, B, ... Z, then numbers."""
    return chr(ord("A") + item) if item < 26 else str(item)


def _scene(episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> _Scene:
    """Collect the contents of a picture from the facts up to `step` and the answers before it."""
    length = int(episodes.lengths[row])
    facts = {name: values[:length, row] for name, values in episodes.step_facts.items()}
    starts = np.flatnonzero(facts["trial_start"])
    trial_starts = starts[starts <= step]
    choice = np.full(len(trial_starts), -1)
    answered = np.flatnonzero(trial_starts + RESPONSE < min(step, len(actions)))
    took = np.asarray(actions)[trial_starts[answered] + RESPONSE]
    first, second = facts["first_item"][trial_starts], facts["second_item"][trial_starts]
    choice[answered] = np.where(took == 1, first[answered], second[answered])
    return _Scene(
        step=step,
        length=length,
        trial=len(trial_starts) - 1,
        num_trials=len(starts),
        step_in_trial=-1 if step >= length else int(facts["step"][step]),
        first=first,
        second=second,
        choice=choice,
        is_test=facts["is_test"][starts],
        block=facts["block"][starts],
        items=episodes.facts["items"][row, : int(episodes.facts["num_items"][row])],
        steps_per_trial=int(facts["step"].max()) + 1,
    )


# ---- text ------------------------------------------------------------------------------------------


def trial_text(task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
    """An episode at a step in four lines: time, pair and outcome, all answers so far, score.

    Args:
        task: Not used; the episode has all facts.
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far. Targets appear only for answered trials.
    """
    scene = _scene(episodes, row, step, actions)
    pair = "no pair yet"
    if scene.trial >= 0:
        first, second, choice = (int(items[-1]) for items in (scene.first, scene.second, scene.choice))
        pair = f"{item_name(first)} or {item_name(second)}?"
        if choice >= 0:
            reward = "right, reward +1" if scene.right[-1] else "wrong, reward -1"
            pair += f"  {item_name(choice)}: {reward}"
    marks = ["." if c < 0 else "+" if r else "-" for c, r in zip(scene.choice, scene.right, strict=True)]
    for at in np.flatnonzero(np.diff(scene.block[: len(marks)]))[::-1]:
        marks.insert(at + 1, " | ")
    return "\n".join(
        (
            f"step {step}/{scene.length}  {scene.where}",
            pair,
            f"answers: {''.join(marks) or 'none'}",
            scene.score,
        )
    )


# ---- picture ---------------------------------------------------------------------------------------


def trial_frame(
    task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """Above, the steps of this trial: stimulus, choice, feedback. Below, all trials so far.

    Args:
        task: Not used; the episode has all facts.
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far.

    Returns:
        (480, 640, 3) uint8.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    scene = _scene(episodes, row, step, actions)
    figure = new_figure(_SIZE_INCHES, _DPI, _PAPER)
    figure.text(0.03, 0.955, scene.where, fontsize=11, color=_INK, va="center")
    figure.text(0.97, 0.955, scene.score, fontsize=11, color=_INK, va="center", ha="right", fontweight="bold")
    _draw_strip(figure, scene)
    _draw_history(figure, scene)
    return pixels(figure)


def _draw_strip(figure: Figure, scene: _Scene) -> None:
    """One box per step of the trial; boxes to come are empty."""
    widths = np.array([2.3, 1.4, 1.2] + [1.0] * (scene.steps_per_trial - 3))
    gap, x, total = 0.012, 0.03, 0.94
    widths = widths / widths.sum() * (total - gap * (len(widths) - 1))
    for k, width in enumerate(widths):
        axes = figure.add_axes((x, 0.56, width, 0.3))
        x += width + gap
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        reached = scene.is_over or scene.step_in_trial >= k
        now = scene.step_in_trial == k
        for side in axes.spines.values():
            side.set_color(_CURRENT if now else _OPEN)
            side.set_linewidth(3.0 if now else 1.0)
        axes.set_title(
            _STEPS[min(k, len(_STEPS) - 1)], fontsize=9, pad=4, color=_INK if reached else _FAINT_INK,
            fontweight="bold" if now else "normal",
        )  # fmt: skip
        if scene.trial < 0 or not reached:
            continue
        if k == STIMULUS:
            _draw_item(axes, scene, int(scene.first[-1]), 0.25, 0.38)
            _draw_item(axes, scene, int(scene.second[-1]), 0.75, 0.38)
            axes.text(0.5, 0.43, "or", fontsize=10, color=_FAINT_INK, ha="center", va="center")
        elif k == RESPONSE and scene.choice[-1] >= 0:
            _draw_item(axes, scene, int(scene.choice[-1]), 0.5, 0.62)
        elif k == RESPONSE:
            axes.text(0.5, 0.47, "?", fontsize=30, color=_CURRENT, ha="center", va="center")
        elif k == FEEDBACK:
            good = bool(scene.right[-1])
            sign = "+1" if good else "−1"  # noqa: RUF001
            axes.text(
                0.5, 0.58, sign, fontsize=26, color=_RIGHT if good else _WRONG, ha="center", va="center"
            )
            words = "right" if good else "wrong"
            axes.text(
                0.5, 0.24, words, fontsize=10, color=_RIGHT if good else _WRONG, ha="center", va="center"
            )


def _draw_item(axes: Axes, scene: _Scene, item: int, centre: float, room: float) -> None:
    """An item as a patch of its entries, row by row, in `room` of the box's width, with its name above."""
    cue = scene.items[item]
    columns = max(1, round(len(cue) ** 0.5 * 1.3))
    rows = -(-len(cue) // columns)
    box = axes.get_window_extent()
    cell = min(0.58 * box.height / rows, room * box.width / columns)  # pixels
    dx, dy = cell / box.width, cell / box.height
    x0, top = centre - columns * dx / 2, 0.43 + rows * dy / 2
    for k, value in enumerate(cue):
        r, c = divmod(k, columns)
        x, y = x0 + c * dx, top - (r + 1) * dy
        axes.fill(
            [x, x + dx, x + dx, x], [y, y, y + dy, y + dy], facecolor=_PLUS if value > 0 else _MINUS,
            edgecolor=_PAPER, linewidth=1.0,
        )  # fmt: skip
    axes.text(
        centre, 0.86, item_name(item), fontsize=12, color=_INK, ha="center", va="center", fontweight="bold"
    )


def _draw_history(figure: Figure, scene: _Scene) -> None:
    """Trials from left to right, items from top to bottom; a line joins each pair, the choice is filled."""
    from matplotlib.lines import Line2D

    axes = figure.add_axes((0.06, 0.15, 0.91, 0.34))
    total, num_items = scene.num_trials, len(scene.items)
    axes.set_xlim(0.3, total + 0.7)
    axes.set_ylim(num_items - 0.4, -0.6)
    axes.set_yticks(range(num_items), [item_name(i) for i in range(num_items)])
    axes.tick_params(length=0, labelsize=min(8.0, 110.0 / num_items), labelcolor=_INK)
    axes.set_xlabel("trial", fontsize=8, color=_INK, labelpad=1)
    for side in axes.spines.values():
        side.set_visible(False)
    for i in range(num_items):
        axes.axhline(i, color=_RULE, linewidth=1.0, zorder=0)
    for t in np.flatnonzero(scene.is_test):
        axes.axvspan(t + 0.5, t + 1.5, color=_TEST, linewidth=0, zorder=-1)
    for t in np.flatnonzero(np.diff(scene.block)):
        axes.axvline(t + 1.5, color=_OPEN, linewidth=1.0, linestyle=(0, (3, 3)), zorder=0)

    size = float(np.clip(170.0 / total, 2.2, 7.0))
    trials = zip(scene.first, scene.second, scene.choice, scene.right, strict=True)
    for number, (i, j, choice, right) in enumerate(trials, start=1):
        colour = _CURRENT if choice < 0 else _RIGHT if right else _WRONG
        axes.plot([number, number], [i, j], color=colour, linewidth=1.4, zorder=2)
        for item in (i, j):
            face = colour if item == choice else _PAPER
            axes.plot(number, item, "o", markersize=size, color=colour, markerfacecolor=face, zorder=3)
    handles = [
        Line2D([], [], color=_RIGHT, marker="o", linewidth=0, label="right choice"),
        Line2D([], [], color=_WRONG, marker="o", linewidth=0, label="wrong choice"),
        Line2D([], [], color=_FAINT_INK, marker="o", markerfacecolor=_PAPER, linewidth=0, label="not chosen"),
        Line2D([], [], color=_CURRENT, marker="o", markerfacecolor=_PAPER, linewidth=0, label="now"),
        Line2D([], [], color=_TEST, linewidth=8, label="test trials"),
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8, labelcolor=_INK
    )
