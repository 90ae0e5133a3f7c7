"""Which paths are verified, and what of them is handed out."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from pinio_rustls import Config, TLSFailure

from tests.authority import (
    DAY,
    INTERMEDIATE,
    LEAF,
    NOW,
    ROOT,
    VERSIONS,
    Issued,
    Server,
    connect,
    issue,
)

each_version = pytest.mark.parametrize("version", VERSIONS)


def refusal(config: Config, server: Server, name: str = "server.test") -> tuple[str, str]:
    with pytest.raises(TLSFailure) as caught:
        connect(config, server, name)
    assert not server.done
    return caught.value.args[:2]


@each_version
def test_the_path_ends_in_the_anchor_as_it_was_given(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(Config([ROOT.der]), server)
    assert connection.verified_chain == [LEAF.der, INTERMEDIATE.der, ROOT.der]
    assert connection.served_chain == [LEAF.der, INTERMEDIATE.der]
    assert server.done and connection.version == f"TLSv{version}"


@each_version
@pytest.mark.parametrize("served", [(), (INTERMEDIATE,)], ids=["leaf alone", "with intermediate"])
def test_an_intermediate_beside_its_root_does_not_cut_the_path(
    version: str, served: tuple[Issued, ...]
) -> None:
    connection = connect(
        Config([INTERMEDIATE.der, ROOT.der]), Server(LEAF, *served, version=version)
    )
    assert connection.verified_chain == [LEAF.der, INTERMEDIATE.der, ROOT.der]


def test_an_intermediate_alone_ends_the_path() -> None:
    connection = connect(Config([INTERMEDIATE.der]), Server(LEAF, INTERMEDIATE))
    assert connection.verified_chain == [LEAF.der, INTERMEDIATE.der]


def test_a_self_signed_leaf_that_is_the_anchor_stands_once() -> None:
    own = issue("own", ca=False, names=("server.test",))
    assert connect(Config([own.der]), Server(own)).verified_chain == [own.der]


def test_a_certificate_that_only_was_served_is_in_no_path() -> None:
    connection = connect(Config([ROOT.der]), Server(LEAF, INTERMEDIATE, issue("stranger")))
    assert connection.verified_chain == [LEAF.der, INTERMEDIATE.der, ROOT.der]
    assert len(connection.served_chain or ()) == 3


@each_version
def test_a_wrong_name_is_refused(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    assert refusal(Config([ROOT.der]), server, "other.test") == ("certificate", "wrong_name")


@each_version
def test_an_unknown_ca_is_refused(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    assert refusal(Config([issue("Other root").der]), server) == ("certificate", "unknown_issuer")


@each_version
def test_a_ca_that_has_only_the_name_of_the_anchor_is_refused(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    assert refusal(Config([issue("Root").der]), server) == ("certificate", "bad_signature")


def _with_root(root: Issued) -> tuple[Config, Server]:
    return Config([root.der]), Server(issue("leaf", root, ca=False, names=("server.test",)))


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (issue("expired", days=(-30, -1)), "expired"),
        (issue("not yet", days=(1, 30)), "not_yet_valid"),
        (issue("critical", unknown=True), "critical_extension"),
        (issue("no constraints", constraints=None), "not_a_ca"),
        (issue("no CA", constraints=x509.BasicConstraints(ca=False, path_length=None)), "not_a_ca"),
    ],
    ids=lambda value: (
        value.certificate.subject.rfc4514_string() if isinstance(value, Issued) else ""
    ),
)
def test_an_anchor_that_may_end_no_path_is_refused(root: Issued, reason: str) -> None:
    assert refusal(*_with_root(root)) == ("certificate", reason)


def test_a_key_is_used_as_its_usages_say() -> None:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    assert refusal(*_with_root(issue("no signer", usage=usage))) == ("certificate", "not_a_ca")
    between = issue("no signer", ROOT, usage=usage)
    leaf = issue("leaf", between, ca=False, names=("server.test",))
    assert refusal(Config([ROOT.der]), Server(leaf, between)) == ("certificate", "not_a_ca")
    user = issue("leaf", ROOT, ca=False, names=("server.test",), usage=usage)
    assert refusal(Config([ROOT.der]), Server(user)) == ("certificate", "key_usage")
    connect(Config(None), Server(user))


def test_an_anchor_may_have_an_unknown_extension() -> None:
    connect(*_with_root(issue("not critical", unknown=False)))


@pytest.mark.parametrize("where", ["root", "intermediate", "leaf"])
def test_what_was_not_issued_for_servers_is_refused(where: str) -> None:
    def purposes(here: str) -> tuple[x509.ObjectIdentifier, ...]:
        usage = ExtendedKeyUsageOID
        return (usage.CLIENT_AUTH if here == where else usage.SERVER_AUTH,)

    root = issue("Root", purposes=purposes("root"))
    between = issue("Between", root, purposes=purposes("intermediate"))
    leaf = issue("leaf", between, ca=False, names=("server.test",), purposes=purposes("leaf"))
    assert refusal(Config([root.der]), Server(leaf, between)) == ("certificate", "wrong_purpose")


def test_the_path_length_of_the_anchor_holds() -> None:
    root = issue("short", constraints=x509.BasicConstraints(ca=True, path_length=0))
    between = issue("between", root)
    leaf = issue("leaf", between, ca=False, names=("server.test",))
    assert refusal(Config([root.der]), Server(leaf, between)) == ("certificate", "path_length")
    connect(*_with_root(root))


def test_of_two_anchors_with_one_key_the_valid_one_ends_the_path() -> None:
    expired = issue("Twin", days=(-30, -1))
    builder = x509.CertificateBuilder().subject_name(expired.certificate.subject)
    valid = Issued(
        builder.issuer_name(expired.certificate.subject)
        .public_key(expired.key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(expired.key, hashes.SHA256()),
        expired.key,
    )
    leaf = issue("leaf", valid, ca=False, names=("server.test",))
    for anchors in ([expired.der, valid.der], [valid.der, expired.der]):
        assert connect(Config(anchors), Server(leaf)).verified_chain == [leaf.der, valid.der]


def test_an_anchor_that_is_no_strict_der_is_named() -> None:
    with pytest.raises(ValueError, match="anchor 1 "):
        Config([ROOT.der, ROOT.der + b"\0"])
