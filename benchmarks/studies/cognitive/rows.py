"""Rows that the studies of many cognitive tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.results import Results
from benchmarks.studies import Row, metric_row
from benchmarks.studies.cognitive.figures import battery

__all__ = ["accuracy_rows"]


def accuracy_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    """What networks got right, task by task, and what training them took.

    Args:
        group: Name of the runs.
        runs: With what `measures.accuracies` finds.
    """
    rows: list[Row] = []
    for name, text in (
        ("accuracy/mean", "accuracy by trial, mean of tasks"),
        ("accuracy/worst", "accuracy by trial, worst task"),
        ("accuracy/angle_mean", "accuracy by angle, mean of tasks"),
        ("accuracy/angle_worst", "accuracy by angle, worst task"),
    ):
        rows += metric_row(runs, f"{group}: {text}", name)
        if len(runs) > 1:
            median = float(np.median([run.metrics[name] for run in runs]))
            rows.append(Row(f"{group}: {text}, median of networks", "", median, None, len(runs)))
    for name, text in (
        ("train_seconds", "CPU seconds of training"),
        ("updates", "updates"),
        ("params_slow", "parameters"),
    ):
        rows += metric_row(runs, f"{group}: {text}", name)
    for number, task in enumerate(battery(runs[0]).settings.names):
        each = [float(run.arrays["accuracy/trial"][number]) for run in runs]
        rows.append(Row.of(f"{group}: {task}, accuracy by trial", "", each))
    return rows
