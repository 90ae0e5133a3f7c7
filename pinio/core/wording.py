"""Words for people, made from what a peer wrote: escaped, clipped, never able to change a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from pinio.core.certificate import Certificate
from pinio.core.der import OBJECT_IDENTIFIER, SEQUENCE, SET, DERError, element
from pinio.core.visible import is_visible

MOST_CHARACTERS: Final = 128
MOST_CERTIFICATES: Final = 10
MOST_NAMES: Final = 10
MOST_PINS: Final = 20

_COMMON_NAME: Final = b"\x55\x04\x03"
_ATTRIBUTES: Final = {
    _COMMON_NAME: "CN",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x55\x04\x06": "C",
}
# ASN.1 string types (X.680 section 41): BMPString and UniversalString are wide, T61String is read
# as Latin-1.
_ENCODINGS: Final = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}


def escape(text: str) -> str:
    """Make text of unknown origin safe to print on one line: no control, bidirectional or invisible characters; clipped."""
    clipped = text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
    return "".join(
        character
        if is_visible(character) and character != "\\"
        else character.encode("unicode_escape").decode()
        for character in clipped
    )


def subject(certificate: Certificate) -> str:
    """`CN=…` of the subject, or its last attribute where it has no common name, or a note that it has none."""
    return _name(None if certificate.fields is None else certificate.fields.subject, "subject")


def issuer(certificate: Certificate) -> str:
    """The same of the issuer."""
    return _name(None if certificate.fields is None else certificate.fields.issuer, "issuer")


def _name(name: bytes | None, what: str) -> str:
    if name is None:
        return f"({what} unreadable)"
    try:
        names = dict(_attributes(name))
    except DERError:
        return f"({what} unreadable)"
    if _COMMON_NAME in names:
        return f"CN={escape(names[_COMMON_NAME])}"
    for kind, value in reversed(names.items()):
        return f"{_ATTRIBUTES.get(kind, 'name')}={escape(value)}"
    return f"(no {what})"


def moment(seconds: float) -> str:
    """A time, given in POSIX seconds, as RFC 3339 in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def listed(texts: Sequence[str]) -> str:
    """Texts of unknown origin in one line: the first ten, and how many more."""
    shown = [escape(text) for text in texts[:MOST_NAMES]]
    more = len(texts) - MOST_NAMES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _attributes(name: bytes) -> Iterator[tuple[bytes, str]]:
    """The attributes of an RDNSequence (RFC 5280 section 4.1.2.4): object identifier, text."""
    at, end = element(name, 0, len(name), SEQUENCE)
    while at < end:
        relative, at = element(name, at, end, SET)
        pair, _ = element(name, relative, at, SEQUENCE)
        kind, kind_end = element(name, pair, at, OBJECT_IDENTIFIER)
        if kind_end >= at:
            raise DERError("an attribute without a value")
        tag = name[kind_end]
        value, value_end = element(name, kind_end, at, tag)
        yield (
            name[kind:kind_end],
            name[value:value_end].decode(_ENCODINGS.get(tag, "latin-1"), "replace"),
        )


def chain_lines(chain: Iterable[Certificate]) -> list[str]:
    """One line a certificate: pin, role, subject."""
    certificates = list(chain)
    lines = [
        f"    {item.pin}  {'leaf' if position == 0 else 'ca  '}  {subject(item)}"
        for position, item in enumerate(certificates[:MOST_CERTIFICATES])
    ]
    return lines + _more(len(certificates) - MOST_CERTIFICATES, "certificates")


def pin_lines(pins: Iterable[object], backup: Iterable[object]) -> list[str]:
    """One line a pin, in the spelling that a policy takes."""
    lines = [f"    {pin}" for pin in pins] + [f"    {pin}  backup" for pin in backup]
    return lines[:MOST_PINS] + _more(len(lines) - MOST_PINS, "pins")


def _more(count: int, what: str) -> list[str]:
    return [f"    ... and {count} {what} more"] if count > 0 else []
