"""The paved path as a type checker sees it: read by mypy and pyright, never run.

What is right must have exactly the type that is asserted; what is wrong must be an error, for an
unneeded `ignore` is one.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from typing import assert_type

import aiohttp
import httpx
from requests import Response

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.errors import NotJudgedError
from pinio.httpx import AsyncPinnedHTTPTransport, PinnedHTTPTransport
from pinio.reporting import LogObserver
from pinio.requests import PinnedAdapter, PinnedSession
from pinio.testing import CA, Interceptor, Server
from pinio.typing import Match, Observer, PinsLike, PolicyLike, PolicySource

PIN = "sha256/9SLklscvzMYj8f+52lp5ze/hY0CFHyLSPQzSpYYIBm8="


def values() -> None:
    pin = pinio.Pin.parse(PIN)
    assert_type(pin, pinio.Pin)
    assert_type(str(pin), str)
    assert_type(pinio.Pin.of_certificate(b"", role="leaf"), pinio.Pin)

    pinio.PinSet(PIN)
    pinio.PinSet([pin, PIN], backup=[PIN], mode="report-only", expires=datetime.now(UTC))
    pinio.PinSet(
        PIN, trust="leaf-pin", single="a device with one key", anchors=pinio.Anchors.system()
    )
    pinio.PinSet(PIN, mode="mute")  # type: ignore[arg-type]
    pinio.PinSet(7)  # type: ignore[arg-type]
    pinio.PinSet(PIN, PIN)  # type: ignore[arg-type]

    policy = pinio.Policy(
        {"example.com": PIN, "*.example.com": [PIN], "**.example.net": pinio.PinSet([pin])}
    )
    assert_type(policy.current, pinio.Policy)
    assert_type(policy.replace(unpinned="allow"), pinio.Policy)
    assert_type(policy.next_expiry(), datetime | None)
    pinio.Policy({}, unpinned="maybe")  # type: ignore[arg-type]
    pinio.PinnSet(PIN)  # type: ignore[attr-defined]  # a name that there is not


def files() -> None:
    assert_type(pinio.load_policy("pins.toml"), pinio.Policy)
    source: PolicySource = pinio.FileSource("pins.toml")
    assert_type(source.current, pinio.Policy)


async def streams(
    policy: PolicyLike, pins: PinsLike, anchors: pinio.Anchors, observer: Observer
) -> None:
    reader, writer = await pinio.open_connection("example.com", 443, policy=policy)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)
    await pinio.open_connection(
        "example.com", 443, pins=pins, anchors=anchors, observer=observer, limit=1024
    )
    await pinio.open_connection(
        "192.0.2.7", 8443, pins=PIN, trust="leaf-pin", observer=LogObserver()
    )
    assert_type(
        await pinio.upgrade(reader, writer, policy=policy, server_hostname="example.com"),
        tuple[asyncio.StreamReader, asyncio.StreamWriter],
    )
    await pinio.upgrade(reader, writer, policy=policy)  # type: ignore[call-overload]


async def unix_sockets(policy: PolicyLike, context: pinio.PinnedSSLContext) -> None:
    name = "example.com"
    reader, _ = await pinio.open_unix_connection(
        "/s", policy=policy, server_hostname=name, limit=1024
    )
    assert_type(reader, asyncio.StreamReader)
    _, application = await pinio.create_unix_connection(
        Application, Path("/s"), pins=PIN, trust="leaf-pin", server_hostname=name
    )
    assert_type(application, Application)
    await pinio.open_unix_connection(b"/s", ssl=context, server_hostname=name)
    await pinio.create_unix_connection(
        Application, sock=socket(), ssl=context, server_hostname=name
    )
    await pinio.open_unix_connection("/s", server_hostname=name)  # type: ignore[call-overload]
    await pinio.open_unix_connection("/s", policy=policy)  # type: ignore[call-overload]
    await pinio.open_unix_connection("/s", policy=policy, pins=PIN, server_hostname=name)  # type: ignore[call-overload]
    await pinio.create_unix_connection(Application, "/s", server_hostname=name)  # type: ignore[call-overload]


class Application(asyncio.Protocol):
    pass


async def transports(policy: pinio.Policy, source: pinio.FileSource) -> None:
    transport, application = await pinio.create_connection(
        Application, "example.com", 443, policy=policy
    )
    assert_type(application, Application)
    upper: asyncio.Transport = await pinio.start_tls(
        transport, application, policy=source, server_hostname="mail.example.com"
    )
    upper.write(b"")
    await pinio.create_connection(Application, "example.com", 443, policy="pins.toml")  # type: ignore[call-overload]


async def one_of_three(
    policy: PolicyLike,
    context: pinio.PinnedSSLContext,
    anchors: pinio.Anchors,
    transport: asyncio.Transport,
) -> None:
    """Exactly one of `policy`, `pins` and `ssl`, on every door; None is none of them, and ssl=True means nothing."""
    reader, writer = await pinio.open_connection("example.com", 443, ssl=context)
    await pinio.open_connection("example.com", 443, policy=policy, ssl=True, pins=None, trust=None)
    await pinio.open_connection(
        "example.com", 443, pins=PIN, policy=None, ssl=None, happy_eyeballs_delay=0.25
    )
    await pinio.create_connection(Application, "example.com", 443, ssl=context, policy=None)
    await pinio.create_connection(
        Application, sock=socket(), server_hostname="example.com", pins=[PIN]
    )
    await pinio.start_tls(
        transport, Application(), ssl=context, server_hostname="example.com", port=443
    )
    await pinio.start_tls(
        transport, Application(), pins=PIN, anchors=anchors, server_hostname="example.com"
    )
    await pinio.upgrade(reader, writer, ssl=context, server_hostname="example.com", limit=1024)
    pinio.create_ssl_context(
        pins=PIN, trust="leaf-pin", client_cert=("cert.pem", Path("key.pem"), "password")
    )

    # None of them.
    await pinio.open_connection("example.com", 443)  # type: ignore[call-overload]
    await pinio.open_connection("example.com", 443, ssl=True)  # type: ignore[call-overload]
    await pinio.create_connection(Application, "example.com", 443)  # type: ignore[call-overload]
    await pinio.start_tls(transport, Application(), server_hostname="example.com")  # type: ignore[call-overload]
    await pinio.upgrade(reader, writer, server_hostname="example.com")  # type: ignore[call-overload]
    pinio.create_ssl_context()  # type: ignore[call-overload]
    # Several.
    await pinio.open_connection("example.com", 443, policy=policy, pins=PIN)  # type: ignore[call-overload]
    await pinio.open_connection("example.com", 443, policy=policy, ssl=context)  # type: ignore[call-overload]
    await pinio.create_connection(Application, "example.com", 443, pins=PIN, ssl=context)  # type: ignore[call-overload]
    await pinio.start_tls(transport, Application(), policy=policy, pins=PIN, server_hostname="a")  # type: ignore[call-overload]
    await pinio.upgrade(reader, writer, policy=policy, ssl=context, server_hostname="a")  # type: ignore[call-overload]
    pinio.create_ssl_context(policy, pins=PIN)  # type: ignore[call-overload]
    # What goes with pins alone.
    await pinio.open_connection("example.com", 443, policy=policy, trust="leaf-pin")  # type: ignore[call-overload]
    await pinio.open_connection("example.com", 443, ssl=context, anchors=anchors)  # type: ignore[call-overload]
    pinio.create_ssl_context(policy, anchors=anchors)  # type: ignore[call-overload]
    # A context that pins nothing, and none at all.
    stock = ssl.create_default_context()
    await pinio.open_connection("example.com", 443, ssl=stock)  # type: ignore[call-overload]
    await pinio.open_connection("example.com", 443, policy=policy, ssl=False)  # type: ignore[call-overload]
    await pinio.create_connection(Application, "example.com", 443, policy=policy, ssl=stock)  # type: ignore[call-overload]
    await pinio.start_tls(transport, Application(), ssl=stock, server_hostname="example.com")  # type: ignore[call-overload]
    await pinio.upgrade(reader, writer, ssl=stock, server_hostname="example.com")  # type: ignore[call-overload]
    # Arguments that there are not.
    await pinio.open_connection("example.com", 443, policy=policy, verify=False)  # type: ignore[call-overload]
    await pinio.open_connection("example.com", 443, policy=policy, ssl_handshake_timeout="1")  # type: ignore[call-overload]
    await pinio.upgrade(reader, writer, policy=policy, server_hostname=None)  # type: ignore[call-overload]


def contexts(policy: PolicyLike) -> None:
    context = pinio.create_ssl_context(policy, alpn=["h2"])
    assert_type(context, pinio.PinnedSSLContext)
    for_any_library: ssl.SSLContext = context
    for_any_library.set_alpn_protocols(["http/1.1"])


async def requests(source: pinio.FileSource) -> None:
    async with aiohttp.ClientSession(connector=PinnedConnector(source, limit=10)) as session:
        assert_type(await session.get("https://example.com/"), aiohttp.ClientResponse)
    PinnedConnector("pins.toml")  # type: ignore[arg-type]


def blocking_requests(source: pinio.FileSource) -> None:
    with PinnedSession(source, proxy_policy=source, max_retries=1) as session:
        assert_type(session.get("https://example.com/", timeout=1), Response)
        session.mount("https://example.com/", PinnedAdapter(ssl=pinio.create_ssl_context(source)))
    PinnedSession(7)  # type: ignore[arg-type]
    PinnedAdapter(ssl=ssl.create_default_context())  # type: ignore[arg-type]
    with httpx.Client(
        transport=PinnedHTTPTransport(source, proxy="http://localhost:3128")
    ) as client:
        assert_type(client.get("https://example.com/"), httpx.Response)
    PinnedHTTPTransport(source, verify=False)  # type: ignore[call-arg]


async def httpx_on_a_loop(context: pinio.PinnedSSLContext) -> None:
    transport = AsyncPinnedHTTPTransport(ssl=context, http2=True)
    async with httpx.AsyncClient(transport=transport) as client:
        assert_type(await client.get("https://example.com/"), httpx.Response)
    AsyncPinnedHTTPTransport("pins.toml")  # type: ignore[arg-type]


async def questions(writer: asyncio.StreamWriter, policy: pinio.Policy) -> None:
    assert_type(pinio.attest(writer), pinio.Permit)
    permit = pinio.attest(writer, policy=policy)
    assert_type(permit.pin, pinio.Pin | None)
    assert_type(permit.backup, bool)
    if isinstance(permit.verdict, Match):
        assert_type(permit.verdict.position, int)
    shown = await pinio.probe("192.0.2.7", 8443)
    assert_type(shown.problem, str | None)


async def errors(policy: pinio.Policy) -> None:
    try:
        await pinio.open_connection("example.com", 443, policy=policy)
    except pinio.PinMismatchError as error:
        assert_type(error.refusal, pinio.Refusal)
        assert_type(error.refusal.expected, tuple[pinio.Pin, ...])
        assert_type(error.host, str)
    except NotJudgedError as error:
        assert_type(error.port, int | None)
    except OSError as error:
        assert_type(pinio.find_pin_error(error), pinio.PinError | None)


def kit() -> None:
    authority = CA()
    leaf = authority.issue("localhost")
    assert_type(leaf.pin, str)
    with Server(leaf) as server, Interceptor(authority, "localhost") as interceptor:
        assert_type(server.port, int)
        assert_type(interceptor.application_bytes, bytes)
