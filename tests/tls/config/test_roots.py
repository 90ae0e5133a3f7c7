"""Every root that a list of CAs has can end a chain, on every Python.

Of each root of certifi's list there is a twin here: its name and its extensions, and a key of the
test's.
"""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pinio.core.anchors import Anchors
from pinio.errors import PinMismatchError
from pinio.testing import Leaf, Server
from pinio.testing.leaf import public_key_pin
from pinio.tls.config.profile import Profile
from pinio.tls.context import inner as inner_contexts
from pinio.tls.context.inner import inner_context
from tests.tls.cast import ABSENT, pinned
from tests.tls.certificates import Issued, served
from tests.tls.memory import MemoryPeer, drive, engine_for
from tests.tls.through import SECRET, ask, context_for

_NOT_BEFORE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Twin:
    """A root that looks like another one, with a key of its own."""

    name: x509.Name
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, root: x509.Certificate) -> Twin:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(root.subject, root.subject, key.public_key())
        for extension in root.extensions:
            value = extension.value
            if isinstance(value, x509.SubjectKeyIdentifier):
                value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            elif isinstance(value, x509.AuthorityKeyIdentifier):
                value = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
            builder = builder.add_extension(value, extension.critical)
        return cls(root.subject, builder.sign(key, hashes.SHA256()), key)

    def issue(self, *, key_identifiers: bool) -> Leaf:
        """A chain as public CAs issue it: the leaf, and an intermediate between it and the root."""
        between = ec.generate_private_key(ec.SECP256R1())
        middle = _name(f"below {self.certificate.serial_number}")
        leaf = ec.generate_private_key(ec.SECP256R1())
        intermediate = _issued(middle, between, self.name, self.key, ca=True, ids=key_identifiers)
        last = _issued(_name("leaf"), leaf, middle, between, ca=False, ids=True)
        return served(leaf, last, intermediate)

    def issue_directly(self) -> Leaf:
        leaf = ec.generate_private_key(ec.SECP256R1())
        return served(leaf, _issued(_name("leaf"), leaf, self.name, self.key, ca=False, ids=True))


def _issued(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    ids: bool,
) -> bytes:
    builder = _builder(name, issuer, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    if ids:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(authority, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.DER)


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def roots() -> list[x509.Certificate]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # some have 0 as serial number, which RFC 5280 no longer allows
        return x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())


@pytest.fixture(scope="module")
def twins(roots: list[x509.Certificate]) -> list[Twin]:
    return [Twin.of(root) for root in roots]


def bundle(folder: Path, *certificates: x509.Certificate) -> str:
    file = folder / "roots.pem"
    file.write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in certificates))
    return str(file)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No inner context is left of another list."""
    monkeypatch.setattr(inner_contexts.inner_context, "_contexts", {})


def test_every_root_of_the_public_list_can_end_a_chain(
    twins: list[Twin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    file = bundle(tmp_path, *(twin.certificate for twin in twins))
    monkeypatch.setattr(certifi, "where", lambda: file)
    assert len(twins) > 100
    for twin in twins:
        root = twin.certificate.public_bytes(Encoding.DER)
        for leaf in (
            twin.issue_directly(),
            twin.issue(key_identifiers=True),
            twin.issue(key_identifiers=False),  # as below a root that has none
        ):
            server = leaf.server_context()
            drive(
                engine_for(pinned(f"ca:{public_key_pin(root)}", anchors=None)),
                peer := MemoryPeer(server),
            )
            assert peer.finished, twin.name
    with pytest.raises(PinMismatchError):
        drive(
            engine_for(pinned(ABSENT, anchors=None)),
            MemoryPeer(twins[0].issue_directly().server_context()),
        )


def test_no_root_of_the_public_list_has_a_key_that_is_too_weak(
    roots: list[x509.Certificate],
) -> None:
    """What a twin cannot tell: at OpenSSL's security level 2 a key has 112 bits of security."""
    for root in roots:
        key = root.public_key()
        assert isinstance(
            key,
            rsa.RSAPublicKey
            | ec.EllipticCurvePublicKey
            | ed25519.Ed25519PublicKey
            | ed448.Ed448PublicKey,
        )
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            assert key.key_size >= (2048 if isinstance(key, rsa.RSAPublicKey) else 224)


# The system's store


CORPORATE = Issued.root("corporate", key_identifiers=False, critical=False)
BELOW = CORPORATE.issue("localhost", "localhost", key_identifiers=False)


SERVED = BELOW.serving()


@pytest.fixture(params=["certifi", "system", "private"])
def anchors(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> Anchors:
    """Three lists, each of which has the corporate root."""
    file = bundle(tmp_path, CORPORATE.certificate)
    monkeypatch.setattr(certifi, "where", lambda: file)
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=file)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    return CORPORATE.anchors if request.param == "private" else Anchors(request.param)


def test_a_corporate_root_counts_wherever_it_is_installed(
    anchors: Anchors, tls_version: ssl.TLSVersion
) -> None:
    """Without key identifiers, with basic constraints that are not critical, as Python 3.11 takes it."""
    with Server(SERVED, tls_version=tls_version) as server:
        assert ask(context_for(pinned(SERVED.pin, anchors=anchors)), server) == SECRET


def test_the_strict_checks_can_be_added(anchors: Anchors, tls_version: ssl.TLSVersion) -> None:
    context = context_for(pinned(SERVED.pin, anchors=anchors))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with Server(SERVED, tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)not marked critical|missing"):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""


def test_the_flags_are_the_same_on_every_python() -> None:
    for profile in (Profile(), Profile("pkix", Anchors.system()), Profile("leaf-pin")):
        assert inner_context(profile).verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST


def test_a_certificate_without_basic_constraints_issues_nothing(
    tls_version: ssl.TLSVersion,
) -> None:
    """Of the strict checks the one that matters: OpenSSL makes it for every intermediate."""
    root = Issued.root("root")
    intermediate = root.issue("no CA", "no-ca.test", ca=False)
    forged = intermediate.issue("localhost", "localhost").serving(intermediate.der)
    context = context_for(pinned(f"ca:{public_key_pin(root.der)}", anchors=root.anchors))
    with Server(forged, tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)invalid CA"):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""
