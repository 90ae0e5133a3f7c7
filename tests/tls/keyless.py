"""A TLS 1.3 server by hand that has no private key: it replays a certificate chain.

    client                                          impostor
           ─────────── ClientHello ───────────────▶
           ◀── HelloRetryRequest, with a cookie ──
           ◀── ServerHello ───────────────────────     in one segment
           ◀── EncryptedExtensions, Certificate ──
           ─────────── ClientHello again ─────────▶     the client wants to read

The second ClientHello is the first one and the cookie, so that its hash, which the keys depend on,
is known before it is sent (RFC 8446 sections 4.1.2, 4.4.1 and 7.1). The client then knows a chain
while it still has bytes to send; no CertificateVerify has proven that the peer has the key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tests.tls.conformance.forge import HANDSHAKE, Forge13, expand_label
from tests.tls.messages import (
    COOKIE,
    KEY_SHARE,
    PADDING,
    SUPPORTED_VERSIONS,
    TLS_1_3,
    ClientHello,
    extension,
    flight,
    key_shares,
    message,
    server_hello,
    vector,
)

AES_256_GCM_SHA384 = 0x1302
X25519 = 0x001D
RETRY = hashlib.sha256(b"HelloRetryRequest").digest()
"""The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3)."""
_COOKIE = extension(COOKIE, vector(2, b"c" * 512))  # so long that OpenSSL pads the hello no more
_VERSION = extension(SUPPORTED_VERSIONS, TLS_1_3.to_bytes(2))


def certificate_request() -> bytes:
    """A wish for a client certificate with an ECDSA key on P-256 (RFC 8446 section 4.3.2)."""
    return message(13, vector(1, b"") + vector(2, extension(13, vector(2, b"\x04\x03"))))


def certificate(chain: Sequence[bytes]) -> bytes:
    """The server's certificates (RFC 8446 section 4.4.2), as DER."""
    entries = b"".join(vector(3, der) + vector(2, b"") for der in chain)
    return message(11, vector(1, b"") + vector(3, entries))


def certificate_verify() -> bytes:
    """Noise where an ECDSA signature belongs (RFC 8446 section 4.4.3)."""
    return message(15, b"\x04\x03" + vector(2, bytes.fromhex("3006020101020101")))


def replay(first_flight: bytes, chain: Sequence[bytes], *more: bytes) -> bytes:
    """What an impostor answers to a ClientHello: the replayed chain, and `more` messages."""
    hello = ClientHello.parse(first_flight)
    again = _with_cookie(hello)
    retry = server_hello(
        AES_256_GCM_SHA384, random=RETRY, session=hello.session, extensions=_VERSION + _COOKIE
    )
    own = X25519PrivateKey.generate()
    share = X25519.to_bytes(2) + vector(2, own.public_key().public_bytes_raw())
    answer = server_hello(
        AES_256_GCM_SHA384, session=hello.session, extensions=_VERSION + extension(KEY_SHARE, share)
    )
    first = message(254, hashlib.sha384(hello.message).digest())  # "message_hash"
    transcript = hashlib.sha384(first + retry + again + answer).digest()
    peer = X25519PublicKey.from_public_bytes(key_shares(hello)[X25519])
    forge = Forge13(_server_handshake_secret(own.exchange(peer), transcript))
    encrypted = message(8, vector(2, b"")) + certificate_request() + certificate(chain)
    sealed = forge.seal(encrypted + b"".join(more), HANDSHAKE)
    return flight(retry) + flight(answer) + sealed


def _with_cookie(hello: ClientHello) -> bytes:
    """The second ClientHello as OpenSSL writes it: the cookie comes after the key share."""
    extensions = b""
    for kind, data in hello.extensions.items():
        if kind != PADDING:
            extensions += extension(kind, data)
        if kind == KEY_SHARE:
            extensions += _COOKIE
    return message(1, hello.head + vector(2, extensions))


def _server_handshake_secret(shared: bytes, transcript: bytes) -> bytes:
    """The secret of the server's handshake traffic (RFC 8446 section 7.1), without a shared key."""
    zeros, nothing = bytes(48), hashlib.sha384().digest()
    early = hmac.digest(zeros, zeros, "sha384")
    handshake = hmac.digest(expand_label(early, "derived", 48, nothing), shared, "sha384")
    return expand_label(handshake, "s hs traffic", 48, transcript)
