"""Which engine a connection gets: the one place that names the engines there are."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

from pinio.tls.connection.engine import Engine
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.request import ConnectionRequest


class EngineFactory(Protocol):
    """Makes the engines of a request, one for each time that it is dialled."""

    def __call__(self, request: ConnectionRequest, *, dials_again: bool = False) -> Engine:
        """Make one; `dials_again` as in `ConnectionRequest.handshake`."""
        ...


async def engine_factory(
    loop: asyncio.AbstractEventLoop, request: ConnectionRequest
) -> EngineFactory:
    """Prepare what the engines of a request share: its profile's inner context.

    A context that does not exist yet is built in a thread, for reading the CAs takes milliseconds.
    """
    profile = request.profile
    context = inner_context.ready(profile)
    if context is None:
        context = await loop.run_in_executor(None, inner_context, profile)
    return _OpenSSLFactory(context)


class _OpenSSLFactory:
    """Engines over one inner context."""

    __slots__ = ("_context",)

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def __call__(self, request: ConnectionRequest, *, dials_again: bool = False) -> Engine:
        handshake = request.handshake(self._context, dials_again=dials_again)
        return OpenSSLEngine(self._context, handshake)
