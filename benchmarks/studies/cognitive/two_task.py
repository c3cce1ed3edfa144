"""Two opposite tasks in one multi-plasticity network: the units of each task, and fixed points between rules.

`delaygo` and `delayanti`: the same trial, answered towards the stimulus or away from it. The published
settings are in `benchmarks/configs/cognitive-two-task-mpn-published.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.studies.cognitive import figures as draw
from benchmarks.studies.cognitive.fixed_points import PointsEffort, followed
from benchmarks.studies.cognitive.measures import (
    REPRESENTATIONS,
    Effort,
    accuracies,
    battery_of,
    clusters,
    network_of,
    periods_of,
    representations_of,
    state_variance,
)
from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import Drawn, Groups, Measured, Planned, Row, Settings, Study, combined
from plastic_agents.agent import Agent
from plastic_agents.analysis.task_variance import fractional_variance
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.runner.results import Results


@dataclass(frozen=True)
class TwoTaskEffort:
    """Numbers of trials and repeats for each network.

    Attributes:
        states: Trials and repeats.
        points: Fixed points.
    """

    states: Effort = field(default_factory=lambda: Effort(groups=100))
    points: PointsEffort = field(default_factory=PointsEffort)


_TASKS = ("delaygo", "delayanti")
_ONE_SIDED = 0.8  # |fractional variance| of a unit that is a task's own
_SETTINGS: Settings = {
    "agent": "mpn",
    "agent_kwargs": {"eta_trained": False, "m_time_scale_ms": 4000},
    "env": "Cognitive-everything-vector-v0",
    "env_kwargs": {"tasks": list(_TASKS)},
    "device": "cpu",
    "eval_episodes": 1000,
    "updates": 800,
    "learner": {"batch_size": 32, "learning_rate": 5e-3, "evaluate_every": 20, "validation_episodes": 200},
}
"""As published, eta and lambda are fixed at 1 and 0.99."""
_QUANTITIES: Sequence[Entry] = (
    ("accuracy by trial", "", "accuracy/mean"),
    ("accuracy by angle", "", "accuracy/angle_mean"),
    ("CPU seconds", "", "train_seconds"),
    *(
        (f"{kind}: {text}", "", name.format(kind))
        for kind in REPRESENTATIONS
        for name, text in (
            ("fraction/{}/first", f"share that is {_TASKS[0]}'s own"),
            ("fraction/{}/second", f"share that is {_TASKS[1]}'s own"),
            ("clusters/{}/rows", "clusters of task-periods"),
            ("clusters/{}/columns", "clusters of units"),
            ("dimension/{}", "participation ratio of both tasks"),
        )
    ),
    *(
        (f"fixed point, {way}: {text}", "", f"followed/{way}/{name}")
        for way in ("settled", "nearest")
        for name, text in (
            ("turned_first", f"answer under {_TASKS[0]} (degrees off)"),
            ("turned_last", f"answer under {_TASKS[1]} (degrees off)"),
            ("share_at_90", f"share of {_TASKS[0]} where it turns"),
            ("largest_jump", "largest jump / size of M"),
            ("residual", "residual, median"),
        )
    ),
)


def _plan() -> list[Planned]:
    return [Planned("mpn", _SETTINGS, range(3))]


def _measure(group: str, agent: Agent, run: Results, effort: TwoTaskEffort) -> Measured:
    """Variances and their clusters; fixed points under a changing rule."""
    network, battery, seed = network_of(agent), battery_of(agent), run.config.seed
    variances = state_variance(agent, seed, effort.states)
    metrics, arrays = combined(
        accuracies(agent, seed, effort.states),
        variances,
        followed(network, battery, _TASKS, seed, effort.points) if isinstance(network, MPN) else ({}, {}),
        clusters(variances[1], representations_of(network), seed, effort.states),
    )
    rows = periods_of(battery)
    for kind in representations_of(network):
        values = np.asarray(arrays[f"variance/{kind}"], dtype=np.float64)
        fraction = fractional_variance(
            *(values[[row.task == name for row in rows]].sum(0) for name in _TASKS)
        )
        metrics[f"fraction/{kind}/first"] = float(np.nanmean(fraction > _ONE_SIDED))
        metrics[f"fraction/{kind}/second"] = float(np.nanmean(fraction < -_ONE_SIDED))
    return metrics, arrays


def _table(results: Groups) -> list[Row]:
    """Accuracies, variances and fixed points; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        rows += rows_of(runs, f"{group}: ", _QUANTITIES, absent=float("nan"))
    return rows


def _figures(results: Groups) -> list[Drawn]:
    caption = "Accuracy on the validation split by both published measures."
    figures = [("learning", caption, draw.learning(results, {"accuracy_angle": 0.95, "accuracy_trial": 0.9}))]
    for group, runs in results.items():
        networks = [run for run in runs if "variance/hidden" in run.arrays]
        if not networks:
            continue
        variance = f"Normalised task-period variance, sorted by clusters ({networks[0].label})."
        fractions = "Fractional variance (V1 - V2) / (V1 + V2) of each unit in the two tasks."
        figures += [
            (f"{group}-variance", variance, draw.variance_maps(networks[0])),
            (f"{group}-fractions", fractions, draw.fractions(networks)),
        ]
        if points := [run for run in networks if "followed/shares" in run.arrays]:
            caption = (
                "What the network would answer from the fixed point of M under a stimulus, while the rule "
                f"input goes from {_TASKS[0]} (1) to {_TASKS[1]} (0). Thin: directions."
            )
            figures.append((f"{group}-followed", caption, draw.followed(points)))
    return figures


STUDY = Study(
    "two-task",
    "two opposite tasks: variance of units in both, and fixed points while the rule changes",
    _plan,
    _table,
    _figures,
    _measure,
    effort=TwoTaskEffort(),
)
