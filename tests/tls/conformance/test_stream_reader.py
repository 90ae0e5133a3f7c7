"""asyncio's stream reader: it is handed what one read of the loop brought in one piece, from memory that all of them share."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, cast

import pytest

import pinio
from pinio.tls.connection.buffers import SHARED
from pinio.tls.connection.engine import SLICE
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.conformance.puppet import (
    Puppet,
    close,
    in_one_segment,
    last_words,
    truncate,
    turns,
)

RECORD = 16384
SOME = bytes(range(256)) * 1024  # 256 KiB


async def streams(
    puppet: Puppet, **options: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await pinio.open_connection(**puppet.where, **options)
    await puppet.does(lambda connection: None)
    return reader, writer


async def test_a_message_of_many_records_arrives_in_one_piece_for_each_read(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    updated = PinnedProtocol.buffer_updated

    def read(protocol: PinnedProtocol, nbytes: int) -> None:
        nonlocal reads
        reads += 1
        updated(protocol, nbytes)

    monkeypatch.setattr(PinnedProtocol, "buffer_updated", read)
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet, limit=len(SOME))
        reads = 0
        pieces: list[int] = []
        feed = reader.feed_data

        def counted(data: Any) -> None:
            pieces.append(len(data))
            feed(data)

        reader.feed_data = counted  # type: ignore[method-assign]
        await puppet.does(in_one_segment(*(SOME[at : at + 1000] for at in range(0, 100_000, 1000))))
        assert await reader.readexactly(100_000) == SOME[:100_000]
        writer.transport.abort()
    assert len(pieces) <= reads


@pytest.mark.parametrize("limit", [1, 1000, 65536], ids=str)
async def test_whatever_the_limit_nothing_is_lost_or_doubled(
    limit: int, tls_version: ssl.TLSVersion
) -> None:
    """The reader pauses again and again, and the pieces are larger than its limit."""
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet, limit=limit)
        sending = asyncio.ensure_future(puppet.sends(SOME * 4))
        assert await reader.readexactly(len(SOME) * 4) == SOME * 4
        await sending
        await puppet.does(close)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_connections_that_share_the_memory_do_not_mix() -> None:
    async with Puppet() as one, Puppet() as other:
        pairs = [await streams(one), await streams(other)]
        texts = [b"1" * len(SOME), b"2" * len(SOME)]
        sending = asyncio.gather(one.sends(texts[0]), other.sends(texts[1]))
        got = await asyncio.gather(*(reader.readexactly(len(SOME)) for reader, _ in pairs))
        assert list(got) == texts
        await sending
        for _, writer in pairs:
            writer.transport.abort()


async def test_a_reader_that_keeps_what_it_is_fed_may() -> None:
    class Keeping(asyncio.StreamReader):
        def __init__(self) -> None:
            super().__init__()
            self.pieces: list[bytes] = []

        def feed_data(self, data: Any) -> None:
            self.pieces.append(data)
            super().feed_data(data)

    reader = Keeping()
    async with Puppet() as puppet:
        transport, _ = await pinio.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), **puppet.where
        )
        await puppet.sends(b"first")
        assert await reader.readexactly(5) == b"first"
        await puppet.sends(b"other")
        assert await reader.readexactly(5) == b"other"
        transport.abort()
    assert reader.pieces == [b"first", b"other"]


@pytest.mark.parametrize(
    "patched", ["the class of readers", "the class of protocols", "this reader"]
)
async def test_whoever_patched_the_reader_may_keep_it_too(
    patched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    holder, name = {
        "the class of readers": (asyncio.StreamReader, "feed_data"),
        "the class of protocols": (asyncio.StreamReaderProtocol, "data_received"),
        "this reader": (reader, "feed_data"),
    }[patched]
    pieces: list[bytes] = []
    original = getattr(holder, name)

    def keeping(*arguments: Any) -> None:
        pieces.append(arguments[-1])
        original(*arguments)

    monkeypatch.setattr(holder, name, keeping)
    async with Puppet() as puppet:
        transport, _ = await pinio.create_connection(lambda: protocol, **puppet.where)
        await puppet.sends(b"first")
        assert await reader.readexactly(5) == b"first"
        await puppet.sends(b"other")
        assert await reader.readexactly(5) == b"other"
        transport.abort()
    assert pieces == [b"first", b"other"]


async def test_a_patch_that_comes_later_sees_nothing_of_other_connections(
    tls_version: ssl.TLSVersion,
) -> None:
    """Then what is lent is taken back."""
    async with Puppet(tls_version) as one, Puppet(tls_version) as other:
        (reader, writer), (others, another) = await streams(one), await streams(other)
        pieces: list[Any] = []
        feed = reader.feed_data

        def keeping(data: Any) -> None:
            pieces.append(data)
            feed(data)

        reader.feed_data = keeping  # type: ignore[method-assign]
        await one.sends(b"a question")
        assert await reader.readexactly(10) == b"a question"
        await other.sends(b"a password")
        assert await others.readexactly(10) == b"a password"
        with pytest.raises(ValueError, match="released"):
            bytes(pieces[0])
        writer.transport.abort()
        another.transport.abort()


async def test_what_came_before_a_broken_record_is_handed_over(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet)
        await puppet.does(
            lambda connection: connection.send_raw(
                connection.seal(b"good ")
                + connection.seal(b"news")
                + b"\x17\x03\x03\x00\x20"
                + b"x" * 32
            )
        )
        with pytest.raises(ssl.SSLError):
            await writer.wait_closed()
        with pytest.raises(ssl.SSLError):
            await reader.read()
        assert reader._buffer == b"good news"  # type: ignore[attr-defined]


async def test_last_words_are_read(tls_version: ssl.TLSVersion) -> None:
    """Data, close_notify and FIN in one segment."""
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet)
        await puppet.does(last_words(SOME[: 3 * RECORD]))
        assert await reader.read() == SOME[: 3 * RECORD]
        writer.close()
        await writer.wait_closed()


async def test_an_end_while_the_reader_has_paused_waits_for_what_came_before_it(
    tls_version: ssl.TLSVersion,
) -> None:
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet, limit=10)
        await puppet.sends(b"a" * 100)
        while not reader._paused:  # type: ignore[attr-defined]
            await turns(1)
        await puppet.sends(SOME[:50_000])
        await puppet.does(truncate)
        await turns(50)
        assert await reader.read() == b"a" * 100 + SOME[:50_000]
        assert writer.get_extra_info("pinio.eof") == "ragged"
        writer.close()
        await writer.wait_closed()


async def test_a_record_that_fills_the_memory_of_the_loop_is_no_end(
    tls_version: ssl.TLSVersion,
) -> None:
    """One read began a record, the next brings more than the memory takes, which is full where a slice of it ends."""
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet, limit=4 * SHARED)
        protocol = cast(PinnedTransport, writer.transport)._protocol
        assert protocol is not None
        message = (SOME * 2)[: SHARED + RECORD]
        records = await puppet.does(
            lambda connection: [
                connection.seal(message[at : at + RECORD]) for at in range(0, len(message), RECORD)
            ]
        )
        full = sum(map(len, records[: SHARED // RECORD]))
        begun = full - full // SLICE * SLICE
        sealed = b"".join(records)
        for part in (sealed[:begun], sealed[begun : begun + SHARED], sealed[begun + SHARED :]):
            protocol.get_buffer(-1)[: len(part)] = part
            protocol.buffer_updated(len(part))
        assert not reader.at_eof()
        assert await reader.readexactly(len(message)) == message
        writer.transport.abort()


async def test_an_interrupt_in_the_middle_of_a_read_ends_the_connection() -> None:
    """What was decrypted by then stands in the memory that all connections of the loop use."""
    async with Puppet() as puppet:
        reader, writer = await streams(puppet)
        transport = cast(PinnedTransport, writer.transport)
        protocol = transport._protocol
        assert protocol is not None
        sealed = await puppet.does(
            lambda connection: b"".join(connection.seal(SOME[:RECORD]) for _ in "123")
        )
        read, calls = protocol._engine.read, 0

        def interrupted(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return read(*arguments)

        protocol._engine.read = interrupted
        protocol.get_buffer(-1)[: len(sealed)] = sealed
        with pytest.raises(KeyboardInterrupt):
            protocol.buffer_updated(len(sealed))
        assert transport.is_closing()
        with suppress(OSError):
            await writer.wait_closed()
        assert reader._buffer == b""  # type: ignore[attr-defined]


async def test_what_a_pause_cut_off_is_delivered_in_order(tls_version: ssl.TLSVersion) -> None:
    """The memory is full in the middle of a read, and the reader pauses at once."""
    async with Puppet(tls_version) as puppet:
        reader, writer = await streams(puppet, limit=1)
        protocol = cast(PinnedTransport, writer.transport)._protocol
        assert protocol is not None
        message = bytes(range(251)) * 1200  # more than the memory of the loop
        sealed = await puppet.does(
            lambda connection: b"".join(
                connection.seal(message[at : at + RECORD]) for at in range(0, len(message), RECORD)
            )
        )
        for part in (sealed[:16_000], sealed[16_000 : 16_000 + SHARED], sealed[16_000 + SHARED :]):
            protocol.get_buffer(-1)[: len(part)] = part
            protocol.buffer_updated(len(part))
            assert not protocol._delivery.more and not protocol._delivery._filled
        assert await reader.readexactly(len(message)) == message
        writer.transport.abort()
