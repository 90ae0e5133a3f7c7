"""Arguments of libraries that demand more than the pins.

Each demand holds beside a pinned context.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

import pytest

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, Server, http
from tests.tls.cast import GENUINE, ROOT, SPARE
from tests.tls.through import context_for

urllib3 = pytest.importorskip(
    "urllib3", reason="urllib3 is not installed: pip install --group interop"
)

HOSTS = ("localhost", "127.0.0.1")
POLICY = Policy(
    {name: PinSet([GENUINE.pin], backup=[SPARE], anchors=ROOT.anchors) for name in HOSTS}
)
FINGERPRINT = hashlib.sha256(GENUINE.der).hexdigest()

# What the genuine certificate has, and what it has not.
HELD = {"assert_hostname": "api.pinned.test", "assert_fingerprint": FINGERPRINT}
NOT_HELD = {"assert_hostname": "elsewhere.test", "assert_fingerprint": FINGERPRINT[::-1]}
each_demand = pytest.mark.parametrize("name", HELD)


def direct(context: ssl.SSLContext, server: Server, **options: Any) -> None:
    with urllib3.PoolManager(ssl_context=context, **options) as pool:
        url = f"https://localhost:{server.port}/"
        assert pool.request("GET", url, retries=False).data == b"ok"


def proxied(context: ssl.SSLContext, server: Server, proxy: ConnectProxy, **options: Any) -> None:
    with urllib3.ProxyManager(
        proxy.url, ssl_context=context, proxy_ssl_context=context, **options
    ) as pool:
        url = f"https://localhost:{server.port}/"
        assert pool.request("GET", url, retries=False).data == b"ok"


@each_demand
def test_a_demand_that_the_certificate_meets_lets_the_request_through(
    name: str, tls_version: ssl.TLSVersion
) -> None:
    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        direct(context_for(POLICY), server, **{name: HELD[name]})
        server.wait_quiet()
        assert server.application_bytes


@each_demand
def test_a_demand_that_it_does_not_meet_is_refused(name: str, tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        with pytest.raises(urllib3.exceptions.SSLError, match=r"(?i)fingerprint|doesn't match"):
            direct(context_for(POLICY), server, **{name: NOT_HELD[name]})
        server.wait_quiet()
        assert server.application_bytes == b""


@each_demand
def test_a_demand_on_a_server_behind_an_https_proxy_holds(
    name: str, tls_version: ssl.TLSVersion
) -> None:
    """There urllib3 speaks TLS through memory."""
    with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        ConnectProxy(GENUINE, tls_version=tls_version) as proxy,
    ):
        proxied(context_for(POLICY), server, proxy, **{name: HELD[name]})
        server.wait_quiet()
        before = server.application_bytes
        with pytest.raises(urllib3.exceptions.SSLError):
            proxied(context_for(POLICY), server, proxy, **{name: NOT_HELD[name]})
        server.wait_quiet()
        assert server.application_bytes == before


@each_demand
def test_a_demand_on_an_https_proxy_holds(name: str, tls_version: ssl.TLSVersion) -> None:
    with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        ConnectProxy(GENUINE, tls_version=tls_version) as proxy,
    ):
        proxied(context_for(POLICY), server, proxy, **{f"proxy_{name}": HELD[name]})
        proxy.wait_quiet()
        before = proxy.application_bytes
        with pytest.raises(urllib3.exceptions.ProxyError):
            proxied(context_for(POLICY), server, proxy, **{f"proxy_{name}": NOT_HELD[name]})
        proxy.wait_quiet()
        assert proxy.application_bytes == before, "not even the name of the server"


def test_a_demand_does_not_loosen_the_next_connection(tls_version: ssl.TLSVersion) -> None:
    """The context is one for all, and the name of a host is checked under any of its settings."""
    context = context_for(POLICY)
    elsewhere = ROOT.issue("api.pinned.test")
    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        direct(context, server, assert_hostname="api.pinned.test")
        direct(context, server)
    with Server(elsewhere, handler=http(), tls_version=tls_version) as server:
        for options in ({}, {"assert_hostname": "api.pinned.test"}, {"assert_hostname": False}):
            with pytest.raises(urllib3.exceptions.SSLError, match=r"(?i)hostname mismatch"):
                direct(context, server, **options)
        server.wait_quiet()
        assert server.application_bytes == b""


def test_a_name_is_demanded_in_vain_of_a_device_whose_key_is_the_trust(
    tls_version: ssl.TLSVersion,
) -> None:
    """Nobody verified its certificate, so that `ssl` shows urllib3 no names: an error, and no request."""
    device = Policy({"localhost": PinSet([GENUINE.pin], backup=[SPARE], trust="leaf-pin")})
    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        direct(context_for(device), server)
        direct(context_for(device), server, assert_hostname=False)
        server.wait_quiet()
        before = server.application_bytes
        with pytest.raises(ValueError, match="no certificate"):
            direct(context_for(device), server, assert_hostname="api.pinned.test")
        server.wait_quiet()
        assert server.application_bytes == before


def test_the_demands_of_a_requests_adapter_hold(tls_version: ssl.TLSVersion) -> None:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    from pinio.requests import PinnedAdapter

    with Server(GENUINE, handler=http(), tls_version=tls_version) as server:
        url = f"https://localhost:{server.port}/"
        for demands in (HELD, NOT_HELD):
            for name, value in demands.items():
                demand: dict[str, Any] = {name: value}
                with requests.Session() as session:
                    session.trust_env = False
                    adapter = PinnedAdapter(ssl=context_for(POLICY))
                    adapter.init_poolmanager(1, 1, **demand)
                    session.mount("https://", adapter)
                    if demands is HELD:
                        assert session.get(url).content == b"ok"
                    else:
                        with pytest.raises(requests.exceptions.SSLError):
                            session.get(url)
        server.wait_quiet()
        assert [bool(record.application_bytes) for record in server.connections] == [
            True,
            True,
            False,
            False,
        ]
