"""HTTP libraries for asyncio, unpinned and pinned."""

from __future__ import annotations

import ssl
from typing import Any

import pinio
from benchmarks.subjects.client import Answer, AsyncClient
from benchmarks.subjects.pinned import Decisions, context_for, policy_for, resumption_for

CLOSE = {"Connection": "close"}


class Aiohttp(AsyncClient):
    """`aiohttp.ClientSession` with a plain `TCPConnector`."""

    async def set_up(self) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(
            connector=self.connector(force_close=not self.keep_alive)
        )

    def connector(self, **options: Any) -> Any:
        """The connector that makes the difference."""
        import aiohttp

        return aiohttp.TCPConnector(ssl=self.target.context(), **options)

    async def fetch(self) -> Answer:
        async with self.session.get(self.target.url) as response:
            return Answer(await response.read())

    async def tear_down(self) -> None:
        await self.session.close()


class AiohttpFingerprint(Aiohttp):
    """aiohttp's own check of the leaf's fingerprint, which replaces certificate verification."""

    def prepare(self) -> None:
        import aiohttp

        self.refusals = (aiohttp.ServerFingerprintMismatch,)
        super().prepare()

    def connector(self, **options: Any) -> Any:
        import aiohttp

        return aiohttp.TCPConnector(
            ssl=aiohttp.Fingerprint(bytes.fromhex(self.fingerprint)), **options
        )


class AiohttpPinned(Aiohttp):
    """`pinio.aiohttp.PinnedConnector`."""

    refusals = (pinio.PinMismatchError,)
    pinned = True

    def connector(self, **options: Any) -> Any:
        from pinio.aiohttp import PinnedConnector

        self.decisions = Decisions()
        return PinnedConnector(
            policy_for(self), resumption=resumption_for(self), observer=self.decisions, **options
        )

    async def fetch(self) -> Answer:
        return (await super().fetch())._replace(permit=self.decisions.take())


class Httpx(AsyncClient):
    """`httpx.AsyncClient` with a plain context."""

    async def set_up(self) -> None:
        import httpx

        self.session = httpx.AsyncClient(verify=self.context(), headers=CLOSE)

    def context(self) -> ssl.SSLContext:
        """The context that makes the difference."""
        return self.target.context()

    async def fetch(self) -> Answer:
        response = await self.session.get(self.target.url)
        return Answer(response.content)

    async def tear_down(self) -> None:
        await self.session.aclose()


class HttpxPinned(Httpx):
    """httpx with `pinio.create_ssl_context`."""

    pinned = True

    def context(self) -> ssl.SSLContext:
        self.decisions = Decisions()
        return context_for(self, self.decisions)

    async def fetch(self) -> Answer:
        return (await super().fetch())._replace(permit=self.decisions.take())
