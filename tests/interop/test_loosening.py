"""Libraries have arguments of their own that loosen TLS, or name other CAs.

Beside a pinned context they open no door.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import ssl
from collections.abc import Callable
from typing import Any

import certifi
import pytest

from tests.interop.matrix import IMPOSTOR, PATIENCE, Row, Site, Way, run

Client = Callable[[ssl.SSLContext, Site], object]


def by_urllib3(**options: Any) -> Client:
    def client(context: ssl.SSLContext, site: Site) -> None:
        import urllib3

        with urllib3.PoolManager(ssl_context=context, **options) as pool:
            assert pool.request("GET", site.url, retries=False).data == b"ok"

    return client


def by_http_client(context: ssl.SSLContext, site: Site) -> None:
    """As code does that was written for a self-signed server."""
    from http.client import HTTPSConnection

    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with contextlib.closing(HTTPSConnection(site.host, site.port, context=context)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"


async def by_tornado(context: ssl.SSLContext, site: Site) -> None:
    from tornado.httpclient import AsyncHTTPClient

    with contextlib.closing(AsyncHTTPClient(force_instance=True)) as client:
        response = await client.fetch(
            site.url, ssl_options=context, validate_cert=False, ca_certs=certifi.where()
        )
        assert response.body == b"ok"


async def by_aiohttp(context: ssl.SSLContext, site: Site) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=False)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(site.url, ssl=context, server_hostname="localhost") as response,
    ):
        assert await response.read() == b"ok"


async def by_httpx(context: ssl.SSLContext, site: Site) -> None:
    import httpx

    transport = httpx.AsyncHTTPTransport(verify=context, retries=2)
    async with httpx.AsyncClient(
        transport=transport, verify=False, trust_env=False, timeout=PATIENCE
    ) as client:
        response = await client.get(site.url, extensions={"sni_hostname": "localhost"})
        assert response.content == b"ok"


FINGERPRINT = hashlib.sha256(IMPOSTOR.der).hexdigest()
CASES: dict[str, tuple[Client, str]] = {
    "urllib3, cert_reqs": (by_urllib3(cert_reqs="CERT_NONE"), "urllib3"),
    "urllib3, ca_certs": (by_urllib3(ca_certs=certifi.where()), "urllib3"),
    "urllib3, assert_hostname": (by_urllib3(assert_hostname=False), "urllib3"),
    "urllib3, versions": (by_urllib3(ssl_minimum_version=ssl.TLSVersion.TLSv1), "urllib3"),
    "http.client": (by_http_client, "http"),
    "tornado": (by_tornado, "tornado"),
    "aiohttp": (by_aiohttp, "aiohttp"),
    "httpx": (by_httpx, "httpx"),
}
each_case = pytest.mark.parametrize(("client", "module"), CASES.values(), ids=CASES)


def row(client: Client, module: str) -> Row:
    pytest.importorskip(module, reason=f"{module} is not installed: pip install --group interop")
    way: Way = "direct"
    kind: Any = "asyncio" if inspect.iscoroutinefunction(client) else "sync"
    return Row(module, way, "BIO", client, (module,), kind)


@each_case
@pytest.mark.filterwarnings("ignore")  # urllib3's: of requests that it believes to be unverified
def test_P5_an_argument_that_loosens_opens_no_door(
    client: Client, module: str, tls_version: ssl.TLSVersion
) -> None:
    result = run(row(client, module), between="server", tls_version=tls_version)
    assert result.error is not None
    assert result.application_bytes == b""
    assert result.pin_error is not None
    assert set(result.decisions) == {"Refusal"}


@each_case
@pytest.mark.filterwarnings("ignore")
def test_nor_does_it_shut_one(client: Client, module: str, tls_version: ssl.TLSVersion) -> None:
    result = run(row(client, module), tls_version=tls_version)
    if result.error is not None:
        raise result.error
    assert result.application_bytes
    assert set(result.decisions) == {"Permit"}


def test_P1_a_fingerprint_that_urllib3_is_content_with_is_not_enough(
    tls_version: ssl.TLSVersion,
) -> None:
    """The interceptor's own."""
    client = by_urllib3(assert_fingerprint=FINGERPRINT, cert_reqs="CERT_NONE")
    result = run(row(client, "urllib3"), between="server", tls_version=tls_version)
    assert result.pin_error is not None
    assert result.application_bytes == b""
