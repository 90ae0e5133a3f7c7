"""The servers' halves of the protocols in which TLS is asked for, or spoken over, as far as a client needs them to start.

Each is a handler of `pinio.testing.Server`: what it reads inside TLS is kept there as application
bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pinio.testing import Connection, Handler
from pinio.testing.listener import Listener
from pinio.testing.relay import Direction, relay
from pinio.testing.responder import read_request

_LINE_LIMIT = 4096


def read_line(connection: Connection) -> bytes:
    """One line, byte by byte: what follows it may be TLS."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _LINE_LIMIT and (byte := connection.recv(1)):
        line += byte
    return bytes(line)


def read_exactly(connection: Connection, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := connection.recv(size - len(data))):
        data += chunk
    return data


# SMTP (RFC 5321, RFC 3207)


def smtp_in_clear(connection: Connection) -> None:
    connection.sendall(b"220 mail.test ready\r\n")
    read_line(connection)  # EHLO
    connection.sendall(b"250-mail.test\r\n250 STARTTLS\r\n")
    read_line(connection)  # STARTTLS
    connection.sendall(b"220 go ahead\r\n")


def smtp(connection: Connection) -> None:
    while line := read_line(connection):
        connection.sendall(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 mail.test\r\n")


def smtp_with_greeting(connection: Connection) -> None:
    connection.sendall(b"220 mail.test ready\r\n")
    smtp(connection)


# IMAP (RFC 9051), POP3 (RFC 2595) and FTP (RFC 4217)


def imap_in_clear(connection: Connection) -> None:
    connection.sendall(b"* OK ready\r\n")
    tag, _ = read_line(connection).split()  # CAPABILITY
    connection.sendall(b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b" OK done\r\n")
    tag, _ = read_line(connection).split()  # STARTTLS
    connection.sendall(tag + b" OK go ahead\r\n")


def imap(connection: Connection) -> None:
    while line := read_line(connection):
        tag, command, *_ = line.split()
        first = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n", b"LOGOUT": b"* BYE\r\n"}
        connection.sendall(first.get(command, b"") + tag + b" OK done\r\n")


def pop3_in_clear(connection: Connection) -> None:
    connection.sendall(b"+OK ready\r\n")
    read_line(connection)  # CAPA
    connection.sendall(b"+OK\r\nSTLS\r\n.\r\n")
    read_line(connection)  # STLS
    connection.sendall(b"+OK go ahead\r\n")


def pop3(connection: Connection) -> None:
    while read_line(connection):
        connection.sendall(b"+OK\r\n")


def ftp_in_clear(connection: Connection) -> None:
    connection.sendall(b"220 ready\r\n")
    read_line(connection)  # AUTH TLS
    connection.sendall(b"234 go ahead\r\n")


def ftp(connection: Connection) -> None:
    while read_line(connection):
        connection.sendall(b"230 welcome\r\n")


# WebSocket (RFC 6455)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def websocket(connection: Connection) -> None:
    """Take the handshake, then answer every frame with its own payload."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    request = read_request(connection, io.BufferedReader(io.BytesIO(head)))
    if request is None:
        return
    key = (request.header("sec-websocket-key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while first := read_exactly(connection, 2):
        size = first[1] & 0x7F  # short frames are all that these clients send
        mask, payload = read_exactly(connection, 4), read_exactly(connection, size)
        connection.sendall(
            bytes((first[0], size)) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        )
        if first[0] & 0x0F == 8:  # close
            return


# PostgreSQL (protocol 3.0, "SSL Session Encryption")


def postgres_in_clear(connection: Connection) -> None:
    read_exactly(connection, 8)  # SSLRequest
    connection.sendall(b"S")


def postgres(connection: Connection) -> None:
    """Let everybody in, and know no query."""
    if not (head := read_exactly(connection, 4)):
        return
    read_exactly(connection, struct.unpack("!I", head)[0] - 4)  # StartupMessage
    connection.sendall(
        _message(b"R", struct.pack("!I", 0))  # AuthenticationOk
        + _message(b"S", b"server_version\x0016.0\x00")
        + _message(b"S", b"client_encoding\x00UTF8\x00")
        + _message(b"K", struct.pack("!II", 1, 2))
        + _message(b"Z", b"I")
    )
    while connection.recv():
        pass


def postgres_after_tls(connection: Connection) -> None:
    """The same without asking for TLS first, as PostgreSQL 17 can."""
    postgres(connection)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


# Redis, which speaks RESP


def redis(connection: Connection) -> None:
    while count := read_line(connection):
        words: list[bytes] = []
        for _ in range(int(count[1:])):
            size = int(read_line(connection)[1:])
            words.append(read_exactly(connection, size + 2)[:-2])
        command = words[0].upper()
        if command == b"HELLO":
            connection.sendall(b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n")
        else:
            connection.sendall(b"+PONG\r\n" if command == b"PING" else b"+OK\r\n")


# NATS


def nats_in_clear(connection: Connection) -> None:
    connection.sendall(_nats_info(tls_required=True))


def nats_after_tls(connection: Connection) -> None:
    connection.sendall(_nats_info(tls_required=True))
    nats(connection)


def nats(connection: Connection) -> None:
    while line := read_line(connection):
        if line.startswith(b"PING"):
            connection.sendall(b"PONG\r\n")


def _nats_info(*, tls_required: bool) -> bytes:
    info = {
        "server_id": "T",
        "version": "2.10.4",
        "max_payload": 1_048_576,
        "tls_required": tls_required,
    }
    return b"INFO " + json.dumps(info).encode() + b"\r\n"


# Kafka


_API_VERSIONS, _METADATA = 18, 3


def kafka(connection: Connection) -> None:
    """Know two requests, in their first versions, and tell of a cluster without brokers and topics."""
    while head := read_exactly(connection, 4):
        (size,) = struct.unpack("!I", head)
        kind, _, correlation = struct.unpack("!hhi", read_exactly(connection, size)[:8])
        known = struct.pack("!hIhhhhhh", 0, 2, _API_VERSIONS, 0, 0, _METADATA, 0, 0)
        answer = struct.pack("!i", correlation) + (
            known if kind == _API_VERSIONS else struct.pack("!II", 0, 0)
        )
        connection.sendall(struct.pack("!I", len(answer)) + answer)


# SOCKS 5 (RFC 1928)


class SocksProxy(Listener):
    """A SOCKS5 proxy without authentication; every tunnel goes to `target`."""

    scheme = "socks5"
    CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00"

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        super().__init__(host="127.0.0.1")
        self._target = target

    def serve(self, connection: Connection) -> None:
        connection.settled = True
        if not (greeting := read_exactly(connection, 2)):
            return
        _, methods = greeting
        read_exactly(connection, methods)
        connection.sendall(b"\x05\x00")
        *_, kind = read_exactly(connection, 4)
        read_exactly(
            connection, (read_exactly(connection, 1)[0] if kind == 3 else {1: 4, 4: 16}[kind]) + 2
        )
        onward = connection.dial(self._target())
        connection.sendall(self.CONNECTED)
        relay(Direction(connection, onward), Direction(onward, connection))


# A man in the middle who would rather have no TLS at all, and listens to what is said without it


def smtp_without_tls(connection: Connection) -> None:
    connection.sendall(b"220 mail.test ready\r\n")
    smtp(connection)  # nor does it offer STARTTLS


def smtp_that_declines(connection: Connection) -> None:
    connection.sendall(b"220 mail.test ready\r\n")
    read_line(connection)  # EHLO
    connection.sendall(b"250-mail.test\r\n250 STARTTLS\r\n")
    read_line(connection)  # STARTTLS
    connection.sendall(b"454 TLS not available\r\n")
    smtp(connection)


def postgres_that_declines(connection: Connection) -> None:
    read_exactly(connection, 8)  # SSLRequest
    connection.sendall(b"N")
    postgres(connection)


def nats_without_tls(connection: Connection) -> None:
    connection.sendall(_nats_info(tls_required=False))
    nats(connection)


IN_CLEAR: dict[Handler, Handler] = {
    smtp: smtp_in_clear,
    imap: imap_in_clear,
    pop3: pop3_in_clear,
    ftp: ftp_in_clear,
    postgres: postgres_in_clear,
    nats: nats_in_clear,
}
"""What is said before TLS, for the protocols that start without."""


# A man in the middle who has no key, and says something in the server's name before TLS begins


class Injection(NamedTuple):
    """What he waits for, the last thing that is said in clear, and what he appends to it."""

    after: bytes
    words: bytes


INJECTIONS: dict[Handler, Injection] = {
    smtp: Injection(b"220 go ahead\r\n", b"550 injected\r\n"),
    imap: Injection(b" OK go ahead\r\n", b"* BYE injected\r\n"),
    pop3: Injection(b"+OK go ahead\r\n", b"-ERR injected\r\n"),
    ftp: Injection(b"234 go ahead\r\n", b"530 injected\r\n"),
    postgres: Injection(b"S", _message(b"E", b"SFATAL\x00C28000\x00Minjected\x00\x00")),
    nats: Injection(b"}\r\n", b"-ERR 'injected'\r\n"),
}
_REFUSED_REQUEST = b"HTTP/1.1 500 injected\r\nContent-Length: 8\r\n\r\ninjected"
AFTER_CONNECT = Injection(b"established\r\n\r\n", _REFUSED_REQUEST)
AFTER_SOCKS = Injection(SocksProxy.CONNECTED, _REFUSED_REQUEST)


class Injector(Listener):
    """A relay that appends words of its own to what the server, or a proxy, says last in clear."""

    def __init__(self, onward: Listener, injection: Injection) -> None:
        super().__init__(host="127.0.0.1")
        self.scheme = onward.scheme
        self._onward = onward
        self._injection = injection

    def serve(self, connection: Connection) -> None:
        connection.settled = True
        onward = connection.dial(self._onward.address)
        relay(
            Direction(connection, onward), _Appending(onward, connection, injection=self._injection)
        )


@dataclass
class _Appending(Direction):
    injection: Injection | None = None

    def load(self) -> None:
        super().load()
        if self.injection is not None and self._unsent.endswith(self.injection.after):
            self._unsent += self.injection.words
            self.injection = None
