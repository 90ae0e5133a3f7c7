"""Certificates by hand: the spellings that no certificate library would write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SEQUENCE: Final = 0x30
SET: Final = 0x31
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = b"\x05\x00"
OID: Final = 0x06
UTF8: Final = 0x0C
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
EXPLICIT_0: Final = 0xA0

ECDSA_SHA256: Final = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
"""The object identifier ecdsa-with-SHA256, as an element."""
COMMON_NAME: Final = b"\x06\x03\x55\x04\x03"


def tlv(tag: int, *content: bytes) -> bytes:
    """One DER element: tag, minimal definite length, content."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    octets = (len(body).bit_length() + 7) // 8
    return bytes((tag, 0x80 | octets)) + len(body).to_bytes(octets, "big") + body


def indefinite(tag: int, *content: bytes) -> bytes:
    """The same in BER's indefinite length, which DER forbids."""
    return bytes((tag, 0x80)) + b"".join(content) + b"\x00\x00"


def name(text: str | bytes = "somebody", *, tag: int = UTF8, kind: bytes = COMMON_NAME) -> bytes:
    """An RDNSequence of one attribute."""
    value = text.encode() if isinstance(text, str) else text
    return tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, kind, tlv(tag, value))))


def validity(
    not_before: bytes = b"200101000000Z", not_after: bytes = b"491231235959Z", tag: int = UTC_TIME
) -> bytes:
    return tlv(SEQUENCE, tlv(tag, not_before), tlv(tag, not_after))


def extension(identifier: bytes, value: bytes) -> bytes:
    return tlv(SEQUENCE, tlv(OID, identifier), tlv(OCTET_STRING, value))


def spki_of(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def some_spki(octet: int = 1) -> bytes:
    """A SubjectPublicKeyInfo that looks like an Ed25519 key; nobody has the other half."""
    return tlv(
        SEQUENCE,
        tlv(SEQUENCE, tlv(OID, b"\x2b\x65\x70")),
        tlv(BIT_STRING, b"\x00", bytes((octet,)) * 32),
    )


@dataclass(frozen=True)
class Forged:
    """The elements of a certificate, each replaceable by whatever bytes a test likes."""

    version: bytes = tlv(EXPLICIT_0, tlv(INTEGER, b"\x02"))
    serial: bytes = tlv(INTEGER, b"\x05")
    signature: bytes = tlv(SEQUENCE, ECDSA_SHA256)
    issuer: bytes = name("issuer")
    validity: bytes = validity()
    subject: bytes = name("subject")
    spki: bytes = some_spki()
    trailing: bytes = b""
    """Unique identifiers and extensions."""
    outer_signature: bytes = tlv(SEQUENCE, ECDSA_SHA256)
    signature_value: bytes = tlv(
        BIT_STRING, b"\x00", b"not a signature at all, but of the length that one has"
    )

    @property
    def elements(self) -> tuple[bytes, ...]:
        """What TBSCertificate is made of, in its order."""
        return (
            self.version, self.serial, self.signature, self.issuer, self.validity, self.subject, self.spki, self.trailing,
        )  # fmt: skip

    @property
    def tbs(self) -> bytes:
        return tlv(SEQUENCE, *self.elements)

    @property
    def der(self) -> bytes:
        return tlv(SEQUENCE, self.tbs, self.outer_signature, self.signature_value)

    def but(self, **changes: bytes) -> Self:
        return replace(self, **changes)

    def signed(self, key: ec.EllipticCurvePrivateKey) -> Self:
        """The same with a true signature of these bytes."""
        return self.but(
            signature_value=tlv(BIT_STRING, b"\x00", key.sign(self.tbs, ec.ECDSA(hashes.SHA256())))
        )
