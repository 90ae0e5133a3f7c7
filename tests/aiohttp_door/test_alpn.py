"""ALPN: what `TCPConnector` offers by itself is what `PinnedConnector` offers, as the server sees it."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, Server, http
from tests.aiohttp_door.world import PROXY
from tests.interop import peers
from tests.tls.cast import GENUINE, IDENTITY, ROOT, end_of, pinned

HTTP = b"\x00\x10\x00\x0b\x00\x09\x08http/1.1"
"""The extension (RFC 7301 section 3.1) with that one protocol."""
ALLOWING = pinned(
    host="elsewhere.test", policy={"unpinned": "allow", "unpinned_anchors": ROOT.anchors}
)
PROXIES = pinned(PROXY.pin, host="127.0.0.1")
LEGS = ["direct", "websocket", "tunnel", "TLS in TLS", "through other TLS"]


async def hellos(
    leg: str, connector: aiohttp.TCPConnector, version: ssl.TLSVersion, **request: Any
) -> Any:
    """Every ClientHello of one request: that to the server, and that to its proxy if it speaks TLS."""
    handler = peers.websocket if leg == "websocket" else http()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            Server(GENUINE, handler=handler, tls_version=version, alpn=["h2", "http/1.1"])
        )
        servers = [server]
        proxy = ConnectProxy(
            PROXY if "TLS" in leg else None, tls_version=version if "TLS" in leg else None
        )
        if leg not in ("direct", "websocket"):
            request["proxy"] = (await stack.enter_async_context(proxy)).url
            servers += [proxy] if "TLS" in leg else []
        async with aiohttp.ClientSession(connector=connector) as client:
            url = f"https://localhost:{server.port}/"
            if leg == "websocket":
                await (await client.ws_connect(url, **request)).close()
            else:
                async with client.get(url, **request) as response:
                    assert response.status == 200
        for one in servers:
            await end_of(one)
        assert [record.alpn for record in server.connections] == ["http/1.1"]
        return [bytes(record.handshake_bytes) for one in servers for record in one.connections]


def connector(how: str, policy: Policy, leg: str) -> PinnedConnector:
    proxies = PROXIES if "TLS" in leg else None
    if how == "policy":
        return PinnedConnector(policy, proxy_policy=proxies)
    if how == "context":
        return PinnedConnector(ssl=pinio.create_ssl_context(policy), proxy_policy=proxies)
    both = policy.replace(hosts={**policy.hosts, **PROXIES.hosts})
    return PinnedConnector(ssl=pinio.create_ssl_context(both))


@pytest.mark.parametrize("how", ["policy", "context", "context, proxies too"])
@pytest.mark.parametrize(
    ("host", "leg"),
    [("pinned", leg) for leg in LEGS[:-1]] + [("without pins", leg) for leg in LEGS],
)
async def test_every_handshake_offers_http(
    leg: str, host: str, how: str, tls_version: ssl.TLSVersion
) -> None:
    """To pinned hosts and to others, to proxies, for requests and for websockets."""
    own: dict[str, Any] = {}
    if leg == "through other TLS":
        own["ssl"] = ROOT.client_context()
        own["ssl"].set_alpn_protocols(["http/1.1"])
    made = connector(how, pinned() if host == "pinned" else ALLOWING, leg)
    seen = await hellos(leg, made, tls_version, **own)
    assert [hello.count(HTTP) for hello in seen] == [1] * len(seen) and seen


async def test_it_is_what_aiohttp_offers(tls_version: ssl.TLSVersion) -> None:
    """Its own contexts have no other protocol.

    (The one that verifies trusts no CA of these tests.)
    """
    (hello,) = await hellos("direct", aiohttp.TCPConnector(ssl=False), tls_version)
    assert hello.count(HTTP) == 1


@pytest.mark.parametrize("offered", [["http/1.1", "http/1.0"], ["http/1.0", "http/1.1"]])
async def test_what_the_program_set_on_its_context_wins(
    offered: list[str], tls_version: ssl.TLSVersion
) -> None:
    """In its order; and what it sets after the connector was made, too."""
    names = b"".join(bytes([len(name)]) + name.encode() for name in offered)
    extension = b"\x00\x10\x00\x14\x00\x12" + names
    before = pinio.create_ssl_context(pinned(), alpn=offered)
    later = pinio.create_ssl_context(pinned())
    made = [PinnedConnector(ssl=context) for context in (before, later)]
    later.set_alpn_protocols(offered)
    for one in made:
        (hello,) = await hellos("direct", one, tls_version)
        assert extension in hello


async def test_a_context_of_the_program_is_not_changed(
    tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """Another connection that is made with it offers what it says; what it is given later, requests have too."""
    context = pinio.create_ssl_context(pinned())
    made = PinnedConnector(ssl=context)
    context.load_cert_chain(*IDENTITY.write(tmp_path))
    async with (
        Server(
            GENUINE, handler=http(), client_ca=ROOT, tls_version=tls_version, alpn=["http/1.1"]
        ) as server,
        aiohttp.ClientSession(connector=made) as client,
    ):
        async with client.get(f"https://localhost:{server.port}/") as response:
            assert response.status == 200
        _, writer = await pinio.open_connection("localhost", server.port, ssl=context)
        writer.close()
        await writer.wait_closed()
        await client.close()
        await end_of(server)
    assert [record.alpn for record in server.connections] == ["http/1.1", None]
    assert [HTTP in record.handshake_bytes for record in server.connections] == [True, False]
    assert server.client_certificates == [IDENTITY.der] * 2
