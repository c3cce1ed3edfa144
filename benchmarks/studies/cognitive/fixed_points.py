"""Fixed points of a multi-plasticity network's M under constant input, and their movement with the rule.

Letters for shapes: S starts, K directions, A shares of the first rule, N hidden units, E embedding units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.studies.cognitive.measures import trials_of
from benchmarks.studies.study import Arrays, Measured
from plastic_agents.analysis.fixed_points import (
    FixedPoints,
    Search,
    find_fixed_points,
    follow_fixed_point,
    leading_eigenvalues,
    random_rank_one,
    stability,
)
from plastic_agents.networks.mpn.network import MPN
from plastic_agents.networks.mpn.rule import step
from plastic_agents.seeding import named_generator
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.cognitive.tasks import EPOCHS
from plastic_envs.episodes import Episodes

Floats = npt.NDArray[np.float64]
Step = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class PointsEffort:
    """Numbers of points and steps.

    Attributes:
        random: Random starts of rank one.
        eigenvalues: Of each point (published: 16).
        shares: A, of the first task's rule, from 1 to 0.
        directions: K, directions whose points are followed.
        settling: Steps in which M is left to itself, to see where it ends.
        search: Of a point. Without Adam, which drifts along lines of fixed points.
    """

    random: int = 4
    eigenvalues: int = 8
    shares: int = 11
    directions: int = 4
    settling: int = 1000
    search: Search = field(default_factory=lambda: Search(adam_updates=0, lbfgs_updates=200))


class Held:
    """A network with one plastic layer in float64, as a function of M.

    Args:
        network: The network.
    """

    def __init__(self, network: MPN) -> None:
        self._network = copy.deepcopy(network).double().cpu().requires_grad_(False)
        (self._layer,) = self._network.plastic

    @property
    def tolerance(self) -> float:
        """Largest distance from 1 of an eigenvalue "at" 1: 0.05, but less than the decay of M per step."""
        decay = float(self._layer.decay.max())
        return min(0.05, (1.0 - decay) / 2) if decay < 1.0 else 0.05

    def step(self, observation: npt.NDArray[Any]) -> Step:
        """F(M), (S, N, E) to (S, N, E), with an observation (I,) held."""
        x = self._network.embed(torch.as_tensor(np.asarray(observation, dtype=np.float64)))

        def after(modulation: torch.Tensor) -> torch.Tensor:
            inputs = x.expand(len(modulation), -1)
            return step(inputs, modulation, self._layer.synapses(), self._layer.rule).modulation

        return after

    @torch.no_grad()
    def answer(self, observation: npt.NDArray[Any], modulation: Floats) -> Floats:
        """Outputs (S, O) to an observation, by the M (S, N, E) that is there."""
        x = self._network.embed(torch.as_tensor(np.asarray(observation, dtype=np.float64)))
        m = torch.as_tensor(modulation)
        response = step(x.expand(len(m), -1), m, self._layer.synapses(), self._layer.rule)
        return np.asarray(self._network.readout(response.activity).numpy())

    @torch.no_grad()
    def settled(self, observations: npt.NDArray[Any], modulation: Floats, steps: int) -> Floats:
        """M after some steps from M (S, N, E), with observations (S, I) held."""
        x = self._network.embed(torch.as_tensor(np.asarray(observations, dtype=np.float64)))
        m = torch.as_tensor(modulation)
        synapses, rule = self._layer.synapses(), self._layer.rule
        for _ in range(steps):
            m = step(x, m, synapses, rule).modulation
        return np.asarray(m.numpy())

    def modulations(self, episodes: Episodes, steps: list[int]) -> Floats:
        """M that some steps leave, (steps, B, N, E)."""
        inputs = torch.as_tensor(episodes.observations[: max(steps) + 1], dtype=torch.float64)
        states = {
            t: layers[0].after.numpy() for t, layers in enumerate(self._network.watch(inputs)) if t in steps
        }
        return np.stack([states[t] for t in steps])


@dataclass(frozen=True)
class _Probe:
    """One noiseless trial per direction of a task with a delay, all on the same timeline.

    Attributes:
        episodes: K trials, the first stimulus in direction 0, 1, ...
        stimulus_end: Last step of the stimulus; `delay_end` and `middle` of the response likewise.
    """

    episodes: Episodes
    stimulus_end: int
    delay_end: int
    response: int

    @classmethod
    def of(cls, battery: CognitiveBattery, name: str, seed: int) -> _Probe:
        """For a task whose epochs are fix1, stim1, delay1, go1."""
        probe = battery.with_settings(mode="long_all", sigma_x=0.0)
        episodes = trials_of(probe, name, 40 * probe.settings.directions, seed, "fixed points")
        directions = episodes.facts["direction"][:, 0]
        rows = [int(np.flatnonzero(directions == k)[0]) for k in range(probe.settings.directions)]
        starts = dict(zip((*EPOCHS, "end"), episodes.facts["epoch_starts"][0].tolist(), strict=True))
        return cls(
            episodes.select(rows),
            starts["delay1"] - 1,
            starts["go1"] - 1,
            (starts["go1"] + starts["end"]) // 2,
        )


def fixed_points(
    network: MPN, battery: CognitiveBattery, name: str, seed: int, effort: PointsEffort
) -> Measured:
    """Fixed points under the stimulus, and in the delay, of a task with a delay.

    Sets, by where the search starts: `stimulus` (M at the end of the stimulus, its input held), `delay` (M at
    the end of the delay, the delay's input held: what is remembered), `random` (the same input, M of rank one
    at random), and `settled`: where M is after many more steps of the delay, which are attractors if anything
    is. Beside a rate of 1 - lambda = 0.01 at which M fades, the published limit of 0.05 for a residual lets
    every slow state pass; see the residuals.

    Arrays: `points/right` (K,), right responses in degrees; of each set (S,) `points/<set>/residual`,
    `accepted`, `moved` (|M - start| / |start|), `radius`, `response` (degrees, what the network would answer
    from there) and `error` (degrees from the right one; NaN for random starts), and `eigenvalues` (S, 8).
    Metrics: `points/tolerance`, how near to 1 is "at 1"; `points/<set>/<share>` with `accepted`, and of those
    `stable`, `marginal`, `unstable`, `ring`; and medians of `radius`, `residual`, `error` and `moved`.
    """
    function, probe = Held(network), _Probe.of(battery, name, seed)
    observations = probe.episodes.observations
    stimulus, delay = function.modulations(probe.episodes, [probe.stimulus_end, probe.delay_end])
    rng = named_generator(seed, "random starts")
    shape = (stimulus.shape[1], stimulus.shape[2])
    size = float(np.linalg.norm(delay, axis=(1, 2)).mean())
    angles = np.degrees(probe.episodes.facts["response_angle"])
    metrics: dict[str, float] = {}
    arrays: Arrays = {"points/right": angles}
    metrics["points/tolerance"] = function.tolerance
    waiting, go = observations[probe.delay_end, 0], observations[probe.response, 0]
    ends = function.settled(np.broadcast_to(waiting, (len(delay), len(waiting))), delay, effort.settling)
    sets = {
        "delay": delay,
        "settled": ends,
        "random": random_rank_one(effort.random, shape, rng, size),
        "stimulus": stimulus,
    }
    for kind, starts in sets.items():
        if not len(starts):
            continue
        # Under the stimulus, every direction has an input and so a map of its own.
        held_inputs = observations[probe.stimulus_end] if kind == "stimulus" else [waiting] * len(starts)
        minima, values = [], []
        for start, observation in zip(starts, held_inputs, strict=True):
            minima.append(find_fixed_points(function.step(observation), start[None], effort.search))
            values.append(
                leading_eigenvalues(function.step(observation), minima[-1].points[0], rng, effort.eigenvalues)
            )
        points = FixedPoints(*(np.concatenate(parts) for parts in zip(*minima, strict=True)))
        right = np.full(len(starts), np.nan) if kind == "random" else angles
        from_where = delay if kind == "settled" else starts
        more, own = _description(points, from_where, values, function, go, right)
        metrics |= {f"points/{kind}/{key}": value for key, value in more.items()}
        arrays |= {f"points/{kind}/{key}": value for key, value in own.items()}
    return metrics, arrays


def _description(
    points: FixedPoints,
    starts: Floats,
    values: list[npt.NDArray[np.complex128]],
    function: Held,
    go: npt.NDArray[Any],
    right: Floats,
) -> Measured:
    """Metrics and arrays of some fixed points."""
    kinds = [stability(v, function.tolerance) for v in values]
    distance = np.linalg.norm(points.points - starts, axis=(1, 2)) / np.linalg.norm(starts, axis=(1, 2))
    response = _direction(function.answer(go, points.points))
    arrays: Arrays = {
        "residual": points.residual,
        "accepted": points.accepted,
        "moved": distance,
        "radius": np.array([k.radius for k in kinds]),
        "response": response,
        "error": _apart(response, right),
        "eigenvalues": np.stack(values),
    }
    passed = [k for k, accepted in zip(kinds, points.accepted, strict=True) if accepted]
    metrics = {"accepted": float(points.accepted.mean())}
    for kind in ("stable", "marginal", "unstable"):
        metrics[kind] = float(np.mean([k.kind == kind for k in passed])) if passed else float("nan")
    metrics["ring"] = float(np.mean([k.ring for k in passed])) if passed else float("nan")
    metrics |= {
        key: float(np.median(np.asarray(arrays[key], dtype=np.float64)))
        for key in ("radius", "residual", "error", "moved")
    }
    return metrics, arrays


def followed(
    network: MPN, battery: CognitiveBattery, names: tuple[str, str], seed: int, effort: PointsEffort
) -> Measured:
    """The fixed point under a stimulus while the rule goes from one task's to another's.

    It is followed in two ways: each time to the nearest minimum of |F(M) - M| (`nearest`), and by letting M
    settle each time (`settled`), which keeps to attractors.

    Arrays, `<way>` one of the two: `followed/shares` (A,); `followed/<way>/turned`, (K, A), degrees between
    the stimulus and what the network would answer from there, under the same mixture of rules;
    `followed/<way>/residual` and `jump` (|M - M before| / |M before|), (K, A).
    """
    function = Held(network)
    first, second = (_Probe.of(battery, name, seed) for name in names)
    shares = np.linspace(1.0, 0.0, effort.shares)
    starts = function.modulations(first.episodes, [first.stimulus_end])[0]
    theta = np.degrees(first.episodes.facts["theta"][:, 0])
    rows = range(0, len(starts), max(1, len(starts) // effort.directions))
    parts: dict[str, list[Floats]] = {}
    for row in rows:
        inputs = [p.episodes.observations[:, row].astype(np.float64) for p in (first, second)]

        def mixed(share: float, at: int, inputs: list[Floats] = inputs) -> Floats:
            return np.asarray(share * inputs[0][at] + (1.0 - share) * inputs[1][at])

        def step_at(share: float, mixed: Callable[[float, int], Floats] = mixed) -> Step:
            return function.step(mixed(share, first.stimulus_end))

        point, path = starts[row][None], []
        for share in shares:
            point = function.settled(mixed(share, first.stimulus_end)[None], point, effort.settling)
            path.append(find_fixed_points(step_at(share), point, replace(effort.search, lbfgs_updates=0)))
        ways = {
            "nearest": follow_fixed_point(step_at, starts[row], shares.tolist(), effort.search),
            "settled": FixedPoints(*(np.concatenate(each) for each in zip(*path, strict=True))),
        }
        for way, points in ways.items():
            answers = [
                function.answer(mixed(share, first.response), point[None])
                for share, point in zip(shares, points.points, strict=True)
            ]
            moves = np.linalg.norm(np.diff(points.points, axis=0), axis=(1, 2))
            sizes = np.linalg.norm(points.points, axis=(1, 2))
            for name, values in (
                ("turned", _apart(_direction(np.concatenate(answers)), theta[row])),
                ("residual", points.residual),
                ("jump", np.concatenate(([0.0], moves / sizes[:-1]))),
            ):
                parts.setdefault(f"{way}/{name}", []).append(values)
    arrays = {f"followed/{name}": np.stack(values) for name, values in parts.items()}
    metrics: dict[str, float] = {}
    for way in ("nearest", "settled"):
        angles = arrays[f"followed/{way}/turned"].mean(0)
        metrics |= {
            f"followed/{way}/turned_first": float(angles[0]),
            f"followed/{way}/turned_last": float(angles[-1]),
            f"followed/{way}/share_at_90": _crossing(shares, angles),
            f"followed/{way}/largest_jump": float(arrays[f"followed/{way}/jump"].max()),
            f"followed/{way}/residual": float(np.median(arrays[f"followed/{way}/residual"])),
        }
    return metrics, arrays | {"followed/shares": shares}


def _crossing(shares: Floats, angles: Floats, at: float = 90.0) -> float:
    """The first of some falling shares at which the response is turned by more than that; NaN if none."""
    beyond = np.flatnonzero(angles > at)
    if not len(beyond) or beyond[0] == 0:
        return float("nan")
    after = int(beyond[0])
    weight = (at - angles[after - 1]) / (angles[after] - angles[after - 1])
    return float(shares[after - 1] + weight * (shares[after] - shares[after - 1]))


def _direction(outputs: Floats) -> Floats:
    """Degrees of the directions of compact outputs (S, 3): fixation, sin, cos."""
    return np.asarray(np.degrees(np.arctan2(outputs[:, 1], outputs[:, 2])) % 360.0)


def _apart(degrees: Floats, others: Floats | float) -> Floats:
    """Between angles, 0 to 180 degrees."""
    return np.asarray(np.abs((degrees - others + 180.0) % 360.0 - 180.0))
