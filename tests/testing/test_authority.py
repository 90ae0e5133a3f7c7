from __future__ import annotations

import base64
import datetime as dt
import hashlib
import shutil
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from pinio.testing import CA, Leaf, Server, self_signed
from pinio.testing.authority import KeyType
from tests.testing.clients import connected


def openssl_pin(certificate: bytes) -> str:
    """The pin as RFC 7469 tells operators to compute it."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed: pins were not compared with it")
    pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
    key = subprocess.run(
        ["openssl", "x509", "-noout", "-pubkey"], input=pem, capture_output=True, check=True
    ).stdout
    command = ["openssl", "pkey", "-pubin", "-outform", "der"]
    der = subprocess.run(command, input=key, capture_output=True, check=True).stdout
    return "sha256/" + base64.b64encode(hashlib.sha256(der).digest()).decode()


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_pins_are_those_that_openssl_computes(key_type: KeyType) -> None:
    ca = CA(key_type=key_type)
    leaf = ca.issue("localhost", key_type=key_type)
    device = self_signed("device.local")
    for made in (ca, leaf, device):
        assert made.pin == openssl_pin(made.der)
    assert len({ca.pin, leaf.pin, device.pin}) == 3


def test_a_leaf_is_served_with_its_intermediates_and_without_the_root() -> None:
    root = CA("a root")
    upper = root.intermediate("upper")
    lower = upper.intermediate()
    assert root.issue("localhost").chain_pem.count("BEGIN CERTIFICATE") == 1
    leaf = lower.issue("localhost")
    assert leaf.chain == (leaf.der, lower.der, upper.der)
    assert lower.name == "upper intermediate"


def test_a_chain_verifies_even_under_strict_rules(tls_version: ssl.TLSVersion) -> None:
    root = CA()
    leaf = (
        root.intermediate().intermediate().issue("localhost", "127.0.0.1", "::1", "*.example.com")
    )
    context = root.client_context(tls_version=tls_version)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with Server(leaf) as server:
        for name in ("localhost", "127.0.0.1", "::1", "a.example.com"):
            with (
                socket.create_connection(server.address) as raw,
                context.wrap_socket(raw, server_hostname=name) as tls,
            ):
                assert tls.getpeercert(True) == leaf.der
                assert tls.version() == tls_version.name.replace("v1_", "v1.")


@pytest.mark.parametrize(
    ("issuer", "name", "reason"),
    [
        (CA(), "localhost", "self-signed certificate|unable to get local issuer"),
        (None, "other.example", "Hostname mismatch"),
    ],
    ids=["another CA of the same name", "another name"],
)
def test_nothing_is_trusted_that_should_not_be(issuer: CA | None, name: str, reason: str) -> None:
    ca = CA()
    with (
        Server((issuer or ca).issue("localhost")) as server,
        pytest.raises(ssl.SSLCertVerificationError, match=reason),
        connected(server, ca, name=name),
    ):
        pass


def test_validity_can_lie_in_the_past() -> None:
    ca = CA()
    ended = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    leaf = ca.issue("localhost", not_after=ended)
    assert x509.load_der_x509_certificate(leaf.der).not_valid_after_utc == ended
    with (
        Server(leaf) as server,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
        connected(server, ca),
    ):
        pass


def test_a_renewed_certificate_keeps_the_key_and_the_names() -> None:
    old_root, new_root = CA("old"), CA("new")
    leaf = old_root.intermediate().issue("localhost")
    issuer = new_root.intermediate()
    renewed = issuer.renew(leaf)
    assert renewed.pin == leaf.pin
    assert renewed.der != leaf.der
    assert renewed.chain == (renewed.der, issuer.der)
    with Server(renewed) as server, connected(server, new_root) as tls:
        assert tls.getpeercert(True) == renewed.der
    with Server(old_root.renew(leaf)) as server, connected(server, old_root):
        pass


def test_an_identity_longer_than_a_common_name_may_be() -> None:
    name = ".".join(["a" * 60, "b" * 60, "example.com"])
    ca = CA()
    with Server(ca.issue(name)) as server, connected(server, ca, name=name) as tls:
        assert tls.getpeercert(True) is not None


def test_a_certificate_without_identities_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one identity"):
        CA().issue()


def test_self_signed_certificates_vouch_for_themselves_alone() -> None:
    device = self_signed("192.0.2.7", "device.local")
    certificate = x509.load_der_x509_certificate(device.der)
    assert certificate.issuer == certificate.subject
    certificate.verify_directly_issued_by(certificate)
    assert device.chain == (device.der,)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["device.local"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


def test_a_self_signed_certificate_may_name_nobody() -> None:
    assert not list(x509.load_der_x509_certificate(self_signed().der).extensions)


def test_any_certificates_can_be_served_behind_a_leaf(tls_version: ssl.TLSVersion) -> None:
    ca, stranger = CA(), CA("a stranger")
    leaf = ca.issue("localhost").serving(stranger.der, *[ca.der] * 50)
    assert leaf.chain[1] == stranger.der
    with Server(leaf) as server, connected(server, ca, tls_version=tls_version) as tls:
        assert tls.getpeercert(True) == leaf.der


def test_files_are_written_with_the_key_for_its_owner_alone(tmp_path: Path) -> None:
    leaf = CA().intermediate().issue("localhost")
    chain, key = leaf.write(tmp_path, "web")
    assert (chain.name, key.name) == ("web.pem", "web.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Leaf(key.read_text(), chain.read_text()) == leaf
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)


def test_a_private_key_is_not_in_the_repr() -> None:
    leaf = CA().issue("localhost")
    assert "PRIVATE" not in repr(leaf)
    assert leaf.pin in repr(leaf)


def test_anchors_hold_the_ca_alone() -> None:
    ca = CA()
    assert [certificate.der for certificate in ca.anchors.certificates] == [ca.der]
