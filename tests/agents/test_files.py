"""Files of agents and checkpoints: written whole, read with one clear error, and never run."""

from __future__ import annotations

import functools
import io
import re
import struct
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plastic_agents
from plastic_agents import files
from plastic_agents.agent import NetworkAgent
from plastic_agents.runner.checkpoints import Checkpointer
from plastic_agents.runner.history import History
from plastic_agents.runner.stopping import StopRequest
from plastic_envs import make_task

ENV = "EvidenceIntegration-v0"
LEARNER = {"batch_size": 2, "validation_episodes": 2, "updates": 2}


def small(agent: str = "gru", task: Any = ENV, **arguments: Any) -> NetworkAgent:
    made = plastic_agents.make(agent, task, hidden_size=4, learner=LEARNER, device="cpu", **arguments)
    assert isinstance(made, NetworkAgent)
    return made


def checkpointer(path: Path) -> Checkpointer:
    return Checkpointer(path, History(), 1, 2, StopRequest())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an agent's file and a checkpoint of it after two updates."""
    path = tmp_path_factory.mktemp("files")
    agent = small()
    agent.learn(updates=2, callback=checkpointer(path / "checkpoint.pt"))
    agent.save(path / "agent.pt")
    return path


def read_agent(path: Path) -> object:
    return plastic_agents.load(path, device="cpu")


def read_checkpoint(path: Path) -> object:
    checkpointer(path).resume(small_once())
    return small_once()


@functools.cache
def small_once() -> NetworkAgent:
    """The agent that checkpoints are tried on; making it is most of the time that a try takes."""
    return small()


READERS: dict[str, Callable[[Path], object]] = {"agent": read_agent, "checkpoint": read_checkpoint}


def content_of(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True))


def signed(data: bytes) -> bytes:
    """An archive with the right checksum, as somebody who wants to harm would make it."""
    data = data[:-2] + struct.pack("<H", files._TRAILER)
    return data + files._trailer(data)


def refuses(read: Callable[[Path], object], path: Path, seconds: float = 2.0) -> str:
    """Check that a file is refused in one error that names it, in time; returns the message."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            read(path)
    assert time.process_time() - started < seconds
    message = str(caught.value)
    assert str(path) in message
    assert "weights_only=False" not in message
    return message


# ---- what is written ----------------------------------------------------------------------------


def test_an_agent_with_numpy_scalars_among_its_arguments_loads_again(tmp_path: Path) -> None:
    """F5 of the report of faults: it was saved and could never be loaded."""
    task = make_task("PlasticGraph-disjoint-v0", num_nodes=np.int64(8), edge_prob=np.float64(0.3))
    rate = {**LEARNER, "learning_rate": np.float64(1e-3)}
    agent = plastic_agents.make(
        "mpn", task, hidden_size=np.int64(4), lambda_max=np.float32(0.5), learner=rate
    )
    agent.learn(updates=1, callback=checkpointer(tmp_path / "checkpoint.pt"))
    agent.save(tmp_path / "agent.pt")
    again = plastic_agents.load(tmp_path / "agent.pt")
    assert isinstance(again, NetworkAgent)
    assert again.task.describe()["num_nodes"] == 8
    other = plastic_agents.make("mpn", task, hidden_size=4, lambda_max=np.float32(0.5), learner=rate)
    checkpointer(tmp_path / "checkpoint.pt").resume(other)
    plastic_agents.make("random", task).save(tmp_path / "random.pt")
    assert plastic_agents.load(tmp_path / "random.pt").name == "random"


def test_plain_keeps_every_value_and_makes_it_plain() -> None:
    value = {"a": np.int64(3), np.str_("b"): (np.float32(0.5), [np.bool_(True), None]), "c": np.arange(2)}
    result = files.plain(value)
    assert result == {"a": 3, "b": (0.5, [True, None]), "c": [0, 1]}
    assert [type(result["a"]), type(result["b"][0]), type(result["b"][1][0])] == [int, float, bool]
    assert all(type(key) is str for key in result)


def test_what_no_file_can_hold_is_named_when_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"agent\['task_kwargs'\]\['rule'\] is a function"):
        files.write_tensors(tmp_path / "agent.pt", "agent", {"task_kwargs": {"rule": lambda: 0}})
    assert not list(tmp_path.iterdir())


def test_saving_to_a_directory_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """F34: it left `<path>.partial`."""
    (tmp_path / "agent.pt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"agent\.pt' is a directory; name a file"):
        small().save(tmp_path / "agent.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["agent.pt"]


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "old")

    def broken_off() -> None:
        with files.in_place_of(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_is_still_one_of_torch_and_holds_what_was_saved(folder: Path) -> None:
    content = content_of(folder / "agent.pt")
    agent = read_agent(folder / "agent.pt")
    assert isinstance(agent, NetworkAgent)
    for name, weights in agent.network.state_dict().items():
        assert torch.equal(weights, content["weights"][name])
    assert zipfile.ZipFile(folder / "agent.pt").comment.startswith(b"plastic-gym sha256 ")


def test_a_view_is_written_without_the_rest_of_its_storage(tmp_path: Path) -> None:
    files.write_tensors(tmp_path / "a.pt", "agent", {"weights": {"w": torch.arange(10**6)[5:8]}})
    content, ours = files.read_tensors(tmp_path / "a.pt", "agent")
    assert ours
    assert content["weights"]["w"].tolist() == [5, 6, 7]
    assert (tmp_path / "a.pt").stat().st_size < 5000


# ---- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", READERS)
def test_one_flipped_bit_anywhere_is_noticed(kind: str, folder: Path, tmp_path: Path) -> None:
    """K2: 35 of 40 flipped bits went unnoticed in agent files, 24 of 30 in checkpoints."""
    data = (folder / f"{kind}.pt").read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(8), *range(8 * len(data) - 8 * (files._TRAILER + 4), 8 * len(data), 37)]
    for bit in [*rng.integers(0, 8 * len(data), size=60), *ends]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        (tmp_path / "x.pt").write_bytes(damaged)
        refuses(READERS[kind], tmp_path / "x.pt")


@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_is_cut_off_or_goes_on_is_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    """K3, F14: an empty file was an IndexError."""
    data = (folder / f"{kind}.pt").read_bytes()
    lengths = [0, 1, 2, 3, 4, 30, 100, *np.linspace(200, len(data) - 1, 12, dtype=int)]
    for damaged in [*(data[:n] for n in lengths), data[: -files._TRAILER], data + b"x", data * 2, b"\0" * 99]:
        (tmp_path / "x.pt").write_bytes(damaged)
        refuses(READERS[kind], tmp_path / "x.pt")
    (tmp_path / "x.pt").unlink()
    refuses(READERS[kind], tmp_path / "x.pt")
    (tmp_path / "x.pt").mkdir()
    refuses(READERS[kind], tmp_path / "x.pt")


_WRONG_VALUES = (
    None,
    -1,
    10**9,
    10**30,
    2.5,
    float("nan"),
    "x",
    "os:system",
    [],
    {},
    (1,),
    torch.ones(2),
    True,
)


def _changes(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file's content with one entry missing or replaced, as (name, content)."""
    for key in content:
        yield f"no {key}", {k: v for k, v in content.items() if k != key}
        for value in _WRONG_VALUES:
            if type(value) is not type(content[key]) or key in ("format", "kind", "agent", "task"):
                yield f"{key}={value!r}", {**content, key: value}
    weights = content.get("weights", {})
    for key, w in weights.items():
        for value in (w[:1], w[None], w.long(), w.to(torch.complex64), w * float("nan"), w / 0, "x", None,
                      w.bool(), torch.zeros(1).expand(w.shape), w.to_sparse()):  # fmt: skip
            yield f"weights[{key}]={value!r:.40}", {**content, "weights": {**weights, key: value}}
        yield f"no weights[{key}]", {
            **content, "weights": {k: v for k, v in weights.items() if k != key}
        }  # fmt: skip
    if weights:
        yield "another weight", {**content, "weights": {**weights, "more": torch.ones(1)}}
    for key in ("task_kwargs", "network_kwargs"):
        for name, value in (
            ("no_such", 1), ("hidden_size", 10**9), ("hidden_size", 5), ("hidden_size", "x"),
            ("num_tokens", -1), ("num_tokens", "x"), ("task", 1), ("self", 1), (3, 1),
        ):  # fmt: skip
            if key in content:
                yield f"{key}[{name}]={value}", {**content, key: {**content[key], name: value}}


@pytest.mark.parametrize("kind", READERS)
def test_wrong_content_under_a_right_checksum_is_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    """K3, K11: a third ended in raw errors of six kinds; NaN, complex and whole-number weights loaded."""
    content = content_of(folder / f"{kind}.pt")
    changes = [(name, c) for name, c in _changes(content) if name not in _HARMLESS[kind]]
    if kind == "checkpoint":
        changes += [
            (n, {**content, "agent": c}) for n, c in _changes(content["agent"]) if n not in _HARMLESS["agent"]
        ]
    assert len(changes) > 100 or kind == "checkpoint"
    for name, changed in changes:
        buffer = io.BytesIO()
        torch.save(changed, buffer)
        path = tmp_path / f"{re.sub(r'[^a-z_0-9]', '-', name)[:60]}.pt"
        path.write_bytes(signed(buffer.getvalue()))
        refuses(READERS[kind], path)


_TIMES = [f"{key}={value}" for key in ("cpu_seconds", "wall_seconds") for value in (-1, 10**9, 10**30)]
_HARMLESS: dict[str, set[str]] = {"agent": set(), "checkpoint": set(_TIMES)}
