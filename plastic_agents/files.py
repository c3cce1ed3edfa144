"""Files on disk: written whole or not at all, and read with one clear error where they are damaged.

agent.pt and checkpoint.pt are files of `torch.save` (zip archives) of tensors and plain values. The comment
of the archive is the SHA-256 of every byte before it, so that one flipped bit anywhere is noticed, while
`torch.load` and zip tools read the file as ever. No code from a file is run: see `plastic_agents.loading`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

__all__ = [
    "FORMAT", "Kind", "checked", "in_place_of", "plain", "read_bytes", "read_json", "read_npz",
    "read_tensors", "write_tensors", "write_text",
]  # fmt: skip

FORMAT = 2
Kind = Literal["agent", "checkpoint"]

_LARGEST_FILE = 4 * 2**30  # bytes, of networks
_LARGEST_TEXT = 64 * 2**20
_LARGEST_ARRAYS = 2 * 2**30  # unpacked
_PLAIN = (bool, int, float, str, bytes)
_SIGN = b"plastic-gym sha256 "
_TRAILER = len(_SIGN) + 64
# All that torch and zipfile raise on bytes that are no file of theirs.
_UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ArithmeticError,
    AssertionError, AttributeError, ImportError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


# ---- writing ------------------------------------------------------------------------------------


@contextmanager
def in_place_of(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to; what lies there in the end takes the place of `path`, or is removed on an error.

    So `path` is either the old file or the new one, never half of each. Folders on the way are made.

    Raises:
        IsADirectoryError: If `path` is a directory.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{str(target)!r} is a directory; name a file in it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two processes or threads that write one file do not write into each other's.
    partial = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with in_place_of(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_tensors(path: str | os.PathLike[str], kind: Kind, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values with a checksum, for `read_tensors`.

    Args:
        path: The file.
        kind: What it is.
        content: Tensors and what `plain` takes.

    Raises:
        TypeError: If something else is among them.
        IsADirectoryError: If `path` is a directory.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "kind": kind, **plain(content, kind)}, buffer)
    archive = buffer.getvalue()
    # A zip archive ends with the length of its comment, then the comment.
    archive = archive[:-2] + struct.pack("<H", _TRAILER)
    with in_place_of(path) as partial:
        partial.write_bytes(archive + _trailer(archive))


def plain(value: Any, where: str = "value") -> Any:
    """The same value in the types that every file format here takes, all the way down.

    NumPy scalars become plain numbers, arrays lists, mappings dictionaries; tensors (on the CPU, with no more
    storage than they need), lists, tuples, texts, numbers, truth values and None stay.

    Args:
        value: The value.
        where: Its name in an error.

    Raises:
        TypeError: If it holds anything else.
    """
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        fits = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
        return tensor if fits else tensor.clone(memory_format=torch.contiguous_format)
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist(), where)
    if isinstance(value, Mapping):
        return {
            plain(k, f"a key of {where}"): v if type(v) in _PLAIN else plain(v, f"{where}[{k!r}]")
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        parts = [p if type(p) in _PLAIN else plain(p, f"{where}[{i}]") for i, p in enumerate(value)]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None:
        return None
    for kind in _PLAIN:
        if isinstance(value, kind):
            return kind(value)  # type: ignore[arg-type]
    raise TypeError(
        f"{where} is a {type(value).__name__}, which no file here can hold; expected numbers, texts, None, "
        "and lists and dictionaries of these (Task.describe() gives a task's arguments in such types)."
    )


def _trailer(archive: bytes | memoryview) -> bytes:
    return _SIGN + hashlib.sha256(archive).hexdigest().encode()


# ---- reading ------------------------------------------------------------------------------------


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """All of a file.

    Args:
        path: The file.
        most: Bytes above which it is refused unread.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no file, empty, or larger than `most`.
    """
    name = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{name!r}: no such file.")
    if not os.path.isfile(path):
        raise ValueError(f"{name!r} is a directory or device, not a file; name the file in it.")
    size = os.path.getsize(path)
    if size == 0:
        raise ValueError(f"{name!r} is empty: writing it was broken off; delete it and make it anew.")
    if size > most:
        raise ValueError(f"{name!r} has {size} bytes; files of its kind have at most {most}.")
    with open(path, "rb") as file:
        return file.read(size)


def read_tensors(path: str | os.PathLike[str], kind: Kind) -> tuple[dict[str, Any], bool]:
    """Content of a file of `torch.save`; no code from it is run.

    Args:
        path: The file.
        kind: What it should be, if it is ours.

    Returns:
        The content, and whether `write_tensors` wrote it (else it is another system's).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of another kind or format, or holds other things than tensors and plain
            values.
    """
    name = os.fspath(path)
    data = read_bytes(path, _LARGEST_FILE)
    body = memoryview(data)[:-_TRAILER]
    ours = data[-_TRAILER:].startswith(_SIGN)
    if ours and data[-_TRAILER:] != _trailer(body):
        raise ValueError(
            f"{name!r} is damaged: its checksum does not fit what it holds; take a copy, or make it anew."
        )
    try:
        _check_archive(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles of others, which are refused right after
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        _check_values(content, len(data))
    except _UNREADABLE as error:
        raise ValueError(
            f"{name!r} is damaged, or not a file of this suite: {_reason(error)}. Expected a file of "
            "Agent.save or of a run, or a published network's state_dict() saved with torch.save."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{name!r}: got a {type(content).__name__}, expected a dictionary; see Agent.save.")
    if not ours:
        if {"format", "agent"} <= set(content) or "kind" in content:
            raise ValueError(
                f"{name!r} is damaged (its end, with the checksum, is missing), or was written by another "
                f"version of this suite (format {content.get('format')!r}, expected {FORMAT}); make it anew."
            )
        return content, False
    if type(content.get("format")) is not int or content["format"] != FORMAT:
        raise ValueError(
            f"{name!r} has format {content.get('format')!r}, expected {FORMAT}: another version of this "
            "suite wrote it; make it anew, or read it with that version."
        )
    if not isinstance(content.get("kind"), str) or content["kind"] != kind:
        hint = "its agent.pt, beside it, is the agent" if kind == "agent" else "name a run's checkpoint.pt"
        raise ValueError(f"{name!r} holds a {content.get('kind')!s}, expected the file of an {kind}: {hint}.")
    return content, True


def checked(
    content: Any, expected: Mapping[str, type | tuple[type, ...]], name: str | os.PathLike[str]
) -> None:
    """Check that a file's dictionary has these entries in these types; a truth value is no number.

    Raises:
        ValueError: If not, with the file's name and what does not fit.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{os.fspath(name)!r} holds a {type(content).__name__}, expected a dictionary.")
    missing = sorted(set(expected) - set(content))
    wrong = {
        key: type(content[key]).__name__
        for key, kinds in expected.items()
        if key in content and (not isinstance(content[key], kinds) or isinstance(content[key], bool))
    }
    if missing or wrong:
        raise ValueError(
            f"{os.fspath(name)!r} is damaged or of another version: missing entries {missing}, entries of "
            f"wrong type {wrong}; make it anew."
        )


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dictionary in a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    data = read_bytes(path, _LARGEST_TEXT)
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r} is damaged: {error}; make it anew.") from error
    checked(content, {}, path)
    return dict(content)


def read_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays in an npz file, none of which may hold objects.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or unpacks to more than 2 GB.
    """
    data = read_bytes(path, _LARGEST_ARRAYS)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (size := sum(entry.file_size for entry in archive.infolist())) > _LARGEST_ARRAYS:
                raise ValueError(f"it unpacks to {size} bytes, at most {_LARGEST_ARRAYS} are read")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except _UNREADABLE as error:
        raise ValueError(f"{os.fspath(path)!r} is damaged: {_reason(error)}; make it anew.") from error
    return content


def _reason(error: BaseException) -> str:
    """One line on what is wrong, without the library's advice, which may be to run what the file holds."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if isinstance(error, pickle.UnpicklingError):
        match = re.search(r"(?:GLOBAL|global|class|function)\s+`?([\w.]+\.[\w.]+)", str(error))
        what = f" ({match[1]})" if match and not match[1].startswith("torch.serialization") else ""
        return f"it holds something other than tensors and plain values{what}, which is never run"
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def _check_archive(data: bytes) -> None:
    """Refuse packed entries: torch packs none, and a few of their bytes may unpack to gigabytes."""
    if data[:2] != b"PK":  # torch's older format
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        raise ValueError("its entries are packed, as torch.save never does")
    if sum(e.file_size for e in entries) > len(data):
        raise ValueError("its entries overlap")


def _check_values(content: Any, size: int) -> None:
    """Refuse what is no tensor or plain value, and what is more than a file of `size` bytes can hold."""
    rest, count = [content], 0
    while rest:
        value = rest.pop()
        count += 1
        if count > size:  # one part many times over
            raise ValueError("it unpacks to more values than it has bytes")
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
                raise ValueError(f"it holds a tensor of an unusual kind ({value.layout}, {value.device})")
            if value.nbytes > min(size, value.untyped_storage().nbytes()):
                raise ValueError(f"it names a tensor of {value.nbytes} bytes, but does not hold as many")
        elif isinstance(value, dict):
            rest += [*value, *value.values()]
        elif isinstance(value, (list, tuple)):
            rest += value
        elif not isinstance(value, (bool, int, float, str, bytes, type(None))):
            raise ValueError(f"it holds a {type(value).__name__}")
