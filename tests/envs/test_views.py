"""The vector view reads many steps at once; nothing of that may be seen from outside."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from plastic_envs import Episodes, Task, TaskEnv, TaskVectorEnv, make_task
from plastic_envs.streams import RowStreams
from plastic_envs.views import reel as views
from plastic_envs.views.itinerary import itinerary
from plastic_envs.views.records import SCALAR_ONLY, StepRecords


class Tally(Task):
    """Episodes of 1 to 9 steps with facts of many kinds. If closed, an action shows in all later steps."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(5)
    chance = 0.0
    periods = ("none", "all")
    info_facts = ("left", "pair", "odd")

    def __init__(self, closed=False, vector=False, shortest=1):
        self.closed_loop, self.vector, self.shortest = closed, vector, shortest

    def generate(self, streams):
        lengths = self.shortest + streams.integers(9)
        left = (lengths - np.arange(lengths.max())[:, None]).clip(0)
        code = np.broadcast_to(streams.uniform(), left.shape)
        shown = np.stack((left, code), -1).astype(np.float32)
        targets = -shown if self.vector else left
        return Episodes(
            observations=np.asfortranarray(shown),  # as a task may well make it: neither in order ...
            targets=targets,
            mask=(left % 2).astype(np.float32),
            periods=np.ones(left.shape, np.int8),
            resets=np.broadcast_to(True, left.shape),  # ... nor writable
            lengths=lengths,
            facts={"total": np.zeros(len(lengths))},
            step_facts={
                "left": left.astype(np.int16),
                "pair": shown[..., ::-1],
                "odd": left % 2 == 1,
                "hidden": code + 1,
            },
        )

    def advance(self, episodes, steps, rows, actions):
        if not self.closed_loop:
            return
        assert (steps < episodes.lengths[rows]).all()
        for step, row, action in zip(steps, rows, actions, strict=True):
            episodes.observations[step + 1 :, row, 1] += action
            episodes.targets[step + 1 :, row] += action
            episodes.step_facts["left"][step + 1 :, row] += action
            episodes.step_facts["hidden"][step + 1 :, row] += action
            episodes.facts["total"][row] += action

    def reward(self, episodes, steps, rows, actions):
        hidden = episodes.step_facts["hidden"][steps, rows] + episodes.facts["total"][rows]
        return (hidden * (1 + np.asarray(actions))).astype(np.float32)


VARIANTS = [
    pytest.param(
        Tally(closed, vector), id=f"{'closed' if closed else 'open'}-{'vector' if vector else 'integer'}"
    )
    for closed in (False, True)
    for vector in (False, True)
]


def assert_shown(infos, b, info):
    """That environment b shows what the scalar environment does."""
    shared = info.keys() - set(SCALAR_ONLY)
    assert len(infos) == 2 * len(shared)
    for name in shared:
        value = info[name]
        assert value.dtype == infos[name].dtype
        np.testing.assert_array_equal(value, infos[name][b])


def arrays_of(step):
    """All arrays that `reset` or `step` returned."""
    return [part for part in (*step[:-1], *step[-1].values()) if isinstance(part, np.ndarray)]


def played(envs, num_steps, seed=0):
    rng = np.random.default_rng(seed)
    return [envs.step(rng.integers(5, size=envs.num_envs)) for _ in range(num_steps)]


@pytest.fixture(params=[1, 7, 1024])
def episodes_ahead(request, monkeypatch):
    """Refills of all sizes, the smallest with no episode to spare."""
    monkeypatch.setattr(views, "_EPISODES_AHEAD", request.param)
    if request.param == 1:
        monkeypatch.setattr(views, "_BYTES_AHEAD", 0)


@pytest.mark.parametrize("task", VARIANTS)
def test_vector_and_scalar_agree_over_refills_and_resets(task, episodes_ahead):
    num_envs = 4
    envs, scalars = TaskVectorEnv(task, num_envs), [TaskEnv(task) for _ in range(num_envs)]
    rng = np.random.default_rng(0)
    # Resets break off what has been read ahead, early and late in an episode.
    for num_steps, seed in ((150, 3), (0, None), (1, None), (20, None), (9, 3), (150, 8)):
        observations, infos = envs.reset(seed=seed)
        for b, env in enumerate(scalars):
            seen, info = env.reset(seed=None if seed is None else seed + b)
            np.testing.assert_array_equal(seen, observations[b])
            assert_shown(infos, b, info)
        over = np.zeros(num_envs, dtype=bool)
        for _ in range(num_steps):
            # What an environment whose episode is over is told to do must not matter.
            actions, started = np.where(over, 999, rng.integers(5, size=num_envs)), over
            observations, rewards, over, _, infos = envs.step(actions)
            for b, env in enumerate(scalars):
                if started[b]:
                    (seen, info), reward, terminated = env.reset(), 0.0, False
                else:
                    seen, reward, terminated, _, info = env.step(actions[b])
                np.testing.assert_array_equal(seen, observations[b])
                assert (reward, terminated) == (rewards[b], over[b])
                assert_shown(infos, b, info)


@pytest.mark.parametrize("task", VARIANTS)
def test_steps_share_no_memory_and_what_is_done_to_them_has_no_effect(task):
    envs, untouched = TaskVectorEnv(task, 3), TaskVectorEnv(task, 3)
    steps = [envs.reset(seed=0)]
    expected = [untouched.reset(seed=0), *played(untouched, 60)]
    rng = np.random.default_rng(0)
    for number in range(60):
        assert data_equivalence(steps[-1], expected[number])
        for array in arrays_of(steps[-1]):
            array[...] = 1
        steps.append(envs.step(rng.integers(5, size=3)))
    kept = copy.deepcopy(steps)
    assert envs._reel._records is not None
    inside = [envs._reel._records.episodes.observations, envs._reel._records._records]
    flat = [(number, array) for number, step in enumerate(steps) for array in arrays_of(step)]
    for number, array in flat:
        assert array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in inside)
        for other_number, other in flat:
            assert array is other or abs(number - other_number) > 2 or not np.shares_memory(array, other)
    played(envs, 60)
    assert data_equivalence(steps, kept)
    assert all(step[0].flags.c_contiguous for step in steps)


@pytest.mark.parametrize("task", VARIANTS)
def test_the_facts_of_the_last_step_are_told_again_at_the_end(task):
    """P6 of the report of faults: they were zeros, which is a valid component, period and trial."""
    envs = TaskVectorEnv(task, 5)
    _, before = envs.reset(seed=0)
    ends = 0
    for observations, _, over, _, infos in played(envs, 40):
        ends += over.sum()
        assert not observations[over].any()
        assert (infos["target"][over] == (0 if task.vector else -1)).all()
        for name in ("weight", "reset"):
            assert not infos[name][over].any()
        for name in ("period", "left", "pair", "odd", "episode_number"):
            np.testing.assert_array_equal(infos[name][over], before[name][over])
        assert infos["period"].all()
        assert all(infos[name].all() for name in infos if name.startswith("_"))
        before = infos
    assert ends > 20


@pytest.mark.parametrize("task", VARIANTS)
@pytest.mark.parametrize("again", [lambda envs: pickle.loads(pickle.dumps(envs)), copy.deepcopy])
def test_copies_go_on_by_themselves(task, again):
    envs = TaskVectorEnv(task, 3)
    envs.reset(seed=0)
    for num_steps in (0, 5, 33):
        played(envs, num_steps)
        twin = again(envs)
        assert data_equivalence(played(envs, 40, seed=1), played(twin, 40, seed=1))


def test_time_grows_where_later_episodes_are_longer():
    task = Tally(closed=True)
    records = StepRecords(task, task.generate(RowStreams(np.arange(6, dtype=np.uint64))))
    before, columns = records.episodes.copy(), np.array([1, 4])
    longer = Tally(closed=True, shortest=12).generate(RowStreams(np.arange(2, dtype=np.uint64)))
    records.overwrite(columns, longer)
    after = records.episodes
    assert after.num_steps == longer.num_steps > before.num_steps
    others = np.array([0, 2, 3, 5])
    np.testing.assert_array_equal(after.lengths[columns], longer.lengths)
    for old, new, made in (
        *((getattr(before, n), getattr(after, n), getattr(longer, n)) for n in Episodes._TIME_FIRST),
        *((before.step_facts[n], after.step_facts[n], longer.step_facts[n]) for n in before.step_facts),
    ):
        np.testing.assert_array_equal(new[:, columns], made)
        np.testing.assert_array_equal(new[: len(old), others], old[:, others])
        assert not new[len(old) :, others].any()
    # Shorter ones leave nothing of what was there before.
    records.overwrite(columns, before.select(np.array([0, 2])))
    assert not records.episodes.targets[before.num_steps :].any()
    assert records.episodes.num_steps == longer.num_steps


def test_what_advance_writes_is_what_is_read():
    task = Tally(closed=True)
    for records in (
        first := StepRecords(task, task.generate(RowStreams(np.arange(4, dtype=np.uint64)))),
        pickle.loads(pickle.dumps(first)),
    ):
        episodes = records.episodes
        step, row = 0, int(episodes.lengths.argmax())
        task.advance(episodes, np.array([step]), np.array([row]), np.array([3]))
        position, over = np.array([(step + 1) * 4 + row]), np.zeros(1, dtype=bool)
        shown, (target, *_, left, _, _) = records.read(position, over)
        np.testing.assert_array_equal(shown[0], episodes.observations[1, row])
        assert target[0] == episodes.targets[1, row] == left[0] == episodes.lengths[row] + 2


@pytest.mark.parametrize("pays_unweighted", [True, False])
def test_rewards_are_asked_for_where_there_may_be_any(pays_unweighted):
    class Counting(Tally):
        def reward(self, episodes, steps, rows, actions):
            asked.append(episodes.mask[steps, rows])
            return episodes.mask[steps, rows]

    Counting.pays_unweighted = pays_unweighted
    asked: list[np.ndarray] = []
    envs = TaskVectorEnv(Counting(), 6)
    _, infos = envs.reset(seed=0)
    for _, rewards, _, _, later in played(envs, 50):
        np.testing.assert_array_equal(rewards, infos["weight"])
        infos = later
    assert (np.concatenate(asked) > 0).all() != pays_unweighted


@pytest.mark.parametrize("task", ["fdgo", "delaydm1", "dm1"])
@pytest.mark.parametrize("response", ["discrete", "vector"])
def test_the_battery_pays_at_weighted_steps_only(task, response):
    battery = make_task(f"Cognitive-{task}-v0", response=response)
    assert not battery.pays_unweighted
    episodes = battery.sample(np.random.default_rng(0), 50)
    steps, rows = np.nonzero(episodes.mask == 0)
    right = episodes.targets[steps, rows]
    actions = np.maximum(right, 0) if response == "discrete" else right
    assert not battery.reward(episodes, steps, rows, actions).any()


@pytest.mark.parametrize("seed", range(20))
def test_an_itinerary_is_what_going_step_by_step_gives(seed):
    rng = np.random.default_rng(seed)
    num_envs, slots, most = (int(rng.integers(1, high)) for high in (5, 6, 30))
    lengths = rng.integers(1, 8, num_envs * slots)
    columns = rng.permutation(num_envs * slots).reshape(slots, num_envs)
    ahead = rng.integers(0, slots + 2, num_envs)
    length, alone = lengths[columns[0]], np.minimum(ahead, slots - 1) == 0
    left = np.where(alone, length, rng.integers(0, length + 1))
    found = itinerary(lengths, columns, left, ahead, most)
    nth, step = np.zeros(num_envs, dtype=int), lengths[columns[0]] - left
    for row in range(most + 1):
        column = columns[nth, np.arange(num_envs)]
        over = step == lengths[column]
        np.testing.assert_array_equal(found.columns[row], column)
        np.testing.assert_array_equal(found.steps[row], step)
        np.testing.assert_array_equal(found.positions[row], step * len(lengths) + column)
        np.testing.assert_array_equal(found.over[row], over)
        np.testing.assert_array_equal(found.new_episodes[row], nth)
        nth, step = nth + over, np.where(over, 0, step + 1)
        if (nth > np.minimum(ahead, slots - 1)).any():
            break
    assert len(found.over) == row + 1
