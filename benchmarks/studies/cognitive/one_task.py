"""One task of the cognitive battery: how soon networks learn it, and what holds the memory.

`delaygo`: a direction is shown, taken away, and asked for after a delay of 0.2 to 1.6 s. Nothing was
published on how soon the networks learn; the published settings are in
`benchmarks/configs/cognitive-delaygo-mpn-published.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.results import Results
from benchmarks.studies import Planned, Row
from benchmarks.studies.cognitive import figures as draw
from benchmarks.studies.cognitive.fixed_points import PointsEffort, fixed_points
from benchmarks.studies.cognitive.measures import battery_of, network_of
from benchmarks.studies.learning_curves import reach_row
from plastic_agents.base import Agent
from plastic_agents.networks.mpn import MPN

__all__ = ["DESCRIPTION", "EFFORT", "figures", "measure", "plan", "table"]

DESCRIPTION = "one delayed-response task: how soon it is learned, and the fixed points of the synapses' state"
EFFORT = PointsEffort()
"""How much is sought of the first network."""

_UPDATES = 400
_COMMON: dict[str, Any] = {
    "env": "Cognitive-delaygo-vector-v0",
    "device": "cpu",
    "eval_episodes": 1000,
    "updates": _UPDATES,
    "learner.batch_size": 32,
    "learner.evaluate_every": 10,
    "learner.validation_episodes": 200,
}
# Group -> what differs from the agent's defaults, and the seeds.
_GROUPS: dict[str, tuple[dict[str, Any], Sequence[int]]] = {
    "mpn": ({"agent": "mpn", "learner.learning_rate": 5e-3}, range(5)),
    "leaky-rnn": ({"agent": "leaky-rnn", "learner.learning_rate": 5e-3}, range(3)),
    "gru": ({"agent": "gru", "agent_kwargs": {"hidden_size": 52}, "learner.learning_rate": 1e-2}, range(3)),
}
_GOALS = {"accuracy_angle": 0.95, "accuracy_trial": 0.9}
_IN_TIME = 200  # updates
_ANALYSED = 0  # seed of the network whose fixed points are sought


def plan() -> list[Planned]:
    """The runs."""
    return [Planned(group, {**_COMMON, **own}, seeds) for group, (own, seeds) in _GROUPS.items()]


def measure(group: str, agent: Agent, run: Results) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Fixed points of M, of one network; see `fixed_points.fixed_points`."""
    network = network_of(agent)
    if run.config.seed != _ANALYSED or not isinstance(network, MPN):
        return {}, {}
    battery = battery_of(agent)
    return fixed_points(network, battery, battery.settings.names[0], run.config.seed, EFFORT)


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        for measure, goal in _GOALS.items():
            spoken = measure.replace("_", " by ")
            reached = reach_row(f"{group}: updates to {spoken} {goal}", "", runs, goal, f"eval/{measure}")
            within = [float(update <= _IN_TIME) for update in reached.each]  # NaN is not
            rows += [
                reached,
                Row.of(f"{group}: share of seeds with {spoken} {goal} within {_IN_TIME} updates", "", within),
            ]
        for name in ("accuracy_trial", "accuracy_angle", "accuracy_response", "train_seconds", "params_slow"):
            spoken = {"train_seconds": "CPU seconds", "params_slow": "parameters"}.get(
                name, name.replace("_", " by ")
            )
            rows.append(Row.of(f"{group}: {spoken}", "", [float(run.metrics[name]) for run in runs]))
        rows += _points_rows(group, [run for run in runs if "points/tolerance" in run.metrics])
    return rows


def _points_rows(group: str, runs: Sequence[Results]) -> list[Row]:
    spoken = {
        "accepted": "residual at most 0.05, share",
        "residual": "residual, median",
        "stable": "stable, share",
        "marginal": "marginal, share",
        "unstable": "unstable, share",
        "ring": "of a line or ring, share",
        "radius": "largest |eigenvalue|, median",
        "moved": "distance from the start / size of M, median",
        "error": "error of its answer (degrees), median",
    }
    if not runs:
        return []
    sets = dict.fromkeys(
        n.split("/")[1] for n in runs[0].metrics if n.startswith("points/") and n.count("/") == 2
    )
    return [
        Row.of(
            f"{group}: fixed points, {kind}: {text}",
            "",
            [run.metrics[f"points/{kind}/{name}"] for run in runs],
        )
        for kind in sets
        for name, text in spoken.items()
    ]


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """Learning curves; eigenvalues and answers of fixed points."""
    drawn = [
        (
            "learning",
            "Accuracy on the validation split by both published measures (thin: networks; bands: standard "
            "error; dotted: the goal).",
            draw.learning(results, _GOALS),
        )
    ]
    for runs in results.values():
        for run in runs:
            if "points/tolerance" in run.metrics:
                tolerance = run.metrics["points/tolerance"]
                drawn += [
                    (
                        "eigenvalues",
                        f"Leading eigenvalues of dF/dM at fixed points of M, {run.label}. Stable, marginal "
                        f"or unstable: within {tolerance:.3g} of 1, or not (grey ring).",
                        draw.eigenvalues(run, tolerance),
                    ),
                    (
                        "answers",
                        f"What {run.label}, would answer from the fixed points if it were asked.",
                        draw.responses(run),
                    ),
                ]
    return drawn
