"""One HTTP exchange: what is an answer, and what is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pinio import Policy, PolicyError
from pinio.exchange import Answer, ExchangeError, Place, TooLongError, exchange
from pinio.testing import CA, Connection, Server, http, silent


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[Place]:
    """A plain server that answers every request with the same bytes, and ends."""

    def answer(connection: Connection) -> None:
        connection.recv(65_536)
        connection.sendall(text)

    async with Server(plain=True, handler=answer) as server:
        yield Place.of(f"http://127.0.0.1:{server.port}/", plaintext=True)


async def ask(place: Place, most: int = 10) -> Answer:
    return await exchange(place, "/", policy=None, most=most, timeout=60)


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", 200, b"hi"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nno", 404, b"no"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, b"hi"),
    ],
)  # fmt: skip
async def test_an_answer(text: bytes, status: int, body: bytes) -> None:
    async with answering(text) as place:
        assert await ask(place) == Answer(status, body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        CHUNKED,
        CHUNKED + b"\r\n",
        CHUNKED + b"+1\r\nh\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nhxx0\r\n\r\n",
        CHUNKED + b"1\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_an_error(text: bytes) -> None:
    async with answering(text) as place:
        with pytest.raises(ExchangeError):
            await ask(place)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n12345678901",
        CHUNKED + b"a\r\n1234567890\r\n1\r\n1\r\n0\r\n\r\n",
        CHUNKED + b"ffffffff\r\n",
    ],
)
async def test_a_body_that_is_too_long_is_an_error(text: bytes) -> None:
    async with answering(text) as place:
        with pytest.raises(TooLongError):
            await ask(place)


async def test_a_request_has_its_body_and_headers() -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    policy = ca.rebase(Policy({"localhost": [leaf.pin, ca.pin]}))
    async with Server(leaf, handler=http()) as server:
        place = Place.of(f"https://localhost:{server.port}/base", plaintext=False)
        answer = await exchange(
            place, "/x", policy=policy, most=1000, timeout=60, method="POST", body=b"hi",
            headers={"Content-Type": "text/plain"},
        )  # fmt: skip
        assert answer.status == 200 and place.path == "/base"
        (record,) = server.connections
        (request,) = record.requests
        assert (request.method, request.target, request.body) == ("POST", "/x", b"hi")
        assert request.header("content-type") == "text/plain"
        assert request.header("host") == f"localhost:{server.port}"


async def test_a_request_ends_in_time() -> None:
    async with Server(plain=True, handler=silent) as server:
        place = Place.of(f"http://127.0.0.1:{server.port}/", plaintext=True)
        with pytest.raises(TimeoutError):
            await exchange(place, "/", policy=None, most=10, timeout=0.05)


def test_a_scheme_is_the_one_that_was_said() -> None:
    with pytest.raises(PolicyError, match="https://"):
        Place.of("http://a.example/", plaintext=False)
    with pytest.raises(PolicyError, match="http://"):
        Place.of("https://a.example/", plaintext=True)
