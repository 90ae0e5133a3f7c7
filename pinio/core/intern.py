"""One bounded, process-wide cache: bytes of a certificate → what was worked out about them.

A value belongs to the whole DER, never to a serial number, a subject or `X509` equality (which
compares SHA-1 digests): a hit is compared byte for byte. The table's key is only the tail of those
bytes, because hashing a whole chain costs more than all the rest of a judgement, and a certificate
ends in its signature, which is as good as a hash of the rest. Somebody who copies a tail makes his
own certificates miss.

Two generations bound the cache without bookkeeping on a hit: when the young generation is full it
becomes the old one, and the old one is dropped. So it holds at most twice the limits below, however
many certificates a hostile peer invents.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar


class Interned(Protocol):
    """What can be interned: it remembers the bytes that it was made of."""

    @property
    def der(self) -> bytes: ...


Value = TypeVar("Value", bound=Interned)

ENTRIES: Final = 2048
"""Certificates in one generation."""
BYTES: Final = 4 << 20
"""Bytes of certificates in one generation; bounds a flood of certificates of 100 KiB each."""
TAIL: Final = 32
"""Bytes of the table's key."""


class InternCache(Generic[Value]):
    """Values computed once per distinct certificate. Thread-safe, bounded, empty after a fork."""

    __slots__ = ("__weakref__", "_bytes", "_limit", "_lock", "_make", "_old", "_weight", "_young")

    def __init__(
        self, make: Callable[[bytes], Value], entries: int = ENTRIES, weight: int = BYTES
    ) -> None:
        self._make = make
        self._limit = entries
        self._weight = weight
        self.clear()
        # A lock held by another thread at the moment of a fork would stay locked in the child for
        # ever.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def values(self) -> tuple[Value, ...]:
        """All that is cached now."""
        with self._lock:
            return (*self._young.values(), *self._old.values())

    def __call__(self, der: bytes) -> Value:
        """Return the value of `der`, computing it on the first sight of these bytes."""
        value = self._young.get(der[-TAIL:])
        return value if value is not None and value.der == der else self._miss(der)

    def all(self, ders: Iterable[bytes]) -> tuple[Value, ...]:
        """The values of several certificates, in order."""
        known, miss = self._young.get, self._miss
        return tuple(
            [
                value
                if (value := known(der[-TAIL:])) is not None and value.der == der
                else miss(der)
                for der in ders
            ]
        )

    def _miss(self, der: bytes) -> Value:
        key = der[-TAIL:]
        # Computed under the lock: what two threads see for the first time at once becomes one
        # object all the same.
        with self._lock:
            for value in (self._young.get(key), self._old.pop(key, None)):
                if value is not None and value.der == der:
                    break
            else:
                value = self._make(der)
            self._young[key] = value
            self._bytes += len(der)
            if len(self._young) >= self._limit or self._bytes >= self._weight:
                self._old, self._young, self._bytes = self._young, {}, 0
        return value
