"""Pictures and text of the graph tasks."""

from __future__ import annotations

import builtins
import itertools

import numpy as np
import pytest

from plastic_envs import make_task, rollout
from plastic_envs.graph.render import graph_frame, graph_layout, graph_text

VARIANTS = {
    "walk": ("PlasticGraph-disjoint-v0", {"num_steps": 12}),
    "predict": ("PlasticGraph-disjoint-v0", {"num_steps": 12, "mode": "predict"}),
    "acquire": ("PlasticGraph-disjoint-v0", {"num_steps": 12, "mode": "acquire"}),
    "switch": ("PlasticGraph-switch-v0", {"num_steps": 6, "num_segments": 3}),
    "explore": ("PlasticGraph-explore-v0", {"num_steps": 15, "num_questions": 6}),
}


@pytest.fixture(params=VARIANTS, scope="module")
def played(request):
    env_id, kwargs = VARIANTS[request.param]
    task = make_task(env_id, **kwargs)
    episodes = task.sample(np.random.default_rng(0), 3)
    return task, episodes, rollout(task, task.oracle_policy(), episodes)


def test_frames_are_pictures_that_change_and_can_be_drawn_again(played):
    task, episodes, actions = played
    length = int(episodes.lengths[1])
    steps = [0, 1, length // 2, length - 1, length]
    frames = [graph_frame(task, episodes, 1, s, actions[:s, 1]) for s in steps]
    for frame in frames:
        assert frame.shape == (480, 640, 3)
        assert frame.dtype == np.uint8
        assert frame.std() > 5
    for one, other in itertools.pairwise(frames):
        assert (one != other).any()
    again = graph_frame(task, episodes, 1, steps[2], actions[: steps[2], 1])
    np.testing.assert_array_equal(frames[2], again)


def test_pictures_show_nothing_of_later_steps(played):
    task, episodes, actions = played
    step = 7
    blind = episodes.copy()
    blind.observations[step + 1 :] = 0.0
    np.testing.assert_array_equal(
        graph_frame(task, episodes, 0, step, actions[:step, 0]),
        graph_frame(task, blind, 0, step, actions[:step, 0]),
    )


def test_text_tells_the_target_only_once_answered(played):
    task, episodes, actions = played
    for step in range(int(episodes.lengths[0]) + 1):
        text = graph_text(task, episodes, 0, step, actions[:step, 0])
        assert len(text.splitlines()) == 4
        assert f"step {step}/" in text
    blind = episodes.copy()
    blind.targets[5:] = 0
    assert graph_text(task, blind, 0, 5, actions[:5, 0]) == graph_text(task, episodes, 0, 5, actions[:5, 0])


def test_text_in_full():
    task = make_task("PlasticGraph-disjoint-v0", num_steps=6)
    episodes = task.sample(np.random.default_rng(0), 1)
    x, a, y = (int(episodes.step_facts[name][0, 0]) for name in ("node", "action", "next_node"))
    wrong = (y + 1) % 8
    assert graph_text(task, episodes, 0, 0, np.array([], dtype=int)).splitlines() == [
        "step 0/9  predict",
        f"node {x} --{a}--> ?",
        "last answer: none yet",
        "no answers yet, 0 transitions known",
    ]
    assert graph_text(task, episodes, 0, 1, np.array([wrong])).splitlines() == [
        "step 1/9  acquire",
        f"node {x} --{a}--> node {y}",
        f"last answer: node {x} --{a}--> {wrong}, wrong (it was {y})",
        "score 0.000 (0/1), 2 transitions known",
    ]


def test_layout_keeps_nodes_apart_and_edges_short():
    ring = np.zeros((9, 9), dtype=bool)
    ring[np.arange(9), (np.arange(9) + 1) % 9] = True
    ring |= ring.T
    place = graph_layout(ring)
    np.testing.assert_array_equal(place, graph_layout(ring))
    assert place.min() == 0.0
    assert place.max() == 1.0
    apart = np.hypot(*(place[:, None] - place).transpose(2, 0, 1))
    assert apart[~np.eye(9, dtype=bool)].min() > 0.2
    assert apart[ring].max() < apart[~ring].max()


@pytest.mark.parametrize("num_nodes", [2, 3])
def test_smallest_graphs_can_be_drawn(num_nodes):
    task = make_task("PlasticGraph-disjoint-v0", num_nodes=num_nodes, num_steps=4, edge_prob=0.5)
    episodes = task.sample(np.random.default_rng(0), 1)
    assert graph_frame(task, episodes, 0, 1, np.array([0])).std() > 5


def test_settings_of_matplotlib_are_left_alone(played):
    import matplotlib as mpl

    task, episodes, actions = played
    before = dict(mpl.rcParams)
    graph_frame(task, episodes, 0, 3, actions[:3, 0])
    assert dict(mpl.rcParams) == before


def test_without_matplotlib_the_error_names_the_extra(played, monkeypatch):
    task, episodes, actions = played
    real_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"plastic-gym\[render\]"):
        graph_frame(task, episodes, 0, 1, actions[:1, 0])
