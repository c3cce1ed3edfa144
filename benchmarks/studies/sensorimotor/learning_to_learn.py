"""Sensorimotor associations: a thousand problems by gradient, moved readouts, and learning in context.

Groups: `full-20ms` and `full-1ms` (1001 problems), `control-20ms`, `ss-20ms`, `ds-20ms` (50 problems, then 50
with a frozen readout, its stimulus or its decision components moved), `block-<agent>` (meta-trained to learn
a problem in context). `--only` picks some of them. Published figures: ten networks, steps of 1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.studies.rows import Entry, Value, rows_of
from benchmarks.studies.sensorimotor import figures as draw
from benchmarks.studies.sensorimotor.measures import Effort, measure_perturbation, measure_sequence
from benchmarks.studies.study import Drawn, Groups, Measured, Planned, Row, Settings, Study, merged
from plastic_agents.agent import Agent
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports.sensorimotor import counts_of

_TRIALS, _BLOCK = "SensorimotorAssociation-v0", "SensorimotorAssociation-block-v0"
_SEQUENCE: Settings = {
    "agent": "leaky-softplus",
    "env": _TRIALS,
    "method": "problem-sequence",
    "eval_episodes": 40,
    "device": "cpu",
    "checkpoint_every": 20,
}
_PERTURBATIONS = {"control-20ms": "control", "ss-20ms": "stimulus", "ds-20ms": "decision"}
# The block's trials are short (4 steps: sample, delay, response, feedback), since trials are what is counted;
# the image comes back with the outcome, and what is learned by back-propagation is the response only.
IN_CONTEXT_TASK = {"epochs": [100, 100, 0, 100], "feedback_ms": 100, "image_norm": 6, "fixation_weight": 0}
_RECURRENT: Settings = {"agent_kwargs": {"hidden_size": 48}, "updates": 3000}
# Agent -> what differs from its defaults. An entry is a group, a line of the figure and rows of the table.
_IN_CONTEXT: dict[str, Settings] = {
    "gru": {**_RECURRENT, "learner": {"learning_rate": 3e-3}},
    "lstm": {**_RECURRENT, "learner": {"learning_rate": 1e-2}},
    # A window of one trial: what it sees at the response reaches back to the image.
    "plastic": {"agent_kwargs": {"window": 4}, "updates": 400, "learner": {"learning_rate": 3e-3}},
    "neuromodulated": {
        "agent_kwargs": {"hidden_size": 32},
        "method": "supervised",
        "updates": 3000,
        "learner": {"learning_rate": 2e-3},
    },
    "mpn": {"updates": 1800, "learner": {"learning_rate": 3e-3}},
}
_SLOW = ("gru", "neuromodulated", "mpn")  # one seed; three of the others


def _plan() -> list[Planned]:
    perturbed = {
        group: merged(_SEQUENCE, {"updates": 100, "learner": {"perturbation": kind}})
        for group, kind in _PERTURBATIONS.items()
    }
    block = {"env": _BLOCK, "env_kwargs": IN_CONTEXT_TASK, "device": "cpu", "learner": {"batch_size": 64}}
    return [
        Planned("full-20ms", {**_SEQUENCE, "updates": 1001}, range(5)),
        Planned("full-1ms", {**_SEQUENCE, "updates": 1001, "env_kwargs": {"dt_ms": 1}}),
        *(Planned(group, settings, range(3)) for group, settings in perturbed.items()),
        *(
            Planned(
                f"block-{agent}",
                merged({"agent": agent}, block, settings),
                (0,) if agent in _SLOW else range(3),
            )
            for agent, settings in _IN_CONTEXT.items()
        ),
    ]


def _measure(group: str, agent: Agent, run: Results, effort: Effort) -> Measured:
    """Analyses of the stored weights; see `measures`."""
    if group.startswith("full-"):
        return measure_sequence(run, effort)
    return measure_perturbation(run) if group in _PERTURBATIONS else ({}, {})


_FULL: Sequence[Entry] = (
    ("fit: asymptote (trials)", "22.7 +- 2.8", "fit/asymptote"),
    ("fit: time constant (problems)", "37.9 +- 16.1", "fit/time_constant"),
    ("fit: scale (trials)", "141 +- 30", "fit/scale"),
    ("trials, problem 1", "", "problem_1"),
    ("trials, problems 2-11", "165", "problems_2_11"),
    ("trials, problems 2-51", "98.6", "block/1"),
    ("trials, problems 52-101", "43.8", "block/2"),
    ("trials, problems 102-151", "34.7", "block/3"),
    ("trials, problems 202-251", "30.8", "block/5"),
    ("trials, problems 302-351", "23.2", "block/7"),
    ("trials, problems 502-551", "19.9", "block/11"),
    ("trials, problems 752-801", "17.5", "block/16"),
    ("trials, problems 952-1001", "20.7", "block/20"),
    ("trials, last 500 problems", "20.9 (15.2-32.6)", "problems_last_500"),
    ("last block / first block", "0.21", "last_over_first"),
    ("failed problems", "0", "failed"),
    ("squared correlation of |dW_rec| and trials, problems 2-501", "0.70 (0.62-0.80)", "dw_rec/r_squared"),
    ("|dW_rec|, block 1", "0.128", "size/recurrent/1"),
    ("|dW_rec|, block 2", "0.094", "size/recurrent/2"),
    ("|dW_rec|, block 20", "0.064", "size/recurrent/20"),
    ("change of current, block 20 / block 1", "0.57", "relative/current/20"),
    ("|V_W|, block 20 / block 1", "0.59", "relative/weight_driven/20"),
    ("|dZ|, block 1 (per 1 ms)", "0.028", "size/total/1"),
    ("|V_W|, block 1 (per 1 ms)", "0.0138", "size/weight_driven/1"),
    ("|V_W parallel|, block 1 (per 1 ms)", "0.0046", "size/weight_parallel/1"),
    ("|V_W perpendicular|, block 1 (per 1 ms)", "0.0122", "size/weight_perpendicular/1"),
    ("|V_S|, block 1 (per 1 ms)", "0.030", "size/state_driven/1"),
    ("|V_S parallel|, block 1 (per 1 ms)", "0.0255", "size/state_parallel/1"),
    ("dimension of V_W parallel, block 1: single problems", "2.55", "dimension/weight_parallel/1"),
    ("dimension of V_W parallel, block 1: all 50", "4.8", "block_dimension/weight_parallel/1"),
    ("dimension of V_W perpendicular, block 1: single problems", "1.74", "dimension/weight_perpendicular/1"),
    ("dimension of V_W perpendicular, block 1: all 50", "10.7", "block_dimension/weight_perpendicular/1"),
    ("largest |V_W perp + V_S perp| (0 by construction)", "", "invariant"),
    ("suppression of changes since problem 1, perpendicular (per 1 ms)", "", "suppression/perpendicular"),
    ("CPU seconds", "", "train_seconds"),
)


_PERTURBED = {
    "control-20ms": "box plot",
    "ss-20ms": "box plot, about as the control",
    "ds-20ms": "box plot, about as problem 1",
}
_IN_CONTEXT_METRICS = (
    "score",
    "normalized_score",
    "trials_to_criterion",
    "problems_learned",
    "train_seconds",
)
_NAN = float("nan")


def _right_at(trial: int) -> Value:
    """Share of right answers in a trial, from 1."""

    def value(run: Results) -> float:
        return float(run.metrics["accuracy_by_trial"][trial - 1])

    return value


def _table(results: Groups) -> list[Row]:
    rows: list[Row] = []
    for group, step in (("full-20ms", "20 ms"), ("full-1ms", "1 ms")):
        rows += rows_of(results.get(group, ()), f"{step}: ", _FULL, _NAN)
    for group, published in _PERTURBED.items():
        entries: list[Entry] = [
            ("trials, mean", published, "perturbed"),
            ("trials, median", "", "perturbed_median"),
            ("trials, problem 1", "", "problem_1"),
            ("failed problems", "", "failed"),
        ]
        rows += rows_of(results.get(group, ()), f"{_PERTURBATIONS[group]} perturbation: ", entries, _NAN)
    controls = {run.config.seed: run.metrics["perturbed"] for run in results.get("control-20ms", ())}

    def ratio(run: Results) -> float | None:
        control = controls.get(run.config.seed)
        return None if control is None else float(run.metrics["perturbed"] / control)

    for group in ("ss-20ms", "ds-20ms"):
        title = f"{_PERTURBATIONS[group]} perturbation: "
        rows += rows_of(results.get(group, ()), title, [("trials / control's", "", ratio)])
    for agent in _IN_CONTEXT:
        runs, title = results.get(f"block-{agent}", ()), f"in context, {agent}: "
        trials = [(f"share right, trial {trial}", "", _right_at(trial)) for trial in (1, 2, 3, 6, 12)]
        metrics = [(name.replace("_", " "), "", name) for name in _IN_CONTEXT_METRICS]
        rows += rows_of(runs, title, [*trials, *metrics], _NAN)
    return rows


def _figures(results: Groups) -> list[Drawn]:
    """The paper's figures, and the comparison of learning by gradient and in context."""
    figures: list[Drawn] = []
    for group in ("full-20ms", "full-1ms"):
        if runs := results.get(group, ()):
            figures += [
                (f"{group}-learning", draw.LEARNING, draw.learning(runs)),
                (f"{group}-currents", draw.CURRENTS, draw.currents(runs[0])),
                (f"{group}-fields", draw.FIELDS, draw.fields(runs)),
                (f"{group}-cumulative", draw.CUMULATIVE, draw.cumulative(runs)),
            ]
    if groups := {name: results[name] for name in _PERTURBATIONS if name in results}:
        figures.append(("perturbation", draw.PERTURBATION, draw.perturbation(groups)))
    blocks = {agent: results[f"block-{agent}"] for agent in _IN_CONTEXT if f"block-{agent}" in results}
    if blocks:
        gradient = [counts_of(run)[1:] for run in results.get("full-20ms", ())]
        figures.append(("in_context", draw.IN_CONTEXT, draw.in_context(blocks, gradient)))
    return figures


STUDY = Study(
    "sensorimotor",
    "learning to learn sensorimotor associations: a thousand problems by gradient, or in context",
    _plan,
    _table,
    _figures,
    _measure,
    effort=Effort(),
    run_types={
        "Full": "full-*",
        "ControlManifPert": "control-*",
        "SSManifPert": "ss-*",
        "DSManifPert": "ds-*",
        "InContext": "block-*",
    },
)
"""The run types are the published names of the runs; the last is ours."""
