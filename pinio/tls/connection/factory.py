"""Which engine a connection gets: the one place that names the engines there are."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from pinio.tls.connection import rustls_config
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
    """Prepare what the engines of a request share: an inner context, or a configuration of rustls.

    What does not exist yet is built in a thread, for reading the CAs takes milliseconds. Raises
    `PolicyError` for what the engine cannot do.
    """
    profile = request.profile
    if profile.engine == "rustls":
        kept = rustls_config.configuration
        configuration = kept.ready(profile)
        if configuration is None:
            configuration = await loop.run_in_executor(None, kept, profile)
        return _RustlsFactory(configuration)
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


class _RustlsFactory:
    """Engines over one configuration of rustls, whose package is imported here, for whoever chose it."""

    __slots__ = ("_configuration",)

    def __init__(self, configuration: rustls_config.Configuration) -> None:
        self._configuration = configuration

    def __call__(self, request: ConnectionRequest, *, dials_again: bool = False) -> Engine:
        from pinio.tls.connection.rustls import RustlsEngine

        handshake = request.handshake(self._configuration, dials_again=dials_again)
        # A cast, for `read` is a method there and not an attribute that could be set.
        return cast(Engine, RustlsEngine(self._configuration, handshake))
