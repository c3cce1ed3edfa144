"""Pictures and text of the sensorimotor associations: the trial as a strip of time, and all trials so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.rendering import new_figure, pixels
from plastic_envs.sensorimotor.trial import DELAY, GRACE, RESPONSE, SAMPLE, SensorimotorTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES, _DPI = (6.4, 4.2), 100
_INK, _FAINT, _PAPER, _FIXATION = "#22303c", "#c3cad1", "#f2f4f6", "#9aa5b1"
_CHOICES = ("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
_RIGHT, _WRONG, _OPEN = "#2a9d4a", "#d1343b", "#e3e6ea"
_NO_ACTION = -1


@dataclass(frozen=True)
class _Scene:
    """An onlooker's knowledge at a step; S steps of the trial, R trials of the episode.

    Attributes:
        trial: Number of the trial, from 0.
        first: Its first step in the episode.
        now: The step of the trial that is shown; S once the episode is over.
        image: The image's vector, (D,).
        number: Its number, the right choice.
        problem: Number of each trial's problem, (R,).
        images: Number of each trial's image, (R,).
        actions: Actions in the trial, (S,), -1 while not taken.
        targets: (S,).
        outcomes: 1 right, 0 wrong, -1 not over yet, (R,).
    """

    trial: int
    first: int
    now: int
    image: npt.NDArray[np.float32]
    number: int
    problem: npt.NDArray[np.integer[Any]]
    images: npt.NDArray[np.integer[Any]]
    actions: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    outcomes: npt.NDArray[np.int64]


def _scene(
    task: SensorimotorTask, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> _Scene:
    size, length = len(task.trial_periods), int(episodes.lengths[row])
    trial = min(step, length - 1) // size
    starts = np.arange(0, length, size)
    all_actions = np.full(length, _NO_ACTION, dtype=np.int64)
    all_actions[: len(actions)] = np.asarray(actions)[:length]
    targets = episodes.targets[:length, row]
    right = (all_actions == targets)[task.outcome_step :: size]
    outcomes = np.where(starts + task.outcome_step < step, right.astype(np.int64), -1)
    here = slice(trial * size, (trial + 1) * size)
    return _Scene(
        trial=trial,
        first=trial * size,
        now=step - trial * size,
        image=episodes.observations[trial * size, row, task.field("image").slice],
        number=int(episodes.step_facts["image"][trial * size, row]),
        problem=episodes.step_facts["problem"][starts, row],
        images=episodes.step_facts["image"][starts, row],
        actions=all_actions[here],
        targets=targets[here],
        outcomes=outcomes,
    )


def _name(task: SensorimotorTask, action: int) -> str:
    return "none" if action == _NO_ACTION else "fixation" if action == task.fixation else f"choice {action}"


def _headline(task: SensorimotorTask, scene: _Scene) -> str:
    size = len(task.trial_periods)
    if scene.now < size:
        when = f"{scene.now * task.dt_ms:.0f} ms, {task.periods[task.trial_periods[scene.now]]}"
    else:
        when = "over"
    count = f" of {len(scene.outcomes)}" if len(scene.outcomes) > 1 else ""
    return (
        f"problem {scene.problem[scene.trial]}, trial {scene.trial + 1}{count}: {when}; "
        f"image {scene.number} calls for choice {scene.number}"
    )


# ---- text ------------------------------------------------------------------------------------------


def trials_text(
    task: SensorimotorTask, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> str:
    """An episode at a step in four lines: time, image, target and action, outcomes so far.

    Args:
        task: The task.
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far.
    """
    scene = _scene(task, episodes, row, step, actions)
    t = min(scene.now, len(scene.targets) - 1)
    last = int(np.asarray(actions)[-1]) if len(actions) else _NO_ACTION
    marks = "".join(".-+"[outcome + 1] for outcome in scene.outcomes)
    changes = np.flatnonzero(np.diff(scene.problem)) + 1
    for place in changes[::-1]:
        marks = f"{marks[:place]} | {marks[place:]}"
    return "\n".join(
        (
            _headline(task, scene),
            "image: " + " ".join(f"{x:+.2f}" for x in scene.image),
            f"target {_name(task, int(scene.targets[t]))}, last action {_name(task, last)}",
            f"trials: {marks}",
        )
    )


# ---- picture ---------------------------------------------------------------------------------------


def trials_frame(
    task: SensorimotorTask, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """Above, the trial: inputs, target and actions over time. Below, the image and all outcomes.

    Args:
        task: The task.
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far.

    Returns:
        (H, W, 3) uint8.
    """
    scene = _scene(task, episodes, row, step, actions)
    figure = new_figure(_SIZE_INCHES, _DPI)
    figure.text(0.5, 0.955, _headline(task, scene), ha="center", va="center", fontsize=9, color=_INK)
    _draw_trial(figure.add_axes((0.13, 0.48, 0.84, 0.42)), task, scene)
    _draw_image(figure.add_axes((0.13, 0.12, 0.3, 0.2)), scene)
    _draw_outcomes(figure.add_axes((0.52, 0.05, 0.45, 0.3)), scene)
    return pixels(figure)


def _draw_trial(axes: Axes, task: SensorimotorTask, scene: _Scene) -> None:
    """Bars for what is on, and coloured strips for target and actions."""
    dt, parts = task.dt_ms, task.trial_periods
    end = len(parts) * dt

    def strip(height: float, actions: npt.NDArray[np.int64], alpha: npt.NDArray[np.float64]) -> None:
        edges = np.flatnonzero(np.diff(actions) | np.diff(alpha > 0.5)) + 1
        for first, last in zip([0, *edges], [*edges, len(actions)], strict=True):
            if actions[first] != _NO_ACTION:
                colour = _FIXATION if actions[first] == task.fixation else _colour(int(actions[first]))
                axes.barh(
                    height,
                    (last - first) * dt,
                    left=first * dt,
                    height=0.62,
                    color=colour,
                    alpha=alpha[first],
                )

    for part in np.unique(parts):
        first, last = (np.flatnonzero(parts == part)[[0, -1]] + (0, 1)) * dt
        if part == SAMPLE or part > RESPONSE:
            axes.barh(3, last - first, left=first, height=0.62, color=_colour(scene.number))
        if part <= DELAY or part > RESPONSE:
            axes.barh(2, last - first, left=first, height=0.62, color=_FIXATION)
        axes.axvline(last, color=_FAINT, linewidth=0.8)
        axes.text((first + last) / 2, 3.65, task.periods[part], ha="center", fontsize=7, color=_INK)
    strip(1, scene.targets, np.where(parts == GRACE, 0.3, 1.0))
    strip(0, scene.actions, np.ones(len(parts)))
    now = min(scene.now, len(parts)) * dt
    axes.axvspan(now, end, color=_PAPER, alpha=0.75, zorder=2)
    axes.axvline(now, color=_INK, linewidth=1.4, zorder=3)
    axes.set(xlim=(0, end), ylim=(-0.55, 4.05), yticks=range(4))
    axes.set_yticklabels(["action", "target", "fixation", "image"], fontsize=8)
    axes.set_xlabel("time in the trial (ms); pale target: not scored", fontsize=8)
    axes.tick_params(labelsize=8, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _draw_image(axes: Axes, scene: _Scene) -> None:
    axes.bar(np.arange(len(scene.image)), scene.image, color=_colour(scene.number), width=0.8)
    axes.axhline(0.0, color=_INK, linewidth=0.8)
    limit = max(1.0, float(np.linalg.norm(scene.image)))
    axes.set(ylim=(-limit, limit), xticks=[], yticks=(-limit, 0, limit))
    axes.set_title(f"image {scene.number}", fontsize=8, color=_INK)
    axes.tick_params(labelsize=7)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _draw_outcomes(axes: Axes, scene: _Scene) -> None:
    """A square per trial, framed in the colour of its image; a gap where the problem changes."""
    per_line = 12
    colours = (_OPEN, _WRONG, _RIGHT)
    for trial, outcome in enumerate(scene.outcomes):
        x, y = trial % per_line, -(trial // per_line)
        face = colours[int(outcome) + 1]
        visible = trial <= scene.trial
        edge = _colour(int(scene.images[trial])) if visible else _OPEN
        width = 2.4 if visible else 0.8
        axes.scatter(x, y, s=170, marker="s", facecolor=face, edgecolor=edge, linewidth=width)
        if trial and scene.problem[trial] != scene.problem[trial - 1]:
            axes.plot([x - 0.5] * 2, [y - 0.42, y + 0.42], color=_INK, linewidth=2)
    over = scene.outcomes[scene.outcomes >= 0]
    share = f"{over.sum()}/{len(over)} right" if len(over) else "no response yet"
    lines = -(-len(scene.outcomes) // per_line)
    axes.set_title(f"trials: {share} (frame: image)", fontsize=8, color=_INK)
    axes.set(xlim=(-0.8, per_line - 0.2), ylim=(-max(lines, 3) + 0.3, 0.7))
    axes.set_axis_off()


def _colour(choice: int) -> str:
    return _CHOICES[choice % len(_CHOICES)]
