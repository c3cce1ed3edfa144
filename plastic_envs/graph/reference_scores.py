"""Reference scores of the graph tasks: scores of several observers on the same walks.

`table_rates` (from `plastic_envs.graph.tables`) and `ideal_observer` (from
`plastic_envs.graph.ideal_observer`) go through recorded walks; `TablePolicy` and `ExplorerPolicy` (from
`plastic_envs.graph.policies`) are agents that are stepped. `reference_scores` is the summary.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from plastic_envs.graph.ideal_observer import ideal_observer
from plastic_envs.graph.moves import NEW, REVERSE, SEEN, Walk, key_kinds
from plastic_envs.graph.policies import ExplorerPolicy, TablePolicy
from plastic_envs.graph.tables import TransitionTable, table_rates

__all__ = [
    "KEY_KINDS",
    "ExplorerPolicy",
    "TablePolicy",
    "TransitionTable",
    "by_key_kind",
    "ideal_observer",
    "reference_scores",
    "table_rates",
]

KEY_KINDS: Mapping[str, int] = {"seen": SEEN, "reverse": REVERSE, "new": NEW}
"""Names of the kinds of key (see `plastic_envs.graph.moves`)."""

Ints = npt.NDArray[np.integer]


def by_key_kind(
    name: str, credit: npt.NDArray[np.floating], kinds: npt.NDArray[np.integer]
) -> dict[str, float]:
    """Mean credit over all moves and over those of each kind of key.

    Args:
        name: Name of the credit, the key of the overall mean; the others are `name_seen` and so on.
        credit: (M, B) credit of each move.
        kinds: (M, B) kind of each move's key.

    Returns:
        Means, as fractions; a kind that does not occur is left out.
    """
    means = {name: float(credit.mean())}
    for kind, index in KEY_KINDS.items():
        of_kind = kinds == index
        if of_kind.any():
            means[f"{name}_{kind}"] = float(credit[of_kind].mean())
    return means


def reference_scores(
    nodes: Ints,
    actions: Ints,
    next_nodes: Ints,
    degrees: Ints,
    segments: Ints,
    num_nodes: int,
    num_actions: int,
    edge_prob: float,
    max_degree: int,
    ideal_walks: int = 0,
    rng: np.random.Generator | None = None,
) -> dict[str, float]:
    """Scores of all reference observers on given walks, over all moves and by kind of key.

    Args:
        nodes: (M, B) node before each move.
        actions: (M, B) label of the move.
        next_nodes: (M, B) node after it.
        degrees: (M, B) degree of the node before it.
        segments: (M, B) which graph the move is made on; all walks switch graphs at the same moves.
        num_nodes: Number of nodes n.
        num_actions: Number of labels A.
        edge_prob: Edge probability of the graphs' law (for the ideal observer, which holds for G(n, p),
            unbiased walks and labels that stay).
        max_degree: Degree bound of the graphs' law (likewise).
        ideal_walks: On how many walks, from the first on, the ideal observer is run; 0 = not at all.
        rng: Its source of randomness; needed if `ideal_walks` is not 0.

    Returns:
        Fractions under plain names: `chance` (any node), the rows of `table_rates`, among them `oracle`; with
        `ideal_walks`, `ideal_observer` and, on the same walks, `oracle_on_ideal_walks`. All but `chance` also
        with `_seen`, `_reverse` and `_new` appended (kinds of key that do not occur are left out);
        `share_seen` and so on are the shares of those keys among all moves.
    """
    if not 0 <= ideal_walks <= nodes.shape[1]:
        raise ValueError(
            f"ideal_walks={ideal_walks}: expected 0 to {nodes.shape[1]}, the number of walks given."
        )
    if ideal_walks and rng is None:
        raise ValueError("rng=None: the ideal observer samples; pass a numpy.random.Generator.")
    if (segments != segments[:, :1]).any():
        raise ValueError(
            "segments differ between walks: expected switches of graphs at the same moves in all of them; "
            "score walks that switch at other moves apart."
        )
    columns = nodes, actions, next_nodes, degrees, segments[:, 0]
    walk = Walk(*(np.asarray(column, dtype=np.int64) for column in columns))
    kinds = key_kinds(walk, num_nodes, num_actions)
    rates = table_rates(nodes, actions, next_nodes, degrees, segments, num_nodes, num_actions)
    scores = {"chance": 1.0 / num_nodes}
    scores |= {f"share_{kind}": float((kinds == index).mean()) for kind, index in KEY_KINDS.items()}
    for name, credit in rates.items():
        scores |= by_key_kind(name, credit, kinds)
    if ideal_walks and rng is not None:
        ideal = ideal_observer(
            nodes[:, :ideal_walks],
            actions[:, :ideal_walks],
            next_nodes[:, :ideal_walks],
            segments[:, :ideal_walks],
            num_nodes,
            num_actions,
            edge_prob,
            max_degree,
            rng,
        )
        scores |= by_key_kind("ideal_observer", ideal, kinds[:, :ideal_walks])
        oracle = rates["oracle"][:, :ideal_walks]
        scores |= by_key_kind("oracle_on_ideal_walks", oracle, kinds[:, :ideal_walks])
    return scores
