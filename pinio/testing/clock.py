"""A clock for pinio alone: what its decisions take for now."""

from __future__ import annotations

import datetime as dt
import time
from types import TracebackType
from typing import Self

from pinio.tls.handshake import sessions


class Clock:
    """Moves the time by which pinio judges pins and sessions, within a block.

    The expiry of pins and the age of sessions go by it, in every connection of this process. It
    runs on from where it was set. OpenSSL reads the clock of the system: for certificates out of
    date, see `Site.expire`. A `FileSource` and a `LogObserver` take `clock=clock.monotonic`.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._before: object = None

    def time(self) -> float:
        """The time of day, in POSIX seconds."""
        return time.time() + self._ahead

    def monotonic(self) -> float:
        """A clock for intervals, in seconds; it goes forward with `advance` only."""
        return time.monotonic() + max(0.0, self._ahead)

    def advance(self, **amount: float) -> None:
        """Go forward by what `datetime.timedelta` takes: `advance(days=30)`."""
        self._ahead += dt.timedelta(**amount).total_seconds()

    def set(self, moment: dt.datetime) -> None:
        """Go to a moment, past or future.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.utcoffset() is None:
            raise ValueError(f"a moment has a time zone, such as datetime.UTC; {moment!r} has none")
        self._ahead = moment.timestamp() - time.time()

    def __enter__(self) -> Self:
        self._before = sessions.__dict__["time"]
        sessions.__dict__["time"] = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sessions.__dict__["time"] = self._before
