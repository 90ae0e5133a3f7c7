"""A TLS server of our own, for what nginx cannot do and for machines without nginx.

Run as a process of its own.

One port for each TLS version and key kind; each speaks enough HTTP/1.1 for a small answer, and
three verbs for streams, each a line: `ECHO`, `DOWN <bytes>` and `UP <bytes>`. On stdin it reads
what it needs as one line of JSON; it answers with its ports, and ends when stdin does, so that it
never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

from benchmarks.machine import SERVER, allow_files, stay_on
from benchmarks.target import ADDRESS, BODY, Identity

PIECE = b"\x5a" * 65536


class Peer(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._verb: Callable[[bytes], None] = self._first
        self._head = b""
        self._wanted = 0
        self._pieces: Iterator[bytes] = iter(())
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._verb(data)

    def _first(self, data: bytes) -> None:
        self._head += data
        line, end, rest = self._head.partition(b"\n")
        if not end:
            return
        verb, *arguments = line.split()
        if verb == b"GET":
            self._verb = self._request
            self._request(b"")
        elif verb == b"ECHO":
            self._verb = self._transport.write
            if rest:
                self._verb(rest)
        elif verb == b"DOWN":
            self._verb = self._ignore
            self._pieces = _pieces(int(arguments[0]))
            self._send()
        elif verb == b"UP":
            self._verb = self._count
            self._wanted = int(arguments[0])
            self._count(rest)
        else:
            self._transport.abort()

    def _request(self, data: bytes) -> None:
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            last = b"connection: close" in head.lower()
            self._transport.write(self._answer(last))
            if last:
                self._transport.close()
                return

    def _answer(self, last: bool) -> bytes:
        tls: ssl.SSLObject = self._transport.get_extra_info("ssl_object")
        cipher = (tls.cipher() or ("",))[0]
        text = f"{'r' if tls.session_reused else '.'} {tls.version()} {cipher} {'.' * BODY}"
        return (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(text)}\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n{text}"
        ).encode()

    def _ignore(self, data: bytes) -> None:
        """A `DOWN` may be asked for again on the same connection."""
        self._verb = self._first
        self._head = b""
        self._first(data)

    def _count(self, data: bytes) -> None:
        self._wanted -= len(data)
        if self._wanted <= 0:
            self._verb = self._first
            self._head = b""
            self._transport.write(b"done\n")

    def _send(self) -> None:
        while not self._paused and not self._transport.is_closing():
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()


def _pieces(count: int) -> Iterator[bytes]:
    for start in range(0, count, len(PIECE)):
        yield PIECE[: count - start]


def _context(identity: Identity, version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[
        f"TLSv{version.replace('.', '_')}"
    ]
    context.load_cert_chain(identity.chain, identity.key)
    return context


async def _serve(asked: list[dict[str, Any]]) -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for item in asked:
        context = _context(Identity.from_json(item["identity"]), item["version"])
        server = await loop.create_server(Peer, ADDRESS, 0, ssl=context, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until stdin ends."""
    stay_on(SERVER)
    allow_files(8192)
    asked = json.loads(sys.stdin.readline())
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        import uvloop

        new_loop = uvloop.new_event_loop
    gc.freeze()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(asked))


if __name__ == "__main__":
    main()
