"""A certificate, its key, and the chain that is served with it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from pinio.testing.authority import CA

# Validity unless told otherwise: tests should not start to fail one day.
NOT_BEFORE = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
NOT_AFTER = dt.datetime(3000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Leaf:
    """An end-entity certificate, its private key, and the chain that is served with it.

    Attributes:
        private_key_pem: the unencrypted private key.
        chain_pem: the certificate, then the intermediates; as a rule not the root.
    """

    private_key_pem: str
    chain_pem: str

    def __repr__(self) -> str:
        return f"<Leaf {self.pin}>"  # a key must not reach a log by way of a test's failure message

    @cached_property
    def chain(self) -> tuple[bytes, ...]:
        """What is served, leaf first, as DER."""
        certificates = x509.load_pem_x509_certificates(self.chain_pem.encode("ascii"))
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)

    @property
    def der(self) -> bytes:
        """The certificate itself as DER."""
        return self.chain[0]

    @cached_property
    def pin(self) -> str:
        """`sha256/BASE64` of the public key, computed without any of pinio's own parsing."""
        return public_key_pin(self.der)

    def serving(self, *certificates: bytes) -> Leaf:
        """The same certificate and key with other `certificates` (DER) sent behind it, true or not."""
        chain = (self.der, *certificates)
        return replace(self, chain_pem="".join(map(ssl.DER_cert_to_PEM_cert, chain)))

    def load_into(self, context: ssl.SSLContext) -> None:
        """Makes `context` present this certificate, on either side of a connection."""
        # The ssl module reads keys from files only; this one is private to the user and gone a
        # moment later.
        with tempfile.TemporaryDirectory(prefix="pinio-") as directory:
            context.load_cert_chain(*self.write(directory))

    def server_context(
        self,
        *,
        tls_version: ssl.TLSVersion | None = None,
        alpn: Sequence[str] = (),
        client_ca: CA | None = None,
        ciphers: str | None = None,
        tickets: bool = True,
    ) -> ssl.SSLContext:
        """A server-side context that presents this leaf.

        Args:
            tls_version: exactly this version; TLS 1.2 and 1.3 unless told.
            alpn: protocols offered, best first.
            client_ca: ask for a client certificate and insist on one issued by this CA.
            ciphers: an OpenSSL cipher list (TLS 1.2 and older).
            tickets: whether sessions can be resumed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        self.load_into(context)
        fix_version(context, tls_version)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca.certificate_pem)
        if not tickets:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context

    def write(self, directory: str | os.PathLike[str], name: str = "leaf") -> tuple[Path, Path]:
        """Writes `<name>.pem` (the chain) and `<name>.key` (mode 0600) and returns both paths."""
        chain, key = Path(directory, f"{name}.pem"), Path(directory, f"{name}.key")
        chain.write_text(self.chain_pem, encoding="ascii")
        key.touch(mode=0o600)
        key.write_text(self.private_key_pem, encoding="ascii")
        return chain, key


def public_key_pin(certificate: bytes) -> str:
    """`sha256/BASE64` of the public key in a certificate (DER)."""
    # cryptography encodes the key anew. For the keys made here that yields the certificate's own
    # bytes, and it keeps the expectation in a test independent of the parser that the test is
    # about.
    key = x509.load_der_x509_certificate(certificate).public_key()
    digest = hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()
    return "sha256/" + base64.b64encode(digest).decode("ascii")


def fix_version(context: ssl.SSLContext, version: ssl.TLSVersion | None) -> None:
    """Restricts `context` to `version`, or to TLS 1.2 and newer."""
    context.minimum_version = version or ssl.TLSVersion.TLSv1_2
    if version is not None:
        context.maximum_version = version
