"""What is written is read as the same policy; and whatever text comes, it is a policy or a typed error."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio import Anchors, PinError, PinSet, Policy, PolicyError
from pinio.formats import FORMATS
from tests.formats.policies import OTHER, PIN, authority, policies

native = FORMATS["native"]
pytestmark = pytest.mark.filterwarnings("ignore::pinio.PinWarning")


@given(policies())
def test_what_is_written_is_read_as_the_same_policy(policy: Policy) -> None:
    assert native.loads(native.dumps(policy)) == policy


@given(policies(), st.randoms(use_true_random=False))
def test_equal_policies_give_equal_text(policy: Policy, order: random.Random) -> None:
    hosts, exempt = list(policy.hosts.items()), list(policy.exempt.items())
    order.shuffle(hosts)
    order.shuffle(exempt)
    assert native.dumps(policy.replace(hosts=dict(hosts), exempt=dict(exempt))) == native.dumps(
        policy
    )


@given(policies())
def test_the_text_is_lines_that_a_person_can_read(policy: Policy) -> None:
    text = native.dumps(policy)
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n"))


def test_private_anchors_are_written_with_their_content() -> None:
    policy = Policy({"example.com": PinSet([PIN, OTHER], anchors=Anchors.from_pem(authority(1)))})
    text = native.dumps(policy)
    assert authority(1) in text
    assert native.loads(text) == policy


def test_no_anchors_of_its_own_and_the_public_ones_by_name_are_told_apart() -> None:
    policy = Policy(
        {"a.example": [PIN, OTHER], "b.example": PinSet([PIN, OTHER], anchors=Anchors())}
    )
    again = native.loads(native.dumps(policy))
    assert (again.hosts["a.example"].anchors, again.hosts["b.example"].anchors) == (None, Anchors())


def test_a_lone_surrogate_cannot_be_written() -> None:
    policy = Policy({"example.com": PinSet(PIN, single="because \ud800")})
    with pytest.raises(PolicyError, match=r"U\+D800"):
        native.dumps(policy)


FULL = f"""\
version = 1
revision = "7"
unpinned = "allow"
deny = ["cert-{OTHER}"]
unpinned_anchors = "system"

[hosts."**.example.com"]
pins = ["ca:{PIN}", "3 1 1 {"0123456789abcdef" * 4}"]
backup = ['pin-sha256="{OTHER.removeprefix("sha256/")}"']
expires = 2027-06-30T00:00:00.5+02:00
on_expiry = "report"
mode = "report-only"
anchors = '''{authority(1)}'''
resumption = false

[hosts."192.0.2.7"]
pins = ["{PIN}"]
single = "a device"
trust = "leaf-pin"

[exempt]
"cdn.example.com" = "rotates its keys every week"
"""

FRAGMENTS = [
    "version", "version = 1\n", "hosts", "[hosts]", '[hosts."', "[[hosts]]", "[exempt]\n", "[", "]", "{", "}", '"', "'", '"""',
    "'''", "=", ".", ",", "\n", "#", "\\", "\\u0000", "\\ud800", "\x00", "\ufeff", "\r", "1" * 5000, "0x" + "f" * 5000,
    "1e999", "nan", "true", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2027-02-30", "12:00:00", "[" * 3000,
    "{a=" * 3000, "a." * 3000, "leaf:", "sha1/", "==", "*", "**.", "xn--", "ß", "-----BEGIN CERTIFICATE-----", "certifi", "/",
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """The full text with pieces of it removed, repeated, or replaced."""
    text = FULL
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + draw(st.sampled_from(FRAGMENTS) | st.text(max_size=4)) + text[stop:]
    return text


def test_the_full_text_is_a_policy() -> None:
    policy = native.loads(FULL)
    assert native.loads(native.dumps(policy)) == policy
    assert policy.hosts["**.example.com"].mode == "report-only"
    assert policy.hosts["192.0.2.7"].trust == "leaf-pin"
    assert dict(policy.exempt) == {"cdn.example.com": "rotates its keys every week"}


@given(mutations() | st.text() | st.lists(st.sampled_from(FRAGMENTS)).map("".join))
def test_P9_any_text_is_a_policy_or_an_error_that_says_where(text: str) -> None:
    try:
        policy = native.loads(text, where="pins.toml")
    except PinError as error:
        message = str(error)
    else:
        assert native.loads(native.dumps(policy)) == policy
        return
    assert message.startswith("pins.toml: ")
    assert message.isprintable()
    assert len(message) < 1000


def test_P9_every_beginning_of_a_file_is_a_policy_or_an_error() -> None:
    kept = {"**.example.com", "192.0.2.7", "cdn.example.com"}
    read = 0
    for end in range(len(FULL)):
        try:
            policy = native.loads(FULL[:end])
        except PinError:
            continue
        read += 1
        assert policy.hosts.keys() | policy.exempt.keys() <= kept
    assert read > 10  # which is why a file is never taken after one read
