"""The world that the documentation speaks of: a few servers behind names that nobody owns, and the CA that vouches for them.

A page is run as it stands, so what it names has to exist. Three things are arranged, none of them
inside pinio: names resolve to servers on loopback and to nothing else, the list of public CAs
(certifi's) is one that holds the documentation's CA, and all keys are derived from their names, so
that a pin in a page is the pin of a real key on every machine and in every year.

    python -m tests.docs.world        prints the pins to write into a page
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pinio.core.pin import Pin
from pinio.testing import Leaf, Server, http, starttls
from pinio.testing.listener import Listener
from pinio.tls.context.inner import inner_context
from tests.interop import peers
from tests.tls.unix import leading_to

ROOT: Final = "Example Root CA"
ISSUER: Final = "Example Issuing CA 3"
API, MAIL, CAMERA = "api.example.com", "mail.example.com", "camera.local"
SMTP, CHAT, DATABASE = "smtp.example.com", "ws.example.com", "db.example.com"
CACHE, BROKER, LOG = "cache.example.com", "nats.example.com", "kafka.example.com"
SOCKS: Final = "socks.example.com"
API_SOCKET: Final = "api.sock"
"""A Unix socket, in the directory in which the page runs, that leads to `api.example.com`."""
SPARE: Final = "the key that api.example.com will use next"

_ORDER: Final = (
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SP 800-186)
)


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of this name, the same for ever.

    Everybody can compute it: good for documentation and nothing else.
    """
    seed = int.from_bytes(hashlib.sha256(b"pinio documentation: " + name.encode()).digest(), "big")
    return ec.derive_private_key(seed % (_ORDER - 1) + 1, ec.SECP256R1())


def pin(name: str) -> str:
    """The pin of that key."""
    return str(
        Pin.of_public_key(
            key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
    )


def certificate(name: str, issuer: str, *, ca: bool) -> x509.Certificate:
    """A certificate as strict verification (RFC 5280) wants it."""
    subject, above = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)]) for who in (name, issuer)
    )
    public, signer = key(name).public_key(), key(issuer)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(3000, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def leaf(name: str, *, self_signed: bool = False) -> Leaf:
    """What the server of this name presents."""
    chain = [certificate(name, name if self_signed else ISSUER, ca=False)]
    if not self_signed:
        chain.append(certificate(ISSUER, ROOT, ca=True))
    private = key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Leaf(
        private.decode("ascii"),
        "".join(item.public_bytes(Encoding.PEM).decode("ascii") for item in chain),
    )


def servers() -> dict[tuple[str, int], Listener]:
    """Every server that a page may speak to, by the name and port that the page uses."""
    hello = http(b"hello\n")
    api = Server(leaf(API), handler=hello)
    return {
        (API, 443): api,
        (CAMERA, 8443): Server(leaf(CAMERA, self_signed=True), handler=hello),
        (MAIL, 587): Server(leaf(MAIL), starttls=starttls()),
        (SMTP, 587): Server(leaf(SMTP), handler=peers.smtp, starttls=peers.smtp_in_clear),
        (CHAT, 443): Server(leaf(CHAT), handler=peers.websocket),
        (DATABASE, 5432): Server(
            leaf(DATABASE), handler=peers.postgres, starttls=peers.postgres_in_clear
        ),
        (CACHE, 6380): Server(leaf(CACHE), handler=peers.redis),
        (BROKER, 4222): Server(leaf(BROKER), handler=peers.nats_after_tls),
        (LOG, 9093): Server(leaf(LOG), handler=peers.kafka),
        (SOCKS, 1080): peers.SocksProxy(lambda: api.address),
    }


@contextmanager
def world(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[None]:
    """Let the names of the documentation resolve, and no others, and no proxy of this machine be asked."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    public_cas = directory / "public-cas.pem"
    public_cas.write_bytes(certificate(ROOT, ROOT, ca=True).public_bytes(Encoding.PEM))
    monkeypatch.setattr(certifi, "where", lambda: str(public_cas))
    inner_context.clear()  # contexts are made once for each list of CAs, and this is another list under the same name
    with ExitStack() as running:
        running.callback(inner_context.clear)
        places = {place: running.enter_context(server) for place, server in servers().items()}
        if hasattr(socket, "AF_UNIX"):
            running.enter_context(leading_to(places[API, 443], Path(API_SOCKET)))
        real = socket.getaddrinfo

        def resolve(host: str | bytes, port: int, *arguments: Any, **options: Any) -> Any:
            if isinstance(host, bytes):
                # anyio: it takes the address from here and the port from its caller, then asks once
                # more.
                return [
                    (
                        socket.AF_INET,
                        socket.SOCK_STREAM,
                        socket.IPPROTO_TCP,
                        "",
                        (host.decode(), port),
                    )
                ]
            if host == "127.0.0.1":  # the page runs a server of its own
                return real(host, port, *arguments, **options)
            if (host, port) not in places:
                raise socket.gaierror(
                    socket.EAI_NONAME, f"the documentation has no server at {host} port {port}"
                )
            return real("127.0.0.1", places[host, port].port, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield


if __name__ == "__main__":
    for name in (API, SPARE, ISSUER, ROOT, MAIL, CAMERA):
        print(pin(name), name)  # noqa: T201
