"""The vector environment does what Gymnasium's `SyncVectorEnv` of the scalar one does, step by step."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from plastic_envs import Episodes, Task, TaskEnv, TaskVectorEnv, make_task
from plastic_envs.views import reel as views
from plastic_envs.views.records import RESERVED, SCALAR_ONLY

MODES = list(AutoresetMode)
NUM_ENVS = 4


class Steps(Task):
    """Episodes of 1 to 9 steps. If closed, an action shows in the next step."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(5)
    chance = 0.0
    info_facts = ("pair", "odd")

    def __init__(self, closed=False, unweighted=True, code=0):
        self.closed_loop, self.pays_unweighted, self.code = closed, unweighted, code

    options = ("code",)

    def with_options(self, options):
        self.check_options(options)
        return Steps(self.closed_loop, self.pays_unweighted, **options)

    def generate(self, streams):
        lengths = 1 + streams.integers(9)
        left = (lengths - np.arange(lengths.max())[:, None]).clip(0)
        shown = np.stack((left, self.code + np.broadcast_to(streams.uniform(), left.shape)), -1)
        return Episodes(
            observations=shown.astype(np.float32),
            targets=left % 5,
            mask=(left % 2).astype(np.float32),
            periods=np.zeros(left.shape, np.int8),
            resets=left == lengths,
            lengths=lengths,
            step_facts={"pair": shown[..., ::-1].copy(), "odd": left % 2 == 1},
        )

    def advance(self, episodes, steps, rows, actions):
        on = steps + 1 < episodes.lengths[rows]
        episodes.observations[steps[on] + 1, rows[on], 1] += actions[on]


TASKS = [
    pytest.param(Steps(), id="open"),
    pytest.param(Steps(unweighted=False), id="weighted"),
    pytest.param(Steps(closed=True), id="closed"),
]


@pytest.fixture(params=[1, 1024])
def episodes_ahead(request, monkeypatch):
    monkeypatch.setattr(views, "_EPISODES_AHEAD", request.param)
    if request.param == 1:
        monkeypatch.setattr(views, "_BYTES_AHEAD", 0)


def both(task, mode, limit):
    def make():
        env = TaskEnv(task)
        return env if limit is None else TimeLimit(env, limit)

    return (
        TaskVectorEnv(task, NUM_ENVS, autoreset_mode=mode, max_episode_steps=limit),
        SyncVectorEnv([make] * NUM_ENVS, autoreset_mode=mode),
    )


def without(infos):
    """What both views tell."""
    names = {name for key in SCALAR_ONLY for name in (key, f"_{key}")}
    return {
        name: without(value) if isinstance(value, dict) else value
        for name, value in infos.items()
        if name not in names
    }


def assert_same(ours, theirs):
    """Equal values of equal types."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_same(ours[name], theirs[name])
    elif isinstance(theirs, tuple):
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours.dtype == theirs.dtype
        if ours.dtype == object:
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(ours, theirs)


def assert_same_step(ours, theirs):
    assert_same((*ours[:-1], without(ours[-1])), (*theirs[:-1], without(theirs[-1])))


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", TASKS)
def test_every_autoreset_mode_does_what_sync_does(task, mode, limit, episodes_ahead):
    """F8, F9 of the report of faults: masks were ignored; limits and modes were refused."""
    ours, theirs = both(task, mode, limit)
    assert ours.autoreset_mode is ours.metadata["autoreset_mode"] is mode
    rng = np.random.default_rng(0)
    assert_same_step(ours.reset(seed=3), theirs.reset(seed=3))
    ends = limits = 0
    for number in range(40):
        over = theirs._autoreset_envs.copy()
        mask = rng.random(NUM_ENVS) < 0.1
        if mode is AutoresetMode.DISABLED:
            mask |= over
        if mask.any():
            seed = [None, 7, (1, None, 3, 4)][number % 3]
            assert_same_step(
                ours.reset(seed=seed, options={"reset_mask": mask}),
                theirs.reset(seed=[seed + b for b in range(4)] if seed == 7 else seed,
                             options={"reset_mask": mask.copy()}),
            )  # fmt: skip
        if number == 20:
            assert_same_step(ours.reset(), theirs.reset())
        actions = rng.integers(5, size=NUM_ENVS)
        step = ours.step(actions)
        assert_same_step(step, theirs.step(actions))
        ends, limits = ends + step[2].sum(), limits + step[3].sum()
    assert ends > 5
    assert limits > 5 or limit is None


@pytest.mark.parametrize("env_id", ["TransitiveInference-v0", "SensorimotorAssociation-v0"])
@pytest.mark.parametrize("mode", MODES)
def test_shipped_environments_do_what_sync_does_with_a_limit(env_id, mode):
    ours, theirs = both(make_task(env_id), mode, 17)
    assert_same_step(ours.reset(seed=0), theirs.reset(seed=0))
    ours.action_space.seed(0)
    for _ in range(60):
        actions = ours.action_space.sample()
        step = ours.step(actions)
        assert_same_step(step, theirs.step(actions))
        over = step[2] | step[3]
        if mode is AutoresetMode.DISABLED and over.any():
            options = {"reset_mask": over}
            assert_same_step(ours.reset(options=options), theirs.reset(options=dict(options)))


def test_make_vec_takes_a_limit_and_a_mode():
    """F9: both went to the task, which refused them, so that no id with a limit could be registered."""
    envs = gym.make_vec(
        "PlasticGraph-disjoint-v0", num_envs=2, max_episode_steps=5, autoreset_mode="SameStep"
    )
    envs.reset(seed=0)
    for _ in range(5):
        *_, terminated, truncated, infos = envs.step(np.zeros(2, dtype=int))
    assert truncated.all()
    assert not terminated.any()
    assert infos["final_obs"][0].any()
    gym.register(
        "OfMyOwn-v0", "plastic_envs:TaskEnv", vector_entry_point="plastic_envs:TaskVectorEnv",
        max_episode_steps=3, kwargs={"task": "plastic_envs:EvidenceIntegration"},
    )  # fmt: skip
    try:
        for mode in ("sync", "vector_entry_point"):
            envs = gym.make_vec("OfMyOwn-v0", num_envs=2, vectorization_mode=mode)
            envs.reset(seed=0)
            assert not envs.step(np.zeros(2, dtype=int))[3].any()
            assert not envs.step(np.zeros(2, dtype=int))[3].any()
            assert envs.step(np.zeros(2, dtype=int))[3].all()
    finally:
        del gym.registry["OfMyOwn-v0"]
    with pytest.raises(ValueError, match="max_episode_steps=0"):
        gym.make_vec("PlasticGraph-disjoint-v0", num_envs=2, max_episode_steps=0)


def test_where_autoreset_is_disabled_a_step_past_the_end_is_refused():
    envs = TaskVectorEnv(Steps(), 3, autoreset_mode="Disabled")
    envs.reset(seed=0)
    over = np.zeros(3, dtype=bool)
    while not over.any():
        over = envs.step(np.zeros(3, dtype=int))[2]
    with pytest.raises(gym.error.ResetNeeded, match=rf"environments \[{np.flatnonzero(over)[0]}"):
        envs.step(np.zeros(3, dtype=int))
    envs.reset(options={"reset_mask": over})
    envs.step(np.zeros(3, dtype=int))


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        ([True, False, True], TypeError),
        (np.array([1, 0, 1]), TypeError),
        (np.array([True, False]), ValueError),
        (np.zeros(3, dtype=bool), ValueError),
    ],
)
def test_wrong_masks_are_refused_as_sync_refuses_them(mask, kind):
    envs, sync = TaskVectorEnv(Steps(), 3), SyncVectorEnv([lambda: TaskEnv(Steps())] * 3)
    for either in (envs, sync):
        either.reset(seed=0)
        with pytest.raises(kind, match="reset_mask"):
            either.reset(options={"reset_mask": mask})


REFUSED = [
    pytest.param({"seed": -1}, id="negative"),
    pytest.param({"seed": 1.5}, id="float"),
    pytest.param({"seed": "1"}, id="text"),
    pytest.param({"options": {"num_nodes": 5}}, id="unknown option"),
    pytest.param({"seed": 3, "options": {"num_nodes": 5}}, id="unknown option with a seed"),
]
VECTOR_REFUSED = [
    *REFUSED,
    pytest.param({"seed": [1, 2, -3]}, id="one negative"),
    pytest.param({"seed": [1, 2]}, id="two of three"),
    pytest.param({"options": {"reset_mask": np.array([True, False])}}, id="mask"),
    pytest.param({"options": {"code": 1, "reset_mask": np.array([True, False, True])}}, id="another task"),
]


@pytest.mark.parametrize("arguments", VECTOR_REFUSED)
def test_a_refused_reset_of_environments_side_by_side_changes_nothing(arguments):
    """F33: after a refused seed the environments had forgotten their episodes."""
    envs = TaskVectorEnv(Steps(closed=True), 3)
    with pytest.raises((ValueError, gym.error.ResetNeeded)):
        envs.reset(**arguments)
    envs.reset(seed=0)
    envs.step(np.zeros(3, dtype=int))
    twin = copy.deepcopy(envs)
    with pytest.raises(ValueError):  # noqa: PT011
        envs.reset(**arguments)
    for _ in range(30):
        assert_same(envs.step(np.ones(3, dtype=int)), twin.step(np.ones(3, dtype=int)))
    assert_same(envs.reset(), twin.reset())


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_refused_reset_of_one_environment_changes_nothing(arguments):
    env = TaskEnv(Steps(closed=True))
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    with pytest.raises(ValueError):  # noqa: PT011
        env.reset(**arguments)
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])


@pytest.mark.parametrize(
    "env_id", ["PlasticGraph-disjoint-v0", "SensorimotorAssociation-v0", "Cognitive-fdgo-v0"]
)
def test_unknown_reset_options_are_named_with_the_known_ones(env_id):
    """F8: they vanished silently in most tasks."""
    known = make_task(env_id).options
    for env in (gym.make(env_id), gym.make_vec(env_id, num_envs=2)):
        with pytest.raises(ValueError, match=r"unknown reset options \['num_nodes'\]") as error:
            env.reset(options={"num_nodes": 5})
        assert all(name in str(error.value) for name in known or ["takes none"])


@pytest.mark.parametrize(
    "seed", [(1, 2), np.array([1, 2]), range(1, 3), 1, np.int64(1), np.uint8(1)], ids=lambda seed: repr(seed)
)
def test_seeds_of_every_kind_of_number_are_taken(seed):
    """F6: tuples and NumPy's numbers were refused."""
    envs = gym.make_vec("EvidenceIntegration-v0", num_envs=2)
    expected = envs.reset(seed=1)
    assert_same(envs.reset(seed=seed), expected)
    assert envs.unwrapped.np_random_seed == (1, 2)
    env = gym.make("EvidenceIntegration-v0")
    np.testing.assert_array_equal(env.unwrapped.reset(seed=np.int64(2))[0], expected[0][1])


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_attributes_are_read_as_from_sync(mode):
    envs = gym.make_vec("TransitiveInference-v0", num_envs=3, vectorization_mode=mode, render_mode="ansi")
    envs.reset(seed=5)
    envs.action_space.seed(0)
    for _ in range(6):
        envs.step(envs.action_space.sample())
    assert [task.describe() for task in envs.get_attr("task")] == [
        make_task("TransitiveInference-v0").describe()
    ] * 3
    assert envs.get_attr("np_random_seed") == (5, 6, 7) == envs.np_random_seed
    assert envs.get_attr("action_space") == (envs.single_action_space,) * 3
    assert envs.call("render") == envs.render()
    assert [episodes.batch_size for episodes in envs.get_attr("episodes")] == [1, 1, 1]
    envs.set_attr("mark", [1, 2, 3])
    assert envs.get_attr("mark") == (1, 2, 3)
    with pytest.raises(AttributeError, match="nothing_such"):
        envs.get_attr("nothing_such")


def test_what_is_shared_cannot_be_set_for_one():
    envs = TaskVectorEnv(Steps(), 2)
    with pytest.raises(ValueError, match="share one task"):
        envs.set_attr("task", Steps())
    with pytest.raises(ValueError, match="3 values"):
        envs.set_attr("mark", [1, 2, 3])


def test_spaces_are_not_shared():
    """F26: seeding the action space of one environment seeded that of all."""
    task = make_task("StimulusCoding-estimation-v0")
    views_of_it = [TaskEnv(task), TaskEnv(task), TaskVectorEnv(task, 2), TaskVectorEnv(task, 2)]
    names = ("action_space", "observation_space", "single_action_space", "single_observation_space")
    spaces = [getattr(view, name) for view in (task, *views_of_it) for name in names if hasattr(view, name)]
    assert len({id(space) for space in spaces}) == len(spaces)


def test_episodes_are_made_part_by_part(monkeypatch):
    """K8: making all episodes of many environments at once took several times their memory."""
    batches = []

    class Counting(Steps):
        def generate(self, streams):
            batches.append(len(streams))
            return super().generate(streams)

    whole, parts = TaskVectorEnv(Steps(closed=True), 50), TaskVectorEnv(Counting(closed=True), 50)
    expected = [whole.reset(seed=0)] + [whole.step(np.ones(50, dtype=int)) for _ in range(40)]
    monkeypatch.setattr(views, "_BYTES_AHEAD", 2000)
    steps = [parts.reset(seed=0)] + [parts.step(np.ones(50, dtype=int)) for _ in range(40)]
    assert max(batches) < 30
    assert_same(tuple(steps), tuple(expected))


def test_names_in_info_that_are_taken_are_refused():
    class Colliding(Steps):
        info_facts = ("episode", "_odd", "pair")

    with pytest.raises(ValueError, match=r"Colliding: \['episode', '_odd'\] are taken"):
        TaskEnv(Colliding()).reset()
    with pytest.raises(ValueError, match="are taken"):
        TaskVectorEnv(Colliding(), 2).reset()
    assert {
        "episode",
        "final_obs",
        "final_info",
        "terminal_observation",
        "TimeLimit.truncated",
        "is_success",
    } < RESERVED
