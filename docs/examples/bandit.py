"""A two-armed bandit whose better arm changes without notice, and the ideal observer of it."""

import numpy as np
from gymnasium.spaces import Box, Discrete

from plastic_envs import Episodes, Task


class ReversalBandit(Task):
    """Pull one of two arms; the better one pays with probability `p`, the other with 1 - `p`."""

    closed_loop, chance = True, 0.5
    action_space = Discrete(2)
    observation_space = Box(0.0, 1.0, (3,), np.float32)  # the last arm, one-hot, and what it paid

    def __init__(self, num_steps: int = 40, p: float = 0.8, hazard: float = 0.05) -> None:
        self.num_steps, self.p, self.hazard = num_steps, p, hazard

    def generate(self, streams):
        shape = self.num_steps, len(streams)
        changes = (streams.uniform(self.num_steps) < self.hazard).T.cumsum(axis=0)
        better = (streams.integers(2, 1).T + changes) % 2
        better_pays = (streams.uniform(self.num_steps) < self.p).T
        return Episodes(
            observations=np.zeros((*shape, 3), np.float32), targets=better.astype(np.int64),
            mask=np.ones(shape, np.float32), periods=np.zeros(shape, np.int8),
            resets=np.zeros(shape, bool), lengths=np.full(shape[1], self.num_steps),
            step_facts={"better_pays": better_pays},
        )  # fmt: skip

    def reward(self, episodes, steps, rows, actions):
        is_better = episodes.targets[steps, rows] == actions
        return (episodes.step_facts["better_pays"][steps, rows] == is_better).astype(np.float32)

    def advance(self, episodes, steps, rows, actions):
        seen = np.stack([actions == 0, actions == 1, self.reward(episodes, steps, rows, actions)], axis=-1)
        more = steps + 1 < self.num_steps
        episodes.observations[steps[more] + 1, rows[more]] = seen[more]

    def oracle_policy(self):
        return Observer(self.p, self.hazard)


class Observer:
    """Bayes' rule for the probability that arm 1 is the better one."""

    def __init__(self, p: float, hazard: float) -> None:
        self.p, self.hazard = p, hazard

    def act(self, observations, episode_starts):
        belief = np.where(episode_starts, 0.5, getattr(self, "belief", 0.5))
        says_one = observations[:, 1] == observations[:, 2]  # arm 1 paid, or arm 0 did not
        odds = belief / (1 - belief) * np.where(says_one, self.p / (1 - self.p), (1 - self.p) / self.p)
        posterior = np.where(observations[:, :2].any(axis=1), odds / (1 + odds), belief)
        self.belief = posterior * (1 - self.hazard) + (1 - posterior) * self.hazard
        return (self.belief > 0.5).astype(np.int64)
