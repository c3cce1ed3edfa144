"""How fast: a multi-plasticity network, a leaky recurrent network, and one with both kinds of memory.

Validation accuracy against update, over seeds. Smaller than published (100 units for 200 to 300, batches of
32 for 128, learning rate 3e-3 for 1e-4); the same settings for all networks. With recurrence the compiled
kernel does not serve, and an update takes some twenty times as long: those runs end after 300 updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.figures import COLOURS, GREY, styled
from benchmarks.results import Results
from benchmarks.studies import Planned, Row
from benchmarks.studies.learning_curves import chance_of, draw_curve, over_seeds, reach_row

__all__ = ["DESCRIPTION", "figures", "plan", "table"]

DESCRIPTION = "learning curves of mpn, leaky-rnn and mpn with recurrence on delayed decisions"

START = 300
"""Updates of the second view (published)."""

_THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
_MEASURES = {"accuracy_trial": "R rule per trial", "accuracy_angle": "compact measure"}
_TASKS = {"context": ["contextdelaydm1"], "pair": ["delaydm1", "delaydm2"]}
_SPOKEN = {"context": "contextdelaydm1", "pair": "delaydm1 and delaydm2"}
_COMMON: dict[str, Any] = {
    "env": "Cognitive-everything-vector-v0",
    "device": "cpu",
    "eval_episodes": 1000,
    "learner.batch_size": 32,
    "learner.learning_rate": 3e-3,
    "learner.schedule": "plateau",
    "learner.plateau_factor": 0.9,
    "learner.plateau_patience": 30,
    "learner.weight_penalty": 1e-4,
    "learner.loss_mean": "entries",
    "learner.max_grad_norm": 10.0,
    "learner.evaluate_every": 20,
    "learner.validation_episodes": 200,
}
_AGENTS: dict[str, dict[str, Any]] = {
    "mpn": {"agent": "mpn", "agent_kwargs": {"hidden_size": 100}, "updates": 2000},
    "leaky-rnn": {"agent": "leaky-rnn", "agent_kwargs": {"hidden_size": 100}, "updates": 2000},
    "mpn-recurrent": {
        "agent": "mpn",
        "agent_kwargs": {"hidden_size": 100, "recurrent": True},
        "updates": START,
    },
}
# The runs with recurrence are for the curve's start on one task.
_SEEDS: Mapping[tuple[str, str], Sequence[int]] = {
    (task, agent): range(5) for task in _TASKS for agent in ("mpn", "leaky-rnn")
} | {("context", "mpn-recurrent"): range(3)}


def plan() -> list[Planned]:
    """Groups `<tasks>-<agent>`."""
    return [
        Planned(
            f"{task}-{agent}",
            {
                **_COMMON,
                **_AGENTS[agent],
                "env_kwargs": {
                    "tasks": _TASKS[task],
                    "fixate_off": True,
                    "modality_diff": True,
                    "label_strength": True,
                },
            },
            seeds,
        )
        for (task, agent), seeds in _SEEDS.items()
    ]


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found; the published work gives curves, no figures."""
    rows = []
    for group, runs in results.items():
        task, _, agent = group.partition("-")
        title = f"{_SPOKEN[task]}, {agent}"
        for measure, words in _MEASURES.items():
            start = [_mean_until(run, f"eval/{measure}", START) for run in runs]
            rows += [
                Row.of(f"{title}: test accuracy, {words}", "", [float(run.metrics[measure]) for run in runs]),
                Row.of(f"{title}: mean validation accuracy in the first {START} updates, {words}", "", start),
            ]
            rows += [
                reach_row(
                    f"{title}: updates to {100 * share:g} %, {words}", "", runs, share, f"eval/{measure}"
                )
                for share in _THRESHOLDS
            ]
        rows.append(Row.of(f"{title}: updates", "", [float(run.metrics["updates"]) for run in runs]))
        seconds = [float(run.metrics["train_seconds"]) for run in runs]
        rows.append(Row.of(f"{title}: CPU seconds of training", "", seconds))
    return rows


def _mean_until(run: Results, tag: str, until: int) -> float:
    """Mean of a figure over the validations up to an update; NaN without any."""
    updates, values = over_seeds([run], tag)
    return float(np.mean(values[:, updates <= until])) if len(updates) else float("nan")


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """For each choice of tasks, the whole curves and their start, by both measures."""
    drawn = []
    for task, spoken in _SPOKEN.items():
        groups = {g.partition("-")[2]: runs for g, runs in results.items() if g.startswith(task) and runs}
        if groups:
            drawn.append(
                (
                    f"flex_{task}",
                    f"Validation accuracy on {spoken} against update, all updates and the first {START}; "
                    "mean and standard error over seeds. Above: R rule per trial. Below: compact measure.",
                    _curves(groups, spoken),
                )
            )
    return drawn


@styled
def _curves(groups: Mapping[str, Sequence[Results]], spoken: str) -> Figure:
    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    for (measure, words), row in zip(_MEASURES.items(), figure.subplots(2, 2), strict=True):
        for axes, until, title in ((row[0], None, spoken), (row[1], START, f"first {START} updates")):
            for agent, runs in groups.items():
                color = COLOURS[list(_AGENTS).index(agent)]
                draw_curve(axes, runs, color, agent, f"eval/{measure}", until)
            axes.axhline(chance_of(groups, measure), color=GREY, linestyle=":", linewidth=1, label="chance")
            axes.set(title=f"{title}: {words}", ylabel="validation accuracy", ylim=(0, 1.02))
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
