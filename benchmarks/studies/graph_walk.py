"""The graph walk: fast weights beside their ceiling, the published network, recurrence and attention.

Published figures: one run each, 8 nodes and 10 labels, four GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.figures import COLOURS, styled
from benchmarks.results import Results
from benchmarks.studies import Planned, Row

__all__ = ["DESCRIPTION", "figures", "plan", "table"]

DESCRIPTION = "learning graphs while walking on them: plastic networks, recurrent networks, transformers"

_DISJOINT, _STANDARD = "PlasticGraph-disjoint-v0", "PlasticGraph-standard-v0"
_LARGE = {"num_nodes": 50, "num_actions": 15, "num_steps": 500}

# Updates that fit some 70 CPU seconds each, so that the twelve baselines together take less than 15 minutes.
_BASELINES = {"rnn": (2400, 1e-3), "gru": (1100, 2e-3), "transformer": (700, 2e-3)}


def _baseline(agent: str, history: int, permuted: bool) -> Planned:
    updates, rate = _BASELINES[agent]
    settings: dict[str, Any] = {
        "agent": agent,
        "env": _DISJOINT,
        "env_kwargs": {"mode": "predict", "permute_labels": permuted},
        "agent_kwargs": {"history": history},
        "updates": updates,
        "learner.learning_rate": rate,
        "learner.watch_test": True,
    }
    return Planned(f"baseline-{agent}-{_variant(history, permuted)}", settings)


def _variant(history: int, permuted: bool) -> str:
    return f"{'previous' if history else 'alone'}-{'permuted' if permuted else 'plain'}"


def plan() -> list[Planned]:
    """The runs."""
    return [
        Planned("disjoint-plastic", {"agent": "plastic", "env": _DISJOINT}, seeds=(0, 1, 2)),
        Planned("disjoint-published", {"agent": "plastic-published", "env": _DISJOINT}, seeds=(0, 1, 2)),
        Planned("disjoint-rnn", {"agent": "rnn", "env": _DISJOINT, "learner.watch_test": True}),
        Planned("standard-plastic", {"agent": "plastic", "env": _STANDARD}, seeds=(0, 1, 2)),
        Planned("standard-published", {"agent": "plastic-published", "env": _STANDARD}),
        Planned(
            "standard-rnn",
            {"agent": "rnn", "env": _STANDARD, "env_kwargs": {"mode": "predict"}, "updates": 2400},
        ),
        *(_baseline(a, h, p) for a in _BASELINES for h in (0, 1) for p in (False, True)),
        Planned(
            "large-plastic",
            {
                "agent": "plastic",
                "env": _DISJOINT,
                "env_kwargs": _LARGE,
                "agent_kwargs": {"key_size": 256},
                "updates": 120,
                "learner.batch_size": 6,
                "learner.validation_episodes": 12,
                "learner.evaluate_every": 40,
                "eval_episodes": 60,
            },
            seeds=(0, 1, 2),
        ),
    ]


def table(results: Mapping[str, Sequence[Results]]) -> list[Row]:
    """What was found, beside what was published."""
    rows: list[Row] = []

    def add(group: str, quantity: str, published: str, *names: str) -> None:
        """A row of a metric, or of the first of two divided by the second."""
        if group not in results:
            return
        values = []
        for run in results[group]:
            found = [run.metrics.get(name) for name in names]
            numbers = [float("nan") if value is None else float(value) for value in found]
            values.append(numbers[0] if len(numbers) == 1 else numbers[0] / numbers[1])
        rows.append(Row.of(quantity, published, values))

    add("disjoint-plastic", "disjoint, plastic: test accuracy", "0.860", "score")
    add(
        "disjoint-plastic",
        "disjoint, plastic: CPU seconds of training",
        "12.4 min on 4 GPUs",
        "train_seconds",
    )
    add("disjoint-plastic", "disjoint: ideal observer on the same walks", "", "reference/ideal_observer")
    add("disjoint-plastic", "disjoint: undirected table with a guess (oracle)", "", "oracle")
    add("disjoint-plastic", "disjoint, plastic: train split", "0.877", "train_split/score")
    add("disjoint-plastic", "disjoint, plastic: test, labels permuted", "", "labels_permuted/score")
    for kind in ("seen", "reverse", "new"):
        add("disjoint-plastic", f"disjoint, plastic: {kind} keys", "", f"accuracy_{kind}")
    add("disjoint-published", "disjoint, plastic-published: test accuracy", "0.860", "score")
    add(
        "disjoint-published",
        "disjoint, plastic-published: CPU seconds of training",
        "12.4 min on 4 GPUs",
        "train_seconds",
    )
    add("disjoint-rnn", "disjoint, rnn shown completed moves: test accuracy", "", "score")
    add("disjoint-rnn", "disjoint, rnn shown completed moves: train split", "", "train_split/score")
    for agent in _BASELINES:
        for history in (0, 1):
            for permuted in (False, True):
                group = f"baseline-{agent}-{_variant(history, permuted)}"
                named = f"disjoint, {agent}, {_spoken(history, permuted)}"
                published = "0.270" if (agent, history, permuted) == ("rnn", 0, False) else ""
                add(
                    group,
                    f"{named}: test accuracy",
                    published,
                    "labels_as_drawn/score" if permuted else "score",
                )
                add(group, f"{named}: train split", "0.947" if published else "", "train_split/score")
                add(
                    group,
                    f"{named}: new keys, test",
                    "",
                    "labels_as_drawn/accuracy_new" if permuted else "accuracy_new",
                )
    add("standard-plastic", "standard, plastic: test accuracy", "0.870", "score")
    add("standard-published", "standard, plastic-published: test accuracy", "0.870", "score")
    add("standard-rnn", "standard, rnn: test accuracy", "0.865", "score")
    for agent, published in (("plastic", "0.984"), ("published", "0.984")):
        group = f"disjoint-{agent}"
        add(
            group,
            f"disjoint, {agent}, 2000-step walk: mean rolling accuracy",
            published,
            "long_walk/mean_rolling",
        )
        add(
            group,
            f"disjoint, {agent}: predictions to regain 0.95 after a switch",
            "100-250 (state reset)",
            "boundaries/predictions_to_regain",
        )
    large = "50 nodes, 15 labels, T = 500"
    add(
        "large-plastic",
        f"{large}: accuracy / undirected table",
        '"near 100 %"',
        "score",
        "reference/undirected_no_credit",
    )
    add("large-plastic", f"{large}: CPU seconds of training", "", "train_seconds")
    add("large-plastic", f"{large}: seen keys in moves 1500-2000", "", "long_walk/seen_late")
    add(
        "large-plastic",
        f"{large}: share of each graph's own table over four switches, worst",
        "",
        "boundaries/share_of_table",
    )
    return rows


def _spoken(history: int, permuted: bool) -> str:
    shown, labels = "with" if history else "without", "permuted" if permuted else "as drawn"
    return f"{shown} the previous move, labels {labels} in training"


def figures(results: Mapping[str, Sequence[Results]]) -> list[tuple[str, str, Figure]]:
    """Learning curves of the baselines on both splits."""
    if not any(group.startswith("baseline-") for group in results):
        return []
    caption = (
        "Recurrent and attention baselines on walks shown node by node, trained on fresh graphs of the train "
        "split. Dotted: a table that starts empty and looks up moves in the direction they were made."
    )
    return [("baselines", caption, _baseline_curves(results))]


@styled
def _baseline_curves(results: Mapping[str, Sequence[Results]]) -> Figure:
    """A panel per setting: accuracy on graphs of the train split (dashed) and of the test split (solid)."""
    figure = Figure(figsize=(9.0, 5.8), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for history in (0, 1):
        for permuted in (False, True):
            axes = panels[history, int(permuted)]
            for colour, agent in zip(COLOURS, _BASELINES, strict=False):
                for run in results.get(f"baseline-{agent}-{_variant(history, permuted)}", ()):
                    for tag, style, split in (("test/score", "-", "test"), ("eval/score", "--", "train")):
                        curve = run.curves[tag]
                        share = curve.updates / max(1, curve.updates[-1])
                        axes.plot(share, curve.values, style, color=colour, label=f"{agent}, {split} split")
                    axes.axhline(
                        run.metrics["reference/directed_no_credit"],
                        color="#6b6b6b",
                        linestyle=":",
                        linewidth=0.9,
                    )
            axes.set_title(_spoken(history, permuted).replace(", ", ",\n"))
            axes.set(
                ylim=(0.0, 1.0),
                xlim=(0.0, 1.0),
                yticks=np.linspace(0, 1, 6),
            )
    for axes in panels[-1]:
        axes.set_xlabel("share of training")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
