"""Bytes on their way in, as the loop's own TLS would deliver them: whole, cut up, early, paused, to another protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import MUCH, close, in_one_segment, turns
from tests.tls.differential.departures import all_of
from tests.tls.differential.stage import Act, Departure, Stage


class ViewDiary(BufferedDiary):
    """Hands out a view of its buffer, as it has to where the loop's TLS is not to read past it (see `INTO_A_COPY`)."""

    def get_buffer(self, sizehint: int) -> memoryview:
        super().get_buffer(sizehint)
        return memoryview(self.buffer)


kinds = pytest.mark.parametrize(
    "factory", [Diary, ViewDiary, lambda: ViewDiary(100)], ids=["copied", "buffered", "of 100"]
)


@kinds
async def test_data_in_the_last_flight_of_the_handshake(
    stage: Stage, factory: Callable[[], Diary]
) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        await act.app.received(5 if stage.door == "create_connection" else 30)
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story, greeting=b"early")


@kinds
async def test_several_records_in_one_segment(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        await act.puppet.does(in_one_segment(b"one", b"two", b"three"))
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


INTO_A_COPY = Departure(
    "asyncio reads a second record into a slice of what get_buffer returned, which of a bytearray is a copy: the application is "
    "told of bytes that it never gets. Ours reads into the buffer itself, whatever it is.",
    lambda record: replace(record, told=["made", bytearray(b"onetwothree"), *record.told[-2:]]),
    on="asyncio",
)


async def test_several_records_into_a_bytearray(dialling: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect(BufferedDiary)
        await act.puppet.does(in_one_segment(b"one", b"two", b"three"))
        await act.puppet.does(close)
        await act.app.lost()

    await dialling.same(story, INTO_A_COPY)


@kinds
async def test_one_record_over_many_segments(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        record = await act.puppet.does(lambda connection: connection.seal(b"piece by piece"))
        for byte in record:
            await act.puppet.does(lambda connection, byte=byte: connection.send_raw(bytes([byte])))  # type: ignore[misc]
            await turns(2)
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


NOTHING_IS_LOST = Departure(
    "With a buffer smaller than a record asyncio and uvloop lose what the application has not taken when the peer's end comes.",
    all_of(MUCH[:300_000]),
    always=False,
)


@kinds
async def test_much(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        await act.puppet.sends(MUCH[:300_000])
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story, NOTHING_IS_LOST)


@kinds
async def test_a_pause_and_its_end(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        act.transport.pause_reading()
        await act.puppet.sends(b"not yet")
        await turns()
        act.sees(b"not yet" in act.app.data)
        act.transport.resume_reading()
        await act.app.until(lambda: b"not yet" in act.app.data)
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


async def test_a_pause_inside_data_received(stage: Stage) -> None:
    class Cautious(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            if self.transport.get_extra_info("ssl_object"):
                self.note("pauses")
                self.transport.pause_reading()

    async def story(act: Act) -> None:
        await act.connect(Cautious)
        await act.puppet.sends(b"one")
        await act.app.until(lambda: "pauses" in act.app.entries)
        await act.puppet.sends(b"two")
        await turns()
        act.sees(b"two" in act.app.data)
        act.transport.resume_reading()
        await act.app.until(lambda: b"two" in act.app.data)

    await stage.same(story)


@pytest.mark.parametrize("second", [Diary, ViewDiary], ids=["copied", "buffered"])
@pytest.mark.parametrize("first", [Diary, ViewDiary], ids=["copied", "buffered"])
async def test_another_protocol_in_mid_stream(
    stage: Stage, first: Callable[[], Diary], second: Callable[[], Diary]
) -> None:
    async def story(act: Act) -> None:
        await act.connect(first)
        await act.puppet.sends(b"for the first")
        await act.app.until(lambda: act.app.data.endswith(b"first"))
        old, act.app = act.app, second()
        act.transport.set_protocol(act.app)
        act.sees(act.transport.get_protocol() is act.app)
        act.sees(old.entries)
        await act.puppet.sends(b"for the second")
        await act.puppet.does(close)
        await act.app.lost()
        act.sees("lost" in old.names)

    await stage.same(story)


async def test_another_protocol_inside_data_received(stage: Stage) -> None:
    """What has arrived behind the record that made it switch is the next one's."""

    class Last(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            if self.transport.get_extra_info("ssl_object"):
                heirs.append(Diary())
                self.transport.set_protocol(heirs[-1])

    heirs: list[Diary] = []

    async def story(act: Act) -> None:
        await act.connect(Last)
        await act.puppet.sends(b"upgrade")
        await act.app.until(lambda: b"upgrade" in act.app.data)
        await act.puppet.sends(b"in the new protocol")
        await heirs[-1].received(19)
        await act.puppet.does(close)
        await heirs[-1].lost()
        act.sees(heirs[-1].entries)
        act.sees(act.app.names[-1])
        act.app = heirs[-1]

    await stage.same(story)


async def test_reading_says_whether_it_reads(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.sees(act.transport.is_reading())
        act.transport.pause_reading()
        act.sees(act.transport.is_reading())
        act.transport.pause_reading()
        act.transport.resume_reading()
        act.sees(act.transport.is_reading())
        act.transport.resume_reading()

    await stage.same(story)


READS_NO_MORE = Departure(
    "A transport that is closing delivers nothing, and ours says so, as plain transports do; TLS's says that it reads.",
    lambda record: replace(record, seen=[False]),
)


async def test_reading_is_over_with_a_close(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.close()
        act.sees(act.transport.is_reading())

    await stage.same(story, READS_NO_MORE)
