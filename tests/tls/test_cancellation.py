"""Cancelled at any step, a connection leaves nothing behind: no socket, no task, no exception that nobody retrieved."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

import pinio
from pinio.testing import CutRelay, Server, starttls
from pinio.tls.dial import dial
from tests.conftest import LOOPS
from tests.tls.cast import GENUINE, MISPINNED, App, Told, end_of, pinned
from tests.tls.residue import TURNS, cancelled_after, nothing_left_behind
from tests.tls.unix import unix_socket


async def closed(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    """Close what was not cancelled."""
    if streams is not None:
        streams[1].close()
        await streams[1].wait_closed()


@pytest.fixture(autouse=True)
async def leaves_nothing() -> AsyncIterator[None]:
    async with nothing_left_behind():
        yield


async def test_create_connection(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, greeting=b"hello") as server:
        opened = None
        for turns in TURNS:
            apps: list[App] = []

            def factory(apps: list[App] = apps) -> App:
                apps.append(App())
                return apps[-1]

            opened = await cancelled_after(
                turns, pinio.create_connection(factory, "localhost", server.port, policy=pinned())
            )
            if opened is not None:
                opened[0].abort()
            for app in apps:
                if "connection_made" in app.calls:
                    await app.lost
        assert opened is not None, "the last of them was not cancelled"
        await end_of(server)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
async def test_open_unix_connection(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, greeting=b"hello") as server:
        async with unix_socket(server) as path:
            opened = None
            for turns in TURNS:
                attempt = pinio.open_unix_connection(
                    path, policy=pinned(), server_hostname="localhost"
                )
                opened = await cancelled_after(turns, attempt)
                await closed(opened)
            assert opened is not None, "the last of them was not cancelled"
        await end_of(server)


async def test_nothing_holds_a_cancelled_connection(tls_version: ssl.TLSVersion) -> None:
    """Neither a timer nor the loop: all of it is freed long before the handshake timeout."""
    with Server(GENUINE, tls_version=tls_version) as server:
        made: list[weakref.ref[App]] = []

        def factory() -> App:
            app = App()
            made.append(weakref.ref(app))
            return app

        for turns in TURNS[:-1]:
            opened = await cancelled_after(
                turns, pinio.create_connection(factory, "localhost", server.port, policy=pinned())
            )
            if opened is not None:
                opened[0].abort()
                await opened[1].lost
        await end_of(server)
        opened = None
        for _ in range(3):  # what was closed is told in the loop's next turns
            await asyncio.sleep(0)
        gc.collect()
        assert made
        assert [app for app in made if app() is not None] == []


async def test_a_connection_that_came_too_late_is_closed(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop had connected, and the cancellation came before it could say so."""

    async def late(*arguments: Any) -> None:
        await dial(*arguments)
        raise asyncio.CancelledError

    monkeypatch.setattr("pinio.tls.connect.dial", late)
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(asyncio.CancelledError):
            await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        await end_of(server)
        assert server.connections


async def test_a_refused_connection(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        refused = 0
        for turns in TURNS:
            attempt = pinio.open_connection(
                "localhost", server.port, policy=MISPINNED, observer=Told()
            )
            try:
                assert await cancelled_after(turns, attempt) is None
            except pinio.PinMismatchError:
                refused += 1
        await end_of(server)
        assert server.handshakes_finished == 0
    assert refused


async def test_a_socket_of_the_callers(tls_version: ssl.TLSVersion) -> None:
    """From the call on it is the connection's to close; and the socket object must not close its number once more later."""
    with Server(GENUINE, tls_version=tls_version) as server:
        for turns in TURNS:
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, server.address)
            attempt = pinio.open_connection(sock=sock, policy=pinned(), server_hostname="localhost")
            streams = await cancelled_after(turns, attempt)
            await closed(streams)
            if turns == 0:  # the call has not begun
                sock.close()
            for _ in range(3):
                await asyncio.sleep(0)
            assert sock.fileno() == -1 or streams is not None
        await end_of(server)


async def test_while_the_peer_says_nothing() -> None:
    with Server(GENUINE) as genuine:
        for after_bytes in (0, 1, 100, 700):
            with CutRelay(genuine, after_bytes=after_bytes, ending="stall") as relay:
                task = asyncio.ensure_future(
                    pinio.open_connection("localhost", relay.port, policy=pinned())
                )
                while not relay.connections:  # noqa: ASYNC110  # the relay runs in a thread
                    await asyncio.sleep(0)
                await relay.quiet()
                assert not task.done()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await end_of(relay)


async def test_start_tls(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, starttls=starttls()) as server:
        for turns in TURNS:
            reader, writer = await asyncio.open_connection(*server.address)
            await reader.readline()
            writer.write(b"STARTTLS\r\n")
            await reader.readline()
            attempt = pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")
            await closed(await cancelled_after(turns, attempt))
            if turns == 0:  # the call has not begun
                writer.close()
        await end_of(server)


async def test_probe(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        for turns in TURNS:
            await cancelled_after(turns, pinio.probe("localhost", server.port))
        await end_of(server)


async def test_happy_eyeballs() -> None:
    with Server(GENUINE) as server:
        for turns in TURNS:
            attempt = pinio.open_connection(
                "localhost", server.port, policy=pinned(), happy_eyeballs_delay=0.01
            )
            await closed(await cancelled_after(turns, attempt))
        await end_of(server)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the transport that the loop left behind
@pytest.mark.parametrize("after_bytes", [0, 700])
def test_a_loop_that_is_closed_during_the_handshake(
    after_bytes: int,
    loop_kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The collector ends the call, and there is no loop left to abort the connection with."""
    complaints: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with (
        Server(GENUINE) as genuine,
        CutRelay(genuine, after_bytes=after_bytes, ending="stall") as relay,
    ):

        async def begin() -> asyncio.Task[object]:
            task = asyncio.create_task(
                pinio.open_connection("localhost", relay.port, policy=pinned())
            )
            while not relay.connections:  # noqa: ASYNC110  # the relay runs in a thread
                await asyncio.sleep(0)
            await relay.quiet()
            return task

        loop = LOOPS[loop_kind]()
        left = [loop.run_until_complete(begin())]
        loop.close()
        left.clear()
        del loop
        gc.collect()
        assert all(record.ended.wait(60) for record in relay.connections)
    assert not complaints
    caplog.clear()  # of asyncio, which tells of the task that was destroyed
