"""TLS messages, read and written by hand (RFC 5246 section 7.4, RFC 8446 section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pinio.testing import tls_record

HANDSHAKE = 22

SERVER_NAME, ALPN, PADDING, COMPRESS_CERTIFICATE, SESSION_TICKET = 0, 16, 21, 27, 35
PRE_SHARED_KEY, SUPPORTED_VERSIONS, COOKIE, KEY_SHARE = 41, 43, 44, 51
"""Extensions."""

TLS_1_2, TLS_1_3 = 0x0303, 0x0304


class ClientHello(NamedTuple):
    """What a client offers."""

    suites: tuple[int, ...]
    extensions: dict[int, bytes]
    session: bytes
    """legacy_session_id."""
    head: bytes
    """The body of the message up to its extensions."""
    message: bytes
    """All of it."""

    @classmethod
    def parse(cls, flight: bytes) -> ClientHello:
        """Read a client's first flight, which is one record."""
        assert flight[0] == HANDSHAKE
        whole = _Reader(flight[3:]).vector(2)
        message = _Reader(whole)
        assert message.take(1) == b"\x01"
        body = _Reader(content := message.vector(3))
        body.take(2 + 32)  # legacy_version, random
        session = body.vector(1)
        suites = body.vector(2)
        body.vector(1)  # legacy_compression_methods
        head = content[: len(content) - len(body.data)]
        extensions, rest = dict[int, bytes](), _Reader(body.vector(2))
        while rest.data:
            kind = int.from_bytes(rest.take(2))
            extensions[kind] = rest.vector(2)
        return cls(_numbers(suites), extensions, session, head, whole)

    @property
    def versions(self) -> tuple[int, ...]:
        """Protocol versions, best first (RFC 8446 section 4.2.1)."""
        return _numbers(_Reader(self.extensions[SUPPORTED_VERSIONS]).vector(1))

    @property
    def server_name(self) -> str | None:
        """The one name of the extension server_name (RFC 6066 section 3)."""
        extension = self.extensions.get(SERVER_NAME)
        return None if extension is None else extension[5:].decode("ascii")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        assert len(self.data) >= size
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def vector(self, length_size: int) -> bytes:
        return self.take(int.from_bytes(self.take(length_size)))


def _numbers(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))


def key_shares(hello: ClientHello) -> dict[int, bytes]:
    """A client's public keys, by group (RFC 8446 section 4.2.8)."""
    shares, rest = dict[int, bytes](), _Reader(_Reader(hello.extensions[KEY_SHARE]).vector(2))
    while rest.data:
        group = int.from_bytes(rest.take(2))
        shares[group] = rest.vector(2)
    return shares


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return kind.to_bytes(2) + vector(2, data)


def vector(length_size: int, data: bytes) -> bytes:
    """`data` behind its length."""
    return len(data).to_bytes(length_size) + data


def message(kind: int, body: bytes) -> bytes:
    """One handshake message."""
    return bytes((kind,)) + vector(3, body)


def server_hello(
    suite: int,
    *,
    version: int = TLS_1_2,
    extensions: bytes = b"",
    random: bytes = bytes(range(32)),
    session: bytes = b"\x07" * 32,
) -> bytes:
    """A server that chose `suite`, with a session id of its own."""
    body = version.to_bytes(2) + random + vector(1, session) + suite.to_bytes(2) + b"\x00"
    return message(2, body + vector(2, extensions))


def certificate(chain: Sequence[bytes]) -> bytes:
    """The server's certificates (TLS 1.2), as DER."""
    return message(11, vector(3, b"".join(vector(3, der) for der in chain)))


def certificate_request() -> bytes:
    """A wish for any client certificate (TLS 1.2): RSA or ECDSA signatures, over SHA-256, of any issuer."""
    return message(13, vector(1, b"\x01\x40") + vector(2, b"\x04\x01\x04\x03") + vector(2, b""))


def server_hello_done() -> bytes:
    """The end of a TLS 1.2 server's first flight."""
    return message(14, b"")


def flight(*messages: bytes) -> bytes:
    """Handshake messages in records, as they come."""
    data = b"".join(messages)
    return b"".join(
        tls_record(HANDSHAKE, data[at : at + 16384]) for at in range(0, len(data), 16384)
    )
