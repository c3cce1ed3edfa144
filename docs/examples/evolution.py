"""Slow weights learned by evolution strategies: no gradient, only scores of perturbed networks."""

from dataclasses import dataclass

import torch

from plastic_agents.learners.base import Learner, LearnerConfig, put_weights, weights_of
from plastic_agents.seeding import Streams


@dataclass(frozen=True)
class EvolutionConfig(LearnerConfig):
    """Settings: pairs of perturbed networks per update, their spread, and the step's length."""

    pairs: int = 8
    spread: float = 0.05
    learning_rate: float = 0.2


class Evolution(Learner[EvolutionConfig]):
    """Step along perturbations of the weights, each in proportion to the score that it brings.

    Source: Salimans et al., arXiv:1703.03864 (2017), with mirrored perturbations.
    """

    Config = EvolutionConfig

    def train_step(self, agent, log):
        config, task = self.config, self.train_task
        generator = self.streams.torch(Streams.BEHAVIOUR, self.update)
        episodes, center = self.training_episodes(), weights_of(agent.network)
        center = {name: value.clone() for name, value in center.items()}
        step, scores = {name: torch.zeros_like(value) for name, value in center.items()}, []
        for _ in range(config.pairs):
            noise = {name: torch.randn(value.shape, generator=generator) for name, value in center.items()}
            pair = []
            for sign in (config.spread, -config.spread):
                put_weights(agent.network, {k: center[k] + sign * noise[k] for k in center})
                actions = agent.respond(task, played := task.unplayed(episodes))[1]
                pair.append(task.metrics(played, actions)["score"])
            step = {k: step[k] + (pair[0] - pair[1]) * noise[k] for k in step}
            scores += pair
        rate = config.learning_rate / (2 * config.pairs * config.spread)
        put_weights(agent.network, {k: center[k] + rate * step[k] for k in center})
        self.env_steps += 2 * config.pairs * int(episodes.lengths.sum())
        return {"train/score": sum(scores) / len(scores)} if log else {}
