"""Being asked to stop. Imports nothing heavy, as every process of a study begins with it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["StopRequest"]


class StopRequest:
    """Turns Ctrl-C, SIGTERM and SIGHUP into a wish that is granted at the next good moment, in a context.

    The second signal is not caught: it ends the process at once. Outside the main thread, where Python lets
    nobody catch signals, none is.

    Attributes:
        made: Whether a signal has come.
    """

    _SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self) -> None:
        self.made = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        catchable = threading.current_thread() is threading.main_thread()
        for number in self._SIGNALS if catchable else ():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
