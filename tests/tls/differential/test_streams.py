"""asyncio's streams over both: what a program that reads and writes them sees."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pinio
from tests.tls.conformance.diary import kind_of
from tests.tls.conformance.puppet import (
    MUCH,
    Puppet,
    Step,
    close,
    last_words,
    reset,
    to_the_end,
    truncate,
)
from tests.tls.differential.stage import TRUST

Story = Callable[[Puppet, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[list[Any]]]


async def same(tls_version: ssl.TLSVersion, story: Story) -> None:
    answers = []
    for pinned in (False, True):
        async with Puppet(tls_version) as puppet:
            address: dict[str, Any] = {"host": puppet.server.host, "port": puppet.server.port}
            reader, writer = (
                await pinio.open_connection(**puppet.where)
                if pinned
                else await asyncio.open_connection(
                    **address, ssl=TRUST, server_hostname="localhost"
                )
            )
            answers.append(await story(puppet, reader, writer))
            writer.transport.abort()
    theirs, ours = answers
    assert ours == theirs


async def outcome(attempt: Awaitable[Any]) -> Any:
    """What it returns, or which error it raises."""
    try:
        return await attempt
    except Exception as error:  # noqa: BLE001 - any of them is an answer
        return kind_of(error)


async def test_a_question_and_an_answer(tls_version: ssl.TLSVersion) -> None:
    async def story(
        puppet: Puppet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[Any]:
        writer.writelines([b"ques", b"tion\n"])
        await writer.drain()
        heard = await puppet.hears(9)
        await puppet.sends(b"answer\nand more")
        seen = [heard, await reader.readline(), await reader.readexactly(4), reader.at_eof()]
        writer.close()
        seen += [writer.is_closing(), await puppet.does(to_the_end)]
        await puppet.does(close)
        return [
            *seen,
            await outcome(writer.wait_closed()),
            await outcome(reader.read()),
            reader.at_eof(),
        ]

    await same(tls_version, story)


@pytest.mark.parametrize(
    "ending",
    [close, truncate, reset, last_words(b"the rest")],
    ids=["close", "truncate", "reset", "last words"],
)
async def test_a_peer_that_ends(tls_version: ssl.TLSVersion, ending: Step[None]) -> None:
    async def story(
        puppet: Puppet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[Any]:
        await puppet.sends(b"not all")
        seen = [await reader.readexactly(3)]
        await puppet.does(ending)
        seen += [await outcome(reader.readuntil(b"\n")), await outcome(reader.read())]
        writer.write(b"too late")
        writer.close()
        return [*seen, reader.at_eof(), await outcome(writer.wait_closed())]

    await same(tls_version, story)


async def test_much_both_ways(tls_version: ssl.TLSVersion) -> None:
    async def story(
        puppet: Puppet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[Any]:
        sending = asyncio.create_task(puppet.sends(MUCH))
        seen = [await reader.readexactly(len(MUCH)) == MUCH]
        await sending
        hearing = asyncio.create_task(puppet.hears(len(MUCH)))
        writer.write(MUCH)
        await writer.drain()
        return [*seen, await hearing == MUCH]

    await same(tls_version, story)


async def test_a_reader_that_has_enough(tls_version: ssl.TLSVersion) -> None:
    """It pauses the transport, and goes on when there is room."""

    async def story(
        puppet: Puppet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[Any]:
        sending = asyncio.create_task(puppet.sends(MUCH[:500_000]))
        data = bytearray()
        while len(data) < 500_000:
            await asyncio.sleep(0)
            data += await reader.read(1000)
        await sending
        return [data == MUCH[:500_000]]

    await same(tls_version, story)
