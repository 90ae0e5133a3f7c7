"""One canary handshake: this process's loop, entry point, context and engine; the peer is in memory.

The client side is `pinio.create_connection`, as a program calls it. The peer is a TLS server on the
other end of a socket pair: no port is opened and no name is looked up.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate
from pinio.core.decision import Permit, Refusal
from pinio.core.pem import blocks
from pinio.core.policy import Policy
from pinio.errors import PinVerificationError
from pinio.tls.attest import attest
from pinio.tls.connect import create_connection
from pinio.tls.context.pinned import create_ssl_context

HOST: Final = "canary.pinio.test"
LIMIT: Final = 10.0
"""Seconds after which a canary handshake counts as failed."""

_FILES: Final = Path(__file__).parent / "canary"


@cache
def anchors() -> Anchors:
    """The canaries' root."""
    return Anchors.from_pem((_FILES / "root.pem").read_text("ascii"))


@cache
def chain(name: str) -> tuple[Certificate, ...]:
    """The certificates of a canary, leaf first."""
    found = blocks((_FILES / f"{name}.pem").read_text("ascii"))
    return tuple(Certificate.of(block.der()) for block in found if block.label == "CERTIFICATE")


@cache
def _server(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_FILES / f"{name}.pem")
    return context


class _Peer(asyncio.Protocol):
    """The server's side of a handshake; it says nothing afterwards."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        with suppress(ssl.SSLError):
            self._tls.do_handshake()
        self._transport.write(self._outgoing.read())


async def by_entry_point(
    policy: Policy, served: str, told: list[Permit | Refusal]
) -> Permit | Refusal:
    """What `create_connection` decides about a canary; `told` is what its observer hears."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        server, _ = await loop.create_connection(lambda: _Peer(_server(served)), sock=theirs)
        try:
            async with asyncio.timeout(LIMIT):
                transport, _ = await create_connection(
                    asyncio.Protocol, sock=ours, server_hostname=HOST, policy=policy,
                    observer=told.append, resumption=False,
                )  # fmt: skip
        except PinVerificationError as error:
            return error.refusal
        finally:
            server.abort()
        permit = attest(transport)
        transport.abort()
        return permit


def by_context(policy: Policy, served: str) -> Permit | Refusal:
    """What the context of `create_ssl_context` decides, driven as a library drives it."""
    told: list[Permit | Refusal] = []
    context = create_ssl_context(policy, observer=told.append, resumption=False)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=HOST)
    server = _server(served).wrap_bio(to_server, to_client, server_side=True)
    for _ in range(8):  # flights; a handshake has at most five
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except PinVerificationError as error:
                return error.refusal
        if told:
            break
    return told[-1]
