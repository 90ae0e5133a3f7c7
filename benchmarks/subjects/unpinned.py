"""Clients that check no keys: what pinio's users came from."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from benchmarks.subjects.client import StreamClient, Streams


class Unpinned(StreamClient):
    """asyncio's own functions with a plain context; on uvloop they are uvloop's."""

    refusals = (ssl.SSLError,)

    async def set_up(self) -> None:
        self.context = self.make_context()

    def make_context(self) -> ssl.SSLContext:
        """The context for every connection.

        A client that is to refuse trusts nobody: all that it can do without pins.
        """
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.refuse else self.target.context()

    async def open(self) -> Streams:
        return await asyncio.open_connection(ssl=self.context, **self.address)

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(factory, ssl=self.context, **self.address)
        return transport


class Fastnet(Unpinned):
    """aiofastnet: TLS in C, over its own transports."""

    async def open(self) -> Streams:
        import aiofastnet

        return await aiofastnet.open_connection(
            asyncio.get_running_loop(), ssl=self.context, **self.address
        )

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        import aiofastnet

        loop = asyncio.get_running_loop()
        transport, _ = await aiofastnet.create_connection(
            loop, factory, ssl=self.context, **self.address
        )
        return transport
