"""TLS over a connection that is already there: STARTTLS, and TLS within TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pinio
from pinio.errors import (
    InjectedPlaintextError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.testing import ConnectProxy, RawServer, Server, echo, hear, silent, starttls
from tests.tls.cast import GENUINE, ISSUER, MISPINNED, ROOT, App, BufferedApp, Told, end_of, pinned

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def asked_for_tls(server: Server) -> Streams:
    """A plain connection right after the server's go-ahead."""
    reader, writer = await asyncio.open_connection(*server.address)
    assert await reader.readline() == b"220 ready\r\n"
    writer.write(b"STARTTLS\r\n")
    assert (await reader.readline()).startswith(b"220 go ahead")
    return reader, writer


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say something to a server that echoes, hear it, and part in good order."""
    for words in (b"EHLO", b"x" * 100_000):
        writer.write(words)
        assert await reader.readexactly(len(words)) == words
    writer.close()
    await writer.wait_closed()


# Pairs of streams


@pytest.mark.parametrize("greeting", [None, b"250 more"], ids=["silent", "speaks first"])
async def test_an_upgraded_pair_of_streams(
    tls_version: ssl.TLSVersion, greeting: bytes | None
) -> None:
    with Server(GENUINE, tls_version=tls_version, starttls=starttls(), greeting=greeting) as server:
        reader, writer = await pinio.upgrade(
            *await asked_for_tls(server), policy=pinned(), server_hostname="localhost", port=587
        )
        if greeting is not None:
            assert await reader.readexactly(len(greeting)) == greeting
        assert pinio.attest(writer).port == 587
        await exchange(reader, writer)
        await end_of(server)
        assert server.application_bytes.startswith(b"EHLO")


async def test_a_refused_upgrade_says_nothing(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    with Server(
        GENUINE, tls_version=tls_version, starttls=starttls(), greeting=b"250 more"
    ) as server:
        streams = await asked_for_tls(server)
        with pytest.raises(PinMismatchError):
            await pinio.upgrade(
                *streams, policy=MISPINNED, server_hostname="localhost", observer=told
            )
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0
    assert told.kinds == ["Refusal"]


Use = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


async def _write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"the password, in clear")


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")


OLD_USES: dict[str, Use] = {
    "write": _write,
    "close": _close,
    "read": lambda reader, writer: reader.read(100),
    "readline": lambda reader, writer: reader.readline(),
    "drain": lambda reader, writer: writer.drain(),
    "wait_closed": lambda reader, writer: writer.wait_closed(),
    "upgrade": _upgrade,
}


@pytest.mark.parametrize("use", OLD_USES)
async def test_the_old_pair_raises_on_use(use: str) -> None:
    with Server(GENUINE, starttls=starttls()) as server:
        old = await asked_for_tls(server)
        new = await pinio.upgrade(*old, policy=pinned(), server_hostname="localhost")
        with pytest.raises(RuntimeError, match="upgraded to TLS"):
            await OLD_USES[use](*old)
        await exchange(*new)
        await end_of(server)
        assert b"in clear" not in server.application_bytes


async def test_a_pair_is_upgraded_once() -> None:
    """Two tasks that do it at once: one gets the new pair, and the other is told."""
    with Server(GENUINE, starttls=starttls()) as server:
        old = await asked_for_tls(server)
        outcomes = await asyncio.gather(
            *(pinio.upgrade(*old, policy=pinned(), server_hostname="localhost") for _ in range(2)),
            return_exceptions=True,
        )
        (new,) = (outcome for outcome in outcomes if isinstance(outcome, tuple))
        (error,) = (outcome for outcome in outcomes if isinstance(outcome, BaseException))
        assert isinstance(error, RuntimeError) and "upgraded to TLS" in str(error)
        await exchange(*new)
        await end_of(server)


@pytest.mark.parametrize("injected", [b"X", b"250 injected\r\n", b"\x16\x03\x03"])
async def test_plaintext_that_came_before_is_an_attack(injected: bytes) -> None:
    told = Told()
    with Server(GENUINE, starttls=starttls(reply=b"220 go ahead\r\n" + injected)) as server:
        streams = await asked_for_tls(server)
        with pytest.raises(InjectedPlaintextError) as error:
            await pinio.upgrade(
                *streams, policy=pinned(), server_hostname="localhost", observer=told
            )
        assert told == [error.value.refusal]
        await end_of(server)
        (record,) = server.connections
        assert record.handshake_bytes == b"", "not even a ClientHello"


async def test_plaintext_that_comes_later_is_no_tls() -> None:
    """What the reader did not have yet reaches TLS, which knows what to think of it."""
    with RawServer(hear, b"250 injected\r\n") as server:
        reader, writer = await asyncio.open_connection(*server.address)
        with pytest.raises(ssl.SSLError):
            await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")
        await end_of(server)


# Protocols


@pytest.mark.parametrize("kind", [App, BufferedApp])
async def test_a_protocol_keeps_its_connection(
    tls_version: ssl.TLSVersion, kind: type[App]
) -> None:
    with Server(GENUINE, tls_version=tls_version, starttls=starttls()) as server:
        loop = asyncio.get_running_loop()
        plain, app = await loop.create_connection(lambda: kind(b""), *server.address)
        await app.has_received(len(b"220 ready\r\n"))
        plain.write(b"STARTTLS\r\n")
        await app.has_received(len(b"220 ready\r\n220 go ahead\r\n"))
        transport = await pinio.start_tls(plain, app, policy=pinned(), server_hostname="localhost")
        assert transport.get_protocol() is app
        app.received.clear()
        transport.write(b"hello")
        assert await app.has_received(5) == b"hello"
        transport.close()
        assert await app.lost is None
        await end_of(server)
    assert app.calls.count("connection_made") == 1, "of the plain one"
    assert app.calls[-1] == "connection_lost"


async def test_a_refused_protocol_loses_its_connection(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, starttls=starttls(), greeting=b"early") as server:
        loop = asyncio.get_running_loop()
        plain, app = await loop.create_connection(lambda: App(b""), *server.address)
        await app.has_received(len(b"220 ready\r\n"))
        plain.write(b"STARTTLS\r\n")
        await app.has_received(len(b"220 ready\r\n220 go ahead\r\n"))
        app.received.clear()
        with pytest.raises(PinMismatchError):
            await pinio.start_tls(
                plain, app, policy=MISPINNED, server_hostname="localhost", observer=Told()
            )
        assert isinstance(await app.lost, PinMismatchError)
        assert app.received == b""
        await end_of(server)
        assert server.handshakes_finished == 0


async def test_a_stream_protocol_with_unread_bytes() -> None:
    with Server(GENUINE, starttls=starttls(reply=b"220 go ahead\r\n250 injected\r\n")) as server:
        _, writer = await asked_for_tls(server)
        protocol = writer.transport.get_protocol()
        with pytest.raises(InjectedPlaintextError):
            await pinio.start_tls(
                writer.transport,
                protocol,
                policy=pinned(),
                server_hostname="localhost",
                observer=Told(),
            )
        await end_of(server)
        assert server.connections[0].handshake_bytes == b""


@pytest.mark.parametrize("ended", ["close", "abort"])
async def test_a_transport_that_is_closing(ended: str) -> None:
    with Server(GENUINE, starttls=starttls()) as server:
        reader, writer = await asked_for_tls(server)
        getattr(writer.transport, ended)()
        with pytest.raises(ConnectionError):
            await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")
        await end_of(server)


async def test_a_peer_that_has_closed_already() -> None:
    """asyncio keeps a plain stream half open, so that nothing tells but the reader."""
    with RawServer(hear) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"STARTTLS\r\n")
        assert await reader.read() == b""
        with pytest.raises(ConnectionError):
            await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")
        await end_of(server)


@pytest.mark.parametrize(
    "arguments",
    [
        {"server_hostname": ""},
        {"server_hostname": None},
        {"server_hostname": "localhost", "pins": [GENUINE.pin]},
        {"server_hostname": "localhost", "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
        {"server_hostname": "http://localhost"},
        {"server_hostname": "localhost", "port": 443.0},
        {"server_hostname": "localhost", "port": [443]},
    ],
    ids=["empty", "none", "pins too", "context", "URL", "no port", "nor this"],
)
async def test_arguments_that_make_no_sense_leave_the_connection_as_it_is(
    arguments: dict[str, Any],
) -> None:
    with Server(plain=True, handler=echo) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        with pytest.raises(PolicyError):
            await pinio.upgrade(reader, writer, policy=pinned(), **arguments)
        with pytest.raises(UnpinnedHostError):
            await pinio.upgrade(
                reader, writer, policy=pinned(), server_hostname="other.test", observer=Told()
            )
        writer.write(b"still in clear")
        assert await reader.readexactly(14) == b"still in clear"
        writer.close()
        await writer.wait_closed()


async def test_what_cannot_carry_tls() -> None:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9)
    )
    with pytest.raises(PolicyError, match="cannot carry TLS"):
        await pinio.start_tls(transport, protocol, policy=pinned(), server_hostname="localhost")
    transport.close()


# TLS within TLS


PROXY = ISSUER.issue("proxy.pinned.test")


async def _pinned_to(proxy: ConnectProxy) -> Streams:
    return await pinio.open_connection(
        *proxy.address,
        policy=pinned(PROXY.pin, host="proxy.pinned.test"),
        server_hostname="proxy.pinned.test",
    )


async def _by_the_loop_to(proxy: ConnectProxy) -> Streams:
    return await asyncio.open_connection(
        *proxy.address, ssl=ROOT.client_context(), server_hostname="proxy.pinned.test"
    )


async def _plain_to(proxy: ConnectProxy) -> Streams:
    return await asyncio.open_connection(*proxy.address)


WAYS: dict[str, Callable[[ConnectProxy], Awaitable[Streams]]] = {
    "plain": _plain_to,
    "the loop's TLS": _by_the_loop_to,
    "pinned TLS": _pinned_to,
}


async def tunnelled(proxy: ConnectProxy, way: str) -> Streams:
    """A pair of streams through an HTTP proxy, up to where the tunnel begins."""
    reader, writer = await WAYS[way](proxy)
    writer.write(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("way", WAYS)
async def test_through_a_proxy(tls_version: ssl.TLSVersion, way: str) -> None:
    leaf = None if way == "plain" else PROXY
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        ConnectProxy(
            leaf,
            routes={"localhost:443": server.address},
            tls_version=tls_version if leaf else None,
        ) as proxy,
    ):
        reader, writer = await pinio.upgrade(
            *await tunnelled(proxy, way), policy=pinned(), server_hostname="localhost"
        )
        assert pinio.attest(writer).host == "localhost"
        await exchange(reader, writer)
        await end_of(server)
        assert server.application_bytes.startswith(b"EHLO")
        assert b"EHLO" not in proxy.application_bytes


@pytest.mark.parametrize("way", WAYS)
async def test_a_proxy_that_intercepts_gets_nothing(tls_version: ssl.TLSVersion, way: str) -> None:
    leaf = None if way == "plain" else PROXY
    with (
        Server(ROOT.issue("localhost"), tls_version=tls_version, greeting=b"early") as impostor,
        ConnectProxy(
            leaf, interceptor=impostor, tls_version=tls_version if leaf else None
        ) as proxy,
    ):
        streams = await tunnelled(proxy, way)
        with pytest.raises(PinVerificationError):
            await pinio.upgrade(
                *streams, policy=pinned(), server_hostname="localhost", observer=Told()
            )
        await end_of(impostor)
        assert impostor.application_bytes == b""
        assert impostor.handshakes_finished == 0
        await end_of(proxy)


async def test_bulk_through_two_layers(tls_version: ssl.TLSVersion) -> None:
    payload = bytes(range(256)) * 4096
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        ConnectProxy(
            PROXY, routes={"localhost:443": server.address}, tls_version=tls_version
        ) as proxy,
    ):
        reader, writer = await pinio.upgrade(
            *await tunnelled(proxy, "pinned TLS"), policy=pinned(), server_hostname="localhost"
        )

        async def write() -> None:
            for at in range(0, len(payload), 50_000):
                writer.write(payload[at : at + 50_000])
                await writer.drain()

        received, _ = await asyncio.gather(reader.readexactly(len(payload)), write())
        assert received == payload
        writer.close()
        await writer.wait_closed()
        await end_of(proxy)


async def test_a_lower_connection_that_breaks_breaks_the_upper() -> None:
    def vanish_after_a_word(connection: Any) -> None:
        connection.recv()
        connection.abort()

    with Server(GENUINE, starttls=starttls(), handler=vanish_after_a_word) as server:
        reader, writer = await pinio.upgrade(
            *await asked_for_tls(server), policy=pinned(), server_hostname="localhost"
        )
        writer.write(b"hello")
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()


async def test_a_stall_of_the_upper_handshake() -> None:
    with Server(plain=True, handler=silent) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        with pytest.raises(ConnectionAbortedError, match=r"longer than 0\.05 seconds"):
            await pinio.upgrade(
                reader,
                writer,
                policy=pinned(),
                server_hostname="localhost",
                ssl_handshake_timeout=0.05,
            )
        await end_of(server)
