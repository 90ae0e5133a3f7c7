"""What a test server says once a connection stands: ready-made handlers, and the means to write others.

A handler is any callable of one `Connection`. It runs in the connection's thread, may block, and
ends the connection by returning. An `OSError` that it lets through is taken for the client's doing
and kept in the record; any other exception is raised where the server's `with` block ends.
"""

from __future__ import annotations

from collections.abc import Callable

from pinio.testing.connection import Connection

Handler = Callable[[Connection], None]

_LINE_LIMIT = 65_536


def echo(connection: Connection) -> None:
    """Send back what arrives until the client closes."""
    while data := connection.recv():
        connection.sendall(data)


def silent(connection: Connection) -> None:
    """Read until the client closes and never say a word."""
    while connection.recv():
        pass


def speak_first(greeting: bytes, then: Handler = echo) -> Handler:
    """Send `greeting` as soon as the connection stands, as SMTP and many databases do, then do `then`.

    To have the greeting in one segment with the end of the handshake, give it to the server
    instead: `Server(leaf, greeting=…)`.
    """

    def handler(connection: Connection) -> None:
        connection.sendall(greeting)
        then(connection)

    return handler


def garbage(data: bytes = b"\x00not a TLS record\r\n", then: Handler = silent) -> Handler:
    """Send bytes that are no TLS record over the established connection."""

    def handler(connection: Connection) -> None:
        connection.send_raw(data)
        then(connection)

    return handler


def vanish(connection: Connection) -> None:
    """Read once, then end TCP without TLS's close_notify: a truncation, as an attacker would make it."""
    connection.recv()
    connection.close(goodbye=False)


def starttls(banner: bytes = b"220 ready\r\n", reply: bytes = b"220 go ahead\r\n") -> Handler:
    """Make a dialogue for `Server(starttls=…)`: say `banner`, read one line, say `reply`, all in clear.

    Anything behind the first line of `reply` is plaintext that a client must not take for something
    said inside TLS.
    """

    def handler(connection: Connection) -> None:
        connection.sendall(banner)
        line = b""
        while not line.endswith(b"\n") and len(line) < _LINE_LIMIT:
            if not (
                byte := connection.recv(1)
            ):  # one at a time: what follows the line belongs to TLS
                raise ConnectionAbortedError("the client left before STARTTLS")
            line += byte
        connection.sendall(reply)

    return handler
