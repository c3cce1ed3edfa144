"""Pictures and text of a trial of the battery, as the field draws it: channels over time, epochs shaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.cognitive.angles import TWO_PI
from plastic_envs.cognitive.tasks import EPOCHS
from plastic_envs.cognitive.writing import TrialWriter
from plastic_envs.episodes import Episodes
from plastic_envs.rendering import new_figure, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_SIZE_INCHES, _DPI = (6.4, 5.0), 100
_INK, _FAINT, _PAPER = "#22303c", "#c3cad1", "white"
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_TARGET, _OUTPUT = "#22303c", "#D55E00"
_SHADES = {"fix1": "white", "stim1": "#dbe9f6", "delay1": "#f4f4f4", "stim2": "#dbe9f6", "delay2": "#f4f4f4"}
_SHADES["go1"] = "#fdebd2"
_STRONGEST, _WEAKEST = 1.2, 0.1  # ends of the colour scales; what is weaker is left out
_LEFT, _WIDTH, _TOP, _BOTTOM, _GAP = 0.17, 0.7, 0.88, 0.1, 0.016


def plot_trial(
    writer: TrialWriter,
    episodes: Episodes,
    row: int = 0,
    outputs: npt.NDArray[Any] | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw a trial: inputs, target and outputs over time, epochs shaded.

    Args:
        writer: Of the trials.
        episodes: A batch.
        row: Index of the trial.
        outputs: (T, B) choices or (T, B, outputs) of a network for the whole batch, if they are to be shown.
        path: File for the picture; None: not saved.
    """
    own = None if outputs is None else np.asarray(outputs)[: int(episodes.lengths[row]), row]
    figure = _figure(writer, episodes, row, None, own)
    if path is not None:
        figure.savefig(path)
    return figure


def trial_frame(
    writer: TrialWriter, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """A trial at a step: later steps are pale.

    Args:
        writer: Of the trials.
        episodes: The batch being played.
        row: Index of the trial.
        step: The step whose observation is shown; the trial's length, once it is over.
        actions: (step, ...) the actions taken so far.

    Returns:
        (500, 640, 3) uint8.
    """
    return pixels(_figure(writer, episodes, row, step, np.asarray(actions)))


def trial_text(
    writer: TrialWriter, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> str:
    """A trial at a step in a few lines: time, inputs, target and last action.

    Args:
        writer: Of the trials.
        episodes: The batch being played.
        row: Index of the trial.
        step: The step whose observation is shown; the trial's length, once it is over.
        actions: (step, ...) the actions taken so far.
    """
    t = min(step, int(episodes.lengths[row]) - 1)
    lines = [_headline(writer, episodes, row, step)]
    for field in writer.fields:
        values = episodes.observations[t, row, field.slice]
        if field.size > 8:
            scale = " .:-=+*#%@"
            marks = np.clip(np.rint(values * (len(scale) - 1)), 0, len(scale) - 1).astype(int)
            lines.append(f"{field.name:>12} |{''.join(scale[m] for m in marks)}|")
        else:
            lines.append(f"{field.name:>12} " + " ".join(f"{value:+.2f}" for value in values))
    lines.append(f"{'target':>12} {_meaning(writer, episodes.targets[t, row])}")
    last = _meaning(writer, np.asarray(actions)[-1]) if len(actions) else "none"
    lines.append(f"{'last action':>12} {last}")
    return "\n".join(lines)


def _meaning(writer: TrialWriter, answer: npt.NDArray[Any]) -> str:
    """An answer in words."""
    fixates, response = writer.outputs.read(answer)
    if fixates:
        return "fixate"
    return f"{np.degrees(np.angle(response)) % 360.0:.0f} degrees"


def _headline(writer: TrialWriter, episodes: Episodes, row: int, step: int | None) -> str:
    facts, settings = episodes.facts, writer.settings
    definition = settings.definitions[int(facts["component"][row])]
    answer = "no response"
    if not facts["withhold"][row]:
        answer = f"response {np.degrees(facts['response_angle'][row]):.0f} degrees"
    when = ""
    if step is not None:
        length = int(episodes.lengths[row])
        epoch = EPOCHS[episodes.periods[min(step, length - 1), row]]
        when = f"; {step * settings.step_ms:.0f} ms, {epoch}" if step < length else "; over"
    return f"{definition.name} ({definition.title}): {answer}{when}"


# ---- picture ----------------------------------------------------------------------------------------


def _figure(
    writer: TrialWriter, episodes: Episodes, row: int, step: int | None, answers: npt.NDArray[Any] | None
) -> Figure:
    """The figure; `answers` (n, ...) are those of the first n steps of the trial."""
    figure = new_figure(_SIZE_INCHES, _DPI)
    length, dt = int(episodes.lengths[row]), writer.settings.step_ms
    inputs = episodes.observations[:length, row]
    panels: list[tuple[str, float]] = [("fixation", 0.6)]
    panels += [(f.name, 1.2) for f in writer.fields if f.name.startswith("modality")]
    panels += [("rule", 0.7)] if len(writer.settings.columns) > 1 else []
    is_vector = not writer.outputs.is_discrete
    panels += [("target", 1.3), ("output", 1.3)] if is_vector and answers is not None else []
    panels += [("target", 1.6)] if is_vector and answers is None else []
    panels += [("response", 2.0)] if not is_vector else []
    heights = np.array([height for _, height in panels])
    heights = heights / heights.sum() * (_TOP - _BOTTOM - _GAP * (len(panels) - 1))
    top = _TOP
    for (name, _), height in zip(panels, heights, strict=True):
        axes = figure.add_axes((_LEFT, top - height, _WIDTH, height))
        top -= height + _GAP
        _shade(axes, episodes.facts["epoch_starts"][row] * dt)
        if name == "fixation":
            _draw_fixation(axes, writer, inputs, dt)
        elif name.startswith("modality"):
            _draw_channels(axes, writer, inputs[:, writer.places[name]], dt)
        elif name == "rule":
            _draw_rule(axes, writer, inputs[:, writer.places["rule"]], dt)
        elif name == "response":
            _draw_choices(axes, writer, episodes.targets[:length, row], answers, dt)
        else:
            curve = episodes.targets[:length, row] if name == "target" else answers
            assert curve is not None
            _draw_outputs(axes, writer, curve, dt)
        figure.text(
            0.01, top + _GAP + height / 2, name.replace("_", " "), va="center", fontsize=8, color=_INK
        )
        axes.set(xlim=(0, length * dt))
        axes.tick_params(labelsize=6 if name == "rule" else 7, length=2)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if step is not None:
            axes.axvspan(min(step, length) * dt, length * dt, color=_PAPER, alpha=0.75, zorder=4, linewidth=0)
            axes.axvline(min(step, length) * dt, color=_INK, linewidth=1.0, zorder=5)
        if name != panels[-1][0]:
            axes.set_xticklabels([])
    axes.set_xlabel("time in the trial (ms)", fontsize=8)
    figure.text(
        0.5, 0.965, _headline(writer, episodes, row, step), ha="center", va="center", fontsize=9, color=_INK
    )
    _name_epochs(figure, episodes.facts["epoch_starts"][row], length)
    return figure


def _shade(axes: Axes, starts: npt.NDArray[Any]) -> None:
    for name, first, last in zip(EPOCHS, starts[:-1], starts[1:], strict=True):
        if last > first:
            axes.axvspan(first, last, color=_SHADES[name], zorder=-1, linewidth=0)
            axes.axvline(first, color=_FAINT, linewidth=0.6, zorder=0)


def _name_epochs(figure: Figure, starts: npt.NDArray[Any], length: int) -> None:
    high = True
    for name, first, last in zip(EPOCHS, starts[:-1], starts[1:], strict=True):
        if last > first:
            # A short epoch's name stands a little higher, so that it does not run into its neighbour's.
            narrow = (last - first) / length < 0.08
            height = _TOP + (0.042 if narrow and high else 0.016)
            high = not high if narrow else high
            x = _LEFT + _WIDTH * (first + last) / 2 / length
            figure.text(x, height, name, ha="center", va="center", fontsize=7, color=_INK)


def _legend(axes: Axes) -> None:
    """Put the legend beside the panel, where it hides nothing."""
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        fontsize=7,
        frameon=False,
        handlelength=1.2,
        borderpad=0.2,
    )


def _stairs(axes: Axes, values: npt.NDArray[Any], dt: float, **style: Any) -> None:
    """A line that keeps each step's value until the next."""
    edges = np.arange(len(values) + 1) * dt
    axes.stairs(values, edges, baseline=None, **style)


def _heat(axes: Axes, values: npt.NDArray[Any], dt: float, highest: float) -> None:
    """Channels (n, units) as colours over time; unit j is tuned to 2 pi j / units."""
    axes.imshow(
        np.ma.masked_less(values.T, _WEAKEST), origin="lower", aspect="auto", cmap="Purples", vmin=0.0,
        vmax=highest, interpolation="nearest", extent=(0, len(values) * dt, 0, 360), zorder=1,
    )  # fmt: skip
    axes.set(ylim=(0, 360), yticks=(0, 180, 360))


def _draw_fixation(axes: Axes, writer: TrialWriter, inputs: npt.NDArray[Any], dt: float) -> None:
    _stairs(axes, inputs[:, writer.places["fixation"].start], dt, color=_INK, linewidth=1.4, label="on")
    if writer.settings.fixate_off:
        off = inputs[:, writer.places["fixation_off"].start]
        _stairs(axes, off, dt, color=_LINES[1], linewidth=1.2, linestyle="--", label="off")
        _legend(axes)
    axes.set(ylim=(-0.2, 1.3), yticks=(0, 1))


def _draw_channels(axes: Axes, writer: TrialWriter, values: npt.NDArray[Any], dt: float) -> None:
    kind = writer.stimuli.kind
    if kind == "ring":
        _heat(axes, values, dt, _STRONGEST)
        return
    names = ("sin", "cos") if kind == "pair" else ("cos+", "cos-", "sin+", "sin-")
    for name, line, colour in zip(names, values.T, _LINES, strict=False):
        _stairs(axes, line, dt, color=colour, linewidth=1.3, label=name)
    axes.set(ylim=(-1.7 if kind == "pair" else -0.2, 1.7), yticks=(-1, 0, 1) if kind == "pair" else (0, 1))
    _legend(axes)


def _draw_rule(axes: Axes, writer: TrialWriter, values: npt.NDArray[Any], dt: float) -> None:
    """Rule inputs (n, rules), of which those that are on are named."""
    axes.imshow(
        np.ma.masked_inside(values.T, -_WEAKEST, _WEAKEST), origin="upper", aspect="auto", cmap="RdBu_r",
        vmin=-1.3, vmax=1.3, interpolation="nearest", zorder=1,
        extent=(0, len(values) * dt, values.shape[1] - 0.5, -0.5),
    )  # fmt: skip
    on = np.flatnonzero(np.abs(values).max(0) > 0.3)
    axes.set_yticks(on, [writer.settings.columns[rule] for rule in on])


def _draw_outputs(axes: Axes, writer: TrialWriter, values: npt.NDArray[Any], dt: float) -> None:
    """Vector targets or outputs (n, outputs)."""
    if writer.outputs.is_ring:
        if len(values):
            _heat(axes, values[:, 1:], dt, 1.0)
            _stairs(axes, 360 * values[:, 0], dt, color=_LINES[0], linewidth=1.4, zorder=3, label="fixation")
            _legend(axes)
        axes.set(ylim=(0, 360), yticks=(0, 180, 360))
        return
    if len(values):
        for name, line, colour in zip(("fixation", "sin", "cos"), values.T, (_INK, *_LINES), strict=False):
            _stairs(axes, line, dt, color=colour, linewidth=1.3, label=name)
        _legend(axes)
    axes.set(ylim=(-1.7, 1.7), yticks=(-1, 0, 1))


def _draw_choices(
    axes: Axes, writer: TrialWriter, targets: npt.NDArray[Any], answers: npt.NDArray[Any] | None, dt: float
) -> None:
    """Discrete targets and choices: a direction in degrees, and fixation below."""
    directions = writer.settings.directions
    fixation = -60.0

    def height(choices: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.where(choices > 0, np.degrees(TWO_PI * (choices - 1) / directions), fixation)

    _stairs(axes, height(targets), dt, color=_TARGET, linewidth=3.2, alpha=0.35, label="target")
    if answers is not None and len(answers):
        middle = (np.arange(len(answers)) + 0.5) * dt
        axes.plot(middle, height(answers), ".", color=_OUTPUT, markersize=3.5, zorder=3, label="action")
    axes.set(ylim=(-110, 375), yticks=(fixation, 0, 90, 180, 270, 360))
    axes.set_yticklabels(["fixate", "0", "90", "180", "270", "360"])
    _legend(axes)
