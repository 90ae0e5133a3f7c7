"""One HTTP/1.1 exchange over a connection of its own: bounded in time and bytes, no redirect, no proxy."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, parse_headers
from typing import Final
from urllib.parse import urlsplit

from pinio.core.anchors import Anchors
from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.tls.connect import open_connection
from pinio.typing import Observer, PolicyLike

MAX_HEAD: Final = 65_536
"""Longest status line and headers of an answer, in bytes."""
_MOST_INTERIM: Final = 8  # answers with a status of 1xx before the final one


class ExchangeError(OSError):
    """What came back is no HTTP answer, or longer than it may be."""


class TooLongError(ExchangeError):
    """The body is longer than it may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes, out of a URL that was checked."""

    host: str
    port: int
    tls: bool
    authority: str
    path: str
    """As it stands in the URL; the base of what is asked for."""

    @classmethod
    def of(cls, url: str, *, plaintext: bool) -> Place:
        """Read a URL. Raises `PolicyError`; "http" is one unless `plaintext`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise PolicyError(f"{url!r} is no URL: {error}") from None
        schemes = ("http",) if plaintext else ("https",)
        if parts.scheme not in schemes or not parts.hostname:
            raise PolicyError(f"{url!r} begins with {schemes[0]}://, and names a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise PolicyError(f"{url!r} has no user, query or fragment")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise PolicyError(f"{url!r} is not ASCII without spaces")
        tls = parts.scheme == "https"
        return cls(
            parts.hostname, port or (443 if tls else 80), tls, parts.netloc, parts.path or "/"
        )


def by_ca_alone(anchors: Anchors, what: str) -> Policy:
    """A policy under which the CA decides, for one host without pins: `what`, in words."""
    return Policy(
        {},
        unpinned="allow",
        unpinned_anchors=anchors,
        no_hosts=f"{what} is verified by its CA alone",
    )


async def exchange(
    place: Place,
    path: str,
    *,
    policy: PolicyLike | None,
    most: int,
    timeout: float,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    observer: Observer | None = None,
) -> Answer:
    """Ask once.

    Args:
        place: where.
        path: of the request.
        policy: what decides about the connection; None for plaintext alone.
        most: longest body of the answer, in bytes.
        timeout: seconds for all of it, from the look-up of the name to the last byte.
        method: of the request.
        body: of the request; no `Content-Length` is sent with an empty one of a GET.
        headers: beside those that every request has.
        observer: hears what was decided about the connection.

    Raises `OSError`: also as `TimeoutError`, `PinVerificationError` or `ExchangeError`.
    """
    async with asyncio.timeout(timeout):
        if place.tls:
            assert policy is not None, "TLS without a policy"  # noqa: S101  callers decide before
            reader, writer = await open_connection(
                place.host, place.port, policy=policy, limit=MAX_HEAD, observer=observer
            )
        else:
            reader, writer = await asyncio.open_connection(place.host, place.port, limit=MAX_HEAD)
        try:
            writer.write(_head(place, path, method, body, headers or {}) + body)
            await writer.drain()
            answer = await _answer(reader, most)
        except BaseException:
            writer.transport.abort()
            raise
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return answer


def _head(place: Place, path: str, method: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    every = {
        "Host": place.authority,
        "User-Agent": "pinio",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if body or method != "GET":
        every["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**every, **headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _answer(reader: asyncio.StreamReader, most: int) -> Answer:
    try:
        for _ in range(_MOST_INTERIM):
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _parse(head)
            if status >= 200:
                return Answer(status, await _body(reader, status, headers, most))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, HTTPException) as error:
        raise ExchangeError(f"no whole HTTP answer: {error}") from None
    raise ExchangeError("no final HTTP answer")


def _parse(head: bytes) -> tuple[int, HTTPMessage]:
    text = io.BytesIO(head)
    version, _, rest = text.readline().decode("latin-1").partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
        raise ExchangeError("no HTTP/1.1 answer")
    return int(code), parse_headers(text)


async def _body(
    reader: asyncio.StreamReader, status: int, headers: HTTPMessage, most: int
) -> bytes:
    if status in (204, 304):
        return b""
    if headers.get("Transfer-Encoding", "").strip().lower() == "chunked":
        return await _chunks(reader, most)
    length = headers.get("Content-Length")
    if length is None:
        data = await _until_the_end(reader, most)
    elif not (length.isascii() and length.isdigit()):
        raise ExchangeError("Content-Length is no number")
    elif len(length) > 15 or int(length) > most:
        raise TooLongError(f"{length[:15]} bytes, and at most {most} are read")
    else:
        data = await reader.readexactly(int(length))
    return data


async def _until_the_end(reader: asyncio.StreamReader, most: int) -> bytes:
    data = bytearray()
    while part := await reader.read(65_536):
        data += part
        if len(data) > most:
            raise TooLongError(f"more than {most} bytes")
    return bytes(data)


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    """RFC 9112 section 7.1; trailers are not read, since the connection ends here."""
    data = bytearray()
    while True:
        line = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        if not line or len(line) > 8 or set(line) - set(b"0123456789abcdefABCDEF"):
            raise ExchangeError("a chunk without a length")
        size = int(line, 16)
        if size == 0:
            return bytes(data)
        if len(data) + size > most:
            raise TooLongError(f"more than {most} bytes")
        data += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ExchangeError("a chunk that is longer than it says")
