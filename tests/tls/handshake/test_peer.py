"""Private names of `ssl`, watched: where one of these tests fails, `pinio.tls.handshake.peer` has to learn something new."""

from __future__ import annotations

import _ssl
import socket
import ssl
from typing import Any

import pytest

from pinio.testing import Server, silent
from pinio.tls.handshake import peer
from tests.tls.cast import GENUINE, ISSUER, ROOT
from tests.tls.keyless import replay
from tests.tls.memory import MemoryPeer, shake_hands
from tests.tls.messages import certificate, flight, server_hello

CORE_METHODS = (
    "do_handshake",
    "get_unverified_chain",
    "get_verified_chain",
    "pending",
    "read",
    "shutdown",
    "write",
)
FULL_CHAIN = [GENUINE.der, ISSUER.der, ROOT.der]


@pytest.fixture
def pair(tls_version: ssl.TLSVersion) -> tuple[MemoryPeer, MemoryPeer]:
    client = MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    return client, MemoryPeer(GENUINE.server_context(tls_version=tls_version))


def test_tripwire_the_c_object_is_under_an_ssl_object(pair: tuple[MemoryPeer, MemoryPeer]) -> None:
    client, _ = pair
    core = client.tls._sslobj  # type: ignore[attr-defined]
    assert all(callable(getattr(core, name)) for name in CORE_METHODS)
    assert peer.raw(client.tls) is core
    assert peer.has_core(client.tls)


def test_tripwire_the_c_object_is_under_an_ssl_socket() -> None:
    with Server(GENUINE, handler=silent) as server, socket.create_connection(server.address) as raw:
        raw.settimeout(60)
        with ROOT.client_context().wrap_socket(raw, server_hostname="localhost") as tls:
            core = tls._sslobj  # type: ignore[attr-defined]
            assert all(callable(getattr(core, name)) for name in CORE_METHODS)
            assert peer.raw(tls) is core
            assert peer.verified_chain(tls) == FULL_CHAIN
        assert not peer.has_core(tls), "a closed socket has none"


def test_tripwire_chains_are_certificates_that_export_der(
    pair: tuple[MemoryPeer, MemoryPeer],
) -> None:
    shake_hands(*pair)
    (leaf, *_) = pair[0].tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    assert leaf.public_bytes(_ssl.ENCODING_DER) == GENUINE.der
    assert isinstance(leaf.public_bytes(), str), "PEM is the default"


@pytest.mark.parametrize("mode", ssl.VerifyMode)
def test_tripwire_the_c_context_says_whether_it_verifies(mode: ssl.VerifyMode) -> None:
    """Whatever a subclass says."""

    class Boaster(ssl.SSLContext):
        verify_mode = property(lambda self: ssl.CERT_REQUIRED)

    descriptor: Any = _ssl._SSLContext.verify_mode
    for kind in (ssl.SSLContext, Boaster):
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        descriptor.__set__(context, mode)
        assert peer.verifies(context) == (mode is ssl.CERT_REQUIRED)


@pytest.mark.parametrize("checks", [True, False])
def test_tripwire_the_c_context_says_whether_it_checks_names(checks: bool) -> None:
    """Whatever a subclass says."""

    class Boaster(ssl.SSLContext):
        check_hostname = property(lambda self: not checks)

    descriptor: Any = _ssl._SSLContext.check_hostname
    for kind in (ssl.SSLContext, Boaster):
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        descriptor.__set__(context, checks)
        assert peer.checks_names(context) is checks


def test_a_chain_is_as_was_verified_and_as_was_served(pair: tuple[MemoryPeer, MemoryPeer]) -> None:
    client, server = pair
    assert peer.verified_chain(client.tls) is None
    assert peer.served_chain(client.tls) is None
    shake_hands(client, server)
    assert peer.verified_chain(client.tls) == FULL_CHAIN, "the root was not sent"
    assert peer.served_chain(client.tls) == [GENUINE.der, ISSUER.der]
    assert peer.leaves(client.tls) == (GENUINE.der,) * 3


def test_the_public_names_say_the_same(pair: tuple[MemoryPeer, MemoryPeer]) -> None:
    """From Python 3.13 on there are public ones, which are of no use before the handshake is done."""
    shake_hands(*pair)
    public = getattr(pair[0].tls, "get_verified_chain", None)
    assert (public is None) == (not hasattr(ssl.SSLObject, "get_verified_chain"))
    if public is not None:
        assert public() == peer.verified_chain(pair[0].tls)
        assert pair[0].tls.get_unverified_chain() == peer.served_chain(pair[0].tls)  # type: ignore[attr-defined]


def test_with_tls_1_2_the_chain_is_known_while_the_clients_flight_is_unsent() -> None:
    client = MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    server = MemoryPeer(GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_2))
    client.incoming.write(server.answer(client.answer()))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    assert client.outgoing.pending
    assert peer.verified_chain(client.tls) == FULL_CHAIN
    with pytest.raises(ValueError, match="handshake"):
        peer.leaves(client.tls)
    assert not server.finished


def test_tripwire_the_final_flight_exists_in_mid_handshake_with_tls_1_2_alone(
    pair: tuple[MemoryPeer, MemoryPeer], tls_version: ssl.TLSVersion
) -> None:
    client, server = pair
    assert "tls-unique" in ssl.CHANNEL_BINDING_TYPES
    assert not peer.final_flight_made(client.tls)
    flight = server.answer(client.answer())
    assert not peer.final_flight_made(client.tls)
    client.answer(flight)
    assert peer.final_flight_made(client.tls)
    assert client.finished == (tls_version is ssl.TLSVersion.TLSv1_3), (
        "with TLS 1.3 that is the end"
    )


def test_tripwire_a_client_that_tries_again_after_a_retry_request_has_no_final_flight() -> None:
    """Of a TLS 1.3 server that has proven nothing the chain is known, while there is something to send."""
    client = MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    client.incoming.write(replay(client.answer(), GENUINE.chain))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    assert client.outgoing.pending
    assert peer.verified_chain(client.tls) == FULL_CHAIN
    assert not peer.final_flight_made(client.tls)


def test_a_client_hello_that_waits_is_no_final_flight() -> None:
    """A library may leave it in the BIO.

    Whoever replays a TLS 1.2 chain, and no more, is not judged.
    """
    client = MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    client.outgoing.write(hello := client.answer())
    impostor = flight(
        server_hello(0xC02B, extensions=b"\xff\x01\x00\x01\x00"), certificate(GENUINE.chain)
    )
    assert hello
    client.incoming.write(impostor)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    assert client.outgoing.pending
    assert peer.verified_chain(client.tls) == FULL_CHAIN
    assert not peer.final_flight_made(client.tls)


def test_a_resumed_session_has_no_verified_chain(
    pair: tuple[MemoryPeer, MemoryPeer], tls_version: ssl.TLSVersion
) -> None:
    context, server_context = ROOT.client_context(), GENUINE.server_context(tls_version=tls_version)
    first = MemoryPeer(context, server_hostname="localhost")
    server = MemoryPeer(server_context)
    shake_hands(first, server)
    first.receive(server.send(b"the ticket comes along"))
    again = MemoryPeer(context, server_hostname="localhost", session=first.tls.session)
    assert peer.verified_chain(again.tls) is None, "an offered session shows nothing"
    shake_hands(again, MemoryPeer(server_context))
    assert again.tls.session_reused
    assert peer.verified_chain(again.tls) is None
    assert again.tls.getpeercert(binary_form=True) == GENUINE.der
