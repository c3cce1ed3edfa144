"""`check_task`: what it lets pass, and that every mistake is named. One table of broken tasks."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from plastic_envs import Association, Episodes, Field, Task, TaskVectorEnv
from plastic_envs.task_checks import play
from plastic_envs.testing import TaskError, check_task

STEPS, BATCH = 6, 8


class Minimal(Task):
    """The least that a task has to have."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def generate(self, streams):
        shape = (3, len(streams))
        targets = streams.integers(2, 3).T
        return Episodes(
            observations=np.eye(2, dtype=np.float32)[targets],
            targets=targets,
            mask=np.ones(shape, np.float32),
            periods=np.zeros(shape, np.int8),
            resets=np.zeros(shape, bool),
            lengths=np.full(shape[1], 3),
        )


class Reader:
    def act(self, observations, episode_starts):
        return observations[:, :3].argmax(1)


class Full(Task):
    """A symbol to be named in each step, and whether the last answer was right. It has all there is."""

    observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(3)
    periods = ("first", "later")
    fields = (Field("symbol", 0, 3, "symbol"), Field("right", 3, 1))
    info_facts = ("symbol",)
    closed_loop = True
    pays_unweighted = False
    chance = 1 / 3

    def __init__(self, split="train", gain=1.0):
        self.split, self.gain = split, gain

    def with_split(self, split):
        return self if split == self.split else type(self)(split)

    def generate(self, streams):
        streams = streams.spawn(("train", "validation", "test").index(self.split))
        lengths = STEPS - streams.integers(3)
        symbol = streams.integers(3, STEPS).T
        live = np.arange(STEPS)[:, None] < lengths
        shown = np.concatenate((np.eye(3)[symbol], np.zeros((*live.shape, 1))), -1)
        return Episodes(
            observations=(self.gain * shown).astype(np.float32),
            targets=np.where(live, symbol, -1),
            mask=(live & (np.arange(STEPS) > 0)[:, None]).astype(np.float32),
            periods=np.repeat((np.arange(STEPS) > 0)[:, None], live.shape[1], 1).astype(np.int8),
            resets=np.repeat((np.arange(STEPS) == 2)[:, None], live.shape[1], 1),
            lengths=lengths,
            facts={"symbols": symbol.T.copy()},
            step_facts={"symbol": symbol, "half": symbol / 2},
        )

    def advance(self, episodes, steps, rows, actions):
        on = steps + 1 < STEPS
        right = episodes.targets[steps, rows] == actions
        episodes.observations[steps[on] + 1, rows[on], 3] = right[on]

    def oracle_policy(self):
        return Reader()

    def render_text(self, episodes, row, step, actions):
        return f"step {step}"

    def render_frame(self, episodes, row, step, actions):
        return np.zeros((4, 4, 3), np.uint8)


def test_the_least_task_passes_and_what_it_lacks_is_told_once():
    report = check_task(Minimal())
    assert report.missing == (
        "closed loop (actions change nothing that comes)", "pictures", "splits", "chance", "oracle",
    )  # fmt: skip
    assert report.checked == (
        "spaces",
        "arrays",
        "rows",
        "resets",
        "loss weights",
        "rewards",
        "views",
        "describe",
    )
    assert "missing: closed loop" in str(report)
    reference = Minimal().reference_scores(Minimal().sample(0, 4))
    assert np.isnan([reference["chance"], reference["oracle"]]).all()


@pytest.mark.parametrize("batch_size", [4, STEPS, 30])  # one of them is as many as there are steps
@pytest.mark.parametrize("max_steps", [1, 4, 1000])
def test_a_task_that_has_everything_passes(batch_size, max_steps):
    report = check_task(Full(), seed=3, batch_size=batch_size, max_steps=max_steps)
    assert report.missing == ()
    assert len(report.checked) == 13
    assert str(report).endswith("missing: nothing")


def test_other_kinds_of_tasks_pass():
    class Estimate(Minimal):
        action_space = spaces.Box(np.float32([0, -np.inf]), np.float32([1, np.inf]))
        score_name = "minus squared error"

        def generate(self, streams):
            episodes = super().generate(streams)
            return dataclasses.replace(episodes, targets=episodes.observations + np.float32(0))

        def reward(self, episodes, steps, rows, actions):
            return -np.square(episodes.targets[steps, rows] - actions).sum(-1)

        def step_scores(self, episodes, actions):
            return -np.square(episodes.targets - actions).sum(-1)

    class Untaught(Minimal):
        """Paid by what it does, as nothing is right."""

        def generate(self, streams):
            episodes = super().generate(streams)
            return dataclasses.replace(episodes, targets=np.full_like(episodes.targets, -1))

    assert "loss weights" in check_task(Estimate()).checked
    assert "targets to learn from" in check_task(Untaught()).missing


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"batch_size=3.*at least 4 episodes"):
        check_task(Minimal(), batch_size=3)
    with pytest.raises(ValueError, match="max_steps=0"):
        check_task(Minimal(), max_steps=0)
    with pytest.raises(ValueError, match="seed=-1"):
        check_task(Minimal(), seed=-1)


def test_pictures_are_drawn_only_if_asked_for():
    assert check_task(Full(), pictures=False).missing == ("pictures (not asked for)",)


# ---- broken tasks ------------------------------------------------------------------------------------


def episodes(**changes):
    """`generate` with arrays changed: functions of the array; or of the episodes, as `all`."""

    def generate(self, streams):
        made = Full.generate(self, streams)
        if "all" in changes:
            return changes["all"](made)
        return dataclasses.replace(
            made, **{name: change(getattr(made, name)) for name, change in changes.items()}
        )

    return {"generate": generate}


def at(index, value):
    """An array with one place changed."""

    def change(array):
        array[index] = value
        return array

    return change


def swapped(array):
    return array.swapaxes(0, 1)


def put(name, value):
    return lambda facts: {**facts, name: value(facts)}


def advance(more):
    """`advance` that does something else too."""

    def both(self, episodes, steps, rows, actions):
        Full.advance(self, episodes, steps, rows, actions)
        if steps[0] + 1 < STEPS:
            more(episodes, steps, rows, actions)

    return {"advance": both}


def put_in(array, index, value):
    array[index] = value


def count_calls(self, streams):
    made = Full.generate(self, streams)
    self.calls = getattr(self, "calls", 0) + 1
    made.step_facts["half"] += self.calls
    return made


KEPT = np.zeros((STEPS, 1000))


def share(made):
    made.step_facts["half"] = KEPT[:, : made.batch_size]
    return made


def less_of_the_mean(made):
    made.step_facts["half"] -= made.step_facts["half"].mean()
    return made


def random_resets(made):
    made.resets[1] = made.facts["symbols"][:, 0] == 0
    return made


class Learner:
    """Knows more in its second life."""

    lives = 0

    def __init__(self):
        type(self).lives += 1
        self.life = type(self).lives

    def act(self, observations, episode_starts):
        return np.full(len(observations), self.life % 3)


class Wrong:
    def act(self, observations, episode_starts):
        return (Reader().act(observations, episode_starts) + 1) % 3


class Outside(Wrong):
    def act(self, observations, episode_starts):
        return np.full(len(observations), 7)


def written_split(self, split):
    self.split = split
    return self


def played_by_others(self, episodes):
    return {"chance": self.chance, "oracle": float(episodes.observations[..., 3].sum())}


def constant(value):
    return lambda self, *args: value


def rewards(change):
    return {"reward": lambda self, *args: change(Task.reward(self, *args), self, *args)}


def paid_and_written(array, self, made, *others):
    made.step_facts["half"][0] += 1
    return array


BOX = spaces.Box
BROKEN = {
    # spaces
    "a space of two axes": (
        {"observation_space": BOX(0, 1, (2, 2), np.float32)},
        r"expected a Box of shape \(O,\)",
    ),
    "a space of float64": ({"observation_space": BOX(0, 1, (4,), np.float64)}, "dtype float32"),
    "no zeros in the space": ({"observation_space": BOX(0.5, 1, (4,), np.float32)}, "does not contain zeros"),
    "two actions at once": ({"action_space": spaces.MultiDiscrete([2, 2])}, "expected Discrete or Box"),
    # shapes and types
    "a dictionary": (
        episodes(all=dataclasses.asdict),
        r"generate returned a dict: expected plastic_envs\.Episodes",
    ),
    "a list": (episodes(observations=lambda a: a.tolist()), r"expected an array \(T, B, O\)"),
    "one axis": (
        episodes(observations=lambda a: a[..., 0]),
        r"observations of shape \(6, 8\): expected an array",
    ),
    "float64": (
        episodes(observations=np.float64),
        "observations of dtype float64: expected float32; convert",
    ),
    "observations batch first": (
        episodes(observations=swapped),
        r"observations of shape \(9, 6, 4\): expected \(6, 9, 4\), time first, then the batch; swap",
    ),
    "targets batch first": (
        episodes(targets=swapped),
        r"targets of shape \(8, 6\).* swap its first two axes",
    ),
    "observations too wide": (
        episodes(observations=lambda a: a.repeat(2, 2)),
        r"expected \(6, 8, 4\).* give it",
    ),
    "weights too short": (episodes(mask=lambda a: a[1:]), r"mask of shape \(5, 8\): expected \(6, 8\)"),
    "targets of a box": (episodes(targets=lambda a: a[..., None]), r"targets of shape \(6, 8, 1\)"),
    "targets int32": (episodes(targets=np.int32), "targets of dtype int32: expected int64"),
    "weights bool": (episodes(mask=np.bool_), "mask of dtype bool: expected float32"),
    "periods int64": (episodes(periods=np.int64), "periods of dtype int64: expected int8"),
    "resets int8": (episodes(resets=np.int8), "resets of dtype int8: expected bool"),
    "lengths of steps": (
        episodes(lengths=lambda a: np.arange(6)),
        r"lengths of shape \(6,\): expected \(8,\)",
    ),
    "lengths float": (episodes(lengths=np.float64), "lengths of dtype float64"),
    "a list of facts": (episodes(facts=put("l", lambda f: [1] * BATCH)), r"facts\['l'\] is a list"),
    "facts of no episode": (episodes(facts=put("n", lambda f: np.zeros(3))), r"facts\['n'\] of shape \(3,\)"),
    "facts time first": (
        episodes(facts=put("t", lambda f: f["symbols"].T)),
        r"facts\['t'\] is \(T, B, \.\.\.\): put it into step_facts",
    ),
    "step facts batch first": (
        episodes(step_facts=put("b", lambda f: f["half"].T)),
        r"step_facts\['b'\] of shape \(8, 6\).* swap",
    ),
    "objects": (
        episodes(step_facts=put("o", lambda f: f["half"].astype(object))),
        r"step_facts\['o'\] of dtype object",
    ),
    # numbers
    "an empty episode": (episodes(lengths=at(2, 0)), "lengths are 0 to 6: expected 1 to 6"),
    "too long": (episodes(lengths=at(2, 7)), "lengths are .* to 7: expected 1 to 6"),
    "no such action": (
        episodes(targets=at((1, 1), 3)),
        r"target \[3\] is not in the action space Discrete\(3\)",
    ),
    "a negative weight": (episodes(mask=at((1, 1), -1)), "mask is negative"),
    "a weight outside": (
        episodes(mask=at(slice(4, None), 1)),
        "after the end of its episode has a weight",
    ),
    "no weight": (episodes(mask=at((slice(None), 2), 0)), r"episodes \[2\] have no step with a weight"),
    "no such period": (episodes(periods=at(0, 2)), "periods are 1 to 2: expected 0 to 1"),
    "out of the space": (
        episodes(observations=at((1, 1, 1), 2)),
        r"an observation has \[2\.\], which is not in",
    ),
    "not a number": (episodes(observations=at((1, 1, 1), np.nan)), r"an observation has \[nan\]"),
    "info of nothing": (
        {"info_facts": ("colour",)},
        r"info_facts \['colour'\]: expected names of step_facts",
    ),
    "info of taken names": (
        dict(info_facts=("_a",), **episodes(step_facts=put("_a", lambda f: f["half"]))),
        r"do not begin with '_'",
    ),
    "fields overlap": ({"fields": (Field("a", 0, 3), Field("b", 2, 2))}, "fields overlap"),
    "no such field": ({"association": Association(("symbol",), "right")}, "fields that have a vocabulary"),
    "no components": ({"components": ("a", "b")}, r'expected their indices in facts\["component"\]'),
    "no such component": (
        dict(components=("a",), **episodes(facts=put("component", lambda f: 1 + 0 * f["symbols"][:, 0]))),
        "expected their indices",
    ),
    # rows
    "global random numbers": (
        episodes(step_facts=put("half", lambda f: np.random.rand(*f["half"].shape))),  # noqa: NPY002
        r"step_facts\['half'\] differs when the same seeds are drawn again: draw from the `streams` only",
    ),
    "a memory": ({"generate": count_calls}, "keep nothing between calls of `generate`"),
    "the same memory": (episodes(all=share), r"\[\"step_facts\['half'\]\"\] of two batches share memory"),
    "a mean of the batch": (
        episodes(all=less_of_the_mean),
        r"step_facts\['half'\] differs when episode 0 is drawn alone",
    ),
    "facts as wide as the batch": (
        episodes(facts=put("n", lambda f: np.zeros((len(f["symbols"]),) * 2))),
        r"facts\['n'\] differs when episode",
    ),
    "facts of some batches": (
        episodes(facts=lambda f: {**f, "late": f["symbols"]} if len(f["symbols"]) == 1 else f),
        r"facts\['late'\] differs when episode 0",
    ),
    # what is told of steps
    "resets at random": (episodes(all=random_resets), "resets_in differs from Episodes.resets at step 1"),
    "loss weights of rows": ({"loss_weights": lambda self, e: e.mask[0]}, r"loss_weights of shape \(8,\)"),
    "negative loss weights": ({"loss_weights": lambda self, e: -e.mask}, "loss_weights are negative"),
    # the closed loop
    "advance of all rows": (
        advance(lambda e, steps, rows, a: put_in(e.observations, (steps + 1, slice(None), 3), 1)),
        r"advance at step \[0\] changed observations at \[1, 1\] \(step, row\): write later steps of",
    ),
    "advance of now": (
        advance(lambda e, steps, rows, a: put_in(e.step_facts["half"], (steps, rows), 9)),
        r"changed step_facts\['half'\] at \[0, 0\]",
    ),
    "advance of others' facts": (
        advance(lambda e, steps, rows, a: put_in(e.facts["symbols"], (slice(None),), 7)),
        r"changed facts\['symbols'\] at \[1\] \(row\)",
    ),
    "advance of lengths": (
        advance(lambda e, steps, rows, a: put_in(e.lengths, (rows,), 6)),
        "changed lengths at .* leave `lengths`",
    ),
    "advance of shapes": (
        advance(lambda e, steps, rows, a: setattr(e, "mask", e.mask[1:])),
        "changed the shape of mask",
    ),
    "advance by chance": (
        advance(lambda e, steps, rows, a: put_in(e.facts["symbols"], (rows, 0), np.random.rand() * 1e6)),  # noqa: NPY002
        r"facts\['symbols'\] differs when the same actions are played again",
    ),
    "advance out of the space": (
        advance(lambda e, steps, rows, a: put_in(e.observations, (steps + 1, rows, 3), 2)),
        r"an observation has \[2\.\]",
    ),
    "unplayed is played": (
        {"unplayed": lambda self, e: e.copy()},
        "observations differs .* after `unplayed`",
    ),
    # rewards
    "one reward for all": (rewards(lambda r, *args: r.sum()), r"rewards of shape \(\): expected \(\d+,\)"),
    "no reward at all": (rewards(lambda r, *args: r * np.nan), "rewards are not finite"),
    "paid for nothing": (rewards(lambda r, *args: r + 1), "reward although pays_unweighted is False"),
    "reward writes": (rewards(paid_and_written), r"step_facts\['half'\] is changed by `reward`"),
    # views
    "a reward by rank": (
        dict(closed_loop=False, **rewards(lambda r, self, *args: r * len(r))),
        "TaskEnv shows another reward",
    ),
    "advance by number": (
        advance(lambda e, steps, rows, a: put_in(e.observations, (steps + 1, rows, 3), float(len(rows) > 1))),
        "TaskEnv shows another observation .*`reward` and `advance` do may depend on the given",
    ),
    # pictures
    "no text": ({"render_text": constant(" ")}, "render_text returned ' '"),
    "a grey picture": (
        {"render_frame": constant(np.zeros((4, 4)))},
        r"render_frame returned float64 \(4, 4\)",
    ),
    # the same task otherwise
    "describes too little": ({"describe": constant({})}, "describe all arguments"),
    "describes too much": ({"describe": constant({"size": 3})}, "does not make the task: .*'size'"),
    "describes arrays": ({"describe": constant({"gain": np.zeros(2)})}, "not JSON serializable"),
    "a split of the same": (
        {"with_split": lambda self, split: self if split == "train" else type(self)(gain=self.gain)},
        r"with_split\('validation'\) is another task with the same episodes",
    ),
    "a split in place": ({"with_split": written_split}, "is changed by `with_split`: return another task"),
    "no split": ({"with_split": constant(None)}, r"with_split\('train'\) returned None"),
    # scores
    "chance too low": ({"chance": 0.1}, "random actions score .* more than chance = 0.1: correct `chance`"),
    "chance too high": ({"chance": 0.8}, "less than chance = 0.8: correct `chance`; or"),
    "no score": ({"metrics": constant({})}, r"metrics\(\.\.\.\)\['score'\] is nan"),
    "one score of all": ({"episode_scores": constant(np.float64(0.5))}, r"episode_scores .* of shape \(\)"),
    "an oracle that remembers": ({"oracle_policy": lambda self: Learner()}, "a second oracle_policy"),
    "an oracle that fails": ({"oracle_policy": lambda self: Wrong()}, "oracle scores 0 .* less than chance"),
    "an oracle outside": ({"oracle_policy": lambda self: Outside()}, "is not in the action space"),
    "a better oracle": (
        {"reference_scores": constant({"chance": 0.3, "oracle": 1.5})},
        "less than what reference_scores",
    ),
    "no reference": ({"reference_scores": constant({"best": 1.0})}, r"reference_scores has \['best'\]"),
    "the oracle goes on": ({"reference_scores": played_by_others}, "let it play `task.unplayed"),
}
GAIN = {"describes too little"}  # their tasks are not made with the defaults


@pytest.mark.parametrize("mistake", BROKEN)
def test_every_mistake_is_named(mistake):
    changes, message = BROKEN[mistake]
    task = type("Broken", (Full,), changes)(gain=0.5 if mistake in GAIN else 1.0)
    with pytest.raises((TaskError, ValueError), match=message):
        check_task(task, batch_size=64 if "chance" in mistake else BATCH)


def test_a_described_task_with_another_space_is_told():
    class Wide(Minimal):
        def __init__(self, num_actions=2):
            self.action_space = spaces.Discrete(num_actions)

        def describe(self):
            return {}

    with pytest.raises(TaskError, match=r"Wide: a task made with describe.* has another action_space"):
        check_task(Wide(3))


def test_the_tolerance_is_for_rules_that_exclude_actions():
    task = type("Strict", (Full,), {"chance": 0.8})()
    check_task(task, chance_tolerance=0.5)
    better = {"reference_scores": lambda self, episodes: {"chance": self.chance, "oracle": 1.2}}
    check_task(type("Better", (Full,), better)(), oracle_tolerance=0.3)


def test_a_view_that_uses_its_memory_again_is_told(monkeypatch):
    class Reused(TaskVectorEnv):
        def step(self, actions):
            observations, *others = super().step(actions)
            self.shown = getattr(self, "shown", observations)
            self.shown[...] = observations
            return self.shown, *others

    monkeypatch.setattr(play, "TaskVectorEnv", Reused)
    with pytest.raises(TaskError, match="TaskVectorEnv shows another observation"):
        check_task(Full())


def test_a_registered_environment_is_checked_by_its_task():
    assert "views" in check_task(gym.make("EvidenceIntegration-v0").unwrapped.task, batch_size=8).checked
