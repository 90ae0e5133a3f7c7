"""Programs written for asyncio, changed as docs/howto/from-asyncio.md says: the prefix of one call, and `policy=`.

Each is run as it stands, then changed by text and run again. What it returns is the same, on every
loop; and where the server has a certificate from a trusted CA with another key, asyncio's program
speaks to it, and pinio's does not.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import ssl
import weakref
from pathlib import Path
from typing import Any, cast

import pytest

import pinio
from pinio.testing import RawServer, Server, silent, starttls
from tests.tls.cast import GENUINE, ISSUER, ROOT, App, end_of, pinned

IMPOSTOR = ISSUER.issue("localhost")

STREAMS = """
reader, writer = await asyncio.open_connection("localhost", port, ssl=True, limit=1000)
writer.write(b"question\\n")
await writer.drain()
answer = [await reader.readline(), writer.get_extra_info("cipher")[1], writer.is_closing()]
writer.write_eof() if writer.can_write_eof() else writer.close()
await writer.wait_closed()
answer.append(writer.is_closing())
"""

PROTOCOLS = """
class Client(asyncio.Protocol):
    def __init__(self):
        self.calls = []
        self.over = loop.create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport
        transport.write(b"question")

    def data_received(self, data):
        self.calls.append(data)
        self.transport.close()

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, error):
        self.calls.append(error)
        self.over.set_result(None)

transport, client = await loop.create_connection(Client, "localhost", port, ssl=True, ssl_handshake_timeout=30)
await client.over
answer = [client.calls, transport.is_closing(), transport.get_extra_info("peercert")["issuer"]]
"""

STARTTLS = """
class Mail(asyncio.Protocol):
    def __init__(self):
        self.heard = asyncio.Queue()
        self.over = loop.create_future()

    def data_received(self, data):
        self.heard.put_nowait(data)

    def connection_lost(self, error):
        self.over.set_result(error)

plain, mail = await loop.create_connection(Mail, "localhost", port)
answer = [await mail.heard.get()]
plain.write(b"STARTTLS\\r\\n")
answer.append(await mail.heard.get())
transport = await loop.start_tls(plain, mail, context, server_hostname="localhost")
transport.write(b"EHLO")
answer.append(await mail.heard.get())
transport.close()
answer.append(await mail.over)
"""

UPGRADE = """
reader, writer = await asyncio.open_connection("localhost", port)
answer = [await reader.readline()]
writer.write(b"STARTTLS\\r\\n")
answer.append(await reader.readline())
await writer.start_tls(context, server_hostname="localhost")
writer.write(b"EHLO")
answer.append(await reader.readexactly(4))
writer.close()
await writer.wait_closed()
"""

CHANGES = {
    "open_connection": (STREAMS, ("asyncio.open_connection(", "pinio.open_connection("), ("ssl=True", "ssl=True, policy=policy")),
    "create_connection": (
        PROTOCOLS, ("loop.create_connection(", "pinio.create_connection("), ("ssl=True", "ssl=True, policy=policy"),
    ),
    "start_tls": (STARTTLS, ("loop.start_tls(", "pinio.start_tls("), ("context,", "policy=policy,")),
    "upgrade": (
        UPGRADE, ("await writer.start_tls(", "reader, writer = await pinio.upgrade(reader, writer, "),
        ("context,", "policy=policy,"),
    ),
}  # fmt: skip
"""Programs, and what the page says to change in each."""

programs = pytest.mark.parametrize("name", CHANGES)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """asyncio's `ssl=True` means the system's CAs; let ours be one of them."""
    cas = tmp_path / "cas.pem"
    cas.write_text(ROOT.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(cas))


async def outcome(source: str, port: int) -> object:
    """What a program sets `answer` to."""
    code = compile(
        source, "program", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    names: dict[str, Any] = {
        "asyncio": asyncio, "pinio": pinio, "loop": asyncio.get_running_loop(), "port": port, "policy": pinned(),
        "context": ssl.create_default_context(), "__name__": "program",
    }  # fmt: skip
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
    return names["answer"]


def changed(name: str) -> str:
    source, *changes = CHANGES[name]
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


def server_for(name: str, **options: Any) -> Server:
    return Server(**options, starttls=starttls() if name in ("start_tls", "upgrade") else None)


@programs
async def test_a_program_works_as_before(name: str, tls_version: ssl.TLSVersion) -> None:
    async with server_for(name, identity=GENUINE, tls_version=tls_version) as server:
        before = await outcome(CHANGES[name][0], server.port)
        assert await outcome(changed(name), server.port) == before
        await end_of(server)
        first, second = server.connections
        assert first.application_bytes == second.application_bytes != b""


@programs
async def test_a_program_is_pinned_now(name: str, tls_version: ssl.TLSVersion) -> None:
    async with server_for(name, identity=IMPOSTOR, tls_version=tls_version) as server:
        await outcome(CHANGES[name][0], server.port)
        with pytest.raises(pinio.PinMismatchError):
            await outcome(changed(name), server.port)
        await end_of(server)
        first, second = server.connections
        assert first.application_bytes and not second.application_bytes
        assert not second.handshake_finished


# What docs/howto/from-asyncio.md lists as different


class WithGetBuffer(asyncio.BaseProtocol):
    """What uvloop takes for a `BufferedProtocol`, and asyncio does not."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, _size: int) -> bytearray:
        self.calls.append("get_buffer")
        return bytearray(100)

    def buffer_updated(self, _size: int) -> None:
        self.calls.append("buffer_updated")

    def data_received(self, _data: bytes) -> None:
        self.calls.append("data_received")

    def eof_received(self) -> None:
        self.calls.append("eof_received")

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set_result(None)


async def test_a_buffer_of_its_own_is_for_a_buffered_protocol() -> None:
    with Server(GENUINE, handler=lambda connection: connection.sendall(b"hello")) as server:
        _, app = await pinio.create_connection(
            WithGetBuffer, "localhost", server.port, policy=pinned()
        )
        await app.lost
    assert app.calls == ["data_received", "eof_received"]


async def test_a_transport_takes_no_attributes() -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            asyncio.Protocol, "localhost", server.port, policy=pinned()
        )
        with pytest.raises(AttributeError, match="user"):
            transport.user = "somebody"  # type: ignore[attr-defined]
        assert weakref.ref(transport)() is transport
        transport.abort()


async def test_the_words_of_a_timeout() -> None:
    async with RawServer(silent) as server:
        with pytest.raises(
            ConnectionAbortedError, match=r"^the TLS handshake took longer than 0\.1 seconds$"
        ):
            await pinio.open_connection(
                "localhost", server.port, policy=pinned(), ssl_handshake_timeout=0.1
            )


async def test_what_arrives_during_a_pause_waits_for_its_end() -> None:
    """And the end of the connection behind it, on every loop."""

    class Paused(App):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            cast(asyncio.Transport, transport).pause_reading()

    with Server(GENUINE, handler=lambda connection: connection.sendall(b"x" * 100_000)) as server:
        transport, app = await pinio.create_connection(
            lambda: Paused(b""), "localhost", server.port, policy=pinned()
        )
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert app.calls == ["connection_made"]
        transport.resume_reading()
        await app.lost
        assert (len(app.received), app.calls[-2:]) == (100_000, ["eof_received", "connection_lost"])
