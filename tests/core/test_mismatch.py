"""A pin that is nearly right: the hint says what is wrong with it, and the pin that it gives matches."""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.message import waived
from pinio.core.mismatch import hint
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.testing import CA
from tests.core import forge
from tests.core.chains import HOST, NOW, A, B, genuine, judged
from tests.core.forge import Forged

LEAF, INNER, ROOT = genuine().ders
LEAF_PIN, INNER_PIN, ROOT_PIN = genuine().pins
ROTATED = "if the keys were rotated on purpose"


def pin_of(data: bytes, algorithm: str = "sha256", prefix: str = "") -> str:
    return f"{prefix}{algorithm}/{b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def hint_for(*pins: str, chain: VerifiedChain | None = None, **choices: Any) -> str:
    decision = judged(PinSet([*pins, A], **choices), chain)
    assert isinstance(decision, Refusal)
    assert decision.text().endswith(f"\n  hint: {decision.hint()}")
    return decision.hint()


def corrected(text: str) -> str:
    """The last pin that a hint gives."""
    return str(Pin.parse(text.rpartition(" ")[2]))


@pytest.mark.parametrize(
    ("pin", "words", "right"),
    [
        (f"ca:{LEAF_PIN}", "the key at position 0 (the leaf, CN=api.example.com), but the pin's role is ca", f"leaf:{LEAF_PIN}"),
        (f"leaf:{INNER_PIN}", "at position 1 (a CA, OU=genuine root intermediate), but the pin's role", f"ca:{INNER_PIN}"),
        (f"leaf:{ROOT_PIN}", "the key at position 2 (a CA, OU=genuine root), but the pin's role is leaf", f"ca:{ROOT_PIN}"),
        (f"ca:{pin_of(LEAF, prefix='cert-')}", "the whole certificate at position 0", f"leaf:{pin_of(LEAF, prefix='cert-')}"),
    ],
    ids=["leaf as ca", "ca as leaf", "root as leaf", "certificate of the leaf as ca"],
)  # fmt: skip
def test_the_right_digest_in_the_wrong_role(pin: str, words: str, right: str) -> None:
    text = hint_for(pin)
    assert words in text
    assert f"the digest of {pin}" in text
    assert corrected(text) == right
    assert ROTATED not in text
    assert isinstance(judged([right, A]), Permit)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("position", range(3), ids=["leaf", "intermediate", "root"])
def test_a_certificates_digest_pinned_as_a_keys(position: int, algorithm: str) -> None:
    der = genuine().ders[position]
    pin, whole = pin_of(der, algorithm), pin_of(der, algorithm, "cert-")
    text = hint_for(pin)
    assert f"the digest of {pin} is that of the whole certificate at position {position}" in text
    assert f"write {whole}, or pin the key" in text
    assert isinstance(judged([whole, A]), Permit)
    assert isinstance(judged([corrected(text), A]), Permit)
    assert Pin.parse(corrected(text)).selector == "spki"


@pytest.mark.parametrize("position", range(3), ids=["leaf", "intermediate", "root"])
def test_a_keys_digest_pinned_as_a_certificates(position: int) -> None:
    right = genuine().pins[position]
    text = hint_for(f"cert-{right}")
    assert f"is that of the key at position {position}" in text
    assert corrected(text) == right


def test_both_at_once() -> None:
    """The digest of a CA's certificate, as the pin of a leaf's key."""
    text = hint_for(pin_of(INNER, prefix="leaf:"))
    assert f"write {pin_of(INNER, prefix='ca:cert-')}, or" in text
    assert corrected(text) == f"ca:{INNER_PIN}"


@cache
def rsa() -> VerifiedChain:
    root = CA("an RSA root", key_type="rsa")
    return VerifiedChain([root.issue(HOST, key_type="rsa").der, root.der])


def key_of(der: bytes) -> RSAPublicKey:
    key = x509.load_der_x509_certificate(der).public_key()
    assert isinstance(key, RSAPublicKey)
    return key


def public_pem(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "the PEM text of the certificate": lambda der: ssl.DER_cert_to_PEM_cert(der).encode(),
    "the PEM text of the certificate, stripped": lambda der: ssl.DER_cert_to_PEM_cert(der).strip().encode(),
    "the PEM text of the key": public_pem,
    "the key's bits": lambda der: key_of(der).public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "the key's modulus": lambda der: key_of(der).public_numbers().n.to_bytes(256),
    "the key's modulus, as openssl prints it": lambda der: b"Modulus=%X\n" % key_of(der).public_numbers().n,
    "the key's modulus in hexadecimal": lambda der: b"%X" % key_of(der).public_numbers().n,
}  # fmt: skip


@pytest.mark.parametrize("position", range(2), ids=["leaf", "root"])
@pytest.mark.parametrize("what", OTHERS)
def test_the_digest_of_something_else(what: str, position: int) -> None:
    der = rsa().certificates[position].der
    pin = pin_of(OTHERS[what](der))
    text = hint_for(pin, chain=rsa())
    assert (
        f"the digest of {pin} is that of {what.partition(',')[0].removesuffix(' in hexadecimal')}"
        in text
    )
    assert f"at position {position}" in text
    assert "the SubjectPublicKeyInfo in DER" in text
    assert corrected(text) == rsa().certificates[position].pin


def test_the_bits_of_a_key_that_is_not_rsa() -> None:
    point = x509.load_der_x509_certificate(LEAF).public_key()
    bits = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    text = hint_for(pin_of(bits))
    assert "the key's bits without their algorithm at position 0" in text
    assert corrected(text) == LEAF_PIN


def test_it_is_said_of_backups_and_of_what_was_waived() -> None:
    text = hint_for(B, backup=f"leaf:{ROOT_PIN}")
    assert corrected(text) == f"ca:{ROOT_PIN}"
    decision = judged(PinSet([f"leaf:{ROOT_PIN}", A], mode="report-only"))
    assert isinstance(decision, Permit)
    assert waived(decision).endswith(f"write ca:{ROOT_PIN}")


def test_of_the_name_that_did_not_match() -> None:
    """The other name of a connection has pins of its own."""
    hosts = {HOST: PinSet([LEAF_PIN, A]), "url.test": PinSet([f"ca:{LEAF_PIN}", A])}
    decision = judge(Policy(hosts).endpoint(HOST, 443, url_host="url.test"), genuine().chain, NOW)
    assert isinstance(decision, Refusal)
    assert corrected(decision.hint()) == f"leaf:{LEAF_PIN}"


def test_a_device_shows_its_leaf_alone() -> None:
    chain = VerifiedChain([LEAF])
    text = hint_for(pin_of(LEAF), chain=chain, trust="leaf-pin")
    assert f"write {pin_of(LEAF, prefix='cert-')}" in text


def test_keys_that_nobody_has_are_rotated_ones() -> None:
    assert hint_for(B).startswith(ROTATED)
    assert hint(genuine().chain.certificates, PinSet([A, B])) is None


@pytest.mark.parametrize(
    "der",
    [b"no certificate", Forged(spki=forge.some_spki()).der, Forged(subject=b"\x30\x00").der],
    ids=["no certificate", "another kind of key", "no subject"],
)
def test_certificates_of_every_kind(der: bytes) -> None:
    """What cannot be read says nothing, and raises nothing."""
    assert hint_for(B, chain=VerifiedChain([der])).startswith(ROTATED)


def test_a_broken_rsa_key_is_one_of_another_kind() -> None:
    """OpenSSL verified the chain; whatever stands in the key of one of its certificates."""
    algorithm = forge.tlv(
        0x30, forge.tlv(forge.OID, bytes.fromhex("2a864886f70d010101")), forge.NULL
    )
    spki = forge.tlv(0x30, algorithm, forge.tlv(forge.BIT_STRING, b"\x00", b"\x31\x03abc"))
    chain = VerifiedChain([Forged(spki=spki).der])
    assert hint_for(B, chain=chain).startswith(ROTATED)
    assert "PEM text of the key" in hint_for(pin_of(ssl_pem(spki)), chain=chain)


def ssl_pem(spki: bytes) -> bytes:
    body = b64encode(spki).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(
        ["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]
    ).encode()
