"""Ends, as the loop's own TLS would tell of them: the peer's, ours, both at once, in good order and not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import (
    MUCH,
    Step,
    close,
    exactly,
    goodbye,
    last_words,
    reset,
    to_the_end,
    truncate,
    turns,
)
from tests.tls.differential.departures import TRUNCATION_IS_TOLD, all_of, answered, flow
from tests.tls.differential.stage import Act, Departure, Stage

kinds = pytest.mark.parametrize("factory", [Diary, BufferedDiary], ids=["copied", "buffered"])
endings = pytest.mark.parametrize(
    "ending", [close, goodbye, truncate, reset], ids=lambda step: step.__name__
)


def truncated(ending: Step[None]) -> list[Departure]:
    """How a truncation is told."""
    return [TRUNCATION_IS_TOLD] if ending is truncate else []


# The peer's


@kinds
@endings
async def test_the_peer_ends_after_some_data(
    stage: Stage, factory: Callable[[], Diary], ending: Step[None]
) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        await act.puppet.sends(b"that is all")
        await act.app.received(11)
        await act.puppet.does(ending)
        await act.app.lost()
        act.sees(act.transport.is_closing())

    await stage.same(story, *truncated(ending))


@kinds
async def test_data_and_end_in_one_segment(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        await act.puppet.does(last_words(b"that is all"))
        await act.app.lost()

    await stage.same(story)


@endings
async def test_what_the_server_sees_of_our_answer(stage: Stage, ending: Step[None]) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(b"before the end")
        act.sees(await act.puppet.does(exactly(14)))
        await act.puppet.does(ending)
        await act.app.lost()
        if ending is not reset:
            act.sees(await act.puppet.does(to_the_end))

    await stage.same(story, *truncated(ending), *([answered(b"")] if ending is truncate else []))


@pytest.mark.parametrize("answer", [True, None])
@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
async def test_what_eof_received_returns(
    stage: Stage, answer: bool | None, ending: Step[None]
) -> None:
    class Opinionated(Diary):
        def eof_received(self) -> bool | None:
            super().eof_received()
            return answer

    async def story(act: Act) -> None:
        await act.connect(Opinionated)
        await act.puppet.sends(b"half a word")
        await act.puppet.does(ending)
        await act.app.lost()

    await stage.same(story, *truncated(ending))


@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
@pytest.mark.parametrize("last", ["write", "close", "abort"])
async def test_what_an_application_does_in_eof_received(
    stage: Stage, last: str, ending: Step[None]
) -> None:
    class Eager(Diary):
        def eof_received(self) -> None:
            super().eof_received()
            assert self.transport is not None
            getattr(self.transport, last)(*[b"last words"][: last == "write"])

    async def story(act: Act) -> None:
        await act.connect(Eager)
        await act.puppet.does(ending)
        await act.app.lost()
        act.sees(await act.puppet.does(to_the_end))

    last_words = b"last words" if last == "write" else b""
    answer = [answered(last_words)] if ending is truncate and last != "abort" else []
    await stage.same(story, *truncated(ending), *answer)


# Ours


@pytest.mark.parametrize(
    "answer", [goodbye, close, truncate, reset], ids=lambda step: step.__name__
)
@pytest.mark.parametrize("data", [b"a little", MUCH], ids=["a little", "much"])
async def test_a_close_with_data_pending(stage: Stage, answer: Step[None], data: bytes) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.write(data)
        act.transport.close()
        act.sees(act.transport.is_closing())
        act.sees(await act.puppet.does(to_the_end) == (data, "clean"))
        await act.puppet.does(answer)
        await act.app.lost()

    await stage.same(
        story, *truncated(answer), *([flow("pause", "resume")] if data is MUCH else [])
    )


@kinds
async def test_closing_twice(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        act.transport.close()
        act.transport.close()
        act.sees(await act.puppet.does(to_the_end))
        await act.puppet.does(close)
        await act.app.lost()
        act.transport.close()
        await turns()

    await stage.same(story)


async def test_a_close_inside_connection_made(stage: Stage) -> None:
    class Brief(Diary):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.transport is not None
            if self.transport.get_extra_info("ssl_object") is not None:
                self.transport.write(b"good day, good night")
                self.transport.close()

    async def story(act: Act) -> None:
        await act.connect(Brief)
        if stage.door == "start_tls":
            act.transport.close()
        act.sees(await act.puppet.does(to_the_end))
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


async def test_a_close_inside_data_received(stage: Stage) -> None:
    class Satisfied(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            if self.transport.get_extra_info("ssl_object"):
                self.transport.close()

    async def story(act: Act) -> None:
        await act.connect(Satisfied)
        await act.puppet.sends(b"enough")
        act.sees(await act.puppet.does(to_the_end))
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


@pytest.mark.parametrize("before", ["nothing", "write", "much", "close"])
async def test_an_abort(stage: Stage, before: str) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        match before:
            case "write":
                act.transport.write(b"in time")
                act.sees(await act.puppet.does(exactly(7)))
            case "much":
                act.transport.write(MUCH)
            case "close":
                act.transport.close()
        act.transport.abort()
        act.sees(act.transport.is_closing())
        await act.app.lost()
        act.transport.abort()
        await turns()

    await stage.same(story, *([flow("pause")] if before == "much" else []))


async def test_an_abort_inside_data_received(stage: Stage) -> None:
    class Shocked(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            if self.transport.get_extra_info("ssl_object"):
                self.transport.abort()

    async def story(act: Act) -> None:
        await act.connect(Shocked)
        await act.puppet.sends(b"boo")
        await act.app.lost()

    await stage.same(story)


CROSSING_IS_NO_ERROR = Departure(
    "What the peer sends before it hears of our close is dropped, as on a plain connection. asyncio makes an error of it.",
    lambda record: replace(record, told=[*record.told[:-1], "eof", ("lost", "NoneType")]),
    on="asyncio",
)


@kinds
async def test_data_that_crosses_our_close(stage: Stage, factory: Callable[[], Diary]) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        act.transport.close()
        await act.puppet.sends(b"crossing")
        await act.puppet.does(to_the_end)
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story, CROSSING_IS_NO_ERROR)


# Both


async def test_both_close_at_once(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        await act.puppet.does(goodbye)
        act.transport.close()
        await act.app.lost()
        act.sees(await act.puppet.does(to_the_end))

    await stage.same(story)


async def test_a_peer_that_never_answers_a_close(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect(ssl_shutdown_timeout=0.05)
        act.transport.close()
        await act.app.lost()
        act.sees(await act.puppet.does(to_the_end))

    await stage.same(story)


async def test_a_peer_that_stops_reading(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect(ssl_shutdown_timeout=0.05)
        act.transport.write(MUCH)
        act.transport.close()
        await act.app.lost()

    await stage.same(story, flow("pause"))


# Around pauses

NOTHING_IS_DROPPED = Departure(
    "uvloop drops what it had received during a pause when the peer's end comes. asyncio delivers it, as ours does.",
    all_of(b"while you were out"),
    on="uvloop",
)


@kinds
@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
async def test_data_and_end_during_a_pause(
    stage: Stage, factory: Callable[[], Diary], ending: Step[None]
) -> None:
    async def story(act: Act) -> None:
        await act.connect(factory)
        act.transport.pause_reading()
        await act.puppet.sends(b"while you were out")
        await act.puppet.does(ending)
        await turns()
        act.sees(len(act.app.data))
        act.transport.resume_reading()
        await act.app.lost()

    await stage.same(story, NOTHING_IS_DROPPED)


async def test_a_close_during_a_pause(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.pause_reading()
        act.transport.close()
        act.sees(await act.puppet.does(to_the_end))
        await act.puppet.does(close)
        await act.app.lost()

    await stage.same(story)


WHAT_CAME_BEFORE = Departure(
    "What had arrived before a reset is delivered when the application wants it, and then the reset is told. The others drop it.",
    lambda record: replace(
        record, told=[*record.told[:-1], bytearray(b"read in time"), record.told[-1]]
    ),
)


@pytest.mark.parametrize("data", [b"", b"read in time"], ids=["nothing", "data"])
async def test_a_reset_during_a_pause(stage: Stage, data: bytes) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.pause_reading()
        await act.puppet.sends(data)
        await turns()
        await act.puppet.does(reset)
        await turns()
        act.transport.resume_reading()
        await act.app.lost()

    await stage.same(story, *([WHAT_CAME_BEFORE] if data else []))


async def test_an_abort_during_a_pause(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.connect()
        act.transport.pause_reading()
        await act.puppet.sends(b"never heard")
        act.transport.abort()
        await act.app.lost()

    await stage.same(story)
