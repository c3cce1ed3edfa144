"""The suite's fast-weight network: one layer of associative memory, written at every step of an episode.

A step writes associations key -> value into fast weights by the delta rule and reads them back with a query.
There are two ways to form keys:

* **bound**: where the task names the fields of its observation that pose a question (`cue`) and the one
  that answers it (`outcome`), the key of a cue is the normalised elementwise product of one learned
  embedding per cue field, and a value is the outcome's own one-hot pattern. Three more memories, plain
  Hebbian, are keyed by each cue field alone and by a constant: they store "seen with this node", "with this
  label", "at all". The read-out scores every candidate outcome by one small network, shared by all
  candidates, from the four reads for it and whether it is part of the cue. It never sees the cue itself, so
  it cannot learn which answers the training data favour.
* **free**: elsewhere keys, queries and values are read off a short window of whole observations, keys as the
  normalised product of two learned projections, and the read-out sees the window and what was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from plastic_agents.networks.base import Network, recall
from plastic_agents.networks.delta_rule.rule import associate, associate_loop
from plastic_envs.arguments import Range, Size, check_size, checked

_NO_ANSWER = -20.0  # logit of an output that is no candidate outcome


class Binding(NamedTuple):
    """The fields of an observation with a question and its answer (all one-hot).

    Attributes:
        cue: Slices of the fields that make up the question.
        outcome: Slice of the field that answers it.
        exchange: Index of the cue field that shows elements of the outcome's set (the node left, against the
            node reached), or None. If there is one, every association is written in both directions.
        chained: Whether, where no step shows an outcome, this step's exchange field is the outcome of the
            last step's cue.
    """

    cue: tuple[slice, ...]
    outcome: slice
    exchange: int | None
    chained: bool


class BoundState(NamedTuple):
    """Fast weights of `BoundFastWeights`, batch first.

    Attributes:
        cue_memory: (B, n, K) product key of the cue -> outcome.
        field_memories: (B, n, sum of cue field sizes) each cue field by itself -> outcome, side by side.
        seen: (B, n, 1) constant -> outcome.
        last_cue: (B, sum of cue field sizes) the cue of the last step, if it asked; else zeros.
    """

    cue_memory: torch.Tensor
    field_memories: torch.Tensor
    seen: torch.Tensor
    last_cue: torch.Tensor


class CandidateReadout(nn.Module):
    """Scores every candidate outcome by one small network over what the memories say of it.

    Args:
        num_candidates: n.
        reads_per_candidate: R, numbers known of each candidate.
        hidden_size: Width of the shared network.
        num_outputs: Number of logits, >= n; those beyond n are no candidates.
    """

    def __init__(
        self, num_candidates: int, reads_per_candidate: int, hidden_size: int, num_outputs: int
    ) -> None:
        super().__init__()
        self.num_candidates, self.num_outputs = num_candidates, num_outputs
        self.score = nn.Sequential(
            nn.Linear(reads_per_candidate, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (..., num_outputs) of features (..., n R); all zero where the features are (not asked)."""
        logits = self.score(features.unflatten(-1, (self.num_candidates, -1)))[..., 0]
        logits = F.pad(logits, (0, self.num_outputs - self.num_candidates), value=_NO_ANSWER)
        return logits * (features != 0).any(-1, keepdim=True)


class BoundFastWeights(Network[BoundState]):
    """Fast weights whose keys are bound to named fields of the observation.

    Its only activity is the last question's cue; a reset forgets it.

    Args:
        input_size: O, size of an observation.
        num_outputs: Number of logits; at least the outcome field's size n. Those beyond n are no candidates.
        binding: Fields of cue and outcome in the observation.
        key_size: K, length of the keys. Look-ups are exact for up to about K stored cues.
        hidden_size: Width of the read-out shared by all candidates.
        path: "fast" (triangular solve) or "loop" (one write at a time); the same numbers within round-off.
        chunk: Number of writes per solve.
    """

    fast_weights: ClassVar[tuple[str, ...]] = ("cue_memory", "field_memories", "seen")

    @checked
    def __init__(
        self,
        input_size: int,
        num_outputs: int,
        binding: Binding,
        key_size: Size = 64,
        hidden_size: Size = 16,
        path: Literal["fast", "loop"] = "fast",
        chunk: Annotated[int, Range(1, 4096)] = 64,
    ) -> None:
        super().__init__()
        self.num_candidates = binding.outcome.stop - binding.outcome.start
        if num_outputs < self.num_candidates:
            raise ValueError(
                f"num_outputs={num_outputs}: expected at least one per element of the outcome field, "
                f"which has {self.num_candidates} elements."
            )
        self.input_size, self.num_outputs = input_size, num_outputs
        self.binding, self.key_size, self.path, self.chunk = binding, key_size, path, chunk
        self.cue_sizes = [s.stop - s.start for s in binding.cue]
        self.embeddings = nn.ParameterList(
            nn.Parameter(torch.randn(size, key_size)) for size in self.cue_sizes
        )
        num_memories = len(self.cue_sizes) + 2
        self.strength_logits = nn.Parameter(torch.full((num_memories,), 4.0))
        self.forgetting_logits = nn.Parameter(torch.full((num_memories,), -9.0))
        self.gains = nn.Parameter(torch.ones(num_memories))
        reads_per_candidate = num_memories + (binding.exchange is not None)
        self.num_features = self.num_candidates * reads_per_candidate
        self.readout = CandidateReadout(self.num_candidates, reads_per_candidate, hidden_size, num_outputs)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> BoundState:
        """Empty memories (`generator` is not used)."""
        n, zeros = self.num_candidates, self.gains.new_zeros
        return BoundState(
            zeros(batch_size, n, self.key_size),
            zeros(batch_size, n, sum(self.cue_sizes)),
            zeros(batch_size, n, 1),
            zeros(batch_size, sum(self.cue_sizes)),
        )

    def _features(
        self, inputs: torch.Tensor, state: BoundState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, BoundState]:
        """The memories' evidence for every candidate; see `Network.run`.

        Returns:
            Features (T, B, n * reads per candidate), zeros where nothing is asked, and the state after the
            last step.
        """
        num_steps, batch_size = inputs.shape[:2]
        x = inputs.transpose(0, 1)  # (T, B, O) -> (B, T, O)
        cue = torch.cat([x[..., s] for s in self.binding.cue], dim=-1)
        outcome = x[..., self.binding.outcome]
        has_answer = outcome.sum(-1) > 0  # (B, T): the step shows an answer
        asks = ~has_answer & (cue.sum(-1) > 0)
        last_cue = torch.cat((state.last_cue[:, None], cue * asks[..., None]), dim=1)
        if resets is not None:  # the cue remembered at the start of each step
            last_cue = last_cue * F.pad(~resets.T, (0, 1), value=True)[..., None]
        if self.binding.chained and self.binding.exchange is not None:
            # The answer to the last question is where this step's question starts.
            follows = asks & (last_cue[:, :-1].sum(-1) > 0)
            reached = x[..., self.binding.cue[self.binding.exchange]] * follows[..., None]
            outcome, has_answer = outcome + reached, has_answer | follows
            written_cue = torch.where(follows[..., None], last_cue[:, :-1], cue)
        else:
            written_cue = cue
        has_answer = has_answer & (written_cue.sum(-1) > 0)

        write_at, read_at = has_answer.any(0).nonzero()[:, 0], asks.any(0).nonzero()[:, 0]
        write_cues = written_cue[:, write_at].split(self.cue_sizes, dim=-1)
        values, active = outcome[:, write_at], has_answer[:, write_at].to(x.dtype)
        write_cues, values = self._both_ways(write_cues, values)
        directions = values.shape[1] // max(len(write_at), 1) if len(write_at) else 1
        active, write_at = (
            active.repeat_interleave(directions, dim=1),
            write_at.repeat_interleave(directions),
        )

        read_cues = cue[:, read_at].split(self.cue_sizes, dim=-1)
        ones = x.new_ones
        written_keys = [self._product_keys(write_cues), *write_cues, ones(batch_size, len(write_at), 1)]
        asked_keys = [self._product_keys(read_cues), *read_cues, ones(batch_size, len(read_at), 1)]
        memories = [state.cue_memory, *state.field_memories.split(self.cue_sizes, dim=-1), state.seen]
        strengths, log_decays = torch.sigmoid(self.strength_logits), -F.softplus(self.forgetting_logits)
        reads, ends = [], []
        for i, (k, q, memory) in enumerate(zip(written_keys, asked_keys, memories, strict=True)):
            form = associate_loop if self.path == "loop" or num_steps == 1 else associate
            extra = {} if form is associate_loop else {"chunk": self.chunk}
            result, memory = form(
                k, values, active * strengths[i], write_at, q, read_at, memory, log_decays[i], num_steps,
                delta=i == 0, **extra,
            )  # fmt: skip
            # Plain Hebbian reads count how often; squashed, they say whether.
            reads.append(result if i == 0 else torch.tanh(self.gains[i] * result))
            ends.append(memory)
        if self.binding.exchange is not None:
            reads.append(read_cues[self.binding.exchange])  # a candidate may be part of the question
        per_candidate = torch.stack(reads, dim=-1) * asks[:, read_at, None, None]  # (B, R, n, reads)
        features = x.new_zeros(num_steps, batch_size, self.num_features)
        features = features.index_copy(0, read_at, per_candidate.flatten(2).transpose(0, 1))
        return features, BoundState(ends[0], torch.cat(ends[1:-1], dim=-1), ends[-1], last_cue[:, -1])

    def _product_keys(self, cue: Sequence[torch.Tensor]) -> torch.Tensor:
        """Normalised product (B, S, K) of the embeddings of the cue's fields, each (B, S, size)."""
        product = torch.stack([f @ e for f, e in zip(cue, self.embeddings, strict=True)]).prod(0)
        return F.normalize(product, dim=-1)

    def _both_ways(
        self, cue: Sequence[torch.Tensor], outcome: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each association followed by its reverse: (B, W, .) -> (B, 2 W, .)."""
        exchange = self.binding.exchange
        if exchange is None:
            return list(cue), outcome

        def alternate(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
            return torch.stack((forward, backward), dim=2).flatten(1, 2)

        reverse = [outcome if i == exchange else f for i, f in enumerate(cue)]
        return (
            [alternate(f, r) for f, r in zip(cue, reverse, strict=True)],
            alternate(outcome, cue[exchange]),
        )


class FreeState(NamedTuple):
    """Fast weights of `FreeFastWeights`, batch first.

    Attributes:
        memory: (B, V, K) key -> value.
        recent: (B, window - 1, O) the last observations.
    """

    memory: torch.Tensor
    recent: torch.Tensor


class FreeFastWeights(Network[FreeState]):
    """Fast weights whose keys are learned from whole observations.

    Its activity is the window of the last observations; a reset empties it.

    Args:
        input_size: O, size of an observation.
        num_outputs: Number of outputs.
        key_size: K, length of the keys.
        value_size: V, length of the values.
        hidden_size: Width of the read-out.
        window: Number of latest observations, the current one included, that keys and values are read off.
        path: "fast" (triangular solve) or "loop" (one write at a time).
        chunk: Number of writes per solve.
        keep_activity: Ignore resets of activity.
    """

    fast_weights: ClassVar[tuple[str, ...]] = ("memory",)

    @checked
    def __init__(
        self,
        input_size: int,
        num_outputs: int,
        key_size: Size = 64,
        value_size: Size = 32,
        hidden_size: Size = 64,
        window: Annotated[int, Range(1, 1000)] = 3,
        path: Literal["fast", "loop"] = "fast",
        chunk: Annotated[int, Range(1, 4096)] = 64,
        keep_activity: bool = False,
    ) -> None:
        super().__init__()
        self.input_size, self.num_outputs, self.num_features = input_size, num_outputs, hidden_size
        self.key_size, self.value_size, self.window = key_size, value_size, window
        self.path, self.chunk, self.keep_activity = path, chunk, keep_activity
        size = window * input_size
        num_weights = size * (4 * key_size + value_size + hidden_size) + value_size * hidden_size
        check_size(
            4 * num_weights, "the network", window=window, key_size=key_size, value_size=value_size,
            hidden_size=hidden_size,
        )  # fmt: skip
        self.write_keys = nn.Linear(size, 2 * key_size)
        self.read_keys = nn.Linear(size, 2 * key_size)
        self.values = nn.Linear(size, value_size)
        self.strength = nn.Linear(size, 1)
        self.forgetting_logit = nn.Parameter(torch.tensor(-6.0))
        self.combine = nn.Sequential(
            nn.LayerNorm(value_size + size), nn.Linear(value_size + size, hidden_size), nn.ReLU()
        )
        self.readout = nn.Linear(hidden_size, num_outputs)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> FreeState:
        """An empty memory (`generator` is not used)."""
        zeros = self.forgetting_logit.new_zeros
        return FreeState(
            zeros(batch_size, self.value_size, self.key_size),
            zeros(batch_size, self.window - 1, self.input_size),
        )

    def _features(
        self, inputs: torch.Tensor, state: FreeState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, FreeState]:
        """Hidden units of the read-out; each step writes, then reads.

        (T, B, hidden_size), for observations (T, B, O).
        """
        num_steps = inputs.shape[0]
        windows, recent = recall(inputs, state.recent, resets)  # newest first
        window = (
            windows.transpose(0, 1).unflatten(-1, (self.window, -1)).flip(2).flatten(2)
        )  # (B, T, window * O)

        def product(projection: nn.Module) -> torch.Tensor:
            first, second = projection(window).chunk(2, dim=-1)
            return F.normalize(first * second, dim=-1)

        times = torch.arange(num_steps, device=inputs.device)
        form = associate_loop if self.path == "loop" or num_steps == 1 else associate
        extra = {} if form is associate_loop else {"chunk": self.chunk}
        result, memory = form(
            product(self.write_keys), self.values(window),
            torch.sigmoid(self.strength(window))[..., 0], times,
            product(self.read_keys), times, state.memory, -F.softplus(self.forgetting_logit), num_steps,
            delta=True, **extra,
        )  # fmt: skip
        hidden = self.combine(torch.cat((result, window), dim=-1)).transpose(0, 1)
        return hidden, FreeState(memory, recent)
