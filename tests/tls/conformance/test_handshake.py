"""Handshakes that are slow, or end too soon, and what is left of them: nothing, and without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import pinio
from pinio.testing import CutRelay, DripRelay, RawServer, hear, silent
from pinio.testing.stream import CHUNK
from pinio.tls.connection.delivery import Delivery
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.gate import Gate
from tests.tls.cast import GENUINE, MISPINNED, pinned
from tests.tls.conformance.diary import Diary
from tests.tls.conformance.puppet import Puppet, close, reset, to_the_end, truncate, turns

OURS = (PinnedTransport, PinnedProtocol, Delivery, OpenSSLEngine, Gate)
UNTRUSTED = pinned(GENUINE.pin, anchors=pinio.testing.CA().anchors)


async def test_a_handshake_byte_by_byte(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet, DripRelay(puppet.server) as relay:
        transport, app = await puppet.connect(port=relay.port)
        await puppet.sends(b"slowly")
        assert await app.received(6) == b"slowly"
        transport.abort()


async def size_of_the_servers_flights(tls_version: ssl.TLSVersion) -> int:
    """Bytes up to the end of the handshake.

    Signatures make it vary a little from one connection to the next.
    """
    context = GENUINE.server_context(tls_version=tls_version, tickets=False)
    async with Puppet(identity=context) as puppet, DripRelay(puppet.server, step=CHUNK) as relay:
        transport, app = await puppet.connect(port=relay.port)
        transport.abort()
        await app.lost()
        return len(relay.connections[0].replies)


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.97])
async def test_a_connection_lost_in_any_state(
    ending: Any, share: float, tls_version: ssl.TLSVersion
) -> None:
    """Before the first byte, in the first record, in the certificate, and in the server's Finished.

    The last is, with TLS 1.2, a connection that was judged, and not open yet.
    """
    cut = int(share * await size_of_the_servers_flights(tls_version))
    apps: list[Diary] = []

    def factory() -> Diary:
        apps.append(Diary())
        return apps[-1]

    async with (
        Puppet(tls_version) as puppet,
        CutRelay(puppet.server, after_bytes=cut, ending=ending) as relay,
    ):
        with pytest.raises(ConnectionError):
            await puppet.connect(factory, port=relay.port)
    assert [app.entries for app in apps] == [[]]


async def test_a_deferred_flight_leaves_when_nothing_is_written(
    tls_version: ssl.TLSVersion,
) -> None:
    """With TLS 1.3 the client's Finished waits for company, and not for long."""
    async with Puppet(tls_version) as puppet:
        transport, app = await pinio.create_connection(Diary, **puppet.where)
        await puppet.sends(b"the handshake is done")
        assert await app.received(21) == b"the handshake is done"
        transport.abort()


# What is left


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """Objects of one connection each."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    before = alive()
    yield
    for _ in range(50):
        await turns(1)
        if alive() == before:
            break
    assert alive() == before


FAILURES: dict[str, tuple[dict[str, Any], type[BaseException]]] = {
    "refused": ({"policy": MISPINNED}, pinio.PinMismatchError),
    "untrusted": ({"policy": UNTRUSTED}, ssl.SSLCertVerificationError),
}


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_refused_connection_is_freed_at_once(
    failure: str, tls_version: ssl.TLSVersion
) -> None:
    options, expected = FAILURES[failure]
    async with Puppet(tls_version) as puppet, nothing_left():
        try:
            await puppet.connect(**options)
        except expected:
            pass
        else:
            pytest.fail("this server should not have been accepted")


SERVERS: dict[str, tuple[Any, ...]] = {
    "no TLS": (hear, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "a reset": (hear, reset),
    "an end": (hear,),
    "an end before the first byte": (truncate,),
    "silence": (silent,),
}


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("server", SERVERS)
async def test_a_failed_connection_is_freed_at_once(server: str) -> None:
    async with RawServer(*SERVERS[server]) as raw, nothing_left():
        try:
            await pinio.create_connection(
                Diary,
                raw.host,
                raw.port,
                server_hostname="localhost",
                policy=pinned(),
                ssl_handshake_timeout=0.2,
            )
        except OSError:
            pass
        else:
            pytest.fail("this server should not have been accepted")


@pytest.mark.usefixtures("without_collector")
async def test_a_cancelled_connection_is_freed_at_once() -> None:
    async with RawServer(silent) as raw, nothing_left():
        attempt = asyncio.create_task(
            pinio.create_connection(
                Diary, raw.host, raw.port, server_hostname="localhost", policy=pinned()
            )
        )
        while not raw.connections:  # noqa: ASYNC110 - a thread's list
            await asyncio.sleep(0)
        await turns()
        attempt.cancel()
        with suppress(asyncio.CancelledError):
            await attempt
        del attempt


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize(
    "end", ["close", "abort", "the peer's", "a truncation", "a reset", "an error"]
)
async def test_a_connection_is_freed_at_its_end(end: str, tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet, nothing_left():
        transport, app = await puppet.connect()
        await puppet.sends(b"hello")
        await app.received(5)
        match end:
            case "close":
                transport.close()
                await puppet.does(to_the_end)
                await puppet.does(close)
            case "abort":
                transport.abort()
            case "the peer's":
                await puppet.does(close)
            case "a truncation":
                await puppet.does(truncate)
            case "a reset":
                await puppet.does(reset)
            case "an error":
                await puppet.does(
                    lambda connection: connection.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
                )
        await app.lost()
        del transport, app


@pytest.mark.usefixtures("without_collector")
async def test_streams_are_freed_at_their_end(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet, nothing_left():
        reader, writer = await pinio.open_connection(**puppet.where)
        await puppet.sends(b"hello")
        await reader.readexactly(5)
        writer.close()
        await puppet.does(to_the_end)
        await puppet.does(close)
        await writer.wait_closed()
        del reader, writer
