"""Calls a method of a source at jittered intervals, in a thread of its own."""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable
from typing import Final

from pinio.sources.forks import unlock_after_fork

_JITTER: Final = 0.2  # of an interval, either way: a fleet that starts as one does not ask as one


class Poller:
    """A thread that lives as long as the object whose method it calls, or until `close`.

    It is a daemon and no reason for a program to go on. A fork ends it in the child, where `ensure`
    starts another.

    Args:
        turn: a bound method that raises nothing; the thread does not keep its object alive.
        interval: seconds between the end of one call and the next, give or take a fifth.
        at_once: whether the first call waits for no interval.
    """

    __slots__ = ("__weakref__", "_at_once", "_interval", "_stop", "_thread", "_turn")

    def __init__(self, turn: Callable[[], object], interval: float, *, at_once: bool) -> None:
        self._turn = weakref.WeakMethod(turn)
        self._interval, self._at_once = interval, at_once
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        unlock_after_fork(self)

    def ensure(self) -> None:
        """Start the thread, if it does not run."""
        if self._thread is not None or self._stop.is_set():
            return
        args = (self._turn, self._stop, self._interval, self._at_once)
        self._thread = threading.Thread(target=_run, args=args, name="pinio", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call no more; a call that has begun goes on to its end."""
        self._stop.set()

    def _unlock(self) -> None:
        """Take the thread for gone, as it is after a fork."""
        if self._thread is not None:
            self._thread = None
            if not self._stop.is_set():
                self._stop = threading.Event()  # a fork may have caught its lock closed


def _run(
    method: weakref.WeakMethod[Callable[[], object]],
    stop: threading.Event,
    interval: float,
    at_once: bool,
) -> None:
    delay = 0.0 if at_once else _jittered(interval)
    while not stop.wait(delay):
        turn = method()
        if turn is None:
            return
        turn()
        del turn  # or the wait would keep the source alive
        delay = _jittered(interval)


def _jittered(interval: float) -> float:
    return interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret


def ending() -> bool:
    """Whether the interpreter is ending: what fails now says nothing about the source."""
    return not threading.main_thread().is_alive()
