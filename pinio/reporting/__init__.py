"""Who is told? Observers: callables of one `Permit` or `Refusal`."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from pinio.core.decision import Permit, Refusal
from pinio.core.message import waived
from pinio.errors import PolicyError
from pinio.reporting.counters import Counters
from pinio.reporting.facts import facts
from pinio.reporting.locks import Locked
from pinio.reporting.queue import Queue
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


class LogObserver(Locked):
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
