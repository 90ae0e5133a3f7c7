"""The canaries: handshakes whose outcome is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.errors import PinVerificationError
from pinio.tampering import handshakes
from pinio.tampering.findings import Finding

_ABSENT: Final = Pin(bytes(range(32)))
"""No certificate has this key."""

LIVE_RULES: Final = 16
"""Rules of the live policy that are tried in one self-test."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One handshake and its outcome."""

    name: str
    policy: Policy
    served: str
    expected: str
    """The reason of the refusal, or "permit"."""


def canaries() -> Iterator[Canary]:
    """All of them, cheap to make; the pins are of the canaries' own keys."""
    leaf, issuer = (_pin(position) for position in (0, 1))
    ca, as_leaf = (Pin(leaf.digest, role="ca"), Pin(issuer.digest, role="leaf"))
    past = datetime(2021, 1, 1, tzinfo=UTC)
    yield Canary("right leaf pin", _policy(leaf), "good", "permit")
    yield Canary("right ca pin", _policy(Pin(issuer.digest, role="ca")), "good", "permit")
    yield Canary("wrong key", _policy(_ABSENT), "good", "PIN_MISMATCH")
    yield Canary("wrong role", _policy((ca, as_leaf)), "good", "PIN_MISMATCH")
    yield Canary("expired pins", _policy(leaf, expires=past), "good", "PINS_EXPIRED")
    yield Canary("denied key", _policy(leaf, deny=[leaf]), "good", "DENIED_KEY")
    yield Canary("unlisted host", _policy(leaf, host="else.test"), "good", "UNPINNED_HOST")
    # The pins match, so that nothing but the TLS engine is in the way.
    served = tuple(Pin(handshakes.chain("untrusted")[at].spki_sha256 or b"") for at in (0, 1))
    yield Canary("untrusted chain", _policy(served), "untrusted", "CERTIFICATE_NOT_VERIFIED")
    yield Canary("wrong name", _policy(issuer), "other_name", "CERTIFICATE_NOT_VERIFIED")
    yield Canary("forged issuer", _policy(issuer), "forged", "CERTIFICATE_NOT_VERIFIED")


def _pin(position: int) -> Pin:
    return Pin(handshakes.chain("good")[position].spki_sha256 or b"")


def _policy(
    pins: Pin | tuple[Pin, ...], *, host: str = handshakes.HOST, deny: Any = (), **pin_set: Any
) -> Policy:
    several = pins if isinstance(pins, tuple) else (pins,)
    pin_set = {"anchors": handshakes.anchors(), "resumption": False, **pin_set}
    return Policy({host: PinSet(several, single="a canary", **pin_set)}, deny=deny)


async def fly(canary: Canary) -> list[Finding]:
    """Every way in; findings where the outcome is another one."""
    told: list[Permit | Refusal] = []
    found: list[Finding] = []
    try:
        seen = await handshakes.by_entry_point(canary.policy, canary.served, told)
        found += _compare(canary, "create_connection", seen)
        heard = [_outcome(decision) for decision in told]
        if heard != [canary.expected] and canary.expected != "UNPINNED_HOST":
            found.append(Finding(canary.name, f"its observer heard {heard}"))
        if canary.expected != "UNPINNED_HOST":
            seen = handshakes.by_context(canary.policy, canary.served)
            found += _compare(canary, "create_ssl_context", seen)
    except PinVerificationError as error:
        found += _compare(canary, "pinio", error.refusal)
    except Exception as error:  # noqa: BLE001
        # What replaced a function may raise whatever it likes.
        found.append(Finding(canary.name, f"failed with {type(error).__name__}: {error}"))
    return found


def _outcome(decision: object) -> str:
    if type(decision) is Permit:
        return "permit"
    return decision.reason if type(decision) is Refusal else f"a foreign {type(decision).__name__}"


def _compare(canary: Canary, door: str, decision: object) -> Iterator[Finding]:
    outcome = _outcome(decision)
    if outcome != canary.expected:
        yield Finding(canary.name, f"{door}: {outcome} instead of {canary.expected}")


def live_rules(policy: Policy, now: float) -> Iterator[Finding]:
    """Hold a chain that nobody pinned against rules of the live policy: each must object."""
    chain = VerifiedChain([certificate.der for certificate in handshakes.chain("good")])
    for pattern in list(policy.hosts)[:LIVE_RULES]:
        host = pattern.replace("**.", "").replace("*.", "canary.")
        decision = judge(policy.endpoint(host), chain, now)
        if isinstance(decision, Permit) and decision.report is None and decision.pinned:
            yield Finding("live policy", f"{pattern} permits a key that it does not list")
