"""The vocabulary of arguments, and what every task makes of odd ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import pytest

from plastic_envs import ENVIRONMENTS, make_task
from plastic_envs.arguments import (
    Positive,
    Range,
    Seed,
    Share,
    Words,
    check_argument,
    check_fields,
    check_size,
    checked,
)

Pair = tuple[int, float]


@pytest.mark.parametrize(
    ("hint", "value", "plain"),
    [
        (int, np.int64(3), 3),
        (int, np.array(3), 3),
        (float, np.float32(0.5), 0.5),
        (float, 2, 2.0),
        (bool, np.bool_(True), True),
        (Share, np.float64(1), 1.0),
        (Annotated[float, Range(0, infinite=True)], float("inf"), float("inf")),
        (Seed | None, None, None),
        (int | Pair, [np.int64(1), 2], (1, 2.0)),
        (Sequence[float], np.array([1, 2]), [1.0, 2.0]),
        (Sequence[str], ["a"], ["a"]),
        (Mapping[str, float], {"a": np.float64(1)}, {"a": 1.0}),
        (Literal["a", "b"], "a", "a"),
        (Any, "x", "x"),
    ],
)
def test_a_value_is_kept_in_plain_types(hint: Any, value: Any, plain: Any) -> None:
    """F5, F6 of the report of faults: NumPy's scalars were refused, or kept and could not be saved."""
    converted = check_argument("size", value, hint)
    assert converted == plain
    assert type(converted) is type(plain)


@pytest.mark.parametrize(
    ("hint", "value", "error", "message"),
    [
        (int, 1.5, TypeError, r"size=1.5: expected a whole number\."),
        (int, True, TypeError, "size=True: expected a whole number"),
        (float, "1", TypeError, "size='1': expected a number"),
        (float, None, TypeError, "size=None: expected a number"),
        (float, float("nan"), ValueError, r"size=nan: expected a finite number\."),
        (float, 10**400, ValueError, "expected a finite number"),
        (float, 1e300, ValueError, "at most 3.4e.38 in size"),
        (Positive, 0.0, ValueError, r"size=0.0: expected 1e-30 to 1e\+30"),
        (Seed, 2**64, ValueError, "size=18446744073709551616: expected 0 to 9223372036854775807"),
        (Annotated[int, Range(1)], 0, ValueError, r"size=0: expected at least 1\."),
        (Annotated[int, Range(0)], -1, ValueError, r"size=-1: expected 0 or more\."),
        (Annotated[int, Range(1)], "x", TypeError, "expected a whole number, at least 1"),
        (Annotated[float, Range(0, 1, open_low=True)], 0.0, ValueError, "expected above 0 and at most 1"),
        (Annotated[str, Words(("a", "b"))], "c", ValueError, r"size='c': expected one of \('a', 'b'\)"),
        (Annotated[str, Words({"a": 1})], 1, TypeError, r"size=1: expected one of \('a',\)"),
        (Literal["a"], [], TypeError, r"size=\[\]: expected one of"),
        (bool, 1, TypeError, "expected True or False"),
        (Seed | None, "x", TypeError, "expected a whole number, 0 to .* or None"),
        (int | Pair, [1], ValueError, "expected a list of 2 entries"),
        (Sequence[float], "ab", TypeError, "expected a list"),
        (Sequence[float], [1, "b"], TypeError, "expected a list, each entry a number"),
        (Mapping[str, float], [], TypeError, "expected a mapping"),
        (int, "x" * 1000, TypeError, r"size='xxx+\.\.\.xxx+': expected"),
    ],
)
def test_a_message_names_the_argument_what_came_and_what_was_expected(
    hint: Any, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        check_argument("size", value, hint)
    assert len(str(caught.value)) < 200


def test_unknown_arguments_are_answered_with_the_nearest_ones() -> None:
    with pytest.raises(
        TypeError, match=r"GraphWalk: unexpected keyword argument 'num_node'. Did you mean 'num_nodes'"
    ):
        make_task("PlasticGraph-disjoint-v0", num_node=3)


def test_a_class_of_ones_own_takes_one_line() -> None:
    class Maze:
        @checked
        def __init__(self, rooms: Annotated[int, Range(2, 50)] = 8, *, seed: Seed = 0) -> None:
            self.rooms, self.seed = rooms, seed

    @dataclass(frozen=True)
    class Settings:
        rate: Positive = 1.0

        def __post_init__(self) -> None:
            check_fields(self)

    assert type(Maze(np.int64(3)).rooms) is int
    assert type(Settings(np.float64(3)).rate) is float
    for wrong in (lambda: Maze(51), lambda: Maze(seed=-1), lambda: Settings(-1.0)):
        with pytest.raises(ValueError, match="expected"):
            wrong()
    with pytest.raises(TypeError, match="Maze: too many positional arguments"):
        Maze(3, 4)  # type: ignore[misc]


def test_sizes_whose_product_is_too_large_say_what_they_would_take() -> None:
    check_size(1e9, rows=10)
    with pytest.raises(ValueError, match=r"rows=10, columns=20: the table would take about 9.31 GiB; expect"):
        check_size(1e10, "the table", rows=10, columns=20)


@pytest.mark.parametrize(
    "generator",
    [
        [], {}, "config", "nx", "Graph", "read_adjlist", ("read_adjlist", {"path": "x"}),
        ("write_edgelist", {"G": [], "path": "x"}),
        ("gnp_random_graph", {"p": [0.5]}), ("geographical_threshold_graph", {"theta": 1, "metric": print}),
        ("gnp_random_graph", {"p": 0.5}, 3), ("gnp_random_graph", 3), "draw", "pagerank", "from_graph6_bytes",
        "random_powerlaw_tree_sequence", ("watts_strogatz_graph", {"k": 60}),
        ("gnp_random_graph", {"n": 10**9}),
    ],
)  # fmt: skip
def test_a_graph_generator_makes_a_graph_of_numbers_and_nothing_else(generator: Any) -> None:
    """K9 of the report of faults: any function of networkx was called, those that write files among them."""
    with pytest.raises((ValueError, TypeError), match="graph_generator"):
        make_task("PlasticGraph-disjoint-v0", graph_generator=generator).sample(0, 1)


@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
def test_unknown_arguments_are_refused_in_the_words_that_torchrl_waits_for(env_id: str) -> None:
    """Its `GymEnv` tries `frameskip=1` first, and goes on without it at these words only."""
    for make in (gym.make, gym.make_vec):
        with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
            make(env_id, frameskip=1)
