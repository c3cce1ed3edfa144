"""The graph walk: fast weights beside their ceiling, the published network, recurrence and attention.

Published figures: one run each, 8 nodes and 10 labels, four GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import Drawn, Groups, Planned, Row, Study
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results

_DISJOINT, _STANDARD = "PlasticGraph-disjoint-v0", "PlasticGraph-standard-v0"
_SEEDS = (0, 1, 2)

# Updates that fit some 70 CPU seconds each, so that the twelve baselines together take less than 15 minutes.
_BASELINES = {"rnn": (2400, 1e-3), "gru": (1100, 2e-3), "transformer": (700, 2e-3)}
# Whether the previous move is an input, and whether labels are permuted in training.
_VARIANTS = tuple((history, permuted) for history in (0, 1) for permuted in (False, True))


def _baseline(agent: str, history: int, permuted: bool) -> str:
    """Name of the group."""
    return f"baseline-{agent}-{'previous' if history else 'alone'}-{'permuted' if permuted else 'plain'}"


def _description(history: int, permuted: bool) -> str:
    move, labels = "with" if history else "without", "permuted" if permuted else "as drawn"
    return f"{move} the previous move, labels {labels} in training"


def _plan() -> list[Planned]:
    return [
        Planned("disjoint-plastic", {"agent": "plastic", "env": _DISJOINT}, _SEEDS),
        Planned("disjoint-published", {"agent": "plastic-published", "env": _DISJOINT}, _SEEDS),
        Planned("disjoint-rnn", {"agent": "rnn", "env": _DISJOINT, "learner": {"watch_test": True}}),
        Planned("standard-plastic", {"agent": "plastic", "env": _STANDARD}, _SEEDS),
        Planned("standard-published", {"agent": "plastic-published", "env": _STANDARD}),
        Planned(
            "standard-rnn",
            {"agent": "rnn", "env": _STANDARD, "env_kwargs": {"mode": "predict"}, "updates": 2400},
        ),
        *(
            Planned(
                _baseline(agent, history, permuted),
                {
                    "agent": agent,
                    "env": _DISJOINT,
                    "env_kwargs": {"mode": "predict", "permute_labels": permuted},
                    "agent_kwargs": {"history": history},
                    "updates": updates,
                    "learner": {"learning_rate": rate, "watch_test": True},
                },
            )
            for agent, (updates, rate) in _BASELINES.items()
            for history, permuted in _VARIANTS
        ),
        Planned(
            "large-plastic",
            {
                "agent": "plastic",
                "env": _DISJOINT,
                "env_kwargs": {"num_nodes": 50, "num_actions": 15, "num_steps": 500},
                "agent_kwargs": {"key_size": 256},
                "updates": 120,
                "learner": {"batch_size": 6, "validation_episodes": 12, "evaluate_every": 40},
                "eval_episodes": 60,
            },
            _SEEDS,
        ),
    ]


def _share_of_table(run: Results) -> float:
    score, table = run.metrics.get("score"), run.metrics.get("reference/undirected_no_credit")
    return float("nan") if score is None or table is None else float(score) / float(table)


def _entries() -> Iterator[tuple[str, str, list[Entry]]]:
    """Group, start of the name, and quantities."""
    seconds = ("CPU seconds of training", "12.4 min on 4 GPUs", "train_seconds")
    yield "disjoint-plastic", "disjoint, plastic: ", [("test accuracy", "0.860", "score"), seconds]
    yield (
        "disjoint-plastic",
        "disjoint: ",
        [
            ("ideal observer on the same walks", "", "reference/ideal_observer"),
            ("undirected table with a guess (oracle)", "", "oracle"),
        ],
    )
    yield (
        "disjoint-plastic",
        "disjoint, plastic: ",
        [
            ("train split", "0.877", "train_split/score"),
            ("test, labels permuted", "", "labels_permuted/score"),
            *((f"{kind} keys", "", f"accuracy_{kind}") for kind in ("seen", "reverse", "new")),
        ],
    )
    yield (
        "disjoint-published",
        "disjoint, plastic-published: ",
        [("test accuracy", "0.860", "score"), seconds],
    )
    yield (
        "disjoint-rnn",
        "disjoint, rnn shown completed moves: ",
        [("test accuracy", "", "score"), ("train split", "", "train_split/score")],
    )
    for agent in _BASELINES:
        for history, permuted in _VARIANTS:
            prefix = "labels_as_drawn/" if permuted else ""
            test = "labels_as_drawn/score" if permuted else "score"
            is_published = (agent, history, permuted) == ("rnn", 0, False)
            title = f"disjoint, {agent}, {_description(history, permuted)}: "
            yield (
                _baseline(agent, history, permuted),
                title,
                [
                    ("test accuracy", "0.270" if is_published else "", test),
                    ("train split", "0.947" if is_published else "", "train_split/score"),
                    ("new keys, test", "", f"{prefix}accuracy_new"),
                ],
            )
    for group, agent, published in (
        ("standard-plastic", "plastic", "0.870"),
        ("standard-published", "plastic-published", "0.870"),
        ("standard-rnn", "rnn", "0.865"),
    ):
        yield group, f"standard, {agent}: ", [("test accuracy", published, "score")]
    for agent in ("plastic", "published"):
        regain = "boundaries/predictions_to_regain"
        yield (
            f"disjoint-{agent}",
            f"disjoint, {agent}",
            [
                (", 2000-step walk: mean rolling accuracy", "0.984", "long_walk/mean_rolling"),
                (": predictions to regain 0.95 after a switch", "100-250 (state reset)", regain),
            ],
        )
    share = "share of each graph's own table over four switches, worst"
    yield (
        "large-plastic",
        "50 nodes, 15 labels, T = 500: ",
        [
            ("accuracy / undirected table", '"near 100 %"', _share_of_table),
            ("CPU seconds of training", "", "train_seconds"),
            ("seen keys in moves 1500-2000", "", "long_walk/seen_late"),
            (share, "", "boundaries/share_of_table"),
        ],
    )


def _table(results: Groups) -> list[Row]:
    rows: list[Row] = []
    for group, title, entries in _entries():
        rows += rows_of(results.get(group, ()), title, entries, absent=float("nan"))
    return rows


def _figures(results: Groups) -> list[Drawn]:
    if not any(group.startswith("baseline-") for group in results):
        return []
    caption = (
        "Recurrent and attention baselines on walks shown node by node, trained on fresh graphs of the train "
        "split. Dotted: a table that starts empty and looks up moves in the direction they were made."
    )
    return [("baselines", caption, _baseline_curves(results))]


@styled
def _baseline_curves(results: Groups) -> Figure:
    """A panel per variant: accuracy on graphs of the train split (dashed) and of the test split (solid)."""
    figure = Figure(figsize=(9.0, 5.8), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (history, permuted) in zip(panels.flat, _VARIANTS, strict=True):
        for colour, agent in zip(COLOURS, _BASELINES, strict=False):
            for run in results.get(_baseline(agent, history, permuted), ()):
                for tag, style, split in (("test/score", "-", "test"), ("eval/score", "--", "train")):
                    curve = run.curves[tag]
                    share = curve.updates / max(1, curve.updates[-1])
                    axes.plot(share, curve.values, style, color=colour, label=f"{agent}, {split} split")
                ceiling = run.metrics["reference/directed_no_credit"]
                axes.axhline(ceiling, color=GREY, linestyle=":", linewidth=0.9)
        axes.set_title(_description(history, permuted).replace(", ", ",\n"))
        axes.set(ylim=(0.0, 1.0), xlim=(0.0, 1.0), yticks=np.linspace(0, 1, 6))
    for axes in panels[-1]:
        axes.set_xlabel("share of training")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


STUDY = Study(
    "graph-walk",
    "learning graphs while walking on them: plastic networks, recurrent networks, transformers",
    _plan,
    _table,
    _figures,
)
