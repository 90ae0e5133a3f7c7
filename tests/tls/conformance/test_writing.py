"""Writing: every kind of buffer, flow control passed on from below, sizes that are true, writes that come too late."""

from __future__ import annotations

import asyncio
import logging
import ssl
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from pinio.tls.connection.engine import RECORD
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.conformance.diary import Diary
from tests.tls.conformance.puppet import MUCH, Puppet, close, to_the_end, truncate


@pytest.mark.parametrize(
    "size",
    [0, 1, RECORD - 1, RECORD, RECORD + 1, 2 * RECORD, 48 * RECORD + 7],
    ids=lambda size: f"{size} bytes",
)
async def test_what_is_written_arrives_whole(size: int, tls_version: ssl.TLSVersion) -> None:
    data = MUCH[:size]
    async with Puppet(tls_version) as puppet:
        transport, _ = await puppet.connect()
        transport.write(data)
        transport.write(b"!")
        assert await puppet.hears(size + 1) == data + b"!"
        transport.abort()


BUFFERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "view of integers": lambda data: memoryview(array("I", data)),
    "view of a table": lambda data: memoryview(data).cast("B", (len(data) // 4, 4)),
    "view of every other byte": lambda data: memoryview(
        b"".join(bytes((byte, 0)) for byte in data)
    )[::2],
}


@pytest.mark.parametrize("size", [1024, 4 * RECORD])
@pytest.mark.parametrize("kind", BUFFERS)
async def test_any_buffer_can_be_written(kind: str, size: int) -> None:
    data = MUCH[:size]
    async with Puppet() as puppet:
        transport, _ = await puppet.connect()
        transport.write(BUFFERS[kind](data))
        assert await puppet.hears(size) == data
        transport.abort()


@pytest.mark.parametrize("size", [1024, 4 * RECORD])
async def test_a_buffer_may_be_changed_as_soon_as_it_was_written(size: int) -> None:
    data = bytearray(MUCH[:size])
    async with Puppet() as puppet:
        transport, _ = await puppet.connect()
        transport.write(data)
        data[:] = bytes(size)
        data.clear()
        assert await puppet.hears(size) == MUCH[:size]
        transport.abort()


@pytest.mark.parametrize(
    "wrong", ["text", 7, None, [b"a", b"b"]], ids=["str", "int", "None", "list"]
)
async def test_what_is_no_buffer_is_a_type_error_and_harms_nothing(wrong: Any) -> None:
    async with Puppet() as puppet:
        transport, _ = await puppet.connect()
        with pytest.raises(TypeError, match="bytes-like"):
            transport.write(wrong)
        transport.write(b"still here")
        assert await puppet.hears(10) == b"still here"
        transport.abort()


@pytest.mark.parametrize(
    "lines",
    [
        list,
        lambda: [b""],
        lambda: (b"one", b"two"),
        lambda: (part for part in (b"one", bytearray(b"two"), memoryview(b"three"))),
        lambda: [memoryview(array("H", [1, 2, 3])), b"x"],
        lambda: [b"x" * 1000] * 1000,
    ],
    ids=[
        "nothing",
        "an empty one",
        "a tuple",
        "a generator of all kinds",
        "a view of shorts",
        "a million bytes",
    ],
)
async def test_writelines_writes_them_all(lines: Callable[[], Any]) -> None:
    expected = b"".join(lines()) + b"."
    async with Puppet() as puppet:
        transport, _ = await puppet.connect()
        transport.writelines(lines())
        transport.write(b".")
        assert await puppet.hears(len(expected)) == expected
        transport.abort()


async def test_half_of_tls_cannot_be_closed() -> None:
    async with Puppet() as puppet:
        transport, _ = await puppet.connect()
        assert not transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            transport.write_eof()
        transport.abort()


# Flow control


async def test_a_slow_reader_pauses_the_writer_and_resumes_it(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        assert app.flow == []
        transport.write(MUCH)
        assert app.flow == ["pause"]
        assert transport.get_write_buffer_size() > 0
        assert await puppet.hears(len(MUCH)) == MUCH
        await app.until(lambda: app.flow == ["pause", "resume"])
        while transport.get_write_buffer_size():  # noqa: ASYNC110  # nothing tells when the last byte has left
            await asyncio.sleep(0)
        transport.abort()


async def test_the_size_of_the_write_buffer_is_what_waits_to_be_sent(
    tls_version: ssl.TLSVersion,
) -> None:
    """All of it: nothing is hidden below or beside it."""
    async with Puppet(tls_version) as puppet:
        transport, _ = await puppet.connect()
        assert transport.get_write_buffer_size() == 0
        while not transport.get_write_buffer_size():
            transport.write(MUCH[: 16 * RECORD])
            await asyncio.sleep(0)
        before = transport.get_write_buffer_size()
        transport.write(MUCH[:100_000])
        assert 100_000 < transport.get_write_buffer_size() - before < 101_000
        transport.abort()


async def test_write_buffer_limits_are_those_that_were_set() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.set_write_buffer_limits(high=40, low=20)
        assert transport.get_write_buffer_limits() == (20, 40)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        with pytest.raises(ValueError, match="high"):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.write(MUCH)
        assert app.flow == ["pause"]
        await puppet.hears(len(MUCH))
        await app.until(lambda: app.flow == ["pause", "resume"])
        assert transport.get_write_buffer_size() == 0
        transport.abort()


async def test_drain_waits_for_a_slow_reader() -> None:
    async with Puppet() as puppet:
        transport, _ = await puppet.connect(StreamLike)
        writer = asyncio.StreamWriter(
            transport, transport.get_protocol(), None, asyncio.get_running_loop()
        )
        writer.write(MUCH)
        draining = asyncio.create_task(writer.drain())
        hearing = asyncio.create_task(puppet.hears(len(MUCH)))
        await draining
        assert transport.get_write_buffer_size() < len(MUCH)
        assert await hearing == MUCH
        transport.abort()


class StreamLike(asyncio.StreamReaderProtocol):
    """What asyncio's own streams put behind a transport."""

    def __init__(self) -> None:
        super().__init__(asyncio.StreamReader())


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_connection_may_end_inside_pause_writing(end: str) -> None:
    """A close sends what was written first, all of it: a part and a close_notify would be a message cut short without a sign."""

    class Ending(Diary):
        def pause_writing(self) -> None:
            super().pause_writing()
            assert self.transport is not None
            getattr(self.transport, end)()

    async with Puppet() as puppet:
        transport, app = await puppet.connect(Ending)
        transport.write(MUCH)
        data, how = await puppet.does(to_the_end)
        assert data == MUCH if end == "close" else MUCH.startswith(data) and len(data) < len(MUCH)
        assert (how == "clean") == (end == "close")
        await puppet.does(close if end == "close" else truncate)
        assert await app.lost() is None


async def test_what_is_written_inside_pause_writing_comes_after_what_paused_it(
    tls_version: ssl.TLSVersion,
) -> None:
    class Late(Diary):
        def pause_writing(self) -> None:
            super().pause_writing()
            assert self.transport is not None
            self.transport.write(b"and more")

    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(Late)
        transport.write(MUCH)
        assert app.flow == ["pause"]
        assert await puppet.hears(len(MUCH)) == MUCH
        assert await puppet.hears(8) == b"and more"
        await app.until(lambda: app.flow == ["pause", "resume"])
        transport.abort()


# Too late


async def too_late(transport: PinnedTransport) -> None:
    for _ in range(10):
        transport.write(b"too late")
        transport.write(MUCH[: 16 * RECORD])
        transport.writelines([b"too", b"late"])


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_what_is_written_after_the_end_goes_nowhere(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.write(b"in time")
        await puppet.hears(7)
        getattr(transport, end)()
        with caplog.at_level(logging.WARNING, "pinio"):
            await too_late(transport)
        assert transport.get_write_buffer_size() < 100  # a close_notify at most
        data, _ = await puppet.does(to_the_end)
        assert data == b""
        await puppet.does(close if end == "close" else truncate)
        await app.lost()
        await too_late(transport)
    assert any("closed" in record.getMessage() for record in caplog.records)
    assert transport.get_write_buffer_size() == 0
