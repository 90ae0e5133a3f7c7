"""One spelling for every host name, and the grammar of host patterns.

Policy lookup by whatever the user typed is a bypass: `PINNED.Test`, `pinned.test.`, fullwidth
letters, ideographic dots and zero-width characters all connect to `pinned.test`. So every name
becomes the lower-case A-label without a trailing dot (UTS 46, non-transitional, then IDNA 2008),
every address the canonical text of `ipaddress` without a zone, and that very string is looked up,
resolved and handed to OpenSSL. Where two encoders in the field would disagree about a name, it is
refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal, NamedTuple, NoReturn

import idna

from pinio.errors import PolicyError

Kind = Literal["exact", "one", "any"]

LONGEST: Final = 253
"""Most characters of a host name (RFC 1035 section 2.3.4, in text form)."""
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}+(?<!-)")
_WILDCARD: Final = (
    "a wildcard stands alone at the front of a pattern, once, "
    "as '*.' (one label) or '**.' (the name and all below it)"
)
_PATTERN: Final = "host pattern"
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# The names that are their own canonical spelling for certain, which is nearly all of them; what it
# leaves is worked out.
_PLAIN = re.compile(rf"(?:{_LABEL.pattern}\.)*+(?!(?:{_NUMBER.pattern})\Z){_LABEL.pattern}")


def canonical_host(host: str) -> str:
    """Return the one spelling of a host name or IP address.

    Raises `PolicyError` saying what is wrong with it.

    Single labels, `.local` and underscores are legal. Brackets around an IPv6 address and its zone
    are dropped.
    """
    if not isinstance(host, str):
        raise PolicyError(f"a host is text, not {type(host).__name__}")
    if not host:
        raise PolicyError("the host is empty; nobody could check the server's name")
    if len(host) > 4 * LONGEST:
        raise PolicyError(f"a host of {len(host)} characters is too long to be one")
    if len(host) <= LONGEST and "xn--" not in host and (plain := _PLAIN.fullmatch(host)):
        return plain[0]
    return _canonical(host)


@lru_cache(maxsize=1024)
def _canonical(host: str) -> str:
    if (address := ip_address(host)) is not None:
        return address
    name = _a_label(host).removesuffix(".")
    if len(name) > LONGEST:
        _fail(host, f"longer than {LONGEST} characters (RFC 1035)")
    labels = name.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            _fail(host, _what_is_wrong(host, label))
    if _NUMBER.fullmatch(labels[-1]):
        _fail(
            host,
            "it reads as a number; resolvers would take it for an address (write it as a.b.c.d)",
        )
    return name


def ip_address(host: str) -> str | None:
    """Canonical text of an IP literal, without brackets and zone, or None if `host` is not one."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if ":" in text:
            address = IPv6Address(text)
            # An IPv4-mapped address is not the IPv4 address: certificates and sockets tell them
            # apart.
            return str(IPv6Address(int(address)))
        return str(IPv4Address(text)) if text is host else None
    except AddressValueError:
        return None


def _a_label(host: str) -> str:
    """Lower case, UTS 46 mapping, A-labels.

    ASCII names skip the tables but for their `xn--` labels.
    """
    if host.isascii():
        name = host.lower()
        if "xn--" not in name:
            return name
    else:
        try:
            name = idna.uts46_remap(host, std3_rules=False, transitional=False)
        except idna.IDNAError as error:
            _fail(host, str(error))
    try:
        name = ".".join(_encode(label) for label in name.split("."))
    except idna.IDNAError as error:
        _fail(host, str(error))
    _check_idna2003(host, name)
    return name


def _encode(label: str) -> str:
    if not label.isascii():
        return _alabel(label)
    if label.startswith("xn--") and not _is_a_label(label):
        raise idna.IDNAError(f"{label!a} is no A-label that IDNA or UTS 46 makes")
    return label


def _alabel(label: str) -> str:
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint as error:
        raise idna.IDNAError(f"{error}; if that is its name, write the A-label ('xn--…')") from None


def _is_a_label(label: str) -> bool:
    """Whether an encoder makes this label (RFC 5890 section 2.3.2.1).

    IDNA 2008 makes fewer than UTS 46, which has labels for emoji; such hosts exist. What UTS 46
    would map to another name is none, for programs that decode it would go to that name.
    """
    try:
        name = label[4:].encode("ascii").decode("punycode")
        again = name.encode("punycode").decode("ascii")
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
    except (UnicodeError, idna.IDNAError):
        return False
    return not name.isascii() and again == label[4:] and mapped == name


def _check_idna2003(host: str, name: str) -> None:
    """Libraries that encode with IDNA 2003 (`ssl` and `socket` among them) would go to another host for `straße.de`."""
    try:
        other = host.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:  # IDNA 2003 has no spelling for it, so none that could differ
        return
    if other != name.removesuffix("."):
        _fail(
            host,
            f"IDNA 2003 spells it {other!r} and IDNA 2008 {name!r}; write the A-label that you mean",
        )


def _what_is_wrong(host: str, label: str) -> str:
    if "://" in host or "/" in host:
        return "it is a URL or path; give the host alone"
    if not label:
        return "it has an empty label" + (
            " (a name and all below it is '**.' and the name)" if host[0] == "." else ""
        )
    if any(character.isspace() for character in host):
        return "it has white space in it"
    if "*" in host:
        return _WILDCARD
    if host.count(":") > 1 and "]:" not in host:
        return "it is not an IPv6 address"
    if ":" in host:
        return "a port is not part of a host; the pins of a host hold on every port"
    if len(label) > 63:
        return f"a label of {len(label)} characters (RFC 1035 allows 63)"
    return f"{label!a} is not a host name's label"


def _fail(host: str, why: str, what: str = "host name that pinio can use") -> NoReturn:
    shown = ascii(host if len(host) <= 120 else host[:117] + "...")
    raise PolicyError(f"{shown} is not a {what}: {why}")


class Pattern(NamedTuple):
    """A host pattern: `example.com` (exact), `*.example.com` (exactly one label more), `**.example.com` (it and all below)."""

    kind: Kind
    suffix: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern. Raises `PolicyError` for anything outside the grammar."""
        if not isinstance(text, str):
            raise PolicyError(f"a host pattern is text, not {type(text).__name__}")
        kind: Kind = "exact"
        suffix = text
        if text.startswith("**."):
            kind, suffix = "any", text[3:]
        elif text.startswith("*."):
            kind, suffix = "one", text[2:]
        if kind == "exact":
            return cls(
                kind, canonical_host(suffix) if text else _fail(text, "it has an empty label")
            )
        # Named by the whole text: what stands behind the stars may be a pattern that is right.
        if not suffix:
            _fail(text, "it has an empty label", _PATTERN)
        if "*" in suffix:
            _fail(text, _WILDCARD, _PATTERN)
        try:
            name = canonical_host(suffix)
        except PolicyError as error:
            _fail(text, str(error), _PATTERN)
        if ip_address(name):
            _fail(text, "an IP address has no names below it", _PATTERN)
        return cls(kind, name)

    def __str__(self) -> str:
        return _PREFIXES[self.kind] + self.suffix


_PREFIXES: Final = {"exact": "", "one": "*.", "any": "**."}
