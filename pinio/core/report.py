"""What is told about a failed pin: the report fields of RFC 7469 section 3, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pinio.core import pem
from pinio.core.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Report:
    """A pin validation failure, or a certificate that does not verify.

    Times are aware and in UTC; chains are leaf first.
    """

    date_time: datetime
    hostname: str
    port: int | None
    effective_expiration_date: datetime | None
    include_subdomains: bool
    noted_hostname: str | None
    validated_certificate_chain: tuple[Certificate, ...]
    known_pins: tuple[str, ...]
    enforced: bool
    """False where the connection was let through: report-only, or `on_expiry="report"`."""
    revision: str | None
    """The policy's revision."""
    served_certificate_chain: tuple[Certificate, ...] = ()
    """What the peer sent, where it does not verify: its first certificates, which anybody could have written."""
    problem: str | None = None
    """Why the certificate does not verify, in OpenSSL's words; None where it does, and the pins are the reason."""

    def to_json(self) -> dict[str, object]:
        """The report under the keys of RFC 7469 section 3, ready for `json.dumps`.

        The served chain is in it only where it does not verify: it is attacker's text that pinio
        never reads on the way to a decision. `enforced`, `problem`, `revision` and `version` are
        pinio's own keys.
        """
        expires = self.effective_expiration_date
        return {
            "version": 1,
            "date-time": _rfc3339(self.date_time),
            "hostname": self.hostname,
            "port": self.port,
            "effective-expiration-date": None if expires is None else _rfc3339(expires),
            "include-subdomains": self.include_subdomains,
            "noted-hostname": self.noted_hostname,
            "served-certificate-chain": [
                pem.encode(item.der) for item in self.served_certificate_chain
            ],
            "validated-certificate-chain": [
                pem.encode(item.der) for item in self.validated_certificate_chain
            ],
            "known-pins": [_hpkp(pin) for pin in self.known_pins],
            "enforced": self.enforced,
            "problem": self.problem,
            "revision": self.revision,
        }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _hpkp(pin: str) -> str:
    """`pin-sha256="…"` (RFC 7469 section 2.1.1) where that grammar can say it, the canonical text elsewhere."""
    algorithm, _, digest = pin.partition("/")
    return f'pin-{algorithm}="{digest}"' if algorithm.isalnum() else pin
