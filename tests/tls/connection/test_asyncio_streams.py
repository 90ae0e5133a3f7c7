"""Private names of `asyncio.streams`, watched: where one of these tests fails,
`pinio.tls.connection.asyncio_streams` has to learn something new.
"""

from __future__ import annotations

import asyncio

import pytest

from pinio.testing import Server, silent
from pinio.tls.connection import asyncio_streams as streams


async def test_tripwire_a_reader_keeps_what_is_unread_in_its_buffer() -> None:
    reader = asyncio.StreamReader()
    assert reader._buffer == b""  # type: ignore[attr-defined]
    assert not streams.buffered(reader)
    reader.feed_data(b"unread")
    assert reader._buffer == b"unread"  # type: ignore[attr-defined]
    assert streams.buffered(reader)
    await reader.readexactly(6)
    assert not streams.buffered(reader)


async def test_tripwire_a_stream_protocol_knows_its_reader() -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    assert protocol._stream_reader is reader  # type: ignore[attr-defined]
    assert not streams.unread(protocol)
    reader.feed_data(b"unread")
    assert streams.unread(protocol)
    assert not streams.unread(asyncio.Protocol())


async def test_tripwire_a_stream_reader_copies_what_it_is_fed() -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    assert streams.copies(protocol)
    memory = bytearray(b"first")
    protocol.data_received(memoryview(memory))  # type: ignore[arg-type]
    memory[:] = b"other"
    assert await reader.readexactly(5) == b"first"


async def test_other_protocols_may_keep_what_they_are_fed() -> None:
    class Keeping(asyncio.StreamReader):
        pass

    class Protocol(asyncio.StreamReaderProtocol):
        pass

    for protocol in (
        asyncio.Protocol(),
        asyncio.StreamReaderProtocol(Keeping()),
        Protocol(asyncio.StreamReader()),
    ):
        assert not streams.copies(protocol)


async def test_tripwire_a_writer_writes_to_its_transport() -> None:
    with Server(plain=True, handler=silent) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        transport = writer.transport
        assert writer._transport is transport  # type: ignore[attr-defined]
        streams.retire(reader, writer)
        assert writer.transport is not transport
        with pytest.raises(RuntimeError, match="upgraded"):
            writer.write(b"in clear")
        transport.close()
        await server.quiet()
        assert server.application_bytes == b""
