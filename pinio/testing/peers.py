"""Peers and networks that misbehave: not TLS, half a handshake, one byte at a time, silence."""

from __future__ import annotations

from typing import Literal

from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler
from pinio.testing.listener import Listener
from pinio.testing.record import append_bounded
from pinio.testing.relay import Direction, relay
from pinio.testing.stream import CHUNK

_ALERTS = {
    "close_notify": 0,
    "unexpected_message": 10,
    "handshake_failure": 40,
    "bad_certificate": 42,
    "certificate_required": 116,
    "protocol_version": 70,
    "internal_error": 80,
    "unrecognized_name": 112,
}


class RawServer(Listener):
    """A TCP server that follows a script with every client, then closes.

    Args:
        steps: `bytes` are sent as they are; anything else is called with the connection: `hear`,
            `reset`, `silent` (to stall until the client gives up), or a handler of your own.
            Everything works on TCP, beneath TLS.
        host: the address to listen on.
        port: the port, or 0 for any free one.
    """

    scheme = "https"  # what a client believes it to be

    def __init__(self, *steps: bytes | Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self._steps = steps

    def serve(self, connection: Connection) -> None:
        """Follow the script."""
        connection.settled = True
        for step in self._steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                step(connection)


def hear(connection: Connection) -> None:
    """Read what the client says first, for TLS its ClientHello."""
    connection.recv()


def reset(connection: Connection) -> None:
    """End the connection with a TCP reset."""
    connection.abort()


def tls_record(kind: int, payload: bytes) -> bytes:
    """Return one TLS record in clear (RFC 8446 section 5.1); `kind` is 20 to 23."""
    return bytes((kind, 3, 3)) + len(payload).to_bytes(2) + payload


def tls_alert(description: str | int) -> bytes:
    """Return a fatal TLS alert (RFC 8446 section 6) by name, such as `"handshake_failure"`, or number."""
    return tls_record(
        21, bytes((2, _ALERTS[description] if isinstance(description, str) else description))
    )


class CutRelay(Listener):
    """A network that carries so many bytes and no more.

    Args:
        server: where to connect to for every client.
        after_bytes: how many bytes to carry in `direction`; the other one is not limited.
        direction: `"to_client"` or `"to_server"`.
        ending: what the client sees then: `"close"` (TCP ends), `"reset"`, or `"stall"` (nothing,
            for ever).
    """

    scheme = "https"

    def __init__(
        self,
        server: Listener,
        *,
        after_bytes: int,
        direction: Literal["to_client", "to_server"] = "to_client",
        ending: Literal["close", "reset", "stall"] = "close",
    ) -> None:
        super().__init__(host=server.host)
        self._server = server
        self._limit = after_bytes
        self._direction = direction
        self._ending = ending

    def serve(self, connection: Connection) -> None:
        """Carry bytes up to the limit, then end as told."""
        connection.settled = True
        onward, back = _directions(connection, self._server)
        (back if self._direction == "to_client" else onward).limit = self._limit
        relay(onward, back)
        if self._ending == "reset":
            connection.abort()
        elif self._ending == "stall":
            connection.drain()


class DripRelay(Listener):
    """A network that carries everything, a few bytes to a segment.

    Args:
        server: where to connect to for every client.
        step: how many bytes to send at a time, in both directions.
    """

    scheme = "https"

    def __init__(self, server: Listener, *, step: int = 1) -> None:
        super().__init__(host=server.host)
        self._server = server
        self._step = step

    def serve(self, connection: Connection) -> None:
        """Carry bytes until both sides have ended."""
        connection.settled = True
        relay(*_directions(connection, self._server, step=self._step))


def _directions(
    connection: Connection, server: Listener, *, step: int = CHUNK
) -> tuple[Direction, Direction]:
    onward = connection.dial(server.address)
    replies = connection.record.replies
    return (
        Direction(connection, onward, step=step),
        Direction(onward, connection, note=lambda data: append_bounded(replies, data), step=step),
    )
