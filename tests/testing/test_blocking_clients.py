"""Blocking clients in plain tests: no event loop, no plugin, and nothing that a test could forget."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from contextlib import closing

import pytest

import pinio
from pinio.testing import CA, ConnectProxy, Interceptor, Server
from pinio.testing import http as answers

CA_ROOT = CA("a CA that everybody trusts")
BANK = CA_ROOT.issue("127.0.0.1")
POLICY = pinio.Policy(
    {"127.0.0.1": pinio.PinSet(BANK.pin, single="a test", anchors=CA_ROOT.anchors)}
)
SECRET = "Bearer secret"

Ask = Callable[[str, ssl.SSLContext, "str | None"], str]


def with_http_client(url: str, context: ssl.SSLContext, proxy: str | None) -> str:
    host = (proxy or url).rpartition("//")[2]
    with closing(http.client.HTTPSConnection(host, context=context)) as connection:
        if proxy is not None:
            connection.set_tunnel(url.rpartition("//")[2])
        connection.request("GET", "/", headers={"Authorization": SECRET})
        return connection.getresponse().read().decode()


def with_urllib3(url: str, context: ssl.SSLContext, proxy: str | None) -> str:
    urllib3 = pytest.importorskip("urllib3")
    manager = urllib3.PoolManager if proxy is None else urllib3.ProxyManager
    with manager(*([proxy] if proxy else []), ssl_context=context, retries=False) as pool:
        return str(pool.request("GET", url, headers={"Authorization": SECRET}).data.decode())


def with_requests(url: str, context: ssl.SSLContext, proxy: str | None) -> str:
    requests = pytest.importorskip("requests")
    adapters = pytest.importorskip("requests.adapters")

    class Adapter(adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
        def build_connection_pool_key_attributes(self, *arguments: object) -> object:
            host, pool = super().build_connection_pool_key_attributes(*arguments)
            return host, pool | {"ssl_context": context, "ca_certs": None}

    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Adapter())
        proxies = {"https": proxy} if proxy else {}
        return str(session.get(url, headers={"Authorization": SECRET}, proxies=proxies).text)


def with_httpx(url: str, context: ssl.SSLContext, proxy: str | None) -> str:
    httpx = pytest.importorskip("httpx")
    with httpx.Client(verify=context, proxy=proxy, trust_env=False) as client:
        return str(client.get(url, headers={"Authorization": SECRET}).text)


CLIENTS = [with_http_client, with_urllib3, with_requests, with_httpx]


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
@pytest.mark.parametrize("ask", CLIENTS)
def test_a_client_with_pins(ask: Ask, tunnel: bool, tls_version: ssl.TLSVersion) -> None:
    """It reaches the genuine server; an interceptor learns nothing. Inside the block and after it."""
    context = pinio.create_ssl_context(POLICY, observer=lambda _: None)
    with (
        Server(BANK, handler=answers(b"42"), tls_version=tls_version) as server,
        Interceptor(CA_ROOT, "127.0.0.1", tls_version=tls_version) as interceptor,
        ConnectProxy() as proxy,
    ):
        through = proxy.url if tunnel else None
        assert ask(server.url, context, through) == "42"
        assert [request.header("Authorization") for request in server.requests] == [SECRET]
        with pytest.raises(Exception) as refused:  # each library has its own
            ask(interceptor.url, context, through)
        assert isinstance(pinio.find_pin_error(refused.value), pinio.PinMismatchError)
        assert interceptor.captured == b"" and len(interceptor.connections) == 1
    assert interceptor.captured == b"" and len(interceptor.connections) == 1


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
@pytest.mark.parametrize("ask", CLIENTS)
def test_a_client_without_pins_is_found_out(
    ask: Ask, tunnel: bool, tls_version: ssl.TLSVersion
) -> None:
    """What a test of a program that forgot to pin sees, with the genuine server behind the interceptor."""
    with (
        Server(BANK, handler=answers(b"42"), tls_version=tls_version) as server,
        Interceptor(
            CA_ROOT, "127.0.0.1", upstream=(*server.address, CA_ROOT), tls_version=tls_version
        ) as interceptor,
        ConnectProxy() as proxy,
    ):
        through = proxy.url if tunnel else None
        assert ask(interceptor.url, CA_ROOT.client_context(), through) == "42"
        assert SECRET.encode() in interceptor.captured and interceptor.captured_replies.endswith(
            b"42"
        )
    assert interceptor.handshakes_finished == 1
