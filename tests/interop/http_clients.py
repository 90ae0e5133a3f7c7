"""HTTP and WebSocket clients."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from tests.interop.matrix import PATIENCE, Site, Way, row
from tests.interop.peers import websocket

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext

ALL: Final[tuple[Way, ...]] = ("direct", "CONNECT proxy", "HTTPS proxy")


# aiohttp


@row("aiohttp, `ssl=` of a request", "BIO", "aiohttp", kind="asyncio", ways=ALL)
async def aiohttp_request(context: ssl.SSLContext, site: Site) -> None:
    """On somebody else's connector, which verifies nothing."""
    import aiohttp

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
        session.get(site.url, ssl=context, proxy=site.proxy_url) as response,
    ):
        assert await response.read() == b"ok"


@row("aiohttp, `TCPConnector(ssl=)`", "BIO", "aiohttp", kind="asyncio", ways=ALL)
async def aiohttp_connector(context: ssl.SSLContext, site: Site) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(site.url, proxy=site.proxy_url) as response,
    ):
        assert await response.read() == b"ok"


@row(
    "aiohttp, `ws_connect(ssl=)`",
    "BIO",
    "aiohttp",
    kind="asyncio",
    ways=("WebSocket",),
    handler=websocket,
)
async def aiohttp_websocket(context: ssl.SSLContext, site: Site) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=False)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(site.url, ssl=context) as socket,
    ):
        await socket.send_str("secret")
        assert await socket.receive_str() == "secret"


@row(
    "aiohttp, `TCPConnector(ssl=)`",
    "BIO",
    "aiohttp",
    kind="asyncio",
    ways=("WebSocket",),
    handler=websocket,
)
async def aiohttp_websocket_connector(context: ssl.SSLContext, site: Site) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(site.url) as socket,
    ):
        await socket.send_str("secret")
        assert await socket.receive_str() == "secret"


@row("aiohttp-socks", "BIO", "aiohttp", "aiohttp_socks", kind="asyncio", ways=("SOCKS5 proxy",))
async def aiohttp_socks(context: ssl.SSLContext, site: Site) -> None:
    import aiohttp
    from aiohttp_socks import ProxyConnector

    connector = ProxyConnector(
        host="127.0.0.1", port=site.proxy.port if site.proxy else 0, rdns=True
    )
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(site.url, ssl=context) as response,
    ):
        assert await response.read() == b"ok"


# httpx and httpx2, which have one interface


def _options(httpx: Any, context: ssl.SSLContext, site: Site) -> dict[str, Any]:
    proxy = None
    if site.proxy_url is not None:
        over_tls = context if site.proxy_url.startswith("https:") else None
        proxy = httpx.Proxy(site.proxy_url, ssl_context=over_tls)
    return {"verify": context, "proxy": proxy, "trust_env": False, "timeout": PATIENCE}


def _sync(httpx: Any, context: ssl.SSLContext, site: Site) -> None:
    with httpx.Client(**_options(httpx, context, site)) as client:
        assert client.get(site.url).content == b"ok"


async def _async(httpx: Any, context: ssl.SSLContext, site: Site) -> None:
    async with httpx.AsyncClient(**_options(httpx, context, site)) as client:
        assert (await client.get(site.url)).content == b"ok"


@row("httpx", "socket", "httpx", kind="sync", ways=ALL)
def httpx_sync(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    _sync(httpx, context, site)


@row("httpx on asyncio", "BIO", "httpx", kind="asyncio", ways=ALL)
async def httpx_asyncio(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    await _async(httpx, context, site)


@row("httpx on trio", "BIO", "httpx", "trio", kind="trio", ways=ALL)
async def httpx_trio(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    await _async(httpx, context, site)


@row("httpx2", "socket", "httpx2", kind="sync", ways=ALL)
def httpx2_sync(context: ssl.SSLContext, site: Site) -> None:
    import httpx2

    _sync(httpx2, context, site)


@row("httpx2 on asyncio", "BIO", "httpx2", kind="asyncio", ways=ALL)
async def httpx2_asyncio(context: ssl.SSLContext, site: Site) -> None:
    import httpx2

    await _async(httpx2, context, site)


@row("httpx2 on trio", "BIO", "httpx2", "trio", kind="trio", ways=ALL)
async def httpx2_trio(context: ssl.SSLContext, site: Site) -> None:
    import httpx2

    await _async(httpx2, context, site)


# httpx on the transports of pinio


@row("httpx, `PinnedHTTPTransport`", "socket", "httpx", kind="sync", ways=(*ALL, "SOCKS5 proxy"))
def httpx_transport(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    from pinio.httpx import PinnedHTTPTransport

    transport = PinnedHTTPTransport(ssl=cast("PinnedSSLContext", context), proxy=site.proxy_url)
    with httpx.Client(transport=transport, timeout=PATIENCE) as client:
        assert client.get(site.url).content == b"ok"


async def _async_transport(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    from pinio.httpx import AsyncPinnedHTTPTransport

    pinned = cast("PinnedSSLContext", context)
    transport = AsyncPinnedHTTPTransport(ssl=pinned, proxy=site.proxy_url)
    async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        assert (await client.get(site.url)).content == b"ok"


PINNED_ASYNC: Final = "httpx, `AsyncPinnedHTTPTransport`"


@row(f"{PINNED_ASYNC} on asyncio", "BIO", "httpx", kind="asyncio", ways=(*ALL, "SOCKS5 proxy"))
async def httpx_transport_asyncio(context: ssl.SSLContext, site: Site) -> None:
    await _async_transport(context, site)


@row(f"{PINNED_ASYNC} on trio", "BIO", "httpx", "trio", kind="trio", ways=(*ALL, "SOCKS5 proxy"))
async def httpx_transport_trio(context: ssl.SSLContext, site: Site) -> None:
    await _async_transport(context, site)


# urllib3 and requests


@row("urllib3", "socket", "urllib3", kind="sync", ways=ALL)
def urllib3_pool(context: ssl.SSLContext, site: Site) -> None:
    import urllib3

    pool: urllib3.PoolManager
    if site.proxy_url is None:
        pool = urllib3.PoolManager(ssl_context=context)
    else:
        pool = urllib3.ProxyManager(site.proxy_url, ssl_context=context, proxy_ssl_context=context)
    with pool:
        assert pool.request("GET", site.url, retries=False).data == b"ok"


@row("requests, `PinnedSession`", "socket", "requests", kind="sync", ways=(*ALL, "SOCKS5 proxy"))
def requests_session(context: ssl.SSLContext, site: Site) -> None:
    from pinio.requests import PinnedSession

    with PinnedSession(ssl=cast("PinnedSSLContext", context)) as session:
        session.trust_env = False
        proxies = {"https": site.proxy_url} if site.proxy_url else {}
        assert session.get(site.url, proxies=proxies).content == b"ok"


# The standard library


@row("http.client", "socket", kind="sync", ways=("direct", "CONNECT proxy"))
def http_client(context: ssl.SSLContext, site: Site) -> None:
    from http.client import HTTPSConnection

    if site.proxy is None:
        connection = HTTPSConnection(site.host, site.port, context=context)
    else:
        connection = HTTPSConnection("127.0.0.1", site.proxy.port, context=context)
        connection.set_tunnel(site.host, site.port)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"


@row("urllib.request", "socket", kind="sync", ways=("direct", "CONNECT proxy"))
def urllib_request(context: ssl.SSLContext, site: Site) -> None:
    from urllib.request import HTTPSHandler, ProxyHandler, build_opener

    proxies = {"https": site.proxy_url} if site.proxy_url else {}
    with build_opener(HTTPSHandler(context=context), ProxyHandler(proxies)).open(
        site.url
    ) as response:
        assert response.read() == b"ok"


# tornado


@row("tornado", "socket", "tornado", kind="asyncio")
async def tornado_client(context: ssl.SSLContext, site: Site) -> None:
    from tornado.httpclient import AsyncHTTPClient

    client = AsyncHTTPClient(force_instance=True)
    try:
        answer = await client.fetch(
            site.url, ssl_options=context, connect_timeout=PATIENCE, request_timeout=PATIENCE
        )
        assert answer.body == b"ok"
    finally:
        client.close()


# websockets

WEBSOCKET: Final[tuple[Way, ...]] = ("WebSocket", "CONNECT proxy", "HTTPS proxy")


def _websocket(context: ssl.SSLContext, site: Site) -> dict[str, Any]:
    over_tls = site.proxy_url is not None and site.proxy_url.startswith("https:")
    return {
        "ssl": context,
        "proxy": site.proxy_url,
        "open_timeout": PATIENCE,
        "close_timeout": PATIENCE,
        **({"proxy_ssl": context} if over_tls else {}),
    }


@row("websockets, threads", "socket", "websockets", kind="sync", ways=WEBSOCKET, handler=websocket)
def websockets_sync(context: ssl.SSLContext, site: Site) -> None:
    from websockets.sync.client import connect

    with connect(f"wss://localhost:{site.port}/", **_websocket(context, site)) as socket:
        socket.send("secret")
        assert socket.recv() == "secret"


@row("websockets, asyncio", "BIO", "websockets", kind="asyncio", ways=WEBSOCKET, handler=websocket)
async def websockets_asyncio(context: ssl.SSLContext, site: Site) -> None:
    from websockets.asyncio.client import connect

    async with connect(f"wss://localhost:{site.port}/", **_websocket(context, site)) as socket:
        await socket.send("secret")
        assert await socket.recv() == "secret"
