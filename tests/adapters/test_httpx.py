"""What a request of httpx can bring, and what a transport can be told: nothing that leads around the pins."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import certifi
import httpx
import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import OverrideRefusedError, PinMismatchError, PlaintextRefusedError, PolicyError
from pinio.httpx import AsyncPinnedHTTPTransport, PinnedHTTPTransport
from pinio.testing import ConnectProxy, Interceptor, Server, http
from pinio.tls.handshake.sessions import SessionCache
from tests.adapters.world import PROXY
from tests.interop.peers import SocksProxy
from tests.tls.cast import ABSENT, GENUINE, ROOT, Told, pinned

THERE = "right.pinned.test"
"""A name of the genuine certificate, other than localhost."""


def pins(pin: str) -> pinio.PinSet:
    return pinio.PinSet(pin, single="a test", anchors=ROOT.anchors)


def client(policy: Policy | None = None, **options: Any) -> httpx.Client:
    quiet: dict[str, Any] = {"resumption": SessionCache(), "observer": Told(), **options}
    return httpx.Client(transport=PinnedHTTPTransport(policy or pinned(), **quiet), timeout=60)


def url_of(server: Server, scheme: str = "https") -> str:
    return f"{scheme}://localhost:{server.port}/"


# Extensions of a request


@pytest.mark.parametrize("name", [THERE, THERE.encode(), "127.0.0.1", "other.test"])
def test_P5_a_request_does_not_choose_the_name_that_is_verified(name: str | bytes) -> None:
    told = Told()
    both = Policy(
        {"localhost": pins(ABSENT), THERE: pins(GENUINE.pin)},
        exempt={"127.0.0.1": "a test"},
        unpinned="allow",
    )
    with Server(GENUINE, handler=http()) as server, client(both, observer=told) as http_client:
        with pytest.raises(OverrideRefusedError) as caught:
            http_client.get(url_of(server), extensions={"sni_hostname": name})
        assert isinstance(caught.value, httpx.TransportError)
        assert not server.connections
    assert told.kinds == ["Refusal"]


def test_P5_nor_rides_on_a_connection_that_was_judged_by_another_name() -> None:
    """httpcore's pool looks at the URL alone."""
    both = Policy({"localhost": pins(GENUINE.pin), THERE: pins(ABSENT)})
    with Server(GENUINE, handler=http()) as server, client(both) as http_client:
        assert http_client.get(url_of(server)).content == b"ok"
        with pytest.raises(OverrideRefusedError):
            http_client.get(url_of(server), extensions={"sni_hostname": THERE})
        server.wait_quiet()
        assert bytes(server.application_bytes).count(b"GET ") == 1


@pytest.mark.parametrize("name", ["localhost", b"localhost", "LOCALHOST.", ""])
def test_its_own_name_is_no_other(name: str | bytes) -> None:
    with Server(GENUINE, handler=http()) as server, client() as http_client:
        for _ in range(2):
            response = http_client.get(url_of(server), extensions={"sni_hostname": name})
            assert response.content == b"ok"


def test_P5_nor_is_a_proxy_verified_by_the_name_of_the_origin() -> None:
    """httpcore would hand the extension on to the proxy's own connection."""
    both = Policy({"localhost": pins(GENUINE.pin), "127.0.0.1": pins(PROXY.pin)})
    with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(PROXY, interceptor=server) as proxy,
        client(both, proxy=f"https://127.0.0.1:{proxy.port}") as http_client,
    ):
        response = http_client.get(url_of(server), extensions={"sni_hostname": "localhost"})
        assert response.content == b"ok"


@pytest.mark.parametrize("name", [5, "127.1"])
def test_a_name_that_is_none(name: object) -> None:
    with client() as http_client, pytest.raises(PolicyError):
        http_client.get("https://localhost:1/", extensions={"sni_hostname": name})


@pytest.mark.parametrize("target", [b"http://localhost/", "HTTP://LOCALHOST/", b"ws://localhost/"])
def test_P5_a_target_does_not_ask_a_proxy_for_plaintext(target: Any) -> None:
    told = Told()
    with (
        ConnectProxy() as proxy,
        client(
            pinned(policy={"unpinned": "allow"}),
            observer=told,
            proxy=f"http://127.0.0.1:{proxy.port}",
        ) as http_client,
    ):
        for url in ("http://open.test/", f"http://127.0.0.1:{proxy.port}/"):
            with pytest.raises(PlaintextRefusedError):
                http_client.get(url, extensions={"target": target})
        assert not proxy.connections
    assert told.kinds == ["Refusal"] * 2


def test_a_target_is_a_path_otherwise() -> None:
    with Server(GENUINE, handler=http()) as server, client() as http_client:
        http_client.get(url_of(server), extensions={"target": b"/there?u=http://localhost/"})
        assert server.connections[0].requests[0].target == "/there?u=http://localhost/"


# Websockets


def test_P5_a_websocket_through_a_socks_proxy_would_have_no_tls() -> None:
    pytest.importorskip("socksio", reason="socksio is not installed: pip install --group interop")
    with (
        Server(plain=True, handler=http()) as clear,
        SocksProxy(lambda: clear.address) as socks,
        client(proxy=f"socks5://127.0.0.1:{socks.port}") as http_client,
    ):
        with pytest.raises(PlaintextRefusedError):
            http_client.get("wss://localhost/")
        assert not socks.connections and not clear.connections


def test_P5_nor_does_one_that_has_none_by_its_scheme() -> None:
    with Server(plain=True, handler=http()) as clear, client() as http_client:
        with pytest.raises(PlaintextRefusedError):
            http_client.get(url_of(clear, "ws"))
        assert not clear.connections


# Arguments of the transport


@pytest.mark.parametrize("kind", [PinnedHTTPTransport, AsyncPinnedHTTPTransport])
@pytest.mark.parametrize(
    "wrong",
    [
        {"verify": False},
        {"cert": certifi.where()},
        {"verify": ssl.create_default_context()},
        {"trust_env": True},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_P5_a_transport_takes_no_other_tls(kind: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=next(iter(wrong))):
        kind(pinned(), **wrong)


def test_P5_nor_does_its_proxy() -> None:
    foreign = httpx.Proxy("https://127.0.0.1:1", ssl_context=ssl.create_default_context())
    with pytest.raises(PolicyError, match="proxy_policy="):
        PinnedHTTPTransport(pinned(), proxy=foreign)


def test_a_proxy_may_have_a_pinned_context() -> None:
    told = Told()
    context = pinio.create_ssl_context(
        Policy({"127.0.0.1": pins(PROXY.pin)}), observer=told, resumption=SessionCache()
    )
    with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(PROXY, interceptor=server, credentials=("user", "password")) as proxy,
    ):
        given = httpx.Proxy(
            f"https://127.0.0.1:{proxy.port}", auth=("user", "password"), ssl_context=context
        )
        for _ in range(2):  # it is the caller's, and stays as it was
            with client(proxy=given) as http_client:
                assert http_client.get(url_of(server)).content == b"ok"
        assert given.ssl_context is context
    assert [decision.host for decision in told] == ["127.0.0.1"] * 2


def test_P5_the_environment_names_no_proxy_beside_a_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """httpx would make it a transport of its own, which knows no pins."""
    with Server(GENUINE, handler=http()) as server, ConnectProxy(interceptor=server) as proxy:
        for name in ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with client() as http_client:
            assert http_client.get(url_of(server)).content == b"ok"
        assert not proxy.connections


def test_options_of_the_transport_reach_it() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        PinnedHTTPTransport(pinned(), nonsense=1)  # type: ignore[call-arg]
    told = Told()
    with Interceptor(ROOT, "localhost", handler=http()) as server:
        with client(observer=told, retries=1) as http_client, pytest.raises(PinMismatchError):
            http_client.get(url_of(server))
        server.wait_quiet()
        assert not server.application_bytes
    assert told.kinds == ["Refusal"] * 2


def test_http2_is_pinned_as_well() -> None:
    pytest.importorskip("h2", reason="h2 is not installed")
    with Interceptor(ROOT, "localhost", alpn=["h2"]) as server:
        with client(http2=True) as http_client, pytest.raises(PinMismatchError):
            http_client.get(url_of(server))
        server.wait_quiet()
        assert not server.application_bytes and server.connections[0].alpn == "h2"
