"""Certificates as values, and the two chains that must never be confused.

What the peer *served* is attacker's text; what OpenSSL *verified* is evidence. They are different
types, so that one cannot be handed over where the other is meant (CVE-2016-2402 was exactly that).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from pinio.core.der import DERError, Fields, fields, not_after, not_before
from pinio.core.intern import InternCache
from pinio.core.names import alternative_names
from pinio.core.sha256 import sha256

_HASHES: Final = {"sha384": hashlib.sha384, "sha512": hashlib.sha512}
"""Bound at import, so that a later assignment to a name of `hashlib` changes no digest."""


class Certificate:
    """One certificate, immutable, identified by its DER bytes.

    Make it with `Certificate.of`, which interns.
    """

    __slots__ = ("_digests", "_not_after", "der", "fields", "spki_sha256")

    der: bytes
    """The certificate as it was received."""
    fields: Fields | None
    """The parts found by the strict walk, or None if it refused the certificate."""
    spki_sha256: bytes | None
    """SHA-256 over the exact SubjectPublicKeyInfo bytes; None if they could not be found, and then nothing matches."""

    def __init__(self, data: bytes) -> None:
        self.der = data
        try:
            self.fields = fields(data)
        except DERError:
            self.fields = None
        self.spki_sha256 = None if self.fields is None else sha256(self.fields.spki)
        self._not_after: float | None
        self._digests: dict[tuple[str, str], bytes | None] = {}

    @staticmethod
    def of(data: bytes) -> Certificate:
        """Return the one `Certificate` of these DER bytes."""
        return _intern(data)

    @property
    def spki(self) -> bytes | None:
        """The SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), byte for byte as in the certificate, or None."""
        return None if self.fields is None else self.fields.spki

    @property
    def not_after(self) -> float | None:
        """Until when the certificate is valid, in POSIX seconds; None if it does not say."""
        try:
            return self._not_after
        except AttributeError:  # not asked for yet
            try:
                self._not_after = None if self.fields is None else not_after(self.fields.validity)
            except DERError:
                self._not_after = None
            return self._not_after

    @property
    def not_before(self) -> float | None:
        """From when on the certificate is valid, in POSIX seconds; None if it does not say."""
        try:
            return None if self.fields is None else not_before(self.fields.validity)
        except DERError:
            return None

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names and IP addresses that it is for (subjectAltName, RFC 5280 section 4.2.1.6).

        The first hundred, as its issuer wrote them: escape them before they are printed. Empty if
        there are none, or they cannot be read.
        """
        try:
            return alternative_names(self.der)
        except DERError:
            return ()

    @property
    def self_issued(self) -> bool:
        """Whether issuer and subject are the same name (RFC 5280 section 3.2)."""
        return self.fields is not None and self.fields.issuer == self.fields.subject

    def digest(self, selector: str, algorithm: str) -> bytes | None:
        """Digest of what `selector` ("spki" or "cert") names; None if the strict walk refused the certificate."""
        if selector == "spki" and algorithm == "sha256":
            return self.spki_sha256
        key = (selector, algorithm)
        if key not in self._digests:
            data = self.der if selector == "cert" else self.spki
            self._digests[key] = (
                None
                if data is None or self.fields is None
                else sha256(data)
                if algorithm == "sha256"
                else _HASHES[algorithm](data).digest()
            )
        return self._digests[key]

    @property
    def pin(self) -> str:
        """The SPKI pin as text, or a note that there is none."""
        if self.spki_sha256 is None:
            return "(no pin: not strict DER)"
        return "sha256/" + b64encode(self.spki_sha256).decode()

    def __eq__(self, other: object) -> bool:
        return self.der == other.der if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.der)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return Certificate.of, (self.der,)

    def __repr__(self) -> str:
        return f"<Certificate {self.pin}>"


_intern: Final = InternCache(Certificate)


def interned() -> tuple[Certificate, ...]:
    """All certificates whose digests are cached now; a self-test computes them again."""
    return _intern.values()


class _Chain:
    __slots__ = ("certificates",)

    certificates: tuple[Certificate, ...]

    def __init__(self, certificates: Iterable[bytes]) -> None:
        self.certificates = _intern.all(certificates)

    @property
    def leaf(self) -> Certificate:
        """Position 0: the certificate whose key the peer proved to hold."""
        return self.certificates[0]

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self.certificates)

    def __len__(self) -> int:
        return len(self.certificates)

    def __eq__(self, other: object) -> bool:
        return (
            self.certificates == other.certificates if type(other) is type(self) else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((type(self), self.certificates))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (tuple(item.der for item in self.certificates),)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[item.pin for item in self.certificates]}>"


class VerifiedChain(_Chain):
    """The path that OpenSSL built and verified, leaf first, anchor last.

    Pins are matched against this alone.
    """

    __slots__ = ()


class ServedChain(_Chain):
    """What the peer sent, in its order: for a person to look at, never for a decision."""

    __slots__ = ()
