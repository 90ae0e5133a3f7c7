"""The loop's side of a connection by itself, over a transport that only notes what it is told."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from unittest.mock import Mock

import pytest

from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.tls.config.profile import Profile
from pinio.tls.connection.establish import Timeouts, make_connection
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from tests.tls.cast import GENUINE, MISPINNED, App, Told, pinned
from tests.tls.memory import MemoryPeer
from tests.tls.through import Swappable


class Lower:
    """A plain transport that is connected to nobody."""

    def __init__(self, policy: Policy | Swappable, app: asyncio.BaseProtocol) -> None:
        self.transport = Mock(spec=asyncio.Transport)
        self.transport.is_closing.return_value = False
        endpoint = policy.current.endpoint("localhost", 443)
        judge = Judge(endpoint, Profile.of(endpoint), Told(), source=policy)
        engine = OpenSSLEngine(inner_context(judge.profile), Handshake(judge))
        self.protocol, self.upper = make_connection(
            asyncio.get_running_loop(), engine, app, Timeouts()
        )
        self.protocol.connection_made(self.transport)

    def sent(self) -> bytes:
        """What was written since the last time."""
        calls = self.transport.write.call_args_list
        data = b"".join(cast(bytes, call.args[0]) for call in calls)
        calls.clear()
        return data

    async def shake_hands(self, server: MemoryPeer) -> None:
        while not server.finished:
            self.receive(server.answer(self.sent()))
            await asyncio.sleep(0)  # with TLS 1.3 the last flight leaves in the next turn
        await self.protocol.opened()

    def receive(self, data: bytes) -> None:
        while data:
            buffer = self.protocol.get_buffer(-1)
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            self.protocol.buffer_updated(count)
            data = data[count:]


@pytest.fixture
def server(tls_version: ssl.TLSVersion) -> MemoryPeer:
    return MemoryPeer(GENUINE.server_context(tls_version=tls_version))


async def test_P1_a_refusal_aborts_in_the_turn_in_which_it_is_known(server: MemoryPeer) -> None:
    """Whether somebody waits for the connection or not; and nothing is written from then on."""
    app = App()
    lower = Lower(MISPINNED, app)
    lower.receive(server.answer(lower.sent()))
    lower.transport.abort.assert_called_once()
    assert lower.sent() == b""
    lower.receive(b"\x17\x03\x03\x00\x01x")
    lower.protocol.eof_received()
    assert lower.sent() == b""
    lower.protocol.connection_lost(None)
    with pytest.raises(PinMismatchError):
        await lower.protocol.opened()
    assert app.calls == []
    assert not server.finished


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"]
)
async def test_what_is_no_handshake_aborts_in_the_same_turn(words: bytes) -> None:
    app = App()
    lower = Lower(pinned(), app)
    lower.sent()
    lower.receive(words)
    lower.transport.abort.assert_called_once()
    lower.protocol.connection_lost(None)
    with pytest.raises(ssl.SSLError):
        await lower.protocol.opened()
    assert app.calls == []


async def test_an_end_within_the_handshake_aborts_in_the_same_turn(server: MemoryPeer) -> None:
    app = App()
    lower = Lower(pinned(), app)
    lower.receive(server.answer(lower.sent())[:100])
    assert not lower.protocol.eof_received(), "there is nothing to stay half open for"
    lower.transport.abort.assert_called_once()
    lower.protocol.connection_lost(None)
    with pytest.raises(ConnectionResetError, match="during the TLS handshake"):
        await lower.protocol.opened()
    assert app.calls == []


async def test_the_positive_control(server: MemoryPeer) -> None:
    """The same wires with a pin that matches."""
    app = App()
    lower = Lower(pinned(), app)
    await lower.shake_hands(server)
    assert server.receive(lower.sent()) == app.opening
    lower.transport.abort.assert_not_called()
    lower.protocol.abort()
    lower.protocol.connection_lost(None)
    assert app.calls == ["connection_made", "connection_lost"]


async def test_P5_after_a_swap_that_refuses_nothing_is_written(server: MemoryPeer) -> None:
    """The connection is there still; not a byte of what is written to it leaves."""
    source = Swappable(pinned())
    lower = Lower(source, App(b""))
    await lower.shake_hands(server)
    lower.upper.write(b"before")
    assert server.receive(lower.sent()) == b"before"
    source.current = MISPINNED
    with pytest.raises(PinMismatchError):
        lower.upper.recheck()
    for words in (b"the password", b"is swordfish" * 10_000):
        lower.upper.write(words)
    lower.upper.writelines([b"and", b"more"])
    assert lower.sent() == b""
    lower.protocol.connection_lost(None)


async def test_what_is_written_after_closing_is_ignored(server: MemoryPeer) -> None:
    """As asyncio does; the goodbye is waited for all the same."""
    app = App(b"")
    lower = Lower(pinned(), app)
    await lower.shake_hands(server)
    lower.sent()
    lower.upper.close()
    assert lower.sent(), "a close_notify"
    lower.upper.write(b"too late")
    assert lower.sent() == b""
    lower.transport.abort.assert_not_called()
    lower.protocol.connection_lost(None)
    assert await app.lost is None
