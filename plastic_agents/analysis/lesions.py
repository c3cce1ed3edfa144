"""Lesions of clusters, size-matched random ones beside them, and pruning: planned and scored on arrays.

A `Lesion` says what is taken away; how a network is run without it is the caller's affair (`lesioned_weights`
gives the weights, `Lesion.frozen` the synapses whose M has to stay M_0).

Letters for shapes: E embedding units, N hidden units, C clusters, T tasks.

Source: MultiTaskMPN (Allen Institute). There, controls for units were drawn from the indices up to the
largest clustered one; here they come from the responsive units of the lesion's own kind. Evaluate on trials
that the clusters were not found on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from plastic_agents.analysis.recoding import cosines
from plastic_agents.analysis.statistics import Line, fit_line, pearson

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]

PRUNED_SHARES = (0.0, 0.10, 0.50, 0.90, 0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True)
class Lesion:
    """Units and synapses taken away from a network with one plastic layer.

    Attributes:
        name: For tables and figures.
        inputs: Embedding units that are silenced, (E,).
        hidden: Hidden units that are silenced, (N,).
        zeroed: Synapses whose W is 0, (N, E).
        frozen: Synapses whose M is held at M_0, (N, E).
    """

    name: str
    inputs: Mask
    hidden: Mask
    zeroed: Mask
    frozen: Mask

    @classmethod
    def nothing(cls, shape: tuple[int, int], name: str = "nothing") -> Lesion:
        """No lesion of a network with a plastic layer of shape (N, E)."""
        hidden, inputs = shape
        none = np.zeros(shape, dtype=bool)
        return cls(name, np.zeros(inputs, dtype=bool), np.zeros(hidden, dtype=bool), none, none)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Numbers of inputs, hidden units, synapses without W, synapses without plasticity."""
        parts = (self.inputs, self.hidden, self.zeroed, self.frozen)
        return tuple(int(part.sum()) for part in parts)  # type: ignore[return-value]


class LesionedWeights(NamedTuple):
    """Weights around one plastic layer.

    Attributes:
        embedding: W_in, (E, inputs).
        plastic: W, (N, E).
        bias: b, (N,).
        readout: W_out, (outputs, N).
    """

    embedding: Floats
    plastic: Floats
    bias: Floats
    readout: Floats


class Responsive(NamedTuple):
    """Masks of the units and synapses that controls are drawn from.

    Attributes:
        inputs: (E,).
        hidden: (N,).
        synapses: (N, E).
    """

    inputs: Mask
    hidden: Mask
    synapses: Mask


@dataclass(frozen=True)
class LesionEffects:
    """Effects of L lesions on T tasks.

    Attributes:
        names: Names of the lesions.
        sizes: (L, 4), as `Lesion.sizes`.
        intact: Accuracy without a lesion, (T,).
        accuracy: With it, (L, T).
        control: Mean with random lesions of equal size, (L, T).
        control_deviation: Standard deviation over those, (L, T).
    """

    names: list[str]
    sizes: npt.NDArray[np.int64]
    intact: Floats
    accuracy: Floats
    control: Floats
    control_deviation: Floats

    @property
    def effect(self) -> Floats:
        """accuracy(random) - accuracy(cluster), (L, T): above 0 where a cluster matters beyond its size."""
        return self.control - self.accuracy


def unit_lesions(labels: Labels, kind: Literal["inputs", "hidden"], shape: tuple[int, int]) -> list[Lesion]:
    """One lesion for each cluster of embedding or hidden units.

    Args:
        labels: Each unit's cluster, (E,) or (N,); units with a negative one are in none. (The label k of the
            unresponsive in a `Clustering` is a cluster here, unless it is made negative.)
        kind: Kind of unit.
        shape: Of the plastic layer, (N, E).
    """
    blank = Lesion.nothing(shape)
    name = {"inputs": "input", "hidden": "hidden"}[kind]
    if labels.shape != getattr(blank, kind).shape:
        raise ValueError(f"{len(labels)} labels for {kind}: expected {len(getattr(blank, kind))}.")
    return [replace(blank, name=f"{name} {c}", **{kind: labels == c}) for c in _names(labels)]


def pair_lesions(first: Sequence[Lesion], second: Sequence[Lesion]) -> list[Lesion]:
    """Every lesion of one kind together with every one of another, the second's running fastest."""
    return [
        Lesion(
            f"{a.name} + {b.name}",
            a.inputs | b.inputs,
            a.hidden | b.hidden,
            a.zeroed | b.zeroed,
            a.frozen | b.frozen,
        )
        for a in first
        for b in second
    ]


def synapse_lesions(labels: Labels, mode: Literal["zero_W", "freeze_M"]) -> list[Lesion]:
    """One lesion for each cluster of synapses.

    Args:
        labels: Each synapse's cluster, (N, E); those with a negative one are in none.
        mode: Take W away, or the plasticity only.
    """
    part = {"zero_W": "zeroed", "freeze_M": "frozen"}[mode]
    blank = Lesion.nothing((labels.shape[0], labels.shape[1]))
    return [replace(blank, name=f"{mode} {c}", **{part: labels == c}) for c in _names(labels)]


def prune_lesions(weights: Floats, shares: Sequence[float] = PRUNED_SHARES) -> list[Lesion]:
    """The smallest weights' synapses zeroed, to exactly the nearest number; of equal ones the first.

    Args:
        weights: W, (N, E).
        shares: Shares of all synapses.
    """
    order = np.abs(weights).reshape(-1).argsort(kind="stable")
    blank = Lesion.nothing((weights.shape[0], weights.shape[1]))
    lesions = []
    for share in shares:
        mask = np.zeros(weights.size, dtype=bool)
        mask[order[: round(share * weights.size)]] = True
        lesions.append(replace(blank, name=f"pruned {100 * share:g} %", zeroed=mask.reshape(weights.shape)))
    return lesions


def random_controls(
    lesion: Lesion, responsive: Responsive, rng: np.random.Generator, count: int = 10
) -> list[Lesion]:
    """Random lesions of equal size, from what is responsive.

    Args:
        lesion: Lesion whose sizes they have.
        responsive: Masks to draw from; the lesion's own units are among them.
        rng: Generator of the draws.
        count: Number of controls.

    Raises:
        ValueError: If the lesion is larger than what can be drawn.
    """
    pools = (responsive.inputs, responsive.hidden, responsive.synapses, responsive.synapses)
    return [
        Lesion(
            f"random for {lesion.name}",
            *(_draw(size, pool, rng) for size, pool in zip(lesion.sizes, pools, strict=True)),
        )
        for _ in range(count)
    ]


def lesioned_weights(weights: LesionedWeights, lesion: Lesion) -> LesionedWeights:
    """Copies of the weights with the lesion; what it freezes is not in them.

    An embedding unit loses its rows of W_in and columns of W, a hidden unit its rows of W and b and its
    columns of W_out.
    """
    embedding, plastic, bias, readout = (np.array(w) for w in weights)
    embedding[lesion.inputs] = 0.0
    plastic[:, lesion.inputs] = 0.0
    plastic[lesion.hidden] = 0.0
    plastic[lesion.zeroed] = 0.0
    bias[lesion.hidden] = 0.0
    readout[:, lesion.hidden] = 0.0
    return LesionedWeights(embedding, plastic, bias, readout)


def lesion_effects(
    evaluate: Callable[[Lesion], npt.ArrayLike],
    lesions: Sequence[Lesion],
    controls: Sequence[Sequence[Lesion]],
) -> LesionEffects:
    """Accuracy with each lesion and with its controls.

    Args:
        evaluate: Accuracy (T,) of the network with a lesion; the same trials every time.
        lesions: L of them.
        controls: Of each lesion, at least one.
    """
    if not lesions or not all(controls):
        raise ValueError(f"{len(lesions)} lesions: expected at least one, and a control for each.")
    intact = np.asarray(evaluate(Lesion.nothing(lesions[0].zeroed.shape)), dtype=np.float64)
    accuracy = np.stack([np.asarray(evaluate(lesion), dtype=np.float64) for lesion in lesions])
    random = [
        np.stack([np.asarray(evaluate(control), dtype=np.float64) for control in each])
        for each in _matched(lesions, controls)
    ]
    return LesionEffects(
        [lesion.name for lesion in lesions],
        np.array([lesion.sizes for lesion in lesions]),
        intact,
        accuracy,
        np.stack([each.mean(0) for each in random]),
        np.stack([each.std(0) for each in random]),
    )


class Agreement(NamedTuple):
    """Similarity of clusters in two respects; one entry per pair of clusters.

    Attributes:
        first: Similarity in the first respect, (C (C - 1) / 2,).
        second: In the second.
        line: Second against first.
    """

    first: Floats
    second: Floats
    line: Line


def cluster_profiles(variance: Floats, labels: Labels) -> Floats:
    """Mean normalised variance of each cluster's units by task-period, (C, R); negative labels are in none.

    Args:
        variance: (R, n).
        labels: (n,).
    """
    return np.stack([variance[:, labels == c].mean(1) for c in _names(labels)])


def similarity_agreement(
    profiles: Floats, effects: Floats, measure: Literal["correlation", "cosine"] = "correlation"
) -> Agreement:
    """Test if lesions of clusters that are tuned alike hurt the same tasks.

    Args:
        profiles: Tuning, (C, R).
        effects: Of lesions of the same clusters, (C, T).
        measure: Measure of similarity, for both.
    """
    upper = np.triu_indices(len(profiles), 1)
    compare = pearson if measure == "correlation" else cosines
    tuning, harm = (compare(x[:, None], x[None])[upper] for x in (profiles, effects))
    return Agreement(tuning, harm, fit_line(tuning, harm))


def additivity(first: Floats, second: Floats, together: Floats) -> Line:
    """Effect of two lesions together against the sum of their single effects: slope 1 if they add up.

    Args:
        first: Effects of one kind, (C, T).
        second: Of the other kind, (D, T).
        together: Of all pairs, (C, D, T), or (C D, T) in the order of `pair_lesions`.
    """
    total = first[:, None] + second[None]
    return fit_line(total.reshape(-1), np.asarray(together).reshape(-1))


def size_effect(sizes: npt.NDArray[Any], effects: Floats) -> Line:
    """Mean effect over tasks against the cluster's size (C,), effects (C, T)."""
    return fit_line(np.asarray(sizes, dtype=np.float64), effects.mean(1))


def mode_agreement(zeroed: Floats, frozen: Floats) -> Line:
    """Effects of holding M (C, T) against those of taking W away from the same clusters."""
    return fit_line(zeroed.reshape(-1), frozen.reshape(-1))


def _names(labels: Labels) -> list[int]:
    return [int(c) for c in np.unique(labels) if c >= 0]


def _draw(size: int, pool: Mask, rng: np.random.Generator) -> Mask:
    places = np.flatnonzero(pool)
    if size > len(places):
        raise ValueError(
            f"a control of {size} out of {len(places)} responsive ones: leave out the lesion of the "
            "unresponsive, or draw from more."
        )
    mask = np.zeros(pool.size, dtype=bool)
    if size:  # draws nothing where nothing is lesioned, so that kinds do not disturb one another's draws
        mask[rng.choice(places, size, replace=False)] = True
    return mask.reshape(pool.shape)


def _matched(lesions: Sequence[Lesion], controls: Sequence[Sequence[Lesion]]) -> Sequence[Sequence[Lesion]]:
    """The controls, once it is sure that they are of their lesions' sizes."""
    for lesion, each in zip(lesions, controls, strict=True):
        for control in each:
            if control.sizes != lesion.sizes:
                raise ValueError(f"{lesion.name} takes {lesion.sizes}, a control of it {control.sizes}.")
    return controls
