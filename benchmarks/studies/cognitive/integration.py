"""Evidence integration: a network without recurrence that counts in its weights, beside recurrent ones.

Published figures: Aitken & Mihalas, eLife 12:e83035 (2023), demonstration runs on three classes, 20 tokens
and 100 units. Ours are trained as published (Adam, 1e-3, batches of 64, until 98 % on the validation split,
but at least 1000 updates), but on fresh sequences at every update and without the L1 penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from benchmarks.studies.learning_curves import draw_curve, reach_row
from benchmarks.studies.rows import Entry, rows_of
from benchmarks.studies.study import (
    Arrays,
    Drawn,
    Groups,
    Measured,
    Planned,
    Row,
    Settings,
    Study,
    merged,
    network_agent,
)
from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.analysis.subspaces import principal_basis, state_dimension
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.runner.figures import COLOURS, GREY, styled
from plastic_agents.runner.results import Results
from plastic_envs.episodes import Episodes

_SEQUENCES = 100  # test sequences whose states are measured
_GOAL = 0.98
_SEEDS = (0, 1, 2)
_COMMON: Settings = {
    "env": "EvidenceIntegration-v0",
    "device": "cpu",
    "eval_episodes": 4000,
    "updates": 3000,
    "learner": {
        "batch_size": 64,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "max_grad_norm": 10.0,
        "evaluate_every": 25,
        "validation_episodes": 500,
        "stop_score": _GOAL,
        "stop_after": 1000,
    },
}
# No embedding and no bounds on M; lambda and eta are single numbers, both trained.
_PLASTIC = {"hidden_size": 100, "embedding_size": 0, "bounds": None, "lambda_trained": True}
_AGENTS: dict[str, Settings] = {
    "mpn": {"agent": "mpn", "agent_kwargs": _PLASTIC},
    "mpn-deep": {"agent": "mpn", "agent_kwargs": {**_PLASTIC, "depth": 2}},
    "mpn-additive": {"agent": "mpn", "agent_kwargs": {**_PLASTIC, "plasticity": "additive"}},
    "gru": {"agent": "gru", "agent_kwargs": {"hidden_size": 100}},
    "leaky-rnn": {"agent": "leaky-rnn", "agent_kwargs": {"hidden_size": 100}},
}
_TITLES = {
    "mpn": "two-layer MPN",
    "mpn-deep": "three-layer MPN",
    "mpn-additive": "two-layer MPN, additive",
    "gru": "gru",
    "leaky-rnn": "leaky-rnn",
}
_ACCURACY = {"mpn": "0.998", "mpn-deep": "0.998"}
_DIMENSION = {("mpn", "hidden 1"): "3.5", ("mpn-deep", "hidden 1"): "3.3", ("mpn-deep", "hidden 2"): "3.6"}
_UPDATES = {"mpn-deep": "under 500 (for 100 %)"}


def _plan() -> list[Planned]:
    return [Planned(group, merged(_COMMON, settings), _SEEDS) for group, settings in _AGENTS.items()]


# ---- measuring ---------------------------------------------------------------------------------------


def _measure(group: str, agent: Agent, run: Results, effort: int) -> Measured:
    """Dimension of activity and modulation, and the variance between groups, in test sequences."""
    agent = network_agent(agent)
    task = agent.task.with_split("test")
    episodes = task.sample(np.random.default_rng(run.config.seed), effort)
    tokens = np.asarray(episodes.step_facts["token"]).T  # (S, T)
    classes = episodes.facts["counts"].shape[1]
    counts = np.cumsum(tokens[:, :, None] == np.arange(classes), axis=1)  # (S, T, classes), so far
    # The class that leads, and its lead over the next; -1 while several lead.
    ordered = np.sort(counts, axis=2)
    lead = ordered[..., -1] - ordered[..., -2]
    leader = np.where(lead > 0, counts.argmax(2), -1)
    metrics: dict[str, float] = {}
    arrays: Arrays = {"tokens": tokens, "leader": leader, "lead": lead}
    for name, states in _states(agent, episodes).items():
        flat = states.reshape(-1, states.shape[-1])
        metrics[f"{name}/dimension"] = state_dimension(flat)
        for what, groups in (("token", tokens), ("leader", leader)):
            metrics[f"{name}/by_{what}"] = between(flat, groups.ravel())
        centred = flat - flat.mean(0)
        arrays[f"{name}/scores"] = (centred @ principal_basis(flat, 2)).reshape(*tokens.shape, 2)
    return metrics, arrays


@torch.no_grad()
def _states(agent: NetworkAgent, episodes: Episodes) -> dict[str, npt.NDArray[np.float32]]:
    """Activity of each layer, and M of each plastic layer after each step, (S, T, n)."""
    inputs = torch.as_tensor(episodes.observations, device=agent.device)
    if not isinstance(agent.network, MPN):
        features = agent.network.run(inputs).features
        return {"hidden 1": features.transpose(0, 1).cpu().numpy()}
    states: dict[str, list[npt.NDArray[np.float32]]] = {}
    for step in agent.network.watch(inputs):
        for number, layer in enumerate(step, start=1):
            states.setdefault(f"hidden {number}", []).append(layer.activity.cpu().numpy())
            states.setdefault(f"modulation {number}", []).append(layer.after.flatten(1).cpu().numpy())
    return {name: np.stack(steps, axis=1) for name, steps in states.items()}


def between(states: npt.NDArray[np.float32], groups: npt.NDArray[Any]) -> float:
    """Share of the variance of states (S, n) that lies between groups (S,)."""
    centred = states - states.mean(0, dtype=np.float64)
    parts = [(np.count_nonzero(groups == g), centred[groups == g].mean(0)) for g in np.unique(groups)]
    return float(sum(n * np.square(mean).sum() for n, mean in parts) / np.square(centred).sum())


# ---- the table ---------------------------------------------------------------------------------------


def _table(results: Groups) -> list[Row]:
    """Accuracy, dimensions and variances, beside the published figures."""
    rows: list[Row] = []
    for group, runs in results.items():
        title = f"{_TITLES[group]}: "
        layers = sorted(
            name.removesuffix("/dimension") for name in runs[0].metrics if name.endswith("/dimension")
        )
        entries: list[Entry] = [
            ("test accuracy", _ACCURACY.get(group, ""), "score"),
            *(
                (f"participation ratio, {layer}", _DIMENSION.get((group, layer), ""), f"{layer}/dimension")
                for layer in layers
            ),
            *(
                (f"variance of {layer} between groups by {words}", "", f"{layer}/by_{what}")
                for what, words in (("token", "token of the step"), ("leader", "class that leads so far"))
                for layer in layers
            ),
        ]
        quantity = f"{title}updates to {100 * _GOAL:.0f} % validation accuracy"
        costs = [("updates", "", "updates"), ("CPU seconds of training", "", "train_seconds")]
        rows += rows_of(runs, title, entries)
        rows.append(reach_row(quantity, _UPDATES.get(group, ""), runs, _GOAL))
        rows += rows_of(runs, title, costs)
    return rows


# ---- figures -----------------------------------------------------------------------------------------


def _figures(results: Groups) -> list[Drawn]:
    """Learning curves, and the states of each network."""
    groups = {group: runs for group, runs in results.items() if runs}
    first = {group: runs[0] for group, runs in groups.items() if "hidden 1/scores" in runs[0].arrays}
    learning = (
        f"Validation accuracy against update; mean and standard error over seeds. Dashed: {_GOAL:g}, "
        "at which training stops, but not before 1000 updates."
    )
    states = (
        f"States in {_SEQUENCES} test sequences on their two principal components, one network each. "
        "Left: activity of the first layer, by the token of the step. Right: what is remembered (M after "
        "the step; for recurrent networks activity), by the class that has the most evidence so far; "
        "darker where it leads by more."
    )
    figures = [("learning_curves", learning, _learning_curves(groups))]
    return [*figures, ("states", states, _states_figure(first))] if first else figures


@styled
def _learning_curves(groups: Groups) -> Figure:
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    whole, start = figure.subplots(1, 2)
    for axes, until, title in ((whole, None, "Evidence integration"), (start, 300, "First 300 updates")):
        for place, (group, runs) in enumerate(groups.items()):
            draw_curve(axes, runs, COLOURS[place % len(COLOURS)], _TITLES[group], until=until)
        axes.axhline(1 / 3, color=GREY, linestyle=":", linewidth=1, label="chance")
        axes.axhline(_GOAL, color=GREY, linestyle="--", linewidth=1)
        axes.set(title=title, ylabel="validation accuracy", ylim=(0.25, 1.02))
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def _states_figure(runs: dict[str, Results]) -> Figure:
    figure = Figure(figsize=(8.0, 0.6 + 2.9 * len(runs)), layout="constrained")
    for (group, run), (left, right) in zip(
        runs.items(), figure.subplots(len(runs), 2, squeeze=False), strict=True
    ):
        memory = "modulation 1" if "modulation 1/scores" in run.arrays else "hidden 1"
        tokens, leader, lead = (run.arrays[name] for name in ("tokens", "leader", "lead"))
        names = [*(f"class {k}" for k in range(tokens.max() - 2)), "null", "delay", "end"]
        _scatter(left, run.arrays["hidden 1/scores"], tokens, names, np.full(tokens.shape, 0.5))
        strength = 0.15 + 0.85 * np.minimum(lead, 5) / 5
        _scatter(right, run.arrays[f"{memory}/scores"], leader, names[: tokens.max() - 2], strength)
        left.set_title(f"{_TITLES[group]}: activity, by token")
        right.set_title(f"{'M' if memory.startswith('m') else 'activity'}, by leading class")
    return figure


def _scatter(
    axes: Any,
    scores: npt.NDArray[Any],
    groups: npt.NDArray[Any],
    names: Sequence[str],
    opacity: npt.NDArray[Any],
) -> None:
    """States (S, T, 2) coloured by their group (S, T), an index into names; -1 is grey."""
    for number, name in [(-1, "none"), *enumerate(names)]:
        members = groups == number
        if members.any():
            color = COLOURS[number] if number >= 0 else "#c3cad1"
            axes.scatter(*scores[members].T, s=4, color=color, alpha=opacity[members], linewidths=0)
            axes.plot([], [], "o", markersize=4, color=color, label=name)
    axes.set(xlabel="component 1", ylabel="component 2")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


STUDY = Study(
    "integration",
    "integration of evidence of three classes: a multi-plasticity network counts in its modulations",
    _plan,
    _table,
    _figures,
    _measure,
    effort=_SEQUENCES,
)
"""The effort is a number of test sequences."""
