"""Clients made of the standard library alone, to compare the testing kit with."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Self

from pinio.testing import CA, Leaf
from pinio.testing.listener import Listener


@contextmanager
def connected(
    listener: Listener,
    ca: CA,
    *,
    name: str = "localhost",
    identity: Leaf | None = None,
    tls_version: ssl.TLSVersion | None = None,
    alpn: tuple[str, ...] = (),
) -> Generator[ssl.SSLSocket]:
    """A finished handshake, closed in good order at the end."""
    context = ca.client_context(identity=identity, tls_version=tls_version)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with closing(socket.create_connection(listener.address)) as raw:
        raw.settimeout(60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio does: sent is sent
        with context.wrap_socket(raw, server_hostname=name) as tls:
            yield tls
            with closing(tls.unwrap()):
                pass


def exactly(tls: ssl.SSLSocket | socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = tls.recv(size - len(data))
        if not chunk:
            raise EOFError(f"the connection ended after {data!r}")
        data += chunk
    return data


class Withholding:
    """A TLS client over memory BIOs that sends only what it is told to send."""

    def __init__(
        self, listener: Listener, context: ssl.SSLContext, name: str = "localhost"
    ) -> None:
        self.socket = socket.create_connection(listener.address)
        self.socket.settimeout(60)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def step(self) -> bool:
        """Goes on with the handshake; tells whether it is finished on this side."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def send(self) -> None:
        self.socket.sendall(self._outgoing.read())

    def receive(self) -> None:
        self._incoming.write(self.socket.recv(65_536))

    def up_to_the_final_flight(self) -> None:
        """Ends with the client's Finished made, and not sent."""
        self.step()
        self.send()
        while not self._outgoing.pending:
            self.receive()
            self.step()
