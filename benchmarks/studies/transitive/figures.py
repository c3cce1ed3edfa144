"""Figures of the transitive-inference study, from its runs' stored results.

Where there are several networks of a kind, lines are means over networks and bands or dots their spread,
unless the caption names one.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies.study import Drawn, Groups
from benchmarks.studies.transitive.conditions import CONDITIONS, NUM_ITEMS, NUM_TRAIN
from benchmarks.studies.transitive.measures import DECODED
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports.transitive import draw_distances, draw_pairs, draw_serial_positions

_LETTERS = list(string.ascii_uppercase[:NUM_ITEMS])

_SERIES = (("AD", "BD", "CD"), ("AE", "BE", "CE"), ("DF", "DG", "DH"), ("EF", "EG", "EH"))

# Treichler & Van Tilburg 1996: errors of monkeys on pairs of two lists a-e and f-j, as printed.
_MONKEYS = {
    ("ae", "be", "ce", "de"): (0.0, 0.11, 0.17, 0.28),
    ("af", "bf", "cf", "df"): (0.03, 0.08, 0.22, 0.25),
    ("eg", "eh", "ei", "ej"): (0.58, 0.44, 0.31, 0.17),
    ("fg", "fh", "fi", "fj"): (0.58, 0.36, 0.17, 0.06),
}


def comparisons(results: Groups, names: Mapping[str, str]) -> list[Drawn]:
    """All kinds of networks side by side."""
    return [
        (
            "comparison",
            "Accuracy by symbolic distance in the standard test and after list linking; bands: quartiles "
            "over splits of the episodes of all networks of a kind.",
            _comparison(results, names),
        )
    ]


def of_plastic(runs: Sequence[Results]) -> list[Drawn]:
    """The plastic network's behaviour and representations."""
    return [
        (
            "standard_test",
            "The standard test: serial position by distance, and accuracy by trial.",
            _standard(runs),
        ),
        (
            "linking_pairs",
            "Accuracy on each pair, in percent, after the two lists were linked by D, E, and in the two "
            "controls.",
            _linking_pairs(runs),
        ),
        (
            "linking_distance",
            "Accuracy by symbolic distance after linking and in the controls. Dashed: published for linking.",
            _linking_distance(runs),
        ),
        (
            "linking_monkeys",
            "Pairs of one item next to the link. Left: monkeys (Treichler & Van Tilburg 1996), whose a-side "
            "was learned last; right: the network, A-D learned last.",
            _monkeys(runs),
        ),
        ("ablations", "Accuracy in the test under each condition; dots are networks.", _ablations(runs)),
        (
            "modulator",
            "The modulator in the fifth trial of 2000 episodes, by outcome, for each network; sign chosen "
            "so that it is negative at the delay step after errors. At the two earlier steps it has no "
            "effect and is drawn as 0.",
            _modulator(runs),
        ),
        (
            "components",
            "Activity at the response step of trial 19 along its first two principal components (first "
            "network): by answer, and by identity of the first item.",
            _components(runs[0]),
        ),
        (
            "rank_code",
            "Correlation of each item's representation with the decision axis after 20 train trials: mean "
            "and standard deviation over episodes; one line per network.",
            _rank_code(runs),
        ),
        (
            "step_by_step",
            "Change of each item's alignment in the four steps of trial 18, which shows a pair for the "
            "first time.",
            _step_by_step(runs),
        ),
        (
            "reinstatement",
            "What is active in the trial that first shows D, E: cosines with the recoded items, with the "
            "written pattern, and with the plain items; and the recoded items at the response step by pair "
            "shown (the network with the best score).",
            _reinstatement(max(runs, key=lambda run: float(run.metrics["accuracy"]))),
        ),
        (
            "decoding",
            "Linear decoding from activity at each step: correlation of prediction and truth in held-out "
            "episodes, mean over networks.",
            _decoding(runs),
        ),
    ]


def toy_model(variants: Mapping[str, npt.NDArray[np.float64]]) -> Drawn:
    """The toy model's correlations of value and rank."""
    caption = (
        "Toy model: correlation of value and rank over 1000 episodes. Moving the neighbours of the two "
        "items that are shown makes it stronger."
    )
    return "toy_model", caption, _toy_model(variants)


@styled
def _comparison(results: Groups, names: Mapping[str, str]) -> Figure:
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for colour, (group, runs) in zip(COLOURS, results.items(), strict=False):
        for axes, name in ((left, "splits/distance"), (right, "linking/distance")):
            draw_distances(axes, np.concatenate([run.arrays[name] for run in runs]), names[group], colour)
    left.set_title("Standard test")
    right.set_title("After linking two lists")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def _standard(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_serial_positions(left, np.concatenate([run.arrays["splits/pairs"] for run in runs]))
    left.set_title("Serial position")
    left.legend(title="distance", ncols=2, loc="lower right")
    for run in runs:
        trials = run.arrays["splits/trials"].mean(0)
        right.plot(np.arange(1, len(trials) + 1), trials, label=f"seed {run.config.seed}")
    right.axvline(NUM_TRAIN + 0.5, color=GREY, linewidth=0.9)
    right.set(title="Learning within an episode", xlabel="trial", ylabel="accuracy")
    right.legend()
    return figure


@styled
def _linking_pairs(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), ("linking", "sham", "matched-sham"), strict=True):
        draw_pairs(axes, _mean_of(runs, f"{name}/pairs"))
        axes.set_title(CONDITIONS[name].label.split(" (")[0].capitalize())
    return figure


@styled
def _linking_distance(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    names = ("linking", "linking-second-first", "sham", "sham-EF", "matched-sham")
    for colour, name in zip(COLOURS, names, strict=False):
        splits = np.concatenate([run.arrays[f"{name}/distance"] for run in runs])
        draw_distances(axes, splits, CONDITIONS[name].label, colour)
    published = (0.81, 0.81, 0.85, 0.91, 0.97, 1.0, 1.0)
    axes.plot(range(1, 8), published, "--", color=GREY, linewidth=1.0, label="published, linking")
    axes.set_title("Two lists")
    axes.set_ylim(-0.02, 1.02)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def _monkeys(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    table = _mean_of(runs, "linking-second-first/pairs")
    model = {
        pairs: tuple(1.0 - table[_LETTERS.index(p[0]), _LETTERS.index(p[1])] for p in pairs)
        for pairs in _SERIES
    }
    for axes, series, title in ((left, _MONKEYS, "Monkeys"), (right, model, "Network")):
        place, names = 0, list[str]()
        for colour, (pairs, errors) in zip(COLOURS, series.items(), strict=False):
            axes.plot(np.arange(len(pairs)) + place, [1.0 - e for e in errors], "o-", color=colour)
            place += len(pairs) + 1
            names += [*pairs, ""]
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1.0)
        axes.set(title=title, ylabel="accuracy", xlabel="pair")
    return figure


@styled
def _ablations(runs: Sequence[Results]) -> Figure:
    labels = {"": "standard test"} | {
        n: c.label for n, c in CONDITIONS.items() if not n.startswith(("link", "sham"))
    }
    del labels["matched-sham"]
    figure = Figure(figsize=(8.2, 0.8 + 0.34 * len(labels)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(labels):
        values = [run.metrics[f"{name}/accuracy" if name else "accuracy"] for run in runs]
        axes.barh(place, np.mean(values), color=COLOURS[0], height=0.62, alpha=0.85)
        axes.plot(values, [place] * len(values), "o", color="black", markersize=3)
    axes.set_yticks(range(len(labels)), list(labels.values()))
    axes.invert_yaxis()
    axes.axvline(0.5, color=GREY, linestyle=":", linewidth=1.0)
    axes.set(title="Interventions", xlabel="accuracy in test trials", xlim=(0.0, 1.0))
    return figure


@styled
def _modulator(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(3.1 * len(runs), 3.4), layout="constrained")
    for run, axes in zip(runs, figure.subplots(1, len(runs), squeeze=False)[0], strict=True):
        for side, (outcome, colour) in enumerate((("right", COLOURS[2]), ("wrong", COLOURS[1]))):
            values = run.arrays[f"modulator/{outcome}"]
            if not len(values):
                continue
            columns = [v + 0.0 for v in values.T]
            parts: Any = axes.violinplot(
                columns, positions=np.array([2.0, 3.0]) + 0.22 * (2 * side - 1), widths=0.4
            )
            for body in parts["bodies"]:
                body.set_facecolor(colour)
            for name in ("cbars", "cmins", "cmaxes"):
                parts[name].set_color(colour)
            axes.plot(
                [0, 1, 2, 3], [0.0, 0.0, *values.mean(0)], "o-", color=colour, markersize=3, label=outcome
            )
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        axes.set_xticks(range(4), ["stimulus", "response", "feedback", "delay"], rotation=30)
        axes.set(title=f"Modulator, seed {run.config.seed}", ylabel="m", xlabel="step")
        axes.legend()
    return figure


@styled
def _components(run: Results) -> Figure:
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = run.arrays["components/scores"].T
    answers, first = run.arrays["components/answers"], run.arrays["components/first_items"]
    for answer, label in ((1, "first"), (0, "second")):
        members = answers == answer
        left.plot(
            x[members], y[members], ".", color=COLOURS[answer], markersize=2.5, label=f"chose the {label}"
        )
    for item in range(NUM_ITEMS):
        members = first == item
        right.plot(x[members], y[members], ".", color=COLOURS[item], markersize=2.5, label=_LETTERS[item])
    left.set_title("By answer")
    right.set_title("By first item")
    for axes in (left, right):
        axes.set(xlabel="first component", ylabel="second component")
        axes.legend(markerscale=3, ncols=2)
    return figure


@styled
def _rank_code(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    titles = (("psi2", "Recalled (psi2)"), ("psi1", "As shown (psi1)"))
    for axes, (name, title) in zip(figure.subplots(1, 2, sharey=True), titles, strict=True):
        for colour, run in zip(COLOURS, runs, strict=False):
            mean, deviation = run.arrays[f"rank_code/{name}"]
            axes.errorbar(
                np.arange(NUM_ITEMS), mean, deviation, fmt="o-", color=colour, markersize=3, capsize=2,
                label=f"seed {run.config.seed}",
            )  # fmt: skip
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        axes.set_xticks(range(NUM_ITEMS), _LETTERS)
        axes.set(title=title, xlabel="item", ylabel="alignment with the decision axis")
    axes.legend()
    return figure


@styled
def _step_by_step(runs: Sequence[Results]) -> Figure:
    names = [name.split("/")[0] for name in runs[0].arrays if name.startswith("withheld")]
    figure = Figure(figsize=(2.6 * len(names), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        changes = np.diff(_mean_of(runs, f"{name}/alignments"), axis=0)
        for step, change in enumerate(changes):
            axes.plot(change, "o-", color=COLOURS[step], markersize=3, label=f"step {step}")
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        axes.set_xticks(range(NUM_ITEMS), _LETTERS)
        axes.set(title=name.removeprefix("withheld "), xlabel="item", ylabel="change of alignment")
    axes.legend()
    return figure


@styled
def _reinstatement(run: Results) -> Figure:
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    recoded, plain, by_pair = figure.subplots(1, 3)
    steps = np.arange(4)
    for axes, name in ((recoded, "recoding/items"), (plain, "recoding/plain")):
        for item, cosines in enumerate(run.arrays[name].T):
            axes.plot(steps, cosines, "o-", color=COLOURS[item], markersize=3, label=_LETTERS[item])
        axes.set(xlabel="step", ylabel="cosine (higher item first)", xticks=steps)
    recoded.plot(steps, run.arrays["recoding/written"], "k--", label="q, times the answer")
    recoded.set_title("Recoded items")
    plain.set_title("Items as shown")
    figure.legend(*recoded.get_legend_handles_labels(), loc="outside lower center", ncols=NUM_ITEMS + 1)
    _matrix(by_pair, run.arrays["recoding/by_pair"])
    figure.colorbar(by_pair.images[0], ax=by_pair, shrink=0.85, label="cosine")
    return figure


def _matrix(axes: Axes, values: npt.NDArray[np.float64]) -> None:
    limit = max(float(np.nanmax(np.abs(values))), 1e-6)
    axes.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    pairs = [_LETTERS[i] + _LETTERS[i + 1] for i in range(NUM_ITEMS - 1)]
    names = [*pairs, *(pair[::-1] for pair in pairs)]
    axes.set_yticks(range(len(names)), names, size=6)
    axes.set_xticks(range(NUM_ITEMS), _LETTERS)
    axes.grid(visible=False)
    axes.set(title="Recoded items at the response step", xlabel="item", ylabel="pair shown")


@styled
def _decoding(runs: Sequence[Results]) -> Figure:
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    scores = _mean_of(runs, "decoding/scores")  # (R, steps, targets)
    titles = ("stimulus", "response", "feedback", "delay")
    for step, axes in enumerate(figure.subplots(1, 4, sharey=True)):
        for target, colour in enumerate(COLOURS[: len(DECODED)]):
            axes.plot(
                np.arange(1, len(scores) + 1), scores[:, step, target], color=colour, label=DECODED[target]
            )
        axes.axvline(NUM_TRAIN + 0.5, color=GREY, linewidth=0.9)
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        axes.set(title=titles[step].capitalize(), xlabel="trial", ylabel="correlation with the truth")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(DECODED))
    return figure


@styled
def _toy_model(variants: Mapping[str, npt.NDArray[np.float64]]) -> Figure:
    figure = Figure(figsize=(7.4, 0.9 + 0.4 * len(variants)), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(
        [values[~np.isnan(values)] for values in variants.values()],
        orientation="horizontal",
        showfliers=False,
    )
    axes.set_yticks(range(1, len(variants) + 1), list(variants))
    axes.invert_yaxis()
    axes.set(title="Toy model", xlabel="correlation of value and rank")
    return figure


def _mean_of(runs: Sequence[Results], name: str) -> npt.NDArray[np.float64]:
    """Mean of an array over networks; NaN only where it is undefined in all."""
    stack = np.stack([run.arrays[name] for run in runs]).astype(np.float64)
    defined = ~np.isnan(stack)
    count, total = defined.sum(0), np.where(defined, stack, 0.0).sum(0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
