"""Learning from what a synapse sees, and one broadcast number: noise, eligibility, reward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from plastic_agents.learners.base import AgentLike, BatchSize, Count, Factor, Interval, Learner, LearnerConfig
from plastic_agents.networks.three_factor.constants import RULES, Constants
from plastic_agents.networks.three_factor.network import START_RATE, NoisyRates, rate_step
from plastic_agents.networks.three_factor.rule import run_trial
from plastic_agents.seeding import Streams
from plastic_envs.arguments import Range, Words
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

__all__ = ["ThreeFactorConfig", "ThreeFactorLearner"]

_QUIET_SHARE = 0.25  # of an episode, at most, in which nothing is learned
_STEPWISE_RATE, _STEPWISE_DECODER_RATE = 0.5, 4.0
_ANNEALED_TO = 0.01  # of the rate at the start, as published


TimeConstant = Annotated[float, Range(1e-6, 1e9)]


@dataclass(frozen=True)
class ThreeFactorConfig(LearnerConfig):
    """Settings of the three-factor learner, beside those of every `LearnerConfig`.

    Attributes:
        batch_size: Episodes per update; where time is continuous they are lived one after the other.
        rule: "three-factor", or one of the rules to compare it with: "decoder-only" (W, U and b stay as they
            are), "reward-independent" (the reward in the rule is a constant), "node-perturbation" (the noise
            itself, filtered, is the eligibility), "exact-gradient" (the gradient of the reward along the path
            of the noise).
        rate: Learning rate of W, U and b; None: as published where the reward is known in closed form, else
            0.5.
        decoder_rate: Learning rate of D; None: as published, else 4 (per mean squared length of the rates).
        decay: Factor on the published weight decay.
        cost_l1: Metabolic cost in the reward per unit of rate.
        cost_l2: Metabolic cost in the reward per unit of squared rate.
        reward_baseline: Subtract the reward's running mean. Without closed form of the reward it always is.
        anneal_time: Time constant, in time units, with which rates fall to a hundredth (published: 150 000);
            0: they do not.
        quiet_time: Time units at the start of an episode in which nothing is learned (at most a quarter of
            it).
        mean_time: Time constant of the running means.
        trace_time: Time constant of eligibility that is filtered noise.
        exploration: Standard deviation of the noise on actions of a continuous action space, where targets
            are not used.
    """

    updates: Count = 260
    batch_size: BatchSize = 50
    evaluate_every: Interval = 10
    validation_episodes: BatchSize = 24
    log_every: Interval = 1
    rule: Annotated[str, Words(RULES)] = "three-factor"
    rate: Annotated[float, Range(0, 1000)] | None = None
    decoder_rate: Annotated[float, Range(0, 1000)] | None = None
    decay: Factor = 1.0
    cost_l1: Factor = 0.0
    cost_l2: Factor = 0.0
    reward_baseline: bool = False
    anneal_time: Annotated[float, Range(0, 1e12)] = 0.0
    quiet_time: Annotated[float, Range(0, 1e12)] = 40.0
    mean_time: TimeConstant = 20 / 3
    trace_time: TimeConstant = 1.0
    exploration: Annotated[float, Range(1e-6, 1000)] = 0.2


class ThreeFactorLearner(Learner[ThreeFactorConfig]):
    """Reward-modulated Hebbian plasticity of a noisy rate network, without back-propagation.

    The change of a synapse is (reward) x (eligibility), eligibility being what the noise inside the network
    did to the two neurons that it joins. It comes in two forms, chosen by what the task says of itself:

    * Continuous time and a reward in closed form (`step_time` and `objective`): the published rule.
      Eligibility is coactivation less its recent mean, weights change at every step, the decoder learns from
      the target by the delta rule; compiled. Its condition is an input that is slow beside `mean_time`.
    * Any other task: only the reward is used. Inputs jump from step to step, so that a running mean would mix
      up what was shown with what the noise did; eligibility is then the noise itself times the rate before
      it, filtered with `trace_time`, and the decoder follows its own exploration (REINFORCE: taken action
      less expected action, times rates). The reward is taken relative to its mean at that step of the
      episode. Weights change after each batch.

    What it cannot do: nothing links a reward to noise longer ago than `trace_time`, the slow weights of this
    network hold nothing of a single episode, and its activity forgets within a few time constants unless W
    comes to hold it. So tasks that must be learned within an episode stay near chance: that is a result, not
    a fault.
    """

    Config = ThreeFactorConfig

    def __init__(self, config: ThreeFactorConfig, task: Task, seed: int) -> None:
        super().__init__(config, task, seed)
        self.closed_form = task.objective is not None and task.step_time is not None and not task.closed_loop
        if not self.closed_form and config.rule == "exact-gradient":
            raise ValueError(
                f"rule='exact-gradient' needs a reward in closed form, and {type(task).__name__} gives none; "
                "take method='supervised' for a gradient."
            )
        if not isinstance(task.action_space, (spaces.Discrete, spaces.Box)):
            raise ValueError(
                f"{type(task).__name__} has actions in {task.action_space}; the three-factor readout "
                "gives Discrete and Box."
            )
        self._expected: torch.Tensor | None = None  # (T,) reward at each step of an episode

    def prepare(self, agent: AgentLike) -> None:
        """Check that the network is one with noise in it."""
        if not isinstance(agent.network, NoisyRates):
            raise ValueError(
                f"method='three-factor' learns from the noise of a rate network, and agent {agent.name!r} is "
                f"a {type(agent.network).__name__}; take agent='three-factor', or another method."
            )
        if self.closed_form and agent.network.substeps != 1:
            raise ValueError(
                f"substeps={agent.network.substeps}: where time is continuous a step of the task is one "
                "Euler step; take substeps=1 and choose the task's dt."
            )

    def train_step(self, agent: AgentLike, log: bool) -> dict[str, float]:
        """Live through a batch of episodes."""
        assert isinstance(agent.network, NoisyRates)
        episodes = self.training_episodes()
        live = self._live_in_continuous_time if self.closed_form else self._live_by_steps
        score = live(agent.network, episodes)
        self.env_steps += int(episodes.lengths.sum())
        if not log:
            return {}
        norms = {f"train/norm_{n}": float(p.detach().norm()) for n, p in agent.network.named_parameters()}
        return {"train/score": score, **norms}

    # ---- continuous time ------------------------------------------------------------------------

    def constants(self, network: NoisyRates, num_steps: int) -> Constants:
        """The numbers of the published rule, as the settings change them.

        Args:
            network: Whose time step and noise they are for.
            num_steps: Length of an episode, in steps.
        """
        config, objective = self.config, self.train_task.objective
        assert objective is not None
        base = Constants.published(objective, config.rule, network.constants.dt)
        dt = base.dt
        rate = base.rate if config.rate is None else config.rate
        decoder_rate = base.decoder_rate if config.decoder_rate is None else config.decoder_rate
        annealed = 1.0
        if config.anneal_time:
            lived = self.env_steps * dt / config.anneal_time
            annealed = _ANNEALED_TO + (1 - _ANNEALED_TO) * math.exp(-lived)
        return base._replace(
            sigma=network.constants.sigma,
            rate=annealed * rate,
            decoder_rate=annealed * decoder_rate,
            decay_recurrent=config.decay * base.decay_recurrent,
            decay_input=config.decay * base.decay_input,
            decay_bias=config.decay * base.decay_bias,
            decay_decoder=config.decay * base.decay_decoder,
            cost_l1=config.cost_l1,
            cost_l2=config.cost_l2,
            baseline=int(config.reward_baseline),
            quiet_steps=round(min(config.quiet_time / dt, _QUIET_SHARE * num_steps)),
            mean_rate=dt / config.mean_time,
            trace_time=config.trace_time,
        )

    def _live_in_continuous_time(self, network: NoisyRates, episodes: Episodes) -> float:
        """One episode after the other, learning at every step; returns the mean reward."""
        constants = self.constants(network, episodes.num_steps)
        rng = self.streams.numpy(Streams.BEHAVIOUR, self.update)
        weights = network.weights()
        inputs = episodes.observations.astype(np.float64)
        clean = episodes.step_facts.get("clean_observations", inputs)
        rewards = []
        for row, steps in enumerate(episodes.lengths):
            trial = run_trial(
                weights, np.full(len(weights.bias), START_RATE), inputs[:steps, row],
                episodes.targets[:steps, row], rng.standard_normal((steps, len(weights.bias))), constants,
                record_every=int(steps), rule_inputs=clean[:steps, row],
            )  # fmt: skip
            rewards.append(trial.rewards)
        network.set_weights(weights)
        return float(np.concatenate(rewards).mean())

    # ---- any task -------------------------------------------------------------------------------

    @torch.no_grad()
    def _live_by_steps(self, network: NoisyRates, episodes: Episodes) -> float:
        """All episodes side by side, learning after the last step; returns the task's score."""
        config, task, batch = self.config, self.train_task, episodes.batch_size
        generator = self.streams.torch(Streams.BEHAVIOUR, self.update)
        state = network.initial_state(batch, self.streams.torch(Streams.TRAINING_START, self.update))
        sigma, dt = network.constants.sigma, network.constants.dt
        kept, per_step = math.exp(-dt / config.trace_time), math.exp(-network.step_time / config.trace_time)
        W, U, b = network.recurrent.double(), network.input.double(), network.bias.double()
        traces = [W.new_zeros(batch, *p.shape) for p in (W, U, b, network.readout.weight)]
        gains = [torch.zeros_like(trace[0]) for trace in traces]
        expected = self._expectation(episodes.num_steps)
        rows, actions = np.arange(batch), []
        rates, power = state.rates, 0.0
        for t in range(episodes.num_steps):
            forget = torch.from_numpy(episodes.resets[t])
            rates = torch.where(forget[:, None], torch.full_like(rates, START_RATE), rates)
            inputs = torch.from_numpy(episodes.observations[t]).double()
            drive = inputs @ U.T + b
            kicks = torch.from_numpy(network.noise(state._replace(step=state.step + t), 1)[0])
            for kick in kicks:
                free = rate_step(rates, drive + rates @ W.T, kick, network.constants)
                pushed = sigma * math.sqrt(dt) * kick
                traces[0].mul_(kept).add_(pushed[:, :, None] * rates[:, None, :])
                traces[1].mul_(kept).add_(pushed[:, :, None] * inputs[:, None, :])
                traces[2].mul_(kept).add_(pushed)
                rates = free.clamp(network.constants.least_rate, network.constants.largest_rate)
            action, surprise = self._explore(network.readout(free.to(network.bias.dtype)).double(), generator)
            traces[3].mul_(per_step).add_(surprise[:, :, None] * rates[:, None, :])
            power += float(rates.square().sum(1).mean()) / episodes.num_steps
            actions.append(action)
            steps = np.full(batch, t)
            reward = torch.from_numpy(task.reward(episodes, steps, rows, action).astype(np.float64))
            if task.closed_loop:
                task.advance(episodes, steps, rows, action)
            running = torch.from_numpy(t < episodes.lengths)
            reward -= config.cost_l1 * rates.sum(1) + config.cost_l2 * rates.square().sum(1)
            factor = (reward - expected[t]) * running / batch
            for gain, trace in zip(gains, traces, strict=True):
                gain += torch.tensordot(factor, trace, 1)
            expected[t] += 0.1 * (torch.where(running, reward, expected[t]).mean() - expected[t])
        gains[3] /= power  # so that the decoder's rate does not depend on how many units there are
        self._move(network, [gain / episodes.num_steps for gain in gains])
        score: float = task.metrics(episodes, np.stack(actions))["score"]
        return score

    def _expectation(self, num_steps: int) -> torch.Tensor:
        """Expected reward at each step (T,), grown with zeros to the number of steps."""
        settings = (
            torch.zeros(0, dtype=torch.float64, device="cpu") if self._expected is None else self._expected
        )
        missing = max(num_steps - len(settings), 0)
        self._expected = torch.cat([settings, settings.new_zeros(missing)])
        return self._expected

    def _explore(
        self, outputs: torch.Tensor, generator: torch.Generator
    ) -> tuple[npt.NDArray[Any], torch.Tensor]:
        """Actions drawn around outputs (B, K), and what exploration added to the expected action, (B, K)."""
        space = self.train_task.action_space
        if isinstance(space, spaces.Discrete):
            chances = outputs.softmax(-1)
            samples = torch.multinomial(chances, 1, generator=generator)
            return samples[:, 0].numpy(), torch.zeros_like(chances).scatter_(1, samples, 1.0) - chances
        noise = self.config.exploration * torch.randn(
            outputs.shape, generator=generator, dtype=torch.float64, device=generator.device
        )
        clipped = np.clip((outputs + noise).numpy(), space.low.ravel(), space.high.ravel())
        return clipped.astype(np.float32).reshape(-1, *space.shape), noise

    def _move(self, network: NoisyRates, gains: list[torch.Tensor]) -> None:
        config = self.config
        rate = _STEPWISE_RATE if config.rate is None else config.rate
        decoder_rate = _STEPWISE_DECODER_RATE if config.decoder_rate is None else config.decoder_rate
        parameters = (network.recurrent, network.input, network.bias, network.readout.weight)
        fixed = config.rule == "decoder-only"
        for parameter, gain, eta in zip(parameters, gains, (rate, rate, rate, decoder_rate), strict=True):
            if parameter is network.readout.weight or not fixed:
                parameter.add_((eta * gain).to(parameter.dtype))
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise FloatingPointError(
                f"update {self.update + 1}: weights are not finite; lower rate ({rate}) or decoder_rate "
                f"({decoder_rate})."
            )

    # ---- resuming -------------------------------------------------------------------------------

    def extra_state(self, *, everything: bool = True) -> dict[str, torch.Tensor | None]:
        """The expected rewards."""
        return {"expected": self._expected}

    def load_extra_state(self, state: dict[str, torch.Tensor | None]) -> None:
        """Go on with these expectations."""
        self._expected = state["expected"]
