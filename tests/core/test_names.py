"""The names in a certificate, as `cryptography` reads them; and what is not strict DER has none."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.certificate import Certificate
from pinio.core.der import DERError, extensions
from pinio.core.names import MOST_NAMES, alternative_names
from pinio.testing import CA
from tests.core import forge
from tests.core.chains import genuine
from tests.core.forge import Forged, tlv

SUBJECT_ALT_NAME = b"\x55\x1d\x11"
ROOT = CA("root")


def naming(*names: bytes, critical: bytes = b"") -> bytes:
    """A certificate with these GeneralNames."""
    extension = tlv(
        0x30,
        tlv(forge.OID, SUBJECT_ALT_NAME),
        critical,
        tlv(forge.OCTET_STRING, tlv(0x30, *names)),
    )
    other = forge.extension(b"\x55\x1d\x0e", tlv(forge.OCTET_STRING, b"key"))
    return Forged(trailing=tlv(0xA3, tlv(0x30, other, extension))).der


def dns(name: bytes) -> bytes:
    return tlv(0x82, name)


@pytest.mark.parametrize("position", range(3), ids=["leaf", "intermediate", "root"])
def test_they_are_those_that_cryptography_reads(position: int) -> None:
    der = genuine().ders[position]
    assert alternative_names(der) == by_cryptography(der)


@given(
    st.lists(
        st.from_regex(r"\A(\*\.)?[a-z]{1,10}(\.[a-z]{1,10}){0,3}\Z") | st.ip_addresses().map(str),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_whatever_they_are(names: list[str]) -> None:
    der = ROOT.issue(*names).der
    assert set(alternative_names(der)) == set(names)
    assert alternative_names(der) == by_cryptography(der)


def by_cryptography(der: bytes) -> tuple[str, ...]:
    found = x509.load_der_x509_certificate(der).extensions
    try:
        value = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in value)


@pytest.mark.parametrize(
    ("der", "names"),
    [
        (Forged().der, ()),
        (Forged(trailing=tlv(0xA3, tlv(0x30))).der, ()),
        (naming(), ()),
        (naming(dns(b"a.test"), critical=b"\x01\x01\xff"), ("a.test",)),
        (naming(tlv(0x81, b"a@b.test"), dns(b"a.test"), tlv(0x86, b"https://a.test")), ("a.test",)),
        (naming(tlv(0x87, b"\x7f\x00\x00\x01")), ("127.0.0.1",)),
        (naming(tlv(0x87, bytes(15) + b"\x01")), ("::1",)),
        (naming(dns(b"\xff\n")), ("\ufffd\n",)),
        (naming(dns(b"")), ("",)),
    ],
    ids=[
        "none",
        "no extensions",
        "empty",
        "critical",
        "other kinds",
        "IPv4",
        "IPv6",
        "bytes",
        "empty name",
    ],
)
def test_what_a_peer_may_write(der: bytes, names: tuple[str, ...]) -> None:
    """As it stands there: what prints it escapes it."""
    assert alternative_names(der) == names
    assert Certificate.of(der).names == names


@pytest.mark.parametrize(
    "der",
    [
        b"",
        naming(dns(b"a.test"))[:-1],
        naming(tlv(0x87, b"\x7f\x00\x01")),
        naming(b"\x82\x80a.test\x00\x00"),
        naming(b"\x82\x09a.test"),
        Forged(trailing=tlv(0xA3, tlv(0x31))).der,
        Forged(trailing=tlv(0xA3, tlv(0x30), b"\x05\x00")).der,
        Forged(trailing=tlv(0xA3, tlv(0x30, tlv(0x30, tlv(forge.OID, SUBJECT_ALT_NAME))))).der,
        Forged(trailing=tlv(0xA3, tlv(0x30, tlv(0x31)))).der,
    ],
    ids=[
        "nothing",
        "cut",
        "address of three bytes",
        "BER",
        "too long",
        "a set",
        "trailing",
        "no value",
        "no sequence",
    ],
)
def test_what_is_not_strict_der_is_refused_and_names_nobody(der: bytes) -> None:
    with pytest.raises(DERError):
        alternative_names(der)
    assert Certificate.of(der).names == ()


def test_thousands_of_names_are_read_up_to_a_limit() -> None:
    der = naming(*[dns(b"%d.test" % number) for number in range(5000)])
    assert alternative_names(der) == tuple(f"{number}.test" for number in range(MOST_NAMES))


def test_the_extensions_are_the_bytes_that_stand_in_the_certificate() -> None:
    trailing = tlv(0x81, b"\x00a") + tlv(0x82, b"\x00b") + tlv(0xA3, tlv(0x30, tlv(0x30)))
    assert extensions(Forged(trailing=trailing).der) == tlv(0x30, tlv(0x30))
    assert extensions(Forged().der) == b""


def test_addresses_are_written_as_ipaddress_does() -> None:
    packed = ipaddress.ip_address("2001:db8::7").packed
    assert alternative_names(naming(tlv(0x87, packed))) == ("2001:db8::7",)
