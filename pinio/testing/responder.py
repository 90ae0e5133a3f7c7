"""A small HTTP/1.1 server side that keeps every request it is asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import TYPE_CHECKING

from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler
from pinio.testing.record import RECORD_LIMIT, Request

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LINE_LIMIT = 65_536


def http(
    body: bytes | Callable[[Request], bytes] = b"ok",
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> Handler:
    """A small HTTP/1.1 responder with keep-alive; every request goes to `record.requests`.

    Args:
        body: the answer to every request, or a callable that makes it from the request.
        status: the status code of every answer.
        headers: sent in addition to `Content-Length`.
    """
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{extra}Content-Length: "

    def handler(connection: Connection) -> None:
        incoming: io.BufferedReader = io.BufferedReader(_Readable(connection))
        while (request := read_request(connection, incoming)) is not None:
            connection.record.requests.append(request)
            content = body(request) if callable(body) else body
            answer = f"{head}{len(content)}\r\n\r\n".encode("latin-1")
            connection.sendall(answer if request.method == "HEAD" else answer + content)
            if (request.header("connection") or "").lower() == "close":
                return

    return handler


def read_request(connection: Connection, incoming: io.BufferedReader) -> Request | None:
    """Read the next HTTP/1.1 request; `None` at the end of the connection.

    Raises:
        ConnectionError: what arrived is no HTTP request, or is larger than a test has any business
            to send.
    """
    line = incoming.readline(_LINE_LIMIT)
    if not line:
        return None
    try:
        method, target, version = line.decode("ascii").split()
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        request = Request(method, target, tuple(parse_headers(incoming).items()))
        if (request.header("expect") or "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return replace(request, body=_body(incoming, request))
    except (ValueError, HTTPException) as error:
        raise ConnectionAbortedError(f"not an HTTP request: {line[:80]!r}: {error}") from error


def _body(incoming: io.BufferedReader, request: Request) -> bytes:
    if (request.header("transfer-encoding") or "").lower() != "chunked":
        return _exactly(incoming, int(request.header("content-length") or 0))
    body = bytearray()
    while size := int(incoming.readline(_LINE_LIMIT).split(b";")[0], 16):
        body += _exactly(incoming, size)
        incoming.readline(_LINE_LIMIT)
        if len(body) > RECORD_LIMIT:
            raise ValueError("the body is too large")
    parse_headers(incoming)  # trailers
    return bytes(body)


def _exactly(incoming: io.BufferedReader, size: int) -> bytes:
    if not 0 <= size <= RECORD_LIMIT:
        raise ValueError(f"a body of {size} bytes is too large")
    body = incoming.read(size)
    if len(body) < size:
        raise ValueError("the body was cut short")
    return body


class _Readable(io.RawIOBase):
    """A connection as the standard library's buffered readers want it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._connection.recv(len(view))
        view[: len(data)] = data
        return len(data)
