"""Trials of the cognitive battery against the published tables; sections are those of the specification."""

import numpy as np
import pytest

from plastic_envs import make_task
from plastic_envs.cognitive.angles import circular_distance
from plastic_envs.cognitive.battery import CognitiveBattery
from plastic_envs.cognitive.tasks import COHERENCES, DURATIONS, EPOCHS, TASK_SETS, TASKS, task_names

PI = np.pi


def battery(tasks, count=400, seed=0, **settings):
    """A task, a batch of it, and its facts."""
    task = CognitiveBattery(tasks, **settings)
    episodes = task.sample(np.random.default_rng(seed), count)
    return task, episodes, episodes.facts


def steps_of(facts):
    """Steps of every epoch, by name."""
    return dict(zip(EPOCHS, np.diff(facts["epoch_starts"], axis=1).T, strict=True))


# ---- timing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "dt_ms", "name"), [("compact", 40, t) for t in TASK_SETS["everything"]]
    + [("ring", 20, t) for t in (*TASK_SETS["all"], "oic", "dmc")]
)  # fmt: skip
def test_durations_are_those_of_the_table_cut_to_whole_steps(dialect, dt_ms, name):
    """Sections 1, 2: every interval becomes a number of steps by truncation."""
    _, episodes, facts = battery(name, dialect=dialect, sigma_x=0.0, seed=1)
    laws = DURATIONS[dialect][TASKS[name].family]
    for epoch, steps in steps_of(facts).items():
        if epoch not in laws:
            assert not steps.any()
            continue
        law = laws[epoch]
        if law.choices:
            assert set(steps) == {int(ms / dt_ms) for ms in law.choices}
        else:
            low, high = int(law.low / dt_ms), int(law.high / dt_ms)
            assert low <= steps.min() <= low + 2
            assert high - 2 <= steps.max() <= high
    np.testing.assert_array_equal(episodes.lengths, facts["epoch_starts"][:, -1])


def test_published_intervals():
    """Section 2, some rows of the table in full."""
    compact, ring = DURATIONS["compact"], DURATIONS["ring"]
    go = compact["delaygo"]
    assert [(go[e].low, go[e].high) for e in ("fix1", "stim1", "delay1", "go1")] == [
        (300, 700), (200, 1600), (200, 1600), (300, 700)
    ]  # fmt: skip
    assert (compact["reactgo"]["fix1"].high, compact["reactgo"]["go1"].high) == (2500, 1700)
    assert ring["delaygo"]["delay1"].choices == (200, 400, 800, 1600)
    assert ring["dmc"]["go1"].choices == (200, 400, 600)
    assert ring["dms"]["go1"].choices == (500,)
    assert (ring["dm"]["fix1"].low, ring["dm"]["fix1"].high) == (100, 400)
    assert (ring["delaydm"]["delay2"].low, ring["delaydm"]["delay2"].high) == (100, 300)


def test_task_sets():
    """Section 8."""
    assert len(TASK_SETS["all"]) == 20
    assert len(TASK_SETS["everything"]) == 15
    assert TASK_SETS["everything"][:2] == ("fdgo", "fdanti")
    assert TASK_SETS["all"][:3] == ("fdgo", "reactgo", "delaygo")
    assert len(TASK_SETS["gofamily_delaydm"]) == 8
    assert task_names("mante") == ("contextdm1", "contextdm2")


@pytest.mark.parametrize("name", ["fdgo", "delaydm1", "dmsgo"])
def test_a_trial_stops_at_its_own_end(name):
    """Section 9.5, 9.6: padding is silent in every task."""
    _, episodes, _ = battery(name, 50)
    step = np.arange(episodes.num_steps)[:, None]
    padding = step >= episodes.lengths
    assert padding.any()
    assert not episodes.observations[padding].any()
    assert (episodes.targets[padding] == -1).all()
    assert not episodes.step_facts["cost"][padding].any()
    np.testing.assert_array_equal(episodes.mask.sum(0), 1)
    assert (episodes.mask[episodes.lengths - 1, np.arange(50)] == 1).all()


def test_random_mode_has_one_timing_and_one_modality():
    task, episodes, facts = battery("delaygo", 60, mode="random")
    assert len(np.unique(facts["epoch_starts"], axis=0)) == 1
    assert len(np.unique(facts["modality"][:, 0])) == 1
    assert len(np.unique(facts["direction"][:, 0])) == 8
    others = [task.with_timing(k).sample(np.random.default_rng(0), 2).num_steps for k in range(1, 6)]
    assert len({episodes.num_steps, *others}) > 2
    env_like = task.with_options({"timing_seed": 3})
    assert env_like.sample(np.random.default_rng(0), 2).num_steps == others[2]
    assert env_like.with_settings(mode="test").settings.timing_seed == 0  # has no meaning there


def test_aligned_periods_and_long_all():
    """Section 2.2: sibling tasks share a timeline; every interval at its upper end."""
    tasks = ["delaydm1", "delaydm2", "contextdelaydm1"]
    for aligned in (False, True):
        _, _, facts = battery(tasks, 200, mode="random", align_periods=aligned)
        assert (len(np.unique(facts["epoch_starts"], axis=0)) == 1) == aligned
    _, _, facts = battery("delaydm1", 5, mode="long_all")
    assert facts["epoch_starts"][0].tolist() == [0, 15, 55, 95, 135, 142, 159]


def test_long_parts():
    """Section 2.2: 10 s of delay for the delaygo family, both delays 5 s for delaydm, ignored elsewhere."""
    steps = steps_of(battery("delaygo", 20, long=["delay"])[2])
    assert (steps["delay1"] == 250).all()
    assert steps["stim1"].max() <= 40
    steps = steps_of(battery("delaydm2", 20, long=["delay"])[2])
    assert (steps["delay1"] == 125).all()
    assert (steps["delay2"] == 125).all()
    plain, long = battery("dmsgo", 20)[1], battery("dmsgo", 20, long=["delay"])[1]
    np.testing.assert_array_equal(plain.observations, long.observations)


# ---- inputs ------------------------------------------------------------------------------------------


def test_sizes_of_the_inputs():
    """Section 4.1: 85 (ring), 99 (its special set), 21 (15 compact rules), 6 (one task, no off channel)."""
    sizes = {
        85: CognitiveBattery("all", dialect="ring"),
        99: CognitiveBattery("oicdmc", dialect="ring"),
        21: make_task("Cognitive-everything-v0"),
        20: make_task("Cognitive-everything-v0", fixate_off=False),
        6: make_task("Cognitive-delaygo-v0"),
    }
    for size, task in sizes.items():
        assert task.observation_space.shape == (size,)


def test_ring_code():
    """Section 4.2: g 0.8 exp(-0.5 (d / (pi / 8))^2) at preferences 2 pi j / 32."""
    task, episodes, facts = battery("fdgo", 20, dialect="ring", sigma_x=0.0)
    preferred = 2 * PI * np.arange(32) / 32
    for b in range(20):
        ring = task.field(f"modality_{facts['modality'][b, 0] + 1}").slice
        shown = episodes.observations[episodes.lengths[b] - 1, b, ring]
        distance = circular_distance(preferred, facts["theta"][b, 0])
        np.testing.assert_allclose(shown, 0.8 * np.exp(-0.5 * (distance / (PI / 8)) ** 2), atol=1e-6)


def test_compact_code_snaps_and_puts_sine_first():
    """Section 4.3."""
    task, episodes, facts = battery("delaygo", 30)
    start = facts["epoch_starts"][:, 1]
    for b in range(30):
        shown = episodes.observations[
            start[b], b, task.field(f"modality_{facts['modality'][b, 0] + 1}").slice
        ]
        angle = 2 * PI * np.rint(facts["theta"][b, 0] / (PI / 4)) / 8
        np.testing.assert_allclose(shown, [np.sin(angle), np.cos(angle)], atol=1e-6)


def test_rectified_code():
    """Section 4.3: [cos]+, [-cos]+, [sin]+, [-sin]+."""
    pair, rectified = battery("delaygo", 10)[1], battery("delaygo", 10, code="rectified")[1]
    sine, cosine = pair.observations[..., 1], pair.observations[..., 2]
    four = np.stack([np.maximum(x, 0) for x in (cosine, -cosine, sine, -sine)], axis=-1)
    np.testing.assert_allclose(rectified.observations[..., 1:5], four, atol=1e-6)


def test_fixation_inputs():
    """Sections 2, 2.2: off at the go cue, or never; an optional channel for off. Quirk 11: oic's goes off."""
    for name, stays in (("fdgo", False), ("reactgo", True), ("delaydm1", False), ("dmsgo", True)):
        _, episodes, facts = battery(name, 10, fixate_off=True)
        step, go = np.arange(episodes.num_steps)[:, None], facts["epoch_starts"][:, 5]
        live = step < episodes.lengths
        on, off = episodes.observations[..., 0], episodes.observations[..., 1]
        np.testing.assert_array_equal(on, live & (stays | (step < go)))
        np.testing.assert_array_equal(off, live & (not stays) & (step >= go))
    _, episodes, facts = battery("oic", 4, dialect="ring", sigma_x=0.0)
    assert not episodes.observations[facts["epoch_starts"][:, 5], np.arange(4), 0].any()


def test_when_stimuli_are_on():
    """Section 2: fdgo's stays on, reactgo's is the go cue, the test stimulus of dms is one."""
    on = {
        "fdgo": {"stim1", "go1"}, "reactgo": {"go1"}, "delayanti": {"stim1"},
        "delaydm2": {"stim1", "stim2"}, "dmcnogo": {"stim1", "go1"},
    }  # fmt: skip
    for name, epochs in on.items():
        _, episodes, _ = battery(name, 30)
        shown = np.abs(episodes.observations[..., 1:5]).max(-1) > 0
        live = np.arange(episodes.num_steps)[:, None] < episodes.lengths
        expected = np.isin(episodes.periods, [EPOCHS.index(epoch) for epoch in epochs]) & live
        np.testing.assert_array_equal(shown, expected)


def test_noise_scale():
    """Section 4.4: sigma sqrt(2 / alpha), alpha 0.2 (ring) and, as published, 0.8 (compact; quirk 10)."""
    cases = (
        ({"dialect": "ring"}, 0.01 * np.sqrt(10)),
        ({"sigma_x": 0.01}, 0.01 * np.sqrt(2.5)),
        ({"sigma_x": 0.01, "noise_scale": "exact"}, 0.01 * np.sqrt(10)),
    )
    for settings, std in cases:
        _, episodes, _ = battery("fdgo", 100, **settings)
        clean = battery("fdgo", 100, **{**settings, "sigma_x": 0.0})[1]
        live = np.arange(episodes.num_steps)[:, None] < episodes.lengths
        noise = (episodes.observations - clean.observations)[live]
        assert noise.std() == pytest.approx(std, rel=0.02)
        assert abs(noise.mean()) < std * 0.02
        quantiles = np.quantile(noise / std, [0.0013, 0.1587, 0.5, 0.8413, 0.9987])
        np.testing.assert_allclose(quantiles, [-3, -1, 0, 1, 3], atol=0.12)
        assert not episodes.observations[~live].any()
        assert np.abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02


def test_noise_of_a_trial_does_not_depend_on_its_batch():
    task = CognitiveBattery("delaydm1", dialect="ring")
    many = task.sample(np.random.default_rng(3), 70)
    rng = np.random.default_rng(3)
    for b in range(4):
        one = task.sample(rng, 1)
        np.testing.assert_array_equal(one.observations[:, 0], many.observations[: one.lengths[0], b])


# ---- laws of the stimuli -----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["compact", "ring"])
def test_pairs_of_strengths(dialect):
    """Section 2.1: mean +/- a coherence of the delayed set; modalities independent, split or one only."""
    mean = {}
    for name in ("delaydm2", "contextdelaydm1", "multidelaydm"):
        _, _, facts = battery(name, 2000, dialect=dialect, sigma_x=0.0)
        mean[name] = facts["strengths"]
        apart = circular_distance(facts["theta"][:, 0], facts["theta"][:, 1])
        assert apart.min() >= PI / 2 - 1e-9
    alone, context, split = mean["delaydm2"], mean["contextdelaydm1"], mean["multidelaydm"]
    assert not alone[..., 0].any()
    half = (alone[:, 0, 1] - alone[:, 1, 1]) / 2
    np.testing.assert_allclose(np.unique(np.round(np.abs(half), 6)), COHERENCES["delayed"])
    centre = (alone[:, 0, 1] + alone[:, 1, 1]) / 2
    assert centre.min() >= 0.8
    assert centre.max() <= 1.2
    first, second = np.sign(context[:, 0] - context[:, 1]).T
    assert abs((first * second).mean()) < 0.07
    total = split.sum(-1) / 2
    np.testing.assert_allclose(np.unique(np.round(np.abs(total[:, 0] - total[:, 1]), 6)), [0.16, 0.32, 0.64])
    shares = np.abs(split[..., 0] - split[..., 1]) / split.sum(-1) * 2
    assert shares.min() >= 0.2 - 1e-9
    assert shares.max() <= 0.8 + 1e-9


def test_simultaneous_coherences_and_the_easy_task():
    """Section 2.1: the sets, and ten times (simultaneous) or twice (delayed) as much."""
    for name, easy, expected in (
        ("dm1", False, [0.01, 0.02, 0.04, 0.08]),
        ("dm1", True, [0.1, 0.2, 0.4, 0.8]),
        ("delaydm1", True, [0.16, 0.32, 0.64]),
    ):
        _, _, facts = battery(name, dialect="ring", sigma_x=0.0, easy_task=easy)
        half = np.abs(facts["strengths"][:, 0, 0] - facts["strengths"][:, 1, 0]) / 2
        np.testing.assert_allclose(np.unique(np.round(half, 6)), expected)


def test_adding_the_modalities_up_is_right_in_three_quarters_of_context_trials():
    """Section 2.1: an agent that sums both modalities tops out near 75 %."""
    _, _, facts = battery("contextdelaydm1", 8000)
    total = facts["strengths"].sum(-1)
    guess = (total[:, 1] > total[:, 0]).astype(int)
    assert (guess == facts["chosen"]).mean() == pytest.approx(0.75, abs=0.03)


def test_match_trials():
    """Section 2.1: half match; ring non-matches 20 degrees or more apart; modalities independent."""
    _, _, facts = battery("dmsgo", 4000, dialect="ring", sigma_x=0.0)
    match = facts["match"] == 1
    assert match.mean() == pytest.approx(0.5, abs=0.03)
    apart = circular_distance(facts["theta"][:, 0], facts["theta"][:, 1])
    assert not apart[match].any()
    assert apart[~match].min() >= PI / 9 - 1e-9
    np.testing.assert_array_equal(facts["withhold"], ~match)
    assert (facts["modality"][:, 0] == facts["modality"][:, 1]).mean() == pytest.approx(0.5, abs=0.03)


def test_nonmatches_can_be_told_apart_after_snapping():
    """Section 9.3: published, 0.043 of the non-matches snap to the sample; here none does by default."""
    for compatible, share in ((False, 0.0), (True, 0.043)):
        _, _, facts = battery("dmsnogo", 20_000, compatible_nonmatch=compatible)
        nonmatch = facts["match"] == 0
        same = facts["direction"][nonmatch, 0] == facts["direction"][nonmatch, 1]
        assert same.mean() == pytest.approx(share, abs=0.006 * compatible)
    _, _, facts = battery("dmsnogo", 4000, n_eachring=64)
    apart = circular_distance(facts["theta"][:, 0], facts["theta"][:, 1])[facts["match"] == 0]
    assert apart.min() >= PI / 9 - 1e-9


@pytest.mark.parametrize(("dialect", "count"), [("compact", 8), ("ring", 10)])
def test_categories(dialect, count):
    """Section 2.1: category [theta < pi]; 8 compact locations, each its own direction; 10 on the ring."""
    _, _, facts = battery("dmcnogo", 2000, dialect=dialect, sigma_x=0.0)
    theta = facts["theta"]
    assert len(np.unique(np.round(theta, 9))) == count
    if dialect == "compact":
        assert len(np.unique(facts["direction"])) == 8
        np.testing.assert_array_equal(facts["direction"] < 4, theta < PI)
    same = (theta[:, 0] < PI) == (theta[:, 1] < PI)
    np.testing.assert_array_equal(facts["match"], same)
    np.testing.assert_array_equal(facts["withhold"], same)


def test_modality_diff():
    """Section 2.2: the second stimulus in the other modality."""
    for name in ("delaydm1", "delaydm2", "dmsgo", "dmcgo"):
        _, _, facts = battery(name, 100, modality_diff=True)
        np.testing.assert_array_equal(facts["modality"][:, 1], 1 - facts["modality"][:, 0])
    assert (battery("delaydm2", 10, modality_diff=True)[2]["modality"][:, 0] == 1).all()
    assert (battery("delaydm2", 10)[2]["modality"] == 1).all()


def test_one_interval_categorisation():
    """Section 2: ring 3 if the first stimulus is below pi, else ring 2; these two show opposite locations."""
    _, _, facts = battery("oic", 500, dialect="ring", sigma_x=0.0)
    theta, low = facts["theta"], facts["theta"][:, 0] < PI
    np.testing.assert_allclose(circular_distance(theta[:, 1], theta[:, 2]), PI)
    np.testing.assert_allclose(facts["response_angle"], np.where(low, theta[:, 2], theta[:, 1]))
    np.testing.assert_array_equal(facts["modality"], np.tile([0, 1, 2], (500, 1)))


# ---- targets and costs -------------------------------------------------------------------------------


def test_compact_targets_and_costs():
    """Sections 5, 6: zeros and one; (sin, cos) of the response; 1 before and 5 after, fixation 0.5 times."""
    task, episodes, facts = battery("delayanti", 20, response="vector")
    go, weights = facts["epoch_starts"][:, 5], task.loss_weights(episodes)
    assert weights.shape == episodes.targets.shape
    for b in range(20):
        target, weight, end = episodes.targets[:, b], weights[:, b], episodes.lengths[b]
        angle = 2 * PI * ((facts["direction"][b, 0] + 4) % 8) / 8
        np.testing.assert_array_equal(target[: go[b]], np.tile([1, 0, 0], (go[b], 1)))
        expected = np.tile([0, np.sin(angle), np.cos(angle)], (end - go[b], 1))
        np.testing.assert_allclose(target[go[b] : end], expected, atol=1e-6)
        assert not weight[:2].any()
        np.testing.assert_allclose(weight[2 : go[b]], np.tile([0.5, 1, 1], (go[b] - 2, 1)))
        assert not weight[go[b] : go[b] + 2].any()
        np.testing.assert_allclose(weight[go[b] + 2 : end], np.tile([2.5, 5, 5], (end - go[b] - 2, 1)))
        assert not weight[end:].any()
    discrete = CognitiveBattery("delayanti")
    again = discrete.sample(np.random.default_rng(0), 20)
    np.testing.assert_allclose(discrete.loss_weights(again), weights[..., 1])


def test_ring_targets_and_costs():
    """Sections 5, 6: 0.05, 0.8 and the ring's bump; the squared mask, 1 and 25, fixation 4 and 100."""
    task, episodes, facts = battery("fdgo", 5, dialect="ring", response="vector")
    weights = task.loss_weights(episodes)
    preferred = 2 * PI * np.arange(32) / 32
    for b in range(5):
        go, end = facts["epoch_starts"][b, 5], episodes.lengths[b]
        np.testing.assert_allclose(episodes.targets[go - 1, b], [0.8] + [0.05] * 32, atol=1e-6)
        bump = np.exp(-0.5 * (circular_distance(preferred, facts["theta"][b, 0]) / (PI / 8)) ** 2)
        np.testing.assert_allclose(episodes.targets[end - 1, b], [0.05, *(0.05 + 0.8 * bump)], atol=1e-6)
        assert not weights[:5, b].any()
        assert not weights[go : go + 5, b].any()
        np.testing.assert_array_equal(weights[5, b], [4] + [1] * 32)
        np.testing.assert_array_equal(weights[go + 5, b], [100] + [25] * 32)


def test_withheld_trials_keep_fixating():
    """Section 2: the fixation target stays high to the end and the direction target is zero."""
    _, episodes, facts = battery("dmsgo", 40, response="vector")
    rows = np.flatnonzero(facts["withhold"])
    last = episodes.lengths[rows] - 1
    np.testing.assert_array_equal(episodes.targets[last, rows], np.tile([1, 0, 0], (len(rows), 1)))
    assert (episodes.step_facts["location"][last, rows] == -1).all()
    assert (facts["response_angle"][rows] == -1).all()


def test_label_strength():
    """Section 2.2: for delaydm only, the target is as long as the chosen stimulus is strong: 0.88 to 1.52."""
    _, episodes, facts = battery("delaydm1", 2000, response="vector", label_strength=True)
    rows = np.arange(2000)
    length = np.hypot(*episodes.targets[episodes.lengths - 1, rows, 1:].T)
    np.testing.assert_allclose(length, facts["strengths"][rows, facts["chosen"], 0], rtol=1e-6)
    assert 0.88 <= length.min() < 0.9
    assert 1.5 < length.max() <= 1.52
    _, other, _ = battery("contextdelaydm1", 50, response="vector", label_strength=True)
    np.testing.assert_allclose(np.hypot(*other.targets[other.lengths - 1, np.arange(50), 1:].T), 1, rtol=1e-6)


# ---- test grid, psychometric ---------------------------------------------------------------------------


def test_grid_sizes_and_times():
    """Section 3: 40 go trials, 100 (dm) and 500 (context) decisions, 80 matches; their lengths."""
    sizes = {
        "fdgo": (40, 2000), "reactanti": (40, 2500), "delaygo": (40, 2500), "dm1": (100, 2500),
        "contextdm2": (500, 2000), "multidm": (500, 2000), "delaydm1": (100, 3000),
        "multidelaydm": (500, 3500), "dmsgo": (80, 2700), "dmcnogo": (80, 2700),
    }  # fmt: skip
    for name, (size, length) in sizes.items():
        episodes = CognitiveBattery(name, dialect="ring", sigma_x=0.0, mode="test").conditions()
        assert episodes.batch_size == size
        assert (episodes.lengths == length // 20).all()
        assert not episodes.facts["withhold"].any()


def test_grid_conditions():
    """Section 3: order row-major, first factor slowest; strengths of the delayed decision."""
    facts = CognitiveBattery("delaydm2", mode="test").conditions().facts
    np.testing.assert_allclose(facts["strengths"][:5, 0, 1], [0.5, 0.7, 0.9, 1.1, 1.3])
    np.testing.assert_allclose(facts["strengths"][:, :, 1].sum(1), 2)
    np.testing.assert_allclose(facts["theta"][::5, 0], 2 * PI * np.arange(20) / 20)
    facts = CognitiveBattery("fdanti", mode="test").conditions().facts
    assert facts["modality"][:4, 0].tolist() == [0, 1, 0, 1]
    facts = CognitiveBattery("dmcgo", mode="test").conditions().facts
    np.testing.assert_allclose(facts["theta"][::4, 0], np.pi * np.r_[0.1:0.9:0.08, 1.1:1.9:0.08])
    grid = CognitiveBattery("all", dialect="ring", mode="test").conditions("dmsnogo")
    np.testing.assert_allclose(circular_distance(*grid.facts["theta"].T), PI)
    go, length = grid.facts["epoch_starts"][0, 5] * 20, grid.lengths[0] * 20
    assert (go, length) == (2200, 2700)


def test_ties_of_the_grid_do_not_count():
    """Section 2.1: i + j = 5 of the multi-sensory grids are ties."""
    task = CognitiveBattery("multidelaydm", mode="test")
    grid = task.conditions()
    i, j = np.unravel_index(np.arange(500), (20, 5, 5))[1:]
    np.testing.assert_array_equal(grid.facts["tie"], i + j == 5)
    np.testing.assert_array_equal(grid.mask.sum(0), i + j != 5)
    drawn = task.sample(np.random.default_rng(0), 300)
    assert not drawn.facts["tie"].any()
    scores = task.metrics(grid, np.where(grid.targets > 0, grid.targets, 0))
    assert scores["score"] == 1


def test_psychometric_conditions():
    """Section 3: the caller's strengths and times; offsets of the published mode otherwise."""
    conditions = {
        "theta1": [0.0, 0.0], "theta2": [PI, PI], "gamma1": [1.1, 0.9], "gamma2": [0.9, 1.1],
        "durations": {"fix1": 300, "stim1": [200, 600], "delay1": 400, "stim2": 300},
    }  # fmt: skip
    task = CognitiveBattery(
        "delaydm1", dialect="ring", mode="psychometric", psychometric=conditions, sigma_x=0.0
    )
    episodes = task.conditions()
    assert episodes.facts["chosen"].tolist() == [0, 1]
    assert (episodes.facts["epoch_starts"] * 20).tolist() == [
        [0, 300, 500, 900, 1200, 1400, 1700], [0, 300, 900, 1300, 1600, 1800, 2100]
    ]  # fmt: skip
    degrees = {"theta1": [1.0, 1.0], "theta2": [1.0 + np.radians(4), 1.0 + np.radians(6)]}
    match = CognitiveBattery("dmsgo", dialect="ring", mode="psychometric", psychometric=degrees).conditions()
    assert match.facts["match"].tolist() == [1, 0]  # 5 degrees
    assert (match.facts["epoch_starts"][0] * 20).tolist() == [0, 500, 800, 2000, 2000, 2000, 2500]


def test_what_is_shown_decides_whether_stimuli_match() -> None:
    """Spec 9.3: stimuli that snap to one direction match; categories are those of what is shown."""
    near = CognitiveBattery("dmsgo", mode="psychometric", psychometric={"theta1": [0.1], "theta2": [0.3]})
    across = CognitiveBattery("dmcgo", mode="psychometric", psychometric={"theta1": [0.5], "theta2": [3.1]})
    assert near.sample(np.random.default_rng(0), 1).facts["match"].tolist() == [1]
    assert across.sample(np.random.default_rng(0), 1).facts["match"].tolist() == [0]


@pytest.mark.parametrize("mode", ["random_batch", "test"])
def test_modality_diff_holds_for_match_tasks_in_every_mode(mode: str) -> None:
    """Spec 2.2: the second stimulus of a match task is in the other modality."""
    task = CognitiveBattery("dmsgo", modality_diff=True, mode=mode)
    modality = task.sample(np.random.default_rng(0), 100).facts["modality"][:, :2]
    assert (modality[:, 0] != modality[:, 1]).all()
