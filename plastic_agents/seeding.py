"""Every random number of agents and runs: what is drawn, from which seed, and how; tasks have their own.

Each draw has a generator for its purpose, so that one more draw somewhere moves no number elsewhere, and a
run that was stopped and resumed gives the numbers of one that was not. Here S(seed, key) is NumPy's
`SeedSequence(seed, spawn_key=key)`, W the first 64-bit word of it without the lowest bit, R
`numpy.random.default_rng`, D a draw below 2**62, E an episode's seed.

    What is drawn               From                        How derived
    --------------------------- --------------------------- --------------------------------------------------
    initial weights             agent's seed                `global_generator`: torch's own, set to it
    the same, where by NumPy    agent's seed                `numpy_of_global`: R(D), D from that generator
    training in update u        learner's seed, purpose, u  `Streams`: R(S(seed, (purpose, u))); torch: its W
    validation, test            learner's seed, purpose     `Streams`, u = 0
    problem k of a sequence     learner's seed, k           by the task, `Task.with_problem`
    start of a single trial     the update's stream         `torch_of`: D
    answers in `predict`        agent's seed                `live_generator`: seed + 1; runs on between calls
    answers in `act_on`         agent's, episode's seed     `episode_generators`: stream E, spawned by W
    ... with a generator        that generator              starts: itself; choices: `choice_generator`, D
    a policy in `predict`       agent's seed                `policy_generator`: R(S(seed, (97,))); runs on
    a policy in `act_on`        agent's, episode's seed     `policy_generators`: R((seed, 97, E)); or D for E
    a start without generator   nothing                     `start_generator`: 0
    noise inside a network      the start's generator, step `noise_keys`: D; `noise_streams`: spawned by step
    evaluations and reports     run's seed, purpose's name  `named_generator`: R(S(seed, (crc32(name),)))
    ... by torch                the same                    `torch_generator`: D of it
    a layout, not its content   nothing                     `layout_generator`: R(0)
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plastic_envs.streams import RowStreams

__all__ = [
    "Streams",
    "choice_generator",
    "episode_generators",
    "global_generator",
    "layout_generator",
    "live_generator",
    "named_generator",
    "noise_keys",
    "noise_streams",
    "numpy_of_global",
    "policy_generator",
    "policy_generators",
    "start_generator",
    "torch_generator",
    "torch_of",
]

_BELOW = 2**62  # seeds that one generator draws for another
_POLICY = 97  # purpose of a policy's random actions
_ONE_AT_A_TIME = threading.Lock()


class Streams:
    """Random streams of a learner, one of its own for every (purpose, index).

    Args:
        seed: The learner's seed.
    """

    TRAINING_DATA, VALIDATION_DATA, TRAINING_START, VALIDATION_START = range(4)
    BEHAVIOUR, TEST_DATA, TEST_START, MIXTURE = range(4, 8)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def numpy(self, purpose: int, index: int = 0) -> np.random.Generator:
        """A NumPy generator."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, index)))

    def torch(self, purpose: int, index: int = 0) -> torch.Generator:
        """A torch generator on the CPU."""
        return _torch(_first_word(self.seed, purpose, index))


# ---- initial weights ----------------------------------------------------------------------------


@contextmanager
def global_generator(seed: int) -> Iterator[None]:
    """A context in which torch's global generator, which its layers draw from, starts at the seed.

    The generator is forked, so that making a network changes nobody else's random numbers; one thread at a
    time, so that agents may be made in many.
    """
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def numpy_of_global() -> np.random.Generator:
    """A NumPy generator that torch's global generator seeds, for weights that NumPy draws."""
    return np.random.default_rng(int(torch.randint(_BELOW, ())))


# ---- playing ------------------------------------------------------------------------------------


def live_generator(seed: int) -> torch.Generator:
    """The generator of an agent's starts and choices where no episode has a seed."""
    return torch.Generator().manual_seed(seed + 1)


def episode_generators(seed: int, episode_seeds: npt.NDArray[np.uint64]) -> list[torch.Generator]:
    """Generators of an agent's starts and choices, one for each episode, by its own seed."""
    return [_torch(key) for key in RowStreams(episode_seeds).spawn(_first_word(seed) >> 1).bits(1)[:, 0]]


def choice_generator(starts: torch.Generator) -> torch.Generator:
    """A generator of choices beside that of starts, as an episode's course must not depend on others'."""
    return torch.Generator().manual_seed(_draw(starts))


def policy_generator(seed: int) -> np.random.Generator:
    """The generator of a random policy that is stepped."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_POLICY,)))


def policy_generators(seed: int, words: Sequence[int]) -> list[np.random.Generator]:
    """Generators of a random policy in whole episodes, one for each word (an episode's seed, or a draw)."""
    return [np.random.default_rng((seed, _POLICY, word)) for word in words]


# ---- networks -----------------------------------------------------------------------------------


def start_generator() -> torch.Generator:
    """The generator of a network's start where the caller passes none; the same numbers each time."""
    return torch.Generator().manual_seed(0)


def noise_keys(batch_size: int, generator: torch.Generator | None) -> torch.Tensor:
    """Names (B,) int64 of the rows' streams of noise, drawn one by one; None: from `start_generator`."""
    generator = generator or start_generator()
    keys = [_draw(generator) for _ in range(batch_size)]
    return torch.tensor(keys, dtype=torch.int64, device=generator.device)


def noise_streams(keys: npt.NDArray[Any], number: npt.NDArray[np.int64]) -> RowStreams:
    """Streams of noise of steps `number` (..., B) in rows with `keys` (B,), in C order."""
    return RowStreams(np.broadcast_to(keys.astype(np.uint64), number.shape).ravel()).spawn(number.ravel())


# ---- runs ---------------------------------------------------------------------------------------


def named_generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for every seed and purpose; a new purpose changes no other's numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))


def torch_generator(seed: int, name: str) -> torch.Generator:
    """The same for torch (random starts of fast weights, ties)."""
    return torch_of(named_generator(seed, name))


def layout_generator() -> np.random.Generator:
    """The generator of episodes of which only the layout is asked for; the same numbers each time."""
    return np.random.default_rng(0)


# ---- parts --------------------------------------------------------------------------------------


def torch_of(rng: np.random.Generator) -> torch.Generator:
    """A torch generator that a NumPy generator seeds."""
    return torch.Generator().manual_seed(int(rng.integers(_BELOW)))


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(_BELOW, (1,), generator=generator, device=generator.device))


def _first_word(seed: int, *spawn_key: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=spawn_key).generate_state(1, np.uint64)[0])


def _torch(word: Any) -> torch.Generator:
    return torch.Generator().manual_seed(int(word) >> 1)
