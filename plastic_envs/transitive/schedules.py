"""Schedules of trials: the order in which pairs of ranked items appear, as data.

A `Schedule` is a sequence of `Block`s; a block is a number of trials that draw their pairs from one set in
one way. Every experiment on transitive inference in this suite is such a schedule. Items are numbered from
the top of the list: 0 is A.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.arguments import Range, Words, check_argument, check_fields, unknown_names

Pair = tuple[int, int]
PAIR_SETS = ("neighbours", "non-neighbours", "all")
DRAWS = ("uniform", "in_turn")
SIDES = ("random", "as_listed")
MOST_TRIALS = 10_000

STIMULUS, RESPONSE, FEEDBACK = 0, 1, 2  # steps of a trial; all later ones are delay


@dataclass(frozen=True)
class Block:
    """A run of trials that draw their pairs in the same way.

    Attributes:
        num_trials: Number of trials.
        pairs: "neighbours", "non-neighbours", "all" (any two different items), each listed with the higher
            ranked item first; or a list of pairs (i, j) of item numbers.
        withheld: Pairs, in either order, that are left out of `pairs`.
        draw: "uniform": independently, with replacement; "in_turn": one after the other as listed, over and
            over.
        sides: "random": either item stands first, with equal probability; "as_listed": i stands first.
        is_test: Whether the trials count in the score.
        restarts_time: Whether the elapsed-time input starts from 0 again, on the scale of the steps up to the
            next restart.
        blank_steps: Steps of an all-zero observation before the first trial; they have no time and take none.
    """

    num_trials: Annotated[int, Range(1, MOST_TRIALS)]
    pairs: Annotated[str, Words(PAIR_SETS)] | tuple[Pair, ...] = "neighbours"
    withheld: tuple[Pair, ...] = ()
    draw: Annotated[str, Words(DRAWS)] = "uniform"
    sides: Annotated[str, Words(SIDES)] = "random"
    is_test: bool = False
    restarts_time: bool = False
    blank_steps: Annotated[int, Range(0, MOST_TRIALS)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for i, j in (*(() if isinstance(self.pairs, str) else self.pairs), *self.withheld):
            if i == j or min(i, j) < 0:
                raise ValueError(
                    f"pair {(i, j)}: expected two different items, numbered from 0 (A, the top of the list)."
                )

    def options(self, num_items: int) -> npt.NDArray[np.int64]:
        """The pairs that a trial of an episode with so many items may show, (P, 2).

        Raises:
            ValueError: If there are none, or some name an item that the episode does not have.
        """
        n = num_items
        if isinstance(self.pairs, str):
            far = {"neighbours": (1, 1), "non-neighbours": (2, n - 1), "all": (1, n - 1)}[self.pairs]
            listed = [(i, j) for i in range(n) for j in range(i + far[0], min(i + far[1], n - 1) + 1)]
        else:
            listed = list(self.pairs)
        for pair in (*listed, *self.withheld):
            if max(pair) >= n:
                raise ValueError(
                    f"pair {pair} in an episode of {n} items: expected items 0 to {n - 1}; raise num_items."
                )
        left_out = {frozenset(pair) for pair in self.withheld}
        options = [pair for pair in listed if frozenset(pair) not in left_out]
        if not options:
            raise ValueError(
                f"withheld={self.withheld} leaves no pair of pairs={self.pairs!r} for {n} items."
            )
        return np.array(options, dtype=np.int64)


@dataclass(frozen=True)
class Layout:
    """A schedule as steps: T steps, R trials.

    Attributes:
        trial: (T,) number of the trial, -1 in blank steps.
        step: (T,) step in the trial, -1 in blank steps.
        step_block: (T,) number of the block.
        time: (T,) elapsed time in [0, 1), as shown; 0 in blank steps.
        block: (R,) number of each trial's block.
        turn: (R,) number of the trial in its block.
        is_test: (R,) whether the trial counts.
        starts: (R,) the step at which the trial starts.
    """

    trial: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    step_block: npt.NDArray[np.int64]
    time: npt.NDArray[np.float64]
    block: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int64]
    is_test: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.trial)

    @property
    def num_trials(self) -> int:
        """R."""
        return len(self.block)


@dataclass(frozen=True)
class Schedule:
    """The trials of an episode.

    Attributes:
        blocks: One after the other; at least one is a test.
        lists: Sets of items that are learned apart before they are linked; what is within and what is across
            lists is then reported too.
    """

    blocks: tuple[Block, ...]
    lists: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if not any(block.is_test for block in self.blocks):
            raise ValueError(
                f"a schedule of {len(self.blocks)} blocks without a test: set is_test in at least one."
            )
        listed = [i for items in self.lists for i in items]
        if len(set(listed)) < len(listed) or min(listed, default=0) < 0:
            raise ValueError(f"lists={self.lists}: expected item numbers from 0, each in at most one list.")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Schedule:
        """The schedule that `to_dict` described."""
        if unknown := set(content) - {"blocks", "lists"}:
            raise ValueError(unknown_names(sorted(map(str, unknown)), ("blocks", "lists")))
        blocks = check_argument("blocks", content.get("blocks"), Sequence[Mapping[str, Any]])
        return cls(tuple(Block(**block) for block in blocks), content.get("lists", ()))

    def to_dict(self) -> dict[str, Any]:
        """The schedule in types that JSON knows."""
        return {"blocks": [asdict(block) for block in self.blocks], "lists": self.lists}

    def num_steps(self, steps_per_trial: int) -> int:
        """Steps in all, with so many to a trial."""
        return sum(block.blank_steps + block.num_trials * steps_per_trial for block in self.blocks)

    def layout(self, steps_per_trial: int) -> Layout:
        """The schedule's steps, with so many to a trial."""
        trial, step, step_block, clock, starts = [], [], [], [], []
        for b, block in enumerate(self.blocks):
            if b == 0 or block.restarts_time:
                clock.append(0)  # steps of each stretch of time
            for k in range(block.blank_steps + block.num_trials * steps_per_trial):
                in_block = k - block.blank_steps
                if in_block < 0:
                    trial.append(-1)
                    step.append(-1)
                else:
                    if in_block % steps_per_trial == 0:
                        starts.append(len(trial))
                    trial.append(len(starts) - 1)
                    step.append(in_block % steps_per_trial)
                    clock[-1] += 1
                step_block.append(b)
        in_trial = np.array(trial) >= 0
        time = np.zeros(len(trial))
        time[in_trial] = np.concatenate([np.arange(length) / length for length in clock])
        sizes = [block.num_trials for block in self.blocks]
        return Layout(
            trial=np.array(trial),
            step=np.array(step),
            step_block=np.array(step_block),
            time=time,
            block=np.repeat(np.arange(len(sizes)), sizes),
            turn=np.concatenate([np.arange(size) for size in sizes]),
            is_test=np.repeat([block.is_test for block in self.blocks], sizes),
            starts=np.array(starts),
        )


# ---- the published schedules -------------------------------------------------------------------------
# Each takes the number of items first. References are to Miconi & Kay, Nature Neuroscience 2025.


def standard(num_items: int, num_train_trials: int = 20, num_test_trials: int = 10) -> Schedule:
    """Neighbour pairs, then any pairs; `num_items` is not used, as both follow the episode's own number."""
    train = (Block(num_train_trials),) if num_train_trials else ()
    return Schedule((*train, Block(num_test_trials, "all", is_test=True)))


def massed(
    num_items: int,
    num_massed: int = 20,
    pair: Pair | None = None,
    sides: str = "as_listed",
    num_train_trials: int = 20,
    num_test_trials: int = 10,
) -> Schedule:
    """One neighbour pair (default: the middle one) over and over between train and test trials.

    As published, the pair always has the same sides, so the right answer is constant in this block;
    `sides="random"` is the balanced version. `num_massed=0` is the control.
    """
    base = standard(num_items, num_train_trials, num_test_trials)
    repeated = (Block(num_massed, (pair or _middle(num_items),), sides=sides),) if num_massed else ()
    return Schedule((*base.blocks[:-1], *repeated, base.blocks[-1]))


def withheld_pair(
    num_items: int,
    pair: Pair | None = None,
    trial: int = 18,
    never: Sequence[Pair] = (),
    num_train_trials: int = 20,
    num_test_trials: int = 10,
) -> Schedule:
    """A neighbour pair (default: the middle one) is first shown at train trial `trial`, counted from 0.

    `never` names further pairs that no train trial shows. All episodes are of this kind (in the original,
    half of a batch).
    """
    if not 0 < trial < num_train_trials:
        raise ValueError(
            f"trial={trial}: expected a train trial after the first, 1 to {num_train_trials - 1}."
        )
    pair, never = pair or _middle(num_items), tuple(never)
    rest = num_train_trials - trial - 1
    after = (Block(rest, withheld=never),) if rest else ()
    test = Block(num_test_trials, "all", is_test=True)
    return Schedule((Block(trial, withheld=(pair, *never)), Block(1, (pair,)), *after, test))


def restricted_test(
    num_items: int,
    pairs: Sequence[Pair] = ((0, 2), (2, 4), (4, 6), (0, 3), (3, 6)),
    last_pairs: Sequence[Pair] = ((1, 2), (2, 3), (3, 4), (4, 5)),
    num_last_trials: int = 2,
    num_train_trials: int = 20,
    num_test_trials: int = 10,
) -> Schedule:
    """Tests on a few non-neighbour pairs (defaults for 7 items), the last of them on inner neighbours."""
    first = Block(num_test_trials - num_last_trials, tuple(pairs), is_test=True)
    last = Block(num_last_trials, tuple(last_pairs), is_test=True)
    return Schedule((*standard(num_items, num_train_trials, 1).blocks[:-1], first, last))


def linking(
    num_items: int,
    num_list_trials: int = 10,
    link: Pair | None = None,
    num_link_trials: int = 4,
    sides: str = "random",
    second_list_first: bool = False,
    num_test_trials: int = 1,
    blank_steps: int = 2,
) -> Schedule:
    """Two halves of a list are learned apart, then linked by one pair, then any pair is tested.

    Time restarts with each list and with the link. Blank steps stand before the second and the third stretch:
    there the last eligibility trace of the stretch before can still be written. (Before the first one they
    could change nothing.) The link is by default the middle pair: the last item of the upper half and the
    first of the lower.
    """
    if num_items < 4:
        raise ValueError(f"num_items={num_items}: expected at least 4, two for each of two lists.")
    half = num_items // 2
    lists = (tuple(range(half)), tuple(range(half, num_items)))
    first, second = (tuple(itertools.pairwise(items)) for items in lists)
    if second_list_first:
        first, second = second, first
    anew: dict[str, Any] = {"restarts_time": True, "blank_steps": blank_steps}
    blocks = (
        Block(num_list_trials, first, restarts_time=True),
        Block(num_list_trials, second, **anew),
        Block(num_link_trials, (link or _middle(num_items),), sides=sides, **anew),
        Block(num_test_trials, "all", is_test=True),
    )
    return Schedule(blocks, lists)


def sham(num_items: int, pair: Pair = (1, 2), **changes: Any) -> Schedule:
    """The published control of `linking`: one trial of a pair that links nothing, with its sides as listed.

    The released settings show B, C, the article names E, F. This differs from linking in more than the pair;
    see `matched_sham`.
    """
    return linking(num_items, **{"link": pair, "num_link_trials": 1, "sides": "as_listed", **changes})


def matched_sham(num_items: int, pair: Pair = (1, 2), **changes: Any) -> Schedule:
    """A control that differs from `linking` in the linking pair only."""
    return linking(num_items, **{"link": pair, **changes})


def _middle(num_items: int) -> Pair:
    return num_items // 2 - 1, num_items // 2


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "standard": standard,
    "massed": massed,
    "withheld_pair": withheld_pair,
    "restricted_test": restricted_test,
    "linking": linking,
    "sham": sham,
    "matched_sham": matched_sham,
}


def make_schedule(schedule: Any, num_items: int) -> Schedule:
    """A schedule from any of the forms in which it may be given.

    Args:
        schedule: A `Schedule`; a name from `SCHEDULES`; (name, keyword arguments); or what `Schedule.to_dict`
            gives.
        num_items: For how many items.

    Raises:
        ValueError: If the name is unknown or the form is another.
    """
    if isinstance(schedule, Schedule):
        return schedule
    try:
        if isinstance(schedule, Mapping):
            return Schedule.from_dict(schedule)
        name, arguments = (schedule, {}) if isinstance(schedule, str) else schedule
        if name in SCHEDULES:
            return SCHEDULES[name](num_items, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"schedule={reprlib.repr(schedule)}: {error}") from error
    raise ValueError(f"schedule {name!r}: expected one of {list(SCHEDULES)}, or a Schedule.")
