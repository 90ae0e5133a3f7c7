"""However a host is spelled, the decision is the same, or an error."""

# ruff: noqa: RUF001  # letters that look alike are what is tested here

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import idna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pinio.core import host as hosts
from pinio.core.host import canonical_host
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.errors import PolicyError, UnpinnedHostError
from tests.core.chains import NOW, A, B, attacker, genuine

label = st.from_regex(r"[a-z_]([a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True).filter(
    lambda text: text[2:4] != "--"
)
name = st.lists(label, min_size=1, max_size=4).map(".".join)
u_label = st.text(
    alphabet="abcäöüéñçåøæþðžščćđłńśźżăîâşţőűαβγδεζηθλμνξπρτφχψωбвгджзийклмнпрстуфхцчшщъыьэюя日本語中文字",
    min_size=1,
    max_size=8,
)
u_name = st.lists(st.one_of(label, u_label), min_size=1, max_size=4).map(".".join)


def _fullwidth(text: str) -> str:
    return "".join(
        chr(ord(character) + 0xFEE0) if character.isalnum() and character.isascii() else character
        for character in text
    )


def _swapped(text: str) -> str:
    return "".join(character.upper() if at % 2 else character for at, character in enumerate(text))


def _a_labels(text: str) -> str:
    return ".".join(
        idna.alabel(part).decode() if not part.isascii() else part for part in text.split(".")
    )


SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    str.title,
    _swapped,
    lambda text: text + ".",
    lambda text: text.replace(".", "。"),
    lambda text: text.replace(".", "．"),
    lambda text: text.replace(".", "｡") + "｡",
    _fullwidth,
    lambda text: text[:1] + "\u200b" + text[1:],
    lambda text: text + "\u2060",
    lambda text: text.replace("a", "\u00ada"),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFC", text),
]
spelling = st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=3)


def _decision(policy: Policy, host: str) -> tuple[object, ...]:
    """What comes of a connection to `host`: whom OpenSSL is asked to verify, and the decision on two chains."""
    try:
        endpoint = policy.endpoint(host, 443)
    except UnpinnedHostError as error:
        return (error.host, error.reason)
    decisions = [judge(endpoint, chain, NOW) for chain in (genuine().chain, attacker().chain)]
    return endpoint.host, endpoint.rule, *map(repr, decisions)


def _same_or_error(canonical: str, spelled: str) -> None:
    policies = (
        Policy({canonical: [genuine().leaf.pin, A]}),
        Policy({"other.test": [A, B]}, exempt={canonical: "why"}),
        Policy({"other.test": [A, B]}),
        Policy({"other.test": [A, B]}, unpinned="allow"),
    )
    for policy in policies:
        with suppress(PolicyError):
            assert _decision(policy, spelled) == _decision(policy, canonical)
    with suppress(PolicyError):
        assert Policy({spelled: [A, B]}).hosts.keys() == {canonical}


@given(name, spelling)
def test_spellings_of_ascii_names(host: str, spellings: list[Callable[[str], str]]) -> None:
    """Case, dots, fullwidth and zero-width characters: what connects to a pinned host is judged as that host."""
    spelled = host
    for change in spellings:
        spelled = change(spelled)
    assert canonical_host(host) == host
    _same_or_error(host, spelled)


@given(u_name, spelling)
def test_spellings_of_international_names(host: str, spellings: list[Callable[[str], str]]) -> None:
    """U-labels and A-labels, composed or not."""
    try:
        canonical = canonical_host(host)
    except PolicyError:
        assume(False)
        raise
    assert canonical == _a_labels(host)
    spelled = host
    for change in spellings:
        spelled = change(spelled)
    _same_or_error(canonical, spelled)
    _same_or_error(canonical, canonical.upper() + ".")


@given(
    st.ip_addresses(v=6),
    st.sampled_from(["{}", "[{}]", "{}%eth0", "[{}%25en1]", "{}%0"]),
    st.booleans(),
)
def test_spellings_of_ipv6_addresses(address: IPv6Address, form: str, capitals: bool) -> None:
    """Brackets, zones, zeros and capitals."""
    canonical = canonical_host(str(address))
    for text in (str(address), address.exploded):
        spelled = form.format(text.upper() if capitals else text)
        assert canonical_host(spelled) == canonical
        _same_or_error(canonical, spelled)


@given(st.ip_addresses(v=4))
def test_ipv4_addresses_have_one_spelling(address: IPv4Address) -> None:
    """The number, the short and the padded forms, which resolvers take, are errors."""
    assert canonical_host(str(address)) == str(address)
    one, two, three, four = address.packed
    for spelled in (
        str(int(address)), hex(int(address)), f"{one}.{two * 65536 + three * 256 + four}", f"0{one}.{two}.{three}.{four}",
        f"{one}.{two}.{three}.0x{four:x}", f"{address}.",
    ):  # fmt: skip
        with pytest.raises(PolicyError, match="it reads as a number"):
            canonical_host(spelled)


@given(st.text(max_size=40))
def test_what_is_canonical_stays_so(text: str) -> None:
    """Noise is an error or becomes a name that is its own spelling: lower-case ASCII that nobody reads otherwise."""
    try:
        canonical = canonical_host(text)
    except PolicyError:
        return
    assert canonical_host(canonical) == canonical
    assert canonical.isascii()
    assert canonical == canonical.lower()
    assert not canonical.endswith(".")


@given(st.from_regex(r"[a-zA-Z0-9_.x-]{1,70}", fullmatch=True))
def test_the_short_cut_for_plain_names_is_none_in_meaning(text: str) -> None:
    """Names that are recognised at a glance are those that the full way leaves as they are."""
    plain = hosts._PLAIN.fullmatch(text)
    try:
        canonical = hosts._canonical(text)
    except PolicyError:
        assert plain is None
        return
    if plain is not None:
        assert canonical == text
