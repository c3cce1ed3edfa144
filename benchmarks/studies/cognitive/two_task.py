"""Two opposite tasks in one multi-plasticity network: which units each uses, and how rules move fixed points.

`delaygo` and `delayanti`: the same trial, answered towards the stimulus or away from it. The published
settings are in `benchmarks/configs/cognitive-two-task-mpn-published.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.results import Results
from benchmarks.studies import Planned, Row
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
from plastic_agents.analysis.task_variance import fractional_variance
from plastic_agents.base import Agent
from plastic_agents.networks.mpn import MPN

__all__ = ["DESCRIPTION", "EFFORT", "TwoTaskEffort", "figures", "measure", "plan", "table"]

DESCRIPTION = "two opposite tasks: variance of units in both, and fixed points while the rule changes"


@dataclass(frozen=True)
class TwoTaskEffort:
    """How much is done with each network.

    Attributes:
        states: Trials and repeats.
        points: Fixed points.
    """

    states: Effort = field(default_factory=lambda: Effort(groups=100))
    points: PointsEffort = field(default_factory=PointsEffort)


EFFORT = TwoTaskEffort()
_TASKS = ("delaygo", "delayanti")
_ONE_SIDED = 0.8  # |fractional variance| of a unit that is a task's own


def plan() -> list[Planned]:
    """The runs; eta and lambda are fixed, as published, at 1 and 0.99."""
    settings: dict[str, Any] = {
        "agent": "mpn",
        "agent_kwargs": {"eta_trained": False, "m_time_scale_ms": 4000},
        "env": "Cognitive-everything-vector-v0",
        "env_kwargs": {"tasks": list(_TASKS)},
        "device": "cpu",
        "eval_episodes": 1000,
        "updates": 800,
        "learner.batch_size": 32,
        "learner.learning_rate": 5e-3,
        "learner.evaluate_every": 20,
        "learner.validation_episodes": 200,
    }
    return [Planned("mpn", settings, range(3))]


def measure(group: str, agent: Agent, run: Results) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Variances and their clusters; fixed points under a changing rule."""
    network, battery, seed = network_of(agent), battery_of(agent), run.config.seed
    metrics, arrays = accuracies(agent, seed, EFFORT.states)
    for more, found in (
        state_variance(agent, seed, EFFORT.states),
        followed(network, battery, _TASKS, seed, EFFORT.points) if isinstance(network, MPN) else ({}, {}),
    ):
        metrics, arrays = metrics | more, arrays | found
    more, found = clusters(arrays, representations_of(network), seed, EFFORT.states)
    rows = periods_of(battery)
    for kind in representations_of(network):
        values = np.asarray(arrays[f"variance/{kind}"], dtype=np.float64)
        each = [values[[row.task == name for row in rows]].sum(0) for name in _TASKS]
        fraction = fractional_variance(*each)
        metrics[f"fraction/{kind}/first"] = float(np.nanmean(fraction > _ONE_SIDED))
        metrics[f"fraction/{kind}/second"] = float(np.nanmean(fraction < -_ONE_SIDED))
    return metrics | more, arrays | found


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        quantities = {"accuracy/mean": "accuracy by trial", "accuracy/angle_mean": "accuracy by angle"}
        quantities["train_seconds"] = "CPU seconds"
        for kind in REPRESENTATIONS:
            quantities |= {
                f"fraction/{kind}/first": f"{kind}: share that is {_TASKS[0]}'s own",
                f"fraction/{kind}/second": f"{kind}: share that is {_TASKS[1]}'s own",
                f"clusters/{kind}/rows": f"{kind}: clusters of task-periods",
                f"clusters/{kind}/columns": f"{kind}: clusters of units",
                f"dimension/{kind}": f"{kind}: participation ratio of both tasks",
            }
        for way in ("settled", "nearest"):
            quantities |= {
                f"followed/{way}/turned_first": f"fixed point, {way}: answer under {_TASKS[0]} (degrees off)",
                f"followed/{way}/turned_last": f"fixed point, {way}: answer under {_TASKS[1]} (degrees off)",
                f"followed/{way}/share_at_90": f"fixed point, {way}: share of {_TASKS[0]} where it turns",
                f"followed/{way}/largest_jump": f"fixed point, {way}: largest jump / size of M",
                f"followed/{way}/residual": f"fixed point, {way}: residual, median",
            }
        for name, text in quantities.items():
            values = [run.metrics.get(name) for run in runs]
            known = [float("nan") if value is None else float(value) for value in values]
            rows.append(Row.of(f"{group}: {text}", "", known))
    return rows


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """Learning curves, variances, and the fixed points' answers."""
    drawn = [
        (
            "learning",
            "Accuracy on the validation split by both published measures.",
            draw.learning(results, {"accuracy_angle": 0.95, "accuracy_trial": 0.9}),
        )
    ]
    for group, runs in results.items():
        measured = [run for run in runs if "variance/hidden" in run.arrays]
        if not measured:
            continue
        drawn += [
            (
                f"{group}-variance",
                f"Normalised task-period variance, sorted by clusters ({measured[0].label}).",
                draw.variance_maps(measured[0]),
            ),
            (
                f"{group}-fractions",
                "Fractional variance (V1 - V2) / (V1 + V2) of each unit in the two tasks.",
                draw.fractions(measured),
            ),
        ]
        points = [run for run in measured if "followed/shares" in run.arrays]
        if points:
            drawn.append(
                (
                    f"{group}-followed",
                    f"What the network would answer from the fixed point of M under a stimulus, while the "
                    f"rule input goes from {_TASKS[0]} (1) to {_TASKS[1]} (0). Thin: directions.",
                    draw.followed(points),
                )
            )
    return drawn
