"""Measurements and figures of the cognitive battery: accuracy by task, and trials as the field draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from plastic_agents.agent import Agent
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.figures import COLOURS, GREY, colour_of, styled
from plastic_agents.runner.results import Results, by_agent
from plastic_agents.runner.task_reports import plain
from plastic_agents.seeding import named_generator, torch_generator
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.episodes import Episodes
from plastic_envs.naming import short_name
from plastic_envs.rendering import pixels

_OF_ONE_TASK = 4  # trials in the figure if there is one task; else one trial of each task
_COLUMNS = 3
_DRAWN_DPI = 130
_MEASURES = {
    "accuracy_trial": "right at the end (R rule)",
    "accuracy_angle": "right steps (compact measure)",
    "accuracy_response": "right all through the response",
    "accuracy_fixation": "fixating before it",
}


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """The worst task's accuracy as `accuracy_worst`, and `trials/answers`, (T, B) or (T, B, outputs).

    The accuracy is over fresh trials, 100 of each task.
    """
    metrics, arrays = plain.measure(agent, config)
    battery = _battery(config)
    episodes = _trials(battery, config.seed)
    # The network's own outputs, also those beyond the action space.
    arrays["trials/answers"] = agent.act_on(episodes, battery, torch_generator(config.seed, "trials/agent"))
    if battery.components:
        scores = []
        for name in battery.components:
            alone = battery.with_options({"task": name})
            episodes = alone.sample(named_generator(config.seed, f"worst/{name}"), 100)
            actions = agent.act_on(episodes, alone, torch_generator(config.seed, f"worst/{name}/agent"))
            scores.append(float(np.nanmean(battery.episode_scores(episodes, actions))))
        metrics["accuracy_worst"] = min(scores)
        arrays["tasks/accuracy"] = np.array(scores)
    return metrics, arrays


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Accuracies while learning, by task, and one trial of each task."""
    results = []
    if any(f"eval/{name}" in run.curves for name in _MEASURES):
        caption = "Both published accuracies, and two stricter ones, on the validation split."
        results.append(("accuracies", caption, learning(run)))
    if "tasks/accuracy" in run.arrays:
        caption = "Share of trials right by task (100 fresh ones of each): this run, and others' as dots."
        results.append(("by_task", caption, by_task(run, runs)))
    if "trials/answers" in run.arrays:
        caption = "Trials of the test split: inputs, target and what the agent answered; epochs shaded."
        results.append(("trials", caption, trials(run)))
    return results


@styled
def learning(run: Results) -> Figure:
    """Accuracies against updates."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, label), colour in zip(_MEASURES.items(), COLOURS, strict=False):
        if f"eval/{name}" in run.curves:
            axes.plot(*run.curves[f"eval/{name}"], color=colour, label=label)
    axes.axhline(run.value("chance"), color=GREY, linestyle=":", linewidth=1, label="chance (R rule)")
    axes.set(
        title=f"{run.label} on {short_name(run.config.env)}", xlabel="update", ylabel="share", ylim=(0, 1.02)
    )
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def by_task(run: Results, runs: Sequence[Results]) -> Figure:
    """Accuracy of each task, chance beside it."""
    battery = _battery(run.config)
    figure = Figure(figsize=(1.5 + 0.55 * len(battery.components), 3.8), layout="constrained")
    axes = figure.subplots()
    x = np.arange(len(battery.components))
    axes.bar(
        x, run.arrays["tasks/accuracy"], 0.7, color=colour_of(run.config.agent), alpha=0.85, label=run.label
    )
    for agent, others in by_agent([other for other in runs if "tasks/accuracy" in other.arrays]).items():
        for place, other in enumerate(others):
            label = agent if place == 0 else None
            axes.plot(
                x, other.arrays["tasks/accuracy"], "o", markersize=4, color=colour_of(agent),
                markeredgecolor="white", markeredgewidth=0.5, label=label,
            )  # fmt: skip
    for place, chance in enumerate(battery.chance_by_component):
        label = "chance" if place == 0 else None
        axes.plot([place - 0.42, place + 0.42], [chance] * 2, color="black", linewidth=1, label=label)
    axes.set_xticks(x, battery.components, rotation=40, ha="right")
    axes.grid(visible=False, axis="x")
    axes.set(ylabel="accuracy", ylim=(0, 1.04), title=f"By task: {run.label}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=4)
    return figure


@styled
def trials(run: Results) -> Figure:
    """One trial of each task, or some of the only one, side by side."""
    battery = _battery(run.config)
    episodes, answers = _trials(battery, run.config.seed), run.arrays["trials/answers"]
    pictures = []
    for row in range(episodes.batch_size):
        one = battery.plot_trial(episodes, row, answers)
        one.set_dpi(_DRAWN_DPI)
        pictures.append(pixels(one))
    columns = 2 if len(pictures) <= 4 else _COLUMNS
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    size = 5.2
    figure = Figure(figsize=(size * columns, size * rows * height / width))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        axes = figure.add_axes((column / columns, 1 - (row + 1) / rows, 1 / columns, 1 / rows))
        axes.imshow(picture)
        axes.set_axis_off()
    return figure


def _battery(config: RunConfig) -> CognitiveBattery:
    task = config.task().with_split("test")
    assert isinstance(task, CognitiveBattery)
    return task


def _trials(battery: CognitiveBattery, seed: int) -> Episodes:
    """The trials that are drawn: the first of each task among the same many for all agents."""
    every = battery.sample(named_generator(seed, "trials"), 40 * len(battery.settings.names))
    if not battery.components:
        return every.select(np.arange(_OF_ONE_TASK))
    component = every.facts["component"]
    return every.select([int(row) for row in np.unique(component, return_index=True)[1]])
