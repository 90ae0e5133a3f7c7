"""Policies of every kind, for hypothesis; and trust anchors to stand in them."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from pinio import Anchors, Pin, PinFormatError, PinSet, Policy, PolicyError
from pinio.core.host import Pattern
from pinio.core.pin import SIZES

PIN = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
THIRD = "sha256/AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICE="


@cache
def authority(number: int) -> str:
    """A CA certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"CA {number}")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    builder = builder.not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def anchors() -> st.SearchStrategy[Anchors]:
    private = st.lists(st.integers(1, 3), min_size=1).map(
        lambda numbers: "".join(map(authority, numbers))
    )
    return st.just(Anchors()) | st.just(Anchors.system()) | private.map(Anchors.from_pem)


@st.composite
def pins(draw: st.DrawFn, roles: tuple[str, ...] = ("leaf", "ca", "any")) -> Pin:
    algorithm: Any = draw(st.sampled_from(sorted(SIZES)))
    digest = draw(st.binary(min_size=SIZES[algorithm], max_size=SIZES[algorithm]))
    selector: Any = draw(st.sampled_from(["spki", "cert"]))
    role: Any = draw(st.sampled_from(roles))
    try:
        return Pin(digest, selector, algorithm, role)
    except PinFormatError:  # a placeholder, which hypothesis finds before anything else
        return Pin.parse(PIN)


SURROGATES: Any = ("Cs",)
texts = st.text(st.characters(exclude_categories=SURROGATES), min_size=1).filter(str.strip)
lines = texts.filter(str.isprintable)
moments = st.datetimes(
    dt.datetime(1, 1, 2),  # noqa: DTZ001  # hypothesis adds the zone
    dt.datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-23, 23).map(lambda hours: dt.timezone(dt.timedelta(hours=hours))),
)


@st.composite
def pin_sets(draw: st.DrawFn) -> PinSet:
    trust: Any = draw(st.sampled_from(["pkix", "pkix", "leaf-pin"]))
    pkix = trust == "pkix"
    roles = ("leaf", "ca", "any") if pkix else ("leaf", "any")
    found = draw(st.lists(pins(roles), min_size=1, max_size=5, unique=True))
    cut = draw(st.integers(1, len(found)))
    mode: Any = draw(st.sampled_from(["enforce", "report-only"] if pkix else ["enforce"]))
    on_expiry: Any = draw(st.sampled_from(["refuse", "report"] if pkix else ["refuse"]))
    return PinSet(
        found[:cut],
        backup=found[cut:],
        single=draw(st.none() | texts),
        expires=draw(st.none() | moments),
        on_expiry=on_expiry,
        mode=mode,
        trust=trust,
        anchors=draw(st.none() | anchors()) if pkix else None,
        resumption=draw(st.booleans()),
    )


label = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,6}[a-z0-9_])?", fullmatch=True) | st.sampled_from(
    ["bücher", "日本"]
)
names = st.lists(label, min_size=1, max_size=4).map(".".join)
spelled = st.tuples(st.sampled_from(["", "*.", "**."]), names).map("".join)
addresses = st.ip_addresses().map(str)


def _is_pattern(text: str) -> bool:
    try:
        return bool(Pattern.parse(text))
    except PolicyError:
        return False


patterns = (spelled | addresses).filter(_is_pattern)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    found = draw(st.lists(patterns, max_size=6, unique_by=Pattern.parse))
    cut = draw(st.integers(0, len(found)))
    unpinned: Any = draw(st.sampled_from(["refuse", "allow"]))
    return Policy(
        {pattern: draw(pin_sets()) for pattern in found[:cut]},
        exempt={pattern: draw(lines) for pattern in found[cut:]},
        unpinned=unpinned,
        deny=draw(st.lists(pins(("any",)), max_size=3)),
        unpinned_anchors=draw(st.none() | anchors()),
        revision=draw(st.none() | lines | st.just("")),
        no_hosts=draw(st.none() | lines) if not cut else None,
    )
