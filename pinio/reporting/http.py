"""Reports by HTTP POST, to a collector that pins of its own decide about."""

from __future__ import annotations

import asyncio
import atexit
import json
import random
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from os import PathLike
from typing import Final

from pinio.core.anchors import Anchors
from pinio.core.decision import Permit, Refusal
from pinio.core.report import Report
from pinio.errors import PolicyError
from pinio.exchange import Place, by_ca_alone, exchange
from pinio.reporting import LogObserver
from pinio.reporting.locks import Locked
from pinio.reporting.spool import Spool
from pinio.typing import PolicyLike

_MOST: Final = 65_536  # bytes of an answer
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 300.0  # seconds after a failure, at most
_AGAIN: Final = (408, 425, 429)  # statuses of 4xx that may be others later


class HTTPSink(Locked):
    """An observer that posts the reports of RFC 7469 section 3 as JSON to a collector.

        sink = HTTPSink("https://reports.example.com/pins", policy=bootstrap)
        observer = fan_out(LogObserver(), sink)

    It never delays or changes a decision: reports wait in a queue for a thread of its own. Those
    that cannot be sent are tried again, after times that double and are drawn at random. Its own
    connections are decided about by `policy` alone, are told to the log and never to the sink, and
    follow no redirect: whoever is in the middle gets no report.

    Args:
        url: the collector's "https" URL.
        policy: what decides about the connection to it.
        anchors: instead of `policy`, the CAs for a collector without pins.
        size: reports that wait at most; of more, the oldest are dropped and counted.
        batch: reports in one request; with 1 the body is a report, as in the RFC, and with more a
            list of them.
        timeout: seconds for one request.
        headers: of each request, such as one that authorises it.
        spool: a private folder of this process, in which reports wait that could not be sent; a
            later process sends them. None: they wait in memory.
        spool_bytes: bytes in that folder, at most; of more, the oldest are dropped and counted.

    Raises `PolicyError` if an argument makes no sense, or the folder could have been written by
    another user.
    """

    def __init__(
        self,
        url: str,
        *,
        policy: PolicyLike | None = None,
        anchors: Anchors | None = None,
        size: int = 1000,
        batch: int = 1,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        spool: str | PathLike[str] | None = None,
        spool_bytes: int = 10_000_000,
    ) -> None:
        if (policy is None) == (anchors is None):
            raise PolicyError(
                "say how the collector is verified, by one of: policy= (pins), "
                "anchors= (its CA alone)"
            )
        if size < 1 or not 1 <= batch <= 1000 or not 0 < timeout < 3600:
            raise PolicyError("size and batch (to 1000) are 1 or more; timeout is above 0")
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        for name, value in self._headers.items():
            if not (name + value).isascii() or not (name + value).isprintable():
                raise PolicyError(f"header {name!r} is not one line of ASCII")
        self._place = Place.of(url, plaintext=False)
        self._policy = policy if anchors is None else by_ca_alone(anchors, "the collector")
        self._batch, self._timeout = batch, timeout
        self._told = LogObserver()
        self._size = size
        super().__init__()
        self._spool = None if spool is None else Spool(spool, spool_bytes)
        self._failures = 0
        self._closed = False
        self.sent = 0
        """Reports that the collector took."""
        self.dropped = 0
        """Reports that were given up: too many waited, or the collector does not want them."""
        self.error: str | None = None
        """Why the last request failed; None if it did not."""
        atexit.register(_at_exit, weakref.ref(self))

    def _unlock(self) -> None:
        super()._unlock()
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        # A child of a fork sends what it hears itself: the parent sends the rest.
        self._queue: deque[Report] = deque(maxlen=self._size)
        self._current: list[Report] = []

    def __call__(self, decision: Permit | Refusal) -> None:
        report = decision.report
        if report is None or self._closed:
            return
        with self._lock:
            self.dropped += len(self._queue) == self._size
            self._queue.append(report)
            if self._thread is None:
                args = (weakref.ref(self), self._wake)
                self._thread = threading.Thread(
                    target=_run, args=args, name="pinio-reports", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def __len__(self) -> int:
        """How many reports wait in memory."""
        return len(self._queue)

    def flush(self) -> bool:
        """Try to send what waits, now; whether nothing waits any more. It blocks: call it in a thread."""
        while True:
            delay = self._turn()
            if delay is None:
                return True
            if delay > 0:
                return False

    def close(self) -> None:
        """Take no more reports, try once to send what waits, and put the rest on disk if there is a spool."""
        self._closed = True
        self.flush()
        self._spill()
        self._wake.set()

    def _turn(self) -> float | None:
        """Send one batch, if one waits. Returns seconds until the next is due; None if none waits."""
        with self._sending:
            name, body, count = self._next()
            if body is None:
                return None
            why, final = self._post(body)
            self.error = why
            if why is None or final:
                self._failures = 0
                if why is None:
                    self.sent += count
                else:
                    self.dropped += count
                self._done(name)
                return 0.0
            self._failures += 1
            if name is None:
                self._spill()
            longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._failures, 20))
            return random.uniform(longest / 2, longest)  # noqa: S311  no secret

    def _next(self) -> tuple[str | None, bytes | None, int]:
        """The oldest batch: its name in the spool, or None in memory; its text, and how many there are in it."""
        if self._spool is not None and (kept := self._spool.oldest()) is not None:
            return kept
        with self._lock:
            self._current = [
                self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))
            ]
        if not self._current:
            return None, None, 0
        return None, _body(self._current, self._batch), len(self._current)

    def _done(self, name: str | None) -> None:
        if name is not None and self._spool is not None:
            self._spool.delete(name)
        self._current = []

    def _spill(self) -> None:
        """Put what waits in memory back in its place, or into the spool."""
        with self._lock:
            waiting = [*self._current, *self._queue]
            self._queue.clear()
            self._current = []
            if self._spool is None:
                self.dropped += max(0, len(waiting) - self._size)
                self._queue.extend(waiting)
                return
        for start in range(0, len(waiting), self._batch):
            part = waiting[start : start + self._batch]
            self.dropped += self._spool.put(_body(part, self._batch), len(part))

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Why the batch was not taken, None if it was; and whether it never will be."""
        try:
            answer = asyncio.run(
                exchange(
                    self._place,
                    self._place.path,
                    policy=self._policy,
                    most=_MOST,
                    timeout=self._timeout,
                    method="POST",
                    body=body,
                    headers=self._headers,
                    observer=self._told,
                )
            )
        except Exception as error:  # noqa: BLE001  whatever it is, reports wait and connections go on
            line = next(iter(str(error).splitlines()), "")[:300]
            return f"{type(error).__name__}: {line}", False
        if 200 <= answer.status < 300:
            return None, True
        final = 400 <= answer.status < 500 and answer.status not in _AGAIN
        return f"HTTP status {answer.status}", final


def _body(reports: list[Report], batch: int) -> bytes:
    values = [report.to_json() for report in reports]
    return json.dumps(values[0] if batch == 1 else values).encode("ascii")


def _run(reference: weakref.ref[HTTPSink], wake: threading.Event) -> None:
    """The thread of a sink, which does not keep it alive."""
    while (sink := reference()) is not None:
        wake.clear()
        delay = sink._turn()  # noqa: SLF001  of this module
        closed = sink._closed and delay is None  # noqa: SLF001  of this module
        del sink
        if closed:
            return
        if delay is None:
            wake.wait(60.0)
        elif delay > 0:
            threading.Event().wait(delay)


def _at_exit(reference: weakref.ref[HTTPSink]) -> None:
    sink = reference()
    if sink is not None and sink._spool is not None:  # noqa: SLF001  of this module
        sink._spill()  # noqa: SLF001
