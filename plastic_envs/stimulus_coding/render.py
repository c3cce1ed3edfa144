"""Pictures and text of the stimulus: the angle and the answers so far on the circle, and the tuned inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.rendering import new_figure, pixels
from plastic_envs.stimulus_coding.law import TILES
from plastic_envs.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_SIZE_INCHES, _DPI = (6.4, 3.6), 100
_INK, _FAINT, _STIMULUS, _ANSWER = "#22303c", "#c3cad1", "#0072B2", "#D55E00"
_TRAIL = 500  # last answers that are shown
_BAR = 24  # characters of an input of 1


def _now(task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> dict[str, Any]:
    """Number of the step shown, angle, tile angles, inputs, answers (n, K) so far and their mean score."""
    t = min(step, int(episodes.lengths[row]) - 1)
    count = len(actions)
    scores = task.reward(episodes, np.arange(count), np.full(count, row), actions)
    return {
        "shown": t,
        "over": step >= episodes.lengths[row],
        "theta": float(episodes.step_facts["theta"][t, row]),
        "inputs": episodes.observations[t, row],
        "answers": actions[-_TRAIL:],
        "mean": float(scores.mean()) if count else None,
    }


def _headline(task: Task, episodes: Episodes, row: int, now: dict[str, Any]) -> str:
    period = task.periods[episodes.periods[now["shown"], row]]
    score = "no answers yet" if now["mean"] is None else f"mean reward {now['mean']:.3f}"
    ended = ", over" if now["over"] else ""
    time = now["shown"] * (task.step_time or 0.0)
    return f"t = {time:.2f} ({period}){ended}, theta = {now['theta']:+.2f}, {score}"


def stimulus_text(task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
    """Time, angle, last answer and a bar per input."""
    now = _now(task, episodes, row, step, actions)
    lines = [_headline(task, episodes, row, now)]
    target = ", ".join(f"{x:+.2f}" for x in episodes.targets[now["shown"], row])
    last = ", ".join(f"{x:+.2f}" for x in now["answers"][-1]) if len(now["answers"]) else "none"
    lines.append(f"target ({target}), last answer ({last})")
    for tile, value in zip(TILES, now["inputs"], strict=True):
        lines.append(f"{np.degrees(tile):+5.0f} {'#' * round(_BAR * float(np.clip(value, 0, 1)))}")
    return "\n".join(lines)


def stimulus_frame(
    task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """Circle with the stimulus and the last answers on the left, the inputs on the right; (360, 640, 3)."""
    now = _now(task, episodes, row, step, actions)
    figure = new_figure(_SIZE_INCHES, _DPI)
    figure.text(
        0.5, 0.95, _headline(task, episodes, row, now), ha="center", va="center", fontsize=9, color=_INK
    )
    _draw_circle(figure.add_axes((0.02, 0.06, 0.48, 0.84)), task, now)
    bars = figure.add_axes((0.58, 0.16, 0.39, 0.7))
    bars.bar(np.degrees(TILES), now["inputs"], width=22, color=_STIMULUS)
    bars.axvline(np.degrees(now["theta"]), color=_INK, linewidth=1, linestyle="--")
    bars.set(ylim=(0, 1.05), xlim=(-195, 165), xticks=range(-180, 181, 90))
    bars.set_xlabel("tuned to (degrees)", fontsize=8)
    bars.set_ylabel("input", fontsize=8)
    bars.tick_params(labelsize=8)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    return pixels(figure)


def _draw_circle(axes: Axes, task: Task, now: dict[str, Any]) -> None:
    around = np.linspace(-np.pi, np.pi, 181)
    axes.plot(np.cos(around), np.sin(around), color=_FAINT, linewidth=1.5, zorder=1)
    axes.plot(np.cos(TILES), np.sin(TILES), "o", color=_FAINT, markersize=4, zorder=1)
    theta, answers = now["theta"], now["answers"]
    axes.plot([0, np.cos(theta)], [0, np.sin(theta)], color=_STIMULUS, linewidth=1, zorder=2)
    axes.plot(np.cos(theta), np.sin(theta), "o", color=_STIMULUS, markersize=10, zorder=3, label="stimulus")
    if task.objective == "squared_error":
        if len(answers):
            axes.plot(*answers.T, color=_ANSWER, linewidth=0.6, alpha=0.5, zorder=2)
            axes.plot(*answers[-1], "X", color=_ANSWER, markersize=9, zorder=5, label="answer")
    else:
        axes.axhline(0.0, color=_FAINT, linewidth=1, linestyle=":")
        if len(answers):  # the probability of the upper half, as a height between -1 and 1
            axes.plot([-1.32] * 2, [-1, 1], color=_FAINT, linewidth=1.5)
            axes.plot(-1.32, 2 * answers[-1, 0] - 1, "X", color=_ANSWER, markersize=9, label="P(upper half)")
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.35), aspect="equal")
    axes.set_axis_off()
    axes.legend(loc="lower center", fontsize=8, frameon=False, ncols=2)
