"""The interceptor of an audit, for proxied and for redirected connections."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final

from pinio.audit.verdict import Observation
from pinio.core.host import canonical_host
from pinio.core.url import split_target, split_url
from pinio.errors import PolicyError
from pinio.testing import CA
from pinio.testing.connection import Connection
from pinio.testing.listener import Listener
from pinio.testing.relay import Direction, relay
from pinio.testing.stream import Stream

_TLS_HANDSHAKE: Final = b"\x16"
_HEAD: Final = 65_536
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_NO_SERVER: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SO_ORIGINAL_DST: Final = 80  # of Linux's netfilter_ipv4.h

Address = tuple[str, int]


class Auditor(Listener):
    """Takes what a program says, and passes it on to the genuine server if that can be verified.

    Args:
        ca: signs the certificates that are shown.
        upstream: verifies the genuine servers.
        listening: a socket that listens in another network namespace, whose connections were
            redirected; without, the program comes by a proxy.
        name_of: the name that was resolved to an address in that namespace, if it was.
    """

    def __init__(
        self,
        ca: CA,
        upstream: ssl.SSLContext,
        *,
        listening: socket.socket | None = None,
        name_of: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        self._ca = ca
        self._upstream = upstream
        self._listening = listening
        self._name_of = name_of
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._asked_at: dict[str, str] = {}
        self.observations: list[Observation] = []

    def _listen(self) -> socket.socket:
        return self._listening or super()._listen()

    def serve(self, connection: Connection) -> None:
        """Find out where a connection was meant to go, and intercept it there."""
        if self._listening is not None:
            host, port = _original_destination(connection.socket)
            self._intercept(connection, (self._name_of(host), port))
            return
        head = _read_head(connection)
        method, target, _ = (*head.split(b"\r\n", 1)[0].decode("latin-1").split(), "", "", "")[:3]
        try:
            if method == "CONNECT":
                host, number = split_target(target)
                connection.sendall(_ESTABLISHED)
                self._intercept(connection, (host.strip("[]"), number or 443))
            else:
                _, host, number = split_url(target)
                self._in_clear(connection, (host, number or 80), head)
        except PolicyError:
            connection.sendall(_NO_SERVER)

    def _intercept(self, connection: Connection, target: Address) -> None:
        connection.activity.wait((connection.socket,))
        first = connection.socket.recv(1, socket.MSG_PEEK)
        if first == _TLS_HANDSHAKE:
            self._in_tls(connection, target)
        elif first:
            self._in_clear(connection, target, b"")

    def _in_tls(self, connection: Connection, target: Address) -> None:
        asked = [target[0]]
        finished, alert = False, ""
        try:
            connection.handshake(self._context(asked), server_side=True)
            finished = True
            connection.settled = connection.record.handshake_finished = True
            connection.flush()
            self._pass_on(connection, (asked[0], target[1]), b"", tls=True)
        except ssl.SSLError as error:
            alert = error.reason if error.reason and "ALERT" in error.reason else ""
        finally:
            received = len(connection.record.application_bytes)
            self._asked_at[target[0]] = asked[0]
            self._note(asked[0], target[1], finished, received, alert, tls=True)

    def _in_clear(self, connection: Connection, target: Address, head: bytes) -> None:
        connection.settled = True
        try:
            self._pass_on(connection, target, head, tls=False)
        finally:
            received = len(head) + len(connection.record.application_bytes)
            # An address that was spoken to over TLS has the name that was asked for there.
            name = self._asked_at.get(target[0], target[0])
            self._note(name, target[1], False, received, "", tls=False)

    def _note(
        self, host: str, port: int, finished: bool, received: int, alert: str, *, tls: bool
    ) -> None:
        self.observations.append(Observation(_shown(host), port, tls, finished, received, alert))

    def _pass_on(self, connection: Connection, target: Address, head: bytes, *, tls: bool) -> None:
        """Hear the program first; then let the genuine server answer, if it can be verified."""
        said = head or connection.recv()
        if not said:
            return
        try:
            genuine = self._reach(connection, target, tls=tls)
        except (OSError, PolicyError):
            connection.sendall(_NO_SERVER)
            return
        genuine.sendall(said)
        relay(Direction(connection, genuine), Direction(genuine, connection))

    def _reach(self, connection: Connection, target: Address, *, tls: bool) -> Stream:
        genuine = connection.dial(target)
        if tls:
            genuine.handshake(self._upstream, server_hostname=target[0])
            genuine.flush()
        return genuine

    def _context(self, asked: list[str]) -> ssl.SSLContext:
        """A context that shows a certificate for the name asked for, and writes that down."""
        # Without a name in the ClientHello: whoever is asked by a loopback address may be localhost.
        names = (asked[0], "localhost") if _is_loopback(asked[0]) else (asked[0],)
        context = self._ca.issue(*names).server_context()

        def name(tls: ssl.SSLObject, asked_for: str | None, _: ssl.SSLContext) -> None:
            if asked_for is not None and asked_for != asked[0]:
                asked[0] = asked_for
                tls.context = self._minted(asked_for)

        context.sni_callback = name
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _minted(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            if len(self._contexts) >= 1000:
                self._contexts.clear()
            self._contexts[host] = self._ca.issue(host).server_context(alpn=["http/1.1"])
        return self._contexts[host]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    try:
        return canonical_host(host)
    except PolicyError:
        return host


def _read_head(connection: Connection) -> bytes:
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD:
        if not (byte := connection.recv(1)):
            break
        head += byte
    del connection.record.plaintext_bytes[:]
    return bytes(head)


def _original_destination(sock: socket.socket) -> Address:
    """Where a connection was going before nftables redirected it."""
    raw = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    port, address = struct.unpack("!2xH4s8x", raw)
    return str(ipaddress.IPv4Address(address)), port
