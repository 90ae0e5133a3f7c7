"""Burp and ZAP, which cannot be had from a package registry: what they mint, imitated.

Only the shape of their certificates is theirs (subject, names, validity, key, chain order), after
Burp's documentation and ZAP's source. The interceptor is that of `pinio.testing`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinio.testing import ConnectProxy, Leaf, Server, http
from tests.interceptors.base import HOST, Interceptor, Way

Names = dict[x509.ObjectIdentifier, str]


def name(parts: Names) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])


class Emulated(Interceptor):
    """Mints as another program does, behind a CONNECT proxy."""

    emulated = True
    way: ClassVar[Way] = "connect"
    authority: ClassVar[Names]
    subject: ClassVar[Names]
    critical_names = False
    days: ClassVar[tuple[int, int]]

    @classmethod
    def install(cls) -> None:
        """Nothing to install."""

    def start(self, *, through: bool = False) -> None:
        self._ca_key = rsa.generate_private_key(65537, 2048)
        issuer = name(self.authority)
        self._ca = self._certificate(issuer, issuer, self._ca_key.public_key(), ca=True)
        key = rsa.generate_private_key(65537, 2048)
        leaf = self._certificate(name(self.subject), issuer, key.public_key(), ca=False)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        chain = leaf.public_bytes(Encoding.PEM) + self._ca.public_bytes(Encoding.PEM)
        self._server = Server(Leaf(pem, chain.decode()), handler=http(b"intercepted"))
        self._server.start()
        self._proxy = ConnectProxy(interceptor=self._server, port=self.port)
        self._proxy.start()

    def _certificate(
        self, subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, *, ca: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        before, after = self.days
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(secrets.randbits(47) | 1)
            .not_valid_before(now - dt.timedelta(days=before))
            .not_valid_after(now + dt.timedelta(days=after))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(names, self.critical_names)
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(self._ca_key, hashes.SHA256())

    def stop(self) -> None:
        self._proxy.close()
        self._server.close()

    def captured(self) -> str:
        return self._server.application_bytes.decode("latin-1")

    def trusted(self) -> str:
        return self._ca.public_bytes(Encoding.PEM).decode()


class Burp(Emulated):
    """Names the host of the CONNECT line; one CA of a fixed name."""

    name = "burp (emulated)"
    authority: ClassVar[Names] = {
        NameOID.COUNTRY_NAME: "PO", NameOID.STATE_OR_PROVINCE_NAME: "PortSwigger",
        NameOID.LOCALITY_NAME: "PortSwigger", NameOID.ORGANIZATION_NAME: "PortSwigger",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "PortSwigger CA", NameOID.COMMON_NAME: "PortSwigger CA",
    }  # fmt: skip
    subject: ClassVar[Names] = {
        NameOID.COUNTRY_NAME: "PO", NameOID.ORGANIZATION_NAME: "PortSwigger",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "PortSwigger CA", NameOID.COMMON_NAME: HOST,
    }  # fmt: skip
    days = (1, 365)


class Zap(Emulated):
    """A fresh key for each host, a serial number of 48 bits."""

    name = "zap (emulated)"
    authority: ClassVar[Names] = {
        NameOID.COMMON_NAME: "Zed Attack Proxy Root CA", NameOID.LOCALITY_NAME: "87b34a5e",
        NameOID.ORGANIZATION_NAME: "ZAP Root CA", NameOID.ORGANIZATIONAL_UNIT_NAME: "ZAP Root CA",
        NameOID.COUNTRY_NAME: "XX",
    }  # fmt: skip
    subject: ClassVar[Names] = {
        NameOID.COMMON_NAME: HOST, NameOID.ORGANIZATIONAL_UNIT_NAME: "Zed Attack Proxy Project",
        NameOID.ORGANIZATION_NAME: "ZAP", NameOID.COUNTRY_NAME: "XX",
        NameOID.EMAIL_ADDRESS: "zaproxy-develop@googlegroups.com",
    }  # fmt: skip
    days = (30, 368)
