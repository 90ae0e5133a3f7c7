"""A real TLS server on loopback that keeps what it saw."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence

from pinio.testing.authority import CA
from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler, echo
from pinio.testing.leaf import Leaf
from pinio.testing.listener import Listener
from pinio.testing.record import ConnectionRecord, Request


class Server(Listener):
    """A TLS server for tests: `with Server(ca.issue("localhost")) as server: …`.

    Args:
        identity: the certificate to present, or a complete server-side context, or `None` on a
            plain server.
        handler: what to do with each connection once its handshake has finished.
        host: the address to listen on.
        port: the port, or 0 for any free one.
        client_ca: ask for a client certificate and insist on one issued by this CA.
        tls_version: exactly this version; TLS 1.2 and 1.3 unless told.
        alpn: application protocols offered, best first.
        greeting: application data to send in the same segment as this side's last handshake message
            (TLS 1.2: its Finished; TLS 1.3: the session tickets that follow the client's Finished),
            before anything is read.
        starttls: a dialogue to hold in clear before TLS begins.
        plain: no TLS at all.

    Raises:
        ValueError: arguments that contradict each other.
        TypeError: an identity of another kind.
    """

    scheme = "https"

    def __init__(
        self,
        identity: Leaf | ssl.SSLContext | None = None,
        *,
        handler: Handler = echo,
        host: str = "127.0.0.1",
        port: int = 0,
        client_ca: CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        alpn: Sequence[str] = (),
        greeting: bytes | None = None,
        starttls: Handler | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(host=host, port=port)
        if plain == (identity is not None):
            raise ValueError("a server has either an identity or plain=True")
        if plain and starttls is not None:
            raise ValueError("STARTTLS leads to TLS, and needs an identity")
        if identity is not None and not isinstance(identity, Leaf | ssl.SSLContext):
            raise TypeError(
                f"identity is a Leaf, as ca.issue() makes it, or a context, not a {type(identity).__name__}"
            )
        if isinstance(identity, Leaf):
            identity = identity.server_context(
                tls_version=tls_version, alpn=alpn, client_ca=client_ca
            )
        elif client_ca is not None or tls_version is not None or alpn:
            raise ValueError("client_ca, tls_version and alpn belong to the context that was given")
        self._handler = handler
        self._greeting = greeting
        self._starttls = starttls
        self._context = identity
        if identity is None:
            self.scheme = "http"
        elif (
            identity.sni_callback is None
        ):  # a context may come with its own; then no name is recorded
            identity.sni_callback = _note_server_name

    def present(self, leaf: Leaf) -> None:
        """Present `leaf` from the next full handshake on, keeping the keys of session tickets.

        As server software does when its certificate is renewed: sessions from before can still be
        resumed. The new key must be of the old one's type; OpenSSL holds one certificate per type.
        Raises ValueError on a plain server.
        """
        if self._context is None:
            raise ValueError("a plain server presents nothing")
        leaf.load_into(self._context)

    def serve(self, connection: Connection) -> None:
        """Hold the handshake, then hand over to the handler."""
        if self._context is not None:
            self._secure(connection, self._context)
        connection.settled = True
        if self._greeting is not None:
            connection.sendall(self._greeting)
        else:
            connection.flush()
        self._handler(connection)

    def _secure(self, connection: Connection, context: ssl.SSLContext) -> None:
        if self._starttls is not None:
            self._starttls(connection)
        record = connection.record
        _handshaking.record = record
        tls = connection.handshake(context, server_side=True)
        # On a server do_handshake() returns when the client's Finished has been verified, in either
        # version.
        record.handshake_finished = True
        record.version = tls.version()
        record.cipher = (tls.cipher() or (None,))[0]
        record.alpn = tls.selected_alpn_protocol()
        record.resumed = bool(tls.session_reused)
        record.client_certificate = None if record.resumed else tls.getpeercert(True)

    # What all connections together saw

    @property
    def application_bytes(self) -> bytes:
        """Everything that clients sent and this server decrypted, connection after connection."""
        return b"".join(bytes(record.application_bytes) for record in self.connections)

    @property
    def handshakes_finished(self) -> int:
        """How many clients' Finished messages were received and verified."""
        return sum(record.handshake_finished for record in self.connections)

    @property
    def client_certificates(self) -> list[bytes]:
        """Every client certificate (DER) received."""
        return [
            record.client_certificate
            for record in self.connections
            if record.client_certificate is not None
        ]

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request that the `http` handler was asked."""
        return [request for record in self.connections for request in record.requests]


class _Handshaking(threading.local):
    """The record of the handshake that this thread is in; OpenSSL's callback does not name the connection."""

    record: ConnectionRecord | None = None


_handshaking = _Handshaking()


def _note_server_name(_tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    if _handshaking.record is not None:
        _handshaking.record.server_name = name
