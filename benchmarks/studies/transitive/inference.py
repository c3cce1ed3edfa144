"""Transitive inference and list linking: a network that rewrites its own weights, beside recurrence alone.

Published figures: Miconi & Kay, Nature Neuroscience 28, 2025 (30 networks trained for 30 000 updates each on
a GPU). Those marked "read off" are read off the article's figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.studies.rows import Entry, Value, array_mean, defined_mean, rows_of
from benchmarks.studies.study import (
    Drawn,
    Groups,
    Measured,
    Planned,
    Row,
    Settings,
    Study,
    combined,
    interval,
    merged,
    network_agent,
)
from benchmarks.studies.transitive import figures as drawings
from benchmarks.studies.transitive.conditions import CONDITIONS, NUM_ITEMS, NUM_TRAIN, WITHHELD
from benchmarks.studies.transitive.measures import (
    DECODED,
    Effort,
    behaviour,
    representation,
    sign_flip_difference,
)
from benchmarks.studies.transitive.steps import step_by_step
from plastic_agents.agent import Agent
from plastic_agents.analysis.toy_values import rank_correlations, toy_values
from plastic_agents.analysis.transitive import by_place, classify_solution, sham_pattern
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports.transitive import pair_name
from plastic_envs.transitive.schedules import RESPONSE

_PLASTIC = "neuromodulated"
_ENV = "TransitiveInference-v0"
_LISTS = ((0, 1, 2, 3), (4, 5, 6, 7))

# Settings of training: the longest lists from the start, and each answer credited with its own
# outcome alone, as no answer changes what is asked later; and plastic weights that count from the start. All
# three are ours; see docs/transitive-inference.md.
_COMMON: Settings = {
    "env": _ENV,
    "eval_episodes": 2000,
    "method": "actor-critic",
    "device": "cpu",
    "updates": 3000,
    "learner": {"discount": 0.0, "curriculum": [[0, {"num_items": NUM_ITEMS}]]},
}
_AGENTS: dict[str, Settings] = {
    _PLASTIC: {"agent": "neuromodulated", "agent_kwargs": {"plasticity_range": 0.1}},
    "gru": {"agent": "gru", "agent_kwargs": {"hidden_size": 100}},
    "gru-kept": {"agent": "gru", "agent_kwargs": {"hidden_size": 100, "keep_activity": True}},
    "rnn": {"agent": "rnn", "agent_kwargs": {"hidden_size": 100}},
    "rnn-kept": {"agent": "rnn", "agent_kwargs": {"hidden_size": 100, "keep_activity": True}},
}
# One of each of the others: none of them leaves chance in this budget, whether its activity is reset or kept.
_SEEDS = {_PLASTIC: (0, 1, 2), "gru": (0,), "gru-kept": (0,), "rnn": (0,), "rnn-kept": (0,)}
_TITLES = {
    _PLASTIC: "neuromodulated",
    "gru": "gru, activity reset between trials",
    "gru-kept": "gru, activity kept",
    "rnn": "rnn, activity reset between trials",
    "rnn-kept": "rnn, activity kept",
}


def _plan() -> list[Planned]:
    return [
        Planned(group, merged(_COMMON, own), _SEEDS[group], shipped=f"transitive-{group}-{{seed}}")
        for group, own in _AGENTS.items()
    ]


def _measure(group: str, agent: Agent, run: Results, effort: Effort) -> Measured:
    """Behaviour in all conditions; modulator and representations where the network has them."""
    agent, seed = network_agent(agent), run.config.seed
    if not isinstance(agent.network, Neuromodulated):
        return behaviour(agent, seed, effort)
    analyses = (behaviour, representation, step_by_step)
    metrics, arrays = combined(*(analysis(agent, seed, effort) for analysis in analyses))
    metrics["sign_flip_difference"] = sign_flip_difference(agent, seed)
    solution = classify_solution(
        arrays["linking/pairs"],
        _LISTS,
        metrics["modulator/feedback_right"],
        metrics["modulator/feedback_wrong"],
    )
    metrics["solution/active"] = float(solution.kind == "active")
    metrics["solution/passive"] = float(solution.kind == "passive")
    metrics["solution/links"] = float(solution.links)
    metrics["solution/feedback_turns"] = float(solution.feedback_turns)
    return metrics, arrays


# ---- the table ---------------------------------------------------------------------------------------


_ALL = slice(None)


def _middle_of_distance_3(run: Results) -> float:
    return defined_mean(by_place(run.arrays["splits/pairs"])[:, 2, 1:4])


def _sham(kind: str) -> Value:
    def value(run: Results) -> float:
        return float(getattr(sham_pattern(run.arrays["sham/pairs"], _LISTS), kind))

    return value


def _change(pair: str, item: int, step: int) -> Value:
    """Change of an item's alignment in a step of the trial that first shows a pair."""

    def value(run: Results) -> float:
        aligned = run.arrays[f"withheld {pair}/alignments"]
        return float(aligned[step + 1, item] - aligned[step, item])

    return value


def _standard_rows() -> list[Entry]:
    distances = {1: "", 2: "", 3: "", 4: "0.95-0.96 (read off)", 5: "0.98 (read off)", 6: "1.00", 7: "1.00"}
    pairs = {(0, 1): "0.93", (6, 7): "0.93", (3, 4): "0.82", (0, 2): "0.93", (3, 5): "0.82", (0, 3): "0.95"}
    return [
        ("test accuracy", "a little over 0.90", "accuracy"),
        ("test accuracy, neighbour pairs", "", "accuracy_adjacent"),
        ("test accuracy, other pairs", "", "accuracy_nonadjacent"),
        *(
            (f"accuracy at distance {d}", published, array_mean("splits/distance", _ALL, d - 1))
            for d, published in distances.items()
        ),
        *(
            (
                f"accuracy on {pair_name(*pair)}",
                f"{value} (read off)",
                array_mean("splits/pairs", _ALL, *pair),
            )
            for pair, value in pairs.items()
        ),
        ("middle of distance 3", "0.89 (read off)", _middle_of_distance_3),
        ("end anchor: end pairs less others of distances 1 to 3", "above 0", "splits/end_anchor"),
    ]


def _effort_rows() -> list[Entry]:
    return [
        ("updates of training", "30000", "updates"),
        ("CPU seconds of training", "some hours on a GPU", "train_seconds"),
    ]


def _linking_rows() -> list[Entry]:
    by_distance_ = ("0.81", "0.81", "0.85", "0.91", "0.97", "1.00", "1.00")
    near = {(2, 3): "0.48", (3, 4): "0.93", (4, 5): "0.62"}
    rows: list[Entry] = []
    for name, label in (("linking", "linking"), ("sham", "sham"), ("matched-sham", "matched sham")):
        published = "well above 0.5" if name == "linking" else ""
        rows += [
            (f"{label}: across lists", published, f"{name}/accuracy_across"),
            (f"{label}: within lists", "", f"{name}/accuracy_within"),
        ]
    rows += [
        (f"linking: accuracy at distance {d}", published, array_mean("linking/distance", _ALL, d - 1))
        for d, published in enumerate(by_distance_, start=1)
    ]
    for i in range(NUM_ITEMS):
        for j in range(i + 1, NUM_ITEMS):
            published = near.get((i, j), "")
            rows.append((f"linking: {pair_name(i, j)}", published, array_mean("linking/pairs", i, j)))
    rows += [
        ("sham: across, ranks within lists agree", "near 1", _sham("agree")),
        ("sham: across, same rank within lists", "", _sham("equal")),
        ("sham: across, ranks within lists disagree", "near 0", _sham("disagree")),
        ("sham: error at distances 3, 4 less error at 1", "above 0", _sham("hump")),
        *(
            (f"sham: {pair_name(*p)}", "near 0", array_mean("sham/pairs", *p))
            for p in ((3, 4), (2, 4), (3, 5), (3, 6))
        ),
    ]
    return rows


def _plastic_rows() -> list[Entry]:
    rows: list[Entry] = [
        ("active solutions, share of networks", "28 of 30", "solution/active"),
        ("passive solutions, share of networks", "2 of 30", "solution/passive"),
    ]
    expected = {"weights-reset": "0.50", "massed": "no large loss", "no-test-write": "inference works"}
    listed = {"linking", "sham", "matched-sham"}
    rows += [
        (f"{condition.label}: accuracy", expected.get(name, ""), f"{name}/accuracy")
        for name, condition in CONDITIONS.items()
        if name not in listed
    ]
    rows += [
        ("restricted test: neighbour pairs", "", "restricted/accuracy_adjacent"),
        ("restricted test: other pairs", "", "restricted/accuracy_nonadjacent"),
        ("signs of alpha and modulator flipped: largest change of scores", "0", "sign_flip_difference"),
    ]
    for step, after, published in (
        ("feedback", "right", "below 0"), ("feedback", "wrong", "below 0"),
        ("delay", "right", "0 or above"), ("delay", "wrong", "far below 0"),
    ):  # fmt: skip
        name = f"modulator/{step}_{after}"
        rows.append((f"modulator at the {step} step after {after} answers", published, name))
    rows += [
        ("Mann-Whitney p, feedback step", "", "modulator/feedback_p"),
        ("Mann-Whitney p, delay step", "", "modulator/delay_p"),
        ("PC1 and decision axis, |r|", "> 0.9", "components/axis_correlation"),
        ("rows of the readout, r", "about -0.9", "weights/readout_correlation"),
        ("input weights of the two slots, r", "-0.8 to -0.9", "weights/slot_correlation"),
        ("trace rate eta", "about 1 (networks: 1.2)", "weights/trace_rate"),
        ("rank code: alignment of A (psi2)", "+0.5", array_mean("rank_code/psi2", 0, 0)),
        ("rank code: alignment of H (psi2)", "-0.5", array_mean("rank_code/psi2", 0, 7)),
        ("rank code: alignment of A (psi1)", "about 0", array_mean("rank_code/psi1", 0, 0)),
        ("rank code: alignment of H (psi1)", "about 0", array_mean("rank_code/psi1", 0, 7)),
        ("similarity of psi1 and psi2 structure", "weakly above 0", "rank_code/structure_similarity"),
    ]
    rows += [
        (f"first sight of {pair} at trial 18: accuracy", "about 0", f"withheld {pair}/accuracy")
        for pair in WITHHELD
    ]
    for place, size in ((0, "0"), (1, "0"), (2, "small"), (3, "large")):
        for letter, item in (("C", 2), ("D", 3), ("E", 4), ("F", 5)):
            if place > 1 or letter == "D":
                published = "0" if place == 2 and letter in "CF" else size
                rows.append(
                    (
                        f"DE at trial 18, step {place}: change of {letter}",
                        published,
                        _change("DE", item, place),
                    )
                )
    rows += [
        ("DE, CD never shown, step 3: change of C", "0", _change("DE, never CD", 2, 3)),
        ("DE, EF never shown, step 3: change of F", "0", _change("DE, never EF", 5, 3)),
        ("recoding: mean cosine of the fit", "> 0.5", "recoding/mean_cosine"),
        ("recoding: |r| of u and psi1", "< 0.1", "recoding/correlation_with_plain"),
        ("recoding: C at step 1 predicts its change, r", "above 0", "recoding/effect_of_C"),
        ("recoding: F at step 1 predicts its change, r", "above 0", "recoding/effect_of_F"),
    ]
    for number, (target, published) in enumerate(zip(DECODED, ("barely", "yes", "yes", "", ""), strict=True)):
        rows.append(
            (
                f"decoding, response step, trials 15-19: {target}",
                published,
                array_mean("decoding/scores", slice(15, NUM_TRAIN), RESPONSE, number),
            )
        )
    return rows


def _table(results: Groups) -> list[Row]:
    """Behaviour, representations and the toy model; `n` is a number of networks."""
    rows: list[Row] = []
    for group, runs in results.items():
        entries = [*_standard_rows(), *_effort_rows()]
        if group == _PLASTIC:
            accuracies = [run.metrics["accuracy"] for run in runs]
            median = float(np.median(accuracies))
            rows.append(Row("neuromodulated: median test accuracy", "", median, None, len(runs)))
            entries += [*_linking_rows(), *_plastic_rows()]
        else:
            short = [*entries, *_short_linking_rows()]
            entries = [(quantity, "", value) for quantity, _, value in short]
        rows += rows_of(runs, f"{_TITLES[group]}: ", entries, absent=float("nan"))
    return rows + _toy_rows()


def _short_linking_rows() -> list[Entry]:
    return [row for row in _linking_rows() if row[0].count(":") == 1 and "lists" in row[0].split(":")[1]] + [
        (f"linking: accuracy at distance {d}", "", array_mean("linking/distance", _ALL, d - 1))
        for d in range(1, NUM_ITEMS)
    ]


def toy_variants() -> dict[str, npt.NDArray[np.float64]]:
    """Correlation of value and rank in each episode of the toy model, by variant."""
    variants: dict[str, dict[str, Any]] = {
        "": {},
        ", updates on errors only": {"only_errors": True},
        ", values through tanh": {"squashed": True},
    }
    return {
        f"{'with' if size else 'without'} reinstatement{name}": rank_correlations(
            toy_values(np.random.default_rng(0), reinstatement=size, **arguments)
        )
        for name, arguments in variants.items()
        for size in (0.5, 0.0)
    }


def _toy_rows() -> list[Row]:
    rows = []
    for name, correlations in toy_variants().items():
        defined = correlations[~np.isnan(correlations)]
        published = "clearly higher" if name == "with reinstatement" else ""
        quantity = f"toy model {name}: correlation of value and rank (n: episodes)"
        rows.append(Row(quantity, published, float(defined.mean()), interval(defined.tolist()), len(defined)))
    return rows


def _figures(results: Groups) -> list[Drawn]:
    """The article's figures, from our networks."""
    figures = drawings.comparisons(results, _TITLES)
    if _PLASTIC in results:
        figures += drawings.of_plastic(results[_PLASTIC])
    return [*figures, drawings.toy_model(toy_variants())]


STUDY = Study(
    "transitive-inference",
    "transitive inference and list linking: a self-modulated plastic network, and recurrent ones",
    _plan,
    _table,
    _figures,
    _measure,
    effort=Effort(),
)
