"""What sources have in common that are asked in the background: in a thread, and never by a connection."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Self

from pinio.core.policy import Policy
from pinio.errors import PinError, PinFormatError, PolicyError
from pinio.sources.forks import unlock_after_fork
from pinio.sources.health import MONTH, Health
from pinio.sources.in_force import Callback, InForce
from pinio.sources.polling import Poller, ending

_LONGEST: Final = 300  # characters of somebody else's error


class PolledSource(ABC):
    """A `PolicySource` that asks elsewhere, at jittered intervals, in a thread of its own.

    Reading a property returns at once. What replaces the policy in force, and what is logged, are
    as with `FileSource`.
    """

    def __init__(
        self,
        name: str,
        what: str,
        *,
        interval: float,
        max_stale: float | None,
        required: bool,
        clock: Callable[[], float],
    ) -> None:
        if not 0 < interval < math.inf:
            raise PolicyError(f"interval is a number of seconds above 0, not {interval!r}")
        if max_stale is not None and not 0 <= max_stale < math.inf:
            raise PolicyError(f"max_stale is a number of seconds or None, not {max_stale!r}")
        self._name, self._what, self._clock = name, what, clock
        self._max_stale = max_stale
        self._force: InForce | None = None
        self._first_error: PinError | None = None
        self._confirmed = clock()
        self._unlock()
        unlock_after_fork(self)
        self._waiting: dict[object, tuple[Callback, list[Callable[[], None]]]] = {}
        if (stored := self._stored()) is not None:
            self._enter(stored)
        fresh = stored is None and required
        if fresh:
            name_of = type(self).__name__
            _refuse_to_block(f"source = await {name_of}.open(…), or required=False")
            self.refresh()
            if self._force is None:
                raise self._first_error or PolicyError(f"{name}: nothing was loaded")
        self._poller = Poller(self.refresh, interval, at_once=not fresh)
        self._poller.ensure()

    @classmethod
    async def open(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a source without blocking the event loop: the first load happens in a thread.

        Takes what the class takes, and raises what it raises.
        """
        return await asyncio.to_thread(cls, *args, **kwargs)

    @abstractmethod
    def _load(self) -> Policy:
        """Ask once; may block. Raises `PolicyError` or `PinFormatError`, or anything."""

    def _stored(self) -> Policy | None:
        """What was kept by an earlier process; None if nothing good was."""
        return None

    def _taken(self, policy: Policy) -> None:  # noqa: B027  most keep nothing
        """Keep what has come into force, or still is."""

    def _stale_at(self) -> float | None:
        """When the policy is too old, by the clock; None if never."""
        return None if self._max_stale is None else self._confirmed + self._max_stale

    @property
    def current(self) -> Policy:
        """The policy in force.

        Raises `PolicyError` while nothing was loaded yet (`required=False`), and once the policy is
        older than `max_stale` allows.
        """
        self._poller.ensure()
        force = self._force
        if force is None:
            why = self._first_error or "the first answer is awaited"
            raise PolicyError(f"{self._name}: no policy is in force yet: {why}")
        stale_at = self._stale_at()
        if stale_at is not None and self._clock() >= stale_at:
            why = force.error or "the source does not answer"
            raise PolicyError(
                f"the last good policy is older than {self._max_stale:g} s: {why}"
            ) from force.error
        return force.policy

    @property
    def revision(self) -> str | None:
        """The revision of the policy in force; None if there is none."""
        self._poller.ensure()
        return None if self._force is None else self._force.policy.revision

    @property
    def error(self) -> PinError | None:
        """Why what the source says is not in force; None if it is."""
        self._poller.ensure()
        return self._first_error if self._force is None else self._force.error

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with every policy that comes into force; call what is returned to end it.

        It is called in the source's thread, one change at a time; its exceptions are logged.
        """
        force = self._force
        if force is not None:
            return force.subscribe(callback)
        token = object()
        ends: list[Callable[[], None]] = []
        self._waiting[token] = callback, ends

        def unsubscribe() -> None:
            self._waiting.pop(token, None)
            for end in ends:
                end()

        return unsubscribe

    def refresh(self) -> None:
        """Ask now, and return when the answer was taken or refused. It blocks: call it in a thread.

        Raises nothing for what it meets; `error` says it. In the thread of a running event loop it
        raises `PolicyError`: `await asyncio.to_thread(source.refresh)` there.
        """
        _refuse_to_block("await asyncio.to_thread(source.refresh)")
        with self._asking:
            try:
                policy = self._load()
            except (PolicyError, PinFormatError) as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001  whatever it is, the policy in force stays, and somebody is told
                # A refusal too: as it is, it would look like that of the caller's connection.
                if not ending():
                    text = f"{self._name}: {type(error).__name__}: {_first_line(error)}"
                    self._fail(PolicyError(text))
            else:
                self._take(policy)

    def health(self, within: float = MONTH) -> Health:
        """How the source fares: see `Health`. Never blocks.

        Args:
            within: seconds before their expiry from which pins count as about to expire.
        """
        self._poller.ensure()
        force, stale_at = self._force, self._stale_at()
        wall = None if stale_at is None else time.time() + stale_at - self._clock()
        if force is None:
            error = str(self._first_error or "nothing was loaded yet")
            return Health(None, 0.0, 0.0, error, None, (), 0.0)
        return force.health(within, wall)

    def close(self) -> None:
        """Ask no more. The policy stays in force until it is too old."""
        self._poller.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._name} revision={self.revision!r} error={self.error!r}>"
        )

    def _unlock(self) -> None:
        self._asking = threading.Lock()

    def _take(self, policy: Policy) -> None:
        if self._force is None:
            self._enter(policy)
            self._taken(policy)
        elif self._force.take(policy):
            self._confirmed = self._clock()
            self._taken(policy)

    def _enter(self, policy: Policy) -> None:
        """Put the first policy in force."""
        self._confirmed = self._clock()
        force = InForce(policy, self._name, what=self._what, clock=self._clock)
        for callback, ends in list(self._waiting.values()):
            ends.append(force.subscribe(callback))
        self._force, self._first_error = force, None
        force.tell()

    def _fail(self, error: PinError) -> None:
        if self._force is None:
            self._first_error = error.with_traceback(None)
        else:
            self._force.fail(error)


def _first_line(error: Exception) -> str:
    """What an error says, as far as a log line needs it."""
    return next(iter(str(error).splitlines()), "")[:_LONGEST]


def _refuse_to_block(instead: str) -> None:
    """Raise `PolicyError` in the thread of a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise PolicyError(f"the event loop of this thread would be blocked; write: {instead}")
