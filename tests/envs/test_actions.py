"""Actions are refused outside their space, by both views alike, and clipped in one way."""

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs.actions import ActionCheck, check_actions, clip_actions

DISCRETE = gym.spaces.Discrete(3)
SHIFTED = gym.spaces.Discrete(3, start=-1)
BOX = gym.spaces.Box(-2.0, 2.0, (2,), np.float32)
OPEN_BOX = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "actions", "expected"),
    [
        (DISCRETE, [0, 2], [0, 2]),
        (DISCRETE, np.array([0, 2], np.uint8), [0, 2]),
        (DISCRETE, np.array([0.0, 2.0]), [0, 2]),
        (SHIFTED, np.array([-1, 1]), [-1, 1]),
        (BOX, np.zeros((2, 2)), np.zeros((2, 2))),  # float64: F27
        (BOX, [[0, 1], [2.0 + 1e-9, -2]], [[0, 1], [2, -2]]),
        (OPEN_BOX, [[0, 1], [1e30, -2]], [[0, 1], [1e30, -2]]),
    ],
)
def test_numbers_of_another_type_pass_where_nothing_is_lost(space, actions, expected):
    checked = check_actions(space, actions, 2)
    assert checked.dtype == space.dtype
    np.testing.assert_array_equal(ActionCheck(space, 2)(actions), checked)
    np.testing.assert_array_equal(checked, np.asarray(expected, space.dtype))


def test_an_array_that_is_right_already_is_not_copied():
    for space, actions in ((DISCRETE, np.array([0, 1])), (BOX, np.zeros((2, 2), np.float32))):
        assert check_actions(space, actions, 2) is actions
        assert ActionCheck(space, 2)(actions) is actions


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (DISCRETE, [7, -3], "action .*7.* of environment 0 is not in the action space"),
        (DISCRETE, [0, -3], "of environment 1"),
        (DISCRETE, np.array([0, 2**63], np.uint64), "of environment 1"),
        (SHIFTED, [-2, 0], "of environment 0"),
        (SHIFTED, [0, 2], "of environment 1"),
        (DISCRETE, [0, 1.7], "of environment 1"),
        (DISCRETE, [0, np.nan], "of environment 1"),
        (DISCRETE, [0, np.inf], "of environment 1"),
        (DISCRETE, [[0], [1]], r"shape \(2, 1\): expected \(2,\)"),
        (DISCRETE, 0, r"shape \(\): expected \(2,\)"),
        (DISCRETE, [0, 1, 2], r"shape \(3,\): expected \(2,\)"),
        (DISCRETE, ["a", "b"], "expected numbers"),
        (DISCRETE, [None, 1], "expected numbers"),
        (BOX, np.full((2, 2), np.nan), "of environment 0"),
        (BOX, [[0, 1], [2, 2.1]], "of environment 1"),
        (BOX, [[0, 1], [2, 1e300]], "of environment 1"),
        (BOX, np.zeros(2), r"shape \(2,\): expected \(2, 2\)"),
        (BOX, np.zeros((2, 1)), r"shape \(2, 1\)"),
        (BOX, np.zeros((2, 3)), r"shape \(2, 3\)"),
        (BOX, [[0, 1], [2]], r"expected an array of shape \(2, 2\)"),
        (OPEN_BOX, [[0, 1], [np.inf, 0]], "of environment 1"),
    ],
)
def test_what_is_not_in_the_space_is_refused_with_its_place(space, actions, message):
    for check in (lambda: check_actions(space, actions, 2), lambda: ActionCheck(space, 2)(actions)):
        with pytest.raises(ValueError, match=message):
            check()


@pytest.mark.parametrize(
    ("space", "actions"),
    [(DISCRETE, [999, 1]), (DISCRETE, [np.nan, 1]), (BOX, [[np.nan, 9], [1, 1]]), (SHIFTED, [-9, 1])],
)
def test_an_unused_action_may_be_anything(space, actions):
    checked = check_actions(space, actions, 2, np.array([True, False]))
    assert all(space.contains(action) for action in checked)
    np.testing.assert_array_equal(checked[1], actions[1])
    with pytest.raises(ValueError, match="of environment 0"):
        check_actions(space, actions, 2, np.array([False, True]))


@pytest.mark.parametrize("space", [
    DISCRETE, SHIFTED, BOX, OPEN_BOX, gym.spaces.Discrete(4, dtype=np.int8),
    gym.spaces.Box(np.array([-1.0, 0.0]), np.array([0.0, 2.0]), dtype=np.float64),
    gym.spaces.Box(np.float32([0.0, -np.inf]), np.float32([0.0, np.inf]), dtype=np.float32),
])  # fmt: skip
def test_the_quick_check_says_what_the_space_says(space):
    rng, check = np.random.default_rng(0), ActionCheck(space, 3)
    values = [-np.inf, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 5, np.inf, np.nan]
    values = [v for v in values if isinstance(space, gym.spaces.Box) or (np.isfinite(v) and v % 1 == 0)]
    for _ in range(300):
        actions = rng.choice(values, (3, *space.shape)).astype(space.dtype)
        if all(space.contains(action) for action in actions) and np.isfinite(actions).all():
            assert check(actions) is actions
        else:
            with pytest.raises(ValueError, match="not in the action space"):
                check(actions)


def test_clipping_keeps_answers_in_the_box_and_leaves_discrete_ones_alone():
    """F10: scores were of actions that the environment refuses."""
    actions = np.array([[[-3.0, 1.0], [np.inf, 5.0]]])
    clipped = clip_actions(BOX, actions)
    np.testing.assert_array_equal(clipped, [[[-2, 1], [2, 2]]])
    assert clipped.dtype == BOX.dtype
    whole = np.array([0, 2, 1])
    assert clip_actions(DISCRETE, whole) is whole


def test_clipping_does_not_hide_nan():
    with pytest.raises(FloatingPointError, match="NaN"):
        clip_actions(BOX, np.array([[np.nan, 0.0]]))
