"""Pins survive their text, and no other text is taken for one."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pinio.core.pin import SIZES, Algorithm, Pin, Role, Selector
from pinio.errors import PinFormatError

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    algorithm: Algorithm = draw(st.sampled_from(get_args(Algorithm)))
    digest = draw(st.binary(min_size=SIZES[algorithm], max_size=SIZES[algorithm]))
    assume(len(set(digest)) > 1)
    return Pin(
        digest,
        draw(st.sampled_from(get_args(Selector))),
        algorithm,
        draw(st.sampled_from(get_args(Role))),
    )


@given(pins())
@example(Pin(b"\xff" * 31 + b"\x00"))
@example(Pin(b"\x03\xff" * 16, role="leaf"))
def test_canonical_text_round_trips(pin: Pin) -> None:
    """For every pin; and the text is canonical already."""
    assert Pin.parse(str(pin)) == pin
    assert str(Pin.parse(str(pin))) == str(pin)


@given(pins())
def test_every_spelling_means_the_same(pin: Pin) -> None:
    """What a spelling can say of a pin, it says of the same pin."""
    encoded, plain = b64encode(pin.digest).decode(), Pin(pin.digest, algorithm=pin.algorithm)
    assert (
        Pin.parse(f"{pin.algorithm}//{encoded}")
        == Pin.parse(f'pin-{pin.algorithm}="{encoded}"')
        == plain
    )
    whole = Pin(pin.digest, "cert", pin.algorithm)
    assert Pin.parse(f"cert-{pin.algorithm}:{pin.digest.hex()}") == whole
    assert Pin.parse(f"cert-{pin.algorithm}:{pin.digest.hex(':').upper()}") == whole
    if pin.algorithm != "sha384":
        matching = {"sha256": 1, "sha512": 2}[pin.algorithm]
        assert Pin.parse(f"3 1 {matching} {pin.digest.hex()}") == Pin(
            pin.digest, algorithm=pin.algorithm, role="leaf"
        )
        assert Pin.parse(f"0 0 {matching} {pin.digest.hex()}") == Pin(
            pin.digest, "cert", pin.algorithm, "ca"
        )


@given(pins(), st.data())
def test_a_single_edit_is_an_error_or_another_pin(pin: Pin, data: st.DataObject) -> None:
    """One character replaced, removed or put in never yields the same pin: no two texts of one spelling mean the same."""
    text = str(pin)
    at = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 1))
    inserted = data.draw(
        st.sampled_from(["", *ALPHABET, "=", " ", "-", "_", ":", "\n", "\0", "é", "\uff21"])
    )
    edited = text[:at] + inserted + text[at + removed :]
    assume(edited != text)
    curl = text.replace("/", "//", 1)
    with suppress(PinFormatError):
        assert Pin.parse(edited) != pin or (
            edited == curl and (pin.role, pin.selector) == ("any", "spki")
        )


@given(st.binary(min_size=32, max_size=32), st.integers(1, 3))
def test_spare_bits_are_refused(digest: bytes, bits: int) -> None:
    """The last digit of 32 bytes has two spare bits; only zeros are canonical."""
    assume(len(set(digest)) > 1)
    text = b64encode(digest).decode()
    spare = ALPHABET[ALPHABET.index(text[-2]) | bits]
    with pytest.raises(PinFormatError, match="Base64"):
        Pin.parse(f"sha256/{text[:-2]}{spare}=")


@given(
    st.one_of(
        st.text(),
        st.text(alphabet=ALPHABET + '=:/ -"', max_size=120),
        st.integers(),
        st.none(),
        st.binary(),
    )
)
@example("sha256/" + "é" * 44)
def test_noise_is_no_pin(noise: Any) -> None:
    """Whatever comes in, a `PinFormatError` comes out, or a pin that has that text or another spelling of it."""
    try:
        pin = Pin.parse(noise)
    except PinFormatError:
        return
    assert (
        noise.replace("//", "/", 1) == str(pin) or noise == str(pin) or '"' in noise or ":" in noise
    )


@given(pins(), st.text(max_size=3), st.text(max_size=3))
def test_nothing_stands_around_a_pin(pin: Pin, before: str, behind: str) -> None:
    """Neither white space nor anything else is stripped."""
    assume(before or behind)
    with suppress(PinFormatError):
        assert Pin.parse(f"{before}{pin}{behind}") != pin
