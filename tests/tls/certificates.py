"""Certificates that no well-kept CA would issue."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pinio.core.anchors import Anchors
from pinio.testing import Leaf

_NOT_BEFORE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, which may sign others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def root(cls, name: str, *, key_identifiers: bool = True, critical: bool = True) -> Self:
        """A CA that signs itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build(
            name,
            key.public_key(),
            name,
            key,
            ca=True,
            key_identifiers=key_identifiers,
            critical=critical,
        )
        return cls(certificate, key)

    def issue(
        self,
        name: str,
        *names: str,
        ca: bool = False,
        key: ec.EllipticCurvePrivateKey | None = None,
        key_identifiers: bool = True,
        critical: bool = True,
        genuine_signature: bool = True,
        not_after: dt.datetime | None = None,
    ) -> Issued:
        """A certificate whose common name is `name` and whose subject alternative names are `names`.

        Without `genuine_signature` it only says that it was issued here.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        signer = self.key if genuine_signature else ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        certificate = _build(
            name,
            key.public_key(),
            str(issuer),
            signer,
            names=names,
            ca=ca,
            key_identifiers=key_identifiers,
            critical=critical,
            issuer_key=self.key.public_key(),
            not_after=not_after,
        )
        return Issued(certificate, key)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def anchors(self) -> Anchors:
        return anchors_of(self.der)

    def serving(self, *chain: bytes) -> Leaf:
        """As a server presents it, with `chain` (DER) behind it."""
        return served(self.key, self.der, *chain)


def served(key: ec.EllipticCurvePrivateKey, *chain: bytes) -> Leaf:
    """A key and whatever is sent for it."""
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Leaf(private_key.decode("ascii"), "".join(map(ssl.DER_cert_to_PEM_cert, chain)))


def anchors_of(*certificates: bytes) -> Anchors:
    """Anchors that hold these certificates (DER)."""
    return Anchors.from_pem("".join(map(ssl.DER_cert_to_PEM_cert, certificates)))


def _build(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[str, ...] = (),
    ca: bool = False,
    key_identifiers: bool = True,
    critical: bool = True,
    issuer_key: ec.EllipticCurvePublicKey | None = None,
    not_after: dt.datetime | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(not_after or _NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=critical)
    )
    if names:
        general_names = [x509.DNSName(item) for item in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    if ca:
        builder = builder.add_extension(_CA_USAGE, critical=critical)
    if key_identifiers:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key or public_key)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
        )
        builder = builder.add_extension(authority, critical=False)
    return builder.sign(signer, hashes.SHA256())


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate (DER)."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
