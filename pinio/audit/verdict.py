"""What an interceptor saw of a program, host by host, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What a program did with one host."""

    PINNED = "pinned"
    CAPTURED = "captured"
    DOWNGRADED = "downgraded"
    PLAINTEXT = "plaintext"
    UNTRUSTED = "untrusted"
    UNKNOWN = "unknown"


FAILED: Final = frozenset({Verdict.CAPTURED, Verdict.DOWNGRADED, Verdict.PLAINTEXT})
"""An interceptor reads what the program says."""
MEANINGS: Final = {
    Verdict.PINNED: "refused the interceptor although its CA was trusted",
    Verdict.CAPTURED: "told the interceptor what was meant for the server",
    Verdict.DOWNGRADED: "refused the interceptor, then went on in clear",
    Verdict.PLAINTEXT: "spoke in clear",
    Verdict.UNTRUSTED: "did not trust the interceptor's CA, which proves nothing about pins",
    Verdict.UNKNOWN: "refused, and never read the interceptor's CA: it pins, or does not trust it",
}


@dataclass(frozen=True)
class Observation:
    """One connection as the interceptor saw it.

    Attributes:
        host: the name that was asked for, or the address.
        port: the port that the program connected to.
        tls: whether it spoke TLS.
        finished: whether its handshake was finished: it accepted the certificate.
        received: application bytes, in TLS or in clear.
        alert: how the program broke off, as OpenSSL spells it; empty if it did not say.
    """

    host: str
    port: int
    tls: bool
    finished: bool
    received: int
    alert: str = ""


@dataclass(frozen=True)
class Finding:
    """The verdict on one host.

    Attributes:
        host: the host.
        verdict: what the program did.
        connections: how many it made.
        received: application bytes that it told the interceptor.
        detail: what the verdict rests on, in words.
    """

    host: str
    verdict: Verdict
    connections: int
    received: int
    detail: str


def judge(observations: Iterable[Observation], *, trusted: bool) -> list[Finding]:
    """The verdict on each host, in the order in which they were first seen.

    Args:
        observations: all connections.
        trusted: whether the program has read the CA that it was given.
    """
    hosts: dict[str, list[Observation]] = {}
    for seen in observations:
        hosts.setdefault(seen.host, []).append(seen)
    return [_judge(host, seen, trusted=trusted) for host, seen in hosts.items()]


def _judge(host: str, seen: list[Observation], *, trusted: bool) -> Finding:
    over_tls = [each for each in seen if each.tls]
    in_tls = sum(each.received for each in over_tls)
    in_clear = sum(each.received for each in seen if not each.tls)
    alerts = " ".join(each.alert for each in over_tls)

    def found(verdict: Verdict, detail: str) -> Finding:
        return Finding(host, verdict, len(seen), in_tls + in_clear, detail)

    if in_tls:
        return found(Verdict.CAPTURED, f"{in_tls} bytes over TLS")
    if in_clear:
        what = Verdict.DOWNGRADED if over_tls else Verdict.PLAINTEXT
        return found(what, f"{in_clear} bytes in clear")
    if not over_tls:
        return found(Verdict.UNKNOWN, "it connected and said nothing")
    if any(each.finished for each in over_tls):
        return found(Verdict.PINNED, "it accepted the certificate and said nothing")
    if "UNKNOWN_CA" in alerts:
        return found(Verdict.UNTRUSTED, "its TLS alert says so (unknown_ca)")
    if trusted:
        how = f"alert {alerts.strip()}" if alerts.strip() else "no alert"
        return found(Verdict.PINNED, f"it broke the handshake off ({how}), having read the CA")
    return found(Verdict.UNKNOWN, "it broke the handshake off")
