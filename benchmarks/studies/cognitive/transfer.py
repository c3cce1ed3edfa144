"""Transfer by one rule input: two tasks are learned, then a third, with all other weights frozen.

A network learns {fdgo, delaygo} or {fdanti, delaygo}, with a spare rule input that is always zero. Then it
learns delayanti with nothing but the weights of that input, one per unit; the modulations go on changing
within trials. Pretraining with fdanti contains the computation that is asked for, with fdgo it does not.

Smaller than published (100 units for 100 to 300, batches of 32 for 128, thousands of updates for tens of
thousands). The published criterion to stop stage 1 (means of the last 600 validations, one per update, above
0.97, not before update 1000) is taken as: six validations on end, one every 100 updates, of at least 0.97.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.cognitive.measures import battery_of, network_of
from benchmarks.studies.learning_curves import chance_of, draw_curve, reach_row
from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import Arrays, Drawn, Groups, Measured, Planned, Row, Settings, Study, merged
from plastic_agents.agent import Agent
from plastic_agents.analysis.rule_vectors import decompose_rule, rule_cosines
from plastic_agents.runner.evaluation import evaluate
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results

_THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)

_NEW, _SHARED = "delayanti", "delaygo"
_FIRST = ("fdgo", "fdanti")
_MEASURES = {"accuracy_trial": "R rule per trial", "accuracy_angle": "compact measure"}
_SEEDS = (0, 1, 2, 3, 4)

_COMMON: Settings = {
    "env": "Cognitive-everything-vector-v0",
    "device": "cpu",
    "eval_episodes": 1000,
    "updates": 3000,
    "learner": {"batch_size": 32, "loss_mean": "entries", "max_grad_norm": 10.0, "validation_episodes": 200},
}
_PRETRAINING: Settings = {
    "learner": {
        "learning_rate": 2e-3,
        "schedule": "constant",
        "weight_penalty": 1e-4,
        "evaluate_every": 100,
        "stop_score": 0.97,
        "stop_evaluations": 6,
        "stop_after": 1000,
    }
}
_TRANSFER: Settings = {
    "learner": {
        "learning_rate": 3e-3,
        "schedule": "plateau",
        "plateau_factor": 0.9,
        "plateau_patience": 20,
        "evaluate_every": 20,
    }
}
# Agent -> its settings, and the parameter whose columns are the entries of the observation. The rules are the
# last of these, and the new one's is the last of the rules.
_AGENTS: dict[str, tuple[Settings, str]] = {
    "mpn": ({"agent": "mpn", "agent_kwargs": {"hidden_size": 100}}, "embedding.weight"),
    "leaky-rnn": (
        {
            "agent": "leaky-rnn",
            "agent_kwargs": {
                "hidden_size": 100,
                "recurrent_initialisation": "identity",
                "recurrent_scale": 0.8,
            },
        },
        "encode.weight",
    ),
}


def _task(tasks: Sequence[str], first: str) -> dict[str, Any]:
    """Arguments of the battery: some tasks, with the rule inputs of all stages."""
    return {
        "tasks": list(tasks),
        "rule_columns": [first, _SHARED, _NEW],
        "fixate_off": True,
        "modality_diff": True,
        "label_strength": True,
    }


def _plan() -> list[Planned]:
    """Pretraining `pretrain-<task>-<agent>` and transfer `<task>-<agent>`."""
    groups = []
    for agent, (settings, inputs) in _AGENTS.items():
        for first in _FIRST:
            pretraining = {"env_kwargs": _task((first, _SHARED), first)}
            transfer = {"env_kwargs": _task((_NEW,), first), "learner": {"trained": [f"{inputs}[:, -1]"]}}
            before = Planned(
                f"pretrain-{first}-{agent}", merged(_COMMON, settings, _PRETRAINING, pretraining), _SEEDS
            )
            after = Planned(
                f"{first}-{agent}", merged(_COMMON, settings, _TRANSFER, transfer), _SEEDS, start=before
            )
            groups += [before, after]
    return groups


def _parts(group: str) -> tuple[bool, str, str]:
    """Parts of a group's name: transfer (or pretraining), the first task and the agent."""
    name = group.removeprefix("pretrain-")
    first, _, agent = name.partition("-")
    return name == group, first, agent


# ---- measuring ---------------------------------------------------------------------------------------


def _measure(group: str, agent: Agent, run: Results, effort: int) -> Measured:
    """Geometry of the rule inputs, and accuracy by that part of the new one that lies in their plane."""
    network, battery = network_of(agent), battery_of(agent)
    is_transfer, first, name = _parts(group)
    weights = network.get_parameter(_AGENTS[name][1]).detach().cpu().numpy()
    rules = weights[:, battery.field("rule").slice].astype(np.float64)  # (E, R)
    arrays: Arrays = {"rule_vectors": rules, "rule_norms": np.linalg.norm(rules, axis=0)}
    if not is_transfer:
        return {}, arrays
    new, old = rules[:, -1], rules[:, :-1]
    parts = decompose_rule(new, old)
    metrics = {"rule/explained": parts.explained, "rule/known_cosine": float(rule_cosines(old)[0, 1])}
    strengths = {}
    for task, cosine, part in zip((first, _SHARED), parts.cosines, parts.coefficients, strict=True):
        metrics |= {f"rule/cosine_{task}": float(cosine), f"rule/part_{task}": float(part)}
        strengths[task] = float(part)
    # The new rule is replaced by its part in the plane of the known ones.
    probe = battery.with_settings(rules=strengths).with_split("test")
    scores, _ = evaluate(agent, probe, effort, run.config.seed)
    metrics |= {f"projected/{measure}": float(scores[measure]) for measure in _MEASURES}
    return metrics, arrays


# ---- the table ---------------------------------------------------------------------------------------


def _table(results: Groups) -> list[Row]:
    """Speed, accuracies and rule inputs; the published work gives curves, no figures."""
    rows: list[Row] = []
    for group, runs in results.items():
        is_transfer, first, agent = _parts(group)
        title = f"{agent}, {{{first}, {_SHARED}}}: "
        stage = f"on {_NEW}" if is_transfer else "in pretraining"
        for measure, words in _MEASURES.items():
            for share in _THRESHOLDS if is_transfer else ():
                quantity = f"{title}updates to {100 * share:g} % {stage}, {words}"
                rows.append(reach_row(quantity, "", runs, share, f"eval/{measure}"))
            rows += rows_of(runs, title, [(f"test accuracy {stage}, {words}", "", measure)])
        entries: list[Entry] = [
            (f"updates {stage}", "", "updates"),
            (f"CPU seconds {stage}", "", "train_seconds"),
        ]
        for task in (first, _SHARED):
            entries += [
                (f"cosine of the rule inputs of {_NEW} and {task}", "", f"rule/cosine_{task}"),
                (f"part of {task} in the rule input of {_NEW}", "", f"rule/part_{task}"),
            ]
        projected = f"accuracy on {_NEW} by that share alone, R rule per trial"
        entries += [
            (f"share of the rule input of {_NEW} in the plane of the others", "", "rule/explained"),
            (projected, "", "projected/accuracy_trial"),
        ]
        rows += rows_of(runs, title, entries)
    return rows


# ---- figures -----------------------------------------------------------------------------------------


def _figures(results: Groups) -> list[Drawn]:
    """Curves of transfer, updates to thresholds, and cosines of rule inputs."""
    groups = {group: runs for group, runs in results.items() if runs and _parts(group)[0]}
    if not groups:
        return []
    curves = (
        f"Validation accuracy on {_NEW} against update, while only its rule input is trained; mean and "
        "standard error over seeds. Dashed: the thresholds of the table."
    )
    cosines = (
        f"Left: cosines of the trained rule input of {_NEW} with those of pretraining (dots: seeds; "
        "grey: two standard deviations of a random direction). Right: accuracy with the trained rule "
        "input, and with only its part in the plane of the other two. R rule per trial; dotted: chance."
    )
    return [("transfer_curves", curves, _curves(groups)), ("rule_cosines", cosines, _geometry(groups))]


def _colour(first: str) -> str:
    return COLOURS[_FIRST.index(first)]


@styled
def _curves(groups: Groups) -> Figure:
    agents = [agent for agent in _AGENTS if any(_parts(group)[2] == agent for group in groups)]
    figure = Figure(figsize=(9.0, 0.7 + 3.0 * len(agents)), layout="constrained")
    for agent, row in zip(agents, figure.subplots(len(agents), 2, squeeze=False, sharex=True), strict=True):
        for axes, (measure, words) in zip(row, _MEASURES.items(), strict=True):
            for share in _THRESHOLDS:
                axes.axhline(share, color="#c3cad1", linestyle="--", linewidth=0.7, zorder=0)
            for group, runs in groups.items():
                _, first, name = _parts(group)
                if name == agent:
                    draw_curve(axes, runs, _colour(first), f"after {first}, {_SHARED}", f"eval/{measure}")
            axes.axhline(chance_of(groups, measure), color=GREY, linestyle=":", linewidth=1, label="chance")
            axes.set(title=f"{agent}: {words}", ylabel="accuracy", ylim=(0, 1.02))
            axes.grid(visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def _geometry(groups: Groups) -> Figure:
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    ticks: list[tuple[list[float], list[str]]] = [([], []), ([], [])]
    for place, (group, runs) in enumerate(groups.items()):
        _, first, agent = _parts(group)
        bars = (
            (left, [(f"rule/cosine_{task}", task) for task in (first, _SHARED)]),
            (right, [("accuracy_trial", "trained"), ("projected/accuracy_trial", "in plane")]),
        )
        for (axes, parts), (places, names) in zip(bars, ticks, strict=True):
            for offset, (metric, name) in enumerate(parts):
                each = [float(run.metrics[metric]) for run in runs if metric in run.metrics]
                if not each:
                    continue
                x = 2.8 * place + 1.2 * offset
                axes.bar(x, np.mean(each), width=0.8, color=_colour(first), alpha=1.0 - 0.45 * offset)
                axes.plot([x] * len(each), each, "o", color="black", markersize=3)
                places.append(x)
                names.append(f"{agent}\n{name}" if offset == 0 else f"\n{name}")
    units = max((run.arrays["rule_vectors"].shape[0] for runs in groups.values() for run in runs), default=1)
    left.axhspan(-2 / units**0.5, 2 / units**0.5, color="#eef1f4", zorder=0)
    left.axhline(0, color=GREY, linewidth=0.8)
    right.axhline(chance_of(groups, "accuracy_trial"), color=GREY, linestyle=":", linewidth=1)
    for axes, (places, names) in zip((left, right), ticks, strict=True):
        axes.set_xticks(places, names, fontsize=7)
        axes.grid(visible=False, axis="x")
    left.set(title=f"Rule input of {_NEW}: cosines", ylabel="cosine")
    right.set(title=f"Accuracy on {_NEW}", ylabel="accuracy", ylim=(0, 1.02))
    return figure


STUDY = Study(
    "transfer",
    "two tasks, then delayanti by its rule input alone, all other weights frozen",
    _plan,
    _table,
    _figures,
    _measure,
    effort=1000,
)
"""The effort is a number of test episodes."""
