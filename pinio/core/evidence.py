"""What is kept beside a TLS session so that a resumed connection can be judged again.

A resumed session shows no chain: OpenSSL verified one in the full handshake and does not look
again. `Evidence` remembers that chain, whole certificates and not selected digests, because
tomorrow's policy may pin another selector or algorithm. Its age counts from the last *full*
handshake; a ticket renewed on a resumed connection inherits it, so a chain of resumptions ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pinio.core.certificate import VerifiedChain
from pinio.core.policy import Endpoint
from pinio.core.verdict import Match
from pinio.core.verify import judge

MAX_AGE: Final = 3600.0
"""Seconds for which a full handshake vouches for the sessions that descend from it."""


class Moment(NamedTuple):
    """One reading of both clocks, in seconds: the wall clock can be set back, the monotonic one stops in suspend."""

    wall: float
    monotonic: float

    def since(self, then: Moment) -> float | None:
        """The larger of both differences; None if the wall clock ran backwards, because then nobody knows."""
        wall, monotonic = self.wall - then.wall, self.monotonic - then.monotonic
        return max(wall, monotonic) if wall >= 0 and monotonic >= 0 else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The chain of a full handshake, for which host, when it was, and under which trust profile it was verified."""

    host: str
    """The name that was verified: OpenSSL does not look at it again when a session is resumed."""
    chain: VerifiedChain
    profile: str
    """Identity of the trust profile: a session made under another one is no evidence."""
    seen: Moment
    """When the last full handshake was."""
    not_after: float
    """The earliest `notAfter` of the chain, in POSIX seconds."""

    @classmethod
    def of(cls, host: str, chain: VerifiedChain, profile: str, seen: Moment) -> Evidence | None:
        """Evidence of a full handshake; None if a certificate does not say until when it is valid."""
        ends = [end for item in chain if (end := item.not_after) is not None]
        return (
            cls(host, chain, profile, seen, min(ends)) if ends and len(ends) == len(chain) else None
        )


def age(evidence: Evidence, endpoint: Endpoint, profile: str, now: Moment) -> float | None:
    """Seconds since the full handshake if a session with this evidence may be offered to `endpoint` now, else None.

    It may if the policy in force now would permit the chain by a pin, for the same host under the
    same trust profile, within `MAX_AGE`, while the certificates are valid. A host without pins, a
    waived mismatch, an expired pin set: a full handshake decides.
    """
    pins = endpoint.rule.pin_set
    elapsed = now.since(evidence.seen)
    if pins is None or elapsed is None or elapsed >= MAX_AGE:
        return None
    if evidence.host != endpoint.host or evidence.profile != profile:
        return None
    rules = (endpoint.rule,) if endpoint.url_rule is None else (endpoint.rule, endpoint.url_rule[1])
    if any(rule.pin_set is not None and not rule.pin_set.resumption for rule in rules):
        return None
    if pins.trust == "pkix" and now.wall >= evidence.not_after:
        return None
    decision = judge(endpoint, evidence.chain, now.wall)
    return elapsed if isinstance(decision.verdict, Match) else None
