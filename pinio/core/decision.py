"""What was decided, as data: `Permit` and `Refusal`.

A `Permit` cannot be constructed: `pinio.core.verify.decide` alone mints one. Search for
`Permit._mint` to see every way in which a connection can open.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pinio.core import message
from pinio.core.certificate import ServedChain, VerifiedChain
from pinio.core.pin import Pin
from pinio.core.report import Report
from pinio.core.verdict import Match, NotPinned, Verdict, setters
from pinio.errors import (
    BY_REASON,
    CertificateNotVerifiedError,
    PinVerificationError,
    TLSFailedError,
)

if TYPE_CHECKING:
    from pinio.core.policy import Rule


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
    engine: str
    """Who did the TLS: "openssl" or "rustls"."""

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
        engine: str,
    ) -> Permit:
        permit = object.__new__(cls)
        _host(permit, host)
        _port(permit, port)
        _verdict(permit, verdict)
        _chain(permit, chain)
        _revision(permit, revision)
        _time(permit, time)
        _evidence_age(permit, evidence_age)
        _engine(permit, engine)
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
            self.host,
            self.port,
            self.verdict.rule,
            self.chain,
            self.revision,
            self.time,
            enforced=False,
        )


_host, _port, _verdict, _chain, _revision, _time, _evidence_age, _engine = setters(Permit)


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
    verify_code: int | None = None
    """OpenSSL's `X509_V_ERR_…` number, where the certificate does not verify."""
    verify_message: str | None = None
    """OpenSSL's words for it."""
    served: ServedChain | None = None
    """What the peer sent, where it does not verify: its first certificates, which anybody could have written."""
    tls_reason: str | None = None
    """OpenSSL's word, such as "WRONG_VERSION_NUMBER", where TLS failed for another reason."""

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
            rule.pin_set.pins + rule.pin_set.backup
            if rule is not None and rule.pin_set is not None
            else ()
        )

    @property
    def report(self) -> Report | None:
        """The report, where the pins did not match or the certificate does not verify."""
        unverified = self.reason == CertificateNotVerifiedError.code
        rule = self.noted if unverified else None
        if self.verdict is not None and not isinstance(self.verdict, NotPinned):
            rule = self.verdict.rule
        if rule is None:
            return None
        report = _report(
            self.host, self.port, rule, self.chain, self.revision, self.time, enforced=True
        )
        if not unverified:
            return report
        served = self.served.certificates if self.served is not None else ()
        return replace(report, served_certificate_chain=served, problem=self.verify_message)

    def error(self) -> PinVerificationError | TLSFailedError:
        """The exception that says so."""
        if self.reason == TLSFailedError.code:
            return TLSFailedError(self)
        return BY_REASON.get(self.reason, PinVerificationError)(self)

    def summary(self) -> str:
        """One line."""
        return message.summary(self)

    def hint(self) -> str:
        """What to do about it: the end of the message."""
        return message.hint_for(self)

    def text(self) -> str:
        """The whole message.

        Formatting what a peer wrote may fail; that never changes the decision.
        """
        try:
            return "\n".join(message.lines(self))
        except Exception as error:  # noqa: BLE001  # whatever it is, the refusal stands
            return f"{self.summary()} (the details could not be worded: {type(error).__name__})"


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
