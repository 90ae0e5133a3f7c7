"""TLS over what is open already: a plain connection, the loop's own TLS, and pinned TLS. It ends and flows as over TCP."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pinio
from pinio.testing import Connection, ConnectProxy, Server
from pinio.tls.connection.buffers import PRIVATE, SHARED, receive_buffer
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import GENUINE, ISSUER, ROOT, pinned
from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import (
    MUCH,
    POLICY,
    Puppet,
    Step,
    close,
    exactly,
    in_one_segment,
    last_words,
    to_the_end,
    truncate,
)

PROXY = ISSUER.issue("proxy.pinned.test")
LOWER = ["plain", "the loop's TLS", "pinned TLS"]

layers = pytest.mark.parametrize("lower", LOWER)


async def to_the_proxy(lower: str, proxy: ConnectProxy, app: Diary) -> asyncio.Transport:
    """An open connection of one kind to an HTTP proxy."""
    if lower == "pinned TLS":
        policy = pinned(PROXY.pin, host="proxy.pinned.test")
        return (
            await pinio.create_connection(
                lambda: app, *proxy.address, policy=policy, server_hostname="proxy.pinned.test"
            )
        )[0]
    tls: dict[str, Any] = {"ssl": ROOT.client_context(), "server_hostname": "proxy.pinned.test"}
    loop = asyncio.get_running_loop()
    return (
        await loop.create_connection(
            lambda: app, *proxy.address, **(tls if lower != "plain" else {})
        )
    )[0]


@asynccontextmanager
async def tunnel(
    lower: str, tls_version: ssl.TLSVersion, app: Diary
) -> AsyncIterator[tuple[Puppet, PinnedTransport, Diary]]:
    """A puppet's connection through a proxy; the application is told of it as of a new one."""
    outer = Diary()
    async with (
        Puppet(tls_version) as puppet,
        ConnectProxy(
            None if lower == "plain" else PROXY,
            routes={"localhost:443": puppet.server.address},
            tls_version=None if lower == "plain" else tls_version,
        ) as proxy,
    ):
        transport = await to_the_proxy(lower, proxy, outer)
        transport.write(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
        await outer.until(lambda: outer.data.endswith(b"\r\n\r\n"))
        upper = await pinio.start_tls(transport, app, policy=POLICY, server_hostname="localhost")
        await puppet.does(lambda connection: None)
        yield puppet, upper, outer
        upper.abort()
        await app.lost()
    assert "lost" not in outer.names  # that is the upper application's to hear


kinds = pytest.mark.parametrize(
    "factory",
    [Diary, BufferedDiary, lambda: BufferedDiary(100)],
    ids=["copied", "buffered", "of 100"],
)


@layers
@kinds
async def test_bytes_pass_both_ways(
    lower: str, factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    app = factory()
    async with tunnel(lower, tls_version, app) as (puppet, transport, _):
        sending = asyncio.create_task(puppet.sends(MUCH[:300_000]))
        assert await app.received(300_000) == MUCH[:300_000]
        await sending
        transport.write(MUCH[:300_000])
        assert await puppet.hears(300_000) == MUCH[:300_000]
        await puppet.does(in_one_segment(b"a", b"b", b"c"))
        assert (await app.received(300_003)).endswith(b"abc")
        assert transport.get_extra_info("peername")


@layers
async def test_closing(lower: str, tls_version: ssl.TLSVersion) -> None:
    app = Diary()
    async with tunnel(lower, tls_version, app) as (puppet, transport, _):
        transport.write(MUCH)
        transport.close()
        assert await puppet.does(to_the_end) == (MUCH, "clean")
        await puppet.does(close)
        assert await app.lost() is None
    assert app.entries == ["eof", ("lost", "NoneType")]


@layers
async def test_closing_inside_pause_writing(lower: str, tls_version: ssl.TLSVersion) -> None:
    """What was written, and what is written there, comes whole and in order before the close_notify."""

    class Ending(Diary):
        def pause_writing(self) -> None:
            super().pause_writing()
            upper.write(b"and more")
            upper.close()

    app = Ending()
    async with tunnel(lower, tls_version, app) as (puppet, upper, _):
        written = b""
        while not app.flow:
            upper.write(MUCH)
            written += MUCH
        assert await puppet.does(to_the_end) == (written + b"and more", "clean")
        await puppet.does(close)
        assert await app.lost() is None


@layers
@pytest.mark.parametrize(
    ("ending", "how"),
    [(last_words(b"bye"), "clean"), (truncate, "ragged")],
    ids=["clean", "ragged"],
)
async def test_the_peer_closes(
    lower: str, ending: Step[None], how: str, tls_version: ssl.TLSVersion
) -> None:
    app = Diary()
    async with tunnel(lower, tls_version, app) as (puppet, transport, _):
        await puppet.does(ending)
        await app.lost()
        assert transport.get_extra_info("pinio.eof") == how
    assert app.names == (["data"] if how == "clean" else []) + ["eof", "lost"]


@layers
@kinds
async def test_pauses(
    lower: str, factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    """Each record is followed by a pause; nothing is delivered during one, nothing is lost."""
    app = factory()
    told = app.data_received
    async with tunnel(lower, tls_version, app) as (puppet, transport, _):

        def data_received(data: bytes) -> None:
            assert transport.is_reading()
            told(data)
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(transport.resume_reading)

        app.data_received = data_received  # type: ignore[method-assign]
        sending = asyncio.create_task(puppet.sends(MUCH[:100_000]))
        assert await app.received(100_000) == MUCH[:100_000]
        await sending


@layers
async def test_flow_control_is_passed_up(lower: str, tls_version: ssl.TLSVersion) -> None:
    app = Diary()
    async with tunnel(lower, tls_version, app) as (puppet, transport, _):
        while not app.flow:
            transport.write(MUCH)
        assert transport.get_write_buffer_size() > 0
        hearing = asyncio.create_task(puppet.does(to_the_end))
        await app.until(lambda: app.flow == ["pause", "resume"])
        transport.close()
        data, how = await hearing
        assert len(data) % len(MUCH) == 0
        assert how == "clean"


async def test_a_pause_from_before_is_taken_back_afterwards(tls_version: ssl.TLSVersion) -> None:
    """The application was asked not to write by the plain transport; it is its resume_writing() that has to come."""

    paused = threading.Event()

    def starttls(connection: Connection) -> None:
        paused.wait()
        exactly(len(MUCH))(connection)

    app = Diary()
    async with Puppet(tls_version, starttls=starttls) as puppet:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: app, *puppet.server.address)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        transport.write(MUCH)
        await app.until(lambda: app.flow == ["pause"])
        paused.set()
        upper = await pinio.start_tls(transport, app, policy=POLICY, server_hostname="localhost")
        await app.until(lambda: app.flow == ["pause", "resume"])
        upper.write(b"now in secret")
        assert await puppet.hears(13) == b"now in secret"
        upper.abort()
        await app.lost()


async def test_the_lower_transport_goes_with_the_upper_one() -> None:
    app = Diary()
    async with Server(GENUINE) as server:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: app, *server.address)
        upper = await pinio.start_tls(transport, app, policy=POLICY, server_hostname="localhost")
        upper.close()
        assert await app.lost() is None
        assert transport.is_closing()
    assert app.entries == ["made", "eof", ("lost", "NoneType")]


# The receive buffer


async def test_connections_share_a_buffer_where_it_is_handed_back_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with Server(GENUINE) as server:
        first, app = await loop.create_connection(Diary, *server.address)
        second, other = await loop.create_connection(Diary, *server.address)
        assert receive_buffer(loop, first) is receive_buffer(loop, second)
        assert len(receive_buffer(loop, first)) == SHARED
        first.abort()
        second.abort()
        await app.lost()
        await other.lost()


class Strange(asyncio.Transport):
    """A transport that nobody knows; it may fill a buffer long before it says so."""


async def test_over_other_transports_each_connection_has_its_own() -> None:
    loop = asyncio.get_running_loop()
    strange = Strange()
    assert receive_buffer(loop, strange) is not receive_buffer(loop, strange)
    assert len(receive_buffer(loop, strange)) == PRIVATE
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        assert receive_buffer(loop, transport) is not receive_buffer(loop, transport)
        transport.abort()
        await app.lost()


async def test_two_loops_share_nothing() -> None:
    loop, other = asyncio.get_running_loop(), asyncio.new_event_loop()
    async with Server(GENUINE) as server:
        app = Diary()
        transport, _ = await loop.create_connection(lambda: app, *server.address)
        assert receive_buffer(loop, transport) is not receive_buffer(other, transport)
        transport.abort()
        await app.lost()
    other.close()
