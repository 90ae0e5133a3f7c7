r"""The genuine certificates, without their key.

    client                                               impostor
           ─────────────── ClientHello ──────────────────▶
           ◀── ServerHello, suite: RSA key exchange ─────
           ◀── Certificate: THE GENUINE CHAIN ───────────      anybody has it
           ◀── CertificateRequest, ServerHelloDone ──────
    the chain matches
           ──── the client's certificate, in clear ──────▶
           ──── key exchange, Finished ──────────────────▶     cannot be answered, and need not be

With TLS 1.2 and RSA key exchange nothing before the client's last flight proves that the peer has the key. So only suites are
offered in which the key exchange is signed, and the signature comes before that flight.
"""

from __future__ import annotations

import ssl

import pytest

from pinio.testing import CA, Leaf
from pinio.tls.handshake.gate import State
from tests.tls.cast import GENUINE, IDENTITY, ROOT, Told, pinned
from tests.tls.memory import MemoryPeer, context_with, engine_for, state_of
from tests.tls.messages import (
    certificate,
    certificate_request,
    flight,
    message,
    server_hello,
    server_hello_done,
    vector,
)

RSA_AES_128_GCM, ECDHE_RSA_AES_128_GCM, ECDHE_ECDSA_AES_128_GCM = 0x009C, 0xC02F, 0xC02B
RENEGOTIATION_INFO = b"\xff\x01\x00\x01\x00"  # RFC 5746 section 3.6

RSA_ROOT = CA("rsa root", key_type="rsa")
RSA_GENUINE = RSA_ROOT.issue("localhost", key_type="rsa")


def replay(leaf: Leaf, suite: int, *key_exchange: bytes) -> bytes:
    """What somebody without the key can send."""
    return flight(
        server_hello(suite, extensions=RENEGOTIATION_INFO),
        certificate(leaf.chain),
        *key_exchange,
        certificate_request(),
        server_hello_done(),
    )


def signed_by_nobody(scheme: int) -> bytes:
    """A ServerKeyExchange (RFC 8422 section 5.4): a point of P-256, and noise where the signature belongs."""
    generator = bytes.fromhex(
        "04"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    noise = bytes.fromhex("3006020101020101") if scheme == 0x0403 else bytes(range(256))
    return message(
        12, b"\x03\x00\x17" + vector(1, generator) + scheme.to_bytes(2) + vector(2, noise)
    )


def test_with_rsa_key_exchange_a_client_shows_its_certificate() -> None:
    context = RSA_ROOT.client_context(identity=IDENTITY)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256")
    client = MemoryPeer(context, server_hostname="localhost")
    client.answer()
    assert IDENTITY.der in client.answer(replay(RSA_GENUINE, RSA_AES_128_GCM))


@pytest.mark.parametrize("trust", ["pkix", "leaf-pin"])
@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (RSA_GENUINE, replay(RSA_GENUINE, RSA_AES_128_GCM)),
        (RSA_GENUINE, replay(RSA_GENUINE, ECDHE_RSA_AES_128_GCM)),
        (RSA_GENUINE, replay(RSA_GENUINE, ECDHE_RSA_AES_128_GCM, signed_by_nobody(0x0804))),
        (GENUINE, replay(GENUINE, ECDHE_ECDSA_AES_128_GCM)),
        (GENUINE, replay(GENUINE, ECDHE_ECDSA_AES_128_GCM, signed_by_nobody(0x0403))),
    ],
    ids=[
        "RSA key exchange",
        "RSA unsigned",
        "RSA ill-signed",
        "ECDSA unsigned",
        "ECDSA ill-signed",
    ],
)
def test_a_pinned_client_shows_nothing_and_counts_no_match(
    leaf: Leaf, words: bytes, trust: str
) -> None:
    root = RSA_ROOT if leaf is RSA_GENUINE else ROOT
    policy = pinned(leaf.pin, trust=trust, anchors=root.anchors if trust == "pkix" else None)
    told = Told()
    engine = engine_for(policy, context=context_with(IDENTITY, policy), observer=told)
    engine.handshake()
    engine.take()
    engine.incoming.write(words)
    with pytest.raises(ssl.SSLError):
        engine.handshake()
    assert engine.take() == b""
    assert state_of(engine) is State.REFUSED
    assert told.kinds == ["Refusal"], "that TLS failed, and no match"
