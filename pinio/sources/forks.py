"""Locks after a fork: the thread that held one is missing in the child, and would never let it go."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class Unlocks(Protocol):
    """Has locks or threads, and makes new ones in the child of a fork."""

    def _unlock(self) -> None: ...


_all: Final[WeakSet[Unlocks]] = WeakSet()


def unlock_after_fork(thing: Unlocks) -> None:
    """Have `_unlock` called in every child that is forked while the thing lives."""
    _all.add(thing)


def _unlock_all() -> None:
    for thing in list(_all):
        thing._unlock()  # noqa: SLF001  the shape that this module defines


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
