"""An open connection from a program's side, in the three ways in which asyncio lets it be read."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, Protocol, TypeAlias

from benchmarks.subjects.client import StreamClient

Way: TypeAlias = Literal["streams", "protocol", "buffered"]
READ = 65536
"""Bytes asked for at once."""


class Wire(Protocol):
    """One connection."""

    transport: Any

    async def send(self, data: bytes) -> None:
        """Write, and wait while the transport asks for it."""

    async def receive(self, count: int) -> bytes:
        """Exactly so many bytes."""

    async def skip(self, count: int) -> None:
        """Read so many bytes and drop them."""


async def open_wire(client: StreamClient, way: Way) -> Wire:
    """Connect."""
    if way == "streams":
        return StreamWire(*await client.open())
    wire = BufferedWire() if way == "buffered" else ProtocolWire()
    await client.create(lambda: wire)
    return wire


class StreamWire:
    """A reader and a writer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.transport = writer.transport

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def skip(self, count: int) -> None:
        while count > 0:
            data = await self._reader.read(READ)
            if not data:
                raise EOFError
            count -= len(data)


class _Wire(asyncio.BaseProtocol):
    """What both kinds of protocol have in common."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._missing = 0
        self._keep = True
        self._full: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._full is not None and not self._full.done():
            self._full.set_exception(exc or EOFError())

    async def send(self, data: bytes) -> None:
        self.transport.write(data)
        await self._writable.wait()

    async def skip(self, count: int) -> None:
        self._keep = False
        await self._wait_for(count)
        self._keep = True

    async def _wait_for(self, count: int) -> None:
        self._missing += count
        if self._missing > 0:
            self._full = asyncio.get_running_loop().create_future()
            await self._full

    def _arrived(self, count: int) -> None:
        self._missing -= count
        if self._missing <= 0 and self._full is not None and not self._full.done():
            self._full.set_result(None)


class ProtocolWire(_Wire, asyncio.Protocol):
    """An `asyncio.Protocol`: `data_received`."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        if self._keep:
            self._pieces.append(data)
        self._arrived(len(data))

    async def receive(self, count: int) -> bytes:
        await self._wait_for(count)
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return data


class BufferedWire(_Wire, asyncio.BufferedProtocol):
    """An `asyncio.BufferedProtocol`, whose buffer the transport writes to."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = memoryview(bytearray(READ))
        self._kept = bytearray()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._keep:
            self._kept += self._buffer[:nbytes]
        self._arrived(nbytes)

    async def receive(self, count: int) -> bytes:
        await self._wait_for(count)
        data = bytes(self._kept)
        self._kept.clear()
        return data
