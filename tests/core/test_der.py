"""The strict walk: it finds the key where RFC 5280 puts it, or refuses."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.der import (
    MAX_CERTIFICATE,
    DERError,
    check_public_key,
    element,
    fields,
    not_after,
    not_before,
)
from tests.core import forge
from tests.core.chains import genuine
from tests.core.forge import Forged, tlv

PLAIN = Forged()


def test_the_parts_are_the_bytes_that_stand_in_the_certificate() -> None:
    """Every field is a slice of the certificate, never an encoding of what was understood."""
    found = fields(PLAIN.der)
    assert found == (PLAIN.issuer, PLAIN.validity, PLAIN.subject, PLAIN.spki)


@pytest.mark.parametrize("position", range(3), ids=["leaf", "intermediate", "root"])
def test_real_certificates_walk(position: int) -> None:
    """What a CA issues is read, and the key is the one that `cryptography` reads."""
    der = genuine().ders[position]
    assert fields(der).spki == forge.spki_of(x509.load_der_x509_certificate(der).public_key())


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_every_public_root_walks() -> None:
    """No CA of the public list is refused for its encoding, so that strictness costs nobody a connection."""
    roots = x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())
    assert len(roots) > 100
    for root in roots:
        assert fields(root.public_bytes(Encoding.DER)).spki == forge.spki_of(root.public_key())


@pytest.mark.parametrize(
    "accepted",
    [
        pytest.param(PLAIN.but(version=b""), id="v1 leaves the version out"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\x00"))), id="v1 spelled out"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\x01"))), id="v2"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\x03"))), id="v4"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\x7f"))), id="v128"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\xff"))), id="v0"),
        pytest.param(PLAIN.but(version=tlv(0xA0, tlv(2, b"\x00\xff"))), id="v256"),
        pytest.param(
            PLAIN.but(version=tlv(0xA0, tlv(2, b"\x11" * 300))), id="a version of 300 octets"
        ),
        pytest.param(PLAIN.but(trailing=tlv(0x81, b"\x00id")), id="issuer unique id"),
        pytest.param(PLAIN.but(trailing=tlv(0x82, b"\x00id")), id="subject unique id"),
        pytest.param(PLAIN.but(trailing=tlv(0xA3, tlv(0x30))), id="extensions"),
        pytest.param(
            PLAIN.but(trailing=tlv(0x81, b"\x00a") + tlv(0x82, b"\x00b") + tlv(0xA3, tlv(0x30))),
            id="all three",
        ),
        pytest.param(PLAIN.but(serial=tlv(2, b"\xff" * 20)), id="negative serial"),
        pytest.param(
            PLAIN.but(serial=tlv(2, b"\x01" * 300)), id="long serial, length in two octets"
        ),
        pytest.param(
            PLAIN.but(subject=forge.name("x" * 70_000)),
            id="subject of 70 KB, length in three octets",
        ),
        pytest.param(PLAIN.but(subject=tlv(0x30)), id="empty subject"),
    ],
)
def test_every_lawful_shape_walks(accepted: Forged) -> None:
    """Versions 1 to 3, unique identifiers, odd serial numbers and long lengths are DER, and the key is found behind them."""
    assert fields(accepted.der).spki == accepted.spki


def _spelled(element_: bytes, length: bytes) -> bytes:
    """The same element with its one-octet length spelled as `length`."""
    return element_[:1] + length + element_[2:]


REFUSED = {
    "nothing": b"",
    "one byte": b"\x30",
    "not a sequence": b"\x31" + PLAIN.der[1:],
    "a byte behind": PLAIN.der + b"\x00",
    "the certificate twice": PLAIN.der * 2,
    "a byte missing": PLAIN.der[:-1],
    "indefinite certificate": forge.indefinite(
        0x30, PLAIN.tbs, PLAIN.outer_signature, PLAIN.signature_value
    ),
    "length in five octets": b"\x30\x85\x00"
    + len(PLAIN.der[3:]).to_bytes(4, "big")
    + PLAIN.der[3:],
    "length not minimal, leading zero": b"\x30\x82\x00" + PLAIN.der[2:],
    "indefinite tbs": tlv(
        0x30, forge.indefinite(0x30, *PLAIN.elements), PLAIN.outer_signature, PLAIN.signature_value
    ),
    "element behind the signature": tlv(
        0x30, PLAIN.tbs, PLAIN.outer_signature, PLAIN.signature_value, forge.NULL
    ),
    "no signature": tlv(0x30, PLAIN.tbs, PLAIN.outer_signature),
    "no signature algorithm": tlv(0x30, PLAIN.tbs, PLAIN.signature_value),
    "constructed signature": PLAIN.but(signature_value=tlv(0x23, tlv(3, b"\x00abc"))).der,
    "indefinite version": PLAIN.but(version=forge.indefinite(0xA0, tlv(2, b"\x02"))).der,
    "version of nothing": PLAIN.but(version=tlv(0xA0, tlv(2))).der,
    "negative version of two octets": PLAIN.but(version=tlv(0xA0, tlv(2, b"\xff\x80"))).der,
    "version is an enumerated": PLAIN.but(version=tlv(0xA0, tlv(10, b"\x02"))).der,
    "version is implicit": PLAIN.but(version=tlv(0x80, b"\x02")).der,
    "version length not minimal": PLAIN.but(version=tlv(0xA0, b"\x02\x81\x01\x02")).der,
    "something behind the version": PLAIN.but(version=tlv(0xA0, tlv(2, b"\x02"), forge.NULL)).der,
    "version of two octets": PLAIN.but(version=tlv(0xA0, tlv(2, b"\x00\x02"))).der,
    "two versions": PLAIN.but(version=tlv(0xA0, tlv(2, b"\x02"), tlv(2, b"\x02"))).der,
    "empty version": PLAIN.but(version=tlv(0xA0)).der,
    "serial is no integer": PLAIN.but(serial=tlv(4, b"\x05")).der,
    "serial missing": PLAIN.but(serial=b"").der,
    "serial length not minimal": PLAIN.but(serial=_spelled(PLAIN.serial, b"\x81\x01")).der,
    "indefinite signature algorithm": PLAIN.but(
        signature=forge.indefinite(0x30, forge.ECDSA_SHA256)
    ).der,
    "signature algorithm twice": PLAIN.but(signature=PLAIN.signature * 2).der,
    "signature algorithm is a set": PLAIN.but(signature=tlv(0x31, forge.ECDSA_SHA256)).der,
    "issuer is a set": PLAIN.but(issuer=tlv(0x31)).der,
    "validity is a set": PLAIN.but(validity=b"\x31" + PLAIN.validity[1:]).der,
    "subject is a set": PLAIN.but(subject=b"\x31" + PLAIN.subject[1:]).der,
    "key is a set": PLAIN.but(spki=b"\x31" + PLAIN.spki[1:]).der,
    "indefinite issuer": PLAIN.but(issuer=forge.indefinite(0x30, forge.name("x")[2:])).der,
    "validity missing": PLAIN.but(validity=b"").der,
    "validity length not minimal": PLAIN.but(
        validity=_spelled(PLAIN.validity, b"\x81" + PLAIN.validity[1:2])
    ).der,
    "subject missing": PLAIN.but(subject=b"").der,
    "subject length not minimal": PLAIN.but(
        subject=_spelled(PLAIN.subject, b"\x82\x00" + PLAIN.subject[1:2])
    ).der,
    "end of contents between": PLAIN.but(subject=PLAIN.subject + b"\x00\x00").der,
    "key missing": PLAIN.but(spki=b"").der,
    "two keys": PLAIN.but(spki=PLAIN.spki + forge.some_spki(2)).der,
    "key length not minimal": PLAIN.but(spki=_spelled(PLAIN.spki, b"\x81" + PLAIN.spki[1:2])).der,
    "indefinite key": PLAIN.but(spki=forge.indefinite(0x30, PLAIN.spki[2:])).der,
    "subject unique id first": PLAIN.but(trailing=tlv(0x82, b"\x00") + tlv(0x81, b"\x00")).der,
    "unique id twice": PLAIN.but(trailing=tlv(0x81, b"\x00") * 2).der,
    "extensions before a unique id": PLAIN.but(
        trailing=tlv(0xA3, tlv(0x30)) + tlv(0x82, b"\x00")
    ).der,
    "extensions twice": PLAIN.but(trailing=tlv(0xA3, tlv(0x30)) * 2).der,
    "unknown field": PLAIN.but(trailing=tlv(0xA4, tlv(0x30))).der,
    "constructed unique id": PLAIN.but(trailing=tlv(0xA1, tlv(3, b"\x00"))).der,
    "indefinite extensions": PLAIN.but(trailing=forge.indefinite(0xA3, tlv(0x30))).der,
    "over a megabyte": PLAIN.but(subject=forge.name("x" * MAX_CERTIFICATE)).der,
}


@pytest.mark.parametrize("der", REFUSED.values(), ids=REFUSED)
def test_what_deviates_is_refused(der: bytes) -> None:
    """Any tag, length or element that strict DER or RFC 5280 does not put there is refused, never guessed around."""
    with pytest.raises(DERError):
        fields(der)


def test_a_certificate_cut_at_any_byte_is_refused() -> None:
    """No prefix of a certificate is a certificate."""
    der = genuine().leaf.der
    for length in range(len(der)):
        with pytest.raises(DERError):
            fields(der[:length])


KEYS = {
    "nothing": b"",
    "empty": tlv(0x30),
    "no algorithm": tlv(0x30, tlv(3, b"\x00k")),
    "algorithm without an identifier": tlv(0x30, tlv(0x30), tlv(3, b"\x00k")),
    "identifier longer than the algorithm": tlv(
        0x30, b"\x30\x04\x06\x03\x2a\x03", tlv(3, b"\x00k")
    ),
    "algorithm starts with something else": tlv(0x30, tlv(0x30, forge.NULL), tlv(3, b"\x00k")),
    "no key": tlv(0x30, tlv(0x30, forge.ECDSA_SHA256)),
    "key is an octet string": tlv(0x30, tlv(0x30, forge.ECDSA_SHA256), tlv(4, b"\x00k")),
    "key is constructed": tlv(0x30, tlv(0x30, forge.ECDSA_SHA256), tlv(0x23, tlv(3, b"\x00k"))),
    "key is empty": tlv(0x30, tlv(0x30, forge.ECDSA_SHA256), tlv(3)),
    "key has spare bits": tlv(0x30, tlv(0x30, forge.ECDSA_SHA256), tlv(3, b"\x01\xfe")),
    "something behind the key": tlv(
        0x30, tlv(0x30, forge.ECDSA_SHA256), tlv(3, b"\x00k"), forge.NULL
    ),
    "something behind it all": forge.some_spki() + b"\x00",
}


@pytest.mark.parametrize("spki", KEYS.values(), ids=KEYS)
def test_what_is_no_public_key_is_refused(spki: bytes) -> None:
    """A key is an AlgorithmIdentifier with an identifier and a BIT STRING of whole bytes, alone and in a certificate."""
    with pytest.raises(DERError):
        check_public_key(spki)
    with pytest.raises(DERError):
        fields(PLAIN.but(spki=spki).der)


def test_a_public_key_is_accepted() -> None:
    """The positive control of the test above."""
    check_public_key(forge.some_spki())


def test_the_message_says_where() -> None:
    """A refusal names the offset, so that a broken encoder can be mended."""
    with pytest.raises(DERError, match="tag 0x31 at offset 2, expected 0x30"):
        fields(tlv(0x30, tlv(0x31)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x30", "truncated at offset 0"),
        (b"\x30\x80\x00\x00", "length at offset 1 is not a definite DER length"),
        (
            b"\x30\x85\x00\x00\x00\x00\x80" + bytes(128),
            "length at offset 1 is not a definite DER length",
        ),
        (b"\x30\xff" + bytes(200), "length at offset 1 is not a definite DER length"),
        (b"\x30\x82\x01", "length at offset 1 is not a definite DER length"),
        (b"\x30\x81\x7f" + bytes(127), "length at offset 1 is not minimal"),
        (b"\x30\x82\x00\x80" + bytes(128), "length at offset 1 is not minimal"),
        (b"\x30\x03\x00\x00", "element at offset 0 is longer than what holds it"),
        (b"\x30\x81\x80" + bytes(127), "element at offset 0 is longer than what holds it"),
    ],
    ids=range(9),
)
def test_a_length_is_definite_minimal_and_within_bounds(data: bytes, why: str) -> None:
    """Each rule for itself, and each says which it is."""
    with pytest.raises(DERError, match=why):
        element(data, 0, len(data), 0x30)


@given(st.binary(max_size=64), st.integers(0, 70), st.integers(0, 70), st.integers(0, 255))
def test_an_element_lies_within_its_bounds(data: bytes, offset: int, end: int, tag: int) -> None:
    """Whatever the bytes and bounds: content that starts behind `offset` and ends before `end`, or `DERError`."""
    end = min(end, len(data))
    if offset < end and tag % 8:  # or hardly any element would have the tag that is asked for
        tag = data[offset]
    try:
        start, stop = element(data, offset, end, tag)
    except DERError:
        return
    assert offset + 2 <= start <= stop <= end
    assert data[offset] == tag


@pytest.mark.parametrize(
    ("validity", "year"),
    [
        (forge.validity(not_after=b"491231235959Z"), 2049),
        (forge.validity(not_after=b"501231235959Z"), 1950),
        (forge.validity(not_after=b"991231235959Z"), 1999),
        (forge.validity(not_after=b"001231235959Z"), 2000),
        (forge.validity(b"20200101000000Z", b"20501231235959Z", forge.GENERALIZED_TIME), 2050),
        (forge.validity(b"20200101000000Z", b"99991231235959Z", forge.GENERALIZED_TIME), 9999),
    ],
)
def test_not_after_is_read_in_both_spellings(validity: bytes, year: int) -> None:
    """UTCTime has a century window of 1950 to 2049, GeneralizedTime has none (RFC 5280 section 4.1.2.5)."""
    assert not_after(validity) == dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()


TIMES = {
    "empty validity": tlv(0x30),
    "no notAfter": tlv(0x30, tlv(0x17, b"200101000000Z")),
    "three times": tlv(0x30, tlv(0x17, b"200101000000Z") * 3),
    "neither kind of time": forge.validity(tag=0x16),
    "a time in another kind of text": forge.validity(b"20200101000000Z", b"20491231235959Z", 0x16),
    "notBefore is no time": tlv(0x30, tlv(0x16, b"200101000000Z"), tlv(0x17, b"491231235959Z")),
    "empty": forge.validity(not_after=b""),
    "no seconds": forge.validity(not_after=b"4912312359Z"),
    "an offset from UTC": forge.validity(not_after=b"491231235959+0100"),
    "fractions": forge.validity(b"20200101000000Z", b"20491231235959.5Z", forge.GENERALIZED_TIME),
    "no zone": forge.validity(not_after=b"491231235959"),
    "the 31st of February": forge.validity(not_after=b"490231235959Z"),
    "a leap second": forge.validity(not_after=b"491231235960Z"),
    "letters": forge.validity(not_after=b"4912312359xxZ"),
    "spaces that strptime would skip": forge.validity(not_after=b"4912 1 1 1 1Z"),
    "a year of five digits": forge.validity(
        b"20200101000000Z", b"120491231235959Z", forge.GENERALIZED_TIME
    ),
    "not ASCII": forge.validity(not_after="\uff1491231235959Z".encode()),
}


@pytest.mark.parametrize(
    ("validity", "year"),
    [
        (forge.validity(b"491231235959Z"), 2049),
        (forge.validity(b"501231235959Z"), 1950),
        (forge.validity(b"20501231235959Z", b"20511231235959Z", forge.GENERALIZED_TIME), 2050),
        (forge.validity(b"491231235959Z", b"no time"), 2049),
    ],
)
def test_not_before_likewise(validity: bytes, year: int) -> None:
    assert not_before(validity) == dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    "validity",
    [tlv(0x30), forge.validity(b""), forge.validity(b"4912312359xxZ"), forge.validity(tag=0x16)],
    ids=["nothing", "empty", "letters", "another kind of text"],
)
def test_not_before_in_any_other_spelling_is_refused(validity: bytes) -> None:
    with pytest.raises(DERError):
        not_before(validity)


@pytest.mark.parametrize("validity", TIMES.values(), ids=TIMES)
def test_a_time_in_any_other_spelling_is_refused(validity: bytes) -> None:
    """What RFC 5280 does not allow is no time at all, rather than one that two readers take differently."""
    with pytest.raises(DERError):
        not_after(validity)
