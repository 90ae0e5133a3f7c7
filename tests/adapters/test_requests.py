"""What a session of requests can be told, and what its adapters can be told: nothing that leads around the pins."""

from __future__ import annotations

import copy
import pickle
import ssl
import sys
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
from requests.adapters import HTTPAdapter

import pinio
from pinio.core.policy import Policy
from pinio.errors import (
    OverrideRefusedError,
    PinMismatchError,
    PlaintextRefusedError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.requests import PinnedAdapter, PinnedSession
from pinio.testing import ConnectProxy, Interceptor, Server, http
from pinio.tls.handshake.sessions import SessionCache
from tests.interop.peers import SocksProxy
from tests.tls.cast import GENUINE, IDENTITY, MISPINNED, ROOT, Told, pinned


def session(policy: Policy | None = None, **options: Any) -> PinnedSession:
    """One that reads no proxies from the environment."""
    made = PinnedSession(
        policy or pinned(), **{"resumption": SessionCache(), "observer": Told(), **options}
    )
    made.trust_env = False
    return made


def url_of(server: Server, scheme: str = "https") -> str:
    return f"{scheme}://localhost:{server.port}/"


OVERRIDES: dict[str, dict[str, Any]] = {
    "verify=False": {"verify": False},
    "verify=FILE": {"verify": certifi.where()},
    "verify=FOLDER": {"verify": str(Path(certifi.where()).parent)},
    "cert=": {"cert": certifi.where()},
    "cert=(,)": {"cert": (certifi.where(), certifi.where())},
}


@pytest.mark.parametrize("override", OVERRIDES.values(), ids=OVERRIDES)
def test_P5_a_request_does_not_decide_about_tls(override: dict[str, Any]) -> None:
    told = Told()
    with Server(GENUINE, handler=http()) as server, session(observer=told) as client:
        with pytest.raises(requests.RequestException) as caught:
            client.get(url_of(server), **override)
        assert isinstance(caught.value, OverrideRefusedError)
        assert not server.connections
        assert client.get(url_of(server), verify=True, cert=None).content == b"ok"
    assert told.kinds == ["Refusal", "Permit"]
    assert certifi.where() not in str(caught.value)


@pytest.mark.parametrize("url", ["https://localhost[::1]:{}/", "https://[::1]localhost:{}/"])
@pytest.mark.parametrize("override", [{}, {"verify": False}], ids=["plain", "verify=False"])
def test_a_url_is_read_as_its_pools_read_it(url: str, override: dict[str, Any]) -> None:
    """Python 3.11 finds `::1` in it: no host was asked for, and none is refused in its name."""
    told = Told()
    with Server(GENUINE, handler=http()) as server, session(observer=told) as client:
        request = client.prepare_request(requests.Request("GET", url_of(server)))
        request.url = url.format(server.port)  # behind the back of requests, which refuses it
        with pytest.raises(requests.exceptions.InvalidURL):
            client.get_adapter("https://").send(request, **override)
        assert not server.connections
    assert not told


def test_a_host_that_is_refused_anyhow_is_refused_with_an_override_too() -> None:
    told = Told()
    with session(observer=told) as client, pytest.raises(requests.RequestException) as caught:
        client.get("https://other.test/", verify=False)
    assert isinstance(caught.value, UnpinnedHostError) and told.kinds == ["Refusal"]


@pytest.mark.parametrize(("name", "value"), [("verify", False), ("cert", certifi.where())])
def test_P5_nor_does_the_session(name: str, value: object) -> None:
    with Server(GENUINE, handler=http()) as server, session() as client:
        setattr(client, name, value)
        with pytest.raises(OverrideRefusedError):
            client.get(url_of(server))
        assert not server.connections


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_P5_nor_does_the_environment_which_is_ignored(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine may have it set for everybody; the policy names its anchors itself."""
    everybody = tmp_path / "interceptor.pem"
    everybody.write_text(ROOT.certificate_pem)
    monkeypatch.setenv(name, str(everybody))
    monkeypatch.setenv("NO_PROXY", "*")
    with Server(GENUINE, handler=http()) as server, session() as client:
        client.trust_env = True
        assert client.get(url_of(server)).content == b"ok"
    with Interceptor(ROOT, "localhost", handler=http()) as server, session() as client:
        client.trust_env = True
        with pytest.raises(PinMismatchError):
            client.get(url_of(server))
        server.wait_quiet()
        assert not server.application_bytes


@pytest.mark.parametrize(
    "prefix", ["https://", "http://", "https://localhost", "HTTPS://a", "", "h"]
)
def test_P5_no_other_adapter_is_mounted_where_it_would_carry_http(prefix: str) -> None:
    with session() as client:
        with pytest.raises(PolicyError, match="HTTPAdapter"):
            client.mount(prefix, HTTPAdapter())
        with pytest.raises(PolicyError), copy.copy(client) as other:
            other.mount(prefix, HTTPAdapter())
        client.mount("https://other.test/", PinnedAdapter(pinned(host="other.test")))
        client.mount("http+unix://", HTTPAdapter())
        assert all(isinstance(client.get_adapter(f"{each}://a"), PinnedAdapter) for each in SCHEMES)


SCHEMES = ("http", "https")


TLS = [
    {"ssl_context": ssl.create_default_context()},
    {"cert_reqs": "CERT_NONE"},
    {"ca_certs": certifi.where()},
    {"server_hostname": "other.test"},
]


@pytest.mark.parametrize("options", TLS, ids=lambda options: next(iter(options)))
def test_P5_pools_take_no_tls_settings(options: dict[str, Any]) -> None:
    adapter = PinnedAdapter(pinned())
    with pytest.raises(PolicyError, match=next(iter(options))):
        adapter.init_poolmanager(1, 1, **options)
    with pytest.raises(PolicyError, match=next(iter(options))):
        adapter.proxy_manager_for("http://127.0.0.1:1", **options)
    adapter.close()


def test_P5_a_proxy_does_not_forward_what_belongs_in_a_tunnel() -> None:
    adapter = PinnedAdapter(pinned())
    with pytest.raises(PolicyError, match="use_forwarding_for_https"):
        adapter.proxy_manager_for("https://127.0.0.1:1", use_forwarding_for_https=True)
    adapter.close()


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_P5_every_pool_has_the_pinned_context_in_its_key_whatever_is_asked_for(
    proxy: str | None,
) -> None:
    """As requests 2.32.0 to 2.32.2 ask for a context of their own, and others may."""
    pytest.importorskip("socks", reason="PySocks is not installed: pip install --group interop")
    adapter = PinnedAdapter(pinned())
    manager = adapter.poolmanager if proxy is None else adapter.proxy_manager_for(proxy)
    other = ssl.create_default_context()
    keys = set()
    for wanted in (
        None,
        {"ssl_context": other},
        {"ssl_context": None},
        {"cert_reqs": "CERT_NONE", "ca_certs": certifi.where(), "server_hostname": "other.test"},
    ):
        pool: Any = manager.connection_from_host("localhost", 443, "https", pool_kwargs=wanted)
        assert pool.conn_kw["ssl_context"] is adapter._expected.origins
        assert "server_hostname" not in pool.conn_kw
        keys |= set(manager.pools.keys())
    (key,) = keys
    assert key.key_ssl_context is adapter._expected.origins
    adapter.close()


def test_P5_nor_does_a_pool_lead_to_plaintext_whatever_is_asked_for() -> None:
    adapter = PinnedAdapter(pinned(), observer=Told())
    for manager in (adapter.poolmanager, adapter.proxy_manager_for("http://127.0.0.1:1")):
        for scheme in ("http", "HTTP", None):
            with pytest.raises(PlaintextRefusedError):
                manager.connection_from_host("localhost", 80, scheme)
    adapter.close()


def test_an_adapter_on_a_plain_session_is_pinned_as_well() -> None:
    with (
        Interceptor(ROOT, "localhost", handler=http()) as server,
        requests.Session() as client,
    ):
        client.trust_env = False
        adapter = PinnedAdapter(pinned(), observer=Told(), resumption=SessionCache())
        client.mount("https://", adapter)
        client.mount("http://", adapter)
        with pytest.raises(PinMismatchError):
            client.get(url_of(server))
        with pytest.raises(PlaintextRefusedError):
            client.get(url_of(server, "http"))
        server.wait_quiet()
        assert not server.application_bytes


def test_options_of_the_adapter_reach_it() -> None:
    with session(max_retries=2, pool_maxsize=3) as client:
        adapter = client.get_adapter("https://localhost/")
        assert isinstance(adapter, PinnedAdapter) and adapter.max_retries.total == 2
    with pytest.raises(TypeError, match="nonsense"):
        session(nonsense=1)


def test_a_refusal_is_told_once_for_each_try() -> None:
    told = Told()
    with Server(GENUINE, handler=http()) as server:
        with (
            session(MISPINNED, observer=told, max_retries=2) as client,
            pytest.raises(PinMismatchError),
        ):
            client.get(url_of(server))
        server.wait_quiet()
        assert not server.application_bytes
    assert told.kinds == ["Refusal"] * 3


def test_a_session_that_is_pickled_says_what_to_do_instead() -> None:
    with session() as client, pytest.raises(PolicyError, match="make one in the process"):
        pickle.dumps(client)


def test_socks_without_pysocks_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from pinio.requests import pools

    monkeypatch.setitem(sys.modules, "urllib3.contrib.socks", None)
    pools._socks_pools.cache_clear()
    with session() as client, pytest.raises(requests.exceptions.InvalidSchema, match="PySocks"):
        client.get("https://localhost:1/", proxies={"https": "socks5://127.0.0.1:1"})
    pools._socks_pools.cache_clear()


@pytest.mark.parametrize("kind", ["https", "socks5"])
def test_a_password_for_a_proxy_arrives_there(kind: str) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed: pip install --group interop")
    from tests.adapters.world import PROXY

    both = Policy({"localhost": pinned().hosts["localhost"], "127.0.0.1": pins(PROXY.pin)})
    with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(PROXY, interceptor=server, credentials=("user", "password")) as proxy,
        SocksProxy(lambda: server.address) as socks,
        session(both) as client,
    ):
        port = proxy.port if kind == "https" else socks.port
        proxies = {"https": f"{kind}://user:password@127.0.0.1:{port}"}
        assert client.get(url_of(server), proxies=proxies).content == b"ok"


def pins(pin: str) -> pinio.PinSet:
    return pinio.PinSet(pin, single="a test", anchors=ROOT.anchors)


def test_a_client_certificate_belongs_to_the_context(tmp_path: Path) -> None:
    certificate = tmp_path / "client.pem"
    certificate.write_text(IDENTITY.private_key_pem + IDENTITY.chain_pem)
    with (
        Server(GENUINE, handler=http(), client_ca=ROOT) as server,
        session() as client,
        pytest.raises(OverrideRefusedError, match="client_cert="),
    ):
        client.get(url_of(server), cert=str(certificate))
