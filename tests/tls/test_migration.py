"""Programs written for asyncio, changed as docs/howto/from-asyncio.md says: the prefix of one call, and `policy=`.

Each is run as it stands, then changed by text and run again. What it returns is the same, on every loop; and where the server has
a certificate from a trusted CA with another key, asyncio's program speaks to it, and pinio's does not.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import ssl
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.testing import Server, starttls
from tests.tls.cast import GENUINE, ISSUER, ROOT, end_of, pinned

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
    code = compile(source, "program", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
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
