"""Ways to disable pinning from within the process, what each costs, and what comes of it.

Each row is applied in a process of its own (`rows.py`), which then asks two things: does a
connection whose key is not pinned open, and does `pinio.selftest` notice? The page
docs/explanation/tampering.md is made from this table, and a test holds each row to what happens.

Cost: 0 an environment variable, 1 one line of Python, 2 about ten lines, 3 native code, 4 a file.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import certifi

from pinio.core import certificate, pinset, sha256, verify
from pinio.core.verdict import Match
from pinio.tampering import digests, handshakes, references, run
from pinio.tls.handshake import judge, peer

PREVENTED, NOTICED, SILENT = "prevented", "noticed", "silent"

Apply = Callable[["Victim"], object]


@dataclass
class Victim:
    """The policy of the connection that is attacked, which expects another key than the server has."""

    policy: Any
    certificate: Any


@dataclass(frozen=True)
class Technique:
    """One row of the table."""

    name: str
    cost: int
    opens: bool
    """Whether the attacked connection opens."""
    by: tuple[str, ...]
    """What notices: checks of `selftest`, and "policy digest" where it is compared."""
    apply: Apply = field(compare=False)
    like: str = ""
    """The hook of JustTrustMe or of a Frida script that this is the equivalent of."""

    @property
    def outcome(self) -> str:
        parts = [] if self.opens else [PREVENTED]
        parts += [NOTICED] if self.by else []
        return " and ".join(parts) or SILENT


def put(place: Any, name: str, value: Any) -> Apply:
    """Replace an attribute."""
    return lambda victim: setattr(place, name, value)


def _match(self: Any, chain: Any) -> Any:
    return self.pins[0], 0, False


def _verify(policy: Any, rule: Any, chain: Any, now: float) -> Any:
    return Match(rule, rule.pin_set.pins[0], 0, False)


_decide = verify.decide


def _decide_yes(endpoint: Any, verdict: Any, chain: Any, now: float, age: Any, *_: Any) -> Any:
    yes = Match(endpoint.rule, endpoint.rule.pin_set.pins[0], 0, False)
    return _decide(endpoint, yes, chain, now, age)


def _judge_yes(endpoint: Any, chain: Any, now: float, age: Any, *_: Any) -> Any:
    return _decide_yes(endpoint, None, chain, now, age)


def _swap_code(victim: Victim) -> None:
    verify.verify.__code__ = _verify_code.__code__


def _verify_code(policy: Any, rule: Any, chain: Any, now: float) -> Any:
    return Match(rule, rule.pin_set.pins[0], 0, False)


def _one_hash(victim: Victim) -> None:
    genuine, wanted = sha256._first, victim.policy.hosts[handshakes.HOST].pins[0].digest
    spki = victim.certificate.spki

    def lie(data: bytes) -> Any:
        return SimpleNamespace(digest=lambda: wanted) if data == spki else genuine(data)

    certificate._intern.clear()
    put(sha256, "_first", lie)(victim)


def _poison(victim: Victim) -> None:
    victim.certificate.spki_sha256 = victim.policy.hosts[handshakes.HOST].pins[0].digest


def _repin(victim: Victim) -> None:
    pins = victim.policy.hosts[handshakes.HOST]
    for _, leaf, _ in pins._wanted:
        leaf[victim.certificate.spki_sha256] = (pins.pins[0], False)


def _report_only(victim: Victim) -> None:
    object.__setattr__(victim.policy.hosts[handshakes.HOST], "mode", "report-only")


def _chain(victim: Victim) -> None:
    peer.verified_chain = lambda tls: [b"no certificate at all"]


class _Permit:
    """Looks like a Permit and is none."""

    pinned, report = True, None


def _blind(victim: Victim) -> None:
    """Disable the check and what looks for that."""
    verify.verify = _verify
    clean: Callable[..., Any] = lambda *arguments: iter(())  # noqa: E731
    for place, name in (
        (references, "compare"), (digests, "digests"), (run, "digests"), (run, "canaries")
    ):  # fmt: skip
        setattr(place, name, clean)


def _named(*names: str) -> Apply:
    """A module of another's name: what is imported by it later."""

    def apply(victim: Victim) -> None:
        for name in names:
            sys.modules[name] = SimpleNamespace()  # type: ignore[assignment]

    return apply


_NAMES, _JUDGED = ("references",), ("canaries", "references")
_DIGEST = ("policy digest",)

TECHNIQUES: Final = (
    Technique(
        "`ssl.create_default_context` replaced", 1, False, (),
        put(ssl, "create_default_context", ssl._create_unverified_context), "JustTrustMe: `SSLContext.init`",
    ),
    Technique(
        "`ssl.SSLContext.verify_mode` replaced", 1, False, (),
        put(ssl.SSLContext, "verify_mode", ssl.CERT_NONE), "JustTrustMe: `X509TrustManager`",
    ),
    Technique(
        "`ssl.SSLContext.check_hostname` replaced", 1, False, (),
        put(ssl.SSLContext, "check_hostname", False), "JustTrustMe: `HostnameVerifier`",
    ),
    Technique(
        "`certifi.where` replaced", 1, False, (),
        put(certifi, "where", lambda: "/nowhere"), "Frida re-pinning: `TrustManagerFactory`",
    ),
    Technique(
        "`hmac.compare_digest` replaced", 1, False, (),
        put(hmac, "compare_digest", lambda a, b: True),
    ),
    Technique(
        "`hashlib.sha256` replaced", 1, False, (),
        put(hashlib, "sha256", hashlib.sha3_256),
    ),
    Technique(
        "`hashlib.new` replaced", 1, False, (),
        put(hashlib, "new", lambda *arguments: hashlib.sha3_256()),
    ),
    Technique(
        "modules `hashlib` and `certifi` shadowed after the start", 1, False, (),
        _named("hashlib", "certifi"),
    ),
    Technique(
        "pinio's first SHA-256 replaced", 1, False, ("canaries", "hash", "policy digest", "references"),
        put(sha256, "_first", hashlib.sha3_256),
    ),
    Technique(
        "pinio's first SHA-256 lies about one key", 2, False, _JUDGED,
        _one_hash,
    ),
    Technique(
        "`core.verify.verify` replaced", 1, True, _JUDGED,
        put(verify, "verify", _verify), "OkHttp: `CertificatePinner.check`",
    ),
    Technique(
        "`core.verify.verify` gets another `__code__`", 1, True, _JUDGED,
        _swap_code, "Frida: `implementation =`",
    ),
    Technique(
        "`core.verify.decide` replaced", 1, True, _JUDGED,
        put(verify, "decide", _decide_yes), "Frida: `TrustManagerImpl.verifyChain`",
    ),
    Technique(
        "`handshake.judge.judge` replaced", 1, True, _JUDGED,
        put(judge, "judge", _judge_yes), "Frida: `checkTrustedRecursive`",
    ),
    Technique(
        "`PinSet.match` replaced", 1, True, _JUDGED,
        put(pinset.PinSet, "match", _match), "OkHttp: `check$okhttp`",
    ),
    Technique(
        "a `Permit` of another class", 2, False, _JUDGED,
        put(judge, "judge", lambda *arguments: _Permit()),
    ),
    Technique(
        "`Certificate.spki_sha256` of the cached certificate", 1, True, ("cached digests",),
        _poison,
    ),
    Technique(
        "`peer.verified_chain` replaced", 1, False, _JUDGED,
        _chain,
    ),
    Technique(
        "`judge.witness` replaced, alone", 1, False, _NAMES,
        put(judge, "witness", lambda chain, position: None),
    ),
    Technique(
        "the policy's table gets the attacker's key", 2, True, _DIGEST,
        _repin, "Frida re-pinning",
    ),
    Technique(
        "`mode` of the pin set edited", 1, True, _DIGEST,
        _report_only,
    ),
    Technique(
        "the check and the self-test replaced", 2, True, (),
        _blind,
    ),
)  # fmt: skip


def table() -> list[str]:
    """The table of the page, in Markdown."""
    lines = ["| technique | like | cost | outcome | noticed by |", "|---|---|---|---|---|"]
    for row in sorted(TECHNIQUES, key=lambda row: (row.opens, row.cost)):
        by = ", ".join(row.by) or "none"
        lines.append(f"| {row.name} | {row.like or ''} | {row.cost} | {row.outcome} | {by} |")
    return lines
