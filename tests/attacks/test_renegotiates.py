r"""One certificate for the check, another for the rest.

    client                                       server
           ◀──────── handshake: GENUINE ───────▶
    pins match
           ◀──────── HelloRequest ─────────────
           ◀──────── handshake: IMPOSTOR ──────▶     within the first one; Python is not told
           ─────────── "password: ..." ────────▶

TLS 1.2 lets either side start a new handshake inside the connection (RFC 5246 section 7.4.1.1). TLS 1.3 does not.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from pinio.testing import Leaf
from pinio.tls.handshake.gate import State
from tests.tls.cast import GENUINE, ISSUER, ROOT, pinned
from tests.tls.memory import MemoryPeer, engine_for, state_of

IMPOSTOR = ROOT.issue("localhost")


class Turncoat:
    """A server that can renegotiate, which Python's `ssl` cannot."""

    def __init__(self) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
        context.add_extra_chain_cert(x509.load_der_x509_certificate(ISSUER.der))
        self.tls = SSL.Connection(context)
        self.tls.set_accept_state()
        self.present(GENUINE)

    def present(self, leaf: Leaf) -> None:
        """Show `leaf` in the next handshake."""
        key = load_pem_private_key(leaf.private_key_pem.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.tls.use_certificate(x509.load_der_x509_certificate(leaf.der))
        self.tls.use_privatekey(key)

    def renegotiate(self) -> bytes:
        """Ask for another handshake."""
        self.tls.renegotiate()
        return self.answer()

    def answer(self, flight: bytes = b"") -> bytes:
        """Take in a flight and return the next one. Raises `SSL.Error` if the client will not."""
        if flight:
            self.tls.bio_write(flight)
        with suppress(SSL.WantReadError):
            self.tls.do_handshake()
            self.tls.recv(100)
        with suppress(SSL.WantReadError):
            return self.tls.bio_read(1 << 16)
        return b""


def test_a_stock_client_follows() -> None:
    server, client = Turncoat(), MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    while not client.finished:
        client.incoming.write(server.answer(client.answer()))
    assert client.tls.getpeercert(binary_form=True) == GENUINE.der
    server.present(IMPOSTOR)
    flight = server.renegotiate()
    while flight:
        client.receive(flight)
        flight = server.answer(client.outgoing.read())
    assert client.tls.getpeercert(binary_form=True) == IMPOSTOR.der, "nobody was told"


def test_a_pinned_client_stays_where_it_is() -> None:
    server, engine = Turncoat(), engine_for(pinned())
    while not engine.handshake():
        engine.incoming.write(server.answer(engine.take()))
    server.answer(engine.take())
    server.present(IMPOSTOR)
    engine.incoming.write(server.renegotiate())
    with pytest.raises(ssl.SSLWantReadError):
        engine.read(100)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        server.answer(engine.take())
    assert engine.tls.getpeercert(binary_form=True) == GENUINE.der
    assert state_of(engine) is State.OPEN
