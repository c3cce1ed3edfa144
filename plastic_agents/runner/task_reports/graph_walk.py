"""Measurements and figures of the graph walk: accuracy along one long walk, and over changes of the graph.

All agents play the same walks, whatever the seed of their run, so that their curves can share an axis.
State is kept over the whole walk, and a change of graph is not announced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from plastic_agents.agent import Agent
from plastic_agents.analysis.adaptation import predictions_to_regain, rolling_mean
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.evaluation import play
from plastic_agents.runner.figures import GREY, colour_of, styled
from plastic_agents.runner.results import Results, by_agent, stacked
from plastic_agents.runner.task_reports import graphs
from plastic_envs.graph.moves import SEEN
from plastic_envs.graph.tables import table_rates
from plastic_envs.graph.walk import GraphWalk

LONG_WALK_STEPS = 2000
WINDOW = 100  # predictions that a rolling accuracy is the mean of
_NUM_LONG_WALKS = 4
_NUM_SWITCHING_WALKS = 16
_NUM_SEGMENTS = 5
_FEWEST_MOVES_PER_GRAPH = 400
_WALK_SEED = 0  # not the run's: see above
_LATE_MOVES = 500


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """Accuracy on long walks and over boundaries.

    Metrics (fractions): `long_walk/accuracy` over all moves, `long_walk/last_500`, `long_walk/mean_rolling`
    (the published figure: the mean over one walk of the mean of the last 100 predictions);
    `boundaries/accuracy`, `boundaries/mean_rolling`, and `boundaries/predictions_to_regain`, see
    `predictions_to_regain` (null: never); `long_walk/seen_late`, the accuracy on keys seen before in the last
    500 moves; `boundaries/share_of_table/<s>`, accuracy on graph s over that of an undirected table that is
    emptied at every change of graph, on the same walks, and `boundaries/share_of_table`, the worst of them.

    Arrays: `long_walk/hits` and `boundaries/hits` (M, B) bool, whether each prediction was right;
    `boundaries/starts` (S,), the first move on each graph.
    """
    metrics, arrays = graphs.measure(agent, config)
    task = config.task().with_split("test")
    assert isinstance(task, GraphWalk)
    longer = task.remake(num_steps=LONG_WALK_STEPS, num_segments=1)
    hits, moves = _hits(agent, longer, _NUM_LONG_WALKS, "long walk")
    metrics["long_walk/accuracy"] = float(hits.mean())
    metrics["long_walk/last_500"] = float(hits[-_LATE_MOVES:].mean())
    is_seen = moves["key_kind"][-_LATE_MOVES:] == SEEN
    metrics["long_walk/seen_late"] = float(hits[-_LATE_MOVES:][is_seen].mean())
    metrics["long_walk/mean_rolling"] = float(rolling_mean(hits, WINDOW).mean())
    arrays["long_walk/hits"] = hits

    per_graph = max(_FEWEST_MOVES_PER_GRAPH, task.num_steps)
    switching = task.remake(num_steps=per_graph + 1, num_segments=_NUM_SEGMENTS)
    hits, moves = _hits(agent, switching, _NUM_SWITCHING_WALKS, "boundaries")
    starts = np.arange(_NUM_SEGMENTS) * per_graph
    shares = _shares_of_table(hits, moves, switching, starts)
    metrics["boundaries/share_of_table"] = min(shares)
    metrics |= {f"boundaries/share_of_table/{s}": share for s, share in enumerate(shares)}
    metrics["boundaries/accuracy"] = float(hits.mean())
    metrics["boundaries/mean_rolling"] = float(rolling_mean(hits, WINDOW, starts).mean())
    regained = predictions_to_regain(hits, starts)
    metrics["boundaries/predictions_to_regain"] = float("nan") if regained is None else float(regained)
    arrays |= {"boundaries/hits": hits, "boundaries/starts": starts}
    return metrics, arrays


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Both curves, for all agents that have been run, then the figures of all graph tasks."""
    own = []
    if "long_walk/hits" in run.arrays:
        own = [
            (
                "long_walk",
                f"One walk of {LONG_WALK_STEPS} steps on a test graph: mean of the last {WINDOW} "
                "predictions. Faint: other walks of this run.",
                long_walk(run, runs),
            ),
            (
                "graph_boundaries",
                f"The graph is replaced unannounced at the vertical lines, state is kept: mean of the last "
                f"{WINDOW} predictions on the graph, over {_NUM_SWITCHING_WALKS} walks.",
                over_boundaries(runs),
            ),
        ]
    return own + graphs.figures(run, runs)


@styled
def long_walk(run: Results, runs: Sequence[Results]) -> Figure:
    """Rolling accuracy on one long walk, the same for all agents."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = figure.subplots()
    for other in run.arrays["long_walk/hits"].T[1:]:
        axes.plot(rolling_mean(other, WINDOW), color=colour_of(run.config.agent), alpha=0.22, linewidth=0.8)
    for agent, group in by_agent(list(runs)).items():
        hits = stacked(group, "long_walk/hits")
        if hits is not None:
            axes.plot(
                rolling_mean(hits[:, :, 0].mean(0), WINDOW),
                color=colour_of(agent),
                label=_label(agent, group),
            )
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set(
        title="One long walk",
        xlim=(0, len(run.arrays["long_walk/hits"])),
        xlabel="prediction",
        ylabel=f"accuracy, last {WINDOW}",
        ylim=(0.0, 1.04),
    )
    axes.legend(loc="lower right", ncols=2)
    return figure


@styled
def over_boundaries(runs: Sequence[Results]) -> Figure:
    """Rolling accuracy over changes of the graph: mean over walks; the middle half is shaded."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = figure.subplots()
    starts = runs[0].arrays["boundaries/starts"]
    for agent, group in by_agent(list(runs)).items():
        hits = stacked(group, "boundaries/hits")
        if hits is None:
            continue
        rolling = rolling_mean(np.concatenate(list(hits), axis=1), WINDOW, starts)
        axes.plot(rolling.mean(1), color=colour_of(agent), label=_label(agent, group))
        low, high = np.quantile(rolling, (0.25, 0.75), axis=1)
        axes.fill_between(np.arange(len(low)), low, high, color=colour_of(agent), alpha=0.15, linewidth=0)
    for start in starts[1:]:
        axes.axvline(start, color=GREY, linewidth=0.9)
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set(
        title="Changes of the graph",
        xlim=(0, len(runs[0].arrays["boundaries/hits"])),
        xlabel="prediction",
        ylabel=f"accuracy, last {WINDOW}",
        ylim=(0.0, 1.04),
    )
    axes.legend(loc="lower right", ncols=2)
    return figure


def _hits(
    agent: Agent, task: GraphWalk, num_walks: int, name: str
) -> tuple[npt.NDArray[np.bool_], Mapping[str, npt.NDArray[Any]]]:
    """Correctness of each prediction, (M, B), and the moves' facts, (M, B) each."""
    record = play(agent, task, num_walks, _WALK_SEED, name)
    asks = record.episodes.mask[:, 0] > 0
    right: npt.NDArray[np.bool_] = (record.episodes.targets == record.actions)[asks]
    return right, task.moves(record.episodes)


def _shares_of_table(
    hits: npt.NDArray[np.bool_],
    moves: Mapping[str, npt.NDArray[Any]],
    task: GraphWalk,
    starts: npt.NDArray[np.integer[Any]],
) -> list[float]:
    """Accuracy on each graph over that of an undirected table, emptied at every change, on the same walks."""
    rates = table_rates(
        moves["node"], moves["action"], moves["next_node"], moves["degree"], moves["segment"],
        task.num_nodes, task.num_actions,
    )  # fmt: skip
    parts = zip(np.split(hits, starts[1:]), np.split(rates["undirected_no_credit"], starts[1:]), strict=True)
    return [float(ours.mean() / table.mean()) for ours, table in parts]


def _label(agent: str, group: Sequence[Results]) -> str:
    return agent if len(group) == 1 else f"{agent} (mean of {len(group)} seeds)"
