"""One spelling for every name, and the grammar of patterns."""

# ruff: noqa: RUF001  # letters that look alike are what is tested here

from __future__ import annotations

import enum
import re
from ipaddress import IPv6Address
from typing import Any

import pytest

from pinio.core.host import Pattern, canonical_host, ip_address
from pinio.errors import PolicyError


def _a_label(text: str) -> str:
    """Punycode of any text, which no encoder may have made."""
    return f"xn--{text.encode('punycode').decode('ascii').lower()}.test"


SAME = {
    "as it is": ("api.example.com", "api.example.com"),
    "capitals": ("API.Example.COM", "api.example.com"),
    "trailing dot": ("api.example.com.", "api.example.com"),
    "one label": ("localhost", "localhost"),
    "one label with a dot": ("intranet.", "intranet"),
    ".local and underscore": ("My_Printer.local", "my_printer.local"),
    "service label": ("_dmarc.example.com", "_dmarc.example.com"),
    "digits in front": ("1.2.3.example", "1.2.3.example"),
    "digits and a letter": ("1e100", "1e100"),
    "label of 63": ("a" * 63 + ".example", "a" * 63 + ".example"),
    "253 characters": (("a" * 49 + ".") * 5 + "abc", ("a" * 49 + ".") * 5 + "abc"),
    "253 and a dot": (("a" * 49 + ".") * 5 + "abc.", ("a" * 49 + ".") * 5 + "abc"),
    "hyphens in third place": ("r3---sn-abc.example", "r3---sn-abc.example"),
    "U-label": ("bücher.test", "xn--bcher-kva.test"),
    "U-label in capitals": ("BÜCHER.test", "xn--bcher-kva.test"),
    "decomposed U-label": ("bu\u0308cher.test", "xn--bcher-kva.test"),
    "A-label in capitals": ("XN--BCHER-KVA.test", "xn--bcher-kva.test"),
    "A-label": ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    "A-label that IDNA 2003 would not have made": ("xn--strae-oqa.de", "xn--strae-oqa.de"),
    "A-label of an emoji, which IDNA 2008 would not have made": ("xn--ls8h.test", "xn--ls8h.test"),
    "A-label of a symbol": ("xn--i-7iq.ws", "xn--i-7iq.ws"),
    "A-label of a snowman in capitals": ("XN--N3H.net.", "xn--n3h.net"),
    "A-labels of both kinds": ("a.xn--53h.bücher.xn--g6h", "a.xn--53h.xn--bcher-kva.xn--g6h"),
    "fullwidth": ("ｐｉｎned.test", "pinned.test"),
    "ideographic dot": ("pinned。test", "pinned.test"),
    "fullwidth dot": ("pinned．test", "pinned.test"),
    "ideographic trailing dot": ("pinned.test。", "pinned.test"),
    "zero-width space": ("pin\u200bned.test", "pinned.test"),
    "soft hyphen": ("pin\u00adned.test", "pinned.test"),
    "mathematical letters": ("𝐩inned.test", "pinned.test"),
    "IPv4": ("192.0.2.7", "192.0.2.7"),
    "IPv6": ("2001:DB8:0:0::1", "2001:db8::1"),
    "IPv6 in brackets": ("[2001:db8::1]", "2001:db8::1"),
    "IPv6 with a zone": ("fe80::1%eth0", "fe80::1"),
    "IPv6 in brackets with a quoted zone": ("[fe80::1%25eth0]", "fe80::1"),
    "IPv6 with an IPv4 tail": ("64:ff9b::192.0.2.7", "64:ff9b::c000:207"),
    "IPv4-mapped": ("::FFFF:192.0.2.7", str(IPv6Address("::ffff:c000:207"))),
}


@pytest.mark.parametrize(("host", "canonical"), SAME.values(), ids=SAME)
def test_every_spelling_of_a_host_becomes_one(host: str, canonical: str) -> None:
    """Case, dots, Unicode forms, brackets and zones make no other host; and the one spelling is its own."""
    assert canonical_host(host) == canonical
    assert canonical_host(canonical) == canonical


def test_an_ipv4_mapped_address_is_another_host() -> None:
    """Sockets and certificates tell `::ffff:192.0.2.7` and `192.0.2.7` apart."""
    assert canonical_host("::ffff:192.0.2.7") != canonical_host("192.0.2.7")


NAMELESS = "is not a host name that pinio can use: "
"""Where the reason is in the words of `idna`."""

REFUSED = {
    "nothing": ("", "the host is empty"),
    "a dot": (".", "empty label"),
    "leading dot": (".example.com", "empty label"),
    "two dots": ("a..example.com", "empty label"),
    "two trailing dots": ("example.com..", "empty label"),
    "two trailing dots, one ideographic": ("example.com。.", NAMELESS),
    "space": ("exa mple.com", "white space"),
    "space in front": (" example.com", "white space"),
    "newline behind": ("example.com\n", "white space"),
    "no-break space": ("example\u00a0.com", NAMELESS),
    "tab": ("example.com\t", "white space"),
    "NUL": ("pinned.test\0.evil.test", "is not a host name's label"),
    "label of 64": ("a" * 64 + ".example", "a label of 64 characters"),
    "254 characters": (("a" * 49 + ".") * 5 + "abcd", "longer than 253 characters"),
    "a book": ("a." * 5000, "is too long to be one"),
    "port": ("example.com:443", "a port is not part of a host"),
    "IPv4 with port": ("192.0.2.7:443", "a port is not part of a host"),
    "IPv6 with port": ("[::1]:443", "a port is not part of a host"),
    "URL": ("http://example.com", "it is a URL or path"),
    "path": ("example.com/x", "it is a URL or path"),
    "user": ("user@example.com", "is not a host name's label"),
    "hyphen in front": ("-a.example", "is not a host name's label"),
    "hyphen behind": ("a-.example", "is not a host name's label"),
    "star": ("*", "a wildcard stands alone at the front of a pattern"),
    "percent": ("ex%61mple.com", "is not a host name's label"),
    "short IPv4": ("127.1", "it reads as a number"),
    "IPv4 in one number": ("2130706433", "it reads as a number"),
    "hexadecimal IPv4": ("0x7f.1", "it reads as a number"),
    "hexadecimal IPv4 in one number": ("0x7f000001", "it reads as a number"),
    "hexadecimal last label": ("127.0.0.0x1", "it reads as a number"),
    "octal IPv4": ("0177.0.0.1", "it reads as a number"),
    "IPv4 with a zero in front": ("192.0.2.07", "it reads as a number"),
    "IPv4 with five parts": ("1.2.3.4.5", "it reads as a number"),
    "IPv4 out of range": ("1.2.3.256", "it reads as a number"),
    "IPv4 with a dot behind": ("127.0.0.1.", "it reads as a number"),
    "IPv4 in fullwidth digits": ("１２７.0.0.1", "it reads as a number"),
    "IPv4 in brackets": ("[127.0.0.1]", "is not a host name's label"),
    "IPv6 with an open bracket": ("[::1", "it is not an IPv6 address"),
    "IPv6 with an empty zone": ("fe80::1%", "it is not an IPv6 address"),
    "IPv6 of too many groups": ("1:2:3:4:5:6:7:8:9", "it is not an IPv6 address"),
    "IDNA 2003 says strasse": (
        "straße.de",
        "IDNA 2003 spells it 'strasse.de' and IDNA 2008 'xn--strae-oqa.de'",
    ),
    "IDNA 2003 has another final sigma": ("βόλος.com", "IDNA 2003 spells it"),
    "IDNA 2003 drops the joiner": ("نامه\u200cای.com", "IDNA 2003 spells it"),
    "joiner where none may stand": ("a\u200db.test", NAMELESS),
    "emoji": ("☃.net", "if that is its name, write the A-label ('xn--…')"),
    "A-label of nothing": ("xn--.test", NAMELESS),
    "A-label of ASCII": ("xn--pinned-.test", NAMELESS),
    "A-label that is not Punycode": ("xn--ü.test", NAMELESS),
    "A-label of a control character": ("xn--a.test", "is no A-label that IDNA or UTS 46 makes"),
    "A-label cut short": ("xn--zzzz.test", "is no A-label"),
    "A-label of fullwidth letters": ("xn--inned-gv43b.test", "is no A-label"),
    "A-label of an ideographic dot": (_a_label("a\u3002b"), "is no A-label"),
    "A-label of a capital": (_a_label("bÜcher"), "is no A-label"),
    "A-label of a zero-width space": (_a_label("pin\u200bned"), "is no A-label"),
    "A-label that is spelled otherwise": ("xn--bcher-kva0.test", NAMELESS),
    "U-label too long": ("ü" * 63 + ".test", NAMELESS),
    "mixed directions": ("אabc.test", NAMELESS),
    "lone surrogate": ("a\ud800.test", NAMELESS),
    "bidi override": ("a\u202eb.test", NAMELESS),
}


@pytest.mark.parametrize(("host", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_host_is_refused_and_named(host: str, why: str) -> None:
    """`PolicyError` that says why in one printable line; never a guess at what was meant."""
    with pytest.raises(PolicyError) as caught:
        canonical_host(host)
    message = str(caught.value)
    assert why in message
    assert message.isprintable()
    assert len(message) < 700


@pytest.mark.parametrize(
    "value", [None, 7, b"example.com", bytearray(b"x"), ["example.com"], object()]
)
def test_what_is_no_text_is_refused(value: Any) -> None:
    """A host is text; bytes are not decoded."""
    with pytest.raises(PolicyError, match=f"a host is text, not {type(value).__name__}"):
        canonical_host(value)
    with pytest.raises(PolicyError, match=f"a host pattern is text, not {type(value).__name__}"):
        Pattern.parse(value)


class Name(enum.StrEnum):
    API = "api.example.com"


def test_the_canonical_host_is_a_plain_str() -> None:
    """A subclass of `str` with ideas of its own about equality goes no further."""
    assert type(canonical_host(Name.API)) is str


@pytest.mark.parametrize(
    ("text", "kind", "suffix"),
    [
        ("example.com", "exact", "example.com"),
        ("*.example.com", "one", "example.com"),
        ("**.example.com", "any", "example.com"),
        ("**.Example.COM.", "any", "example.com"),
        ("*.bücher.test", "one", "xn--bcher-kva.test"),
        ("*.com", "one", "com"),
        ("**.local", "any", "local"),
        ("*._tcp.example", "one", "_tcp.example"),
        ("192.0.2.7", "exact", "192.0.2.7"),
        ("fe80::1%eth0", "exact", "fe80::1"),
        ("my_printer.local", "exact", "my_printer.local"),
        ("localhost", "exact", "localhost"),
    ],
)
def test_patterns_are_read(text: str, kind: str, suffix: str) -> None:
    """Exact, one label more, or a name and all below it; canonical text reads back as itself."""
    pattern = Pattern.parse(text)
    assert pattern == (kind, suffix)
    assert Pattern.parse(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty label"),
        ("*", "a wildcard stands alone at the front"),
        ("**", "a wildcard stands alone at the front"),
        ("***.example.com", "a wildcard stands alone at the front"),
        ("*.", "empty label"),
        ("**.", "empty label"),
        ("*..com", "empty label"),
        ("*.*.com", "a wildcard stands alone at the front"),
        ("*.**.com", "a wildcard stands alone at the front"),
        ("a.*.com", "a wildcard stands alone at the front"),
        ("a*.example.com", "a wildcard stands alone at the front"),
        ("example.*", "a wildcard stands alone at the front"),
        ("*example.com", "a wildcard stands alone at the front"),
        ("*。example.com", "a wildcard stands alone at the front"),
        ("http://*.example.com", "URL or path"),
        ("https://example.com", "URL or path"),
        ("*.example.com:443", "a port is not part of a host"),
        ("*.exa mple.com", "white space"),
        (" *.example.com", "white space"),
        ("**.example.com ", "white space"),
        ("*." + "a" * 64, "a label of 64 characters"),
        ("*.192.0.2.7", "an IP address has no names below it"),
        ("**.[::1]", "an IP address has no names below it"),
        ("*.2.7", "it reads as a number"),
        ("*.straße.de", "IDNA 2003 spells it"),
    ],
)
def test_what_is_no_pattern_is_refused_and_named(text: str, why: str) -> None:
    """Wildcards stand alone, in front, once; everything else is a host. Nothing is a pattern that never matches."""
    with pytest.raises(PolicyError, match=why):
        Pattern.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "*.*.example.com",
        "**.*.example.com",
        "*.**.example.com",
        "*..example.com",
        "**.192.0.2.7",
        "*.",
    ],
)
def test_a_pattern_is_named_as_it_was_written(text: str) -> None:
    """What stands behind the first star may be a pattern that is right."""
    with pytest.raises(PolicyError, match=f"^'{re.escape(text)}' is not a host pattern: "):
        Pattern.parse(text)


def test_ip_literals() -> None:
    """Only what is an address in its own right; names and number-like names are none."""
    assert ip_address("192.0.2.7") == "192.0.2.7"
    assert ip_address("[::1]") == "::1"
    assert [ip_address(text) for text in ("example.com", "127.1", "[127.0.0.1]", "::1]", "")] == [
        None
    ] * 5
