"""Keys of signers: files of their own, encrypted, made and read on the machine that signs."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from pinio.errors import PolicyError
from pinio.sources.reading import read, shown

MAX_KEY = 64_000
"""Longest key file, in bytes."""
LEAST = 8
"""Fewest characters of a passphrase."""


def make_key(path: Path, passphrase: str) -> CryptoSigner:
    """Make an Ed25519 key in a new file of mode 0600, in encrypted PKCS #8. Raises `PolicyError`."""
    if len(passphrase) < LEAST:
        raise PolicyError(f"a passphrase has at least {LEAST} characters")
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise PolicyError(f"{shown(str(path))}: there is a file already") from None
    except OSError as error:
        raise PolicyError(f"{shown(str(path))}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return CryptoSigner(key)


def read_key(path: Path, passphrase: str) -> CryptoSigner:
    """Read a key. Raises `PolicyError`."""
    text = read(str(path), MAX_KEY)[0]
    if b"ENCRYPTED" not in text:
        raise PolicyError(f"{shown(str(path))}: not an encrypted private key")
    try:
        return CryptoSigner(load_pem_private_key(text, passphrase.encode()))
    except (ValueError, TypeError) as error:
        raise PolicyError(f"{shown(str(path))}: wrong passphrase, or no key: {error}") from None
