"""Bytes of a file that was read, kept in memory, and handed to OpenSSL as a file.

`ssl.SSLContext.load_cert_chain` reads files only. A context may load a client certificate long
after the program did, when the file is gone or holds another one, so what was read is kept. Where
the platform has anonymous files in memory (Linux), OpenSSL gets one of those; elsewhere a file of
this user alone, which is gone a moment later.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

_ANONYMOUS = "/proc/self/fd/{}"


class Secret:
    """Bytes that `repr`, `pickle` and `copy` do not give away."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def reveal(self) -> bytes:
        """Return the bytes: as a callable, since `ssl` takes a password so."""
        return self.value

    def __repr__(self) -> str:
        return "<Secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is neither pickled nor copied")


@contextmanager
def as_file(secret: Secret) -> Generator[str]:
    """Show a secret as a file, for as long as the context lasts; yields its path."""
    descriptor = _anonymous_file()
    if descriptor is None:
        with tempfile.TemporaryDirectory(prefix="pinio-") as directory:  # of this user alone
            path = Path(directory, "identity.pem")
            path.touch(mode=0o600)
            path.write_bytes(secret.value)
            yield str(path)
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret.value)
        file.flush()
        yield _ANONYMOUS.format(descriptor)


def _anonymous_file() -> int | None:
    """Return the descriptor of a file in memory, or None where this process can have none."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("pinio")
    except OSError:  # a sandbox forbids it
        return None
    if os.access(_ANONYMOUS.format(descriptor), os.R_OK):
        return descriptor
    os.close(descriptor)  # no /proc here, or not for this process
    return None
