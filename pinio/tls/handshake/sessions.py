"""TLS sessions, each with the evidence that lets a resumed connection be judged.

A resumed handshake skips what pinning needs: no chain is shown, and OpenSSL does not look at the
name again. So a session is kept only beside the evidence of the full handshake it descends from,
under the configuration, host and port it was made for; it is offered only if that evidence satisfies the
policy in force now (`pinio.core.evidence.age`), and judged again after the handshake.

TLS 1.3 tickets are used once (RFC 8446 appendix C.4) and renewed by the server on each connection;
a TLS 1.2 session may be used again until it is too old. Age counts from the last full handshake,
whatever the number of renewals.

Reading a session is not free, and in some Pythons very dear (`pinio.tls.handshake.peer`). So a server that
gives none is asked no more for a while. Neither is one with which resuming failed
(`pinio.tls.handshake.pauses`).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Final, NamedTuple

from pinio.core.evidence import MAX_AGE, Evidence, Moment, age
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError
from pinio.tls.handshake.pauses import Key, Pauses

MAX_HOSTS: Final = 1024
"""Most hosts, by port and TLS configuration, of a cache; the least recently used goes first."""
MAX_TICKETS: Final = 4
"""Sessions kept for one host; newest first."""


PATIENCE: Final = 10
"""Connections without a ticket after which a server is not asked for one for an hour."""


def now() -> Moment:
    """Both clocks, now."""
    return Moment(time.time(), time.monotonic())


class Offer(NamedTuple):
    """A session to offer, and what vouches for it."""

    session: object
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Kept:
    offer: Offer
    once: bool
    """Whether it is used once."""


@dataclass(frozen=True, slots=True)
class _Ticketless:
    asked: int
    """How often in vain, in a row."""
    last: Moment


class SessionCache:
    """Sessions by TLS configuration, host and port. Thread-safe, bounded, empty after a fork.

    One cache serves the whole process by default; pass another as `resumption=` to keep sessions
    apart. `hosts` is how many are kept, counted by port and TLS configuration, with at most four
    sessions each (some 13 kB a session); raises `PolicyError` for what is no number above 0.
    """

    def __init__(self, hosts: int = MAX_HOSTS) -> None:
        if type(hosts) is not int or hosts < 1:
            raise PolicyError(
                f"hosts is the number of hosts to keep, at least 1, not {hosts!r}; "
                "resumption=False keeps none"
            )
        self._hosts = hosts
        self.clear()
        _caches.add(self)

    def clear(self) -> None:
        """Forget every session."""
        self._lock = threading.Lock()
        self._kept: dict[Key, list[_Kept]] = {}
        self._ticketless: dict[Key, _Ticketless] = {}
        self.pauses = Pauses(self._hosts)

    def __len__(self) -> int:
        """The number of hosts with a session."""
        return len(self._kept)

    def offer(
        self, configuration: object, endpoint: Endpoint, profile: str, moment: Moment
    ) -> Offer | None:
        """The newest session that may be offered to `endpoint` now.

        `profile` is the identity of its trust profile.
        """
        key = Key(configuration, endpoint.host, endpoint.port)
        if key not in self._kept or self.pauses.active(key, moment):
            return None
        with self._lock:
            fresh = [kept for kept in self._kept.pop(key, ()) if _fresh(kept, moment)]
            chosen = next(
                (
                    kept
                    for kept in fresh
                    if age(kept.offer.evidence, endpoint, profile, moment) is not None
                ),
                None,
            )
            if chosen is not None and chosen.once:
                fresh.remove(chosen)
            if fresh:
                self._kept[key] = fresh
        return None if chosen is None else chosen.offer

    def keep(self, configuration: object, endpoint: Endpoint, offer: Offer, *, once: bool) -> None:
        """Keep a session whose connection was permitted."""
        key = Key(configuration, endpoint.host, endpoint.port)
        with self._lock:
            self._ticketless.pop(key, None)
            kept = self._kept.pop(key, [])
            if len(self._kept) >= self._hosts:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = [_Kept(offer, once), *kept[: MAX_TICKETS - 1]]

    def expects_ticket(self, configuration: object, endpoint: Endpoint, moment: Moment) -> bool:
        """Whether a server may give a session that is of use.

        False of one that gave none, each of the last `PATIENCE` times, and of one to which none is
        offered.
        """
        key = Key(configuration, endpoint.host, endpoint.port)
        if self.pauses.active(key, moment):
            return False
        ticketless = self._ticketless.get(key)
        if ticketless is None or ticketless.asked < PATIENCE:
            return True
        elapsed = moment.since(ticketless.last)
        return elapsed is None or elapsed >= MAX_AGE

    def record_no_ticket(self, configuration: object, endpoint: Endpoint, moment: Moment) -> None:
        """Note that a connection had no session to keep, as yet."""
        key = Key(configuration, endpoint.host, endpoint.port)
        with self._lock:
            before = self._ticketless.pop(key, None)
            if len(self._ticketless) >= self._hosts:
                del self._ticketless[next(iter(self._ticketless))]
            self._ticketless[key] = _Ticketless(1 if before is None else before.asked + 1, moment)

    def drop(self, configuration: object, endpoint: Endpoint, offer: Offer) -> None:
        """Forget a session that does not stand for its server any more."""
        key = Key(configuration, endpoint.host, endpoint.port)
        with self._lock:
            left = [kept for kept in self._kept.pop(key, ()) if kept.offer is not offer]
            if left:
                self._kept[key] = left

    def fail(self, configuration: object, endpoint: Endpoint, offer: Offer, moment: Moment) -> None:
        """Note that an offer failed, and forget the server's other sessions, which would too."""
        key = Key(configuration, endpoint.host, endpoint.port)
        self.pauses.fail(key, offer, moment)
        with self._lock:
            self._kept.pop(key, None)

    def _forget(self, configuration: object) -> None:
        with self._lock:
            self._kept = {
                key: kept
                for key, kept in self._kept.items()
                if key.configuration is not configuration
            }
            self._ticketless = {
                key: ticketless
                for key, ticketless in self._ticketless.items()
                if key.configuration is not configuration
            }
            self.pauses.forget(configuration)


# Weakly: what is registered for a fork is never let go, and a cache of a program's own should end
# with its last user.
_caches: Final[weakref.WeakSet[SessionCache]] = weakref.WeakSet()


def forget(configuration: object | None = None) -> None:
    """Forget, in every cache, the sessions of a context that is not used any more; None: all.

    A session holds its configuration, and with it the anchors: a thousand would take a gigabyte.
    """
    for cache in list(_caches):
        if configuration is None:
            cache.clear()
        else:
            cache._forget(configuration)  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def _fresh(kept: _Kept, moment: Moment) -> bool:
    elapsed = moment.since(kept.offer.evidence.seen)
    return elapsed is not None and elapsed < MAX_AGE


default_sessions: Final = SessionCache()


def resuming(endpoint: Endpoint, resumption: bool | SessionCache) -> SessionCache | None:
    """The cache of a connection; None if it has no pins, or full handshakes are required."""
    pins = endpoint.rule.pin_set
    if pins is None or not pins.resumption or resumption is False:
        return None
    return default_sessions if resumption is True else resumption
