"""A man in the middle with a certificate that the client's trust store accepts."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from pinio.testing.authority import CA, KeyType
from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler, echo
from pinio.testing.record import append_bounded
from pinio.testing.relay import Direction, relay
from pinio.testing.server import Server

if TYPE_CHECKING:
    from pinio.core.anchors import Anchors

Upstream: TypeAlias = "tuple[str, int, CA | Anchors | None]"


class Interceptor(Server):
    """A server for the same names, certified by the same CA, with another key: what pinning refuses.

    A client without pins cannot tell it from the genuine server. With `upstream`, neither can the
    user: everything is decrypted, kept and passed on to the genuine server, and so are its answers.

    Args:
        ca: the CA that the client trusts.
        identities: the names to pose as.
        upstream: host and port of the genuine server, and which CA to expect there (`None` to take
            any certificate).
        handler: what to answer without an `upstream`.
        key_type: of the interceptor's own key.
        host: the address to listen on.
        port: the port, or 0 for any free one.
        client_ca: ask for a client certificate, as the genuine server may do.
        tls_version: exactly this version.
        alpn: application protocols offered, best first.

    Attributes:
        leaf: the certificate that is presented.
    """

    def __init__(
        self,
        ca: CA,
        *identities: str,
        upstream: Upstream | None = None,
        handler: Handler = echo,
        key_type: KeyType = "ecdsa",
        host: str = "127.0.0.1",
        port: int = 0,
        client_ca: CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        alpn: Sequence[str] = (),
    ) -> None:
        self.leaf = ca.issue(*identities, key_type=key_type)
        super().__init__(
            self.leaf,
            handler=handler if upstream is None else _pass_on(upstream, identities[0]),
            host=host,
            port=port,
            client_ca=client_ca,
            tls_version=tls_version,
            alpn=alpn,
        )

    @property
    def captured(self) -> bytes:
        """Everything that clients told the interceptor, believing that they spoke to the genuine server."""
        return self.application_bytes

    @property
    def captured_replies(self) -> bytes:
        """Everything that the genuine server answered."""
        return b"".join(bytes(record.replies) for record in self.connections)


def _pass_on(upstream: Upstream, name: str) -> Handler:
    host, port, trusted = upstream

    def handler(connection: Connection) -> None:
        record = connection.record
        genuine = connection.dial((host, port))
        context = _client_context(trusted, record.alpn)
        genuine.handshake(context, server_hostname=record.server_name or name)
        genuine.flush()
        relay(
            Direction(connection, genuine),
            Direction(genuine, connection, note=lambda data: append_bounded(record.replies, data)),
        )

    return handler


def _client_context(trusted: CA | Anchors | None, alpn: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(
            cadata=trusted.certificate_pem if isinstance(trusted, CA) else trusted.pem
        )
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context
