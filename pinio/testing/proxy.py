"""An HTTP proxy that opens tunnels, honest or not."""

from __future__ import annotations

import base64
import io
import ipaddress
import ssl
from collections.abc import Mapping

from pinio.core.url import split_target
from pinio.testing.connection import Connection
from pinio.testing.leaf import Leaf
from pinio.testing.listener import Listener
from pinio.testing.record import Request, append_bounded
from pinio.testing.relay import Direction, relay
from pinio.testing.responder import read_request
from pinio.testing.server import Server

_HEAD_LIMIT = 65_536


class ConnectProxy(Server):
    """An HTTP proxy for CONNECT (RFC 9110 section 9.3.6) that keeps what it was asked in `requests`.

    It never leaves the machine: a target is either in `routes` or on loopback.

    Args:
        leaf: makes it an HTTPS proxy that presents this certificate; without, clients speak to it
            in clear.
        credentials: user and password to insist on (Basic authentication).
        routes: where tunnels to a target such as `"api.example.com:443"` really go.
        interceptor: where *every* tunnel really goes, as on a network that inspects TLS.
        host: the address to listen on.
        port: the port, or 0 for any free one.
        tls_version: exactly this version between client and proxy.
    """

    def __init__(
        self,
        leaf: Leaf | None = None,
        *,
        credentials: tuple[str, str] | None = None,
        routes: Mapping[str, tuple[str, int]] | None = None,
        interceptor: Listener | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_version: ssl.TLSVersion | None = None,
    ) -> None:
        super().__init__(
            leaf,
            plain=leaf is None,
            handler=self._tunnel,
            host=host,
            port=port,
            tls_version=tls_version,
        )
        self._routes = dict(routes or {})
        self._interceptor = interceptor
        self._authorization = _basic(*credentials) if credentials else None

    def _tunnel(self, connection: Connection) -> None:
        head = bytearray()
        while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_LIMIT:
            if not (
                byte := connection.recv(1)
            ):  # one at a time: what follows the head belongs to the tunnel
                return
            head += byte
        request = read_request(connection, io.BufferedReader(io.BytesIO(head)))
        if request is None:
            return
        connection.record.requests.append(request)
        if self._authorization not in (None, request.header("proxy-authorization")):
            connection.sendall(
                _answer("407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=test")
            )
        elif request.method != "CONNECT":
            connection.sendall(_answer("405 Method Not Allowed", "Allow: CONNECT"))
        elif (address := self._address(request)) is None:
            connection.sendall(_answer("502 Bad Gateway"))
        else:
            self._connect(connection, address)

    def _address(self, request: Request) -> tuple[str, int] | None:
        if self._interceptor is not None:
            return self._interceptor.address
        if request.target in self._routes:
            return self._routes[request.target]
        try:
            text, port = split_target(request.target)
            host = text.strip("[]").lower()
            local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:  # a PolicyError too
            return None
        return (host, port) if local and port else None

    @staticmethod
    def _connect(connection: Connection, address: tuple[str, int]) -> None:
        try:
            onward = connection.dial(address)
        except OSError:
            connection.sendall(_answer("502 Bad Gateway"))
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        replies = connection.record.replies
        relay(
            Direction(connection, onward),
            Direction(onward, connection, note=lambda data: append_bounded(replies, data)),
        )


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _answer(status: str, *headers: str) -> bytes:
    return "".join(
        f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "")
    ).encode()
