"""Common code of the scripts: a user's mistake ends with one line and exit status 2, not with a traceback.

A traceback means a bug of ours. What a user can get wrong is raised as a `Mistake` where it is found out;
what the machine refuses (a full disk, a folder that may not be written) comes as an OSError, training that
left the range of numbers as a FloatingPointError.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Mistake", "Stopped", "asked_for", "guarded", "one_line"]


class Mistake(ValueError):
    """Something that was asked for cannot be; the text says what was asked, and what to do."""


class Stopped(Exception):
    """Work was asked to stop (Ctrl-C, SIGTERM, SIGHUP) and has left what going on with it needs."""


@contextmanager
def asked_for() -> Iterator[None]:
    """Turn what making a user's wish raises (task, agent, device, tracker) into a `Mistake`."""
    try:
        yield
    except (Mistake, OSError):
        raise
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise Mistake(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """An error's text on one line, its class where it has none."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return " ".join(text.split()) or type(error).__name__


def guarded(script: str, work: Callable[[], int]) -> int:
    """Carry out a script's work. Returns the exit status: 2 after a mistake, 130 where it was stopped.

    Args:
        script: Its name, shown before the line.
        work: Returns the exit status.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.WARNING)  # all else is for the run's own log
    try:
        return work()
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(f"{script}: interrupted.", file=sys.stderr)
        return 130
    except (Mistake, OSError, FloatingPointError) as error:
        print(f"{script}: {one_line(error)}", file=sys.stderr)
        return 2
