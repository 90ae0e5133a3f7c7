"""Servers with which resuming a TLS session failed, and for how long no session is offered to them.

A server that cannot resume a session should shake hands in full (RFC 8446 section 2.2). Some end
the connection instead: OpenSSL's do so where they ask for a client certificate and were given no
session id context. Each full handshake with such a server leaves a session, and each session makes
a connection fail. So one failure stops the offers to that server for an hour, and each further one
for twice as long as the one before, up to a day, until a handshake with an offer succeeds.

Where a library drives the handshake, it may go away without a word when the server hangs up. So
there one offer at a time is on trial (`begin`): it counts as a failure until the handshake is done,
and with a server that has not resumed a session yet, until the server has said something on it. For
such a server may still reject the end of the handshake, of which a client that is done with it
hears later.
"""

from __future__ import annotations

import threading
from typing import Any, Final, NamedTuple

from pinio.core.evidence import MAX_AGE, Moment

LONGEST: Final = 86400.0
"""Seconds of the longest pause."""


class Key(NamedTuple):
    """One server, as one TLS configuration sees it."""

    configuration: object
    host: str
    port: int | None


class _Pause(NamedTuple):
    since: Moment
    failures: int
    """How many in a row."""
    trial: object | None
    """The offer of which nothing is known yet; None once one has failed."""


class Pauses:
    """Pauses by server; thread-safe. Remembers at most `most` servers, oldest out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._pauses: dict[Key, _Pause] = {}
        self._proven: dict[Key, None] = {}  # servers that have resumed a session and gone on

    def __len__(self) -> int:
        """The number of servers that are remembered."""
        return len(self._pauses) + len(self._proven)

    def active(self, key: Key, moment: Moment) -> bool:
        """Whether no session is to be offered now."""
        pause = self._pauses.get(key)
        if pause is None:
            return False
        elapsed = moment.since(pause.since)  # None: a clock ran backwards, so unknown
        return elapsed is not None and elapsed < min(MAX_AGE * 2 ** (pause.failures - 1), LONGEST)

    def begin(self, key: Key, offer: object, moment: Moment) -> None:
        """A handshake begins that offers a session, and may end without a word: it is on trial."""
        with self._lock:
            if not self.active(key, moment):
                self._put(key, moment, offer)

    def done(self, key: Key, offer: object) -> None:
        """That handshake is done."""
        if key in self._proven:
            with self._lock:
                self._lift(key, offer)

    def heard(self, key: Key, offer: object, moment: Moment) -> None:
        """The server goes on after an offer: end its trial, and its pause."""
        if key in self._proven and key not in self._pauses:  # nearly always
            return
        with self._lock:
            if not self.active(key, moment):
                self._pauses.pop(key, None)
            self._lift(key, offer)
            _make_room(self._proven, key, self._most)
            self._proven[key] = None

    def fail(self, key: Key, offer: object, moment: Moment) -> None:
        """Note that an offer failed; several that were under way at once count once."""
        with self._lock:
            self._proven.pop(key, None)
            pause = self._pauses.get(key)
            if pause is None or not self.active(key, moment):
                self._put(key, moment, None)
            elif pause.trial is offer:
                self._pauses[key] = pause._replace(since=moment, trial=None)

    def doubt(self, key: Key) -> None:
        """A connection was resumed and given up before the server said anything.

        Takes no lock: the collector may call it in the middle of whatever else happens here.
        """
        self._proven.pop(key, None)

    def forget(self, configuration: object) -> None:
        """Forget what was noted under a configuration that makes no more connections."""
        with self._lock:
            for servers in (self._pauses, self._proven):
                for key in list(servers):
                    if key.configuration is configuration:
                        servers.pop(key, None)

    def _put(self, key: Key, moment: Moment, trial: object | None) -> None:
        before = self._pauses.get(key)
        _make_room(self._pauses, key, self._most)
        self._pauses[key] = _Pause(
            moment, 1 if before is None else min(before.failures + 1, 32), trial
        )

    def _lift(self, key: Key, offer: object) -> None:
        pause = self._pauses.get(key)
        if pause is not None and pause.trial is offer:
            del self._pauses[key]


def _make_room(servers: dict[Key, Any], key: Key, most: int) -> None:
    servers.pop(key, None)
    if len(servers) >= most:
        servers.pop(next(iter(servers)), None)
