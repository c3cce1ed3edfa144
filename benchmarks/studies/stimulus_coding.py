"""Efficient codes by three-factor plasticity: the rule, its controls, and its upper bounds.

Published figures (estimation, one network): error over held angles 0.123, at the most frequent 0.084,
opposite 0.21; training reward at the end -0.098; mean cosine of preferred angles 0.08 before and 0.20 after
learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.rows import rows_of
from benchmarks.studies.study import Drawn, Groups, Planned, Row, Study
from plastic_agents.analysis.plots import coding as coding_plots
from plastic_agents.networks.three_factor.constants import RULES
from plastic_agents.runner.figures import COLOURS, styled
from plastic_agents.runner.results import Results
from plastic_envs.stimulus_coding.task import TILES

_SEEDS = (0, 1, 2, 3, 4)
_TASKS = ("estimation", "classification")
_LAST_UPDATES = 60  # whose mean reward is "late"

# Metric of a run, how the table names it, and the published figure by task for the rule itself.
_ROWS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("after/error", "error over held angles", {"estimation": "0.123", "classification": "0.36"}),
    ("after/error_mode", "error at the most frequent angle", {"estimation": "0.084"}),
    ("after/error_opposite", "error opposite", {"estimation": "0.21"}),
    ("after/error_prior", "error, weighted with the prior met", {}),
    ("after/squared_bias", "squared bias", {}),
    ("after/variance", "variance", {"estimation": "0.068-0.082"}),
    ("before/accuracy", "accuracy before learning", {}),
    ("after/accuracy", "accuracy at held angles", {}),
    ("before/d_prime", "d' before learning", {}),
    ("after/d_prime", "d' at held angles", {}),
    ("before/preferred_cosine", "mean cosine of preferred angles, before", {"estimation": "0.08"}),
    ("after/preferred_cosine", "mean cosine of preferred angles, after", {"estimation": "0.20"}),
    ("before/fisher_ratio", "Fisher information near over far, before", {"estimation": "1.4"}),
    ("after/fisher_ratio", "Fisher information near over far, after", {"estimation": "1.5"}),
    ("before/noise_in_decoder_space", "noise in the decoder's space, before", {"estimation": "0.21"}),
    ("after/noise_in_decoder_space", "noise in the decoder's space, after", {"estimation": "0.37"}),
    ("train_seconds", "CPU seconds of training", {"estimation": "19 000"}),
)


def _settings(task: str, **learner: Any) -> dict[str, Any]:
    return {
        "agent": "three-factor",
        "env": f"StimulusCoding-{task}-v0",
        "env_kwargs": {"num_steps": 100_000},
        "eval_episodes": 12,
        "updates": 260,
        "learner": {"batch_size": 1, "evaluate_every": 52, "validation_episodes": 4, **learner},
    }


def _plan() -> list[Planned]:
    """Every rule on both tasks, as published, and settings with which no code declines."""
    return [
        *(Planned(f"{task}-{rule}", _settings(task, rule=rule), _SEEDS) for task in _TASKS for rule in RULES),
        *(Planned(f"{task}-less-decay", _settings(task, decay=0.1), _SEEDS) for task in _TASKS),
    ]


def _table(results: Groups) -> list[Row]:
    rows: list[Row] = []
    for group, runs in results.items():
        task, _, variant = group.partition("-")
        as_published = task if variant == "three-factor" else ""
        entries = [
            (quantity, published.get(as_published, ""), metric) for metric, quantity, published in _ROWS
        ]
        rows += rows_of(runs, f"{task}, {variant}: ", entries)
        late = f"{task}, {variant}: training reward, last {_LAST_UPDATES} trials"
        published = "-0.098" if group == "estimation-three-factor" else ""
        rows.append(Row.of(late, published, [_late_reward(run) for run in runs]))
    return rows


def _late_reward(run: Results) -> float:
    curve = run.curves.get("train/score")
    return float("nan") if curve is None else float(np.mean(curve.values[-_LAST_UPDATES:]))


def _figures(results: Groups) -> list[Drawn]:
    figures = []
    for task in _TASKS:
        groups = {name: runs for name, runs in results.items() if name.startswith(task) and runs}
        caption = (
            f"{task.capitalize()}: reward while the angle drifts (blocks of 20 trials), error at held angles "
            "after learning; means over seeds."
        )
        if groups:
            figures.append((f"rules_{task}", caption, _rules(groups)))
    return figures


@styled
def _rules(groups: Groups) -> Figure:
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (name, runs) in enumerate(groups.items()):
        label, colour = name.partition("-")[2], COLOURS[place % len(COLOURS)]
        curves = [np.asarray(run.curves["train/score"].values) for run in runs if "train/score" in run.curves]
        if curves:
            blocks = min(len(curve) for curve in curves) // 20
            means = np.stack([curve[: 20 * blocks].reshape(blocks, 20).mean(1) for curve in curves])
            left.plot(20 * np.arange(1, blocks + 1), means.mean(0), color=colour, label=label)
        errors = [run.arrays["after/error"] for run in runs if "after/error" in run.arrays]
        if errors:
            right.plot(TILES, np.mean(errors, axis=0), "o-", markersize=3, color=colour, label=label)
    left.set(title="Reward while learning", xlabel="trial", ylabel="mean reward")
    right.set(title="Error at held angles", ylabel="error")
    right.set_ylim(bottom=0)
    coding_plots.round_the_circle(right)
    right.legend()
    return figure


STUDY = Study(
    "stimulus-coding",
    "efficient population codes by reward-modulated Hebbian plasticity, without back-propagation",
    _plan,
    _table,
    _figures,
)
