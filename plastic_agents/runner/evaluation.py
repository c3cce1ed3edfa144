"""The final score of a run: the agent on the test split, beside chance and the task's oracle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plastic_agents.agent import Agent
from plastic_agents.seeding import named_generator, torch_generator
from plastic_envs.episodes import Episodes
from plastic_envs.task import Task

# Numbers of a sampled episode's score that a 95 % interval of its mean spans to either side.
_Z_95 = 1.96


@dataclass(frozen=True)
class Played:
    """Episodes and what an agent did in them.

    Attributes:
        task: The task of the episodes.
        episodes: The episodes, as played.
        actions: (T, B, ...).
    """

    task: Task
    episodes: Episodes
    actions: npt.NDArray[Any]


def play(agent: Agent, task: Task, num_episodes: int, seed: int, name: str) -> Played:
    """Let an agent play fresh episodes, the same ones for every agent with that seed and name.

    Args:
        agent: The agent; its memory is fresh in every episode.
        task: The task.
        num_episodes: Number of episodes.
        seed: Seed of the run.
        name: Purpose of the episodes; names the stream of random numbers.
    """
    episodes = task.sample(named_generator(seed, name), num_episodes)
    actions = agent.act_on(episodes, task, torch_generator(seed, f"{name}/agent"))
    return Played(task, episodes, actions)


def normalised(score: float, chance: float, oracle: float) -> float:
    """Score on the scale where chance is 0 and the task's oracle is 1.

    Raises:
        ValueError: If oracle and chance are equal: then there is no such scale.
    """
    if oracle == chance:
        raise ValueError(f"oracle and chance both score {chance}: the task cannot tell agents apart.")
    return (score - chance) / (oracle - chance)


def evaluate(agent: Agent, task: Task, num_episodes: int, seed: int) -> tuple[dict[str, float], Played]:
    """Score an agent on a task's test split.

    Args:
        agent: The agent.
        task: The test split.
        num_episodes: Episodes to take the score over.
        seed: Seed of the run.

    Returns:
        `score`, its 95 % interval over episodes (`score_low`, `score_high`), `chance`, `oracle`,
        `normalized_score`, the task's own metrics, `reference/<name>` for every reference score, and
        `<probe>/<metric>` for every condition the task probes; and the episodes behind the score.
    """
    record = play(agent, task, num_episodes, seed, "test")
    own = task.metrics(record.episodes, record.actions)
    references = task.reference_scores(record.episodes)
    chance, oracle = references["chance"], references["oracle"]
    per_episode = task.episode_scores(record.episodes, record.actions)
    margin = (
        _Z_95 * float(np.std(per_episode, ddof=1 if len(per_episode) > 1 else 0)) / len(per_episode) ** 0.5
    )
    metrics = {
        "score": own["score"],
        "score_low": own["score"] - margin,
        "score_high": own["score"] + margin,
        "chance": chance,
        "oracle": oracle,
        # Undefined if chance equals the oracle; that must not lose a trained agent.
        "normalized_score": math.nan if oracle == chance else normalised(own["score"], chance, oracle),
    }
    metrics |= {name: value for name, value in own.items() if name != "score"}
    metrics |= {f"reference/{name}": value for name, value in references.items()}
    for name, probe in task.probes().items():
        trial = play(agent, probe, num_episodes, seed, f"probe/{name}")
        metrics |= {f"{name}/{k}": v for k, v in probe.metrics(trial.episodes, trial.actions).items()}
    return metrics, record
