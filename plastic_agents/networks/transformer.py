"""A small causal transformer as a baseline, that can be stepped."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from plastic_agents.networks.base import Network, published_decoder, recall
from plastic_envs.arguments import Range, Size, check_size, checked


class TransformerState(NamedTuple):
    """State of `CausalTransformer`: keys and values of the last C - 1 steps, the latest last.

    Attributes:
        keys: Before rotation, (B, L, C - 1, F), for L layers of width F.
        values: (B, L, C - 1, F).
        length: How many of those steps there have been in this episode, (B,) int64.
        past: The last inputs, oldest first, (B, history, I).
    """

    keys: torch.Tensor
    values: torch.Tensor
    length: torch.Tensor
    past: torch.Tensor


class CausalTransformer(Network[TransformerState]):
    """Pre-norm transformer blocks over a sliding window, with rotary positions and the published decoder.

    In every layer a step attends to itself and the `context - 1` steps before it; older ones are forgotten,
    whether the sequence is passed whole or step by step. Only distances between steps enter, so an episode
    may go on for ever. All of its state is activity: a reset empties the window.

    Args:
        input_size: I, length of an observation.
        num_outputs: O.
        width: F, size of a layer.
        num_layers: L, blocks of attention and of a two-layer perceptron (4 F units, GELU).
        num_heads: Attention heads; F must be an even multiple of it.
        context: C, how many steps a layer sees.
        history: Number of earlier observations shown beside each one (zeros before the first), newest first.
        keep_activity: Ignore resets of activity.
    """

    @checked
    def __init__(
        self,
        input_size: int,
        num_outputs: int,
        width: Size = 64,
        num_layers: Annotated[int, Range(1, 100)] = 2,
        num_heads: Annotated[int, Range(1, 1024)] = 4,
        context: Annotated[int, Range(1, 100_000)] = 256,
        history: Annotated[int, Range(0, 1000)] = 0,
        keep_activity: bool = False,
    ) -> None:
        super().__init__()
        if width % (2 * num_heads):
            raise ValueError(
                f"width={width}, num_heads={num_heads}: expected a "
                "width that is an even multiple of num_heads (rotary positions turn pairs of features)."
            )
        num_weights = 12 * num_layers * width**2 + (1 + history) * input_size * width
        check_size(
            4 * (num_weights + 2 * num_layers * context * width), "the network with one episode's memory",
            num_layers=num_layers, width=width, context=context, history=history,
        )  # fmt: skip
        self.input_size, self.history, self.context = input_size, history, context
        self.keep_activity = keep_activity
        self.num_features, self.num_outputs = width, num_outputs
        self.embed = nn.Linear((1 + history) * input_size, width)
        self.head_size = width // num_heads
        self.blocks = nn.ModuleList(_Block(width, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.readout = published_decoder(width, num_outputs)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> TransformerState:
        """No steps yet; nothing is drawn."""
        zeros = self.embed.weight.new_zeros
        shape = (batch_size, len(self.blocks), self.context - 1, self.num_features)
        return TransformerState(
            zeros(shape),
            zeros(shape),
            torch.zeros(batch_size, dtype=torch.int64, device=self.embed.weight.device),
            zeros(batch_size, self.history, self.input_size),
        )

    def _features(
        self, inputs: torch.Tensor, state: TransformerState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, TransformerState]:
        """Activity (T, B, F) of the last block, normalised, and the state; see `Network.run`."""
        windows, past = recall(inputs, state.past, resets)
        activity, window = self.embed(windows).transpose(0, 1), state
        # A context's length at a time, so that memory grows with T and not with its square.
        pieces, first = [], 0
        for piece in activity.split(self.context, dim=1):
            last = first + piece.shape[1]
            piece, window = self._attend(piece, window, None if resets is None else resets[first:last].T)
            pieces.append(piece)
            first = last
        return self.norm(torch.cat(pieces, dim=1)).transpose(0, 1), window._replace(past=past)

    def _attend(
        self, activity: torch.Tensor, state: TransformerState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, TransformerState]:
        """All blocks over at most C steps, (B, S, F), with the cache before and after them; resets (B, S)."""
        steps, cache_size = activity.shape[1], self.context - 1
        cached = int(state.length.max()) if cache_size else 0  # older slots are empty in every row
        first = cache_size - cached
        query = torch.arange(cached, cached + steps, device=activity.device).unsqueeze(1)
        key = torch.arange(cached + steps, device=activity.device)
        visible = (key <= query) & (query - key <= cache_size)  # (S, cached + S)
        filled = key >= cached - state.length.unsqueeze(1)  # (B, cached + S)
        mask = visible & filled[:, None, None]  # (B, 1, S, cached + S), the heads alike
        length = state.length + steps
        if resets is not None:
            number = resets.cumsum(
                1
            )  # (B, S), which stretch a step belongs to; the cache belongs to stretch 0
            stretch = functional.pad(number, (cached, 0))
            mask = mask & (stretch[:, None, None, :] == number[:, None, :, None])
            since = (number == number[:, -1:]).sum(1)  # steps of the last stretch
            length = torch.where(number[:, -1] > 0, since, length)
        turns = _turns(cached + steps, self.head_size, activity)
        all_keys, all_values = [], []
        for layer, block in enumerate(self.blocks):
            activity, keys, values = block(
                activity, state.keys[:, layer, first:], state.values[:, layer, first:], turns, mask
            )
            all_keys.append(_last(keys, cache_size))
            all_values.append(_last(values, cache_size))
        return activity, TransformerState(
            torch.stack(all_keys, dim=1),
            torch.stack(all_values, dim=1),
            length.clamp_max(cache_size),
            state.past,
        )


class _Block(nn.Module):
    """Attention and a perceptron, each added to a normalised copy of its input."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = num_heads, width // num_heads
        self.norm_attention, self.norm_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.combine = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self,
        activity: torch.Tensor,
        cached_keys: torch.Tensor,
        cached_values: torch.Tensor,
        turns: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over S steps.

        Args:
            activity: (B, S, F).
            cached_keys: (B, K, F), of the K steps before.
            cached_values: (B, K, F).
            turns: Cosines and sines of each position, (2, K + S, head_size / 2).
            mask: (B, 1, S, K + S) bool, what each step sees.

        Returns:
            New activity (B, S, F), and keys and values (B, K + S, F).
        """
        queries, keys, values = self.project(self.norm_attention(activity)).chunk(3, dim=-1)
        keys = torch.cat([cached_keys, keys], dim=1)
        values = torch.cat([cached_values, values], dim=1)
        steps = activity.shape[1]
        attended = functional.scaled_dot_product_attention(
            _rotate(self._heads(queries), turns[:, -steps:]),
            _rotate(self._heads(keys), turns),
            self._heads(values),
            attn_mask=mask,
        )
        # (B, heads, S, head_size) -> (B, S, F)
        activity = activity + self.combine(attended.transpose(1, 2).flatten(2))
        return activity + self.perceptron(self.norm_perceptron(activity)), keys, values

    def _heads(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, S, F) -> (B, heads, S, head_size)."""
        return features.view(*features.shape[:2], self.num_heads, self.head_size).transpose(1, 2)


def _last(steps: torch.Tensor, count: int) -> torch.Tensor:
    """The last `count` of (B, S, F), after zeros if there are fewer."""
    length = steps.shape[1]
    return functional.pad(steps, (0, 0, max(count - length, 0), 0))[:, max(length - count, 0) :]


def _turns(positions: int, head_size: int, like: torch.Tensor) -> torch.Tensor:
    """Angles by which pairs of features are turned at each position, wavelengths from 2 pi to 2e4 pi steps.

    Returns:
        Cosines and sines, (2, positions, head_size / 2), in the number format of `like`; made in float64, as
        angles grow with the position.
    """
    pairs = torch.arange(0, head_size, 2, dtype=torch.float64, device=like.device) / head_size
    angles = torch.arange(positions, device=like.device).unsqueeze(1) * 10_000.0**-pairs
    return torch.stack([angles.cos(), angles.sin()]).to(like.dtype)


def _rotate(features: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (i, i + head_size / 2) of (B, heads, S, head_size) by each position's angles."""
    cosine, sine = turns
    left, right = features.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)
