"""The loop's side of a connection by itself, over a transport that only notes what it is told."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from unittest.mock import Mock

import pytest

from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.tls.establish import Timeouts, pair
from pinio.tls.protocol import PinnedProtocol
from tests.tls.cast import GENUINE, MISPINNED, App, pinned
from tests.tls.memory import MemoryPeer, engine_for


class Lower:
    """A plain transport that is connected to nobody."""

    def __init__(self, policy: Policy, app: asyncio.BaseProtocol) -> None:
        self.transport = Mock(spec=asyncio.Transport)
        self.transport.is_closing.return_value = False
        self.protocol: PinnedProtocol
        self.protocol, _ = pair(asyncio.get_running_loop(), engine_for(policy), app, Timeouts())
        self.protocol.connection_made(self.transport)

    def sent(self) -> bytes:
        """What was written since the last time."""
        calls = self.transport.write.call_args_list
        data = b"".join(cast(bytes, call.args[0]) for call in calls)
        calls.clear()
        return data

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


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
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
    while not server.finished:
        lower.receive(server.answer(lower.sent()))
        await asyncio.sleep(0)  # with TLS 1.3 the last flight leaves in the next turn
    await lower.protocol.opened()
    assert server.receive(lower.sent()) == app.opening
    lower.transport.abort.assert_not_called()
    lower.protocol.abort()
    lower.protocol.connection_lost(None)
    assert app.calls == ["connection_made", "connection_lost"]
