"""Applications that fail: each callback may raise; the loop hears of it, the connection ends, and ends once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import MUCH, Puppet, close, to_the_end, truncate, turns


class MistakeError(Exception):
    """What an application raises that nobody expected."""


@contextmanager
def complaints() -> Iterator[list[dict[str, Any]]]:
    """What the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: told.append(context))
    try:
        yield told
    finally:
        loop.set_exception_handler(before)


def failing_in(
    name: str, base: type[Diary] = Diary, error: BaseException | None = None
) -> type[Diary]:
    """An application with a mistake in one callback."""

    def callback(self: Diary, *arguments: Any) -> Any:
        self.note(f"failed in {name}")
        raise error or MistakeError(name)

    return type("Failing", (base,), {name: callback})


async def test_in_connection_made(tls_version: ssl.TLSVersion) -> None:
    """The connection is not made: whoever waits for it gets the error."""
    apps: list[Diary] = []

    def factory() -> Diary:
        apps.append(failing_in("connection_made")())
        return apps[-1]

    async with Puppet(tls_version) as puppet:
        with complaints() as told:
            with pytest.raises(MistakeError):
                await puppet.connect(factory)
            assert isinstance(await apps[0].lost(), MistakeError)
    assert apps[0].entries == ["failed in connection_made", ("lost", "MistakeError")]
    assert [type(context["exception"]) for context in told] == [MistakeError]


@pytest.mark.parametrize(
    ("name", "base"),
    [("data_received", Diary), ("get_buffer", BufferedDiary), ("buffer_updated", BufferedDiary)],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_while_receiving(name: str, base: type[Diary], tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        with complaints() as told:
            transport, app = await puppet.connect(failing_in(name, base))
            await puppet.sends(b"trouble")
            assert isinstance(await app.lost(), MistakeError)
            assert transport.is_closing()
            _, how = await puppet.does(to_the_end)
            assert how != "clean"
    assert app.entries == ["made", f"failed in {name}", ("lost", "MistakeError")]
    (context,) = told
    assert isinstance(context["exception"], MistakeError)
    assert context["transport"] is transport
    assert "receiv" in context["message"]


async def test_an_empty_buffer(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        with complaints() as told:
            _, app = await puppet.connect(lambda: BufferedDiary(0))
            await puppet.sends(b"into nothing")
            assert isinstance(await app.lost(), RuntimeError)
    assert app.names == ["made", "lost"]
    assert ["empty buffer" in str(context["exception"]) for context in told] == [True]


@pytest.mark.parametrize(
    "buffer", [b"read only", memoryview(bytes(100)), 7, None], ids=["bytes", "view", "int", "None"]
)
async def test_a_buffer_that_cannot_be_written(buffer: Any) -> None:
    class Odd(BufferedDiary):
        def get_buffer(self, sizehint: int) -> Any:
            return buffer

    async with Puppet() as puppet:
        with complaints() as told:
            _, app = await puppet.connect(Odd)
            await puppet.sends(b"into stone")
            assert isinstance(await app.lost(), TypeError | BufferError)
    assert app.names == ["made", "lost"]
    assert len(told) == 1


@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
async def test_in_eof_received(ending: Any, tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        with complaints() as told:
            transport, app = await puppet.connect(failing_in("eof_received"))
            await puppet.does(ending)
            assert isinstance(await app.lost(), MistakeError)
    assert app.entries == ["made", "failed in eof_received", ("lost", "MistakeError")]
    assert [context["transport"] for context in told] == [transport]


async def test_in_connection_lost() -> None:
    async with Puppet() as puppet:
        with complaints() as told:
            transport, app = await puppet.connect(failing_in("connection_lost"))
            transport.abort()
            await app.until(lambda: "failed in connection_lost" in app.entries)
            await turns()
    assert app.entries == ["made", "failed in connection_lost"]
    assert [type(context["exception"]) for context in told] == [MistakeError]


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
async def test_in_flow_control(name: str) -> None:
    """As with asyncio: it is told, and the connection goes on."""
    async with Puppet() as puppet:
        with complaints() as told:
            transport, app = await puppet.connect(failing_in(name))
            transport.write(MUCH)
            assert await puppet.hears(len(MUCH)) == MUCH
            await app.until(lambda: f"failed in {name}" in app.entries)
            transport.write(b"still here")
            assert await puppet.hears(10) == b"still here"
            transport.abort()
            assert await app.lost() is None
    assert [type(context["exception"]) for context in told] == [MistakeError]


async def test_an_os_error_is_no_defect_and_is_not_reported() -> None:
    """A callback that meets a broken pipe of its own ends the connection, as with asyncio, without a complaint."""
    async with Puppet() as puppet:
        with complaints() as told:
            _, app = await puppet.connect(
                failing_in("data_received", error=BrokenPipeError("elsewhere"))
            )
            await puppet.sends(b"trouble")
            assert isinstance(await app.lost(), BrokenPipeError)
    assert told == []


async def test_one_mistake_among_many_records_ends_it() -> None:
    """What else has arrived is not delivered."""

    class Failing(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise MistakeError

    async with Puppet() as puppet:
        with complaints() as told:
            _, app = await puppet.connect(Failing)
            # Some of it may meet a connection that is gone already.
            await puppet.does(
                lambda connection: connection.send_raw(connection.seal(MUCH[:60_000]))
            )
            await app.lost()
            await turns()
    assert app.names == ["made", "data", "lost"]
    assert len(app.data) <= 16384
    assert len(told) == 1


async def test_a_tls_error_inside_a_callback_is_the_callbacks_own() -> None:
    """An application that does TLS itself and lets WantRead through: that is not our engine which wants to read."""
    async with Puppet() as puppet:
        with complaints():
            _, app = await puppet.connect(failing_in("data_received", error=ssl.SSLWantReadError()))
            await puppet.sends(b"trouble")
            assert isinstance(await app.lost(), ssl.SSLWantReadError)
    assert app.names == ["made", "failed in data_received", "lost"]
