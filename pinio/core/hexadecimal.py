"""Hexadecimal digits where a pin has Base64: what most tools print, and what the pin should be.

64 of them are Base64 too, of 48 bytes, and so would pass for a SHA-384 digest that no key has.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

_ALGORITHMS: Final = {32: "sha256", 48: "sha384", 64: "sha512"}  # by bytes of a digest
_LEAST: Final = (
    8  # different digits; a digest has nearly all of the 16, and a made-up one may have two
)

_TEXT = re.compile(
    r"(?P<role>(?:leaf|ca):)?(?:pin-)?(?P<cert>cert-)?(?:(?:sha-?\d+)[/:=]{1,2})?"
    r'"?(?P<digits>(?:[0-9a-f]{2}:?){31,63}[0-9a-f]{2})"?',
    re.IGNORECASE,
)
_DIGEST = re.compile(rb"[0-9A-Fa-f]+")


def hint(text: str) -> str | None:
    """What to write instead of a text that has a digest in hexadecimal; None if it has none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    digits = match["digits"].replace(":", "")
    digest = bytes.fromhex(digits)
    algorithm = _ALGORITHMS.get(len(digest))
    if algorithm is None or len(set(digits.lower())) < _LEAST:
        return None
    pin = f"{(match['role'] or '').lower()}{(match['cert'] or '').lower()}{algorithm}/{b64encode(digest).decode()}"
    more = (
        ""
        if match["cert"]
        else f"; if it is the fingerprint of a certificate: cert-{algorithm}:HEX"
    )
    return f"{len(digits)} hexadecimal digits, and a pin is written in Base64: {pin}{more}"


def is_text(digest: bytes) -> bool:
    """Whether this digest is the text of another one, in hexadecimal or read as Base64."""
    return any(
        len(text) == 64 and _DIGEST.fullmatch(text) and len(set(text.lower())) >= _LEAST
        for text in (digest, b64encode(digest))
    )
