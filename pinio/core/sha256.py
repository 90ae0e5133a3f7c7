"""SHA-256 by two implementations: one that decides, and one that must agree.

Pins are compared with digests, so whoever replaces the hash decides what matches. The first
implementation is CPython's built-in one (`_sha2`, before 3.12 `_sha256`): neither `hashlib`, which a
program can patch by one line, nor OpenSSL, whose functions a preloaded library can replace, takes
part in it. Its name is private; this module is the only one that says it. A Python built without it
has `hashlib`'s alone, and `INDEPENDENT` is False.

Both functions are bound when this module is imported: a later assignment to `hashlib.sha256` changes
nothing here, and an earlier one makes the two disagree.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, cast

_second: Final[Any] = hashlib.sha256
try:
    from _sha2 import sha256 as _built_in  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:  # before Python 3.12
        from _sha256 import sha256 as _built_in  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        _built_in = _second

_first: Final = cast(Any, _built_in)

INDEPENDENT: Final[bool] = _first is not _second
"""Whether there are two implementations."""


class HashesDisagreeError(RuntimeError):
    """Two implementations of SHA-256 gave different digests: one of them was tampered with."""


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4) of `data`, 32 bytes.

    It costs twice what one implementation does, so callers keep what they hashed.

    Raises `HashesDisagreeError` if the two implementations differ.
    """
    digest: bytes = _first(data).digest()
    if digest != _second(data).digest():
        raise HashesDisagreeError("two implementations of SHA-256 disagree")
    return digest
