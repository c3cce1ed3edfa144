import numpy as np
import pytest
from scipy import stats

from plastic_envs.streams import RowStreams, episode_seeds


def seeds(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64)


def test_the_generator_is_splitmix64():
    """First outputs for seed 1234567, as printed in Rosetta Code's "Pseudo-random numbers/Splitmix64"."""
    expected = [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip
    assert RowStreams(np.array([1234567], dtype=np.uint64)).bits(5)[0].tolist() == expected


def test_a_row_depends_on_its_own_seed_only():
    many, one = RowStreams(seeds(50)), RowStreams(seeds(50)[17:18])
    for draw in (
        lambda s: s.uniform(7),
        lambda s: s.normal(3, 3),
        lambda s: s.integers(9, 4),
        lambda s: s.spawn(5).bits(2),
        lambda s: s.spawn(np.full(len(s), 3)).uniform(),
    ):
        np.testing.assert_array_equal(draw(many)[17], draw(one)[0])


def test_calls_go_on_where_the_last_one_stopped():
    one, two = RowStreams(seeds(4)), RowStreams(seeds(4))
    whole = one.uniform(10)
    np.testing.assert_array_equal(whole, np.concatenate((two.uniform(4), two.uniform(6)), axis=1))
    np.testing.assert_array_equal(one[np.array([2])].uniform(3), one.uniform(3)[2:3])


def test_children_differ_by_row_and_key():
    streams = RowStreams(seeds(200))
    numbers = np.concatenate(
        [streams.spawn(k).bits(20).ravel() for k in range(20)] + [streams.bits(20).ravel()]
    )
    assert len(np.unique(numbers)) == numbers.size


def test_uniform_numbers_are_uniform_and_rows_and_children_independent():
    streams = RowStreams(seeds(2000))
    u, child = streams.uniform(50), streams.spawn(0).uniform(50)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    assert stats.kstest(child[:, 0], "uniform").pvalue > 1e-4
    for a, b in ((u[:-1], u[1:]), (u[:, :-1], u[:, 1:]), (u, child)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)
    assert stats.kstest(streams.normal(25).ravel(), "norm").pvalue > 1e-4


def test_integers_stay_in_range_and_take_a_bound_per_entry():
    draws = RowStreams(seeds(3000)).integers(np.array([1, 2, 5]), 3)
    assert (draws.min(0) == 0).all()
    assert draws.max(0).tolist() == [0, 1, 4]


def test_one_batch_of_seeds_is_many_batches_of_one():
    one, many = np.random.default_rng(3), np.random.default_rng(3)
    np.testing.assert_array_equal(
        episode_seeds(one, 6), np.concatenate([episode_seeds(many, 1) for _ in range(6)])
    )


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="one dimension"):
        RowStreams(np.zeros((2, 2), dtype=np.uint64))
    with pytest.raises(ValueError, match="at least 1"):
        episode_seeds(np.random.default_rng(), 0)
    with pytest.raises(ValueError, match="one per episode"):
        episode_seeds([np.random.default_rng()], 2)
