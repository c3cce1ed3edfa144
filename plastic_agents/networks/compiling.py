"""Compiled loops: Numba's `njit` with this suite's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

DISABLED = bool(getattr(numba.config, "DISABLE_JIT"))  # noqa: B009  (set by numba while it is imported)
"""Whether nothing is compiled (`NUMBA_DISABLE_JIT=1`): loops then run as plain Python, which is slow."""

_SUMS_IN_ANY_ORDER = {"reassoc", "contract", "nsz", "arcp"}  # but NaN and infinity keep their meaning


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function; sums may be taken in any order, so that they use the processor's vectors.

    The compiled code is cached on disk for the next process, if there is a writable folder.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": _SUMS_IN_ANY_ORDER, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(**options)(function)
