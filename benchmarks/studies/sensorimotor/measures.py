"""Measurements of the sensorimotor study, from the weights that a run stored after every problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.studies.study import Arrays, Measured
from plastic_agents.analysis.learning_to_learn import BLOCK, block_means, fit_learning_curve
from plastic_agents.analysis.subspaces import Moments, output_currents, participation_ratio, subspaces
from plastic_agents.analysis.vector_fields import cumulative_change, field_change, summarise, trajectories
from plastic_agents.learners.problem_sequence import one_trial_each
from plastic_agents.networks.leaky_softplus.network import LeakySoftplus
from plastic_agents.networks.leaky_softplus.rule import Weights, views
from plastic_agents.registry import make
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports.sensorimotor import counts_of
from plastic_envs.task import Task

_AT_ONCE = 10  # problems whose vector fields are held in memory


@dataclass(frozen=True)
class Effort:
    """Bounds of the analysis of cumulative changes.

    Attributes:
        problems: Problems at most.
        points: Problems times steps at most.
    """

    problems: int = 501
    points: int = 100_000


class Stored:
    """The weights of a run after every problem, and the problems.

    Args:
        run: Run of a problem-sequence learner, with `snapshots`.

    Attributes:
        leak: Leak of the network.
        num_problems: P.
        ms_per_step: Duration of a step in published steps, by which vectors of the flow are divided.
    """

    def __init__(self, run: Results) -> None:
        self._task = run.config.task()
        self._seed, self._flat = run.config.seed, run.arrays["snapshots"]
        agent: Any = make(run.config.agent, self._task, device="cpu", **run.config.agent_kwargs)
        network: LeakySoftplus = agent.network
        self._sizes, self.leak = network.sizes, network.dynamics.leak
        self.num_problems = len(self._flat)
        self.ms_per_step = self.leak / 0.01

    def weights(self, first: int, last: int) -> Weights:
        """After problems number `first` to `last` - 1 (from 0), each (P, ...) float64."""
        return views(self._flat[first:last].astype(np.float64), *self._sizes)

    def inputs(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """A trial of each image of these problems, (P, K, T, I)."""
        problems: list[Task] = [self._task.with_problem(n, seed=self._seed) for n in range(first, last)]
        return np.stack([one_trial_each(problem) for problem in problems]).astype(np.float64)


def measure_sequence(run: Results, effort: Effort) -> Measured:
    """Learning curve, output currents of block 1, vector fields of all problems, and cumulative changes."""
    counts = counts_of(run)
    snapshots = Stored(run)
    metrics, arrays = _vector_fields(snapshots, counts)
    metrics |= _learning(counts)
    arrays |= _currents(snapshots)
    num = min(
        snapshots.num_problems, effort.problems, max(3, effort.points // snapshots.inputs(0, 1).shape[2])
    )
    change = cumulative_change(snapshots.weights(0, num), snapshots.inputs(0, num), snapshots.leak)
    scale = snapshots.ms_per_step
    arrays |= {
        "cumulative/lags": change.lags,
        "cumulative/perpendicular": change.perpendicular / scale,
        "cumulative/parallel": change.parallel / scale,
        "cumulative/suppression_perpendicular": change.suppression_perpendicular / scale,
        "cumulative/suppression_parallel": change.suppression_parallel / scale,
    }
    for name in ("perpendicular", "parallel"):
        metrics[f"suppression/{name}"] = float(np.nanmean(arrays[f"cumulative/suppression_{name}"]))
    return metrics, arrays


def measure_perturbation(run: Results) -> Measured:
    """Trials of problem 1, and the mean over the perturbed problems."""
    counts, before = counts_of(run), int(getattr(run.config.learner, "num_before", 50))
    metrics = {
        "problem_1": float(counts[0]),
        "perturbed": float(np.nanmean(counts[before:])),
        "perturbed_median": float(np.nanmedian(counts[before:])),
        "failed": float(np.isnan(counts).sum()),
    }
    return metrics, {}


def _learning(counts: npt.NDArray[np.float64]) -> dict[str, float]:
    fit, blocks = fit_learning_curve(counts[1:]), block_means(counts[1:])
    return {
        "fit/asymptote": fit.asymptote,
        "fit/time_constant": fit.time_constant,
        "fit/scale": fit.scale,
        "problem_1": float(counts[0]),
        "problems_2_11": float(np.nanmean(counts[1:11])),
        "problems_last_500": float(np.nanmean(counts[-500:])),
        "last_over_first": float(blocks[-1] / blocks[0]),
        "failed": float(np.isnan(counts).sum()),
        **{f"block/{k + 1}": float(mean) for k, mean in enumerate(blocks)},
    }


def _vector_fields(snapshots: Stored, counts: npt.NDArray[np.float64]) -> Measured:
    """Magnitudes and dimensions of the change of the flow, problem by problem and block by block."""
    sizes: dict[str, list[npt.NDArray[np.float64]]] = {}
    dimensions: dict[str, list[npt.NDArray[np.float64]]] = {}
    of_blocks: dict[str, list[float]] = {}
    invariant = 0.0
    for start in range(1, snapshots.num_problems - BLOCK + 1, BLOCK):
        squares: dict[str, npt.NDArray[np.float64]] = {}
        for first in range(start, start + BLOCK, _AT_ONCE):
            last = first + _AT_ONCE
            weights, before = snapshots.weights(first, last), snapshots.weights(first - 1, last - 1)
            change = field_change(weights, before, snapshots.inputs(first, last), snapshots.leak)
            off = np.abs(change.weight_perpendicular + change.state_perpendicular).max()
            invariant = max(invariant, float(off))
            summary = summarise(change)
            for name, values in summary.magnitudes.items():
                scale = 1.0 if name in ("current", "recurrent") else snapshots.ms_per_step
                sizes.setdefault(name, []).append(values / scale)
            for name, values in summary.dimension.items():
                dimensions.setdefault(name, []).append(values)
                past = squares.get(name)
                squares[name] = summary.squares[name] if past is None else past + summary.squares[name]
        for name, square in squares.items():
            of_blocks.setdefault(name, []).append(participation_ratio(square))
    size = {name: np.concatenate(parts) for name, parts in sizes.items()}
    dimension = {name: np.concatenate(parts) for name, parts in dimensions.items()}
    metrics = {"invariant": invariant}
    for name, values in size.items():
        blocks = block_means(values)
        metrics |= {f"size/{name}/{k + 1}": float(v) for k, v in enumerate(blocks)}
        metrics |= {f"relative/{name}/{k + 1}": float(v / blocks[0]) for k, v in enumerate(blocks)}
    for name, values in dimension.items():
        metrics |= {f"dimension/{name}/{k + 1}": float(v) for k, v in enumerate(block_means(values))}
        metrics |= {f"block_dimension/{name}/{k + 1}": v for k, v in enumerate(of_blocks[name])}
    length = min(500, len(size["recurrent"]))
    weight, needed = size["recurrent"][:length], counts[1 : 1 + length]
    finite = np.isfinite(needed)
    correlation: npt.NDArray[np.float64] = np.asarray(np.corrcoef(weight[finite], needed[finite]))
    metrics["dw_rec/r_squared"] = float(correlation[0, 1]) ** 2
    arrays = {f"size/{name}": values for name, values in size.items()}
    arrays |= {f"dimension/{name}": values for name, values in dimension.items()}
    return metrics, arrays


def _currents(snapshots: Stored) -> Arrays:
    """Output currents in block 1 by part of the trajectories: mean and standard error, (K, T, O)."""
    last = min(1 + BLOCK, snapshots.num_problems)
    weights = snapshots.weights(1, last)
    states = trajectories(weights, snapshots.inputs(1, last), snapshots.leak)[:, :, 1:]
    spaces = subspaces(Moments.of(states))
    currents = output_currents(states, spaces.decision, weights.readout)
    arrays: Arrays = {
        "subspaces/decision_energy": spaces.decision_energy,
        "subspaces/stimulus_energy": np.array(spaces.stimulus_energy),
    }
    for name, values in currents._asdict().items():
        arrays[f"currents/{name}/mean"] = values.mean(0)
        arrays[f"currents/{name}/error"] = values.std(0, ddof=1) / len(values) ** 0.5
    return arrays
