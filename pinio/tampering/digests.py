"""Whether what was hashed once still is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pinio.core import certificate
from pinio.core.sha256 import HashesDisagreeError, sha256
from pinio.tampering.findings import Finding

_ABC: Final = bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
"""SHA-256 of `abc` (FIPS 180-4)."""


def digests() -> Iterator[Finding]:
    """Compute the digests of all cached certificates again, and one of a known answer."""
    try:
        if sha256(b"abc") != _ABC:
            yield Finding("hash", "SHA-256 gives a wrong answer")
        for cached in certificate.interned():
            genuine = certificate.Certificate(cached.der)
            if (cached.spki_sha256, cached.fields) != (genuine.spki_sha256, genuine.fields):
                yield Finding("cached digests", f"a cached key of {genuine.pin} was changed")
    except HashesDisagreeError as error:
        yield Finding("hash", str(error))
