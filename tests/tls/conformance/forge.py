"""Records that no TLS library writes by itself, sealed by hand with the keys of a real connection.

Takes over what the server sends; what it receives is still read by its TLS object. AES-256-GCM with
SHA-384, which is what pinio and OpenSSL agree on. RFC 8446 sections 5.2 and 7 for TLS 1.3, RFC 5246
sections 5 and 6.3 with RFC 5288 for TLS 1.2.
"""

from __future__ import annotations

import hmac
import ssl
from abc import ABC, abstractmethod
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.tls.messages import vector

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23


class Forge(ABC):
    """One server's sending half."""

    def __init__(self) -> None:
        self._sequence = 0

    @abstractmethod
    def seal(self, payload: bytes, kind: int = APPLICATION_DATA) -> bytes:
        """One record."""

    def _next(self) -> bytes:
        number = self._sequence
        self._sequence += 1
        return number.to_bytes(8)

    @staticmethod
    def of(tls_version: ssl.TLSVersion, keylog: Path, replies: bytes) -> Forge:
        """The forge of a connection whose secrets were logged, and whose server's flights `replies` begins with."""
        secrets = {
            line.split()[0]: line.split()[1:]
            for line in keylog.read_text().splitlines()
            if line[0] != "#"
        }
        if tls_version is ssl.TLSVersion.TLSv1_3:
            return Forge13(bytes.fromhex(secrets["SERVER_TRAFFIC_SECRET_0"][1]))
        client_random, master = map(bytes.fromhex, secrets["CLIENT_RANDOM"])
        assert replies[5] == 2, "a ServerHello comes first"
        return Forge12(master, client_random, replies[11:43])


class Forge13(Forge):
    """TLS 1.3. The server must have sent nothing yet under these keys: no session tickets."""

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(expand_label(secret, "key", 32))
        self._iv = expand_label(secret, "iv", 12)
        self._sequence = 0

    def seal(self, payload: bytes, kind: int = APPLICATION_DATA, *, padding: int = 0) -> bytes:
        plaintext = payload + bytes([kind]) + bytes(padding)
        header = bytes((APPLICATION_DATA, 3, 3)) + (len(plaintext) + 16).to_bytes(2)
        nonce = bytes(a ^ b for a, b in zip(self._iv, bytes(4) + self._next(), strict=True))
        return header + self._key.encrypt(nonce, plaintext, header)

    def key_update(self, *, requested: bool) -> bytes:
        """Announce new keys, and use them from here on (RFC 8446 section 4.6.3)."""
        record = self.seal(bytes((24, 0, 0, 1, requested)), HANDSHAKE)
        self._use(expand_label(self._secret, "traffic upd", 48))
        return record


class Forge12(Forge):
    """TLS 1.2."""

    def __init__(self, master: bytes, client_random: bytes, server_random: bytes) -> None:
        super().__init__()
        block = _prf(master, b"key expansion" + server_random + client_random, 72)
        self._key, self._salt = AESGCM(block[32:64]), block[68:72]
        self._next()  # the server's Finished

    def seal(self, payload: bytes, kind: int = APPLICATION_DATA) -> bytes:
        number = self._next()
        sealed = self._key.encrypt(
            self._salt + number, payload, number + bytes((kind, 3, 3)) + len(payload).to_bytes(2)
        )
        return bytes((kind, 3, 3)) + (8 + len(sealed)).to_bytes(2) + number + sealed


def expand_label(secret: bytes, label: str, size: int, context: bytes = b"") -> bytes:
    """HKDF-Expand-Label with SHA-384 (RFC 8446 section 7.1)."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2) + vector(1, name) + vector(1, context)
    return HKDFExpand(SHA384(), size, info).derive(secret)


def _prf(secret: bytes, seed: bytes, size: int) -> bytes:
    block, out = seed, b""
    while len(out) < size:
        block = hmac.digest(secret, block, "sha384")
        out += hmac.digest(secret, block + seed, "sha384")
    return out[:size]
