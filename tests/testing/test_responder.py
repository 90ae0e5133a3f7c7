from __future__ import annotations

import asyncio
import http.client
import socket

import pytest

from pinio.testing import CA, Request, Server
from pinio.testing import http as responder
from tests.testing.clients import connected

CA_ROOT = CA()
LEAF = CA_ROOT.issue("localhost", "127.0.0.1")


def client(server: Server) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(
        *server.address, context=CA_ROOT.client_context(), timeout=60
    )


def test_requests_are_answered_and_kept() -> None:
    with Server(
        LEAF, handler=responder(b"hello", status=201, headers=[("X-Kind", "test")])
    ) as server:
        connection = client(server)
        for method, body in (("GET", None), ("POST", b"payload"), ("HEAD", None)):
            connection.request(method, "/path?query", body=body, headers={"Cookie": "secret"})
            answer = connection.getresponse()
            assert (answer.status, answer.reason, answer.getheader("x-kind")) == (
                201,
                "Created",
                "test",
            )
            assert answer.read() == (b"" if method == "HEAD" else b"hello")
        connection.close()
        server.wait_quiet()
    assert len(server.connections) == 1, "connections are kept alive"
    assert [(request.method, request.body) for request in server.requests] == [
        ("GET", b""),
        ("POST", b"payload"),
        ("HEAD", b""),
    ]
    assert server.requests[0].target == "/path?query"
    assert server.requests[0].header("cookie") == "secret"
    assert server.requests[0].header("Authorization") is None
    assert b"Cookie: secret\r\n" in server.application_bytes


def test_a_body_may_come_in_chunks_and_after_a_pause() -> None:
    def answer(request: Request) -> bytes:
        return request.target.encode() + b" " + request.body

    with Server(LEAF, handler=responder(answer)) as server:
        connection = client(server)
        connection.request(
            "PUT",
            "/a",
            body=iter([b"one ", b"two"]),
            headers={"Expect": "100-continue"},
            encode_chunked=True,
        )
        assert connection.getresponse().read() == b"/a one two"
        connection.request("GET", "/b", headers={"Connection": "close"})
        assert connection.getresponse().read() == b"/b "
        connection.close()
        server.wait_quiet()
    assert [request.body for request in server.requests] == [b"one two", b""]


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00 not http\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
    ids=[
        "not HTTP",
        "too large",
        "no number",
        "cut short",
        "no chunk",
        "too many headers",
        "a long header",
    ],
)
def test_what_is_no_request_is_recorded_as_the_clients_error(said: bytes) -> None:
    with Server(LEAF, handler=responder()) as server:
        with connected(server, CA_ROOT) as tls:
            tls.sendall(said)
        server.wait_quiet()
    assert server.requests == []
    assert isinstance(server.connections[0].error, ConnectionAbortedError)


async def test_it_serves_asyncio_clients_and_plain_text() -> None:
    async with Server(plain=True, handler=responder(b"plain")) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET http://example.com/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nplain")
        writer.close()
        await writer.wait_closed()
        await server.quiet()
    assert server.requests[0].target == "http://example.com/"


def test_a_client_that_asks_nothing() -> None:
    with Server(plain=True, handler=responder()) as server:
        socket.create_connection(server.address).close()
        server.wait_quiet()
    assert server.connections[0].error is None
