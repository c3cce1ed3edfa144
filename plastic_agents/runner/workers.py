"""Processes that make runs side by side, end with the process that started them, and leave nothing half done.

A worker has its own process group, so that Ctrl-C at a terminal reaches only its parent, which passes it on:
a worker that trains saves a checkpoint first, one that scores or draws stops at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from types import FrameType
from typing import Any, NoReturn

from tqdm import tqdm

import plastic_agents
import plastic_envs
from plastic_agents.runner.cli import Stopped
from plastic_agents.runner.stopping import StopRequest

__all__ = ["carry_out_all"]

_POLL_SECONDS = 0.2


class _State:
    """State of this worker."""

    stopping = False
    busy = False


def carry_out_all(
    call: Callable[..., None], work: Mapping[str, tuple[Any, ...]], jobs: int, title: str
) -> dict[str, BaseException]:
    """Call a function once per piece of work, each in one of some fresh processes.

    Fresh: no run may inherit another's threads or random numbers.

    Args:
        call: What does the work; a function of a module.
        work: Its arguments, by the name of the piece.
        jobs: Processes at the same time.
        title: Of the progress bar.

    Returns:
        The errors of the pieces that failed, by name.

    Raises:
        Stopped: On Ctrl-C, SIGTERM or SIGHUP, or once a piece of work was stopped by one: the others are then
            stopped too, and what has not begun never does.
    """
    context = multiprocessing.get_context("spawn")
    with (
        StopRequest() as stop,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=_registered()) as pool,
        tqdm(total=len(work), desc=title, unit="run") as bar,
    ):
        with _deaf_to_ctrl_c():  # a worker inherits this until it has a process group of its own
            names = {pool.submit(_work, call, arguments): name for name, arguments in work.items()}
        waiting: set[Future[None]] = set(names)
        while waiting and not stop.made:
            done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            bar.update(len(done))
            if any(isinstance(each.exception(), Stopped) for each in done):
                break
        if waiting:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise Stopped(f"{title} was stopped; the same command goes on with it.")
    return {name: error for done, name in names.items() if (error := done.exception()) is not None}


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _registered() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    return plastic_envs.registry.registered_by_others(), plastic_agents.registry.registered_by_others()


def _begin(environments: Mapping[str, Mapping[str, Any]], agents: Mapping[str, Any]) -> None:
    """Make ready a fresh worker, which knows the environments, agents and learners of its parent."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for env_id, row in environments.items():
        plastic_envs.register(env_id, **row)
    for name, item in agents.items():
        plastic_agents.register(name, item)


def _work(call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    if _State.stopping:
        raise Stopped("the study was stopped.")
    _State.busy = True
    try:
        call(*arguments)
    except Stopped:  # what this worker has already fetched must not begin
        _State.stopping = True
        raise
    finally:
        _State.busy = False


def _stop(number: int, frame: FrameType | None) -> None:
    """Break off what is being done; a worker that waits for work ends by itself as its queue closes."""
    _State.stopping = True
    if _State.busy:
        raise Stopped("the study was stopped.")


def _end_with_parent() -> NoReturn:
    """Wait until the parent is gone, however it went; then let the work be saved, and end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    _State.stopping = True
    os.kill(os.getpid(), signal.SIGTERM)
    while _State.busy:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
