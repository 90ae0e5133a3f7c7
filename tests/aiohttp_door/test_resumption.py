"""TLS sessions under aiohttp: resumed by default, judged like any other connection, and switched off by one argument."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.aiohttp import ClientPinError, PinnedConnector
from pinio.core.certificate import VerifiedChain
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, Interceptor, Server, http
from tests.tls.cast import ABSENT, GENUINE, ROOT, Told, end_of, pinned
from tests.tls.visits import OTHER_KEY, resumed


async def get(
    server: Server, policy: Policy, request: dict[str, Any] | None = None, **options: Any
) -> bytes:
    """One request on a connection of its own."""
    connector = PinnedConnector(policy, **options)
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get(f"https://localhost:{server.port}/", **request or {}) as response,
    ):
        return await response.read()


async def test_a_new_connection_resumes(tls_version: ssl.TLSVersion) -> None:
    """Sessions outlive a connector, since the cache is the process's; the observer and the server say the same."""
    told, cache = Told(), pinio.SessionCache()
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        for _ in range(3):
            assert await get(server, pinned(), resumption=cache, observer=told) == b"ok"
        await end_of(server)
    assert resumed(server) == [decision.resumed for decision in told] == [False, True, True]


async def test_by_default_too(tls_version: ssl.TLSVersion) -> None:
    """Nobody has to ask for it."""
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        for _ in range(2):
            await get(server, pinned())
        await end_of(server)
    assert resumed(server) == [False, True]


@pytest.mark.parametrize("switch", ["argument", "pin set"])
async def test_it_can_be_switched_off(switch: str, tls_version: ssl.TLSVersion) -> None:
    """By connector, and by host."""
    policy = pinned(resumption=switch != "pin set")
    options: dict[str, Any] = {"resumption": False} if switch == "argument" else {}
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        for _ in range(2):
            await get(server, policy, **options)
        await end_of(server)
    assert resumed(server) == [False, False]


async def test_a_tunnel_resumes_the_origins_session(tls_version: ssl.TLSVersion) -> None:
    """The session belongs to the host, whatever lies between."""
    cache = pinio.SessionCache()
    async with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        ConnectProxy() as proxy,
    ):
        await get(server, pinned(), resumption=cache)
        await get(server, pinned(), {"proxy": proxy.url}, resumption=cache)
        await end_of(server)
        await end_of(proxy)
    assert resumed(server) == [False, True]


async def test_a_policy_that_dropped_the_key_resumes_nothing(tls_version: ssl.TLSVersion) -> None:
    """The session is not offered; the full handshake is refused before a byte of the request."""
    cache, told = pinio.SessionCache(), Told()
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        await get(server, pinned(), resumption=cache)
        with pytest.raises(ClientPinError):
            await get(server, pinned(ABSENT), resumption=cache, observer=told)
        await end_of(server)
    assert [decision.resumed for decision in told] == [False]
    assert [len(record.requests) for record in server.connections] == [1, 0]


async def test_an_interceptor_in_the_servers_place_gets_nothing(
    tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """It cannot read the ticket that it is shown, and has no pinned key."""
    cache = pinio.SessionCache()
    async with Server(
        GENUINE, handler=http(), tls_version=tls_version, port=reserved_port
    ) as server:
        await get(server, pinned(), resumption=cache)
    async with Interceptor(
        ROOT, "localhost", port=reserved_port, tls_version=tls_version
    ) as between:
        with pytest.raises(ClientPinError):
            await get(between, pinned(), resumption=cache)
        await end_of(between)
        assert between.captured == b"" and between.handshakes_finished == 0
    assert len(cache) == 0


async def test_a_session_that_turns_out_wrong_is_retried_in_full(
    tls_version: ssl.TLSVersion,
) -> None:
    """The request goes out once, on the connection whose full handshake was judged."""
    cache, told = pinio.SessionCache(), Told()
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        await get(server, policy, resumption=cache)
        ((key, (kept,)),) = cache._kept.items()
        object.__setattr__(
            kept.offer.evidence, "chain", VerifiedChain([*OTHER_KEY.chain, ROOT.der])
        )
        cache._kept[key] = [kept] * 3
        assert await get(server, policy, resumption=cache, observer=told) == b"ok"
        await end_of(server)
    assert [(type(decision).__name__, decision.resumed) for decision in told] == [
        ("Refusal", True),
        ("Permit", False),
    ]
    assert [len(record.requests) for record in server.connections] == [1, 0, 1]
