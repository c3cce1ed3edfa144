"""Sensorimotor associations: a thousand problems by gradient, moved readouts, and learning in context.

Groups: `full-20ms` and `full-1ms` (1001 problems), `control-20ms`, `ss-20ms`, `ds-20ms` (50 problems, then 50
with a frozen readout, its stimulus or its decision components moved), `block-<agent>` (meta-trained to learn
a problem in context). `--only` picks some of them. Published figures: ten networks, steps of 1 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.experiments.sensorimotor import counts_of
from benchmarks.results import Results
from benchmarks.studies import Planned, Row
from benchmarks.studies.sensorimotor import figures as draw
from benchmarks.studies.sensorimotor.measures import measure_perturbation, measure_sequence
from plastic_agents.base import Agent

__all__ = ["DESCRIPTION", "IN_CONTEXT_TASK", "RUN_TYPES", "figures", "measure", "plan", "table"]

DESCRIPTION = "learning to learn sensorimotor associations: a thousand problems by gradient, or in context"
RUN_TYPES = {
    "Full": "full-*",
    "ControlManifPert": "control-*",
    "SSManifPert": "ss-*",
    "DSManifPert": "ds-*",
    "InContext": "block-*",
}
"""Published names of the runs (the last is ours) and the groups that they stand for."""

_TRIALS, _BLOCK = "SensorimotorAssociation-v0", "SensorimotorAssociation-block-v0"
_SEQUENCE: dict[str, Any] = {
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
IN_CONTEXT_TASK = {
    "epochs": [100, 100, 0, 100],
    "feedback_ms": 100,
    "image_norm": 6,
    "fixation_weight": 0,
}
_RECURRENT: dict[str, Any] = {"agent_kwargs": {"hidden_size": 48}, "learner.batch_size": 64}
# Agent -> what differs from its defaults. An entry is a group, a line of the figure and rows of the table.
_IN_CONTEXT: dict[str, dict[str, Any]] = {
    "gru": {**_RECURRENT, "updates": 3000, "learner.learning_rate": 3e-3},
    "lstm": {**_RECURRENT, "updates": 3000, "learner.learning_rate": 1e-2},
    # A window of one trial: what it sees at the response reaches back to the image.
    "plastic": {
        "agent_kwargs": {"window": 4},
        "learner.batch_size": 64,
        "updates": 400,
        "learner.learning_rate": 3e-3,
    },
    "neuromodulated": {
        "agent_kwargs": {"hidden_size": 32},
        "method": "supervised",
        "learner.batch_size": 64,
        "updates": 3000,
        "learner.learning_rate": 2e-3,
    },
    "mpn": {"learner.batch_size": 64, "updates": 1800, "learner.learning_rate": 3e-3},
}

_IN_CONTEXT_SEEDS = {"gru": (0,), "neuromodulated": (0,), "mpn": (0,)}
"""Of slow ones; three of the others."""


def plan() -> list[Planned]:
    """The runs."""
    return [
        Planned("full-20ms", {**_SEQUENCE, "updates": 1001}, seeds=range(5)),
        Planned("full-1ms", {**_SEQUENCE, "updates": 1001, "env_kwargs": {"dt_ms": 1}}),
        *(
            Planned(group, {**_SEQUENCE, "updates": 100, "learner.perturbation": kind}, seeds=range(3))
            for group, kind in _PERTURBATIONS.items()
        ),
        *(
            Planned(
                f"block-{agent}",
                {"agent": agent, "env": _BLOCK, "env_kwargs": IN_CONTEXT_TASK, "device": "cpu", **settings},
                seeds=_IN_CONTEXT_SEEDS.get(agent, range(3)),
            )
            for agent, settings in _IN_CONTEXT.items()
        ),
    ]


def measure(group: str, agent: Agent, run: Results) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Analyses of the stored weights; see `measures`."""
    if group.startswith("full-"):
        return measure_sequence(run)
    return measure_perturbation(run) if group in _PERTURBATIONS else ({}, {})


# What was published: quantity, figure as printed, and the metric that it is compared with.
_FULL: tuple[tuple[str, str, str], ...] = (
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


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found, beside what was published."""
    rows: list[Row] = []

    def add(group: str, quantity: str, published: str, name: str) -> None:
        """A row of a metric, if there are such runs."""
        found = [run.metrics.get(name) for run in results.get(group, ())]
        if found:
            numbers = [float("nan") if value is None else float(value) for value in found]
            rows.append(Row.of(quantity, published, numbers))

    for group, step in (("full-20ms", "20 ms"), ("full-1ms", "1 ms")):
        for quantity, published, name in _FULL:
            add(group, f"{step}: {quantity}", published, name)
    for group, published in (
        ("control-20ms", "box plot"),
        ("ss-20ms", "box plot, about as the control"),
        ("ds-20ms", "box plot, about as problem 1"),
    ):
        kind = f"{_PERTURBATIONS[group]} perturbation"
        add(group, f"{kind}: trials, mean", published, "perturbed")
        add(group, f"{kind}: trials, median", "", "perturbed_median")
        add(group, f"{kind}: trials, problem 1", "", "problem_1")
        add(group, f"{kind}: failed problems", "", "failed")
    controls = {run.config.seed: run.metrics["perturbed"] for run in results.get("control-20ms", ())}
    for group in ("ss-20ms", "ds-20ms"):
        both = [run for run in results.get(group, ()) if run.config.seed in controls]
        ratios = [run.metrics["perturbed"] / controls[run.config.seed] for run in both]
        if ratios:
            rows.append(Row.of(f"{_PERTURBATIONS[group]} perturbation: trials / control's", "", ratios))
    for agent in _IN_CONTEXT:
        runs = results.get(f"block-{agent}", ())
        for trial in (1, 2, 3, 6, 12):
            each = [run.metrics["accuracy_by_trial"][trial - 1] for run in runs]
            if each:
                rows.append(Row.of(f"in context, {agent}: share right, trial {trial}", "", each))
        for name in ("score", "normalized_score", "trials_to_criterion", "problems_learned", "train_seconds"):
            add(f"block-{agent}", f"in context, {agent}: {name.replace('_', ' ')}", "", name)
    return rows


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """The paper's figures, and the comparison of learning by gradient and in context."""
    drawn: list[tuple[str, str, Figure]] = []
    for group in ("full-20ms", "full-1ms"):
        runs = results.get(group, ())
        if not runs:
            continue
        drawn += [
            (f"{group}-learning", draw.LEARNING, draw.learning(runs)),
            (f"{group}-currents", draw.CURRENTS, draw.currents(runs[0])),
            (f"{group}-fields", draw.FIELDS, draw.fields(runs)),
            (f"{group}-cumulative", draw.CUMULATIVE, draw.cumulative(runs)),
        ]
    groups = {name: results[name] for name in _PERTURBATIONS if name in results}
    if groups:
        drawn.append(("perturbation", draw.PERTURBATION, draw.perturbation(groups)))
    blocks = {agent: results[f"block-{agent}"] for agent in _IN_CONTEXT if f"block-{agent}" in results}
    if blocks:
        gradient = [counts_of(run)[1:] for run in results.get("full-20ms", ())]
        drawn.append(("in_context", draw.IN_CONTEXT, draw.in_context(blocks, gradient)))
    return drawn
