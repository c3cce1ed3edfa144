"""One task of the cognitive battery: speed of learning, and the fixed points that hold the memory.

`delaygo`: a direction is presented, taken away, and asked for after a delay of 0.2 to 1.6 s. Nothing was
published on the speed of learning; the published settings are in
`benchmarks/configs/cognitive-delaygo-mpn-published.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.studies.cognitive import figures as draw
from benchmarks.studies.cognitive.fixed_points import PointsEffort, fixed_points
from benchmarks.studies.cognitive.measures import battery_of, network_of
from benchmarks.studies.learning_curves import reach_row
from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import Drawn, Groups, Measured, Planned, Row, Settings, Study, merged
from plastic_agents.agent import Agent
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.runner.results import Results

_COMMON: Settings = {
    "env": "Cognitive-delaygo-vector-v0",
    "device": "cpu",
    "eval_episodes": 1000,
    "updates": 400,
    "learner": {"batch_size": 32, "evaluate_every": 10, "validation_episodes": 200},
}
# Group -> its own settings, and the seeds.
_GROUPS: dict[str, tuple[Settings, Sequence[int]]] = {
    "mpn": ({"agent": "mpn", "learner": {"learning_rate": 5e-3}}, range(5)),
    "leaky-rnn": ({"agent": "leaky-rnn", "learner": {"learning_rate": 5e-3}}, range(3)),
    "gru": (
        {"agent": "gru", "agent_kwargs": {"hidden_size": 52}, "learner": {"learning_rate": 1e-2}},
        range(3),
    ),
}
_GOALS = {"accuracy_angle": 0.95, "accuracy_trial": 0.9}
_IN_TIME = 200  # updates
_ANALYSED = 0  # seed of the network whose fixed points are searched for
_QUANTITIES: Sequence[Entry] = (
    ("accuracy by trial", "", "accuracy_trial"),
    ("accuracy by angle", "", "accuracy_angle"),
    ("accuracy by response", "", "accuracy_response"),
    ("CPU seconds", "", "train_seconds"),
    ("parameters", "", "params_slow"),
)
_POINTS = {
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


def _plan() -> list[Planned]:
    return [Planned(group, merged(_COMMON, own), seeds) for group, (own, seeds) in _GROUPS.items()]


def _measure(group: str, agent: Agent, run: Results, effort: PointsEffort) -> Measured:
    """Fixed points of M, of one network; see `fixed_points.fixed_points`."""
    network, battery = network_of(agent), battery_of(agent)
    if run.config.seed != _ANALYSED or not isinstance(network, MPN):
        return {}, {}
    return fixed_points(network, battery, battery.settings.names[0], run.config.seed, effort)


def _analysed(runs: Iterable[Results]) -> list[Results]:
    return [run for run in runs if "points/tolerance" in run.metrics]


def _table(results: Groups) -> list[Row]:
    """Speed, accuracy and fixed points; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        for measure, goal in _GOALS.items():
            target = f"{measure.replace('_', ' by ')} {goal}"
            updates = reach_row(f"{group}: updates to {target}", "", runs, goal, f"eval/{measure}")
            in_time = [float(update <= _IN_TIME) for update in updates.each]  # NaN is not
            quantity = f"{group}: share of seeds with {target} within {_IN_TIME} updates"
            rows += [updates, Row.of(quantity, "", in_time)]
        rows += rows_of(runs, f"{group}: ", _QUANTITIES)
        analysed = _analysed(runs)
        names = [name.split("/") for name in (analysed[0].metrics if analysed else ())]
        for kind in dict.fromkeys(name[1] for name in names if name[0] == "points" and len(name) == 3):
            entries = [(text, "", f"points/{kind}/{name}") for name, text in _POINTS.items()]
            rows += rows_of(analysed, f"{group}: fixed points, {kind}: ", entries)
    return rows


def _figures(results: Groups) -> list[Drawn]:
    caption = (
        "Accuracy on the validation split by both published measures (thin: networks; bands: standard error; "
        "dotted: the goal)."
    )
    figures = [("learning", caption, draw.learning(results, _GOALS))]
    for run in _analysed(run for runs in results.values() for run in runs):
        tolerance = run.metrics["points/tolerance"]
        eigenvalues = (
            f"Leading eigenvalues of dF/dM at fixed points of M, {run.label}. Stable, marginal or unstable: "
            f"within {tolerance:.3g} of 1, or not (grey ring)."
        )
        answers = f"What {run.label}, would answer from the fixed points if it were asked."
        figures += [
            ("eigenvalues", eigenvalues, draw.eigenvalues(run, tolerance)),
            ("answers", answers, draw.responses(run)),
        ]
    return figures


STUDY = Study(
    "one-task",
    "one delayed-response task: how soon it is learned, and the fixed points of the synapses' state",
    _plan,
    _table,
    _figures,
    _measure,
    effort=PointsEffort(),
)
