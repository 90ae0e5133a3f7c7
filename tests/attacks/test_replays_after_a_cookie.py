r"""The genuine certificates, without their key, in TLS 1.3.

    client                                              impostor
           ─────────────── ClientHello ─────────────────▶
           ◀── HelloRetryRequest, ServerHello, ─────────
               EncryptedExtensions, CertificateRequest,
               Certificate: THE GENUINE CHAIN
    "bytes to send, and a verified chain: judge it"
           ─────────────── ClientHello again ───────────▶
                                                           no CertificateVerify: there is no key

In TLS 1.2 a chain that is known while the client's last flight waits is proven, for the key exchange
was signed. In TLS 1.3 a chain in mid-handshake proves nothing. A verdict on it would be a false
report: "this interceptor presents your own key", or a match that never was.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import PinVerificationError, find_pin_error
from pinio.testing import Connection, RawServer
from pinio.tls.context.objects import PinnedSSLObject
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import State
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ROOT, Told, end_of, pinned
from tests.tls.doors import DOORS, Door
from tests.tls.keyless import certificate_verify, replay
from tests.tls.memory import MemoryPeer, context_with, engine_for, state_of
from tests.tls.through import context_for

POLICIES = {
    "the genuine key": pinned(),
    "another key": pinned(ABSENT),
    "report-only": pinned(ABSENT, mode="report-only"),
    "denied": pinned(policy={"deny": [GENUINE.pin]}),
    "leaf-pin": pinned(trust="leaf-pin"),
    "leaf-pin, another key": pinned(ABSENT, trust="leaf-pin"),
}
policies = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
NO_CONNECTION = (OSError,)
CHANGE_CIPHER_SPEC, HELLO, ALERT = (20, 1), (22, 1), (21, 2)
"""Content type (RFC 8446 section 5.1) and first byte of records in clear."""


class Impostor:
    """Replays the genuine chain to each client, then goes on as told, and keeps what it is answered."""

    def __init__(self, *messages: bytes, then: Callable[[Connection], None] | None = None) -> None:
        self.messages = messages
        self.answers: list[bytes] = []
        self._then = then

    def __call__(self, connection: Connection) -> None:
        connection.sendall(replay(connection.recv(), GENUINE.chain, *self.messages))
        if self._then is not None:
            self._then(connection)
        answer = b""
        while data := connection.recv():
            answer += data
            if self._then is None:
                break
        self.answers.append(answer)


IMPOSTORS = {
    "signs with noise": lambda: Impostor(certificate_verify()),
    "closes": Impostor,
    "hangs up at once": lambda: Impostor(then=lambda connection: connection.close()),
}
impostors = pytest.mark.parametrize("impostor", IMPOSTORS.values(), ids=IMPOSTORS)


def _said(answer: bytes) -> list[tuple[int, int]]:
    said = list[tuple[int, int]]()
    while answer:
        said.append((answer[0], answer[5]))
        answer = answer[5 + int.from_bytes(answer[3:5]) :]
    return said


@policies
def test_the_client_holds_a_chain_and_bytes_to_send(policy: Policy) -> None:
    """The attack works: the chain is verified in mid-handshake. And it is judged by nobody."""
    told = Told()
    engine = engine_for(policy, context=context_with(IDENTITY, policy), observer=told)
    engine.handshake()
    engine.incoming.write(replay(engine.take(), GENUINE.chain))
    assert not engine.handshake()
    assert engine.outgoing.pending
    assert (peer.verified_chain(engine.tls) or [])[0] == GENUINE.der
    assert state_of(engine) is State.HANDSHAKING
    assert told == []
    engine.incoming.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        engine.handshake()
    assert state_of(engine) is State.REFUSED
    assert engine.judge.gate.permit is None
    assert told == []


@policies
def test_nor_through_the_object_of_a_context(policy: Policy) -> None:
    told = Told()
    client = MemoryPeer(context_for(policy, observer=told), server_hostname="localhost")
    client.answer(replay(client.answer(), GENUINE.chain))
    assert isinstance(client.tls, PinnedSSLObject)
    assert client.tls.state is State.HANDSHAKING
    client.incoming.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        client.tls.do_handshake()
    assert told == []


@policies
@impostors
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_no_event_names_the_replayed_chain(
    door: Door, impostor: Callable[[], Impostor], policy: Policy, tmp_path: Path
) -> None:
    told, script = Told(), impostor()
    context = context_for(policy, observer=told, client_cert=IDENTITY.write(tmp_path))
    with RawServer(script) as server:
        with pytest.raises(NO_CONNECTION) as failed:
            async with door(context, server.port):
                pytest.fail("a peer without a key is connected")
        await end_of(server)
    error = find_pin_error(failed.value)
    assert not isinstance(error, PinVerificationError) or not error.refusal.chain
    assert not any(decision.chain for decision in told)
    assert "Permit" not in told.kinds
    for answer in script.answers:
        assert all(said in (CHANGE_CIPHER_SPEC, HELLO, ALERT) for said in _said(answer)), (
            "no flight"
        )


@impostors
@pytest.mark.parametrize("trusted", [True, False], ids=["verifies", "unknown CA"])
async def test_a_probe_does_not_show_it(impostor: Callable[[], Impostor], trusted: bool) -> None:
    """Neither as verified, nor as what the server serves: nobody knows whose chain it is."""
    with RawServer(impostor()) as server:
        with pytest.raises(NO_CONNECTION) as failed:
            await pinio.probe("localhost", server.port, anchors=ROOT.anchors if trusted else None)
        assert not isinstance(failed.value, PinVerificationError)
        await end_of(server)


async def test_a_probe_of_a_replayer_that_stalls_ends_in_time() -> None:
    def stall(connection: Connection) -> None:
        connection.sendall(replay(connection.recv(), GENUINE.chain))
        while connection.recv():
            pass

    with RawServer(stall) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await pinio.probe("localhost", server.port, anchors=ROOT.anchors, timeout=0.2)
        await end_of(server)
