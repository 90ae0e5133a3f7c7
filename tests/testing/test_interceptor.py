from __future__ import annotations

import asyncio
import ssl

import pytest

from pinio.core.anchors import Anchors
from pinio.testing import CA, Interceptor, Server, echo, http, speak_first
from tests.testing.clients import connected, exactly

CA_ROOT = CA()
LEAF = CA_ROOT.issue("localhost")


def test_a_client_without_pins_notices_nothing(tls_version: ssl.TLSVersion) -> None:
    with (
        Server(LEAF, tls_version=tls_version, handler=http(b"balance: 100")) as genuine,
        Interceptor(
            CA_ROOT, "localhost", upstream=(*genuine.address, CA_ROOT), tls_version=tls_version
        ) as between,
    ):
        with connected(between, CA_ROOT) as tls:
            assert tls.getpeercert(True) == between.leaf.der != LEAF.der
            assert between.leaf.pin != LEAF.pin
            tls.sendall(b"GET / HTTP/1.1\r\nAuthorization: a secret\r\n\r\n")
            answer = exactly(tls, 51)
        between.wait_quiet()
        genuine.wait_quiet()
    assert answer.endswith(b"\r\n\r\nbalance: 100")
    assert b"Authorization: a secret" in between.captured
    assert between.captured == genuine.application_bytes
    assert between.captured_replies == answer
    assert genuine.requests[0].header("authorization") == "a secret"
    assert genuine.connections[0].server_name == "localhost"


def test_it_can_do_without_the_genuine_server() -> None:
    with Interceptor(CA_ROOT, "localhost", handler=http(b"forged")) as between:
        with connected(between, CA_ROOT) as tls:
            tls.sendall(b"GET /secret HTTP/1.1\r\n\r\n")
            assert exactly(tls, 44).endswith(b"forged")
        between.wait_quiet()
    assert between.captured.startswith(b"GET /secret")
    assert between.captured_replies == b""


def test_it_collects_client_certificates_where_the_genuine_server_would() -> None:
    identity = CA_ROOT.issue_client()
    with Interceptor(CA_ROOT, "localhost", client_ca=CA_ROOT) as between:
        with connected(between, CA_ROOT, identity=identity):
            pass
        between.wait_quiet()
    assert between.client_certificates == [identity.der]


def test_a_genuine_server_that_speaks_first_is_passed_on() -> None:
    with (
        Server(LEAF, handler=speak_first(b"220 ready", then=echo)) as genuine,
        Interceptor(CA_ROOT, "localhost", upstream=(*genuine.address, None)) as between,
        connected(between, CA_ROOT) as tls,
    ):
        assert exactly(tls, 9) == b"220 ready"


def test_it_carries_bulk_in_both_directions_at_once() -> None:
    payload = bytes(range(256)) * 65_536  # 16 MiB, more than the sockets on the way can hold

    async def exchange(address: tuple[str, int]) -> bytes:
        context = CA_ROOT.client_context()
        reader, writer = await asyncio.open_connection(
            *address, ssl=context, server_hostname="localhost"
        )
        writer.write(payload)
        received = await reader.readexactly(len(payload))
        writer.close()
        await writer.wait_closed()
        return received

    with (
        Server(LEAF) as genuine,
        Interceptor(CA_ROOT, "localhost", upstream=(*genuine.address, CA_ROOT)) as between,
    ):
        assert asyncio.run(exchange(between.address)) == payload


@pytest.mark.parametrize("trusted", [CA("another"), CA("another").anchors], ids=["CA", "Anchors"])
def test_it_can_insist_on_the_genuine_server_itself(trusted: CA | Anchors) -> None:
    with (
        Server(LEAF) as genuine,
        Interceptor(CA_ROOT, "localhost", upstream=(*genuine.address, trusted)) as between,
    ):
        with connected(between, CA_ROOT) as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b""
        between.wait_quiet()
        genuine.wait_quiet()
    assert isinstance(between.connections[0].error, ssl.SSLCertVerificationError)
    assert genuine.handshakes_finished == 0


def test_both_protocols_agreed_on_are_the_same() -> None:
    with (
        Server(LEAF, alpn=["h2", "http/1.1"]) as genuine,
        Interceptor(
            CA_ROOT, "localhost", upstream=(*genuine.address, CA_ROOT), alpn=["http/1.1"]
        ) as between,
    ):
        with connected(between, CA_ROOT, alpn=("h2", "http/1.1")) as tls:
            tls.sendall(b"x")
            assert exactly(tls, 1) == b"x"
        between.wait_quiet()
        genuine.wait_quiet()
    assert genuine.connections[0].alpn == between.connections[0].alpn == "http/1.1"
