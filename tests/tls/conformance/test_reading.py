"""Reading: both kinds of protocol, switched at any time; pauses; ends that arrive during a pause; fairness."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from pinio.testing import Connection
from pinio.tls.connection.buffers import SHARED
from pinio.tls.connection.engine import SLICE
from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import (
    Puppet,
    close,
    in_one_segment,
    last_words,
    to_the_end,
    truncate,
    turns,
)

SOME = bytes(range(256)) * 1024  # 256 KiB, in sixteen records and several slices


def kinds(*sizes: int) -> pytest.MarkDecorator:
    """Protocols, and buffered protocols with a buffer of each of these sizes."""
    factories: dict[str, Callable[[], Diary]] = {"copied": Diary}
    for size in sizes:
        factories[f"buffer of {size}"] = lambda size=size: BufferedDiary(size)  # type: ignore[misc]
    return pytest.mark.parametrize("factory", factories.values(), ids=factories)


@kinds(65536, 16384, 16383, 1000, 7)
async def test_what_is_sent_arrives_whole(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    data = SOME if factory is Diary else SOME[:70_000]
    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(factory)
        await puppet.sends(data)
        assert await app.received(len(data)) == data
        await puppet.does(close)
        assert await app.lost() is None
    assert app.entries == ["made", data, "eof", ("lost", "NoneType")]


@kinds(65536, 3)
async def test_many_small_records_in_one_segment(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    messages = [bytes([number]) * (number % 5 + 1) for number in range(200)]
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(factory)
        await puppet.does(in_one_segment(*messages))
        assert await app.received(len(b"".join(messages))) == b"".join(messages)
        transport.abort()


async def test_a_buffered_protocol_is_read_into_its_own_memory() -> None:
    """What arrives stands in the buffer when buffer_updated is called, behind nothing and before nothing."""

    class Marked(BufferedDiary):
        def buffer_updated(self, nbytes: int) -> None:
            assert self.buffer[nbytes:] == b"." * (len(self.buffer) - nbytes)
            super().buffer_updated(nbytes)
            self.buffer[:] = b"." * len(self.buffer)

    app = Marked(100_000)
    app.buffer[:] = b"." * 100_000
    async with Puppet() as puppet:
        transport, _ = await puppet.connect(lambda: app)
        await puppet.does(in_one_segment(b"one", b"two", b"three"))
        assert await app.received(11) == b"onetwothree"
        transport.abort()
    assert all(hint > 0 for hint in app.hints)


async def test_a_buffer_holds_as_many_records_as_fit() -> None:
    updates: list[int] = []

    class Counting(BufferedDiary):
        def buffer_updated(self, nbytes: int) -> None:
            updates.append(nbytes)
            super().buffer_updated(nbytes)

    async with Puppet() as puppet:
        transport, app = await puppet.connect(Counting)
        await puppet.does(in_one_segment(*[b"x" * 100] * 10))
        await app.received(1000)
        transport.abort()
    assert sum(updates) == 1000
    assert len(updates) < 10


async def test_a_buffer_may_be_resized_as_soon_as_it_is_reported() -> None:
    class Shrinking(BufferedDiary):
        def buffer_updated(self, nbytes: int) -> None:
            self.data_received(bytes(self.buffer[:nbytes]))
            del self.buffer[:nbytes]
            self.buffer += bytes(nbytes)

    async with Puppet() as puppet:
        transport, app = await puppet.connect(Shrinking)
        await puppet.sends(SOME)
        assert await app.received(len(SOME)) == SOME
        transport.abort()


async def test_a_buffer_may_be_of_any_format() -> None:
    class Words(BufferedDiary):
        def get_buffer(self, sizehint: int) -> memoryview:
            return memoryview(self.buffer).cast("I")

    async with Puppet() as puppet:
        transport, app = await puppet.connect(lambda: Words(4096))
        await puppet.sends(SOME[:10_000])
        assert await app.received(10_000) == SOME[:10_000]
        transport.abort()


# set_protocol


@pytest.mark.parametrize("before", [Diary, lambda: BufferedDiary(10)], ids=["copied", "buffered"])
@pytest.mark.parametrize("after", [Diary, lambda: BufferedDiary(10)], ids=["copied", "buffered"])
async def test_the_protocol_can_be_set_inside_a_callback(
    before: Callable[[], Diary], after: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    second = after()

    def switching() -> Diary:
        app = before()
        told = app.data_received

        def data_received(data: bytes) -> None:
            told(data)
            transport.set_protocol(second)

        app.data_received = data_received  # type: ignore[method-assign]
        return app

    async with Puppet(tls_version) as puppet:
        transport, first = await puppet.connect(switching)
        await puppet.does(in_one_segment(b"for the first one", b"for the second one"))
        # All of it has arrived at once; nothing more will come to push along what was left in TLS.
        await second.received(35 - len(first.data))
        assert first.data + second.data == b"for the first onefor the second one"
        assert transport.get_protocol() is second
        await puppet.does(close)
        assert await second.lost() is None
    assert first.names == ["made", "data"]
    assert second.names == ["data", "eof", "lost"]


@kinds(5)
async def test_a_protocol_set_during_a_pause_gets_what_was_waiting(
    factory: Callable[[], Diary],
) -> None:
    class Pausing(BufferedDiary):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            transport.pause_reading()

    second = factory()
    async with Puppet() as puppet:
        transport, first = await puppet.connect(lambda: Pausing(4))
        await puppet.does(in_one_segment(b"abcdefgh", b"ijkl"))
        assert await first.received(4) == b"abcd"
        transport.set_protocol(second)
        transport.resume_reading()
        assert await second.received(8) == b"efghijkl"
        transport.abort()
    assert first.data == b"abcd"


async def test_setting_the_protocol_of_a_lost_connection_does_nothing() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.abort()
        await app.lost()
        second = Diary()
        transport.set_protocol(second)
        assert transport.get_protocol() is None
    assert second.entries == []


# Pauses


@kinds(65536, 100)
async def test_nothing_is_delivered_during_a_pause(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(factory)
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        transport.pause_reading()
        await puppet.sends(b"unwanted as yet")
        await turns()
        assert app.entries == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        assert await app.received(15) == b"unwanted as yet"
        transport.abort()


@kinds(65536, 5000)
async def test_a_pause_inside_a_callback_holds_at_once(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    """Whatever has arrived by then waits: several records, in the middle of a slice, more than a slice."""

    def pausing() -> Diary:
        app = factory()
        told = app.data_received

        def data_received(data: bytes) -> None:
            told(data)
            transport.pause_reading()
            calls.append(len(app.data))

        app.data_received = data_received  # type: ignore[method-assign]
        return app

    calls: list[int] = []
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(pausing)
        sending = asyncio.create_task(puppet.sends(SOME))
        while len(app.data) < len(SOME):
            count = len(calls)
            transport.resume_reading()
            await app.until(lambda: len(calls) > count)  # noqa: B023
            assert len(calls) == count + 1
        await sending
        assert app.data == SOME
        transport.abort()
    assert all(later - earlier <= 65536 for earlier, later in pairwise([0, *calls]))


async def test_a_pause_and_its_end_inside_one_callback_change_nothing() -> None:
    class Fickle(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for _ in range(3):
                transport.pause_reading()
                transport.resume_reading()

    async with Puppet() as puppet:
        transport, app = await puppet.connect(Fickle)
        await puppet.sends(SOME)
        await puppet.does(last_words(b"the end"))
        assert await app.lost() is None
    assert app.entries == ["made", SOME + b"the end", "eof", ("lost", "NoneType")]


async def test_a_pause_in_connection_made_holds_back_what_came_with_the_handshake(
    tls_version: ssl.TLSVersion,
) -> None:
    class Shy(Diary):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.transport is not None
            self.transport.pause_reading()

    async with Puppet(tls_version, greeting=b"220 hello") as puppet:
        transport, app = await puppet.connect(Shy)
        await puppet.does(lambda connection: None)
        await turns()
        assert app.entries == ["made"]
        transport.resume_reading()
        assert await app.received(9) == b"220 hello"
        transport.abort()


@pytest.mark.parametrize(("ending", "how"), [(close, "clean"), (truncate, "ragged")])
async def test_an_end_during_a_pause_waits_for_the_data_before_it(
    ending: Callable[..., None], how: str, tls_version: ssl.TLSVersion
) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.pause_reading()
        await puppet.sends(b"before the end")
        await puppet.does(ending)
        await turns()
        assert app.entries == ["made"]
        assert transport.get_extra_info("pinio.eof") is None
        transport.resume_reading()
        assert await app.lost() is None
    assert app.entries == ["made", b"before the end", "eof", ("lost", "NoneType")]
    assert transport.get_extra_info("pinio.eof") == how


@pytest.mark.parametrize("resumed", [False, True], ids=["paused", "about to resume"])
async def test_an_end_after_a_pause_inside_a_callback_waits_for_what_is_left(
    resumed: bool, tls_version: ssl.TLSVersion
) -> None:
    """Nothing came since the pause, so that the lower transport reads on and meets the end."""

    class Pausing(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"one":
                transport.pause_reading()

    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(Pausing)
        await puppet.does(in_one_segment(b"one", b"two"))
        await app.received(3)
        protocol = transport._protocol
        assert protocol is not None
        if resumed:
            transport.resume_reading()
            assert protocol.eof_received(), "as if the loop had seen it in the same turn"
        await puppet.does(truncate)
        if not resumed:
            await turns(50)
            assert app.data == b"one" and "eof" not in app.names
            transport.resume_reading()
        assert await app.lost() is None
    assert app.entries == ["made", b"onetwo", "eof", ("lost", "NoneType")]
    assert transport.get_extra_info("pinio.eof") == "ragged"


async def test_pauses_after_the_end_are_harmless() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        await puppet.does(to_the_end)
        await puppet.does(close)
        await app.lost()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()


async def test_the_kernel_holds_what_the_application_does_not_want() -> None:
    """A pause reaches the peer by TCP's own flow control: it stops, having sent what the sockets hold and no more."""
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.pause_reading()
        block = bytes(SLICE)

        def until_it_blocks(connection: Connection) -> int:
            connection.socket.settimeout(0.2)
            sent = 0
            try:
                while True:
                    connection.sendall(block)
                    sent += len(block)
            except TimeoutError:
                return sent

        sent = await puppet.does(until_it_blocks)
        assert app.entries == ["made"]
        assert transport._protocol is not None and 0 < len(transport._protocol._held) <= SHARED, (
            "one read"
        )
        transport.resume_reading()
        await app.received(sent)
        transport.abort()


# Fairness


class Counting(Diary):
    """Counts only, for there is too much to keep."""

    count = 0

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self._changed.set()

    async def counted(self, size: int) -> None:
        """Wait for so many bytes in all."""
        await self.until(lambda: self.count >= size)


class CountingBuffered(Counting, BufferedDiary):
    pass


@pytest.mark.parametrize("factory", [Counting, CountingBuffered])
async def test_a_source_that_never_pauses_does_not_starve_the_loop(factory: type[Counting]) -> None:
    """Other callbacks run between the bytes; the shared buffer bounds how many there are between two of them."""

    def forever(connection: Connection) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(SOME)

    async with Puppet() as puppet:
        transport, app = await puppet.connect(factory)
        source = asyncio.create_task(puppet.does(forever))
        most = 0
        while app.count < 64 * len(SOME):
            before = app.count
            await asyncio.sleep(0)
            most = max(most, app.count - before)
        transport.abort()
        await source
    # uvloop reads a socket up to 32 times before it looks elsewhere, asyncio once.
    assert most <= 32 * SHARED


# Interrupts


@kinds(65536)
async def test_an_interrupt_between_reading_and_delivering_ends_the_connection(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    """A program that goes on after it, to close in good order, must not read a stream with a gap in it."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(factory)
        protocol = transport._protocol
        assert protocol is not None
        read = protocol._engine.read

        def interrupted(*arguments: Any) -> None:
            read(*arguments)
            raise KeyboardInterrupt

        sealed = await puppet.does(lambda connection: connection.seal(b"first"))
        protocol.get_buffer(-1)[: len(sealed)] = sealed
        protocol._engine.read = interrupted
        with pytest.raises(KeyboardInterrupt):
            protocol.buffer_updated(len(sealed))
        protocol._engine.read = read
        assert transport.is_closing()
        with suppress(OSError):
            await puppet.sends(b"second")
        await app.lost()
        assert app.data == b""
