"""What is kept beside a TLS session so that a resumed connection can be judged again.

A resumed session shows no chain: OpenSSL verified one in the full handshake and does not look again. `Evidence` remembers
that chain, whole certificates and not selected digests, because tomorrow's policy may pin another selector or algorithm.
Its age counts from the last *full* handshake; a ticket renewed on a resumed connection inherits it, so a chain of
resumptions ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Match
from pinio.core.der import GENERALIZED_TIME, SEQUENCE, UTC_TIME, DERError, element
from pinio.core.policy import Endpoint
from pinio.core.verify import judge

MAX_AGE: Final = 3600.0
"""Seconds for which a full handshake vouches for the sessions that descend from it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks, in seconds: the wall clock can be set back, the monotonic one stops in suspend."""

    wall: float
    monotonic: float

    def since(self, then: Moment) -> float | None:
        """The larger of both differences; None if the wall clock ran backwards, because then nobody knows."""
        wall, monotonic = self.wall - then.wall, self.monotonic - then.monotonic
        return None if wall < 0 or monotonic < 0 else max(wall, monotonic)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The chain of a full handshake, when it was, and under which trust profile it was verified."""

    chain: VerifiedChain
    profile: str
    """Identity of the trust profile: a session made under another one is no evidence."""
    seen: Moment
    """When the last full handshake was."""
    not_after: float
    """The earliest `notAfter` of the chain, in POSIX seconds."""

    @classmethod
    def of(cls, chain: VerifiedChain, profile: str, seen: Moment) -> Evidence | None:
        """Evidence of a full handshake; None if a certificate does not say until when it is valid."""
        try:
            return cls(chain, profile, seen, min(_not_after(item.fields.validity) for item in chain if item.fields))
        except (DERError, ValueError):
            return None


def age(evidence: Evidence, endpoint: Endpoint, profile: str, now: Moment) -> float | None:
    """Seconds since the full handshake if a session with this evidence may be offered to `endpoint` now, else None.

    It may if the policy in force now would permit the chain by a pin, under the same trust profile, within `MAX_AGE`, while
    the certificates are valid. A host without pins, a waived mismatch, an expired pin set: a full handshake decides.
    """
    pins = endpoint.rule.pin_set
    elapsed = now.since(evidence.seen)
    if pins is None or not pins.resumption or elapsed is None or elapsed >= MAX_AGE or evidence.profile != profile:
        return None
    if pins.trust == "pkix" and now.wall >= evidence.not_after:
        return None
    decision = judge(endpoint, evidence.chain, now.wall, elapsed)
    return elapsed if isinstance(decision.verdict, Match) else None


def _not_after(validity: bytes) -> float:
    """`notAfter` of a Validity (RFC 5280 section 4.1.2.5) in POSIX seconds."""
    at, end = element(validity, 0, len(validity), SEQUENCE)
    _, at = element(validity, at, end, validity[at])  # notBefore
    if at >= end or (tag := validity[at]) not in (UTC_TIME, GENERALIZED_TIME):
        raise DERError("notAfter is neither UTCTime nor GeneralizedTime")
    start, stop = element(validity, at, end, tag)
    text = validity[start:stop].decode("ascii", "replace")
    if tag == UTC_TIME:  # two-digit years: 50 to 99 are 1950 to 1999
        text = ("19" if text[:1] >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
