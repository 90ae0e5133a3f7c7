"""Two parsers that read one certificate differently are a bypass: the walk against OpenSSL and against `cryptography`."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.certificate import Certificate, VerifiedChain
from pinio.core.decision import Refusal
from pinio.core.der import DERError, fields
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.verdict import Mismatch
from tests.core import forge
from tests.core.chains import HOST, genuine, judged
from tests.core.forge import Forged, tlv
from tests.core.lax import lax_walk

SUBJECT_ALT_NAME = b"\x55\x1d\x11"


class Interception(NamedTuple):
    """A certificate that a trusted CA signed, the attacker's key in it, and the CA's certificate."""

    certificate: bytes
    key: ec.EllipticCurvePrivateKey
    ca: x509.Certificate


@pytest.fixture(scope="module")
def pinned() -> bytes:
    """The SubjectPublicKeyInfo that the client has pinned; the attacker knows it, as everybody does."""
    return forge.spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.fixture(scope="module")
def ber(pinned: bytes) -> Interception:
    """A BER certificate: version and signature algorithm have indefinite lengths, and the parameters of the latter are the
    pinned key.
    """
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    certificate = Forged(
        version=forge.indefinite(0xA0, tlv(2, b"\x02")),
        signature=forge.indefinite(0x30, forge.ECDSA_SHA256, pinned),
        outer_signature=tlv(0x30, forge.ECDSA_SHA256, pinned),
        issuer=ca.subject.public_bytes(),
        subject=forge.name(HOST),
        spki=forge.spki_of(key.public_key()),
        trailing=tlv(
            0xA3, tlv(0x30, forge.extension(SUBJECT_ALT_NAME, tlv(0x30, tlv(0x82, HOST.encode()))))
        ),
    ).signed(ca_key)
    return Interception(certificate.der, key, ca)


PLAIN = Forged()


def _version(number: bytes) -> bytes:
    return tlv(0xA0, tlv(2, number))


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "a CA that signs what it is shown")]
    )
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2049, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def test_a_lax_walker_would_have_been_fooled(ber: Interception, pinned: bytes) -> None:
    """The attack is real: the usual ten lines find the pinned key in the attacker's certificate."""
    assert lax_walk(genuine().leaf.der) == fields(genuine().leaf.der).spki
    assert lax_walk(ber.certificate) == pinned


def test_the_strict_walk_refuses_what_openssl_accepts(
    ber: Interception, pinned: bytes, tmp_path: Path
) -> None:
    """OpenSSL completes a handshake with the BER certificate, name and chain verified; here it has no key and matches no pin."""
    leaf = _handshake(ber, tmp_path)
    assert leaf == ber.certificate

    with pytest.raises(DERError):
        fields(leaf)
    certificate = Certificate.of(leaf)
    assert (certificate.spki, certificate.spki_sha256, certificate.digest("cert", "sha256")) == (
        None,
        None,
        None,
    )
    pins = PinSet(
        [Pin.of_public_key(pinned), Pin.of_public_key(forge.spki_of(ber.key.public_key()))]
    )
    decision = judged(pins, VerifiedChain([leaf, ber.ca.public_bytes(Encoding.DER)]))
    assert isinstance(decision, Refusal)
    assert isinstance(decision.verdict, Mismatch)
    assert decision.reason == "PIN_MISMATCH"


def test_a_certificate_without_a_readable_key_does_not_hide_its_issuer(ber: Interception) -> None:
    """It matches nothing itself, and takes nothing away: a pinned CA above it still counts."""
    ca = ber.ca.public_bytes(Encoding.DER)
    decision = judged(
        PinSet(Pin.of_certificate(ca, role="ca"), single="test"),
        VerifiedChain([ber.certificate, ca]),
    )
    assert not isinstance(decision, Refusal)
    assert decision.position == 1


VERSIONS = {
    "v1 left out": b"",
    "v1 spelled out": _version(b"\x00"),
    "v2": _version(b"\x01"),
    "v3": _version(b"\x02"),
    "v4": _version(b"\x03"),
    "v128": _version(b"\x7f"),
    "v0": _version(b"\xff"),
    "v301": _version(b"\x01\x2c"),
    "of twenty octets": _version(b"\x11" * 20),
}


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_version_hides_no_key_that_openssl_used(version: bytes, tmp_path: Path) -> None:
    """OpenSSL completes a handshake with any number there, so that the peer has the key in the certificate: the walk finds it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    certificate = Forged(
        version=version,
        issuer=ca.subject.public_bytes(),
        subject=forge.name(HOST),
        spki=forge.spki_of(key.public_key()),
        trailing=tlv(
            0xA3, tlv(0x30, forge.extension(SUBJECT_ALT_NAME, tlv(0x30, tlv(0x82, HOST.encode()))))
        ),
    ).signed(ca_key)
    leaf = _handshake(Interception(certificate.der, key, ca), tmp_path)
    assert leaf == certificate.der
    assert fields(leaf).spki == forge.spki_of(key.public_key())
    decision = judged(
        PinSet(Pin.of_public_key(certificate.spki), single="test"),
        VerifiedChain([leaf, ca.public_bytes(Encoding.DER)]),
    )
    assert not isinstance(decision, Refusal) and decision.position == 0


def _parses(der: bytes) -> bool:
    """Whether OpenSSL reads this as a certificate."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except ssl.SSLError:
        return False
    return True


_versions = st.one_of(
    st.binary(max_size=3).map(lambda content: tlv(0xA0, tlv(2, content))),
    st.binary(max_size=6).map(lambda content: tlv(0xA0, content)),
    st.builds(
        lambda tag, inner, content: tlv(tag, tlv(inner, content)),
        st.sampled_from([0x80, 0xA0, 0xA1, 0x30]),
        st.sampled_from([2, 4, 5, 10, 0x22]),
        st.binary(max_size=2),
    ),
)


@given(_versions)
def test_every_version_is_read_as_openssl_reads_it(version: bytes) -> None:
    """What OpenSSL reads, the walk reads, and the reverse; but for lengths in BER, which the walk refuses."""
    forged = PLAIN.but(version=version)
    try:
        found = fields(forged.der)
    except DERError:
        in_ber = version[:1] == b"\xa0" and version[2:3] == b"\x02" and version[3:4] > b"\x80"
        assert in_ber or not _parses(forged.der)
        return
    assert found.spki == forged.spki
    assert _parses(forged.der)


def _handshake(interception: Interception, folder: Path) -> bytes:
    """A TLS handshake in memory; returns the certificate that the client's OpenSSL verified."""
    pem = ssl.DER_cert_to_PEM_cert(interception.certificate)
    key = interception.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (folder / "server.pem").write_text(pem + key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "server.pem")
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.load_verify_locations(cadata=interception.ca.public_bytes(Encoding.PEM).decode())
    assert (client_context.verify_mode, client_context.check_hostname) == (ssl.CERT_REQUIRED, True)

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=HOST)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert client.version() == server.version() is not None
    leaf = client.getpeercert(binary_form=True)
    assert leaf is not None
    return leaf


def _mutations(der: bytes) -> st.SearchStrategy[bytes]:
    """A few bytes replaced, removed or put in, somewhere."""

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = der
        for at, removed, inserted in edits:
            data = data[:at] + inserted + data[at + removed :]
        return data

    edit = st.tuples(st.integers(0, len(der) - 1), st.integers(0, 3), st.binary(max_size=3))
    return st.lists(edit, min_size=1, max_size=4).map(apply)


def _every_header(der: bytes) -> Iterator[int]:
    """Offsets of the elements' headers, where a parser decides."""
    starts = [0]
    while starts:
        at = starts.pop()
        yield at
        length, start = der[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, start = int.from_bytes(der[start : start + octets], "big"), start + octets
        if der[at] & 0x20:
            inner = start
            while inner < start + length:
                starts.append(inner)
                size, body = der[inner + 1], inner + 2
                if size & 0x80:
                    size, body = (
                        int.from_bytes(der[body : body + (size & 0x7F)], "big"),
                        body + (size & 0x7F),
                    )
                inner = body + size


def _agree(data: bytes) -> None:
    """Refused by the walk, or by `cryptography`, or read alike by both."""
    try:
        found = fields(data)
    except DERError:
        return
    assert found.spki in data
    try:
        key = x509.load_der_x509_certificate(data).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return
    if isinstance(key, ec.EllipticCurvePublicKey):
        assert forge.spki_of(key) == found.spki


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(_mutations(genuine().leaf.der))
def test_mutated_certificates_are_refused_or_read_alike(data: bytes) -> None:
    """The walk raises nothing but `DERError`, and never finds another key than `cryptography` does."""
    _agree(data)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_every_header_with_every_other_tag_or_length() -> None:
    """The same for each tag and each length octet of a certificate, replaced by every value there is."""
    der = genuine().leaf.der
    for at in sorted(set(_every_header(der))):
        for octet in range(256):
            _agree(der[:at] + bytes((octet,)) + der[at + 1 :])
            _agree(der[: at + 1] + bytes((octet,)) + der[at + 2 :])


@given(st.binary(max_size=200))
def test_noise_is_refused_quietly(data: bytes) -> None:
    """Arbitrary bytes bring `DERError` and nothing else."""
    with suppress(DERError):
        fields(data)
    with suppress(DERError):
        fields(tlv(0x30, tlv(0x30, data)))
