"""One bounded, process-wide cache: bytes of a certificate → what was worked out about them.

The key is the whole DER, never serial number, subject or `X509` equality (which compares SHA-1 digests): two certificates
share an entry only if they are the same bytes. Two generations bound it without bookkeeping on a hit: a hit is one
`dict.get`; when the young generation is full it becomes the old one, and the old one is dropped. So the cache holds at most
twice the limits below, however many certificates a hostile peer invents.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

ENTRIES: Final = 2048
"""Certificates in one generation."""
BYTES: Final = 4 << 20
"""Bytes of certificates in one generation; bounds a flood of certificates of 100 KiB each."""


class InternCache(Generic[Value]):
    """Values computed once per distinct key. Thread-safe, bounded, empty after a fork."""

    __slots__ = ("__weakref__", "_bytes", "_limit", "_lock", "_make", "_old", "_weight", "_young")

    def __init__(self, make: Callable[[bytes], Value], entries: int = ENTRIES, weight: int = BYTES) -> None:
        self._make = make
        self._limit = entries
        self._weight = weight
        self.clear()
        # A lock held by another thread at the moment of a fork would stay locked in the child for ever.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __call__(self, key: bytes) -> Value:
        """Return the value of `key`, computing it on the first sight of these bytes."""
        value = self._young.get(key)
        return self._miss(key) if value is None else value

    def all(self, keys: Iterable[bytes]) -> tuple[Value, ...]:
        """The values of several keys, in order."""
        known = self._young.get
        return tuple([self._miss(key) if (value := known(key)) is None else value for key in keys])

    def _miss(self, key: bytes) -> Value:
        with self._lock:
            # Another thread may have been here first: what is interned stays one object.
            value = self._young.get(key, self._old.pop(key, None))
        if value is None:
            value = self._make(key)
        with self._lock:
            value = self._young.setdefault(key, value)
            self._bytes += len(key)
            if len(self._young) >= self._limit or self._bytes >= self._weight:
                self._old, self._young, self._bytes = self._young, {}, 0
        return value
