"""Who is told? Observers: callables of one `Permit` or `Refusal`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakSet

from pinio.core.decision import Permit, Refusal
from pinio.core.message import waived
from pinio.errors import PolicyError
from pinio.reporting.facts import facts
from pinio.typing import Observer

if TYPE_CHECKING:
    from pinio.reporting.gauges import source_gauges
    from pinio.reporting.http import HTTPSink
    from pinio.reporting.json_lines import JSONFormatter
    from pinio.reporting.otel import OpenTelemetryObserver
    from pinio.reporting.prometheus import PrometheusObserver

__all__ = [
    "Counters",
    "HTTPSink",
    "JSONFormatter",
    "LogObserver",
    "OpenTelemetryObserver",
    "PrometheusObserver",
    "Queue",
    "default_observer",
    "fan_out",
    "source_gauges",
]

# Loaded when they are asked for: some use `pinio.tls`, which uses this module.
_HOMES: Final = {
    "HTTPSink": "http",
    "JSONFormatter": "json_lines",
    "OpenTelemetryObserver": "otel",
    "PrometheusObserver": "prometheus",
    "source_gauges": "gauges",
}

logger = logging.getLogger("pinio")


def notify(observer: Observer, decision: Permit | Refusal) -> None:
    """Let an observer hear of a decision; it cannot change or delay it by failing."""
    if (heard := _heard.get()) is not None:
        heard.last = decision
    try:
        result = observer(decision)
        if inspect.iscoroutine(result):  # of a plain function, which nobody could tell before
            result.close()
            raise TypeError(_NEVER_AWAITED)  # so that it is logged, and says whose it is
    except Exception:
        logger.exception("the observer of a pinned connection failed")


_NEVER_AWAITED: Final = (
    "an observer is called and never awaited, so that a coroutine would never run; put decisions into a pinio.reporting.Queue "
    "and await its get(), or start a task"
)


class Heard:
    """The last decision of those that were told while `listening` was entered."""

    last: Permit | Refusal | None = None

    @property
    def refusal(self) -> Refusal | None:
        """That decision, if it is a refusal."""
        return self.last if isinstance(self.last, Refusal) else None


_heard: Final[ContextVar[Heard | None]] = ContextVar("pinio_heard", default=None)


@contextmanager
def listening() -> Generator[Heard]:
    """Hear what is decided for the request of this thread or task, whoever the observer is.

    A library may lose the error by which it was refused: httpcore goes on to read where it could
    not write, and then tells of a socket that is closed.
    """
    heard = Heard()
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def check_observer(observer: object) -> None:
    """Raise `PolicyError` for what cannot be called with a decision, or would not run when it is."""
    if not callable(observer):
        raise PolicyError(
            f"observer= is a callable of one Permit or Refusal, not {type(observer).__name__}"
        )
    function: object = observer
    while isinstance(function, functools.partial):
        function = cast("functools.partial[object]", function).func
    # An object is called by the method of its class.
    for called in (function, type(function).__call__):
        if inspect.iscoroutinefunction(called):
            raise PolicyError(_NEVER_AWAITED)
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            raise PolicyError(
                "an observer is called and never iterated, so that a generator would never run"
            )


def observer_or_default(observer: Observer | None) -> Observer:
    """A door's `observer=`, or the default one. Raises `PolicyError` as `check_observer` does."""
    if observer is None:
        return default_observer
    check_observer(observer)
    return observer


class _Locked:
    """Has a lock: one that a signal handler may take in the middle of its thread's turn, and that no fork leaves locked."""

    def __init__(self) -> None:
        self._unlock()
        _locked.add(self)

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_locked: Final[WeakSet[_Locked]] = WeakSet()


def _unlock_after_fork() -> None:
    """The thread that held a lock at the moment of a fork is missing in the child, and would never let it go."""
    for observer in list(_locked):
        observer._unlock()  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_after_fork)


class LogObserver(_Locked):
    """The observer of every door that was given none: logs what went wrong, and what was let through although it did.

    One WARNING per host and reason in `interval` seconds, with the number of those left out;
    connections whose pin matched are silent. Remembers at most 1,024 hosts and reasons, oldest out.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, decision: Permit | Refusal) -> None:
        if isinstance(decision, Refusal):
            reason = decision.reason
        elif decision.report is not None:
            reason = type(decision.verdict).__name__
        else:
            return
        left_out = self._due((decision.host, reason))
        if left_out is not None:
            text = (
                f"refused: {decision.text()}"
                if isinstance(decision, Refusal)
                else f"let through: {waived(decision)}"
            )
            logger.warning(
                "%s%s",
                text,
                f"\n  ({left_out} more like this were not logged)" if left_out else "",
                extra={"pinio": facts(decision) | {"left_out": left_out}},
            )

    def _due(self, key: tuple[str, str]) -> int | None:
        """How many like this were left out since the last line, or None if it is too early for another."""
        now = self._clock()
        with self._lock:
            last, left_out = self._seen.get(key, (None, 0))
            if last is not None and 0 <= now - last < self._interval:
                self._seen[key] = last, left_out + 1
                return None
            self._seen.pop(key, None)
            if len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = now, 0
            return left_out


_MOST: Final = 1024  # hosts and reasons that LogObserver remembers

default_observer: Final = LogObserver()
"""What every door uses that was given no observer."""


class Counters(_Locked):
    """Counts decisions under names that stay: for a metrics page. Thread-safe; the number of counters is bounded.

    Permits are counted by verdict and by whether the session was resumed: "match", "backup",
    "notpinned", and what was let through by report-only or `on_expiry="report"`, "mismatch" and
    "expired". Refusals are counted by reason code. Hosts are not labels, because there is no end of
    them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._permits: Counter[tuple[str, bool]] = Counter()
        self._refusals: Counter[str] = Counter()

    def __call__(self, decision: Permit | Refusal) -> None:
        with self._lock:
            if isinstance(decision, Refusal):
                self._refusals[decision.reason] += 1
            else:
                verdict = "backup" if decision.backup else type(decision.verdict).__name__.lower()
                self._permits[verdict, decision.resumed] += 1

    def permits(self, verdict: str | None = None) -> int:
        """How many connections were permitted, or how many with this verdict."""
        with self._lock:
            return sum(
                count for (name, _), count in self._permits.items() if verdict in (None, name)
            )

    def refusals(self, reason: str | None = None) -> int:
        """How many connections were refused, or how many for this reason code."""
        with self._lock:
            return sum(count for name, count in self._refusals.items() if reason in (None, name))

    def prometheus(self) -> str:
        """The counters in Prometheus' text format, version 0.0.4."""
        with self._lock:
            permits, refusals = sorted(self._permits.items()), sorted(self._refusals.items())
        lines = [
            "# HELP pinio_permits_total Pinned connections that were permitted.",
            "# TYPE pinio_permits_total counter",
            *(
                f'pinio_permits_total{{verdict="{verdict}",resumed="{str(resumed).lower()}"}} {count}'
                for (verdict, resumed), count in permits
            ),
            "# HELP pinio_refusals_total Pinned connections that were refused.",
            "# TYPE pinio_refusals_total counter",
            *(f'pinio_refusals_total{{reason="{reason}"}} {count}' for reason, count in refusals),
        ]
        return "\n".join(lines) + "\n"


class Queue(_Locked):
    """Keeps decisions for somebody who reads them later; of more than `size` the oldest are dropped and counted.

    Called in any thread; `get` waits in an event loop, `drain` never waits. Raises `ValueError` for
    a `size` below 1.
    """

    def __init__(self, size: int = 1000) -> None:
        if size < 1:
            raise ValueError("a queue holds at least one decision")
        super().__init__()
        self._decisions: deque[Permit | Refusal] = deque(maxlen=size)
        self._waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self.dropped = 0
        """How many were dropped."""

    def __call__(self, decision: Permit | Refusal) -> None:
        with self._lock:
            self.dropped += len(self._decisions) == self._decisions.maxlen
            self._decisions.append(decision)
        self._call_next()

    def __len__(self) -> int:
        return len(self._decisions)

    def drain(self) -> list[Permit | Refusal]:
        """Take everything that is there, oldest first."""
        with self._lock:
            decisions = list(self._decisions)
            self._decisions.clear()
        return decisions

    async def get(self) -> Permit | Refusal:
        """Take the oldest; wait for it if there is none."""
        while True:
            with self._lock:
                if self._decisions:
                    return self._decisions.popleft()
                loop = asyncio.get_running_loop()
                waiter = (loop, loop.create_future())
                self._waiters.append(waiter)
            try:
                await waiter[1]
            finally:
                self._leave(waiter)

    def _leave(self, waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]) -> None:
        """Stop waiting; who was called for a decision and then cancelled passes the call on."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._call_next()

    def _call_next(self) -> None:
        """Call one of those who wait, if there is something to take; those whose loop is closed wait no more."""
        while True:
            with self._lock:
                if not self._waiters or not self._decisions:
                    return
                loop, future = self._waiters.popleft()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, future)
                return


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def fan_out(*observers: Observer) -> Observer:
    """One observer that tells several; if one fails, the others hear it all the same.

    Raises `PolicyError` for what is no observer.
    """
    for observer in observers:
        check_observer(observer)

    def tell_all(decision: Permit | Refusal) -> None:
        for observer in observers:
            notify(observer, decision)

    return tell_all


if not TYPE_CHECKING:  # or type checkers would take every misspelt name for one that may be there

    def __getattr__(name: str) -> Any:
        if (home := _HOMES.get(name)) is None:
            raise AttributeError(f"module 'pinio.reporting' has no attribute {name!r}")
        return getattr(import_module(f"pinio.reporting.{home}"), name)
