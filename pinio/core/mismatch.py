"""Why the pins of a host do not match, where the chain shows it: a wrong role, or the digest of something else.

For people: the pin was written by whoever runs the program, and is likely to be a mistake and no
attack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pinio.core import pem
from pinio.core.certificate import Certificate
from pinio.core.der import BIT_STRING, INTEGER, SEQUENCE, DERError, element
from pinio.core.pin import Pin, Role
from pinio.core.wording import MOST_CERTIFICATES, subject

if TYPE_CHECKING:
    from pinio.core.pinset import PinSet

_KEY, _CERTIFICATE = "the key", "the whole certificate"
_RSA = bytes.fromhex("2a864886f70d010101")  # rsaEncryption (RFC 3279 section 2.3.1)


class _Seen(NamedTuple):
    """What a digest was taken of."""

    what: str
    position: int
    certificate: Certificate


def hint(chain: Sequence[Certificate], pin_set: PinSet) -> str | None:
    """What is wrong with a pin of this set; None if nobody can tell from this chain."""
    pins = (*pin_set.pins, *pin_set.backup)
    seen = {
        name: _digests(chain[:MOST_CERTIFICATES], name) for name in {pin.algorithm for pin in pins}
    }
    hints = (_hint(pin, found) for pin in pins if (found := seen[pin.algorithm].get(pin.digest)))
    return next((text for text in hints if text is not None), None)


def _digests(chain: Sequence[Certificate], algorithm: str) -> dict[bytes, _Seen]:
    digests: dict[bytes, _Seen] = {}
    for position, certificate in enumerate(chain):
        for what, data in _digested(certificate):
            digests.setdefault(
                hashlib.new(algorithm, data).digest(), _Seen(what, position, certificate)
            )
    return digests


def _hint(pin: Pin, seen: _Seen) -> str | None:
    what, position, certificate = seen
    pinned = _KEY if pin.selector == "spki" else _CERTIFICATE
    where = f"at position {position} ({'the leaf' if position == 0 else 'a CA'}, {subject(certificate)})"
    fits = pin.role == "any" or (pin.role == "leaf") == (position == 0)
    role: Role = pin.role if fits else "leaf" if position == 0 else "ca"
    if what == pinned:
        return (
            None
            if fits
            else (
                f"the digest of {pin} is that of {what} {where}, but the pin's role is {pin.role}: "
                f"if that one is meant, write {replace(pin, role=role)}"
            )
        )
    key = replace(
        pin,
        digest=hashlib.new(pin.algorithm, certificate.spki or b"").digest(),
        selector="spki",
        role=role,
    )
    if what == _KEY:
        return f"the digest of {pin} is that of {what} {where}, and not of the certificate: write {key}"
    if what == _CERTIFICATE:
        return (
            f"the digest of {pin} is that of {what} {where}, and not of its key: write "
            f"{replace(pin, selector='cert', role=role)}, or pin the key, which outlives the certificate: {key}"
        )
    return (
        f"the digest of {pin} is that of {what} {where}, and a pin's is that of "
        f"{'the SubjectPublicKeyInfo' if pinned == _KEY else 'the certificate'} in DER: write {key}"
    )


def _digested(certificate: Certificate) -> Iterator[tuple[str, bytes]]:
    """What people take the digest of: the right things first, then those that tools print at hand."""
    if (spki := certificate.spki) is None:
        return
    yield _KEY, spki
    yield _CERTIFICATE, certificate.der
    for what, text in (
        ("the PEM text of the certificate", pem.encode(certificate.der)),
        ("the PEM text of the key", pem.encode(spki, pem.PUBLIC_KEY)),
    ):
        yield what, text.encode()
        yield what, text.rstrip("\n").encode()
    try:
        bits, modulus = _parts(spki)
    except DERError:  # a key of a kind that nobody knows here
        return
    yield "the key's bits without their algorithm", bits
    if modulus:
        text = modulus.hex().upper()
        yield "the key's modulus", modulus
        yield "the key's modulus", b"Modulus=%s\n" % text.encode()  # `openssl x509 -modulus`
        yield "the key's modulus", text.encode()


def _parts(spki: bytes) -> tuple[bytes, bytes]:
    """The bits of a public key, and its modulus if it is one of RSA (RFC 8017 appendix A.1.1)."""
    at, end = element(spki, 0, len(spki), SEQUENCE)
    algorithm, at = element(spki, at, end, SEQUENCE)
    start, stop = element(spki, at, end, BIT_STRING)
    bits = spki[start + 1 : stop]
    if _RSA not in spki[algorithm:at]:
        return bits, b""
    first, last = element(bits, 0, len(bits), SEQUENCE)
    start, stop = element(bits, first, last, INTEGER)
    return bits, bits[start:stop].lstrip(b"\x00")
