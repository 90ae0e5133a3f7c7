"""A client that comes again and again: its visits, the time between them, and what the server saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import pinio
from pinio.testing import Interceptor, Server
from pinio.tls.handshake import peer, sessions
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ISSUER

OTHER_KEY = ISSUER.issue("localhost", "127.0.0.1", "*.pinned.test")


class Clock:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        start = sessions.now()
        self.wall, self.steady = start.wall, start.monotonic

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def tick(self, wall: float, steady: float | None = None) -> None:
        """Let time pass: by the wall clock, and as much by the other unless told."""
        self.wall += wall
        self.steady += wall if steady is None else steady


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sessions, "time", clock)
    return clock


@pytest.fixture(params=[False, True], ids=["used once", "used again"], autouse=True)
def tickets_last(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a TLS 1.3 ticket is used again, as it is on a Python that leaks with each; every rule holds there too."""
    monkeypatch.setattr(peer, "reading_leaks", request.param)
    return bool(request.param)


async def visit(
    server: Server | Interceptor, expected: Any, cache: SessionCache | bool, **options: Any
) -> pinio.Permit:
    """Connect, exchange a few bytes (a TLS 1.3 ticket comes with them), and hang up."""
    options = {"policy": expected} | options
    where = (None, None) if "sock" in options else ("localhost", server.port)
    reader, writer = await pinio.open_connection(*where, resumption=cache, **options)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    permit = pinio.attest(writer)
    writer.close()
    await writer.wait_closed()
    return permit


def resumed(server: Server | Interceptor) -> list[bool]:
    """What the server saw of each connection that came to application bytes or finished its handshake."""
    return [record.resumed for record in server.connections if record.handshake_finished]


@asynccontextmanager
async def meanwhile(server: Server, event: Callable[[], Awaitable[object]]) -> AsyncIterator[int]:
    """The port of a relay to `server`; a client's first flight waits on its way for `event`."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(65536)
        await event()
        onward = await asyncio.open_connection(*server.address)
        onward[1].write(hello)
        await asyncio.gather(pump(reader, onward[1]), pump(onward[0], writer))

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as relay:
        yield relay.sockets[0].getsockname()[1]
