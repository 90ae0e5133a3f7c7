"""Find the public key and the names in a certificate, or refuse it.

Theory of operation. A pin is a digest over the SubjectPublicKeyInfo *as it stands in the
certificate*. TLS used the key that OpenSSL's parser found; if this walk found other bytes, an
attacker could show OpenSSL his key and the walk a pinned one. OpenSSL reads BER, which has many
spellings for one value; this walk reads DER, which has one (ITU-T X.690 section 10). So every tag
from the outside down to the key is compared with the one that RFC 5280 section 4.1 puts there,
every length is definite and minimal, all lengths add up, and nothing may trail. Whatever deviates
is refused, never guessed: a certificate without a key that could be found matches no pin.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

SEQUENCE: Final = 0x30
SET: Final = 0x31
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
OCTET_STRING: Final = 0x04
# The tagged fields of TBSCertificate, in their order: issuerUniqueID, subjectUniqueID, extensions.
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_TRAILING: Final = (0x81, 0x82, _EXTENSIONS)
_TIME: Final = re.compile(r"[0-9]{14}Z")  # with the century

MAX_CERTIFICATE: Final = 1 << 20
"""Longest certificate that is walked, in bytes. OpenSSL refuses chains over 100 KiB long before."""


class DERError(ValueError):
    """These bytes are not the strict DER that was expected.

    The message says what and at which offset.
    """


class Fields(NamedTuple):
    """The parts of a TBSCertificate that pinio reads, each a complete DER element."""

    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes


def element(data: bytes, offset: int, end: int, tag: int) -> tuple[int, int]:
    """Return where the content of the element at `offset` starts and ends; it must have `tag` and fit before `end`."""
    if end - offset < 2:
        raise DERError(f"truncated at offset {offset}")
    if data[offset] != tag:
        raise DERError(f"tag 0x{data[offset]:02x} at offset {offset}, expected 0x{tag:02x}")
    length = data[offset + 1]
    start = offset + 2
    if length >= 0x80:
        octets = length & 0x7F
        # 0x80 is BER's indefinite length; more than four octets cannot fit MAX_CERTIFICATE.
        if not 1 <= octets <= 4 or start + octets > end:
            raise DERError(f"length at offset {offset + 1} is not a definite DER length")
        length = int.from_bytes(data[start : start + octets], "big")
        if length < 0x80 or length >> (8 * (octets - 1)) == 0:
            raise DERError(f"length at offset {offset + 1} is not minimal")
        start += octets
    if length > end - start:
        raise DERError(f"element at offset {offset} is longer than what holds it")
    return start, start + length


def _last(data: bytes, offset: int, end: int, tag: int) -> tuple[int, int]:
    """Like `element`, for one that must fill the rest."""
    start, stop = element(data, offset, end, tag)
    if stop != end:
        raise DERError(f"{end - stop} bytes trail at offset {stop}")
    return start, stop


def fields(certificate: bytes) -> Fields:
    """Walk a DER certificate (RFC 5280 section 4.1).

    Raises `DERError` on anything but strict DER.
    """
    if len(certificate) > MAX_CERTIFICATE:
        raise DERError(f"{len(certificate)} bytes are too many for a certificate")
    data = certificate
    at, end = _last(data, 0, len(data), SEQUENCE)
    tbs, tbs_end = element(data, at, end, SEQUENCE)
    _, at = element(data, tbs_end, end, SEQUENCE)  # signatureAlgorithm
    _last(data, at, end, BIT_STRING)  # signatureValue

    at = _version(data, tbs, tbs_end)
    _, at = element(data, at, tbs_end, INTEGER)  # serialNumber
    _, issuer = element(data, at, tbs_end, SEQUENCE)  # signature, ends where the issuer starts
    _, validity = element(data, issuer, tbs_end, SEQUENCE)
    _, subject = element(data, validity, tbs_end, SEQUENCE)
    _, key = element(data, subject, tbs_end, SEQUENCE)
    at = _key(data, key, tbs_end)
    spki = data[key:at]
    for tag in _TRAILING:
        if at < tbs_end and data[at] == tag:
            _, at = element(data, at, tbs_end, tag)
    if at != tbs_end:
        raise DERError(f"unexpected element at offset {at}")
    return Fields(data[issuer:validity], data[validity:subject], data[subject:key], spki)


def _version(data: bytes, offset: int, end: int) -> int:
    """Step over the version, an INTEGER; absent means v1.

    Its value is not asked: OpenSSL takes v1 spelled out (DER leaves defaults out) and numbers
    beyond v3, and no value of an element that is in DER moves the elements behind it.
    """
    if offset == end or data[offset] != _VERSION:
        return offset
    at, stop = element(data, offset, end, _VERSION)
    at, _ = _last(data, at, stop, INTEGER)
    value = data[at:stop]
    # The first nine bits are never alike (ITU-T X.690 section 8.3.2).
    padding = value[:1] == (b"\xff" if value[1:2] >= b"\x80" else b"\x00") and len(value) > 1
    if not value or padding:
        raise DERError(f"version at offset {offset} is not an INTEGER in DER")
    return stop


def _key(data: bytes, offset: int, end: int) -> int:
    """Step over a SubjectPublicKeyInfo: an AlgorithmIdentifier, which starts with an OID, and a BIT STRING."""
    at, stop = element(data, offset, end, SEQUENCE)
    algorithm, at = element(data, at, stop, SEQUENCE)
    element(data, algorithm, at, OBJECT_IDENTIFIER)
    bits, _ = _last(data, at, stop, BIT_STRING)
    if data[bits : bits + 1] != b"\x00":  # also refuses an empty BIT STRING
        raise DERError(f"public key at offset {at} is not a whole number of bytes")
    return stop


def check_public_key(spki: bytes) -> None:
    """Check that `spki` is one DER SubjectPublicKeyInfo and nothing more. Raises `DERError`."""
    end = _key(spki, 0, len(spki))
    if end != len(spki):
        raise DERError(f"{len(spki) - end} bytes trail at offset {end}")


def not_before(validity: bytes) -> float:
    """`notBefore` of a Validity (RFC 5280 section 4.1.2.5) in POSIX seconds. Raises `DERError`."""
    at, end = element(validity, 0, len(validity), SEQUENCE)
    tag = _time_tag(validity, at, end)
    return _time(validity, *element(validity, at, end, tag), tag, "notBefore")


def not_after(validity: bytes) -> float:
    """`notAfter` of a Validity (RFC 5280 section 4.1.2.5) in POSIX seconds. Raises `DERError`."""
    at, end = element(validity, 0, len(validity), SEQUENCE)
    _, at = element(validity, at, end, _time_tag(validity, at, end))  # notBefore
    tag = _time_tag(validity, at, end)
    return _time(validity, *_last(validity, at, end, tag), tag, "notAfter")


def _time(data: bytes, start: int, stop: int, tag: int, name: str) -> float:
    text = data[start:stop].decode("ascii", "replace")
    if tag == UTC_TIME:  # two-digit years: 50 to 99 are 1950 to 1999
        text = ("19" if text[:1] >= "5" else "20") + text
    if not _TIME.fullmatch(text):  # strptime alone would take fewer digits
        raise DERError(f"{name} at offset {start} is not a time of RFC 5280")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise DERError(f"{name} at offset {start} is not a time of RFC 5280") from None


def _time_tag(data: bytes, offset: int, end: int) -> int:
    if offset >= end or data[offset] not in (UTC_TIME, GENERALIZED_TIME):
        raise DERError(f"neither UTCTime nor GeneralizedTime at offset {offset}")
    return data[offset]


def extensions(certificate: bytes) -> bytes:
    """The Extensions of a certificate (RFC 5280 section 4.1.2.9), a SEQUENCE; empty if it has none.

    Raises `DERError` for a certificate that `fields` refuses.
    """
    fields(certificate)  # so that below every element has the tag that belongs there
    at, end = element(certificate, 0, len(certificate), SEQUENCE)
    at, end = element(certificate, at, end, SEQUENCE)
    while at < end:
        tag = certificate[at]
        start, at = element(certificate, at, end, tag)
        if tag == _EXTENSIONS:
            _last(certificate, start, at, SEQUENCE)
            return certificate[start:at]
    return b""
