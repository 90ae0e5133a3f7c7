"""What a handshake's driver asks of an open connection: its sessions, and the answers it gives."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest

from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.tls.config.profile import Profile
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake.gate import SHUTDOWN, State
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, Told, pinned
from tests.tls.memory import MemoryPeer, drive

ALERT, FLIGHT = b"\x15" * 24, b"\x16" * 2000


class Open:
    """An open connection whose policy can be swapped."""

    def __init__(self, tls_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.current: Policy = pinned()
        self.cache, self.told = SessionCache(), Told()
        endpoint = self.current.endpoint("localhost", 443)
        profile = Profile.of(endpoint)
        context = inner_context(profile)
        self.handshake = Handshake.prepare(
            endpoint, profile, context, observer=self.told, resumption=self.cache, source=self
        )
        self.engine = OpenSSLEngine(context, self.handshake)
        drive(self.engine, MemoryPeer(GENUINE.server_context(tls_version=tls_version)))
        with suppress(ssl.SSLWantReadError):
            self.engine.read(1)  # the tickets of TLS 1.3
        self.outgoing = ssl.MemoryBIO()


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closing"])
def test_an_answer_is_judged_by_the_policy_in_force_now(closing: bool) -> None:
    connection = Open()
    if closing:
        connection.handshake.judge.gate.advance(SHUTDOWN)
    connection.current = pinned(ABSENT)
    connection.outgoing.write(FLIGHT)
    with pytest.raises(PinMismatchError):
        connection.handshake.check_answer(connection.outgoing)
    assert connection.outgoing.pending == 0
    assert connection.told.kinds == ["Permit", "Refusal"]


def test_an_answer_over_a_socket_is_judged_before_it_exists() -> None:
    connection = Open()
    connection.current = pinned(ABSENT)
    with pytest.raises(PinMismatchError):
        connection.handshake.check_answer(None)


def test_an_alert_is_no_answer() -> None:
    connection = Open()
    connection.current = pinned(ABSENT)
    connection.outgoing.write(ALERT)
    connection.handshake.check_answer(connection.outgoing)
    assert connection.outgoing.read() == ALERT
    assert connection.told.kinds == ["Permit"]


@pytest.mark.parametrize("outgoing", [None, FLIGHT], ids=["socket", "BIO"])
def test_a_connection_that_another_thread_has_closed_is_not_judged(outgoing: bytes | None) -> None:
    """There is nothing left to protect, and no second refusal to tell."""
    connection = Open()
    connection.current = pinned(ABSENT)
    connection.handshake.judge.gate.fail()
    if outgoing is not None:
        connection.outgoing.write(outgoing)
    connection.handshake.check_answer(None if outgoing is None else connection.outgoing)
    assert connection.handshake.judge.gate.state is State.CLOSED
    assert connection.told.kinds == ["Permit"]


def test_a_connection_whose_tls_fails_takes_its_session_with_it(
    tls_version: ssl.TLSVersion,
) -> None:
    """RFC 5246 section 7.2.2: a session must not be resumed after a fatal alert."""
    connection = Open(tls_version)
    assert connection.engine.heard()
    assert len(connection.cache) == 1
    connection.engine.incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac") as failed:
        connection.engine.read(100)
    assert connection.engine.invalidate_session(failed.value) is None
    assert len(connection.cache) == 0


def test_a_connection_that_ends_leaves_its_session(tls_version: ssl.TLSVersion) -> None:
    connection = Open(tls_version)
    assert connection.engine.heard()
    connection.engine.incoming.write_eof()
    with pytest.raises(ssl.SSLEOFError) as ended:
        connection.engine.read(100)
    assert connection.engine.invalidate_session(ended.value) is None
    assert len(connection.cache) == 1
