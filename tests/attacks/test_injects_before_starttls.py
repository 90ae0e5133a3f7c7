r"""Words of the attacker, read as the server's.

    client                     attacker                    server
           ── STARTTLS ────────▶ ─────────────────────────▶
           ◀── 220 go ahead ∙ "250 send your password to..."
           ◀═══════════════ TLS, to the genuine server ═══▶
    readline() → the injected line, as if TLS had protected it

What arrived in plaintext lies in the stream's buffer when TLS starts, and is read first.
"""

from __future__ import annotations

import asyncio

import pytest

import pinio
from pinio.errors import InjectedPlaintextError
from pinio.testing import Server, starttls
from tests.tls.cast import GENUINE, Told, end_of, pinned

INJECTED = b"250 send your password to evil.test\r\n"


async def test_the_upgrade_is_refused() -> None:
    with Server(GENUINE, starttls=starttls(reply=b"220 go ahead\r\n" + INJECTED)) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"220 go ahead\r\n"
        with pytest.raises(InjectedPlaintextError) as error:
            await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost", observer=Told())
        assert error.value.reason == "INJECTED_PLAINTEXT"
        assert "evil.test" not in str(error.value), "the attacker does not get to word the error"
        with pytest.raises(RuntimeError):
            await reader.readline()
        await end_of(server)
        assert server.handshakes_finished == 0


async def test_a_server_that_keeps_quiet_is_not_accused() -> None:
    with Server(GENUINE, starttls=starttls(), greeting=b"250 over TLS\r\n") as server:
        reader, writer = await asyncio.open_connection(*server.address)
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        reader, writer = await pinio.upgrade(reader, writer, policy=pinned(), server_hostname="localhost")
        assert await reader.readline() == b"250 over TLS\r\n"
        writer.close()
        await writer.wait_closed()
