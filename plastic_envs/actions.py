"""Actions against their space: refused where a player would be deceived, clipped where a network answers.

The views refuse what is not in the space (`check_actions`). A network's real-valued answer may lie outside;
playing, scoring and validation all clip it the same way first (`clip_actions`), so that what is scored is
what the environment would have taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

__all__ = ["ActionCheck", "check_actions", "clip_actions"]


def check_actions(
    space: spaces.Discrete | spaces.Box, actions: Any, count: int, unused: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[Any]:
    """Turn actions into an array of the space's type, or say what is wrong with them.

    Numbers may have another type if nothing is lost: whole floats for `Discrete`, and any number that
    is inside a `Box` once it is rounded to the type of the `Box`.

    Args:
        space: Space of one action.
        actions: (count, ...), anything that NumPy makes an array of.
        count: Number of actions expected.
        unused: (count,), whose actions have no effect, so that they may be anything.

    Returns:
        (count, *space.shape), in the dtype of the space; `actions` itself where it is that already.

    Raises:
        ValueError: If the shape is wrong, or a number is not finite or not in the space.
    """
    try:
        array = np.asarray(actions)
    except ValueError as error:  # rows of several lengths
        raise ValueError(
            f"actions {actions!r}: expected an array of shape {(count, *_shape(space))}."
        ) from error
    if array.shape != (count, *_shape(space)):
        raise ValueError(
            f"actions of shape {array.shape}: expected {(count, *_shape(space))}, as the action space is "
            f"{space}."
        )
    if array.dtype.kind not in "iufb":
        raise ValueError(f"actions of type {array.dtype}: expected numbers in the action space {space}.")
    converted, inside = _converted(space, array)
    if np.count_nonzero(inside) < inside.size:
        wrong = ~inside.reshape(count, -1).all(1)
        if unused is not None:
            converted = converted.copy()
            converted[unused] = space.start if isinstance(space, spaces.Discrete) else space.low
            wrong &= ~unused
        if wrong.any():
            first = int(wrong.argmax())
            whose = f" of environment {first}" if count > 1 else ""
            raise ValueError(f"action {array[first]!r}{whose} is not in the action space {space}.")
    return converted


class ActionCheck:
    """`check_actions` for one space and number of actions, which is quick where all of them are right.

    Args:
        space: Space of one action.
        count: Number of actions expected.
    """

    def __init__(self, space: spaces.Discrete | spaces.Box, count: int) -> None:
        self._space, self._count = space, count
        self._dtype, self._shape = space.dtype, (count, *_shape(space))
        self._unsigned: np.dtype[Any] | None = None
        # What is between these is in the space, whatever its place in an action. At first nothing is.
        self._least, self._most = np.inf, -np.inf
        if isinstance(space, spaces.Discrete):
            if space.start == 0:
                # One comparison does for both ends: below zero, unsigned numbers are very large.
                self._unsigned, self._most = np.dtype(f"u{space.dtype.itemsize}"), int(space.n)
        elif space.is_bounded():
            self._least, self._most = float(space.low.max()), float(space.high.min())

    def __call__(self, actions: Any, unused: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[Any]:
        """Actions as `check_actions` gives them."""
        if isinstance(actions, np.ndarray) and actions.dtype == self._dtype and actions.shape == self._shape:
            if self._unsigned is not None:
                if np.count_nonzero(actions.view(self._unsigned) < self._most) == self._count:
                    return actions
            elif self._least <= actions.min() and actions.max() <= self._most:
                return actions
        return check_actions(self._space, actions, self._count, unused)


def clip_actions(space: spaces.Discrete | spaces.Box, actions: npt.ArrayLike) -> npt.NDArray[Any]:
    """Actions (..., *space.shape) as the environment would take them.

    Args:
        space: Space of one action.
        actions: Actions of a `Discrete` are left as they are; of a `Box`, they are clipped to its bounds.

    Raises:
        FloatingPointError: If a number is NaN.
    """
    if isinstance(space, spaces.Discrete):
        return np.asarray(actions)
    clipped = np.asarray(np.clip(np.asarray(actions, dtype=space.dtype), space.low, space.high))
    if np.isnan(clipped).any():
        raise FloatingPointError(
            "an action is NaN (not a number): the network's weights or its observations have left the finite "
            "numbers; try a lower learning rate, and look for NaN in the observations."
        )
    return clipped


def _shape(space: spaces.Discrete | spaces.Box) -> tuple[int, ...]:
    return space.shape or ()


def _converted(
    space: spaces.Discrete | spaces.Box, array: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The numbers in the space's dtype, and which of them were in the space."""
    if isinstance(space, spaces.Discrete):
        whole = array if array.dtype == space.dtype else _cast(array, space.dtype)
        inside = (whole >= space.start) & (whole < space.start + space.n)
        return whole, inside & (whole == array)
    rounded = array if array.dtype == space.dtype else _cast(array, space.dtype)
    inside = (rounded >= space.low) & (rounded <= space.high)
    inside &= np.isfinite(rounded)
    return rounded, inside


def _cast(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(dtype)
