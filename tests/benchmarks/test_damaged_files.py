"""Damaged files of a run: one ValueError each, in time, that names the file, and one line to the shell."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import plastic_agents
from plastic_agents import files
from plastic_agents.agent import NetworkAgent
from plastic_agents.learners.base import same_weights, weights_of
from plastic_agents.runner import run as runner
from plastic_agents.runner.config import RunConfig, from_file, to_yaml
from plastic_agents.runner.history import Curve, read_arrays, write_arrays
from plastic_agents.runner.rundir import RunDirectory

ENV = "EvidenceIntegration-v0"


def write_metrics(path: Path) -> None:
    RunDirectory(path.parent).write_metrics({"score": 0.5, "agent": "gru", "nothing": float("nan")})


def write_curves(path: Path) -> None:
    curve = Curve(np.arange(3), np.linspace(0, 1, 3))
    write_arrays(path, {"eval/score": curve}, {"map": np.ones((2, 2))})


FILES: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "metrics.json": (write_metrics, lambda path: RunDirectory(path.parent).read_metrics()),
    "config.yaml": (lambda path: (path.write_text(to_yaml(RunConfig())), None)[1], from_file),
    "curves.npz": (write_curves, read_arrays),
}

OTHER_CONTENT: dict[str, list[bytes]] = {
    "metrics.json": [b"[]", b"3", b"null", b'{"a": 1', b"[" * 10**5, b"1" * 10**5, b"\xff\xfe", b"NaN"],
    "config.yaml": [
        b"[]", b"3", b"updates: [", b"no_such: 3", b"updates: x", b"seed: -1", b"\xff\xfe", b"[" * 10**4,
        b"agent: no-such", b"env_kwargs: 3", b"a: &a [*a]", b"learner: {no_such: 1}",
        b"a: &a [1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 9)) for n in range(97, 107)),
    ],
}  # fmt: skip


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def objects() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"array/x": np.array([{}, None], dtype=object)})
    return buffer.getvalue()


OTHER_CONTENT["curves.npz"] = [
    archive({"curve/a.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10**13,), }")}),
    archive({"curve/a.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }")}),
    archive({"curve/a.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000,), }")}),
    archive({"curve/a.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")}),
    archive({"curve/a.npy": b"no array"}), objects(), b"PK\x03\x04", b"x" * 100,
]  # fmt: skip


def refused(read: Callable[[Path], object], path: Path) -> None:
    started = time.process_time()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_a_run_are_refused_with_their_name(name: str, tmp_path: Path) -> None:
    """K3, F13, K15 of the report of faults: nine kinds of raw errors, and some that hung."""
    write, read = FILES[name]
    path = tmp_path / name
    refused(read, path)
    write(path)
    read(path)
    data = path.read_bytes()
    cut = [data[:n] for n in np.linspace(0, len(data) - 3, 20, dtype=int)] if name != "config.yaml" else [b""]
    for damaged in [*cut, *OTHER_CONTENT[name], bytes(100)]:
        path.write_bytes(damaged)
        refused(read, path)
    path.unlink()
    path.mkdir()
    refused(read, path)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_read_or_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    data = path.read_bytes()
    for bit in np.random.default_rng(0).integers(0, 8 * len(data), size=60 if name != "config.yaml" else 15):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_an_archive_of_arrays_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LARGEST_ARRAYS", 2**20)  # so that the test need not write gigabytes
    path = tmp_path / "curves.npz"
    path.write_bytes(archive({f"array/{i}.npy": npy("") + bytes(2**18) for i in range(5)}))
    refused(read_arrays, path)


# ---- the command line ---------------------------------------------------------------------------


def command(folder: Path, *arguments: str, env: str = ENV) -> int:
    return runner.main(
        [f"--logdir={folder / 'runs'}", "--no_figures", "--no_report", "--no_progress_bar", "--updates=0",
         "--eval_episodes=2", f"--env={env}", "--agent=gru", *arguments]
    )  # fmt: skip


def test_a_checkpoint_with_weights_that_are_not_finite_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K11: `--checkpoint nan.pt --updates 0` reported accuracy 0.0000."""
    agent = plastic_agents.make("gru", ENV, hidden_size=4)
    assert isinstance(agent, NetworkAgent)
    with torch.no_grad():
        next(agent.network.parameters()).fill_(torch.nan)
    agent.save(tmp_path / "nan.pt")
    assert command(tmp_path, f"--checkpoint={tmp_path / 'nan.pt'}") == 2
    error = capsys.readouterr().err
    assert "nan.pt" in error
    assert "not finite" in error
    assert len(error.splitlines()) == 1


def test_a_checkpoint_for_another_environment_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F15: a traceback, exit code 1."""
    assert command(tmp_path, "--checkpoint=transitive-gru-0") == 2
    error = capsys.readouterr().err
    assert "'transitive-gru-0' does not fit EvidenceIntegration" in error
    assert len(error.splitlines()) == 1


def test_a_shipped_network_may_be_the_checkpoint(tmp_path: Path) -> None:
    """F30: the name was taken for a file that is not there."""
    arguments = ["--checkpoint=transitive-gru-0", "--method=actor-critic"]
    assert command(tmp_path, *arguments, env="TransitiveInference-v0") == 0
    agent = plastic_agents.load(next((tmp_path / "runs").rglob("agent.pt")))
    shipped = plastic_agents.load("transitive-gru-0")
    assert isinstance(agent, NetworkAgent)
    assert isinstance(shipped, NetworkAgent)
    assert same_weights(weights_of(agent.network), weights_of(shipped.network))
