"""Learn the hidden order of a list of items from pairs of neighbours, and judge pairs never seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Size, Split, Words, check_fields, check_size
from plastic_envs.episodes import Episodes, Field
from plastic_envs.policy import Policy
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task, scalars
from plastic_envs.transitive.measures import (
    share_by,
    share_by_distance,
    share_by_item,
    share_by_pair,
    transitive_closure_scores,
)
from plastic_envs.transitive.policies import ReasonerPolicy
from plastic_envs.transitive.sampling import PairSampler, draw_one_hot_items, draw_random_items
from plastic_envs.transitive.schedules import (
    FEEDBACK,
    MOST_TRIALS,
    RESPONSE,
    STIMULUS,
    Layout,
    Schedule,
    make_schedule,
)

__all__ = ["ITEM_KINDS", "TransitiveInference"]

ITEM_KINDS = ("random", "one_hot")
NumItems = Annotated[int, Range(3, 500)]
_NUM_TRAIN, _NUM_TEST = 20, 10

_NUMBER, _ITEMS, _PAIRS = 0, 1, 2  # purposes of an episode's random streams


@dataclass(frozen=True)
class TransitiveInference(Task):
    """Learn a hidden order from neighbouring pairs; then choose between any two items.

    **Description.** Every episode has a fresh list of N items, ranked 0 (A, the top) to N - 1. In each trial
    two items are shown, one is chosen, and feedback tells whether it was the higher ranked. In train trials
    the two are neighbours in the list; in test trials they may be any two. The agent is not told which trials
    are which, and feedback is given in both. All that it learns of the order it must learn in the episode.

    **Observation Space.** `Box(-1, 1, (2 C + 7,), float32)`, items of C = 15 entries:

    | index | field | meaning | range |
    |---|---|---|---|
    | 0 .. 14 | `first_item` | first item; 0 outside the stimulus step | -1, 0, 1 |
    | 15 .. 29 | `second_item` | second item; 0 outside the stimulus step | -1, 0, 1 |
    | 30 | `go` | 1 in the response step, else 0 | 0, 1 |
    | 31 | `constant` | 1 | 0, 1 |
    | 32 | `time` | elapsed steps / number of steps (so its scale depends on the schedule's length) | [0, 1) |
    | 33 | `reward` | reward of the last step | -1, 0, 1 |
    | 34 | `unused` | 0 | 0 |
    | 35, 36 | `answer` | in the feedback step, the action answered with, one-hot; else 0 | 0, 1 |

    In blank steps everything is 0, the constant too.

    **Action Space.** `Discrete(2)`: 1 = the first item ranks higher, 0 = the second does. Only the action in
    the response step has an effect.

    **Rewards.** In the response step 1 for the higher ranked item and -1 for the other; 0 in all other steps.

    **Trial and Episode Structure.** A trial has `steps_per_trial` steps: 0 stimulus, 1 response, 2 feedback,
    3 (and any more) delay. `resets` marks the first step of every trial, where the published agent forgets
    its activity and eligibility trace and keeps its fast weights. By default 20 train trials and 10 test
    trials, 120 steps; steps have no duration in ms. `targets` are right at the response steps of all trials;
    `mask` is 1 at those of test trials, which alone count in the score; `loss_weights` are 1 at both. Any
    other sequence is a `schedule` (see `plastic_envs.transitive.schedules`): "massed", "withheld_pair",
    "restricted_test", "linking", "sham", "matched_sham", or your own.

    `TransitiveInference-linking-v0` is the "linking" schedule on 8 items: 10 trials on A-B-C-D, 10 on
    E-F-G-H, 4 on D-E, one test of any pair. Time restarts in each, and two blank steps stand before the
    second and the third, because an agent that carries an eligibility trace over can still write it there.
    Switches: `schedule=("linking", {"second_list_first": True})` and so on.

    `facts`: `items` (B, N, C), `num_items` (B,).
    `step_facts` (T, B), all of them also in `info`: `trial`, `step` (in the trial), `block`, `first_item`,
    `second_item` (ranks), `distance` (of ranks), `is_adjacent`, `is_test`, `trial_start`, and `correct` (from
    the feedback step to the end of the trial: 1 or 0, whether the answer was right; else -1). All but `block`
    and the flags are -1 in blank steps.

    Args:
        num_items: N, or (lowest, highest), from which each train episode draws its own; the validation and
            test splits then use the highest.
        cue_size: C, entries of an item.
        cue_overlap: Share of entries in which two items of an episode may agree. 0.66 of 15 are 9: at least 6
            differ.
        items: "random": signs drawn with equal probability; "one_hot": one entry +1, another for each item,
            all others -1 (`cue_overlap` is not used).
        num_train_trials: Of the default schedule.
        num_test_trials: Of the default schedule.
        steps_per_trial: At least 3.
        time_input: Whether elapsed time is shown; without, its place stays 0.
        schedule: None for the default, or a `Schedule`, a name, (name, arguments) or a dictionary as of
            `Schedule.to_dict`.
        split: "train", "validation" or "test"; with a fixed number of items they differ in their random
            numbers only.

    **Reference Scores.** `chance` = 0.5. `oracle`: remembers every answer and infers transitively, guessing
    where the order of what it was told is open; its expected score on the very trials that are scored (0.966
    for 8 items). `seen_pairs`: the same without inference. The oracle does not use that pairs of train trials
    are neighbours.

    **Source.** Miconi & Kay, "Neural mechanisms of relational learning and fast knowledge reassembly in
    plastic neural networks", Nature Neuroscience 2025 (Methods and released settings). Different on purpose:
    each episode draws its own number of items, not a batch one for all; which item has which rank is shuffled
    after drawing, as items drawn one after another under the overlap rule are not quite alike in law; all
    random numbers come from one seed.

    **Version History.** v0: first version.
    """

    closed_loop = True
    periods = ("train", "test")
    pictures = "plastic_envs.transitive.render:trial"
    info_facts = (
        "trial", "step", "block", "first_item", "second_item", "distance", "is_adjacent", "is_test",
        "trial_start", "correct",
    )  # fmt: skip
    chance = 0.5

    num_items: NumItems | tuple[NumItems, NumItems] = (4, 8)
    cue_size: Size = 15
    cue_overlap: Annotated[float, Range(0, 1, open_high=True)] = 0.66
    items: Annotated[str, Words(ITEM_KINDS)] = "random"
    num_train_trials: Annotated[int, Range(0, MOST_TRIALS)] = _NUM_TRAIN
    num_test_trials: Annotated[int, Range(1, MOST_TRIALS)] = _NUM_TEST
    steps_per_trial: Annotated[int, Range(3, 1000)] = 4
    time_input: bool = True
    schedule: Schedule | str | Mapping[str, Any] | Sequence[Any] | None = None
    split: Split = "train"

    def __post_init__(self) -> None:
        check_fields(self)
        lowest, highest = self._range
        if lowest > highest:
            raise ValueError(f"num_items={self.num_items}: expected (lowest, highest).")
        if lowest == highest:
            self._set(num_items=highest)
        cue_size, num_trials = self.cue_size, (self.num_train_trials, self.num_test_trials)
        if self.items == "one_hot" and cue_size < highest:
            raise ValueError(f"cue_size={cue_size} for {highest} one-hot items: expected at least {highest}.")
        if self.schedule is not None and num_trials != (_NUM_TRAIN, _NUM_TEST):
            raise ValueError(
                "num_train_trials and num_test_trials are for the default schedule; put them in `schedule`."
            )
        num_steps, lists = self.full_schedule.num_steps(self.steps_per_trial), self.full_schedule.lists
        check_size(
            num_steps * (2 * cue_size + 40) * 4, num_steps=num_steps, cue_size=cue_size,
            schedule=self.schedule, steps_per_trial=self.steps_per_trial,
        )  # fmt: skip
        _ = self._pairs  # refuses pairs of items that there are not
        if lists and lowest < highest:
            raise ValueError(
                f"num_items={self.num_items} with a schedule of several lists: expected one number of items, "
                f"such as num_items={highest}."
            )
        if max((item for items in lists for item in items), default=0) >= self._most:
            raise ValueError(f"lists={lists}: expected items below num_items={self._most}.")
        sizes = {
            "first_item": cue_size, "second_item": cue_size, "go": 1, "constant": 1, "time": 1, "reward": 1,
            "unused": 1, "answer": 2,
        }  # fmt: skip
        starts = np.cumsum([0, *sizes.values()]).tolist()
        self._set(
            fields=tuple(Field(*each) for each in zip(sizes, starts, sizes.values(), strict=False)),
            observation_space=spaces.Box(-1.0, 1.0, (starts[-1],), np.float32),
            action_space=spaces.Discrete(2),
        )

    @property
    def _range(self) -> tuple[int, int]:
        return self.num_items if isinstance(self.num_items, tuple) else (self.num_items, self.num_items)

    @cached_property
    def _fewest(self) -> int:
        """Items of the shortest list of the split."""
        return self._range[self.split != "train"]

    @cached_property
    def _most(self) -> int:
        return self._range[1]

    @cached_property
    def full_schedule(self) -> Schedule:
        """The trials of an episode, block by block."""
        numbers = {"num_train_trials": self.num_train_trials, "num_test_trials": self.num_test_trials}
        schedule = ("standard", numbers) if self.schedule is None else self.schedule
        # A named schedule gives pairs for the shortest list, so that every episode has their items.
        return make_schedule(schedule, self._fewest)

    @cached_property
    def layout(self) -> Layout:
        """The steps of an episode."""
        return self.full_schedule.layout(self.steps_per_trial)

    @cached_property
    def _pairs(self) -> PairSampler:
        return PairSampler(self.full_schedule.blocks, self.layout, self._fewest, self._most)

    @cached_property
    def _list_of_item(self) -> npt.NDArray[np.int64]:
        """Number of each item's list, (N,)."""
        number = np.full(self._most, -1)
        for k, listed in enumerate(self.full_schedule.lists):
            number[list(listed)] = k
        return number

    # ---- episodes ----------------------------------------------------------------------------------

    def generate(self, streams: RowStreams) -> Episodes:
        """Draw items and pairs per stream; what the answers bring is filled in by `advance`."""
        streams = self.split_streams(streams)
        num_items = self._fewest + streams.spawn(_NUMBER).integers(self._most - self._fewest + 1)
        items = self._draw_items(streams.spawn(_ITEMS), num_items)
        first, second = self._pairs.draw(streams.spawn(_PAIRS), num_items)
        layout, batch = self.layout, len(streams)
        response = layout.starts + RESPONSE
        targets = np.full((layout.num_steps, batch), -1)
        targets[response] = first < second
        weights = np.zeros(targets.shape, dtype=np.float32)
        weights[response[layout.is_test]] = 1.0
        facts = self._step_facts(first, second)
        return Episodes(
            observations=self._observations(items, first, second),
            targets=targets,
            mask=weights,
            periods=facts["is_test"].astype(np.int8),
            resets=facts["trial_start"].copy(),
            lengths=np.full(batch, layout.num_steps),
            facts={"items": items, "num_items": num_items},
            step_facts=facts,
        )

    def _draw_items(self, streams: RowStreams, num_items: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        if self.items == "one_hot":
            return draw_one_hot_items(streams, num_items, self._most, self.cue_size)
        # The round-off of a product such as 0.6 x 15 must not cost an entry.
        max_equal = math.floor(self.cue_overlap * self.cue_size + 1e-9)
        return draw_random_items(streams, num_items, self._most, self.cue_size, max_equal)

    def _observations(
        self, items: npt.NDArray[np.float32], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Observations (T, B, O) of pairs (R, B) before anything is answered."""
        layout, batch = self.layout, first.shape[1]
        same_for_all = np.zeros((layout.num_steps, 1, *self.observation_space.shape), dtype=np.float32)
        same_for_all[layout.starts + RESPONSE, :, self.field("go").start] = 1.0
        same_for_all[layout.trial >= 0, :, self.field("constant").start] = 1.0
        if self.time_input:
            same_for_all[:, 0, self.field("time").start] = layout.time
        observations = np.repeat(same_for_all, batch, axis=1)
        rows = np.arange(batch)
        for name, item in (("first_item", first), ("second_item", second)):
            observations[layout.starts + STIMULUS, :, self.field(name).slice] = items[rows, item]
        return observations

    def _step_facts(
        self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[Any]]:
        """`step_facts` before anything is answered, of pairs (R, B)."""
        layout, batch = self.layout, first.shape[1]
        blank = layout.trial < 0

        def of_trials(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
            spread = values.astype(np.int16)[layout.trial]
            spread[blank] = -1
            return spread

        def of_steps(values: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
            return np.repeat(values.astype(dtype)[:, None], batch, axis=1)

        distance = of_trials(np.abs(first - second))
        blocks_test = np.array([block.is_test for block in self.full_schedule.blocks])
        return {
            "trial": of_steps(layout.trial, np.int16),
            "step": of_steps(layout.step, np.int16),
            "block": of_steps(layout.step_block, np.int16),
            "first_item": of_trials(first),
            "second_item": of_trials(second),
            "distance": distance,
            "is_adjacent": distance == 1,
            "is_test": of_steps(blocks_test[layout.step_block], np.bool_),
            "trial_start": of_steps(layout.step == 0, np.bool_),
            "correct": np.full(distance.shape, -1, dtype=np.int8),
        }

    def advance(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> None:
        """Write the feedback on answers given in response steps into the step after."""
        right = episodes.targets[steps, rows]
        is_asked = right >= 0
        if not is_asked.any():
            return
        steps, rows, actions, right = (
            steps[is_asked],
            rows[is_asked],
            np.asarray(actions)[is_asked],
            right[is_asked],
        )
        is_right = actions == right
        feedback_steps = steps + FEEDBACK - RESPONSE
        observations = episodes.observations
        observations[feedback_steps, rows, self.field("reward").start] = np.where(is_right, 1.0, -1.0)
        answer = self.field("answer").start
        for action in (0, 1):
            observations[feedback_steps, rows, answer + action] = actions == action
        for later in range(self.steps_per_trial - FEEDBACK):
            episodes.step_facts["correct"][feedback_steps + later, rows] = is_right

    def reward(
        self,
        episodes: Episodes,
        steps: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
    ) -> npt.NDArray[np.float32]:
        """1 or -1 (K,) for an answer in a response step, 0 for actions in others."""
        right = episodes.targets[steps, rows]
        return np.where(right < 0, 0.0, np.where(right == actions, 1.0, -1.0)).astype(np.float32)

    def loss_weights(self, episodes: Episodes) -> npt.NDArray[np.float32]:
        """1 at the response steps of all trials, train trials too; (T, B)."""
        return (episodes.targets >= 0).astype(np.float32)

    # ---- scores ------------------------------------------------------------------------------------

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        """Accuracies, over test trials unless the name says otherwise; NaN where there were no such trials.

        `accuracy` (= `score`), `accuracy_adjacent`, `accuracy_nonadjacent`, `accuracy_train`; lists:
        `accuracy_by_distance` (1 to N - 1), `accuracy_by_item` (pairs with A, B, ...), `accuracy_by_pair` (N
        lists of N, symmetric) and `accuracy_by_trial` (train and test trials, in order). If the schedule
        parts the items into lists: `accuracy_within_lists`, `accuracy_across_lists`.
        """
        response = self.layout.starts + RESPONSE
        return self._figures(
            episodes, (actions[response] == episodes.targets[response]).astype(float), "accuracy"
        )

    def _figures(self, episodes: Episodes, values: npt.NDArray[np.float64], name: str) -> dict[str, Any]:
        """Means of `values` (R, B) over many kinds of trials."""
        is_test, most = self.layout.is_test, self._most
        shown = [episodes.step_facts[item][self.layout.starts] for item in ("first_item", "second_item")]
        first, second = (items[is_test].ravel() for items in shown)
        of_test = values[is_test].ravel()
        nonadjacent, adjacent = share_by(of_test, (np.abs(first - second) == 1).astype(int), 2).tolist()
        score = float(of_test.mean())
        figures = {
            "score": score,
            name: score,
            f"{name}_adjacent": adjacent,
            f"{name}_nonadjacent": nonadjacent,
            f"{name}_train": float(values[~is_test].mean()) if not is_test.all() else float("nan"),
            f"{name}_by_distance": share_by_distance(of_test, first, second, most).tolist(),
            f"{name}_by_item": share_by_item(of_test, first, second, most).tolist(),
            f"{name}_by_pair": share_by_pair(of_test, first, second, most).tolist(),
            f"{name}_by_trial": values.mean(1).tolist(),
        }
        if self.full_schedule.lists:
            lists = self._list_of_item[first], self._list_of_item[second]
            in_lists = np.minimum(*lists) >= 0
            across = (lists[0] != lists[1])[in_lists].astype(int)
            both = share_by(of_test[in_lists], across, 2).tolist()
            figures[f"{name}_within_lists"], figures[f"{name}_across_lists"] = both
        return figures

    def observer_scores(self, episodes: Episodes, infers: bool = True) -> npt.NDArray[np.float64]:
        """Expected scores (R, B) of an observer on these trials; see `transitive_closure_scores`."""
        first, second = (
            episodes.step_facts[name][self.layout.starts] for name in ("first_item", "second_item")
        )
        return transitive_closure_scores(first, second, self._most, infers)

    def reference_scores(self, episodes: Episodes) -> dict[str, float]:
        """`chance`, `oracle`, `seen_pairs` on these very trials, and the oracle's score by kind of pair."""
        figures = self._figures(episodes, self.observer_scores(episodes), "oracle")
        by_kind = {name: value for name, value in scalars(figures).items() if name != "score"}
        seen_pairs = self.observer_scores(episodes, infers=False)[self.layout.is_test]
        return {"chance": self.chance, **by_kind, "seen_pairs": float(seen_pairs.mean())}

    def oracle_policy(self) -> Policy:
        """An agent that remembers every answer, infers transitively, and guesses where the order is open."""
        return ReasonerPolicy(self)
