"""Bytes on their way out, as the loop's own TLS would send them: flow control, limits, writes that come too late."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.tls.conformance.diary import Diary
from tests.tls.conformance.puppet import MUCH, close, reset, to_the_end, truncate, turns
from tests.tls.differential.departures import TRUNCATION_IS_TOLD, flow
from tests.tls.differential.stage import Act, Departure, Stage


@pytest.mark.parametrize("data", [b"", MUCH[:16385], MUCH], ids=len)
async def test_what_is_written_arrives(stage: Stage, data: bytes) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(data)
        act.transport.write(b"!")
        act.sees(await act.puppet.hears(len(data) + 1) == data + b"!")

    await stage.same(story, *([flow("pause", "resume")] if data is MUCH else []))


async def test_many_lines(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.writelines([b"one", b"", bytearray(b"two"), memoryview(b"three")])
        act.sees(await act.puppet.hears(11))

    await stage.same(story)


@pytest.mark.parametrize("wrong", ["text", None, 7], ids=["str", "None", "int"])
async def test_what_is_no_buffer(stage: Stage, wrong: object) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        try:
            act.transport.write(wrong)  # type: ignore[arg-type]
        except TypeError:
            act.sees("TypeError")
        act.transport.write(b"still here")
        act.sees(await act.puppet.hears(10))

    await stage.same(story)


async def test_a_slow_reader_pauses_the_writer(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        await act.app.until(lambda: act.app.flow == ["pause"])
        act.sees(act.transport.get_write_buffer_size() > 0)
        act.sees(await act.puppet.hears(2 * len(MUCH)) == MUCH + MUCH)
        await act.app.until(lambda: act.app.flow == ["pause", "resume"])

    await stage.same(story)


async def test_limits(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.sees(act.transport.get_write_buffer_limits())
        act.transport.set_write_buffer_limits(high=100_000)
        act.sees(act.transport.get_write_buffer_limits())
        act.transport.set_write_buffer_limits(high=40, low=20)
        act.sees(act.transport.get_write_buffer_limits())
        with pytest.raises(ValueError):
            act.transport.set_write_buffer_limits(high=1, low=2)
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        await act.app.until(lambda: act.app.flow == ["pause"])
        act.sees(await act.puppet.hears(2 * len(MUCH)) == MUCH + MUCH)
        await act.app.until(lambda: act.app.flow == ["pause", "resume"])

    await stage.same(story)


async def test_half_a_connection(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.sees(act.transport.can_write_eof())
        try:
            act.transport.write_eof()
        except NotImplementedError:
            act.sees("NotImplementedError")
        act.transport.write(b"still here")
        act.sees(await act.puppet.hears(10))

    await stage.same(story)


# Too late


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_writes_after_our_end(stage: Stage, end: str) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(b"in time")
        act.sees(await act.puppet.hears(7))
        getattr(act.transport, end)()
        for _ in range(10):
            act.transport.write(b"too late")
        act.sees(await act.puppet.does(to_the_end))
        await act.puppet.does(close if end == "close" else truncate)
        await act.app.lost()
        act.transport.write(b"much too late")
        act.transport.writelines([b"and", b"too late"])
        await turns()

    await stage.same(story)


@pytest.mark.parametrize("ending", [close, truncate, reset], ids=lambda step: step.__name__)
async def test_writes_after_the_peers_end(stage: Stage, ending: object) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        await act.puppet.does(ending)  # type: ignore[arg-type]
        await act.app.lost()
        for _ in range(10):
            act.transport.write(b"too late")
        act.sees(act.transport.get_write_buffer_size())
        await turns()

    await stage.same(story, *([TRUNCATION_IS_TOLD] if ending is truncate else []))


async def test_a_reset_while_we_write(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        await act.app.until(lambda: act.app.flow)
        await act.puppet.does(reset)
        await act.app.lost()

    await stage.same(story)


async def test_an_abort_while_writing_is_paused(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        await act.app.until(lambda: act.app.flow)
        act.transport.abort()
        await act.app.lost()
        await turns()
        act.sees(act.app.flow)

    await stage.same(story)


ALWAYS_RESUMED = Departure(
    "An application that was paused is resumed when what it wrote has left, also while it closes; uvloop forgets it there.",
    lambda record: replace(record, flow=["pause", "resume"]),
    on="uvloop",
)


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_end_inside_pause_writing(stage: Stage, end: str) -> None:
    class Ending(Diary):
        def pause_writing(self) -> None:
            super().pause_writing()
            assert self.transport is not None
            getattr(self.transport, end)()

    async def story(act: Act) -> None:
        await act.connect(Ending)
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        data, how = await act.puppet.does(to_the_end)
        act.sees(how)
        # A write is sent whole, and none after the close; ours asks for a pause after the first,
        # asyncio after the second.
        act.sees(data in (MUCH, MUCH + MUCH) if end == "close" else (MUCH + MUCH).startswith(data))
        await act.puppet.does(close if end == "close" else truncate)
        await act.app.lost()
        await asyncio.sleep(0)

    await stage.same(story, *([ALWAYS_RESUMED] if end == "close" else []))
