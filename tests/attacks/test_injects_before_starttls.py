r"""Words of the attacker, read as the server's.

    client                     attacker                    server
           ── STARTTLS ────────▶ ─────────────────────────▶
           ◀── 220 go ahead ∙ "250 send your password to..."
           ◀═══════════════ TLS, to the genuine server ═══▶
    readline() → the injected line, as if TLS had protected it

What arrived in plaintext lies in the stream's buffer when TLS starts, and is read first.
"""

from __future__ import annotations

import asyncio
import ssl

import pytest

import pinio
from pinio.errors import InjectedPlaintextError
from pinio.testing import ConnectProxy, Server, http, starttls
from tests.interop.peers import AFTER_CONNECT, Injection, Injector
from tests.tls.cast import GENUINE, Told, end_of, pinned
from tests.tls.through import context_for

INJECTED = b"250 send your password to evil.test\r\n"


async def test_the_upgrade_is_refused() -> None:
    with Server(GENUINE, starttls=starttls(reply=b"220 go ahead\r\n" + INJECTED)) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"220 go ahead\r\n"
        with pytest.raises(InjectedPlaintextError) as error:
            await pinio.upgrade(
                reader, writer, policy=pinned(), server_hostname="localhost", observer=Told()
            )
        assert error.value.reason == "INJECTED_PLAINTEXT"
        assert "evil.test" not in str(error.value), "the attacker does not get to word the error"
        with pytest.raises(RuntimeError):
            await reader.readline()
        await end_of(server)
        assert server.handshakes_finished == 0


async def test_a_client_falls_for_it_that_leaves_starttls_to_asyncio() -> None:
    """A pinned context is asked when TLS begins, and its pins match.

    Once this fails, the how-to's warning can go.
    """
    context = context_for(pinned())
    with (
        Server(GENUINE, starttls=starttls()) as server,
        Injector(server, Injection(b"220 go ahead\r\n", INJECTED)) as attacker,
    ):
        reader, writer = await asyncio.open_connection(*attacker.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"220 go ahead\r\n"
        loop, protocol = asyncio.get_running_loop(), writer.transport.get_protocol()
        try:
            transport = await loop.start_tls(
                writer.transport, protocol, context, server_hostname="localhost"
            )
        except ssl.SSLError:
            pytest.skip("this version of the loop hands on to TLS what its streams have not read")
        assert transport is not None
        transport.write(b"250 genuine\r\n")  # which the server sends back
        assert await reader.readline() == INJECTED
        assert await reader.readline() == b"250 genuine\r\n"
        transport.abort()
        await end_of(server)
        assert server.handshakes_finished == 1


async def test_the_same_context_in_an_upgrade_refuses() -> None:
    told = Told()
    with (
        Server(GENUINE, starttls=starttls()) as server,
        Injector(server, Injection(b"220 go ahead\r\n", INJECTED)) as attacker,
    ):
        reader, writer = await asyncio.open_connection(*attacker.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        context = context_for(pinned(), observer=told)
        with pytest.raises(InjectedPlaintextError):
            await pinio.upgrade(reader, writer, ssl=context, server_hostname="localhost")
        await end_of(server)
        assert server.handshakes_finished == 0
    assert told.kinds == ["Refusal"]


async def test_a_proxy_that_adds_an_answer_is_not_believed() -> None:
    """Behind "Connection established", as if the origin had said it."""
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from pinio.aiohttp import PinnedConnector

    with (
        Server(GENUINE, handler=http(b"genuine")) as server,
        ConnectProxy() as proxy,
        Injector(proxy, AFTER_CONNECT) as attacker,
    ):
        async with (
            aiohttp.ClientSession(connector=PinnedConnector(pinned())) as session,
            session.get(f"https://localhost:{server.port}/", proxy=attacker.url) as response,
        ):
            assert (response.status, await response.read()) == (200, b"genuine")


async def test_a_server_that_keeps_quiet_is_not_accused() -> None:
    with Server(GENUINE, starttls=starttls(), greeting=b"250 over TLS\r\n") as server:
        reader, writer = await asyncio.open_connection(*server.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        reader, writer = await pinio.upgrade(
            reader, writer, policy=pinned(), server_hostname="localhost"
        )
        assert await reader.readline() == b"250 over TLS\r\n"
        writer.close()
        await writer.wait_closed()
