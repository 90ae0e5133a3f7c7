"""Locks that observers hold: none outlives a fork, or blocks a signal handler."""

from __future__ import annotations

import os
import threading
from typing import Final
from weakref import WeakSet


class Locked:
    """Has a lock: one that a signal handler may take in the middle of its thread's turn, and that no fork leaves locked."""

    def __init__(self) -> None:
        self._unlock()
        _locked.add(self)

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_locked: Final[WeakSet[Locked]] = WeakSet()


def _unlock_after_fork() -> None:
    """The thread that held a lock at the moment of a fork is missing in the child, and would never let it go."""
    for observer in list(_locked):
        observer._unlock()  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_after_fork)
