"""A small HTTP/1.1 server side that keeps every request it is asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import TYPE_CHECKING

from pinio.testing.handlers import Handler
from pinio.testing.listener import Connection
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
    """The next HTTP/1.1 request, or `None` at the end of the connection.

    Raises:
        ConnectionError: what arrived is no HTTP request, or is larger than a test has any business to send.
    """
    line = incoming.readline(_LINE_LIMIT)
    if not line:
        return None
    try:
        method, target, _version = line.decode("latin-1").split()
        fields = parse_headers(incoming)
    except (ValueError, HTTPException) as error:
        raise ConnectionAbortedError(f"not an HTTP request: {line[:80]!r}") from error
    headers = tuple(fields.items())
    request = Request(method, target, headers)
    if (request.header("expect") or "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        return Request(method, target, headers, _chunked(incoming))
    return Request(method, target, headers, _exactly(incoming, int(request.header("content-length") or 0)))


def _chunked(incoming: io.BufferedReader) -> bytes:
    body = bytearray()
    while size := int(incoming.readline(_LINE_LIMIT).split(b";")[0], 16):
        body += _exactly(incoming, size)
        incoming.readline(_LINE_LIMIT)
        if len(body) > RECORD_LIMIT:
            raise ConnectionAbortedError("the request body is too large")
    while incoming.readline(_LINE_LIMIT).strip():  # trailers
        pass
    return bytes(body)


def _exactly(incoming: io.BufferedReader, size: int) -> bytes:
    if not 0 <= size <= RECORD_LIMIT:
        raise ConnectionAbortedError(f"a request body of {size} bytes is too large")
    body = incoming.read(size)
    if len(body) < size:
        raise ConnectionAbortedError("the request body was cut short")
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
