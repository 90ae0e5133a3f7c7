"""What was observed (`Verdict`) and what was decided (`Permit`, `Refusal`): data, with the words for a refusal.

A `Permit` cannot be constructed: `pinio.core.verify.decide` alone mints one. Search for `Permit._mint` to see every way
in which a connection can open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pinio.core.certificate import VerifiedChain
from pinio.core.pin import Pin
from pinio.core.report import Report
from pinio.core.wording import chain_lines, escape, pin_lines
from pinio.errors import BY_REASON, PinVerificationError

if TYPE_CHECKING:
    from pinio.core.policy import Rule

_Setter: TypeAlias = "Callable[[Any, Any], None]"


def _setters(kind: type) -> tuple[_Setter, ...]:
    """The setters of a frozen class's fields: on every connection, and twice as fast as `object.__setattr__`."""
    return tuple(getattr(kind, item.name).__set__ for item in fields(kind))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was observed when a chain was held against the rule of a host."""

    rule: Rule


@dataclass(frozen=True, slots=True, init=False)
class Match(Verdict):
    """`pin` matched the certificate at `position` of the verified chain; `backup` says that it was not in service yet."""

    pin: Pin
    position: int
    backup: bool

    def __init__(self, rule: Rule, pin: Pin, position: int, backup: bool) -> None:
        _match_rule(self, rule)
        _match_pin(self, pin)
        _match_position(self, position)
        _match_backup(self, backup)


_match_rule, _match_pin, _match_position, _match_backup = _setters(Match)


@dataclass(frozen=True, slots=True)
class Mismatch(Verdict):
    """No certificate has a pinned key."""


@dataclass(frozen=True, slots=True)
class NotPinned(Verdict):
    """The policy has no pins for the host, or exempts it."""


@dataclass(frozen=True, slots=True)
class Expired(Verdict):
    """The host's pins are past their date; whether they would have matched was not asked."""


@dataclass(frozen=True, slots=True)
class Denied(Verdict):
    """The certificate at `position` has a key of the deny list."""

    pin: Pin
    position: int


@dataclass(frozen=True, slots=True)
class NoChain(Verdict):
    """There is no chain that OpenSSL verified, or no certificate at all."""


@dataclass(frozen=True, slots=True, init=False)
class Permit:
    """The decision to let a connection carry application bytes, and why. Made by pinio alone."""

    host: str
    """The name that was judged: a lower-case A-label or an IP address."""
    port: int | None
    verdict: Verdict
    chain: VerifiedChain | None
    """The chain that was judged; None where nothing had to be, because the host is not pinned."""
    revision: str | None
    """The policy's revision."""
    time: float
    """When it was decided, in POSIX seconds."""
    evidence_age: float | None
    """Seconds since the full handshake that showed the chain; None if that was this handshake."""

    def __init__(self) -> None:
        raise TypeError("a Permit is made by a judgement, never by hand")

    @classmethod
    def _mint(
        cls,
        host: str,
        port: int | None,
        verdict: Verdict,
        chain: VerifiedChain | None,
        revision: str | None,
        time: float,
        evidence_age: float | None,
    ) -> Permit:
        permit = object.__new__(cls)
        _host(permit, host)
        _port(permit, port)
        _verdict(permit, verdict)
        _chain(permit, chain)
        _revision(permit, revision)
        _time(permit, time)
        _evidence_age(permit, evidence_age)
        return permit

    @property
    def resumed(self) -> bool:
        """Whether the TLS session was resumed, and the judgement was over the evidence kept beside it."""
        return self.evidence_age is not None

    @property
    def pinned(self) -> bool:
        """Whether a pin of this host matched; False if it has none, is exempt, or was let through by report-only."""
        return isinstance(self.verdict, Match)

    @property
    def pattern(self) -> str | None:
        """The policy's host pattern that applied."""
        return self.verdict.rule.pattern

    @property
    def pin(self) -> Pin | None:
        """The pin that matched."""
        return self.verdict.pin if isinstance(self.verdict, Match) else None

    @property
    def position(self) -> int | None:
        """Where in the verified chain it matched; 0 is the leaf."""
        return self.verdict.position if isinstance(self.verdict, Match) else None

    @property
    def backup(self) -> bool:
        """Whether a backup pin matched: the signal that a rotation has happened."""
        return isinstance(self.verdict, Match) and self.verdict.backup

    @property
    def mode(self) -> str | None:
        """The pin set's mode, "enforce" or "report-only"."""
        return self.verdict.rule.pin_set.mode if self.verdict.rule.pin_set else None

    @property
    def expires(self) -> datetime | None:
        """When the pins of this host expire."""
        return self.verdict.rule.pin_set.expires if self.verdict.rule.pin_set else None

    @property
    def exempt(self) -> str | None:
        """The policy's reason for exempting this host from pinning."""
        return self.verdict.rule.exempt

    @property
    def report(self) -> Report | None:
        """The report of what was waived, where the pins did not match and the policy let the connection through."""
        if isinstance(self.verdict, Match | NotPinned):
            return None
        return _report(
            self.host, self.port, self.verdict.rule, self.chain, self.revision, self.time, enforced=False
        )


_host, _port, _verdict, _chain, _revision, _time, _evidence_age = _setters(Permit)

_SUMMARIES: Final = {
    "PIN_MISMATCH": "is pinned, and no certificate in the verified chain matches",
    "PINS_EXPIRED": "is pinned, and its pins have expired",
    "UNPINNED_HOST": "has no pins, and the policy refuses hosts without",
    "DENIED_KEY": "shows a key that the policy denies",
    "NO_VERIFIED_CHAIN": "showed no certificate chain that could be verified",
    "PLAINTEXT_REFUSED": "is pinned, and was about to be spoken to without TLS",
    "OVERRIDE_REFUSED": "is pinned, and the request brought TLS settings of its own",
    "INJECTED_PLAINTEXT": "sent plaintext that would have been read as if TLS had protected it",
    "WITNESSES_DISAGREE": "was judged by a TLS library that names two different certificates for one connection",
    "NO_SERVER_NAME": "cannot be verified: TLS was asked for without a server name",
    "NOT_JUDGED": "was not judged, or is open no more, so no application byte may pass",
    "JUDGEMENT_FAILED": "could not be judged because of an error, and is therefore refused",
}
_HINTS: Final = {
    "PIN_MISMATCH": "if the keys were rotated on purpose, look at them from a trusted network: pinio pins {target}",
    "PINS_EXPIRED": 'renew the pins and their date in the policy; on_expiry="report" would let connections through',
    "UNPINNED_HOST": 'add pins for it, exempt it by name, or build the policy with unpinned="allow"',
    "DENIED_KEY": "the deny list wins over every pin and mode; if the key is good again, take it off that list",
    "NO_VERIFIED_CHAIN": "the server must authenticate with a certificate, in a full handshake under this policy",
    "PLAINTEXT_REFUSED": "use https:// or wss://",
    "OVERRIDE_REFUSED": "leave ssl= out of the request; what is expected of this host stands in the policy",
    "INJECTED_PLAINTEXT": "read everything the server said before the upgrade; what is left over is an attack or a broken server",
    "WITNESSES_DISAGREE": "something in this process or its TLS library was tampered with",
    "NO_SERVER_NAME": "pass server_hostname=",
    "NOT_JUDGED": "complete the handshake first; a connection that was refused or closed stays so",
    "JUDGEMENT_FAILED": "the error is this one's __cause__",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The decision to refuse a connection, with everything that is known about it."""

    reason: str
    """The reason code, such as "PIN_MISMATCH"; see `pinio.errors`."""
    host: str
    port: int | None = None
    verdict: Verdict | None = None
    """What was observed, where a chain was judged."""
    chain: VerifiedChain | None = None
    revision: str | None = None
    """The policy's revision."""
    time: float = 0.0
    """When it was decided, in POSIX seconds."""
    evidence_age: float | None = None
    """Seconds since the full handshake that showed the chain; None if that was this handshake."""
    detail: str | None = None
    """What else there is to say, in words."""
    noted: Rule | None = field(default=None, repr=False)
    """The rule that applies to the host where nothing was judged."""

    @property
    def rule(self) -> Rule | None:
        """The policy's rule for this host."""
        return self.verdict.rule if self.verdict is not None else self.noted

    @property
    def pattern(self) -> str | None:
        """The policy's host pattern that applied."""
        return self.rule.pattern if self.rule is not None else None

    @property
    def resumed(self) -> bool:
        """Whether the TLS session was resumed."""
        return self.evidence_age is not None

    @property
    def expected(self) -> tuple[Pin, ...]:
        """Every pin that would have been accepted, backups last."""
        rule = self.rule
        return (
            rule.pin_set.pins + rule.pin_set.backup if rule is not None and rule.pin_set is not None else ()
        )

    @property
    def report(self) -> Report | None:
        """The report, where the pins did not match."""
        if self.verdict is None or isinstance(self.verdict, NotPinned):
            return None
        return _report(
            self.host, self.port, self.verdict.rule, self.chain, self.revision, self.time, enforced=True
        )

    def error(self) -> PinVerificationError:
        """The exception that says so."""
        return BY_REASON.get(self.reason, PinVerificationError)(self)

    def summary(self) -> str:
        """One line."""
        where = self._bracketed if self.port is None else f"{self._bracketed}:{self.port}"
        return f"{where} {_SUMMARIES.get(self.reason, 'was refused')}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def _target(self) -> str:
        """What `pinio pins` takes to look at the same server."""
        return self.host if self.port in (None, 443) else f"{self._bracketed}:{self.port}"

    def text(self) -> str:
        """The whole message. Formatting what a peer wrote may fail; that never changes the decision."""
        try:
            return "\n".join(self._lines())
        except Exception as error:  # noqa: BLE001  # whatever it is, the refusal stands
            return f"{self.summary()} (the details could not be worded: {type(error).__name__})"

    def _lines(self) -> list[str]:
        lines = [self.summary() + (":" if self.detail else ".")]
        if self.detail:
            lines.append(f"  {escape(self.detail)}")
        if self.chain is not None:
            lines.append(
                "  verified chain:" if not self.resumed else "  verified chain of the resumed session:"
            )
            lines += chain_lines(self.chain)
        rule = self.rule
        if isinstance(self.verdict, Denied):
            lines += ["  denied:", f"    {self.verdict.pin}"]
        elif rule is not None and rule.pin_set is not None:
            revision = "" if self.revision is None else f"policy {escape(self.revision)}, "
            expired = (
                f", expired {rule.pin_set.expires:%Y-%m-%dT%H:%M:%SZ}"
                if isinstance(self.verdict, Expired)
                else ""
            )
            lines.append(f"  pinned ({revision}pattern {rule.pattern}{expired}):")
            lines += pin_lines(rule.pin_set.pins, rule.pin_set.backup)
        lines.append(f"  hint: {_HINTS[self.reason].format(target=self._target)}")
        return lines


def _report(
    host: str,
    port: int | None,
    rule: Rule,
    chain: VerifiedChain | None,
    revision: str | None,
    time: float,
    *,
    enforced: bool,
) -> Report:
    pin_set = rule.pin_set
    return Report(
        date_time=datetime.fromtimestamp(time, UTC),
        hostname=host,
        port=port,
        effective_expiration_date=pin_set.expires if pin_set else None,
        include_subdomains=rule.pattern is not None and rule.pattern.startswith("**."),
        noted_hostname=rule.pattern,
        validated_certificate_chain=chain.certificates if chain is not None else (),
        known_pins=tuple(map(str, pin_set.pins + pin_set.backup)) if pin_set else (),
        enforced=enforced,
        revision=revision,
    )
