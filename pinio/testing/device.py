"""Certificates of devices that no CA knows."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pinio.testing.leaf import NOT_AFTER, NOT_BEFORE, Leaf


def self_signed(
    *identities: str,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
) -> Leaf:
    """A certificate that vouches for itself, as routers, printers and other devices have.

    No CA stands behind it; only its key can identify it. Valid from 2000 to 3000 unless told.
    Without `identities` it names nobody.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, identities[0] if identities else "device")]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or NOT_BEFORE)
        .not_valid_after(not_after or NOT_AFTER)
    )
    if identities:
        names = [general_name(identity) for identity in identities]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Leaf(private_key.decode("ascii"), certificate.public_bytes(Encoding.PEM).decode("ascii"))


def general_name(identity: str) -> x509.GeneralName:
    """How a certificate spells a host name or an IP address (RFC 5280 section 4.2.1.6)."""
    try:
        return x509.IPAddress(ipaddress.ip_address(identity))
    except ValueError:
        return x509.DNSName(identity)
