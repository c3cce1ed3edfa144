"""Training a part of a network: some of its parameters, or some entries of one, the rest held bit for bit.

A part is written as data: a pattern of parameter names (`*` and `?`), which may be followed by an index as of
an array, with integers and plain slices, one for each axis or fewer:

    "readout.*"                  everything of the readout
    "embedding.weight[:, -1]"    what the last entry of the observation does to the embedding
    "layers.0.weight[:10]"       the first ten rows

Source:
    Transfer by one column of W_in, as with multi-plasticity networks after Aitken & Mihalas, eLife 12 (2023).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch

import torch
from torch import nn

__all__ = ["PartialTraining", "trained_entries"]

_PART = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_PLACE = re.compile(r"([+-]?\d+)?(?:(:)([+-]?\d+)?)?")


def trained_entries(network: nn.Module, parts: Sequence[str]) -> dict[str, torch.Tensor | None]:
    """Entries of a network that the parts name, by parameter: None for all, or a bool mask of its shape.

    Args:
        network: The network. Parameters that are fixed (`requires_grad` false) cannot be trained.
        parts: See the module's docstring; together they name the union of what they name.

    Raises:
        ValueError: If a part names nothing that can be trained, or has no such index.
    """
    free = {name: p for name, p in network.named_parameters() if p.requires_grad}
    masks: dict[str, torch.Tensor | None] = {}
    for part in parts:
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"trained={part!r}: expected a pattern of names, or one with an [index] behind.")
        pattern, index = match.group(1), match.group(2)
        names = [name for name in free if fnmatch(name, pattern)]
        if not names:
            raise ValueError(
                f"trained={part!r}: no parameter of that name is trained; there are {sorted(free)}."
            )
        for name in names:
            if index is None:
                masks[name] = None
            elif (mask := masks.setdefault(name, torch.zeros_like(free[name], dtype=torch.bool))) is not None:
                shape = tuple(mask.shape)
                try:
                    mask[_index(index)] = True
                except (IndexError, ValueError) as error:
                    raise ValueError(f"trained={part!r}: {name} is of shape {shape}; {error}.") from error
                if not bool(mask.any()):
                    raise ValueError(
                        f"trained={part!r}: names no entry of {name}, which is of shape {shape}."
                    )
    return {name: None if mask is None or bool(mask.all()) else mask for name, mask in masks.items()}


def _index(text: str) -> tuple[int | slice, ...]:
    places: list[int | slice] = []
    for place in text.split(","):
        match = _PLACE.fullmatch(place.strip())
        if match is None or not place.strip():
            raise ValueError(f"{place.strip()!r} is neither an integer nor a slice a:b")
        first, colon, last = match.groups()
        low, high = (None if end is None else int(end) for end in (first, last))
        if colon is None:
            assert low is not None
            places.append(low)
        else:
            places.append(slice(low, high))
    return tuple(places)


class PartialTraining:
    """Keeps a learner from changing more of a network than it is to train.

    Making one marks parameters without a trained entry as fixed (`requires_grad` false), which also spares
    their gradients. Around each step, `mask_gradients` and `restore` see to those trained in part.

    Args:
        network: The network as it is now.
        parts: What is trained; see `trained_entries`.
    """

    def __init__(self, network: nn.Module, parts: Sequence[str]) -> None:
        entries = trained_entries(network, parts)
        self._masked: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor]] = []
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in entries)
            mask = entries.get(name)
            if mask is not None:
                self._masked.append((parameter, mask, parameter.detach().clone()))

    def mask_gradients(self) -> None:
        """Put gradients of held entries to zero; before their norm is taken."""
        for parameter, mask, _ in self._masked:
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    @torch.no_grad()
    def restore(self) -> None:
        """Put held entries back to what they were, whatever weight decay and constraints did to them."""
        for parameter, mask, before in self._masked:
            parameter.copy_(torch.where(mask, parameter, before))
