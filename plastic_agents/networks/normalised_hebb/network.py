"""The plastic network of the published graph-walk system, to the letter, for any association task.

One matrix of fast weights ties cues to outcomes by a Hebbian write, its rows are kept at unit norm, and it
starts at random. Only the association shown is written: cue to outcome, never back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from plastic_agents.networks.base import Network, Recording, published_decoder
from plastic_agents.networks.normalised_hebb.rule import EPS, normalised_hebbian
from plastic_agents.seeding import start_generator
from plastic_envs.arguments import Range, Size, checked


class PublishedState(NamedTuple):
    """State of `PublishedPlastic`.

    Attributes:
        weights: Fast weights P, (B, H, H), rows of unit norm.
        cue: The last question's cue, (B, C); used by a chained network only.
        has_cue: Whether there was one in this episode, (B,) bool.
    """

    weights: torch.Tensor
    cue: torch.Tensor
    has_cue: torch.Tensor


class PublishedPlastic(Network[PublishedState]):
    """Fast weights with row-normalised Hebbian writes and a random start.

    A step either shows an association (it *acquires*) or asks for the outcome of a cue (it *predicts*):

        acquire:  k = relu(W_c [cue; 0, 1] + b_c),  v = relu(W_a outcome + b_a)
                  P <- P + v k^T, then every row of P <- row / max(||row||, 1e-8)
        predict:  q = relu(W_c [cue; 1, 0] + b_c),  h = relu(P q),  output = decoder(h)

    where the decoder is Linear(H -> M), ReLU, Linear(M -> O), M = floor(sqrt(H O)). Outputs of acquire
    steps, where nothing is asked, are zeros, and so are their features (so `forward` is the readout of the
    features at predict steps only).

    In a *chained* task every step asks, and the next step's first cue field is the answer (a walk seen node
    by node): before answering, the network then acquires (cue of the step before) -> (first cue field of
    this step) by itself. The question before is the only activity there is; a reset forgets it.

    A start (weights in the state) gets gradients like any other tensor; detach it for the published
    behaviour, which `initial_state` has. The fast path computes the same function as the loop and can be
    differentiated once; see `plastic_agents.networks.normalised_hebb.rule`.

    Args:
        input_size: I, length of an observation.
        hidden_size: H.
        num_outputs: O.
        cue: Slices of an observation that make up a cue.
        outcome: Where the outcome lies. In a chained task: the same as `cue[0]`.
        mode: Where the two mode bits lie, (1, 0) predict and (0, 1) acquire; with neither, a step does
            nothing. None: a step whose outcome field is not zero acquires, any other predicts; in a chained
            task all predict.
        chained: Whether the network forms associations from consecutive steps.
        path: "fast", or "loop" for the plain step-by-step reference.
        chunk: Longest stretch of writes that the fast path treats at once.

    Source:
        The published graph-walk system; its equations are those above. What is more general: which fields
        are cue and outcome, steps that acquire and predict separately, state given and returned. What
        differs: the state is drawn from a generator of one's own.
    """

    fast_weights: ClassVar[tuple[str, ...]] = ("weights",)

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: Size,
        num_outputs: int,
        cue: Sequence[slice],
        outcome: slice,
        mode: slice | None = None,
        chained: bool = False,
        path: Literal["fast", "loop"] = "fast",
        chunk: Annotated[int, Range(1, 4096)] = 48,
    ) -> None:
        super().__init__()
        self.cue = tuple(cue)
        self.outcome, self.mode, self.chained = outcome, mode, chained
        self.path, self.chunk = path, chunk
        for part in (*self.cue, outcome, *([] if mode is None else [mode])):
            if not 0 <= part.start < part.stop <= input_size:
                raise ValueError(f"{part}: a field must lie within the {input_size} inputs.")
        if not self.cue:
            raise ValueError("cue=(): needs at least one field to ask with.")
        if mode is not None and mode.stop - mode.start != 2:
            raise ValueError(f"mode={mode}: needs two bits, predict and acquire.")
        if chained and self.cue[0] != outcome:
            raise ValueError(
                f"outcome={outcome}: in a chained task it must be the first cue field, {self.cue[0]}."
            )
        self.cue_size = sum(part.stop - part.start for part in self.cue)
        self.num_features, self.num_outputs = hidden_size, num_outputs
        self.encode_cue = nn.Linear(self.cue_size + 2, hidden_size)  # W_c, b_c; mode bits last
        self.encode_outcome = nn.Linear(outcome.stop - outcome.start, hidden_size)  # W_a, b_a
        self.readout = published_decoder(hidden_size, num_outputs)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> PublishedState:
        """Normal rows divided by (their norm + 1e-8); see `Network.initial_state` for the generator."""
        parameter = self.encode_cue.weight
        generator = start_generator() if generator is None else generator
        shape = (batch_size, self.num_features, self.num_features)
        weights = torch.empty(shape, dtype=parameter.dtype, device=generator.device)
        weights.normal_(generator=generator)
        weights /= torch.linalg.vector_norm(weights, dim=2, keepdim=True) + EPS
        return PublishedState(
            weights.to(parameter.device),
            parameter.new_zeros(batch_size, self.cue_size),
            torch.zeros(batch_size, dtype=torch.bool, device=parameter.device),
        )

    def run(
        self,
        inputs: torch.Tensor,
        state: PublishedState | None = None,
        resets: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> Recording[PublishedState]:
        """See `Network.run`; features are what was read, relu(P q); zeros where nothing is asked."""
        hidden, asks, state = self._recollect(inputs, *self._start(inputs, state, resets))
        return Recording(_spread(self.readout(hidden), asks), _spread(hidden, asks), state)

    def _recollect(
        self, inputs: torch.Tensor, state: PublishedState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, PublishedState]:
        """Run over the sequence.

        Returns:
            h (B, R, H) of the R steps where any row asks, which rows ask at which step (T, B), and the new
            state.
        """
        cues = torch.cat([inputs[..., part] for part in self.cue], dim=-1)  # (T, B, C)
        outcomes = inputs[..., self.outcome]
        acquires, asks = self._modes(inputs, outcomes)
        if self.chained:
            bound, has_previous, last_cue, has_cue = _previous(cues, asks, state.cue, state.has_cue, resets)
            acquires = asks & has_previous
        else:
            bound = cues
            # Never set in such a network, but a state may come from elsewhere.
            forgets = torch.zeros_like(state.has_cue) if resets is None else resets.any(0)
            last_cue, has_cue = state.cue * ~forgets.unsqueeze(1), state.has_cue & ~forgets

        writes, reads = acquires.any(1).nonzero()[:, 0], asks.any(1).nonzero()[:, 0]
        writes_before = torch.searchsorted(writes, reads, right=True).tolist()
        taking_part = acquires[writes].T  # (B, W)

        # The mode bits are constants, so their columns of W_c are biases.
        weight, bias = self.encode_cue.weight, self.encode_cue.bias
        by_cue, by_predict, by_acquire = torch.split(weight, [self.cue_size, 1, 1], dim=1)
        keys = functional.linear(bound[writes].transpose(0, 1), by_cue, bias + by_acquire[:, 0]).relu_()
        queries = functional.linear(cues[reads].transpose(0, 1), by_cue, bias + by_predict[:, 0]).relu_()
        values = self.encode_outcome(outcomes[writes].transpose(0, 1)).relu_()
        recalled, weights = normalised_hebbian(
            keys,
            values,
            queries,
            state.weights,
            writes_before,
            None if bool(taking_part.all()) else taking_part,
            path=self.path,
            chunk=self.chunk,
        )
        return recalled.relu(), asks, PublishedState(weights, last_cue, has_cue)

    def _modes(self, inputs: torch.Tensor, outcomes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks of the steps that acquire and of those that ask, each (T, B) bool."""
        if self.mode is not None:
            asks, acquires = (inputs[..., self.mode] > 0.5).unbind(-1)
            return acquires, asks
        if self.chained:
            everything = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
            return everything, everything
        acquires = (outcomes != 0).any(-1)
        return acquires, ~acquires


def _previous(
    cues: torch.Tensor,
    asks: torch.Tensor,
    cue: torch.Tensor,
    has_cue: torch.Tensor,
    resets: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The cue of the question before each step.

    Args:
        cues: (T, B, C).
        asks: (T, B) bool, the steps that ask.
        cue: (B, C), the last question's cue before the first step.
        has_cue: (B,) bool, whether there was one.
        resets: (T, B) bool, steps from which on earlier questions are forgotten; None: nowhere.

    Returns:
        The cues (T, B, C) of the questions before, whether there was one (T, B); and `cue` and `has_cue`
        after the last step.
    """
    steps, batch = asks.shape
    number = torch.arange(1, steps + 1, device=asks.device).unsqueeze(1) * asks
    latest = torch.cat([number.new_zeros(1, batch), number]).cummax(dim=0).values  # (T + 1, B)
    rows = torch.arange(batch, device=asks.device)
    previous = torch.cat([cue.unsqueeze(0), cues])[latest, rows]  # (T + 1, B, C); index 0 is the state's
    has_previous = has_cue | (latest > 0)
    if resets is not None:
        # Questions are numbered from 1, a reset before step t stands between question t and question t + 1.
        after = torch.arange(1, steps + 1, device=asks.device).unsqueeze(1) * resets
        latest_reset = after.cummax(dim=0).values  # (T, B), 0 where there was none
        latest_reset = torch.cat([latest_reset, latest_reset[-1:]])
        has_previous = has_previous & ((latest_reset == 0) | (latest >= latest_reset))
        previous = previous * has_previous.unsqueeze(2)
    return previous[:-1], has_previous[:-1], previous[-1], has_previous[-1]


def _spread(answers: torch.Tensor, asks: torch.Tensor) -> torch.Tensor:
    """Put answers at the steps that ask.

    Args:
        answers: (B, R, F), for the R steps where any row asks.
        asks: (T, B) bool.

    Returns:
        (T, B, F), zeros for rows and steps that do not ask.
    """
    answers = answers.transpose(0, 1)
    somewhere = asks.any(1)
    if answers.shape[0] < asks.shape[0]:
        spread = answers.new_zeros(*asks.shape, answers.shape[2])
        answers = spread.index_copy(0, somewhere.nonzero()[:, 0], answers)
    if not torch.equal(asks.all(1), somewhere):
        answers = answers * asks.unsqueeze(2)
    return answers
