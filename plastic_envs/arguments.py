"""Arguments of tasks, networks and learners, checked in one place.

An argument's type annotation says what it may be. Plain types do most: `int` is a whole number, `float` a
finite number that 32 bits can hold; `bool`, `str`, `Literal`, `X | None`, sequences and mappings are what
they say. `Annotated` narrows them: a `Range` of numbers, or `Words` from a table. NumPy's scalars are taken
wherever Python's numbers are, and kept as Python's, so that an object can be saved.

A task or a network of your own gets all of it by one line before its constructor::

    class Maze(Task):
        @checked
        def __init__(self, num_rooms: Annotated[int, Range(2, 500)] = 8, seed: Seed = 0) -> None:
            ...

and a dataclass (settings of a learner; a task written as one) by `check_fields(self)` in `__post_init__`.
What concerns several arguments together is still the constructor's to check; `check_size` is for sizes whose
product is too large.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import reprlib
import types
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

__all__ = [
    "SPLITS",
    "Positive",
    "Range",
    "Seed",
    "Share",
    "Size",
    "Split",
    "Words",
    "check_argument",
    "check_fields",
    "check_size",
    "checked",
    "unknown_name",
    "unknown_names",
]

MOST_BYTES = 4 * 2**30
"""Largest memory that one episode, or one network, may take."""

_LARGEST = float(np.finfo(np.float32).max)
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`.

    Attributes:
        low: The least one.
        high: The largest one.
        open_low: Whether `low` itself is left out.
        open_high: Whether `high` itself is left out.
        infinite: Whether infinity is among them although `float` means finite numbers.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        return above and (number < self.high if self.open_high else number <= self.high)

    def __str__(self) -> str:
        low, high = _number(self.low), _number(self.high)
        if self.high == math.inf:
            return (
                f"above {low}" if self.open_low else f"{low} or more" if self.low == 0 else f"at least {low}"
            )
        if self.low == -math.inf:
            return f"below {high}" if self.open_high else f"at most {high}"
        if not (self.open_low or self.open_high):
            return f"{low} to {high}"
        first = f"above {low}" if self.open_low else f"{low} or more"
        return f"{first} and {'below' if self.open_high else 'at most'} {high}"


@dataclass(frozen=True)
class Words:
    """Text that is one of `known`, a tuple or a mapping of names."""

    known: Iterable[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", tuple(self.known))

    def __contains__(self, text: str) -> bool:
        return text in tuple(self.known)

    def __str__(self) -> str:
        return f"one of {self.known}"


Seed = Annotated[int, Range(0, 2**63 - 1)]
"""Seed of random numbers."""

Size = Annotated[int, Range(1, 8192)]
"""Number of units, or entries, along one side of a weight matrix."""

Share = Annotated[float, Range(0, 1)]
"""Part of a whole, or a probability."""

SPLITS = ("train", "validation", "test")
"""Sets of episodes that are kept apart."""

Split = Annotated[str, Words(SPLITS)]
"""One of them."""

Positive = Annotated[float, Range(1e-30, 1e30)]
"""Number above 0 whose square 64 bits can hold."""


class _Wrong(Exception):
    """A value is not what an annotation asks for: what was expected, and which error says so."""

    def __init__(self, expected: str, error: type[Exception]) -> None:
        super().__init__(expected)
        self.expected, self.error = expected, error


def checked(constructor: _Callable) -> _Callable:
    """Check the arguments of a constructor (or another method) by their annotations before it runs.

    Raises:
        TypeError: On an unknown, missing or doubled argument, or one of the wrong type.
        ValueError: On one of the right type that is out of range.
    """
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def check_and_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        takes = signature.parameters
        if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            accepted = [name for name in takes if name != "self"]
            if unknown := [name for name in kwargs if name not in accepted]:
                raise TypeError(f"{type(self).__name__}: {unknown_names(unknown, accepted)}")
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}.") from error
        for name, hint in _hints(constructor).items():
            if name in bound.arguments and takes[name].kind not in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            ):
                bound.arguments[name] = check_argument(name, bound.arguments[name], hint)
        return constructor(*bound.args, **bound.kwargs)

    return cast(_Callable, check_and_call)


def check_fields(instance: Any) -> None:
    """Check the fields of a dataclass by their annotations, in place; for its `__post_init__`.

    Raises:
        TypeError: On a value of the wrong type.
        ValueError: On one out of range.
    """
    hints = _hints(cast(Hashable, type(instance)))
    for each in (each for each in fields(instance) if each.init):
        value = check_argument(each.name, getattr(instance, each.name), hints[each.name])
        object.__setattr__(instance, each.name, value)


def check_argument(name: str, value: Any, hint: Any) -> Any:
    """The value in Python's own types, if it is what the annotation asks for.

    Args:
        name: Of the argument, for the message.
        value: What was passed.
        hint: The annotation, such as `Annotated[int, Range(1)] | None`.

    Raises:
        TypeError: If its type is another.
        ValueError: If it is out of range.
    """
    try:
        return _convert(value, hint)
    except _Wrong as wrong:
        raise wrong.error(f"{name}={reprlib.repr(value)}: expected {wrong.expected}.") from None


def check_size(num_bytes: float, what: str = "an episode", /, **arguments: Any) -> None:
    """Refuse sizes that together ask for more memory than there may be.

    Args:
        num_bytes: Memory that they ask for, estimated.
        what: Whose memory it is.
        **arguments: The sizes.

    Raises:
        ValueError: If it is more than `MOST_BYTES`.
    """
    if num_bytes > MOST_BYTES:
        sizes = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise ValueError(
            f"{sizes}: {what} would take about {num_bytes / 2**30:.3g} GiB; expected at most "
            f"{MOST_BYTES / 2**30:.0f} GiB. Lower one of them."
        )


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """A sentence about a name that is not in a table, with the three nearest ones, or all if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.3) or names
    return f"unknown {kind} {name!r}; did you mean one of {near}?"


def unknown_names(unknown: Sequence[str], accepted: Iterable[str]) -> str:
    """A sentence about arguments that there are not, with the nearest ones and all that there are.

    It begins with Python's own words, by which torchrl knows that an environment takes no `frameskip`.
    """
    names = sorted(accepted)
    near = [name for wrong in unknown for name in difflib.get_close_matches(wrong, names, n=2, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    return f"unexpected keyword argument {', '.join(map(repr, unknown))}.{hint} It takes {names}."


@functools.cache
def _hints(annotated: Hashable) -> dict[str, Any]:
    hints = get_type_hints(annotated, include_extras=True)
    hints.pop("return", None)
    return hints


def _convert(value: Any, hint: Any) -> Any:
    """A value as `check_argument` returns it; errors do not name the argument."""
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        value = value.item()
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return value
    if hint is None or hint is type(None):
        if value is None:
            return None
        raise _Wrong("None", TypeError)
    if origin is Annotated:
        return _narrowed(value, inner[0], inner[1:])
    if origin in (Union, types.UnionType):
        return _one_of(value, inner)
    if origin is Literal:
        if isinstance(value, (str, int, bool)) and value in inner:
            return value
        raise _Wrong(f"one of {inner}", ValueError if isinstance(value, str) else TypeError)
    if hint in (bool, int, float, str):
        return _plain(value, hint, finite=True)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _Wrong("a mapping (a dictionary)", TypeError)
        key, entry = inner or (Any, Any)
        return {_convert(k, key): _convert(v, entry) for k, v in value.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(value, origin, inner)
    if isinstance(hint, type):
        if isinstance(value, hint):
            return value
        raise _Wrong(f"a {hint.__name__}", TypeError)
    return value


def _narrowed(value: Any, hint: Any, limits: tuple[Any, ...]) -> Any:
    described = ", ".join(map(str, limits))
    infinite = any(isinstance(limit, Range) and limit.infinite for limit in limits)
    try:
        value = _plain(value, hint, finite=not infinite) if hint in (int, float) else _convert(value, hint)
    except _Wrong as wrong:
        words = hint is str and any(isinstance(limit, Words) for limit in limits)
        raise _Wrong(described if words else f"{wrong.expected}, {described}", wrong.error) from None
    for limit in limits:
        if value not in limit:
            raise _Wrong(str(limit), ValueError)
    return value


def _one_of(value: Any, hints: tuple[Any, ...]) -> Any:
    """The value by the first of several hints that takes it; None comes last in the message."""
    wrongs = []
    for hint in hints:
        try:
            return _convert(value, hint)
        except _Wrong as wrong:
            wrongs.append(wrong)
    # Where the type was right for one, that one says most.
    near = [wrong for wrong in wrongs if wrong.error is ValueError] or wrongs
    raise _Wrong(" or ".join(dict.fromkeys(wrong.expected for wrong in near)), near[0].error)


def _plain(value: Any, kind: type, finite: bool) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise _Wrong("True or False", TypeError)
    if kind is str:
        if isinstance(value, str):
            return str(value)
        raise _Wrong("text", TypeError)
    if isinstance(value, bool) or not hasattr(value, "__index__" if kind is int else "__float__"):
        raise _Wrong("a whole number" if kind is int else "a number", TypeError)
    try:
        if kind is int:
            return value.__index__()
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        wrong_type = not isinstance(error, OverflowError)
        raise _Wrong("a finite number", TypeError if wrong_type else ValueError) from None
    if math.isnan(number) or (finite and abs(number) > _LARGEST):
        size = (
            "a finite number" if not math.isfinite(number) else f"a number of at most {_LARGEST:.2g} in size"
        )
        raise _Wrong(size, ValueError)
    return number


def _sequence(value: Any, origin: type, inner: tuple[Any, ...]) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _Wrong("a list", TypeError)
    if origin is tuple and Ellipsis not in inner:
        if len(value) != len(inner):
            raise _Wrong(f"a list of {len(inner)} entries", ValueError)
        return tuple(_convert(entry, kind) for entry, kind in zip(value, inner, strict=True))
    try:
        entries = [_convert(entry, inner[0]) for entry in value]
    except _Wrong as wrong:
        raise _Wrong(f"a list, each entry {wrong.expected}", wrong.error) from None
    return entries if isinstance(value, list) and origin is not tuple else tuple(entries)


def _number(number: float) -> str:
    whole = math.isfinite(number) and number == int(number) and abs(number) < 1e6
    return str(int(number)) if whole or isinstance(number, int) else f"{number:g}"
