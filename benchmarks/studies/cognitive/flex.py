"""Speed of learning: a multi-plasticity network, a leaky recurrent one, and one with both kinds of memory.

Validation accuracy against update, over seeds. Smaller than published (100 units for 200 to 300, batches of
32 for 128, learning rate 3e-3 for 1e-4); the same settings for all networks. With recurrence the compiled
kernel does not serve, and an update takes some twenty times as long: those runs end after 300 updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.learning_curves import chance_of, draw_curve, over_seeds, reach_row
from benchmarks.studies.rows import rows_of
from benchmarks.studies.study import Drawn, Groups, Planned, Row, Settings, Study, merged
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results

_START = 300  # updates of the second view (published)
_THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
_MEASURES = {"accuracy_trial": "R rule per trial", "accuracy_angle": "compact measure"}
_TASKS = {"context": ["contextdelaydm1"], "pair": ["delaydm1", "delaydm2"]}
_TITLES = {"context": "contextdelaydm1", "pair": "delaydm1 and delaydm2"}
_COMMON: Settings = {
    "env": "Cognitive-everything-vector-v0",
    "env_kwargs": {"fixate_off": True, "modality_diff": True, "label_strength": True},
    "device": "cpu",
    "eval_episodes": 1000,
    "learner": {
        "batch_size": 32,
        "learning_rate": 3e-3,
        "schedule": "plateau",
        "plateau_factor": 0.9,
        "plateau_patience": 30,
        "weight_penalty": 1e-4,
        "loss_mean": "entries",
        "max_grad_norm": 10.0,
        "evaluate_every": 20,
        "validation_episodes": 200,
    },
}
_AGENTS: dict[str, Settings] = {
    "mpn": {"agent": "mpn", "agent_kwargs": {"hidden_size": 100}, "updates": 2000},
    "leaky-rnn": {"agent": "leaky-rnn", "agent_kwargs": {"hidden_size": 100}, "updates": 2000},
    "mpn-recurrent": {
        "agent": "mpn",
        "agent_kwargs": {"hidden_size": 100, "recurrent": True},
        "updates": _START,
    },
}
# The runs with recurrence are for the curve's start on one task.
_SEEDS: Mapping[tuple[str, str], Sequence[int]] = {
    (task, agent): range(5) for task in _TASKS for agent in ("mpn", "leaky-rnn")
} | {("context", "mpn-recurrent"): range(3)}


def _plan() -> list[Planned]:
    """Groups `<tasks>-<agent>`."""
    return [
        Planned(
            f"{task}-{agent}", merged(_COMMON, _AGENTS[agent], {"env_kwargs": {"tasks": _TASKS[task]}}), seeds
        )
        for (task, agent), seeds in _SEEDS.items()
    ]


def _table(results: Groups) -> list[Row]:
    """Speed and accuracy; the published work gives curves, no figures."""
    rows: list[Row] = []
    for group, runs in results.items():
        task, _, agent = group.partition("-")
        title = f"{_TITLES[task]}, {agent}: "
        for measure, words in _MEASURES.items():
            start = [_mean_until(run, f"eval/{measure}", _START) for run in runs]
            quantity = f"{title}mean validation accuracy in the first {_START} updates, {words}"
            rows += rows_of(runs, title, [(f"test accuracy, {words}", "", measure)])
            rows.append(Row.of(quantity, "", start))
            for share in _THRESHOLDS:
                quantity = f"{title}updates to {100 * share:g} %, {words}"
                rows.append(reach_row(quantity, "", runs, share, f"eval/{measure}"))
        costs = [("updates", "", "updates"), ("CPU seconds of training", "", "train_seconds")]
        rows += rows_of(runs, title, costs)
    return rows


def _mean_until(run: Results, tag: str, until: int) -> float:
    """Mean of a figure over the validations up to an update; NaN without any."""
    updates, values = over_seeds([run], tag)
    return float(np.mean(values[:, updates <= until])) if len(updates) else float("nan")


def _figures(results: Groups) -> list[Drawn]:
    """For each choice of tasks, the whole curves and their start, by both measures."""
    figures = []
    for task, tasks in _TITLES.items():
        groups = {g.partition("-")[2]: runs for g, runs in results.items() if g.startswith(task) and runs}
        caption = (
            f"Validation accuracy on {tasks} against update, all updates and the first {_START}; "
            "mean and standard error over seeds. Above: R rule per trial. Below: compact measure."
        )
        if groups:
            figures.append((f"flex_{task}", caption, _curves(groups, tasks)))
    return figures


@styled
def _curves(groups: Groups, tasks: str) -> Figure:
    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    for (measure, words), row in zip(_MEASURES.items(), figure.subplots(2, 2), strict=True):
        for axes, until, title in ((row[0], None, tasks), (row[1], _START, f"first {_START} updates")):
            for agent, runs in groups.items():
                color = COLOURS[list(_AGENTS).index(agent)]
                draw_curve(axes, runs, color, agent, f"eval/{measure}", until)
            axes.axhline(chance_of(groups, measure), color=GREY, linestyle=":", linewidth=1, label="chance")
            axes.set(title=f"{title}: {words}", ylabel="validation accuracy", ylim=(0, 1.02))
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


STUDY = Study(
    "flex",
    "learning curves of mpn, leaky-rnn and mpn with recurrence on delayed decisions",
    _plan,
    _table,
    _figures,
)
