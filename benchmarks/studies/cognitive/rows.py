"""Rows that the studies of many cognitive tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.studies.cognitive.figures import battery
from benchmarks.studies.rows import Entry, array_mean, rows_of
from benchmarks.studies.study import Row
from plastic_agents.runner.results import Results

_ACCURACIES: Sequence[tuple[str, str]] = (
    ("accuracy by trial, mean of tasks", "accuracy/mean"),
    ("accuracy by trial, worst task", "accuracy/worst"),
    ("accuracy by angle, mean of tasks", "accuracy/angle_mean"),
    ("accuracy by angle, worst task", "accuracy/angle_worst"),
)
_COSTS: Sequence[Entry] = (
    ("CPU seconds of training", "", "train_seconds"),
    ("updates", "", "updates"),
    ("parameters", "", "params_slow"),
)


def accuracy_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    """Accuracy task by task, and the cost of training.

    Args:
        group: Name of the runs.
        runs: With the metrics and arrays of `measures.accuracies`.
    """
    rows: list[Row] = []
    for text, name in _ACCURACIES:
        rows += rows_of(runs, f"{group}: ", [(text, "", name)])
        if len(runs) > 1:
            median = float(np.median([run.metrics[name] for run in runs]))
            rows.append(Row(f"{group}: {text}, median of networks", "", median, None, len(runs)))
    tasks: list[Entry] = [
        (f"{task}, accuracy by trial", "", array_mean("accuracy/trial", number))
        for number, task in enumerate(battery(runs[0]).settings.names)
    ]
    return rows + rows_of(runs, f"{group}: ", [*_COSTS, *tasks])
