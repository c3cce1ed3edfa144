"""Tasks written outside: what the base class promises them, and what it asks of them."""

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import ENVIRONMENTS, Episodes, Task, TaskEnv, TaskVectorEnv, make_task, rollout

CLOSED = sorted(env_id for env_id in ENVIRONMENTS if make_task(env_id).closed_loop)


class Echo(Task):
    """The action comes back as a one-hot observation, and has to be named in the next step."""

    observation_space = gym.spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = gym.spaces.Discrete(3)
    chance = 1 / 3
    closed_loop = True

    def __init__(self, num_steps=6, **named):
        self.num_steps = num_steps

    def generate(self, streams):
        shape = (self.num_steps, len(streams))
        targets = streams.integers(3, self.num_steps).T
        observations = np.zeros((*shape, 3), np.float32)
        observations[0] = np.eye(3)[targets[0]]
        return Episodes(
            observations=observations,
            targets=targets,
            mask=np.ones(shape, np.float32),
            periods=np.zeros(shape, np.int8),
            resets=np.zeros(shape, bool),
            lengths=np.full(shape[1], self.num_steps),
            facts={"plan": targets.T.copy()},
        )

    def advance(self, episodes, steps, rows, actions):
        on = steps + 1 < self.num_steps
        plan = episodes.facts["plan"][rows[on], steps[on] + 1]
        episodes.observations[steps[on] + 1, rows[on], plan] = 1.0
        # One place of the row only: what another player's wrong answer has written there stays.
        wrong = actions[on] != episodes.targets[steps[on], rows[on]]
        episodes.observations[steps[on][wrong] + 1, rows[on][wrong], 0] = 1.0

    def oracle_policy(self):
        class First:
            def act(self, observations, episode_starts):
                return observations.argmax(1)

        return First()


class Constant:
    def act(self, observations, episode_starts):
        return np.ones(len(observations), dtype=int)


def test_the_oracle_does_not_depend_on_who_played_before():
    """P20 of the report of faults: an `advance` that does not clear its row gave oracles by agent."""
    task = Echo()
    episodes = task.sample(np.random.default_rng(0), 50)
    assert task.reference_scores(episodes)["oracle"] == 1.0
    rollout(task, Constant(), episodes)
    assert episodes.observations.sum() > 50 * task.num_steps
    before = episodes.copy()
    assert task.reference_scores(episodes)["oracle"] == 1.0
    assert task.reference_scores(episodes.select(np.arange(7)))["oracle"] == 1.0
    np.testing.assert_array_equal(episodes.observations, before.observations)


@pytest.mark.parametrize("env_id", CLOSED)
def test_references_of_played_episodes_are_those_of_fresh_ones(env_id):
    task = make_task(env_id)
    episodes = task.sample(np.random.default_rng(1), 4)
    fresh = episodes.copy()
    rollout(task, Constant(), episodes)
    own = {"table_on_own_walk", "share_seen", "share_reverse", "share_new"}  # of what the player itself saw
    ours, theirs = task.reference_scores(episodes), task.reference_scores(fresh)
    for name in ours.keys() - own:
        np.testing.assert_equal(ours[name], theirs[name])


def test_episodes_without_seeds_cannot_be_made_again():
    task = Echo()
    episodes = dataclasses.replace(task.sample(np.random.default_rng(0), 2), seeds=None)
    with pytest.raises(ValueError, match="draw them with `sample`"):
        task.reference_scores(episodes)


def test_the_environments_know_the_seeds_of_their_episodes():
    env, envs = TaskEnv(Echo()), TaskVectorEnv(Echo(), 2)
    env.reset(seed=3)
    envs.reset(seed=2)
    assert envs.get_attr("episodes")[1].seeds == env.episodes.seeds


class TwoStep(Echo):
    """The first answer decides, the last step pays."""

    closed_loop = False

    def generate(self, streams):
        episodes = super().generate(streams)
        episodes.mask[:-1] = 0.0
        episodes.targets[1:] = -1
        return episodes


def test_weights_that_teach_nothing_are_an_error_that_names_the_remedy():
    """P21: where the deciding step is not the paid one, nothing was learned and nothing said."""
    task = TwoStep()
    with pytest.raises(ValueError, match=r"TwoStep .*write `loss_weights`"):
        task.loss_weights(task.sample(np.random.default_rng(0), 3))


@dataclasses.dataclass(frozen=True)
class Frozen(Echo):
    num_steps: int = 4
    gain: float = 1.0


def test_a_task_describes_itself_by_the_arguments_it_was_made_with():
    """P22: the default was {}, so that a task of 20 steps was loaded with 100."""
    assert Echo().describe() == {}
    task = Echo(np.int64(20), sizes=(1, np.float32(0.5)), names={"a": None, "b": True})
    expected = {"num_steps": 20, "sizes": [1, 0.5], "names": {"a": None, "b": True}}
    for same in (task, copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert same.describe() == expected
        assert json.loads(json.dumps(same.describe())) == expected
    assert Echo(**task.describe()).num_steps == 20
    assert Frozen(7, gain=2.0).describe() == {"num_steps": 7, "gain": 2.0}
    assert type(Echo(np.int64(20)).describe()["num_steps"]) is int


@pytest.mark.parametrize("env_id", sorted(i for i in ENVIRONMENTS if not i.startswith("Cognitive")))
def test_a_task_is_its_arguments(env_id):
    task = make_task(env_id)
    again = type(task)(**json.loads(json.dumps(task.describe())))
    assert dataclasses.replace(task) == again
    assert type(task).__name__ in repr(task)
    names = [field.name for field in dataclasses.fields(task)]
    assert list(task.describe()) == names
    for split in ("validation", "test"):
        other = task.with_split(split)
        assert (other != task) == ("split" in names)
        assert other.with_split("train") == task
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(task, names[0], None)


class Halved(Echo):
    """It takes a split, and need write no method for it."""

    def __init__(self, num_steps=6, split="train"):
        super().__init__(num_steps)
        self.split = split

    def generate(self, streams):
        return super().generate(self.split_streams(streams))


def test_a_task_of_ones_own_that_takes_a_split_is_made_again_on_another():
    task = Halved(9)
    other = task.with_split("test")
    assert other.describe() == {"num_steps": 9, "split": "test"}
    one, two = (made.sample(0, 3).targets for made in (task, other))
    assert (one != two).any()


@pytest.mark.parametrize("value", [np.zeros(3), object(), Path("x"), {1: 2}, [np.zeros(2)]])
def test_what_no_record_can_hold_is_refused_when_it_is_described(value):
    with pytest.raises(ValueError, match=r"argument 'data' of Echo is a .*Write `describe`"):
        Echo(data=value).describe()


def test_arguments_without_names_are_refused_when_they_are_described():
    class Placed(Echo):
        def __init__(self, *sizes):
            super().__init__()

    with pytest.raises(ValueError, match="'sizes' by its place only"):
        Placed(1, 2).describe()


@pytest.mark.parametrize("rng", [5, np.int64(5)])
def test_a_whole_number_stands_for_the_generator_of_it(rng):
    """F6: it failed with "has no len()"."""
    task = make_task("EvidenceIntegration-v0")
    expected = task.sample(np.random.default_rng(5), 3)
    np.testing.assert_array_equal(task.sample(rng, 3).observations, expected.observations)
    each = task.sample([rng, 6], 2)
    np.testing.assert_array_equal(each.seeds[0], expected.seeds[0])


@pytest.mark.parametrize("rng", [np.random.RandomState(0), None, "0", 1.5, -1, [None, None]])
def test_other_sources_of_randomness_are_refused_by_name(rng):
    with pytest.raises(TypeError, match=r"expected a np\.random\.Generator"):
        make_task("EvidenceIntegration-v0").sample(rng, 2)


def test_an_environment_stands_for_its_task():
    """C5: it was an AttributeError."""
    env = gym.make("EvidenceIntegration-v0", num_tokens=5)
    for made in (env, gym.make_vec("EvidenceIntegration-v0", num_envs=2, num_tokens=5)):
        assert make_task(made).describe()["num_tokens"] == 5
    for wrong in (gym.make("CartPole-v1"), 5, None):
        with pytest.raises(TypeError, match="expected the id of an environment of this suite"):
            make_task(wrong)
    with pytest.raises(ValueError, match="beside a finished task"):
        make_task(env, num_tokens=6)
