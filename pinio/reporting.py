"""Who is told? Observers: callables of one `Permit` or `Refusal`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pinio.core.decision import Permit, Refusal

__all__ = ["LogObserver"]

logger = logging.getLogger("pinio")


class LogObserver:
    """The observer of every door that was given none: logs what went wrong, and what was let through although it did.

    One WARNING per host and reason in `interval` seconds, with the number of those left out; connections whose pin matched are
    silent. Remembers at most 1,024 hosts and reasons, oldest out.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, decision: Permit | Refusal) -> None:
        if isinstance(decision, Refusal):
            reason, text = decision.reason, f"refused: {decision.text()}"
        elif decision.report is not None:
            reason = type(decision.verdict).__name__
            text = f"let through although its pins did not hold ({reason}, mode {decision.mode}): {decision.host}"
        else:
            return
        left_out = self._due((decision.host, reason))
        if left_out is not None:
            logger.warning("%s%s", text, f"\n  ({left_out} more like this were not logged)" if left_out else "")

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


_MOST: Final = 1024

default_observer: Final = LogObserver()
