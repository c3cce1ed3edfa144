"""Integration of evidence: the class of token that came most often is asked for at the end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from plastic_envs.arguments import Range, Seed, check_fields, check_size
from plastic_envs.episodes import Episodes, Field
from plastic_envs.policy import Policy
from plastic_envs.rendering import new_figure, pixels
from plastic_envs.streams import RowStreams
from plastic_envs.task import Task

__all__ = ["EvidenceIntegration"]

EVIDENCE, DELAY, END = range(3)
_COUNTS, _ORDER = 0, 1  # purposes of an episode's random streams
_MOST_TABLE = 2_000_000  # ways to fill a sequence that are listed


@dataclass(frozen=True)
class EvidenceIntegration(Task):
    """Tell which class of evidence was the most frequent in a sequence.

    **Description.** A sequence shows one token at a time: evidence for one of `num_classes` classes, or a
    null token that says nothing. When the end token comes, the class with the most evidence has to be named.
    Order does not matter; what there is to do is to count.

    **Observation Space.** `Box(0, 0.2, (token_size,), float32)`: the token of the step, a random binary
    vector, scaled by sqrt(2 / token_size) so that its expected squared length is 1. Tokens are distinct, and
    fixed by `token_seed`: one problem, as for the published networks, which are trained on one set of tokens.

    **Action Space.** `Discrete(num_classes)`.

    **Rewards.** At the end token 1 for the right class, else 0.

    **Episode Structure.** `num_tokens` - 1 steps of evidence, `num_delay` delay tokens, the end token; steps
    have no duration in ms. The target is the class at the end token and -1 before; only that step has a
    weight.

    Numbers of tokens of each class and of null tokens are uniform over all ways to share out the sequence
    in which one class is the most frequent; their order is random.

    `facts`: `counts` (B, num_classes), `label` (B,). `step_facts`: `token` (T, B), also in `info`: the class
    of the evidence; then null, delay and end (`num_classes` + 0, 1, 2).

    Args:
        num_classes: 2 or 3.
        num_tokens: Length of the sequence with its end token, without delay.
        num_delay: Delay tokens before the end token.
        token_size: Entries of a token.
        token_seed: Which tokens.

    **Reference Scores.** Accuracy. `chance`: 1 / num_classes. `oracle`: recognises tokens and counts, 1.

    **Source.** Aitken & Mihalas, "Neural population dynamics of computing with synaptic modulations", eLife
    12 (2023): 2 or 3 classes, 20 tokens of 50 entries, ties excluded. Different on purpose: one seed fixes
    everything. The published law of counts is described as uniform scores; it is taken to be uniform counts
    here.

    **Version History.** v0: first version.
    """

    periods = ("evidence", "delay", "end")
    info_facts = ("token",)

    num_classes: Annotated[int, Range(2, 3)] = 3
    num_tokens: Annotated[int, Range(2, 500)] = 20
    num_delay: Annotated[int, Range(0, 100_000)] = 0
    token_size: Annotated[int, Range(8, 8192)] = 50
    token_seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check_size(
            self.num_steps * (self.token_size + 10) * 4, num_tokens=self.num_tokens, num_delay=self.num_delay,
            token_size=self.token_size,
        )  # fmt: skip
        _ = self._count_table  # refuses sequences that there are too many of
        self._set(
            fields=(Field("token", 0, self.token_size),),
            observation_space=spaces.Box(0.0, float(self.tokens.max()), (self.token_size,), np.float32),
            action_space=spaces.Discrete(self.num_classes),
            chance=1.0 / self.num_classes,
        )

    @property
    def num_steps(self) -> int:
        """Steps of an episode."""
        return self.num_tokens + self.num_delay

    @property
    def null(self) -> int:
        """Number of the null token; delay and end tokens follow it."""
        return self.num_classes

    @cached_property
    def tokens(self) -> npt.NDArray[np.float32]:
        """(num_classes + 3, token_size): evidence of each class, null, delay, end."""
        count = self.num_classes + 3
        seed = RowStreams(np.array([self.token_seed], dtype=np.uint64))
        for attempt in itertools.count():
            bits = seed.spawn(attempt).uniform(count, self.token_size)[0] < 0.5
            if len(np.unique(bits, axis=0)) == count:
                return np.asarray(bits * (2.0 / self.token_size) ** 0.5, dtype=np.float32)
        raise AssertionError  # the loop has no end

    @cached_property
    def _count_table(self) -> npt.NDArray[np.int64]:
        return _untied_counts(self.num_classes, self.num_tokens - 1)

    # ---- episodes ----------------------------------------------------------------------------------

    def generate(self, streams: RowStreams) -> Episodes:
        """One sequence per stream."""
        batch, length = len(streams), self.num_tokens - 1
        counts = self._count_table[streams.spawn(_COUNTS).integers(len(self._count_table))]  # (B, classes)
        # Tokens in the order of their classes, then null; shuffled by sorting random numbers.
        ends = np.cumsum(counts, axis=1)
        token = (np.arange(length)[None, :, None] >= ends[:, None]).sum(-1)
        order = streams.spawn(_ORDER).uniform(length).argsort(axis=1)
        tokens = np.empty((self.num_steps, batch), dtype=np.int64)
        tokens[:length] = np.take_along_axis(token, order, axis=1).T
        tokens[length:-1], tokens[-1] = self.null + 1, self.null + 2
        label = counts.argmax(1)
        targets = np.full(tokens.shape, -1)
        targets[-1] = label
        weights = np.zeros(tokens.shape, dtype=np.float32)
        weights[-1] = 1.0
        periods = np.full(tokens.shape, EVIDENCE, dtype=np.int8)
        periods[length:-1], periods[-1] = DELAY, END
        return Episodes(
            observations=self.tokens[tokens],
            targets=targets,
            mask=weights,
            periods=periods,
            resets=np.zeros(tokens.shape, dtype=bool),
            lengths=np.full(batch, self.num_steps),
            facts={"counts": counts, "label": label},
            step_facts={"token": tokens.astype(np.int8)},
        )

    def metrics(self, episodes: Episodes, actions: npt.NDArray[Any]) -> dict[str, Any]:
        """`accuracy` (= `score`), and by margin of the most frequent class over the next.

        `accuracy_by_margin`: 1, 2, 3, 4, and 5 or more; NaN where there were no such sequences.
        """
        right = (actions[-1] == episodes.facts["label"]).astype(np.float64)
        two = np.sort(episodes.facts["counts"], axis=1)[:, -2:]
        margin = np.minimum(two[:, 1] - two[:, 0], 5)
        by_margin = [
            float(right[margin == m].mean()) if (margin == m).any() else float("nan") for m in range(1, 6)
        ]
        score = float(right.mean())
        return {"score": score, "accuracy": score, "accuracy_by_margin": by_margin}

    def oracle_policy(self) -> Policy:
        """Recognises the tokens and counts."""
        return _Counter(self)

    # ---- pictures ----------------------------------------------------------------------------------

    def render_frame(
        self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """The sequence so far as marks, and the count of each class."""
        token = episodes.step_facts["token"][: min(step + 1, self.num_steps), row]
        figure = new_figure((6.4, 3.2), 100)
        above, below = figure.add_axes((0.12, 0.56, 0.85, 0.32)), figure.add_axes((0.12, 0.13, 0.85, 0.38))
        colours = ("#0072B2", "#E69F00", "#009E73")
        names = [*(f"class {k}" for k in range(self.num_classes)), "null", "delay", "end"]
        for k in range(len(names)):
            at = np.flatnonzero(token == k)
            colour = colours[k] if k < self.num_classes else "#9aa5b1"
            above.plot(at, np.full(len(at), -k), "s", color=colour, markersize=7)
            if k < self.num_classes:
                below.step(
                    np.arange(len(token)), np.cumsum(token == k), where="mid", color=colour, label=names[k]
                )
        above.set(yticks=[-k for k in range(len(names))], xticks=[], xlim=(-0.7, self.num_steps - 0.3))
        above.set_yticklabels(names, fontsize=7)
        above.set_ylim(-len(names) + 0.4, 0.6)
        below.set(
            xlim=(-0.7, self.num_steps - 0.3),
            ylim=(-0.3, max(4, int(episodes.facts["counts"][row].max()) + 1)),
        )
        below.set_xlabel("step", fontsize=8)
        below.set_ylabel("count", fontsize=8)
        below.tick_params(labelsize=7)
        below.legend(fontsize=7, frameon=False, loc="upper left")
        figure.text(0.5, 0.945, self._headline(episodes, row, step, actions), ha="center", fontsize=9)
        return pixels(figure)

    def render_text(self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
        """The sequence so far, and the count of each class."""
        token = episodes.step_facts["token"][: min(step + 1, self.num_steps), row]
        signs = [*"ABC"[: self.num_classes], ".", "_", "?"]
        counts = ", ".join(f"{signs[k]} {int((token == k).sum())}" for k in range(self.num_classes))
        return "\n".join(
            (self._headline(episodes, row, step, actions), "".join(signs[k] for k in token), counts)
        )

    def _headline(self, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
        label = int(episodes.facts["label"][row])
        if step < self.num_steps:
            return f"step {step + 1} of {self.num_steps}; class {label} is the most frequent"
        answer = int(np.asarray(actions)[-1])
        return (
            f"answer {answer}, {'right' if answer == label else f'wrong: class {label} is the most frequent'}"
        )


class _Counter:
    """Adds up what it has seen, token by token."""

    def __init__(self, task: EvidenceIntegration) -> None:
        self._task = task
        self._counts = np.zeros((0, task.num_classes), dtype=np.int64)

    def act(
        self, observations: npt.NDArray[np.float32], episode_starts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Actions (B,) for observations (B, token_size)."""
        tokens = self._task.tokens
        if len(self._counts) != len(observations):
            self._counts = np.zeros((len(observations), self._task.num_classes), dtype=np.int64)
        self._counts[episode_starts] = 0
        token = np.square(observations[:, None] - tokens).sum(-1).argmin(1)
        self._counts += token[:, None] == np.arange(self._task.num_classes)
        return np.asarray(self._counts.argmax(1))


def _untied_counts(num_classes: int, length: int) -> npt.NDArray[np.int64]:
    """All ways (N, num_classes) to fill a sequence with evidence and null tokens so that one class leads.

    Raises:
        ValueError: If there are too many to list.
    """
    size = (length + 1) ** num_classes
    if size > _MOST_TABLE:
        most = int(np.floor(_MOST_TABLE ** (1.0 / num_classes) + 1e-9))
        raise ValueError(f"num_tokens={length + 1} for {num_classes} classes: expected at most {most}.")
    ways = np.indices((length + 1,) * num_classes).reshape(num_classes, -1).T
    ways = ways[ways.sum(1) <= length]
    ordered = np.sort(ways, axis=1)
    return np.ascontiguousarray(ways[ordered[:, -1] > ordered[:, -2]])
