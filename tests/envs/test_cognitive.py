"""The cognitive battery as a task: scores, observers, mixtures, rules, options, pictures."""

import json

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import ENVIRONMENTS, RowStreams, make_task, rollout
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.cognitive.tasks import TASK_SETS, TASKS

MATCH = ("dmsgo", "dmsnogo", "dmcgo", "dmcnogo")


def sampled(task, count=400, seed=0):
    return task.sample(np.random.default_rng(seed), count)


def perfect(episodes):
    """The right answers, zeros in the padding."""
    return np.where(episodes.targets < 0, 0, episodes.targets)


# ---- ids ---------------------------------------------------------------------------------------------


def test_every_task_has_two_ids():
    for name in (*TASK_SETS["all"], "oic", "dmc", "everything"):
        discrete, vector = make_task(f"Cognitive-{name}-v0"), make_task(f"Cognitive-{name}-vector-v0")
        assert isinstance(discrete.action_space, gym.spaces.Discrete)
        assert isinstance(vector.action_space, gym.spaces.Box)
        assert discrete.observation_space == vector.observation_space
        dialect = "compact" if name in (*TASK_SETS["everything"], "everything") else "ring"
        assert discrete.describe()["dialect"] == dialect
        assert discrete.action_space.n == {"compact": 9, "ring": 33}[dialect]
        assert vector.action_space.shape == {"compact": (3,), "ring": (33,)}[dialect]
    assert sum(env_id.startswith("Cognitive-") for env_id in ENVIRONMENTS) == 46


def test_step_time():
    """Sections 4, 5: steps of 20 ms at tau = 100 ms, 40 ms at 200 ms."""
    assert make_task("Cognitive-dm1-v0").step_time == pytest.approx(0.2)
    assert make_task("Cognitive-fdgo-v0").step_time == pytest.approx(0.2)


# ---- scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["discrete", "vector"])
@pytest.mark.parametrize(
    "settings",
    [
        {"tasks": "everything"},
        {"tasks": "everything", "modality_diff": True, "label_strength": True, "fixate_off": False},
        {"tasks": "all", "code": "ring", "n_eachring": 16},
        {"tasks": "everything", "code": "rectified"},
        {"tasks": "all", "dialect": "ring", "sigma_x": 0.0},
        {"tasks": "oicdmc", "dialect": "ring", "sigma_x": 0.0},
        {"tasks": "all", "dialect": "ring", "sigma_x": 0.0, "mode": "test"},
        {"tasks": "everything", "mode": "random"},
    ],
)
def test_the_oracle_is_never_wrong_without_noise(settings, response):
    task = CognitiveBattery(**settings, response=response)
    episodes = sampled(task, 150)
    found = task.metrics(episodes, rollout(task, task.oracle_policy(), episodes))
    assert found["score"] == found["accuracy_trial"] == 1.0
    assert found["accuracy_response"] == found["accuracy_fixation"] == 1.0
    if settings.get("dialect") != "ring":
        assert found["accuracy_angle"] == 1.0
    assert np.nanmin(found["accuracy_by_component"]) == 1.0


def test_the_oracle_with_noise():
    """All 20 ring tasks at the published noise: coherences down to 0.01 can still be told."""
    task = CognitiveBattery("all", dialect="ring")
    assert task.reference_scores(sampled(task, 150))["oracle"] > 0.97


def test_unsolvable_nonmatches_cost_the_oracle_two_percent():
    """Section 9.3: half the trials are non-matches, 0.043 of which look like matches."""
    task = CognitiveBattery("dmsgo", compatible_nonmatch=True)
    score = task.reference_scores(sampled(task, 4000))["oracle"]
    assert score == pytest.approx(1 - 0.043 / 2, abs=0.007)


@pytest.mark.parametrize("name", ["fdgo", "contextdelaydm2", "dmsgo", "dmcnogo", "dm1", "dmc"])
def test_chance_is_what_the_best_blind_answer_scores(name):
    task = make_task(f"Cognitive-{name}-v0")
    count = 4000 if task.settings.snaps else 1500
    episodes = sampled(task, count)
    rng = np.random.default_rng(1)
    withholds = TASKS[name].may_withhold
    guess = np.zeros(count, dtype=int) if withholds else rng.integers(1, task.action_space.n, size=count)
    actions = np.where(episodes.step_facts["cost"] == 1, 0, guess)
    assert task.metrics(episodes, actions)["score"] == pytest.approx(task.chance, abs=0.03)
    expected = 0.5 if withholds else 0.125 if task.settings.snaps else 0.2
    assert task.chance == pytest.approx(expected)


def test_a_silent_network_fools_the_compact_measure_only():
    """Section 9.4: always-withhold is above 50 % on match tasks, since no output counts as direction 0."""
    for name in MATCH:
        task = make_task(f"Cognitive-{name}-vector-v0")
        episodes = sampled(task, 2000)
        silent = task.metrics(episodes, np.zeros_like(episodes.targets))
        assert silent["accuracy_angle"] > 0.52
        assert silent["accuracy_trial"] == 0.0
        assert silent["accuracy_fixation"] == 0.0
        fixating = np.zeros_like(episodes.targets)
        fixating[..., 0] = 1.0
        withholding = task.metrics(episodes, fixating)
        assert withholding["accuracy_angle"] == silent["accuracy_angle"]
        assert withholding["accuracy_trial"] == pytest.approx(0.5, abs=0.04)
        assert withholding["accuracy_fixation"] == 1.0
    task = make_task("Cognitive-delaygo-vector-v0")
    episodes = sampled(task, 4000)
    silent = task.metrics(episodes, np.zeros_like(episodes.targets))
    assert silent["accuracy_angle"] == pytest.approx(1 / 8, abs=0.02)  # section 7: chance of go tasks
    assert silent["accuracy_trial"] == 0.0


def test_the_rule_reads_the_last_step_and_36_degrees():
    """Section 7: last time step only; fixating if the output is above 0.5; 36 degrees."""
    task = make_task("Cognitive-fdgo-vector-v0", dialect="ring")
    episodes = sampled(task, 50)
    last, rows = episodes.lengths - 1, np.arange(50)

    def scores_at(degrees, fixation):
        outputs = np.zeros_like(episodes.targets)
        angle = episodes.facts["response_angle"] + np.radians(degrees)
        preferred = 2 * np.pi * np.arange(32) / 32
        outputs[last, rows, 1:] = 0.05 + 0.8 * np.exp(4 * (np.cos(angle[:, None] - preferred) - 1))
        outputs[last, rows, 0] = fixation
        found = task.metrics(episodes, outputs)
        assert found["accuracy_response"] == 0.0  # nothing was said before the last step
        np.testing.assert_array_equal(task.episode_scores(episodes, outputs).mean(), found["score"])
        return found["score"]

    assert scores_at(0, 0.0) == scores_at(35, 0.49) == scores_at(-35, 0.0) == 1.0
    assert scores_at(37, 0.0) == scores_at(-37, 0.0) == scores_at(0, 0.51) == 0.0


def test_discrete_directions_on_a_ring_are_right_within_three():
    task = make_task("Cognitive-dm1-v0", sigma_x=0.0)
    episodes = sampled(task, 300)
    right = perfect(episodes)
    for shift, expected in ((0, 1.0), (2, 1.0), (-2, 1.0), (4, 0.0)):
        moved = np.where(right > 0, (right - 1 + shift) % 32 + 1, 0)
        assert task.metrics(episodes, moved)["score"] == expected


def test_the_compact_measure_drops_the_first_quarter_of_the_response():
    """Section 7: the last 3/4 of the scored window count, step by step."""
    task = make_task("Cognitive-fdgo-v0")
    episodes = sampled(task, 200)
    first = episodes.facts["epoch_starts"][:, 5] + 2
    window = episodes.lengths - first
    step = np.arange(episodes.num_steps)[:, None]
    wrong = np.where(perfect(episodes) > 0, perfect(episodes) % 8 + 1, 0)
    actions = np.where(step < first + window // 4, wrong, perfect(episodes))
    assert task.metrics(episodes, actions)["accuracy_angle"] == 1.0
    actions = np.where(step < first + window // 4 + 1, wrong, perfect(episodes))
    share = task.metrics(episodes, actions)["accuracy_angle"]
    counted = window - window // 4
    assert share == pytest.approx(1 - 200 / counted.sum())


def test_rewards_come_at_the_end_and_follow_the_rule():
    for env_id in ("Cognitive-dmsgo-v0", "Cognitive-dm1-v0", "Cognitive-dmsgo-vector-v0"):
        task = make_task(env_id)
        episodes = sampled(task, 60)
        rng = np.random.default_rng(0)
        if task.writer.outputs.is_discrete:
            actions = np.where(rng.random(episodes.targets.shape) < 0.5, perfect(episodes), 0)
        else:
            actions = episodes.targets * (rng.random((episodes.num_steps, 60, 1)) < 0.5)
        steps, rows = np.indices(episodes.mask.shape)
        rewards = np.stack(
            [task.reward(episodes, steps[t], rows[t], actions[t]) for t in range(episodes.num_steps)]
        )
        np.testing.assert_array_equal(rewards.sum(0), task.episode_scores(episodes, actions))
        assert set(np.flatnonzero(rewards.any(1))) <= set(episodes.lengths - 1)
        assert 0.2 < rewards.sum(0).mean() < 0.9


# ---- mixtures ----------------------------------------------------------------------------------------


def test_mixture_shares():
    task = make_task("Cognitive-everything-v0")
    assert task.components == TASK_SETS["everything"]
    shares = np.zeros(15)
    shares[[2, 5]] = 0.25, 0.75
    mixed = task.with_mixture(shares)
    component = sampled(mixed, 4000).facts["component"]
    assert component.dtype == np.int64
    assert set(component) == {2, 5}
    assert (component == 5).mean() == pytest.approx(0.75, abs=0.03)
    assert task.describe()["task_sampling"] is None
    np.testing.assert_allclose(mixed.describe()["task_sampling"], shares)
    np.testing.assert_allclose(sampled(task, 6000).facts["component"].mean(), 7, atol=0.2)
    episodes = sampled(mixed, 200)
    by_component = mixed.metrics(episodes, perfect(episodes))["accuracy_by_component"]
    assert len(by_component) == 15
    assert by_component[2] == by_component[5] == 1.0
    assert np.isnan(by_component[0])
    assert mixed.chance == pytest.approx(1 / 8)
    assert task.chance == pytest.approx((11 / 8 + 4 / 2) / 15)


def test_trials_of_a_mixture_are_those_of_its_tasks():
    """Which other tasks there are changes nothing in a trial but the rule input."""
    task = make_task("Cognitive-everything-v0")
    episodes = sampled(task, 100)
    for name in ("delaygo", "dmcgo", "multidelaydm"):
        only = task.only(name)
        assert only.components == ()
        assert only.observation_space == task.observation_space
        rows = np.flatnonzero(episodes.facts["component"] == task.components.index(name))
        again = sampled(only, 100).select(rows)
        steps = min(again.num_steps, episodes.num_steps)
        np.testing.assert_array_equal(again.observations[:steps], episodes.observations[:steps, rows])
        np.testing.assert_array_equal(again.targets[:steps], episodes.targets[:steps, rows])


def test_weights_of_the_tasks():
    """Section 8: contextdm1 and contextdm2 are weighted 5 times."""
    task = CognitiveBattery(
        "all", dialect="ring", sigma_x=0.0, task_sampling={"contextdm1": 5, "contextdm2": 5}
    )
    counts = np.bincount(sampled(task, 4000).facts["component"], minlength=20)
    assert counts[8] / 4000 == pytest.approx(5 / 28, abs=0.02)
    assert counts[0] / 4000 == pytest.approx(1 / 28, abs=0.01)


def test_one_task_is_no_mixture():
    task = make_task("Cognitive-fdgo-v0")
    assert task.components == ()
    assert not sampled(task, 5).facts["component"].any()
    episodes = sampled(task, 5)
    assert "accuracy_by_component" not in task.metrics(episodes, perfect(episodes))
    with pytest.raises(LookupError, match="no mixture"):
        task.with_mixture([1.0])
    with pytest.raises(LookupError, match="no mixture"):
        make_task("SensorimotorAssociation-v0").with_mixture([1.0])


@pytest.mark.parametrize("env_id", ["Cognitive-everything-v0", "Cognitive-multidm-vector-v0"])
def test_rows_do_not_depend_on_each_other(env_id):
    task = make_task(env_id)
    seeds = np.random.default_rng(0).integers(0, 2**63, size=40, dtype=np.uint64)
    order = np.random.default_rng(1).permutation(40)
    straight, permuted = task.generate(RowStreams(seeds)), task.generate(RowStreams(seeds[order]))
    np.testing.assert_array_equal(straight.observations[:, order], permuted.observations)
    np.testing.assert_array_equal(straight.targets[:, order], permuted.targets)
    for name, values in straight.facts.items():
        np.testing.assert_array_equal(values[order], permuted.facts[name])
    for name, values in straight.step_facts.items():
        np.testing.assert_array_equal(values[:, order], permuted.step_facts[name])
    alone = task.generate(RowStreams(seeds[7:8]))
    np.testing.assert_array_equal(alone.observations[:, 0], straight.observations[: alone.num_steps, 7])


# ---- rules -------------------------------------------------------------------------------------------


def test_superposed_rules():
    """Section 8: delayanti under fdanti + delaygo - fdgo; nothing but the rule input changes."""
    task = make_task("Cognitive-everything-v0")
    rules = {"fdanti": 1.0, "delaygo": 1.0, "fdgo": -1.0}
    composed, plain = task.only("delayanti", rules=rules), task.only("delayanti")
    assert composed.settings.columns == task.components
    a, b = sampled(composed, 20), sampled(plain, 20)
    rule = task.field("rule").slice
    expected = np.zeros(15)
    for name, strength in rules.items():
        expected[task.components.index(name)] = strength
    live = np.arange(a.num_steps)[:, None] < a.lengths
    np.testing.assert_array_equal(a.observations[..., rule], live[..., None] * expected.astype(np.float32))
    np.testing.assert_array_equal(a.observations[..., : rule.start], b.observations[..., : rule.start])
    np.testing.assert_array_equal(a.targets, b.targets)
    assert composed.observation_space.contains(a.observations[0, 0])
    assert composed.reference_scores(a)["oracle"] == 1.0


def test_rule_columns_can_be_appended():
    """Section 4.1: the transfer experiment relies on appending rule columns at the end."""
    columns = ["fdgo", "delaygo", "delayanti"]
    before, after = CognitiveBattery(["fdgo", "delaygo"]), CognitiveBattery(
        ["fdgo", "delaygo"], rule_columns=columns
    )  # fmt: skip
    a, b = sampled(before, 10), sampled(after, 10)
    np.testing.assert_array_equal(a.observations, b.observations[..., :-1])
    assert not b.observations[..., -1].any()
    assert sampled(after.only("fdgo"), 2).observations.shape[-1] == 8


def test_when_the_rule_is_on():
    """Section 4.5: on for the whole trial by default; optional on and off times."""
    task = CognitiveBattery("everything", rule_on_ms=200, rule_off_ms=400)
    episodes = sampled(task, 20)
    on = episodes.observations[..., task.field("rule").slice].sum(-1)
    assert (on[5:10] == 1).all()
    assert not on[:5].any()
    assert not on[10:].any()
    whole = sampled(CognitiveBattery("everything"), 20)
    live = np.arange(whole.num_steps)[:, None] < whole.lengths
    np.testing.assert_array_equal(whole.observations[..., task.field("rule").slice].sum(-1), live)


# ---- options, records, errors ------------------------------------------------------------------------


def test_reset_options_choose_the_task():
    env = gym.make("Cognitive-everything-v0")
    for _ in range(5):
        _, info = env.reset(seed=0, options={"task": "dmsgo"})
        assert info["component"] == TASK_SETS["everything"].index("dmsgo")
    assert env.reset()[1]["component"] == TASK_SETS["everything"].index("dmsgo")
    assert len({env.reset(seed=s)[1]["component"] for s in range(12)}) > 3
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"tsak": 1})
    with pytest.raises(ValueError, match=r"did you mean.*delaygo"):
        env.reset(options={"task": "delago"})
    with pytest.raises(ValueError, match="expected one of"):
        env.reset(options={"task": "dm1"})


def test_descriptions_make_the_same_task():
    for task in (
        make_task("Cognitive-everything-v0"),
        make_task("Cognitive-oic-vector-v0"),
        CognitiveBattery("fdgo", rule_input=False),
        CognitiveBattery("all", dialect="ring", task_sampling={"fdgo": 3}),
        make_task("Cognitive-everything-v0").only("delayanti", rules={"fdgo": 0.5}),
    ):
        described = json.loads(json.dumps(task.describe()))
        again = CognitiveBattery(**described)
        assert again.describe() == described
        np.testing.assert_array_equal(sampled(task, 6).observations, sampled(again, 6).observations)
        changed = task.with_settings(easy_task=True)
        assert changed.describe() == {**described, "easy_task": True}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": "delaygoo"}, r"unknown task 'delaygoo'; did you mean.*delaygo"),
        ({"tasks": ["fdgo", "everything"]}, "unknown task 'everything'"),
        ({"tasks": ["fdgo", "fdgo"]}, "each once"),
        ({"tasks": "dm1"}, "two stimuli at once"),
        ({"tasks": "oic"}, "'ring' only"),
        ({"dialect": "square"}, r"dialect='square'.*compact"),
        ({"dialect": "ring", "code": "pair"}, "one code"),
        ({"mode": "train"}, "random_batch"),
        ({"response": "scalar"}, "discrete"),
        ({"n_eachring": 7}, "even number"),
        ({"dt_ms": 0}, "dt_ms=0: expected 0.1 to"),
        ({"dt_ms": 120}, "grace"),
        ({"tasks": "all", "dialect": "ring", "label_strength": True}, "label_strength"),
        ({"rule_input": False}, "only one task"),
        ({"tasks": "fdgo", "rule_columns": ["fdanti"]}, "lack"),
        ({"rules": {"fdgo": 1}}, "hold for one task"),
        ({"tasks": "fdgo", "rules": {"fdanti": 1}}, "no rule column"),
        ({"rule_on_ms": 300, "rule_off_ms": 200}, "later"),
        ({"align_periods": True}, "mode='random'"),
        ({"timing_seed": 3}, "timings of their own"),
        ({"long": ["pause"]}, "unknown 'pause'"),
        ({"task_sampling": [1, 2]}, "expected 15 weights"),
        ({"task_sampling": {"dm1": 1}}, "unknown tasks"),
        ({"mode": "psychometric"}, "needs conditions"),
        ({"tasks": "fdgo", "psychometric": {"theta1": [0]}}, "no other mode"),
        ({"tasks": "dmsgo", "mode": "psychometric", "psychometric": {"theta1": [0]}}, "theta2"),
        ({"tasks": "fdgo", "mode": "psychometric", "psychometric": {"theta1": [0]}}, "stim1"),
    ],
)
def test_mistakes_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        CognitiveBattery(**settings)


def test_lists_are_for_listed_modes():
    with pytest.raises(LookupError, match="use 'test'"):
        make_task("Cognitive-fdgo-v0").conditions()
    with pytest.raises(TypeError, match="colour"):
        CognitiveBattery("fdgo", colour="red")


def test_pictures_of_trials(tmp_path):
    for env_id, name in (("Cognitive-everything-vector-v0", "delaydm1"), ("Cognitive-dm1-v0", "dm1")):
        task = make_task(env_id).with_options({"task": name})
        episodes = sampled(task, 3)
        actions = rollout(task, task.oracle_policy(), episodes)
        task.plot_trial(episodes, 1, actions, tmp_path / "trial.png")
        assert (tmp_path / "trial.png").stat().st_size > 10_000
        assert task.plot_trial(episodes).axes
        over = int(episodes.lengths[0])
        text = task.render_text(episodes, 0, over, actions[:over, 0])
        assert name in text
        assert "over" in text
        assert task.render_frame(episodes, 0, 20, actions[:20, 0]).shape == (500, 640, 3)
