r"""A peer that authenticates by nothing.

    client                                       impostor
           ── ClientHello: ..., anonymous suites ──▶
           ◀── ServerHello: an anonymous suite ────      RFC 5246 section A.5; likewise pre-shared keys
           ◀═════════════ encrypted ══════════════▶
    chain: none            "no certificate failed to verify"

`CERT_REQUIRED` does not help: there is no certificate to require anything of. pinio offers no such suite, and would refuse a
connection without a chain, in every mode.
"""

from __future__ import annotations

import ssl

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import NoVerifiedChainError, PinVerificationError
from pinio.testing import Server
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import State
from tests.tls.cast import GENUINE, IDENTITY, ROOT, SPARE, App, Told, end_of, pinned
from tests.tls.memory import MemoryPeer, context_with, drive, engine_for, shake_hands, state_of


def anonymous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


def pre_shared(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("PSK")
    context.set_psk_server_callback(lambda identity: b"a secret")  # type: ignore[attr-defined]
    return context


def test_a_client_that_offers_it_requires_nothing() -> None:
    context = ROOT.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    assert context.verify_mode is ssl.CERT_REQUIRED
    client = MemoryPeer(context, server_hostname="localhost")
    shake_hands(client, MemoryPeer(anonymous()))
    assert client.tls.getpeercert(binary_form=True) is None
    assert peer.verified_chain(client.tls) is None


POLICIES = {
    "enforce": pinned(),
    "report-only": pinned(mode="report-only"),
    "leaf-pin": pinned(trust="leaf-pin"),
    "no pins": Policy(
        {"other.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
async def test_nobody_agrees_with_a_pinned_client(policy: str) -> None:
    with Server(anonymous()) as server:
        with pytest.raises(ssl.SSLError) as error:
            await pinio.create_connection(App, "localhost", server.port, policy=POLICIES[policy])
        assert not isinstance(error.value, PinVerificationError)
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


@pytest.mark.skipif(
    not hasattr(ssl.SSLContext, "set_psk_server_callback"), reason="Python has no PSK before 3.13"
)
@pytest.mark.parametrize("policy", POLICIES)
async def test_nor_over_a_shared_key(tls_version: ssl.TLSVersion, policy: str) -> None:
    with Server(pre_shared(tls_version)) as server:
        with pytest.raises(ssl.SSLError):
            await pinio.create_connection(App, "localhost", server.port, policy=POLICIES[policy])
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


@pytest.mark.parametrize("policy", ["enforce", "report-only", "leaf-pin"])
def test_and_if_they_did_the_missing_chain_would_refuse(policy: str) -> None:
    context = context_with(IDENTITY, POLICIES[policy])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    told, server = Told(), MemoryPeer(anonymous())
    engine = engine_for(POLICIES[policy], context=context, observer=told)
    with pytest.raises(NoVerifiedChainError):
        drive(engine, server)
    assert told.kinds == ["Refusal"]
    assert state_of(engine) is State.REFUSED
