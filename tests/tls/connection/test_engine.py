"""What leaves, and when: every flight in the test's hand."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest

from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.errors import PinMismatchError, PinVerificationError
from pinio.tls.handshake.gate import State
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ISSUER, MISPINNED, ROOT, Told, pinned
from tests.tls.memory import MemoryPeer, context_with, drive, engine_for, state_of
from tests.tls.messages import ClientHello


def asking(tls_version: ssl.TLSVersion) -> MemoryPeer:
    """The genuine server, which asks for a client certificate."""
    return MemoryPeer(GENUINE.server_context(tls_version=tls_version, client_ca=ROOT))


def test_P2_a_permitted_peer_gets_the_client_certificate(tls_version: ssl.TLSVersion) -> None:
    policy, server = pinned(), asking(tls_version)
    drive(engine_for(policy, context=context_with(IDENTITY, policy)), server)
    assert server.client_certificate == IDENTITY.der


@pytest.mark.parametrize(
    "policy",
    [MISPINNED, pinned(ABSENT, trust="leaf-pin"), pinned(policy={"deny": [ISSUER.pin]})],
    ids=["pkix", "leaf-pin", "denied"],
)
def test_P2_a_refused_peer_gets_the_client_hello_and_nothing_else(
    tls_version: ssl.TLSVersion, policy: Policy
) -> None:
    server = asking(tls_version)
    engine = engine_for(policy, context=context_with(IDENTITY, policy))
    engine.handshake()
    hello = engine.take()
    ClientHello.parse(hello)
    engine.incoming.write(server.answer(hello))
    with pytest.raises(PinVerificationError):
        engine.handshake()
    assert engine.take() == b""
    assert not engine.outgoing.pending
    assert not server.finished
    assert server.client_certificate is None


def test_P2_the_certificate_would_have_been_in_the_flight() -> None:
    """What the test above holds back is there: with TLS 1.2 it can be read off the flight."""
    client = MemoryPeer(ROOT.client_context(identity=IDENTITY), server_hostname="localhost")
    server = asking(ssl.TLSVersion.TLSv1_2)
    assert IDENTITY.der in client.answer(server.answer(client.answer()))


def test_P2_with_tls_1_2_the_flight_leaves_when_the_chain_is_permitted_and_not_when_it_is_known() -> (
    None
):
    policy, told = pinned(), Told()
    server = asking(ssl.TLSVersion.TLSv1_2)
    engine = engine_for(policy, context=context_with(IDENTITY, policy), observer=told)
    engine.handshake()
    engine.incoming.write(server.answer(engine.take()))
    assert not engine.handshake()
    assert state_of(engine) is State.PERMITTED
    assert IDENTITY.der in engine.take()
    assert told == []


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_flight_in_pieces_is_judged_the_same(tls_version: ssl.TLSVersion, size: int) -> None:
    for policy, verdict in ((pinned(), "Permit"), (MISPINNED, "Refusal")):
        told = Told()
        engine, server = engine_for(policy, observer=told), asking(tls_version)
        engine.handshake()
        flight = server.answer(engine.take())
        for at in range(0, len(flight), size):
            engine.incoming.write(flight[at : at + size])
            try:
                engine.handshake()
            except PinMismatchError:
                break
        assert state_of(engine) is not State.HANDSHAKING
        if verdict == "Refusal":
            assert told.kinds == [verdict]
            assert engine.take() == b""


def test_with_tls_1_3_a_chain_is_not_judged_before_the_peer_has_proven_its_key() -> None:
    """The chain can be read as soon as it has arrived, one message before the signature over the handshake."""
    told = Told()
    server = MemoryPeer(GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3))
    engine = engine_for(pinned(), observer=told)
    engine.handshake()
    flight = bytearray(server.answer(engine.take()))
    flight[-1] ^= 1
    for byte in flight[:-1]:
        engine.incoming.write(bytes((byte,)))
        assert not engine.handshake()
        assert state_of(engine) is State.HANDSHAKING
    engine.incoming.write(flight[-1:])
    with pytest.raises(ssl.SSLError):
        engine.handshake()
    assert state_of(engine) is State.REFUSED
    assert [decision.reason for decision in told if isinstance(decision, Refusal)] == ["TLS_FAILED"]
    assert told.kinds == ["Refusal"]
    assert engine.take() == b""


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_a_changed_byte_never_turns_into_a_permit(tls_version: ssl.TLSVersion, at: int) -> None:
    told = Told()
    engine, server = (
        engine_for(pinned(), observer=told),
        MemoryPeer(GENUINE.server_context(tls_version=tls_version)),
    )
    engine.handshake()
    flight = bytearray(server.answer(engine.take()))
    flight[at] ^= 1
    engine.incoming.write(bytes(flight))
    with suppress(ssl.SSLError):  # here, or on the server's side
        engine.handshake()
        engine.incoming.write(server.answer(engine.take()))
        engine.handshake()
    assert state_of(engine) is not State.OPEN
    assert not any(isinstance(decision, Permit) for decision in told)
    assert engine.judge.gate.permit is None


def test_application_bytes_come_with_the_handshake_and_wait(tls_version: ssl.TLSVersion) -> None:
    engine, server = (
        engine_for(pinned()),
        MemoryPeer(GENUINE.server_context(tls_version=tls_version)),
    )
    engine.handshake()
    engine.incoming.write(server.answer(engine.take()))
    done = engine.handshake()
    last_flight = server.answer(engine.take())
    engine.incoming.write(last_flight + server.send(b"220 ready"))
    assert done or engine.handshake()
    assert state_of(engine) is State.OPEN
    assert engine.read(100) == b"220 ready"


@pytest.mark.parametrize(
    ("spelled", "sent"),
    [("BÜCHER", "xn--bcher-kva"), ("xn--ls8h", "xn--ls8h"), ("XN--N3H", "xn--n3h")],
)
def test_the_name_on_the_wire_is_the_canonical_one(spelled: str, sent: str) -> None:
    engine = engine_for(pinned(host=f"{sent}.pinned.test"), host=f"{spelled}.pinned.test.")
    engine.handshake()
    assert ClientHello.parse(engine.take()).server_name == f"{sent}.pinned.test"
    assert engine.tls.server_hostname == f"{sent}.pinned.test"
