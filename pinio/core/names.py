"""The names in a certificate, for people to read: OpenSSL alone decides whether one fits.

What a peer wrote is walked as strictly as the key (`pinio.core.der`), and bounded: a certificate
may have thousands of names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from pinio.core.der import OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, DERError, element, extensions

MOST_NAMES: Final = 100
"""Names that are read; the rest is passed over."""

_SUBJECT_ALT_NAME: Final = b"\x55\x1d\x11"
_BOOLEAN: Final = 0x01
# GeneralName (RFC 5280 section 4.2.1.6): the two kinds that TLS compares with the server's name.
_DNS_NAME: Final = 0x82
_IP_ADDRESS: Final = 0x87


def alternative_names(certificate: bytes) -> tuple[str, ...]:
    """DNS names and IP addresses of a certificate's subjectAltName, in its order; at most `MOST_NAMES`.

    As the peer wrote them, and so to be escaped before they are printed. Raises `DERError` for
    anything but strict DER.
    """
    names: list[str] = []
    for name in _names(_extension(extensions(certificate), _SUBJECT_ALT_NAME)):
        names.append(name)
        if len(names) == MOST_NAMES:
            break
    return tuple(names)


def _extension(data: bytes, identifier: bytes) -> bytes:
    """The value of one extension; empty if it is not there."""
    if not data:
        return b""
    at, end = element(data, 0, len(data), SEQUENCE)
    while at < end:
        item, at = element(data, at, end, SEQUENCE)
        start, stop = element(data, item, at, OBJECT_IDENTIFIER)
        if data[start:stop] == identifier:
            if stop < at and data[stop] == _BOOLEAN:  # whether it is critical
                _, stop = element(data, stop, at, _BOOLEAN)
            start, stop = element(data, stop, at, OCTET_STRING)
            return data[start:stop]
    return b""


def _names(data: bytes) -> Iterator[str]:
    if not data:
        return
    at, end = element(data, 0, len(data), SEQUENCE)
    while at < end:
        tag = data[at]
        start, at = element(data, at, end, tag)
        value = data[start:at]
        if tag == _DNS_NAME:
            yield value.decode("ascii", "replace")
        elif tag == _IP_ADDRESS:
            yield _address(value)


def _address(value: bytes) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise DERError(f"an IP address of {len(value)} bytes") from None
