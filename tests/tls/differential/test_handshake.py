"""Handshakes that fail, and what the loop's own TLS would tell of it: to whom waits an error, to the application nothing."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Any, Final, Literal, cast

import pytest

import pinio
from pinio.testing import (
    CA,
    CutRelay,
    DripRelay,
    Handler,
    RawServer,
    hear,
    reset,
    silent,
    tls_alert,
)
from tests.tls.cast import GENUINE, ROOT, pinned
from tests.tls.conformance.puppet import POLICY, turns
from tests.tls.differential.stage import Act, Departure, Record, Stage

STRANGER = CA("nobody's").issue("localhost")
OTHER_NAME = pinned(host="other.test")


def and_is_told(record: Record) -> Record:
    error = cast(tuple[str, str], record.seen[0])[1]
    return replace(record, told=[("lost", "NoneType" if error == "CancelledError" else error)])


FORGOTTEN: Final = (
    "An application that start_tls was called for was told of its connection long ago, and is told of its end. The others forget "
    "it after some failed handshakes: asyncio after a reset, a timeout and a cancellation, uvloop after a reset."
)


def forgotten(stage: Stage, on: Literal["asyncio"] | None = None) -> list[Departure]:
    return [Departure(FORGOTTEN, and_is_told, on)] if stage.door == "start_tls" else []


async def test_a_certificate_of_an_unknown_ca(stage: Stage) -> None:
    async def story(act: Act) -> None:
        await act.fails()

    await stage.same(story, identity=STRANGER)


async def test_a_certificate_for_another_name(stage: Stage) -> None:
    async def story(act: Act) -> None:
        options: dict[str, Any] = {"policy": OTHER_NAME} if act.ours else {}
        await act.fails(server_hostname="other.test", **options)

    await stage.same(story)


async def test_no_version_in_common(stage: Stage) -> None:
    modern: dict[bool, ssl.SSLContext] = {
        True: pinio.create_ssl_context(POLICY),
        False: ROOT.client_context(),
    }

    async def story(act: Act) -> None:
        modern[act.ours].minimum_version = ssl.TLSVersion.TLSv1_3
        options: dict[str, Any] = {"policy": None} if act.ours else {}
        await act.fails(ssl=modern[act.ours], **options)

    await stage.same(story, identity=GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_2))


async def test_nobody_listens(dialling: Stage) -> None:
    async def story(act: Act) -> None:
        act.port = 1
        await act.fails()

    await dialling.same(story)


# Other servers


def after_starttls(stage: Stage, *script: Handler | bytes) -> RawServer:
    """A server that follows a script, where TLS is to begin."""
    plainly = (b"220 ready\r\n", hear, b"220 go ahead\r\n") if stage.door == "start_tls" else ()
    return RawServer(*plainly, *script)


SCRIPTS: dict[str, tuple[Any, ...]] = {
    "an end at once": (),
    "an end after the hello": (hear,),
    "a reset": (hear, reset),
    "no TLS": (hear, b"HTTP/1.1 400 Bad Request\r\n\r\n", silent),
    "an alert": (hear, tls_alert(40), silent),
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_server_that_is_none(stage: Stage, script: str) -> None:
    async with after_starttls(stage, *SCRIPTS[script]) as server:

        async def story(act: Act) -> None:
            act.port = server.port
            await act.fails()

        await stage.same(story, *(forgotten(stage) if script == "a reset" else ()))


async def test_a_server_that_says_nothing(stage: Stage) -> None:
    async with after_starttls(stage, silent) as server:

        async def story(act: Act) -> None:
            act.port = server.port
            await act.fails(ssl_handshake_timeout=0.1)

        await stage.same(story, *forgotten(stage, on="asyncio"))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10])
async def test_a_cancelled_handshake(stage: Stage, count: int) -> None:
    async with after_starttls(stage, silent) as server:

        async def story(act: Act) -> None:
            act.port = server.port
            attempt = asyncio.ensure_future(act.fails())
            await act.tls_begins.wait()
            await turns(count)
            attempt.cancel()
            await attempt

        await stage.same(story, *forgotten(stage, on="asyncio"))


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("after_bytes", [60, 700])
async def test_a_connection_cut_in_mid_flight(stage: Stage, after_bytes: int, ending: Any) -> None:
    async def story(act: Act) -> None:
        async with CutRelay(act.puppet.server, after_bytes=after_bytes, ending=ending) as relay:
            act.port = relay.port
            await act.fails()

    await stage.same(story, *(forgotten(stage) if ending == "reset" else ()))


async def test_a_handshake_byte_by_byte(stage: Stage) -> None:
    async def story(act: Act) -> None:
        async with DripRelay(act.puppet.server, step=7) as relay:
            act.port = relay.port
            await act.connect()
            await act.puppet.sends(b"slowly")
            await act.app.until(lambda: b"slowly" in act.app.data)
            act.transport.abort()
            await act.app.lost()

    await stage.same(story)
