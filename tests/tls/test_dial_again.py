"""What a connection hands out can be used to dial again, pinned; and nothing done to it reaches other connections."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import pinio
from pinio.testing import Server
from pinio.tls.connection import transport
from pinio.tls.context.pinned import PinnedSSLContext, like
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, ISSUER, ROOT, SPARE, Told, end_of, pinned
from tests.tls.through import SECRET, Swappable, ask_asyncio, context_for

IMPOSTOR = ISSUER.issue("localhost")
"""A certificate that PKIX accepts, with a key that nobody pinned."""

DOORS: dict[str, Callable[[], dict[str, Any]]] = {
    "policy": lambda: {"policy": pinned()},
    "a source": lambda: {"policy": Swappable(pinned())},
    "pins": lambda: {"pins": [GENUINE.pin, SPARE], "anchors": ROOT.anchors},
    "a leaf's pins": lambda: {"pins": pinio.PinSet(GENUINE.pin, trust="leaf-pin", single="a test")},
    "ssl": lambda: {"ssl": context_for(pinned())},
}


async def context_of(server: Server, **options: Any) -> pinio.PinnedSSLContext:
    """What a connection answers for its context; the connection is closed again."""
    defaults: dict[str, Any] = {"observer": Told(), "resumption": False}
    _, writer = await pinio.open_connection("localhost", server.port, **(defaults | options))
    context: object = writer.get_extra_info("sslcontext")
    assert context is writer.get_extra_info("sslcontext")
    assert context is not writer.get_extra_info("ssl_object").context
    assert isinstance(context, pinio.PinnedSSLContext)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return context


@pytest.mark.parametrize("door", DOORS)
async def test_a_program_that_dials_again_is_pinned(door: str, tls_version: ssl.TLSVersion) -> None:
    """By asyncio's own function, and by ours."""
    async with (
        Server(GENUINE, tls_version=tls_version) as server,
        Server(IMPOSTOR, tls_version=tls_version) as impostor,
    ):
        context = await context_of(server, **DOORS[door]())
        assert await ask_asyncio(context, server) == SECRET
        with pytest.raises(pinio.PinMismatchError):
            await ask_asyncio(context, impostor)
        with pytest.raises(pinio.PinMismatchError):
            await pinio.open_connection("localhost", impostor.port, ssl=context)
        await end_of(impostor)
        assert impostor.handshakes_finished == 0
        assert impostor.application_bytes == b""


async def test_the_context_that_was_passed_is_the_one_that_is_answered() -> None:
    context = context_for(pinned())
    async with Server(GENUINE) as server:
        assert await context_of(server, ssl=context) is context


async def test_the_answer_follows_the_source_and_keeps_the_rest() -> None:
    """Observer, sessions, and whatever policy comes into force later."""
    source, told, cache = Swappable(pinned()), Told(), SessionCache()
    async with Server(GENUINE) as server:
        context = await context_of(server, policy=source, observer=told, resumption=cache)
        assert (context.observer, context.resumption) == (told, cache)
        source.current = pinned(ABSENT)
        with pytest.raises(pinio.PinMismatchError):
            await ask_asyncio(context, server)
    assert told.kinds == ["Permit", "Refusal"]


async def test_pins_for_one_host_are_no_pins_for_another() -> None:
    async with Server(GENUINE) as server:
        context = await context_of(server, **DOORS["pins"]())
        with pytest.raises(pinio.UnpinnedHostError):
            await pinio.open_connection(
                "127.0.0.1",
                server.port,
                server_hostname="other.pinned.test",
                ssl=context,
                observer=Told(),
            )


async def test_what_is_set_on_it_reaches_nobody_else() -> None:
    policy = pinned()
    async with Server(GENUINE, alpn=["h2"]) as server:
        context = await context_of(server, policy=policy)
        context.set_alpn_protocols(["h2"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        other = await context_of(server, policy=policy)
        assert other is not context
        assert other.minimum_version is ssl.TLSVersion.TLSv1_2
        assert await ask_asyncio(context, server) == SECRET
        assert await ask_asyncio(other, server) == SECRET
        await end_of(server)
    assert [record.alpn for record in server.connections] == [None, None, "h2", None]


async def test_streams_do_not_pay_for_a_context_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio's stream protocol asks for it in `connection_made`, and makes nothing of it."""
    made: list[PinnedSSLContext] = []

    def made_like(judge: Judge, sessions: SessionCache | None) -> PinnedSSLContext:
        made.append(like(judge, sessions))
        return made[-1]

    monkeypatch.setattr(transport, "like", made_like)
    async with Server(GENUINE) as server:
        _, writer = await pinio.open_connection(
            "localhost", server.port, policy=pinned(), resumption=False
        )
        assert not made
        assert writer._protocol._over_ssl  # type: ignore[attr-defined]  # what it wanted to know
        assert [writer.get_extra_info("sslcontext")] == made
        writer.transport.abort()
