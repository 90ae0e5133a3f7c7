"""An interceptor that takes whatever a client says on one port: TLS, or plaintext."""

from __future__ import annotations

import socket
import ssl

from pinio.testing.authority import CA
from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler, silent
from pinio.testing.leaf import Leaf
from pinio.testing.record import ConnectionRecord
from pinio.testing.server import Server

TLS_HANDSHAKE = 22  # the type of a ClientHello's record (RFC 8446 section 5.1)


class Trap(Server):
    """Presents a certificate of a trusted CA, and reads TLS and plaintext alike.

    A client that falls back to plaintext is recorded like one that does not pin: what it said is
    in `application_bytes`, and `version` of its record is `None`.

    Args:
        leaf: the certificate to present.
        handler: what to answer, in TLS and in clear.
        client_ca: ask for a client certificate and insist on one issued by this CA.
        tls_version: exactly this version.
        tls: whether TLS is answered at all; otherwise it is reset, as by an attacker who wants
            plaintext.
    """

    def __init__(
        self,
        leaf: Leaf,
        *,
        handler: Handler,
        client_ca: CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        tls: bool = True,
    ) -> None:
        super().__init__(leaf, handler=self._answer, client_ca=client_ca, tls_version=tls_version)
        self.leaf = leaf
        self.client_ca = client_ca
        self._answers = handler
        self._speaks_tls = tls
        self._from = 0
        self.controlling = False

    def begin(self) -> None:
        """Forget the connections so far: those of the control client."""
        self._take_in()
        self._from = len(self._records)

    def visits(self) -> list[ConnectionRecord]:
        """The connections since `begin()`, once all that has arrived was taken in.

        Does not wait for a client to close, and is safe where an event loop runs.
        """
        self._take_in()
        return self._records[self._from :]

    def serve(self, connection: Connection) -> None:
        """Find out by the first byte what the client speaks, and record it."""
        connection.activity.wait((connection.socket,))
        first = connection.socket.recv(1, socket.MSG_PEEK)
        if first != bytes((TLS_HANDSHAKE,)):
            connection.settled = True
            self._answer(connection)
        elif self._speaks_tls or self.controlling:
            super().serve(connection)
        else:
            connection.settled = True
            connection.record.handshake_bytes += connection.socket.recv(65_536)
            connection.abort()

    def _answer(self, connection: Connection) -> None:
        (silent if self.controlling else self._answers)(connection)
