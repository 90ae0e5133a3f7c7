"""A relay in front of an interceptor, which counts what a client sends after its ClientHello."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from pinio.testing.connection import Connection
from pinio.testing.listener import Listener
from pinio.testing.record import append_bounded
from pinio.testing.relay import Direction, relay


class Wire(Listener):
    """Passes bytes on to a port of loopback, and keeps what clients sent.

    Args:
        port: where every connection goes.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port

    @contextmanager
    def leading_to(self, port: int) -> Generator[None]:
        """Lead connections elsewhere for the length of a block."""
        before, self._target = self._target, port
        try:
            yield
        finally:
            self._target = before

    def serve(self, connection: Connection) -> None:
        connection.settled = True
        onward = connection.dial(("127.0.0.1", self._target))
        sent = connection.record.plaintext_bytes
        relay(
            Direction(connection, onward, note=lambda data: append_bounded(sent, data)),
            Direction(onward, connection),
        )


def after_the_hello(sent: bytes) -> int:
    """How many bytes of TLS followed the ClientHello.

    A second ClientHello is one too: a server may ask for another group (RFC 8446 section 4.1.4).
    Nor does an alert in clear count. What stands before the first record is the talk with a proxy.
    """
    start = sent.find(b"\x16\x03\x01")
    if start < 0:
        return 0
    records = list(_records(sent[start:]))
    while records and (_is_hello(records[0]) or _is_hello(b"".join(records[:2])[_CHANGE:])):
        del records[: 1 if _is_hello(records[0]) else 2]
    if len(records) == 1 and len(records[0]) == 7 and records[0][0] == _ALERT:
        return 0
    return sum(map(len, records))


_ALERT, _HANDSHAKE = 21, 22
_CHANGE = 6  # bytes of a ChangeCipherSpec with its header


def _records(data: bytes) -> Iterator[bytes]:
    while data:
        size = 5 + int.from_bytes(data[3:5])
        yield data[:size]
        data = data[size:]


def _is_hello(record: bytes) -> bool:
    return record[:1] == bytes((_HANDSHAKE,)) and record[5:6] == b"\x01"
