"""Keys of any kind: of the server, under each trust, and of the client."""

from __future__ import annotations

import ssl

import certifi
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pinio_rustls import Config, Connection, TLSFailure

from tests.authority import (
    INTERMEDIATE,
    LEAF,
    ROOT,
    VERSIONS,
    Key,
    Server,
    connect,
    ders,
    issue,
    parts,
    signed,
    version_1,
    wrapped,
)

each_version = pytest.mark.parametrize("version", VERSIONS)
KEYS: dict[str, Key] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA-2048": rsa.generate_private_key(65537, 2048),
    "RSA-1024": rsa.generate_private_key(65537, 1024),
}
each_good_key = pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "RSA-1024"])


@each_version
@each_good_key
@pytest.mark.parametrize("old", [False, True], ids=["version 3", "version 1"])
@pytest.mark.parametrize("trust", ["path", "leaf alone"])
def test_a_key_of_each_kind_is_served(version: str, kind: str, old: bool, trust: str) -> None:
    leaf = issue("device", ca=False, names=("server.test",), key=KEYS[kind])
    leaf = version_1(leaf) if old else leaf
    server = Server(leaf, version=version)
    config = Config([leaf.der] if trust == "path" else None)
    if version == "1.2" and kind == "P-521":  # a curve that is offered for signatures alone
        with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
            connect(config, server)
    elif trust == "path" and old:
        with pytest.raises(TLSFailure) as caught:
            connect(config, server)
        assert caught.value.args[0] == "certificate"
        assert not server.done
    else:
        connection = connect(config, server)
        assert connection.verified_chain == [leaf.der]
        assert server.done


@each_version
@pytest.mark.parametrize("old", [False, True], ids=["version 3", "version 1"])
@pytest.mark.parametrize("trust", ["path", "leaf alone"])
def test_a_small_rsa_key_is_refused_in_words(version: str, old: bool, trust: str) -> None:
    leaf = issue("device", ca=False, names=("server.test",), key=KEYS["RSA-1024"])
    leaf = version_1(leaf) if old else leaf
    server = Server(leaf, version=version)
    with pytest.raises(TLSFailure, match="RSA key has 1024 bits, and 2048") as caught:
        connect(Config([leaf.der] if trust == "path" else None), server)
    assert caught.value.args[:2] == ("certificate", "key_size")
    assert not server.done


def test_extensions_do_not_matter_where_no_path_is_verified() -> None:
    """Some are unknown, and some write out a default that DER leaves out."""
    plain = issue("device", ca=False, names=("server.test",))
    tbs = [part for part in parts(parts(plain.der)[0]) if part[0] != 0xA3]
    oid, value = b"\x06\x03\x2a\x03\x04", wrapped(0x04, b"\x05\x00")
    for kind, critical in {"critical": b"\x01\x01\xff", "default": b"\x01\x01\x00"}.items():
        extensions = wrapped(0xA3, wrapped(0x30, wrapped(0x30, oid + critical + value)))
        leaf = signed([*tbs, extensions], plain)
        connection = connect(Config(None), Server(leaf))
        assert connection.verified_chain == [leaf.der], kind


@each_version
@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("P-256", PrivateFormat.PKCS8),
        ("P-256", PrivateFormat.TraditionalOpenSSL),  # SEC 1
        ("P-384", PrivateFormat.PKCS8),
        ("Ed25519", PrivateFormat.PKCS8),
        ("RSA-2048", PrivateFormat.PKCS8),
        ("RSA-2048", PrivateFormat.TraditionalOpenSSL),  # PKCS #1
    ],
)
def test_a_client_shows_its_identity(version: str, kind: str, form: PrivateFormat) -> None:
    me = issue("me", ROOT, ca=False, key=KEYS[kind])
    der = me.key.private_bytes(Encoding.DER, form, NoEncryption())
    server = Server(LEAF, INTERMEDIATE, version=version, asks=ROOT)
    connect(Config([ROOT.der], identity=([me.der], der)), server)
    assert server.done
    assert server.tls.getpeercert(binary_form=True) == me.der


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        ([LEAF.der], ROOT.key_der),
        ([LEAF.der], b"no key"),
        ([], LEAF.key_der),
        ([b"no"], LEAF.key_der),
    ],
    ids=["another's key", "no key", "no certificate", "no certificate's bytes"],
)
def test_an_identity_that_is_none_is_an_error(chain: list[bytes], key: bytes) -> None:
    with pytest.raises(ValueError):
        Config([ROOT.der], identity=(chain, key))


@each_version
def test_alpn_is_agreed(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version, alpn=("h2", "http/1.1"))
    connection = connect(Config([ROOT.der], alpn=[b"http/1.1", b"spdy"]), server)
    assert connection.alpn == b"http/1.1"
    assert server.tls.selected_alpn_protocol() == "http/1.1"
    assert connect(Config([ROOT.der]), server).alpn is None


@pytest.mark.parametrize(
    "alpn", [[b""], [b"x" * 256], [b"x" * 255] * 40], ids=["empty", "long", "many"]
)
def test_protocols_that_alpn_cannot_carry_are_an_error(alpn: list[bytes]) -> None:
    with pytest.raises(ValueError, match="ALPN"):
        Config([ROOT.der], alpn=alpn)


def test_a_version_that_is_not_offered_is_not_agreed() -> None:
    for config, version in (
        (Config([ROOT.der], tls12=False), "1.2"),
        (Config([ROOT.der], tls13=False), "1.3"),
    ):
        server = Server(LEAF, INTERMEDIATE, version=version)
        connection = Connection(config, "server.test")
        with pytest.raises((OSError, TLSFailure)):  # whichever side speaks first
            connection.feed(server.answer(connection.take()))
        assert not server.done
    with pytest.raises(ValueError, match="neither"):
        Config([ROOT.der], tls12=False, tls13=False)


def extensions(hello: bytes) -> dict[int, bytes]:
    """Of a client hello in one record (RFC 8446 section 4.1.2)."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at] + 2
    found = {}
    while at < len(hello):
        kind, size = (int.from_bytes(hello[n : n + 2], "big") for n in (at, at + 2))
        found[kind] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def test_the_first_key_share_is_post_quantum() -> None:
    hello = extensions(Connection(Config([ROOT.der]), "server.test").take())
    groups, shares = hello[10], hello[51]
    assert groups[2:4] == shares[2:4] == b"\x11\xec"  # X25519MLKEM768


def test_each_public_root_is_an_anchor() -> None:
    roots = ders(certifi.contents())
    assert Config(roots).ends == len(roots) > 100
