"""Clients that leave TCP for QUIC if a server offers HTTP/3, each a row: how it is handed a pinned context.

urllib3-future takes the place of urllib3 in the environment where it is installed, so these rows
have an environment of their own: `.ci/run` makes one.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext

SECRET: Final = "T0PSECRET"
HEADERS: Final = {"Authorization": SECRET}
ASKED: Final = 3
"""How many requests a client makes: the first may be answered before it knows of HTTP/3."""


@dataclass
class Site:
    """Where a client is sent."""

    url: str
    ca: str
    """A file with the CA that both the server's certificate and an interceptor's come from."""
    known: dict[Any, Any] | None = None
    """Servers of which the client knows beforehand that they have HTTP/3, and on which port."""


Client = Callable[[ssl.SSLContext, Site], Any]
AnyClient = TypeVar("AnyClient", bound=Client)


@dataclass(frozen=True)
class Row:
    """One client, with HTTP/3 switched on or off."""

    library: str
    http3: Literal["on", "off"]
    client: Client

    @property
    def name(self) -> str:
        return f"{self.library}, HTTP/3 {self.http3}"

    @property
    def on_a_loop(self) -> bool:
        return asyncio.iscoroutinefunction(self.client)


ROWS: list[Row] = []


def row(library: str, http3: Literal["on", "off"]) -> Callable[[AnyClient], AnyClient]:
    """Enter a client into the table."""

    def enter(client: AnyClient) -> AnyClient:
        ROWS.append(Row(library, http3, client))
        return client

    return enter


def run(
    client: Client,
    context: ssl.SSLContext,
    site: Site,
    loop: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    """Let a client make its requests."""
    if loop is None:
        client(context, site)
        return
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(client(context, site))


# urllib3-future


def _h3() -> Any:
    import urllib3

    return cast(Any, urllib3).HttpVersion.h3


def _pool(context: ssl.SSLContext, site: Site, **options: Any) -> None:
    import urllib3

    manager = cast(Any, urllib3).PoolManager
    with manager(ssl_context=context, preemptive_quic_cache=site.known, **options) as pool:
        for _ in range(ASKED):
            assert pool.request("GET", site.url, headers=HEADERS, retries=False).data == b"ok"


async def _async_pool(context: ssl.SSLContext, site: Site, **options: Any) -> None:
    import urllib3

    manager = cast(Any, urllib3).AsyncPoolManager
    async with manager(ssl_context=context, preemptive_quic_cache=site.known, **options) as pool:
        for _ in range(ASKED):
            response = await pool.request("GET", site.url, headers=HEADERS, retries=False)
            assert await response.data == b"ok"


@row("urllib3-future, `ssl_context=` alone", "on")
def future(context: ssl.SSLContext, site: Site) -> None:
    _pool(context, site)


@row("urllib3-future, and `ca_certs=`", "on")
def future_with_cas(context: ssl.SSLContext, site: Site) -> None:
    _pool(context, site, ca_certs=site.ca)


@row("urllib3-future, and `ca_certs=`", "off")
def future_off(context: ssl.SSLContext, site: Site) -> None:
    _pool(context, site, ca_certs=os.devnull, disabled_svn={_h3()})


@row("urllib3-future on asyncio, and `ca_certs=`", "on")
async def async_future(context: ssl.SSLContext, site: Site) -> None:
    await _async_pool(context, site, ca_certs=site.ca)


@row("urllib3-future on asyncio, and `ca_certs=`", "off")
async def async_future_off(context: ssl.SSLContext, site: Site) -> None:
    await _async_pool(context, site, ca_certs=os.devnull, disabled_svn={_h3()})


# niquests


def _session(context: ssl.SSLContext, site: Site, *, verify: Any = True, **options: Any) -> None:
    from niquests import Session
    from niquests.adapters import HTTPAdapter

    class PinnedAdapter(HTTPAdapter):  # type: ignore[misc]
        def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
            super().init_poolmanager(*arguments, ssl_context=context, **more)

    with Session(**options) as session:
        session.trust_env = False
        session.verify = verify
        session.mount("https://", PinnedAdapter(quic_cache_layer=site.known, **options))
        for _ in range(ASKED):
            assert session.get(site.url, headers=HEADERS).content == b"ok"


async def _async_session(
    context: ssl.SSLContext, site: Site, *, verify: Any = True, **options: Any
) -> None:
    from niquests import AsyncSession
    from niquests.adapters import AsyncHTTPAdapter

    class PinnedAdapter(AsyncHTTPAdapter):  # type: ignore[misc]
        def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
            super().init_poolmanager(*arguments, ssl_context=context, **more)

    async with AsyncSession(**options) as session:
        session.trust_env = False
        session.verify = verify
        session.mount("https://", PinnedAdapter(quic_cache_layer=site.known, **options))
        for _ in range(ASKED):
            assert (await session.get(site.url, headers=HEADERS)).content == b"ok"


@row("niquests, by an adapter", "on")
def niquests(context: ssl.SSLContext, site: Site) -> None:
    _session(context, site)


@row("niquests, by an adapter", "off")
def niquests_off(context: ssl.SSLContext, site: Site) -> None:
    _session(context, site, verify=os.devnull, disable_http3=True)


@row("niquests on asyncio, by an adapter", "on")
async def async_niquests(context: ssl.SSLContext, site: Site) -> None:
    await _async_session(context, site)


@row("niquests on asyncio, by an adapter", "off")
async def async_niquests_off(context: ssl.SSLContext, site: Site) -> None:
    await _async_session(context, site, verify=os.devnull, disable_http3=True)


# requests, where urllib3-future has taken the place of its urllib3


@row("requests on urllib3-future, `PinnedSession`", "off")
def requests_session(context: ssl.SSLContext, site: Site) -> None:
    from pinio.requests import PinnedSession

    with PinnedSession(ssl=cast("PinnedSSLContext", context)) as session:
        session.trust_env = False
        for _ in range(ASKED):
            assert session.get(site.url, headers=HEADERS).content == b"ok"
