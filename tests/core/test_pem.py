"""One reader of PEM: it reads every block, or says on which line one is damaged."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio.core import pem
from pinio.core.anchors import Anchors
from pinio.core.der import fields
from pinio.core.pin import Pin
from pinio.errors import PinFormatError, PolicyError
from pinio.formats import FORMATS
from pinio.sources.file import load_policy
from tests.core.chains import attacker, genuine
from tests.core.damage import DAMAGES, HARMLESS
from tests.core.forge import ECDSA_SHA256, Forged, name, tlv

ONE = ssl.DER_cert_to_PEM_cert(genuine().root.der)
OTHER = ssl.DER_cert_to_PEM_cert(attacker().root.der)
SPKI = fields(genuine().root.der).spki
LONG_KEY = tlv(0x30, tlv(0x30, ECDSA_SHA256), tlv(3, bytes(300)))
PIN = str(Pin.of_public_key(SPKI))

damaged = pytest.mark.parametrize("damage", DAMAGES)
harmless = pytest.mark.parametrize("change", HARMLESS)


@damaged
@pytest.mark.parametrize("before", ["", ONE], ids=["alone", "the second of three"])
def test_a_damaged_certificate_is_never_dropped(damage: str, before: str, tmp_path: Path) -> None:
    """A CA that is missing in silence is found out in production: the text is refused, and the line is named."""
    text = before + DAMAGES[damage](OTHER) + (ONE if before else "")
    with pytest.raises(PolicyError, match=r"^no PEM certificate") as caught:
        Anchors.from_pem(text)
    assert before == "" or " at line " in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300

    path = tmp_path / "ca.pem"
    path.write_text(text, "utf-8")
    with pytest.raises(PolicyError, match="no PEM certificate"):
        Anchors.from_file(path)
    policy = tmp_path / "pins.toml"
    host = f'version = 1\n[hosts."a.example"]\npins = ["{PIN}"]\nsingle = "a test"\nanchors = '
    policy.write_text(f'{host}"ca.pem"\n')
    with pytest.raises(PolicyError, match=r"ca\.pem: no PEM certificate"):
        load_policy(policy)
    if "\0" not in text:
        with pytest.raises(PolicyError, match="no PEM certificate"):
            FORMATS["native"].loads(f"{host}'''\n{text}'''\n")


@harmless
def test_what_means_the_same_loads(change: str, tmp_path: Path) -> None:
    """White space is free, text around the blocks too."""
    text = ONE + HARMLESS[change](OTHER)
    both = Anchors.from_pem(ONE + OTHER)
    assert Anchors.from_pem(text) == Anchors.from_pem(HARMLESS[change](ONE + OTHER)) == both
    path = tmp_path / "ca.pem"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert Anchors.from_file(path) == both


@harmless
@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-8-sig", "utf-16"])
def test_what_means_the_same_has_the_same_pin(change: str, encoding: str | None) -> None:
    """As text and as bytes, a certificate or a public key: what people paste."""
    key = pem.encode(SPKI, pem.PUBLIC_KEY)
    for make, whole in ((Pin.of_certificate, ONE), (Pin.of_public_key, key)):
        text = HARMLESS[change](whole)
        if "X509" in text and make is Pin.of_public_key:
            continue
        assert str(make(text if encoding is None else text.encode(encoding))) == PIN


@damaged
def test_damaged_text_has_no_pin(damage: str) -> None:
    """`PinFormatError`, never another pin and never another error."""
    text = DAMAGES[damage](ONE)
    for data in (text, text.encode("utf-8"), OTHER + text, text + OTHER):
        with pytest.raises(PinFormatError):
            Pin.of_certificate(data)
    other = DAMAGES[damage](pem.encode(LONG_KEY)).replace(pem.PUBLIC_KEY, "NOTHING")
    with pytest.raises(PinFormatError):
        Pin.of_public_key(other.replace(pem.CERTIFICATE, pem.PUBLIC_KEY))


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (ONE + "\n\n" + DAMAGES["an ellipsis in a line"](OTHER), 6, "it was cut"),
        (ONE + DAMAGES["headers inside"](OTHER), 2, "a header (RFC 1421)"),
        (
            ONE + DAMAGES["line breaks spelled out"](OTHER),
            1,
            "line breaks are spelled out as '\\n'",
        ),
        (ONE + DAMAGES["the inside quoted"](OTHER), 2, "the lines are quoted"),
        (ONE + DAMAGES["no END"](OTHER), 1, "'BEGIN CERTIFICATE' has no END"),
        (
            ONE + DAMAGES["no END"](OTHER) + ONE,
            len(OTHER.splitlines()),
            "of line 11, which has no END",
        ),
        (
            ONE + DAMAGES["no BEGIN"](OTHER),
            len(OTHER.splitlines()) - 1,
            "'END CERTIFICATE' without a BEGIN",
        ),
        (ONE + DAMAGES["four dashes"](OTHER), 1, "a boundary that is damaged"),
        (ONE + DAMAGES["BEGIN alone quoted"](OTHER), 1, "text stands before 'BEGIN CERTIFICATE'"),
        (
            ONE + DAMAGES["END of another label"](OTHER),
            len(OTHER.splitlines()),
            "'END PUBLIC KEY' for ",
        ),
        (ONE + DAMAGES["a byte behind the certificate"](OTHER), 1, "not strict DER"),
    ],
    ids=range(11),
)
def test_the_line_and_the_cause_are_named(text: str, line: int, why: str) -> None:
    """Counted as an editor counts, from where the second certificate begins; CRLF is one line break."""
    first = len(ONE.splitlines())
    why = why.replace("11", str(first + 1))
    for spelled in (text, text.replace("\n", "\r\n")):
        with pytest.raises(PolicyError) as caught:
            Anchors.from_pem(spelled)
        assert str(caught.value).startswith(f"no PEM certificate at line {first + line}: ")
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("PRIVATE KEY", "'BEGIN PRIVATE KEY'"),
        ("CERTIFICATE REQUEST", "'BEGIN CERTIFICATE REQUEST'"),
        ("X509 CRL", "'BEGIN X509 CRL'"),
        ("PKCS7", "openssl pkcs7 -print_certs"),
        ("TRUSTED CERTIFICATE", "openssl x509 -in FILE"),
        ("CERTIFICATES", "'BEGIN CERTIFICATES'"),
    ],
)
def test_anchors_are_certificates_alone(label: str, why: str) -> None:
    """Another block in a file of CAs is a mistake, or holds certificates that would be dropped: it is named."""
    other = pem.encode(genuine().root.der, label)
    with pytest.raises(PolicyError, match="no PEM certificate at line 1: ") as caught:
        Anchors.from_pem(other + ONE)
    assert why in str(caught.value)


def test_the_pin_of_a_certificate_beside_its_key() -> None:
    """A server's file often holds both, and an encrypted key has headers (RFC 1421): that block is not looked into."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    assert str(Pin.of_certificate(key + ONE)) == PIN
    assert str(Pin.of_certificate(ONE + key)) == PIN
    with pytest.raises(PinFormatError, match="'BEGIN RSA PRIVATE KEY' has no END"):
        Pin.of_certificate(ONE + key[:-20])
    with pytest.raises(PinFormatError, match="found 0 and a 'BEGIN TRUSTED CERTIFICATE'"):
        Pin.of_certificate(pem.encode(genuine().root.der, "TRUSTED CERTIFICATE"))


def test_der_that_holds_pem_is_der() -> None:
    """A name in a certificate is its owner's choice, and may be the PEM of another certificate."""
    certificate = Forged(subject=name("\n" + ONE))
    assert Pin.of_certificate(certificate.der) == Pin.of_public_key(certificate.spki)
    with pytest.raises(PinFormatError, match="not one certificate in strict DER"):
        Pin.of_certificate(certificate.der + b"\n")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
@pytest.mark.parametrize(
    "options",
    [
        ["-text"],
        ["-text", "-nameopt", "utf8"],
        ["-subject", "-issuer", "-dates"],
        ["-fingerprint", "-alias"],
    ],
    ids=" ".join,
)
def test_what_openssl_prints_around_a_certificate(options: list[str]) -> None:
    """`openssl x509 -text` and its siblings."""
    command = ["openssl", "x509", *options]
    text = subprocess.run(command, input=ONE, capture_output=True, text=True, check=True).stdout
    assert text != ONE
    assert Anchors.from_pem(text + OTHER) == Anchors.from_pem(ONE + OTHER)
    assert str(Pin.of_certificate(text)) == str(Pin.of_certificate(text.encode())) == PIN


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_trust_settings_of_openssl_are_named() -> None:
    """A file that OpenSSL trusts for mail alone, or for nothing, would be trusted for TLS."""
    command = ["openssl", "x509", "-trustout", "-addreject", "serverAuth"]
    text = subprocess.run(command, input=ONE, capture_output=True, text=True, check=True).stdout
    with pytest.raises(
        PolicyError, match="at line 1: 'BEGIN TRUSTED CERTIFICATE' has trust settings"
    ):
        Anchors.from_pem(text + OTHER)


def test_certifi_loses_nothing_for_its_comments() -> None:
    """The public list, with text around every certificate."""
    text = Path(certifi.where()).read_text("utf-8")
    assert len(pem.blocks(text)) == text.count("-----BEGIN CERTIFICATE-----") > 100
    Anchors.from_pem("\n".join(item or "# nothing" for item in text.splitlines()))


@given(
    st.integers(0, len(ONE + OTHER)),
    st.integers(0, 3),
    st.text(st.sampled_from("-\n AB>\\=.BEGINDCTFbe#\u2014\r\t:"), max_size=3),
)
def test_no_edit_drops_a_certificate(at: int, removed: int, inserted: str) -> None:
    """Whatever is changed in one place: both certificates, perhaps another one for one of them, or an error."""
    text = ONE + OTHER
    text = text[:at] + inserted + text[at + removed :]
    try:
        anchors = Anchors.from_pem(text)
    except PolicyError:
        return
    assert len(anchors.certificates) == 2


@given(st.text(st.sampled_from("-BEGIND CERTFA\n")) | st.text())
def test_noise_is_no_pem(text: str) -> None:
    """Any text: blocks, or `PEMError`."""
    try:
        found = pem.blocks(text)
    except pem.PEMError:
        return
    assert text.count("-----BEGIN ") == len(found)


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["CERTIFICATE", "PUBLIC KEY", "A 1"]))
def test_what_is_written_is_read(data: bytes, label: str) -> None:
    """The writer and the reader are one another's inverse."""
    (block,) = pem.blocks(pem.encode(data, label))
    assert (block.label, block.line, block.der()) == (label, 1, data)


@pytest.mark.parametrize(
    "hostile",
    [
        "-",
        "\u2014",
        "-----BEGIN ",
        "BEGIN ",
        "BEGIN A A ",
        "-----BEGIN A-----",
        "-----END A-----",
        "-- ",
        "\r",
        "--END",
    ],
)
def test_P10_hostile_text_costs_linear_time(hostile: str) -> None:
    """A million characters of whatever starts a search: a reader that goes back would not end."""
    text = hostile * (1_000_000 // len(hostile))
    with pytest.raises(PolicyError, match="no PEM certificate"):
        Anchors.from_pem(text)
    with pytest.raises(PolicyError, match="no PEM certificate"):
        Anchors.from_pem("-----BEGIN CERTIFICATE-----\n" + text)


def test_P10_over_long_text_is_not_read() -> None:
    """The limit holds on every way in."""
    with pytest.raises(PinFormatError, match="more than 8388608 characters"):
        Pin.of_certificate(ONE + " " * pem.MAX_TEXT)
