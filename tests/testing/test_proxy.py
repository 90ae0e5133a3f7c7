from __future__ import annotations

import http.client
import socket
import ssl

import pytest

from pinio.testing import CA, Connection, ConnectProxy, Interceptor, Server
from pinio.testing import http as responder
from pinio.testing.stream import Stream
from tests.testing.clients import exactly

CA_ROOT = CA()
LEAF = CA_ROOT.issue("api.example.com", "localhost")
TARGET = "api.example.com"


def through(proxy: ConnectProxy, **headers: str) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(
        *proxy.address, context=CA_ROOT.client_context(), timeout=60
    )
    connection.set_tunnel(TARGET, 443, headers=headers)
    return connection


def test_a_tunnel_leads_to_the_genuine_server() -> None:
    with (
        Server(LEAF, handler=responder(b"genuine")) as genuine,
        ConnectProxy(routes={f"{TARGET}:443": genuine.address}) as proxy,
    ):
        connection = through(proxy, **{"X-Trace": "7"})
        connection.request("GET", "/", headers={"Authorization": "a secret"})
        assert connection.getresponse().read() == b"genuine"
        connection.close()
        proxy.wait_quiet()
        genuine.wait_quiet()
    (request,) = proxy.requests
    assert (request.method, request.target, request.header("x-trace")) == (
        "CONNECT",
        f"{TARGET}:443",
        "7",
    )
    assert b"a secret" not in proxy.application_bytes
    assert genuine.requests[0].header("authorization") == "a secret"


def test_an_inspecting_proxy_reads_along() -> None:
    with (
        Server(LEAF, handler=responder(b"genuine")) as genuine,
        Interceptor(CA_ROOT, TARGET, upstream=(*genuine.address, CA_ROOT)) as between,
        ConnectProxy(interceptor=between) as proxy,
    ):
        connection = through(proxy)
        connection.request("GET", "/", headers={"Authorization": "a secret"})
        assert connection.getresponse().read() == b"genuine"
        connection.close()
        between.wait_quiet()
    assert b"a secret" in between.captured


def test_credentials_are_insisted_on() -> None:
    with (
        Server(LEAF, handler=responder(b"genuine")) as genuine,
        ConnectProxy(
            routes={f"{TARGET}:443": genuine.address}, credentials=("user", "pass")
        ) as proxy,
    ):
        refused = through(proxy)
        with pytest.raises(OSError, match="407"):
            refused.request("GET", "/")
        refused.close()
        connection = through(proxy, **{"Proxy-Authorization": "Basic dXNlcjpwYXNz"})
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"genuine"
        connection.close()
        genuine.wait_quiet()
    assert len(genuine.connections) == 1


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("api.example.com:443", b"502"),
        ("192.0.2.1:443", b"502"),
        ("localhost:99999", b"502"),
        ("[::1", b"502"),
    ],
)
def test_nothing_leaves_the_machine(
    target: str, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dial(_self: Connection, address: tuple[str, int]) -> Stream:
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(Connection, "dial", dial)
    with ConnectProxy() as proxy, socket.create_connection(proxy.address) as raw:
        raw.sendall(b"CONNECT %s HTTP/1.1\r\n\r\n" % target.encode())
        assert exactly(raw, 12) == b"HTTP/1.1 " + status


def test_loopback_targets_need_no_route() -> None:
    with (
        Server(plain=True) as genuine,
        ConnectProxy() as proxy,
        socket.create_connection(proxy.address) as raw,
    ):
        raw.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\nearly" % genuine.port)
        assert exactly(raw, 39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert exactly(raw, 5) == b"early"


def test_a_dead_target_is_a_bad_gateway(reserved_port: int) -> None:
    with ConnectProxy() as proxy, socket.create_connection(proxy.address) as raw:
        raw.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % reserved_port)
        assert exactly(raw, 12) == b"HTTP/1.1 502"


def test_only_tunnels_are_opened() -> None:
    with ConnectProxy() as proxy:
        with socket.create_connection(proxy.address) as raw:
            raw.sendall(b"GET http://example.com/ HTTP/1.1\r\nCookie: secret\r\n\r\n")
            assert exactly(raw, 12) == b"HTTP/1.1 405"
        proxy.wait_quiet()
    assert proxy.requests[0].target == "http://example.com/"


def test_tls_to_the_proxy_and_tls_inside_the_tunnel(tls_version: ssl.TLSVersion) -> None:
    with (
        Server(LEAF) as genuine,
        ConnectProxy(
            LEAF, routes={f"{TARGET}:443": genuine.address}, tls_version=tls_version
        ) as proxy,
        socket.create_connection(proxy.address) as raw,
        CA_ROOT.client_context().wrap_socket(raw, server_hostname="localhost") as outer,
    ):
        outer.sendall(b"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n")
        assert exactly(outer, 39).startswith(b"HTTP/1.1 200 ")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = CA_ROOT.client_context().wrap_bio(incoming, outgoing, server_hostname=TARGET)
        done = False
        while not done:
            try:
                inner.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                outer.sendall(outgoing.read())
                incoming.write(outer.recv(65_536))
        inner.write(b"inside")
        outer.sendall(outgoing.read())
        genuine.wait_quiet()
        proxy.wait_quiet()
        genuine.wait_quiet()
        assert genuine.application_bytes == b"inside"
        assert proxy.connections[0].version == tls_version.name.replace("v1_", "v1.")
