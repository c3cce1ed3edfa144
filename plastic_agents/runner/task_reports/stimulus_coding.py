"""Measurements and figures of the drifting stimulus: error and code of each angle.

Learning is off while this is measured: one held angle per episode, 100 time units each, of which the first 20
are left out. Every agent is shown the same angles. `before` is the same agent with the weights that its seed
starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

import plastic_agents
from plastic_agents.agent import Agent, NetworkAgent
from plastic_agents.analysis import coding
from plastic_agents.analysis.plots import coding as coding_plots
from plastic_agents.networks.three_factor.network import NoisyRates
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.evaluation import play
from plastic_agents.runner.figures import COLOURS, GREY, colour_of, styled
from plastic_agents.runner.results import Results, by_agent
from plastic_agents.runner.task_reports import plain
from plastic_agents.seeding import named_generator, torch_generator
from plastic_envs.episodes import Episodes
from plastic_envs.stimulus_coding.task import SETTLED_TIME, TILES, StimulusCoding, tuned_inputs

_HELD_TIME = 100.0  # time units per held angle
_EPISODES_PER_TILE = 5
_RECORD_EVERY = 20  # steps, as published
_TRACE_TIME = 300.0  # of drift, for a picture
_ROWS_AT_ONCE = 12
_SEED = 0  # not the run's: all agents are shown the same
_WHEN = ("before", "after")
_MODE, _OPPOSITE = 6, 0  # tiles, if mu = 0


class _Recorded(NamedTuple):
    """Records of settled steps: angles (S,), outputs (S, K), scores (S,), features (S, F)."""

    tile: npt.NDArray[np.int8]
    outputs: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64]


def measure(agent: Agent, config: RunConfig) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """The code of each held angle.

    Metrics, for `<when>` before and after learning: `<when>/error` (estimation: squared error, mean over the
    twelve angles, noise included; classification: minus log likelihood), at the most frequent angle
    (`<when>/error_mode`) and opposite (`<when>/error_opposite`), its mean weighted with the prior met
    (`<when>/error_prior`); `<when>/squared_bias` and `<when>/variance` (estimation); `<when>/d_prime` and
    `<when>/accuracy` (classification); `<when>/preferred_cosine`, the mean of cos(preferred angle - mode)
    over units; `<when>/fisher_ratio`, linear Fisher information within 60 degrees of the mode over that
    opposite; and, of rate networks, `<when>/noise_in_decoder_space` and `<when>/current_ratio` (recurrent
    over input).

    Arrays by the same prefix: `error`, `outputs/mean`, `outputs/covariance`, `tuning/mean`,
    `tuning/deviation`, `fisher`; `drift/outputs` and `drift/targets` of a piece of drift; `prior` at 181
    angles.
    """
    metrics, arrays = plain.measure(agent, config)
    task = config.task()
    assert isinstance(task, StimulusCoding)
    arrays["prior"] = task.law.density(np.linspace(-np.pi, np.pi, 181))
    for when in _WHEN:
        player = agent if when == "after" else _untrained(agent, config)
        if player is None:
            continue
        measures, more = _coded(player, task)
        metrics |= {f"{when}/{name}": value for name, value in measures.items()}
        arrays |= {f"{when}/{name}": value for name, value in more.items()}
    drift = task.remake(split="train", num_steps=round(_TRACE_TIME / task.dt))
    record = play(agent, drift, 1, _SEED, "drift")
    arrays["drift/outputs"] = record.actions[::_RECORD_EVERY, 0]
    arrays["drift/targets"] = record.episodes.targets[::_RECORD_EVERY, 0]
    return metrics, arrays


def _untrained(agent: Agent, config: RunConfig) -> Agent | None:
    """The agent as it was before learning; None where nothing is learned."""
    if not isinstance(agent, NetworkAgent):
        return None
    return plastic_agents.make(
        config.agent,
        agent.task,
        seed=config.seed,
        device=str(agent.device),
        method=config.method,
        **config.agent_kwargs,
    )


def _record(agent: Agent, task: StimulusCoding) -> _Recorded:
    """Show every tile equally often, wait until activity settles, and record."""
    steps = round(_HELD_TIME / task.dt)
    still = task.remake(split="test", num_steps=steps, hold_steps=steps, settle_steps=0)
    pool = still.remake(num_steps=1, hold_steps=1).sample(
        named_generator(_SEED, "tiles"), 1
    )  # for the layout
    parts: list[_Recorded] = []
    for first in range(0, len(TILES) * _EPISODES_PER_TILE, _ROWS_AT_ONCE):
        tile = np.arange(first, first + _ROWS_AT_ONCE) % len(TILES)
        episodes = _held_at(pool, still, tile, steps)
        outputs, features = _respond(agent, still, episodes, first)
        scores = still.step_scores(episodes, outputs).astype(np.float64)
        settled = slice(round(SETTLED_TIME / task.dt), None, _RECORD_EVERY)
        count = len(scores[settled]) * len(tile)  # (T', B, ...) -> (T' B, ...)
        parts.append(
            _Recorded(
                np.tile(tile, len(scores[settled])).astype(np.int8),
                outputs[settled].reshape(count, -1),
                scores[settled].ravel(),
                features[settled].reshape(count, features.shape[-1]),
            )
        )
    return _Recorded(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _held_at(pool: Episodes, task: StimulusCoding, tile: npt.NDArray[np.integer], steps: int) -> Episodes:
    """Episodes that hold the given tiles throughout."""
    theta = np.broadcast_to(TILES[tile], (steps, len(tile)))
    one = pool.select(np.zeros(len(tile), dtype=np.int64))
    return Episodes(
        observations=tuned_inputs(theta).astype(np.float32),
        targets=task.target(theta).astype(np.float32),
        mask=np.ones(theta.shape, dtype=np.float32),
        periods=np.broadcast_to(one.periods, theta.shape),
        resets=np.zeros(theta.shape, dtype=bool),
        lengths=np.full(len(tile), steps),
        step_facts={"theta": theta},
    )


@torch.no_grad()
def _respond(
    agent: Agent, task: StimulusCoding, episodes: Episodes, first: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Outputs (T, B, K), and features (T, B, F), F = 0 for agents without a network."""
    generator = torch_generator(_SEED, f"held/{first}")
    if not isinstance(agent, NetworkAgent):
        outputs = agent.act_on(episodes, task, generator)
        return outputs, np.zeros((*outputs.shape[:2], 0))
    inputs = torch.as_tensor(episodes.observations, device=agent.device)
    state = agent.network.initial_state(inputs.shape[1], generator)
    out, features, _ = agent.network.run(inputs, state)
    return out.cpu().numpy(), features.cpu().numpy()


def _coded(agent: Agent, task: StimulusCoding) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """The metrics and arrays of `measure` for one set of weights."""
    recorded = _record(agent, task)
    turned = (np.arange(len(TILES)) + round(task.mu / (TILES[1] - TILES[0]))) % len(TILES)
    error = -coding.by_angle(recorded.scores[:, None], recorded.tile, len(TILES)).mean[:, 0]
    prior = task.law.density(TILES)
    metrics = {
        "error": float(error.mean()),
        "error_mode": float(error[turned[_MODE]]),
        "error_opposite": float(error[turned[_OPPOSITE]]),
        "error_prior": coding.weighted_mean(error, prior),
    }
    outputs = coding.by_angle(recorded.outputs, recorded.tile, len(TILES))
    arrays: dict[str, npt.NDArray[Any]] = {
        "error": error,
        "outputs/mean": outputs.mean,
        "outputs/covariance": outputs.covariance,
    }
    targets = task.target(TILES)
    if task.readout == "estimation":
        parts = coding.output_error(outputs, targets)
        metrics |= {
            "squared_bias": float(parts.squared_bias.mean()),
            "variance": float(parts.variance.mean()),
        }
    else:
        positive = targets[recorded.tile, 0] > 0.5
        metrics["accuracy"] = float(((recorded.outputs[:, 0] > 0.5) == positive).mean())
    if recorded.features.shape[1] == 0:
        return metrics, arrays
    tuning = coding.by_angle(recorded.features, recorded.tile, len(TILES))
    preferred = coding.preferred_angles(tuning.mean, TILES)
    # A network without noise inside has infinite information; the ridge only keeps the numbers finite.
    fisher = coding.fisher_information(tuning, TILES, ridge=1e-6)
    near = np.cos(TILES - task.mu)
    metrics |= {
        "preferred_cosine": float(np.cos(preferred - task.mu).mean()),
        "fisher_ratio": float(fisher[near > 0.49].mean() / fisher[near < -0.49].mean()),
    }
    arrays |= {"tuning/mean": tuning.mean, "tuning/deviation": tuning.deviation, "fisher": fisher}
    if isinstance(agent, NetworkAgent) and isinstance(agent.network, NoisyRates):
        weights = agent.network.weights()
        metrics["noise_in_decoder_space"] = float(
            coding.noise_in_decoder_space(tuning.covariance, weights.decoder).mean()
        )
        *_, ratio = coding.currents(tuning.mean, tuned_inputs(TILES), weights.recurrent, weights.input)
        metrics["current_ratio"] = float(ratio.mean())
        if task.readout == "classification":
            drive = recorded.features @ weights.decoder[0]
            metrics["d_prime"] = coding.d_prime(drive, targets[recorded.tile, 0] > 0.5)
    return metrics, arrays


# ---- figures --------------------------------------------------------------------------------------


def figures(run: Results, runs: Sequence[Results]) -> list[tuple[str, str, Figure]]:
    """Errors, outputs, tuning, preferred angles, information, and a piece of drift."""
    if "after/error" not in run.arrays:
        return []
    results = [
        (
            "error_by_angle",
            "Error at held angles, learning off, of every agent; seeds averaged. The prior is grey.",
            error_by_angle(run, runs),
        ),
        ("drift", "First output and its target while the angle drifts.", drift(run)),
    ]
    if run.arrays["after/outputs/mean"].shape[1] == 2:
        results.append(
            (
                "outputs_on_the_circle",
                "Mean outputs (dots), one standard deviation (ellipses), and targets (black).",
                outputs_on_the_circle(run),
            )
        )
    if "after/tuning/mean" in run.arrays:
        results += [
            ("tuning", "Mean activity of every unit at held angles, before and after learning.", tuning(run)),
            (
                "preferred_angles",
                "Units' preferred angles against the prior met in training, and linear Fisher information.",
                preferred_angles(run),
            ),
        ]
    return results


@styled
def error_by_angle(run: Results, runs: Sequence[Results]) -> Figure:
    """Error of every agent at every held angle."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    behind = axes.twinx()
    behind.fill_between(np.linspace(-np.pi, np.pi, 181), run.arrays["prior"], color="#e9ecef", linewidth=0)
    behind.set(yticks=[], ylim=(0, 1.5 * run.arrays["prior"].max()))
    behind.set_zorder(0)
    axes.set_zorder(1)
    axes.patch.set_visible(False)
    for agent, group in by_agent(list(runs)).items():
        errors = [r.arrays["after/error"] for r in group if "after/error" in r.arrays]
        if errors:
            axes.plot(TILES, np.mean(errors, axis=0), "o-", color=colour_of(agent), markersize=3, label=agent)
    if "before/error" in run.arrays:
        axes.plot(
            TILES, run.arrays["before/error"], color=GREY, linestyle=":", label=f"{run.config.agent}, before"
        )
    axes.set(
        title="Error by angle",
        ylabel=f"minus {run.metrics.get('score_name', 'score')}".replace("minus minus ", ""),
    )
    axes.set_ylim(bottom=0)
    coding_plots.round_the_circle(axes)
    axes.legend()
    return figure


@styled
def drift(run: Results) -> Figure:
    """First output against its target over time."""
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    axes = figure.subplots()
    outputs, targets = run.arrays["drift/outputs"][:, 0], run.arrays["drift/targets"][:, 0]
    time = np.linspace(0.0, _TRACE_TIME, len(outputs))
    axes.plot(time, outputs, color=COLOURS[1], linewidth=0.6, label="output")
    axes.plot(time, targets, color="black", label="target")
    axes.set(
        title="Drift",
        xlabel="time (time constants of a neuron)",
        ylabel="first output",
        xlim=(0, _TRACE_TIME),
    )
    axes.legend()
    return figure


@styled
def outputs_on_the_circle(run: Results) -> Figure:
    """Clouds of outputs before and after."""
    when = [w for w in _WHEN if f"{w}/outputs/mean" in run.arrays]
    figure = Figure(figsize=(4.2 * len(when), 4.2), layout="constrained")
    targets = np.stack((np.cos(TILES), np.sin(TILES)), axis=1)
    for axes, name, colour in zip(
        figure.subplots(1, len(when), squeeze=False)[0], when, COLOURS, strict=False
    ):
        mean, covariance = (run.arrays[f"{name}/outputs/{part}"] for part in ("mean", "covariance"))
        moments = coding.Moments(mean, covariance, np.zeros(len(TILES), dtype=np.int64))
        coding_plots.draw_outputs_on_circle(axes, moments, targets, colour)
        axes.set_title(f"{name} learning: mean error {run.metrics[f'{name}/error']:.3f}")
    return figure


@styled
def tuning(run: Results) -> Figure:
    """Tuning curves before and after."""
    when = [w for w in _WHEN if f"{w}/tuning/mean" in run.arrays]
    figure = Figure(figsize=(4.4 * len(when), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(when), squeeze=False)[0], when, strict=True):
        image = coding_plots.draw_tuning(axes, run.arrays[f"{name}/tuning/mean"], TILES)
        axes.set_title(f"{name} learning")
        figure.colorbar(image, ax=axes, label="mean activity")
    return figure


@styled
def preferred_angles(run: Results) -> Figure:
    """Preferred angles and Fisher information before and after."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(np.linspace(-np.pi, np.pi, 181), run.arrays["prior"], color="black", label="prior met")
    for name, colour in zip(_WHEN, COLOURS, strict=False):
        if f"{name}/tuning/mean" in run.arrays:
            preferred = coding.preferred_angles(run.arrays[f"{name}/tuning/mean"], TILES)
            coding_plots.draw_preferred(left, preferred, TILES, colour, f"{name} learning")
            right.plot(
                TILES,
                run.arrays[f"{name}/fisher"],
                "o-",
                markersize=3,
                color=colour,
                label=f"{name} learning",
            )
    left.set_title("Preferred angles")
    right.set(title="Linear Fisher information", ylabel="per squared radian")
    right.set_ylim(bottom=0)
    coding_plots.round_the_circle(right)
    left.legend()
    right.legend()
    return figure
