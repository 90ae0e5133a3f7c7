"""Chains that are made once and shared by all tests."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.pinset import PinsLike
from pinio.core.policy import Endpoint, Policy
from pinio.core.verify import judge
from pinio.testing import CA, Leaf

HOST: Final = "api.example.com"
NOW: Final = dt.datetime(2026, 7, 1, tzinfo=dt.UTC).timestamp()


@dataclass(frozen=True)
class Genuine:
    """A root, an intermediate and a leaf for `HOST`, and nobody's pin beside them."""

    root: CA
    intermediate: CA
    leaf: Leaf

    @cached_property
    def ders(self) -> tuple[bytes, bytes, bytes]:
        """Leaf first, anchor last, as OpenSSL hands a verified chain over."""
        return self.leaf.der, self.intermediate.der, self.root.der

    @property
    def chain(self) -> VerifiedChain:
        return VerifiedChain(self.ders)

    @property
    def pins(self) -> tuple[str, str, str]:
        """The SPKI pins of `ders`, worked out without pinio's parser."""
        return self.leaf.pin, self.intermediate.pin, self.root.pin


@cache
def genuine() -> Genuine:
    root = CA("genuine root")
    intermediate = root.intermediate()
    return Genuine(root, intermediate, intermediate.issue(HOST))


@cache
def attacker() -> Genuine:
    """A man in the middle: same names, other keys."""
    root = CA("genuine root")
    intermediate = root.intermediate()
    return Genuine(root, intermediate, intermediate.issue(HOST))


def pin(octet: int) -> Pin:
    """A pin that nobody's key has; different for each `octet`."""
    return Pin(bytes((octet, octet ^ 0xFF)) * 16)


A, B, C = str(pin(1)), str(pin(2)), str(pin(3))
"""Pins of nobody, as text."""


def asked(pins: PinsLike, host: str = HOST, port: int | None = 443) -> Endpoint:
    """The endpoint of a policy that pins `host` alone."""
    return Policy({host: pins}, revision="r1").endpoint(host, port)


def judged(
    pins: PinsLike, chain: VerifiedChain | None = None, now: float = NOW
) -> Permit | Refusal:
    """The decision on the genuine chain, or another, under these pins."""
    return judge(asked(pins), genuine().chain if chain is None else chain, now)
