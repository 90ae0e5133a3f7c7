"""What a peer wrote is shown escaped and clipped, or said to be unreadable; it never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.certificate import Certificate
from pinio.core.wording import (
    MOST_CERTIFICATES,
    MOST_CHARACTERS,
    MOST_PINS,
    chain_lines,
    escape,
    pin_lines,
    subject,
)
from tests.core import forge
from tests.core.chains import genuine, pin
from tests.core.forge import Forged, tlv


def shown(name: bytes) -> str:
    """The subject of a certificate with this name."""
    return subject(Certificate.of(Forged(subject=name).der))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain text, with 'quotes' and ümläuts", "plain text, with 'quotes' and ümläuts"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("NUL\0", r"NUL\x00"),
        ("right\u202eleft\u2066", r"right\u202eleft\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028separator\x85", r"line\u2028separator\x85"),
        ("no-break\u00a0space", r"no-break\xa0space"),
        ("back\\slash\\n", r"back\\slash\\n"),
        ("surrogate\ud800", r"surrogate\ud800"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("x" * MOST_CHARACTERS, "x" * MOST_CHARACTERS),
        ("x" * (MOST_CHARACTERS + 1), "x" * (MOST_CHARACTERS - 3) + "..."),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    """Controls, directions and invisible characters by their number, one line, at most 128 characters of the original."""
    assert escape(text) == escaped


@given(st.text())
def test_what_is_escaped_is_one_printable_line(text: str) -> None:
    """Whatever went in, and however much."""
    assert escape(text).isprintable()
    assert len(escape(text)) <= 10 * MOST_CHARACTERS


@given(st.text(max_size=MOST_CHARACTERS), st.text(max_size=MOST_CHARACTERS))
def test_texts_that_differ_look_different(one: str, other: str) -> None:
    """Nothing is dropped or folded, so that no name can be made to look like another by what is escaped."""
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (forge.name("api.example.com"), "CN=api.example.com"),
        (forge.name("bücher"), "CN=bücher"),
        (forge.name("b\xfccher".encode("latin-1"), tag=0x14), "CN=bücher"),
        (forge.name("bücher".encode("utf-16-be"), tag=0x1E), "CN=bücher"),
        (forge.name("bücher".encode("utf-32-be"), tag=0x1C), "CN=bücher"),
        (forge.name("printable", tag=0x13), "CN=printable"),
        (forge.name("ia5", tag=0x16), "CN=ia5"),
        (forge.name(b"\xff\xfe", tag=forge.UTF8), "CN=\ufffd\ufffd"),
        (forge.name(b"\xff", tag=0x13), "CN=\ufffd"),
        (forge.name(b"abc", tag=0x1E), "CN=\u6162\ufffd"),
        (forge.name(b"abc", tag=0x1C), "CN=\ufffd"),
        (forge.name(b"\x00\x11\x00\x00", tag=0x1C), "CN=\ufffd"),
        (forge.name(b"abc", tag=0x30), "CN=abc"),
        (forge.name(b"", tag=forge.UTF8), "CN="),
        (forge.name("evil\nCN=good"), r"CN=evil\nCN=good"),
        (forge.name("\x1b[2K\x1b[1Apinned"), r"CN=\x1b[2K\x1b[1Apinned"),
        (forge.name("moc.live\u202e"), r"CN=moc.live\u202e"),
        (forge.name("x" * 65536), "CN=" + "x" * 125 + "..."),
        (forge.name("An Organisation", kind=b"\x06\x03\x55\x04\x0a"), "O=An Organisation"),
        (forge.name("A Unit", kind=b"\x06\x03\x55\x04\x0b"), "OU=A Unit"),
        (forge.name("Internet", kind=b"\x06\x03\x55\x04\x06"), "C=Internet"),
        (forge.name("1234", kind=b"\x06\x03\x55\x04\x05"), "name=1234"),
        (tlv(0x30), "(no subject)"),
        (
            tlv(
                0x30, forge.name("last", kind=b"\x06\x03\x55\x04\x0a")[2:], forge.name("first")[2:]
            ),
            "CN=first",
        ),
        (
            tlv(
                0x30, forge.name("first")[2:], forge.name("unit", kind=b"\x06\x03\x55\x04\x0b")[2:]
            ),
            "CN=first",
        ),
        (tlv(0x30, tlv(0x31)), "(subject unreadable)"),
        (tlv(0x30, tlv(0x31, tlv(0x30))), "(subject unreadable)"),
        (tlv(0x30, tlv(0x31, tlv(0x30, forge.COMMON_NAME))), "(subject unreadable)"),
        (tlv(0x30, tlv(0x31, tlv(0x30, forge.COMMON_NAME, b"\x0c\x05ab"))), "(subject unreadable)"),
        (tlv(0x30, b"\x31\x80"), "(subject unreadable)"),
        (tlv(0x30, tlv(0x30, forge.COMMON_NAME)), "(subject unreadable)"),
    ],
)
def test_subjects(name: bytes, text: str) -> None:
    """The common name in any of its encodings, right or wrong, or else the last attribute; nothing a peer writes raises."""
    assert shown(name) == text


def test_a_certificate_that_cannot_be_read_has_no_subject() -> None:
    """It has a line all the same."""
    assert subject(Certificate.of(b"\x30\x80\x00\x00")) == "(subject unreadable)"


@given(st.binary(max_size=80))
def test_no_name_raises(name: bytes) -> None:
    """Noise where a name should be is worded, on one printable line."""
    for spelled in (tlv(0x30, name), tlv(0x30, tlv(0x31, tlv(0x30, forge.COMMON_NAME, name)))):
        assert shown(spelled).isprintable()


def test_a_line_for_each_certificate() -> None:
    """Pin, role by position, subject, in columns."""
    lines = chain_lines([Certificate.of(der) for der in genuine().ders])
    assert [line.split()[:2] for line in lines] == [
        [genuine().pins[0], "leaf"], [genuine().pins[1], "ca"], [genuine().pins[2], "ca"]
    ]  # fmt: skip
    assert len({line.index(line.split()[2]) for line in lines}) == 1


def test_long_chains_and_sets_are_clipped() -> None:
    """Ten certificates and twenty pins, and how many more there are."""
    certificates = [
        Certificate.of(Forged(serial=tlv(2, bytes((number,)))).der) for number in range(1, 101)
    ]
    lines = chain_lines(certificates)
    assert len(lines) == MOST_CERTIFICATES + 1
    assert lines[-1] == "    ... and 90 certificates more"
    assert len(chain_lines(certificates[:MOST_CERTIFICATES])) == MOST_CERTIFICATES
    pins = [pin(number) for number in range(1, 31)]
    lines = pin_lines(pins[:15], pins[15:])
    assert len(lines) == MOST_PINS + 1
    assert (lines[0], lines[15]) == (f"    {pins[0]}", f"    {pins[15]}  backup")
    assert lines[-1] == "    ... and 10 pins more"
    assert len(pin_lines(pins[:10], pins[:10])) == MOST_PINS
