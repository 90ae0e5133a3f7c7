"""The grammar of a pin: strict, named, and never guessed."""

from __future__ import annotations

import copy
import enum
import hashlib
import pickle
import ssl
from base64 import b64decode, b64encode, urlsafe_b64encode
from dataclasses import FrozenInstanceError
from typing import Any
from unittest import mock

import pytest
from cryptography import x509

from pinio.core.pin import SIZES, Algorithm, Pin, Role, Selector
from pinio.errors import PinError, PinFormatError
from tests.core import forge
from tests.core.chains import genuine

DIGEST = bytes(range(1, 33))
TEXT = b64encode(DIGEST).decode()
HEX = DIGEST.hex()
LONG = bytes(range(64))
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""SHA-256 of nothing, which scripts print when a probe failed."""


@pytest.mark.parametrize("role", ["any", "leaf", "ca"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("selector", ["spki", "cert"])
def test_every_pin_reads_back_from_its_text(
    selector: Selector, algorithm: Algorithm, role: Role
) -> None:
    """`Pin.parse(str(pin)) == pin`, for every selector, algorithm and role."""
    pin = Pin(LONG[: SIZES[algorithm]], selector, algorithm, role)
    assert Pin.parse(str(pin)) == pin
    assert str(Pin.parse(str(pin))) == str(pin)


def test_the_canonical_text() -> None:
    """`[leaf:|ca:][cert-]ALGORITHM/BASE64`."""
    assert str(Pin(DIGEST)) == f"sha256/{TEXT}"
    assert str(Pin(DIGEST, "cert", "sha256", "leaf")) == f"leaf:cert-sha256/{TEXT}"
    assert str(Pin(LONG, "spki", "sha512", "ca")) == f"ca:sha512/{b64encode(LONG).decode()}"


SPELLINGS = {
    "canonical": (f"sha256/{TEXT}", Pin(DIGEST)),
    "curl": (f"sha256//{TEXT}", Pin(DIGEST)),
    "HPKP": (f'pin-sha256="{TEXT}"', Pin(DIGEST)),
    "fingerprint": (f"cert-sha256:{HEX}", Pin(DIGEST, "cert")),
    "fingerprint in capitals": (f"cert-sha256:{HEX.upper()}", Pin(DIGEST, "cert")),
    "fingerprint with colons": (f"cert-sha256:{DIGEST.hex(':').upper()}", Pin(DIGEST, "cert")),
    "fingerprint of SHA-512": (f"cert-sha512:{LONG.hex()}", Pin(LONG, "cert", "sha512")),
    "TLSA 3 1 1": (f"3 1 1 {HEX}", Pin(DIGEST, role="leaf")),
    "TLSA 1 1 1": (f"1 1 1 {HEX}", Pin(DIGEST, role="leaf")),
    "TLSA 3 0 1": (f"3 0 1 {HEX.upper()}", Pin(DIGEST, "cert", role="leaf")),
    "TLSA 0 1 2": (f"0 1 2 {LONG.hex()}", Pin(LONG, algorithm="sha512", role="ca")),
    "TLSA in groups": (f"3 1 1 {HEX[:56].upper()} {HEX[56:].upper()}", Pin(DIGEST, role="leaf")),
    "TLSA in pairs": (f"3 1 1 {DIGEST.hex(' ')}", Pin(DIGEST, role="leaf")),
    "TLSA with an odd group": (f"3 1 1 {HEX[:7]} {HEX[7:]}", Pin(DIGEST, role="leaf")),
    "TLSA with tabs": (f"3\t1\t1\t{HEX[:32]}\t{HEX[32:]}", Pin(DIGEST, role="leaf")),
    "TLSA with more blanks": (f"3  1 \t 1   {HEX}", Pin(DIGEST, role="leaf")),
    "TLSA on two lines": (f"3 1 1 {HEX[:32]}\n      {HEX[32:]}", Pin(DIGEST, role="leaf")),
    "TLSA of a zone file": (f"3 1 1 (\n\t{HEX[:32]}\n\t{HEX[32:]} )", Pin(DIGEST, role="leaf")),
    "TLSA 0 0 1": (f"0 0 1 {HEX}", Pin(DIGEST, "cert", role="ca")),
}


@pytest.mark.parametrize(("text", "pin"), SPELLINGS.values(), ids=SPELLINGS)
def test_other_spellings_are_read(text: str, pin: Pin) -> None:
    """What curl, RFC 7469, certificate viewers and DNS write means the same pin."""
    assert Pin.parse(text) == pin


@pytest.mark.parametrize("start", [b"\xff", b"\xff\xff", b"\xfc" + b"\x0f", b"\x03\xff\xff"])
@pytest.mark.parametrize("role", ["", "leaf:", "ca:"])
def test_a_digest_may_start_with_a_slash(start: bytes, role: str) -> None:
    """`/` is a Base64 digit: `sha256//` starts one pin in 64 canonically, and all of curl's."""
    digest = start + DIGEST[len(start) :]
    encoded = b64encode(digest).decode()
    assert Pin.parse(f"{role}sha256/{encoded}").digest == digest
    assert Pin.parse(f"sha256//{encoded}").digest == digest


@pytest.mark.parametrize(("text", "pin"), SPELLINGS.values(), ids=SPELLINGS)
def test_its_representation_makes_it(text: str, pin: Pin) -> None:
    """Permits and verdicts show their pins by it."""
    assert eval(repr(pin)) == pin
    assert str(pin) in repr(pin)


class Word(enum.StrEnum):
    PIN = f"sha256/{TEXT}"


def test_a_subclass_of_str_is_its_text() -> None:
    """An enumeration of pins is read like the text that it is."""
    assert Pin.parse(Word.PIN) == Pin(DIGEST)
    assert str(Pin.parse(Word.PIN)) == Word.PIN.value


MALFORMED = {
    "nothing": ("", "the algorithm is always named"),
    "no algorithm": (TEXT, "the algorithm is always named"),
    "a hexadecimal digest alone": (
        HEX,
        f"a pin is written in Base64: sha256/{TEXT}; if it is the fingerprint of a certificate: cert-sha256:HEX",
    ),
    "a label alone": ("sha256/", "0 bytes; a sha256 digest has 32"),
    "truncated": (f"sha256/{TEXT[:-4]}", "30 bytes; a sha256 digest has 32"),
    "truncated, not to a whole byte": (f"sha256/{TEXT[:-2]}", "not Base64"),
    "over-long": (f"sha256/{b64encode(LONG).decode()}", "64 bytes; a sha256 digest has 32"),
    "one byte over-long": (f"sha256/{b64encode(DIGEST + b'!').decode()}", "33 bytes"),
    "no padding": (
        f"sha256/{TEXT.rstrip('=')}",
        "not Base64 (RFC 4648 section 4, with '+', '/' and the padding)",
    ),
    "too much padding": (f"sha256/{TEXT}=", "not Base64"),
    "padding in between": (f"sha256/{TEXT[:4]}=={TEXT[6:]}", "not Base64"),
    "non-canonical last digit": (f"sha256/{TEXT[:-2]}B=", "not canonical Base64"),
    "URL-safe Base64": (
        f"sha256/{urlsafe_b64encode(bytes([251, 255]) * 16).decode()}",
        "not Base64",
    ),
    "hexadecimal where Base64 stands": (
        f"sha256/{HEX}",
        f"64 hexadecimal digits, and a pin is written in Base64: sha256/{TEXT}; if",
    ),
    "hexadecimal, of no digest's length": (f"sha256/{HEX}{HEX[:16]}", "60 bytes; a sha256"),
    "letters from elsewhere": (f"sha256/{TEXT[:-4]}äöü=", "not Base64"),
    "NUL": (f"sha256/{TEXT}\0", "not Base64"),
    "space in front": (
        f" sha256/{TEXT}",
        "the algorithm is always named, and no white space stands around it",
    ),
    "space behind": (f"sha256/{TEXT} ", "not Base64"),
    "newline behind": (f"sha256/{TEXT}\n", "not Base64"),
    "newline in front": (f"\nsha256/{TEXT}", "the algorithm is always named"),
    "space between": (f"sha256/{TEXT[:20]} {TEXT[20:]}", "not Base64"),
    "space behind the slash": (f"sha256/ {TEXT}", "not Base64"),
    "two pins": (f"sha256/{TEXT};sha256/{TEXT}", "not Base64"),
    "sha1": (
        f"sha1/{b64encode(DIGEST[:20]).decode()}",
        "the algorithm is one of sha256, sha384, sha512",
    ),
    "md5": (f"md5/{b64encode(DIGEST[:16]).decode()}", "the algorithm is always named"),
    "sha224": (f"sha224/{b64encode(DIGEST[:28]).decode()}", "the algorithm is one of"),
    "sha3": (f"sha3-256/{TEXT}", "the algorithm is always named"),
    "capital algorithm": (f"SHA256/{TEXT}", "all before the '/' is in small letters"),
    "digits from elsewhere": (f"sha\uff12\uff15\uff16/{TEXT}", "the algorithm is one of"),
    "sha512 of 32 bytes": (f"sha512/{TEXT}", "32 bytes; a sha512 digest has 64"),
    "sha384 of 32 bytes": (f"sha384/{TEXT}", "32 bytes; a sha384 digest has 48"),
    "unknown role": (f"root:sha256/{TEXT}", "the algorithm is always named"),
    "capital role": (f"Leaf:sha256/{TEXT}", "the algorithm is always named"),
    "two roles": (f"leaf:ca:sha256/{TEXT}", "the algorithm is always named"),
    "the role any spelled out": (f"any:sha256/{TEXT}", "the algorithm is always named"),
    "selector before role": (f"cert-leaf:sha256/{TEXT}", "the algorithm is always named"),
    "selector spelled out": (f"spki-sha256/{TEXT}", "the algorithm is always named"),
    "curl's with a role": (f"leaf:sha256//{TEXT}", "the '//' spelling is curl's and has no role"),
    "curl's with a selector": (
        f"cert-sha256//{TEXT}",
        "the '//' spelling is curl's and has no role",
    ),
    "three slashes": (f"sha256///{TEXT}", "not Base64"),
    "HPKP without quotes": (f"pin-sha256={TEXT}", "the algorithm is always named"),
    "HPKP with one quote": (f'pin-sha256="{TEXT}', "the algorithm is always named"),
    "HPKP with sha1": (f'pin-sha1="{TEXT}"', "the algorithm is one of"),
    "HPKP header": (f'pin-sha256="{TEXT}"; max-age=1', "the algorithm is always named"),
    "HPKP with a role": (f'leaf:pin-sha256="{TEXT}"', "the algorithm is always named"),
    "fingerprint with an odd digit": (f"cert-sha256:{HEX}0", "an odd number of hexadecimal digits"),
    "fingerprint with a colon too much": (
        f"cert-sha256:{DIGEST.hex(':')}:",
        "colons stand between pairs",
    ),
    "fingerprint with colons elsewhere": (
        f"cert-sha256:{DIGEST.hex(':', 4)}",
        "colons stand between pairs",
    ),
    "fingerprint too short": (f"cert-sha256:{HEX[:-2]}", "31 bytes"),
    "fingerprint of nothing": ("cert-sha256:", "0 bytes"),
    "fingerprint with sha1": (f"cert-sha1:{HEX[:40]}", "the algorithm is one of"),
    "fingerprint with a stranger": (f"cert-sha256:{HEX[:-1]}g", "the algorithm is always named"),
    "hexadecimal of a key": (f"sha256:{HEX}", f"a pin is written in Base64: sha256/{TEXT}; if"),
    "hexadecimal that is Base64 of another length": (
        f"sha384/{HEX}",
        f"written in Base64: sha256/{TEXT}",
    ),
    "hexadecimal in capitals": (f"SHA-256={HEX.upper()}", f"written in Base64: sha256/{TEXT}"),
    "hexadecimal with colons": (f"sha256/{DIGEST.hex(':')}", f"written in Base64: sha256/{TEXT}"),
    "hexadecimal in curl's spelling": (f"sha256//{HEX}", f"written in Base64: sha256/{TEXT}"),
    "hexadecimal in HPKP's": (f'pin-sha256="{HEX}"', f"written in Base64: sha256/{TEXT}"),
    "hexadecimal with a role": (f"leaf:sha256/{HEX}", f"written in Base64: leaf:sha256/{TEXT}"),
    "hexadecimal of a certificate": (
        f"cert-sha256/{HEX}",
        f"written in Base64: cert-sha256/{TEXT}",
    ),
    "hexadecimal of 64 bytes": (
        f"sha512/{LONG.hex()}",
        f"Base64: sha512/{b64encode(LONG).decode()}",
    ),
    "TLSA 2": (f"2 1 1 {HEX}", "usage 2 (DANE-TA) names a trust anchor"),
    "TLSA 4": (f"4 1 1 {HEX}", "TLSA usage is 0, 1 or 3"),
    "TLSA selector 2": (f"3 2 1 {HEX}", "TLSA usage is 0, 1 or 3 and its selector 0 or 1"),
    "TLSA matching 0": (f"3 1 0 {HEX}", "TLSA matching type is 1 (SHA-256) or 2 (SHA-512)"),
    "TLSA matching 2 of 32 bytes": (f"3 1 2 {HEX}", "32 bytes; a sha512 digest has 64"),
    "TLSA odd": (f"3 1 1 {HEX}0", "an odd number of hexadecimal digits"),
    "TLSA digits from elsewhere": (f"\uff13 1 1 {HEX}", "TLSA usage is 0, 1 or 3"),
    "TLSA without blanks": (f"311{HEX}", "the algorithm is always named"),
    "TLSA with one parenthesis": (f"3 1 1 ( {HEX}", "the algorithm is always named"),
    "TLSA with another one": (f"3 1 1 {HEX} )", "the algorithm is always named"),
    "TLSA of blanks": ("3 1 1 ( )", "0 bytes; a sha256 digest has 32"),
    "TLSA with a colon": (f"3 1 1 {DIGEST.hex(':')}", "the algorithm is always named"),
    "TLSA in odd groups": (f"3 1 1 {HEX[:31]} {HEX[32:]}", "an odd number of hexadecimal digits"),
    "TLSA twice": (f"3 1 1 {HEX}\n3 1 1 {HEX}", "an odd number of hexadecimal digits"),
    "control characters": ("sha256/\x1b[31m", "not Base64"),
    "a file": ("sha256/" + "A" * 2000, "a pin of 2007 characters is too long to be one"),
}


@pytest.mark.parametrize(("text", "why"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_pin_is_refused_and_named(text: str, why: str) -> None:
    """`PinFormatError`, which quotes the text safely, says what is wrong, and came from no stray `ValueError`."""
    with pytest.raises(PinFormatError) as caught:
        Pin.parse(text)
    message = str(caught.value)
    assert why in message
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 400
    assert isinstance(caught.value, PinError)


PLACEHOLDERS = {
    "digest of nothing": f"sha256/{EMPTY}",
    "digest of nothing, SHA-384": "sha384/" + b64encode(hashlib.sha384().digest()).decode(),
    "digest of nothing, SHA-512": "sha512/" + b64encode(hashlib.sha512().digest()).decode(),
    "digest of nothing with a role": f"leaf:sha256/{EMPTY}",
    "digest of nothing, as HPKP": f'pin-sha256="{EMPTY}"',
    "digest of nothing, as a fingerprint": f"cert-sha256:{hashlib.sha256().hexdigest()}",
    "AAAA": "sha256/" + "A" * 43 + "=",
    "BBBB": "sha256/" + b64encode(b"\x11" * 32).decode(),
    "all ones": "sha256/" + b64encode(b"\xff" * 32).decode(),
    "TLSA of zeros": "3 1 1 " + "0" * 64,
}


@pytest.mark.parametrize("text", PLACEHOLDERS.values(), ids=PLACEHOLDERS)
def test_placeholders_are_refused(text: str) -> None:
    """Digests that documentation and failing scripts print pin nobody's key, or anybody's mistake."""
    with pytest.raises(PinFormatError, match=r"placeholder.*pinio pins HOST"):
        Pin.parse(text)


@pytest.mark.parametrize(
    "value", [None, 1, b"sha256/" + TEXT.encode(), bytearray(b"x"), ["sha256/" + TEXT], object()]
)
def test_what_is_no_text_is_refused(value: Any) -> None:
    """Bytes are not decoded, and nothing is converted on the quiet."""
    with pytest.raises(
        PinFormatError, match=f"a pin is text such as 'sha256/…', not {type(value).__name__}"
    ):
        Pin.parse(value)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((TEXT,), "use Pin.parse for text"),
        ((DIGEST[:-1],), "a sha256 digest has 32 bytes"),
        ((DIGEST + b"!",), "a sha256 digest has 32 bytes"),
        ((b"",), "a sha256 digest has 32 bytes"),
        ((bytearray(DIGEST),), "a sha256 digest has 32 bytes"),
        ((LONG, "spki", "sha1"), "the algorithm is one of"),
        ((DIGEST, "spki", ["sha256"]), "the algorithm is one of"),
        ((DIGEST, "spki", None), "the algorithm is one of"),
        ((DIGEST, "key"), "a pin's selector is one of"),
        ((DIGEST, "spki", "sha256", "root"), "its role one of"),
        ((DIGEST, "spki", "sha256", None), "its role one of"),
        ((DIGEST, mock.ANY), "a pin's selector is one of"),
        ((DIGEST, "spki", "sha256", mock.ANY), "its role one of"),
        ((bytes(32),), "placeholder"),
    ],
)
def test_the_constructor_is_as_strict(arguments: tuple[Any, ...], why: str) -> None:
    """A `Pin` that exists is valid, however it was made."""
    with pytest.raises(PinFormatError, match=why):
        Pin(*arguments)


def test_a_pin_is_a_value() -> None:
    """Equal by content, hashable, sortable, immutable, and itself after copying and pickling."""
    pin = Pin.parse(f"leaf:sha256/{TEXT}")
    assert pin == Pin(DIGEST, role="leaf") != Pin(DIGEST)
    assert len({pin, Pin(DIGEST, role="leaf"), Pin(DIGEST)}) == 2
    assert sorted([Pin(DIGEST[::-1]), Pin(DIGEST)]) == [Pin(DIGEST), Pin(DIGEST[::-1])]
    assert pickle.loads(pickle.dumps(pin)) == copy.copy(pin) == copy.deepcopy(pin) == pin
    with pytest.raises(FrozenInstanceError):
        pin.digest = DIGEST[::-1]  # type: ignore[misc]


@pytest.mark.parametrize("form", ["DER", "PEM", "PEM as bytes"])
def test_the_pin_of_a_certificate(form: str) -> None:
    """From DER or PEM, the key's pin or the whole certificate's, as `Leaf.pin` works it out without pinio's parser."""
    leaf = genuine().leaf
    pem = ssl.DER_cert_to_PEM_cert(leaf.der)
    data: Any = {
        "DER": leaf.der,
        "PEM": "Subject: somebody\r\n" + pem.replace("\n", "\r\n"),
        "PEM as bytes": pem.encode(),
    }[form]
    assert str(Pin.of_certificate(data)) == leaf.pin
    assert str(Pin.of_certificate(data, role="leaf")) == f"leaf:{leaf.pin}"
    whole = Pin.of_certificate(data, selector="cert", algorithm="sha512")
    assert (whole.digest, whole.algorithm) == (hashlib.sha512(leaf.der).digest(), "sha512")


@pytest.mark.parametrize("form", ["DER", "PEM", "PEM as bytes"])
def test_the_pin_of_a_public_key(form: str) -> None:
    """The same key gives the same pin, whether it comes in a certificate or alone."""
    leaf = genuine().leaf
    spki = forge.spki_of(x509.load_der_x509_certificate(leaf.der).public_key())
    pem = f"-----BEGIN PUBLIC KEY-----\n{b64encode(spki).decode()}\n-----END PUBLIC KEY-----\n"
    data: Any = {"DER": spki, "PEM": pem, "PEM as bytes": pem.encode()}[form]
    assert str(Pin.of_public_key(data, role="ca")) == f"ca:{leaf.pin}"
    assert Pin.of_public_key(data, algorithm="sha384").digest == hashlib.sha384(spki).digest()


def _certificates() -> dict[str, Any]:
    pem = ssl.DER_cert_to_PEM_cert(genuine().leaf.der)
    return {
        "nothing": b"",
        "no text": "",
        "noise": b"\x30\x03abc",
        "a byte behind": genuine().leaf.der + b"\0",
        "BER": b"\x30\x80" + genuine().leaf.der + b"\0\0",
        "two certificates": pem * 2,
        "another label": pem.replace("CERTIFICATE", "PUBLIC KEY"),
        "mismatched labels": pem.replace("END CERTIFICATE", "END PUBLIC KEY"),
        "no end": pem.partition("-----END")[0],
        "bad Base64": pem.replace("MII", "MI=I", 1),
        "PEM of noise": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "bytes that are no PEM": b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----",
        "None": None,
        "a bytearray": bytearray(genuine().leaf.der),
        "a path": object(),
    }


@pytest.mark.parametrize("kind", _certificates())
def test_what_is_no_certificate_is_refused(kind: str) -> None:
    """One certificate or one public key, in strict DER or one PEM block of the right label; else `PinFormatError`."""
    with pytest.raises(PinFormatError):
        Pin.of_certificate(_certificates()[kind])
    with pytest.raises(PinFormatError):
        Pin.of_public_key(_certificates()[kind])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("cert.pem", "what is in the file, not its name"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "found 0 and a 'BEGIN PRIVATE KEY'",
        ),
        (
            ssl.DER_cert_to_PEM_cert(b"\0") * 2,
            "expected one PEM block 'BEGIN CERTIFICATE', found 2$",
        ),
    ],
    ids=["a file's name", "a key", "a chain"],
)
def test_what_was_found_in_place_of_a_certificate_is_said(data: str, why: str) -> None:
    """The usual mistakes: the name of a file, the wrong file, a file with the whole chain."""
    with pytest.raises(PinFormatError, match=why):
        Pin.of_certificate(data)


@pytest.mark.parametrize("wrong", [{"algorithm": "sha1"}, {"role": "root"}, {"algorithm": None}])
def test_wrong_choices_are_refused(wrong: dict[str, Any]) -> None:
    """The makers of pins refuse the algorithms and roles that `Pin` refuses."""
    with pytest.raises(PinFormatError):
        Pin.of_certificate(genuine().leaf.der, **wrong)
    with pytest.raises(PinFormatError):
        Pin.of_public_key(forge.some_spki(), **wrong)


def test_a_wrong_selector_is_refused() -> None:
    """Only a certificate can be selected from."""
    with pytest.raises(PinFormatError, match="a pin's selector is one of"):
        Pin.of_certificate(genuine().leaf.der, selector="key")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("digest", "algorithm"),
    [(HEX.encode(), "sha512"), (b64decode(HEX), "sha384")],
    ids=["its text", "its text read as Base64"],
)
def test_a_digest_is_no_text_of_one(digest: bytes, algorithm: Any) -> None:
    """Its length is right by accident."""
    with pytest.raises(PinFormatError, match=r"use bytes\.fromhex"):
        Pin(digest, algorithm=algorithm)
    with pytest.raises(PinFormatError):
        Pin.parse(f"{algorithm}/{b64encode(digest).decode()}")
