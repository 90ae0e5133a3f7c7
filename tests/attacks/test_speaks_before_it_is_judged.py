r"""Bytes that arrive with the handshake.

    client                                            impostor
           ─────────────── ClientHello ──────────────▶
           ◀── its side of the handshake ∙ "220 hi" ──      one segment
    data_received(b"220 hi")
    create_connection() returns
    "is this the right key?"                                too late: the parser has run

Whoever checks a connection that `create_connection` has returned comes after the loop, which delivered what it had. With
TLS 1.3 a server may even speak before the client's Finished (RFC 8446 section 4.4.4, "0.5-RTT data").
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

import pinio
from pinio.errors import PinMismatchError
from pinio.testing import Connection, RawServer, Server
from tests.tls.cast import GENUINE, MISPINNED, ROOT, App, BufferedApp, Told, end_of, pinned
from tests.tls.memory import MemoryPeer
from tests.tls.messages import vector

GREETING = b"220 hi"


def test_a_check_afterwards_comes_too_late() -> None:
    async def check_afterwards(port: int) -> bytes:
        loop = asyncio.get_running_loop()
        transport, app = await loop.create_connection(
            lambda: App(b""), "localhost", port, ssl=ROOT.client_context()
        )
        received = bytes(
            app.received
        )  # what the application has acted upon before anybody could check
        transport.abort()
        await app.lost
        return received

    with Server(GENUINE, tls_version=ssl.TLSVersion.TLSv1_2, greeting=GREETING) as server:
        assert asyncio.run(check_afterwards(server.port)) == GREETING


@pytest.mark.parametrize("kind", [App, BufferedApp])
async def test_early_bytes_wait_for_the_verdict(
    tls_version: ssl.TLSVersion, kind: type[App]
) -> None:
    with Server(GENUINE, tls_version=tls_version, greeting=GREETING) as server:
        refused = kind()
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                lambda: refused, "localhost", server.port, policy=MISPINNED, observer=Told()
            )
        await end_of(server)
        assert server.application_bytes == b""
        assert refused.calls == []
        transport, permitted = await pinio.create_connection(
            kind, "localhost", server.port, policy=pinned()
        )
        assert (await permitted.has_received(len(GREETING))).startswith(GREETING)
        assert permitted.calls[:2] == ["connection_made", "data_received"]
        transport.abort()


class HalfRoundTrip:
    """A TLS 1.3 server whose first words are in the segment of its Finished, sealed by hand (RFC 8446 section 5.2)."""

    def __init__(self, folder: Path) -> None:
        self.context = GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3)
        self.key_log = folder / "keys"
        self.context.keylog_filename = str(self.key_log)
        self.heard_the_client_finish = False

    def __call__(self, connection: Connection) -> None:
        server = MemoryPeer(self.context)
        flight = server.answer(connection.recv())
        connection.sendall(flight + self._sealed(GREETING))
        while not server.finished and (data := connection.recv()):
            server.answer(data)
        self.heard_the_client_finish = server.finished

    def _sealed(self, data: bytes) -> bytes:
        lines = map(str.split, self.key_log.read_text("ascii").splitlines())
        secret = next(
            bytes.fromhex(line[2]) for line in lines if line[:1] == ["SERVER_TRAFFIC_SECRET_0"]
        )
        header = b"\x17\x03\x03" + (len(data) + 1 + 16).to_bytes(2)
        # The first record has number 0, so that its nonce is the initialization vector itself.
        return header + AESGCM(_expand(secret, "key", 32)).encrypt(
            _expand(secret, "iv", 12), data + b"\x17", header
        )


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label of the suite TLS_AES_256_GCM_SHA384 (RFC 8446 section 7.1)."""
    info = length.to_bytes(2) + vector(1, f"tls13 {label}".encode()) + vector(1, b"")
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)


async def test_bytes_before_the_clients_finished_wait_too(tmp_path: Path) -> None:
    script = HalfRoundTrip(tmp_path)
    with RawServer(script) as server:
        refused = App()
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                lambda: refused, "localhost", server.port, policy=MISPINNED, observer=Told()
            )
        await end_of(server)
        assert refused.calls == []
        assert not script.heard_the_client_finish


async def test_they_are_delivered_once_it_is_permitted(tmp_path: Path) -> None:
    with RawServer(HalfRoundTrip(tmp_path)) as server:
        transport, app = await pinio.create_connection(
            lambda: App(b""), "localhost", server.port, policy=pinned()
        )
        assert await app.has_received(len(GREETING)) == GREETING
        transport.abort()
        await app.lost
