"""Applications that fail, and what the loop's own TLS would make of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import MUCH, close, reset, to_the_end, truncate, turns
from tests.tls.differential.departures import TRUNCATION_IS_TOLD
from tests.tls.differential.stage import Act, Departure, Record, Stage


class MistakeError(Exception):
    """What an application raises that nobody expected."""


def failing_in(name: str, base: type[Diary] = Diary, error: Exception | None = None) -> type[Diary]:
    """An application that makes a mistake in one callback, once it is `tired`."""

    def callback(self: Diary, *arguments: Any) -> Any:
        if not getattr(self, "tired", False):
            return getattr(base, name)(self, *arguments)
        self.note(f"failed in {name}")
        raise error or MistakeError(name)

    return type("Failing", (base,), {name: callback})


def tire(app: Diary) -> None:
    app.tired = True  # type: ignore[attr-defined]


async def test_in_connection_made(dialling: Stage) -> None:
    class Failing(Diary):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise MistakeError

    async def story(act: Act) -> None:
        await act.fails(Failing)
        await act.app.lost()

    await dialling.same(story)


@pytest.mark.parametrize(
    "error", [MistakeError("mine"), BrokenPipeError("elsewhere")], ids=["mistake", "OSError"]
)
@pytest.mark.parametrize(
    ("name", "base"),
    [("data_received", Diary), ("get_buffer", BufferedDiary), ("buffer_updated", BufferedDiary)],
    ids=["data_received", "get_buffer", "buffer_updated"],
)
async def test_while_receiving(
    stage: Stage, name: str, base: type[Diary], error: Exception
) -> None:
    async def story(act: Act) -> None:
        await act.connect(failing_in(name, base, error))
        tire(act.app)
        await act.puppet.sends(b"trouble")
        await act.app.lost()
        act.sees(act.transport.is_closing())
        act.sees((await act.puppet.does(to_the_end))[1] == "clean")

    await stage.same(story)


NO_BUFFER = Departure(
    "An empty buffer is a mistake, and ours says so. asyncio takes the nothing that fits for the peer's close_notify, and uvloop "
    "waits, and goes on waiting.",
    lambda record: Record(
        [*(entry for entry in record.told if entry == "made"), ("lost", "RuntimeError")],
        seen=[True],
        complaints=["RuntimeError"],
    ),
)


@pytest.mark.parametrize("buffer", [bytearray(), b"read only"], ids=["empty", "read only"])
async def test_no_buffer(stage: Stage, buffer: bytes | bytearray) -> None:
    class Odd(BufferedDiary):
        def get_buffer(self, sizehint: int) -> Any:
            if not getattr(self, "tired", False):
                return super().get_buffer(sizehint)
            return buffer

    async def story(act: Act) -> None:
        await act.connect(Odd)
        tire(act.app)
        await act.puppet.sends(b"into nothing")
        await turns(50)
        act.sees(act.transport.is_closing())

    await stage.same(story, *([NO_BUFFER] if not buffer else []))


TOLD_AND_FAILED = Departure(
    TRUNCATION_IS_TOLD.why,
    lambda record: replace(
        record,
        told=[*record.told[:-1], "failed in eof_received", ("lost", "MistakeError")],
        complaints=["MistakeError"],
    ),
    on="uvloop",
)


@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
async def test_in_eof_received(stage: Stage, ending: Any) -> None:
    async def story(act: Act) -> None:
        await act.connect(failing_in("eof_received"))
        tire(act.app)
        await act.puppet.does(ending)
        await act.app.lost()

    await stage.same(story, *([TOLD_AND_FAILED] if ending is truncate else []))


@pytest.mark.parametrize("ending", ["close", "abort", "the peer's", "reset"])
async def test_in_connection_lost(stage: Stage, ending: str) -> None:
    class Failing(Diary):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            raise MistakeError

    async def story(act: Act) -> None:
        await act.connect(Failing)
        match ending:
            case "close":
                act.transport.close()
                await act.puppet.does(to_the_end)
                await act.puppet.does(close)
            case "abort":
                act.transport.abort()
            case "the peer's":
                await act.puppet.does(close)
            case _:
                await act.puppet.does(reset)
        await act.app.lost()
        await turns()

    await stage.same(story)


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
async def test_in_flow_control(stage: Stage, name: str) -> None:
    async def story(act: Act) -> None:
        await act.connect(failing_in(name))
        tire(act.app)
        act.transport.write(MUCH)
        act.transport.write(MUCH)
        act.sees(await act.puppet.hears(2 * len(MUCH)) == MUCH + MUCH)
        await act.app.until(lambda: f"failed in {name}" in act.app.entries)
        act.transport.write(b"still here")
        act.sees(await act.puppet.hears(10))

    await stage.same(story)
