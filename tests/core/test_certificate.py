"""Digests are over the bytes that stand in the certificate, whatever the key; chains keep what they are apart."""

from __future__ import annotations

import hashlib
import pickle
import secrets
import shutil
import subprocess
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pinio.core.certificate import Certificate, ServedChain, VerifiedChain
from tests.core import forge
from tests.core.chains import attacker, genuine
from tests.core.forge import Forged, tlv

RSA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
RSA_PSS = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
ID_EC = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
PRIME256V1 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"


def _rsa(bits: int) -> bytes:
    # An odd number of that length is all that an encoder looks at, and costs no search for primes.
    modulus = secrets.randbits(bits) | 1 << bits - 1 | 1
    return forge.spki_of(rsa.RSAPublicNumbers(65537, modulus).public_key())


def _rsa_key(algorithm: bytes, usual: bytes | None = None) -> bytes:
    """An RSA key under another AlgorithmIdentifier."""
    usual = usual or _rsa(2048)
    key = usual[usual.index(RSA + forge.NULL) + len(RSA) + 2 :]
    return tlv(0x30, tlv(0x30, algorithm), key)


def _ec(curve: ec.EllipticCurve) -> bytes:
    return forge.spki_of(ec.generate_private_key(curve).public_key())


def _point(form: Callable[[bytes], bytes]) -> bytes:
    """A P-256 key whose point is spelled in another form."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    uncompressed = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return tlv(0x30, tlv(0x30, ID_EC, PRIME256V1), tlv(3, b"\x00", form(uncompressed)))


USUAL: dict[str, Callable[[], bytes]] = {
    "RSA 1024": lambda: _rsa(1024),
    "RSA 2048": lambda: _rsa(2048),
    "RSA 3072": lambda: _rsa(3072),
    "RSA 4096": lambda: _rsa(4096),
    "RSA-PSS": lambda: _rsa_key(RSA_PSS),
    "P-256": lambda: _ec(ec.SECP256R1()),
    "P-384": lambda: _ec(ec.SECP384R1()),
    "P-521": lambda: _ec(ec.SECP521R1()),
    "Ed25519": lambda: forge.spki_of(ed25519.Ed25519PrivateKey.generate().public_key()),
    "Ed448": lambda: forge.spki_of(ed448.Ed448PrivateKey.generate().public_key()),
}
REENCODED: dict[str, Callable[[], bytes]] = {
    "RSA without NULL parameters": lambda: _rsa_key(RSA),
    "compressed point": lambda: _point(lambda point: bytes((2 + point[-1] % 2,)) + point[1:33]),
    "hybrid point": lambda: _point(lambda point: bytes((6 + point[-1] % 2,)) + point[1:]),
}


def openssl_digest(certificate: bytes) -> bytes:
    """SHA-256 of what `openssl x509 -pubkey | openssl pkey -pubin -outform der` prints."""
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("the openssl command is not installed: SPKI digests were not compared with it")
    pem = subprocess.run(
        [command, "x509", "-inform", "der", "-pubkey", "-noout"],
        input=certificate,
        capture_output=True,
        check=True,
    )
    der = subprocess.run(
        [command, "pkey", "-pubin", "-outform", "der"],
        input=pem.stdout,
        capture_output=True,
        check=True,
    )
    return hashlib.sha256(der.stdout).digest()


@pytest.mark.parametrize("kind", USUAL)
def test_the_digest_is_the_one_that_openssl_prints(kind: str) -> None:
    """The recipe that everybody pins with gives the same digest, for every kind of key."""
    certificate = Certificate.of(Forged(spki=USUAL[kind]()).der)
    assert certificate.spki_sha256 == openssl_digest(certificate.der)


@pytest.mark.parametrize("kind", REENCODED)
def test_the_digest_is_over_the_raw_bytes_where_encoders_differ(kind: str) -> None:
    """One key has several lawful spellings, and some tools rewrite them; the pin is over what stands in the certificate."""
    spki = REENCODED[kind]()
    assert Certificate.of(Forged(spki=spki).der).spki_sha256 == hashlib.sha256(spki).digest()


def test_openssl_encodes_an_rsa_key_anew() -> None:
    """Why the test above is needed: for a key without NULL parameters the recipe prints the digest of other bytes."""
    with_null = _rsa(2048)
    without = _rsa_key(RSA, with_null)
    assert openssl_digest(Forged(spki=without).der) == hashlib.sha256(with_null).digest()
    assert Certificate.of(Forged(spki=without).der).spki_sha256 == hashlib.sha256(without).digest()


def test_a_key_type_that_nobody_knows_has_a_digest() -> None:
    """The walk needs no knowledge of algorithms, so that new ones work on the day they appear."""
    spki = tlv(0x30, tlv(0x30, tlv(6, b"\x2a\x03\x04")), tlv(3, b"\x00", b"k" * 3000))
    assert Certificate.of(Forged(spki=spki).der).spki_sha256 == hashlib.sha256(spki).digest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_both_selectors_and_all_algorithms(algorithm: str) -> None:
    """ "spki" hashes the key, "cert" the whole certificate; asked twice, the answer is the same."""
    forged = Forged()
    certificate = Certificate.of(forged.der)
    for _ in range(2):
        assert certificate.digest("spki", algorithm) == hashlib.new(algorithm, forged.spki).digest()
        assert certificate.digest("cert", algorithm) == hashlib.new(algorithm, forged.der).digest()
    assert certificate.pin.startswith("sha256/")


def test_what_the_walk_refuses_has_no_digest_of_any_kind() -> None:
    """A certificate that cannot be read matches nothing: not even a pin of the whole."""
    certificate = Certificate.of(b"\x30\x80\x00\x00")
    assert {
        certificate.fields,
        certificate.spki,
        certificate.spki_sha256,
        certificate.not_after,
    } == {None}
    assert {
        certificate.digest(what, how) for what in ("spki", "cert") for how in ("sha256", "sha512")
    } == {None}
    assert certificate.pin == "(no pin: not strict DER)"
    assert not certificate.self_issued


def test_not_after() -> None:
    """The end of validity in POSIX seconds, or None where it is not a time; asked twice, the same."""
    good, bad = Certificate.of(Forged().der), Certificate.of(Forged(validity=tlv(0x30)).der)
    for _ in range(2):
        assert good.not_after == 2524607999
        assert bad.not_after is None
    assert bad.spki_sha256 is not None


def test_not_before() -> None:
    """The beginning, likewise."""
    assert Certificate.of(Forged().der).not_before == 1577836800
    assert Certificate.of(Forged(validity=tlv(0x30)).der).not_before is None
    assert Certificate.of(b"no certificate").not_before is None


def test_self_issued() -> None:
    """Issuer and subject are compared as bytes."""
    assert Certificate.of(genuine().root.der).self_issued
    assert not Certificate.of(genuine().intermediate.der).self_issued


def test_certificates_are_their_bytes() -> None:
    """Equal bytes are one certificate, and a pickled one comes back as itself."""
    der = genuine().leaf.der
    again = Certificate.of(bytes(bytearray(der)))
    assert again is Certificate.of(der)
    assert pickle.loads(pickle.dumps(again)) is again
    assert again == Certificate(der)
    assert hash(again) == hash(Certificate(der))
    assert again != Certificate.of(attacker().leaf.der)
    assert again != der
    assert genuine().leaf.pin in repr(again)


def test_a_chain_keeps_order_and_kind() -> None:
    """Leaf first; a served chain never equals a verified one of the same certificates."""
    verified, served = VerifiedChain(genuine().ders), ServedChain(genuine().ders)
    assert tuple(item.der for item in verified) == genuine().ders
    assert verified.leaf.der == genuine().leaf.der
    assert len(verified) == 3
    assert verified == VerifiedChain(list(genuine().ders))
    assert hash(verified) == hash(VerifiedChain(genuine().ders))
    assert verified != served
    assert verified != VerifiedChain(genuine().ders[::-1])
    assert not VerifiedChain(())
    assert pickle.loads(pickle.dumps(verified)) == verified
    assert pickle.loads(pickle.dumps(served)) == served
    assert repr(verified).startswith("<VerifiedChain ['sha256/")
