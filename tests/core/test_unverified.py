"""The hint for each way in which a certificate does not verify, and for each in which TLS fails."""

from __future__ import annotations

from typing import Any

import pytest

from pinio.core.certificate import ServedChain
from pinio.core.decision import Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Rule
from pinio.core.tls_failed import about_identity, hint
from tests.core import forge
from tests.core.chains import NOW, A, B
from tests.core.forge import Forged

RULE = Rule("a.test", PinSet([A, B]))


def named(subject: str, issuer: str, **parts: bytes) -> bytes:
    return Forged(subject=forge.name(subject), issuer=forge.name(issuer), **parts).der


LEAF, INNER = named("a.test", "Inner"), named("Inner", "Outer")
OUTER, ROOT = named("Outer", "Root"), named("Root", "Root")
OLD = forge.validity(b"200101000000Z", b"210101000000Z")
COMING = forge.validity(b"400101000000Z", b"450101000000Z")


def unverified(code: int | None, *served: bytes, rule: Rule | None = RULE, **more: Any) -> Refusal:
    chain = ServedChain(served) if served else None
    return Refusal(
        "CERTIFICATE_NOT_VERIFIED", "a.test", 443, time=NOW, noted=rule, verify_code=code,
        verify_message=f"message of {code}", served=chain, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "served", "words"),
    [
        (10, [named("a.test", "Inner", validity=OLD)], "it has expired on 2021-01-01T00:00:00Z"),
        (
            10,
            [LEAF, named("Inner", "Root", validity=OLD)],
            "of CN=Inner above it has expired on 2021-01-01",
        ),
        (10, [LEAF], "a CA above it has expired"),
        (10, [], "a CA above it has expired"),
        (
            9,
            [named("a.test", "Inner", validity=COMING)],
            "it is valid from 2040-01-01T00:00:00Z on",
        ),
        (
            9,
            [LEAF, named("Inner", "Root", validity=COMING)],
            "of CN=Inner above it is valid from 2040",
        ),
        (9, [], "is not valid yet"),
        (62, [LEAF], "has no subjectAltName"),
        (64, [], "is for another name"),
        (18, [ROOT], 'trust="leaf-pin"'),
        (18, [], 'trust="leaf-pin"'),
        (
            20,
            [LEAF],
            "the issuer of the certificate, CN=Inner, is no anchor, and its certificate was not",
        ),
        (20, [LEAF, ROOT], "the issuer of the certificate, CN=Inner, is no anchor"),
        (20, [LEAF, INNER], "the chain ends in a certificate of CN=Outer, which is no anchor"),
        (
            20,
            [LEAF, OUTER, INNER],
            "the chain ends in a certificate of CN=Root, which is no anchor",
        ),
        (2, [LEAF, INNER], "the chain ends in a certificate of CN=Outer"),
        (21, [LEAF], "the issuer of the certificate, CN=Inner"),
        (19, [LEAF, INNER, OUTER, ROOT], "the chain ends in CN=Root, which is no anchor"),
        (20, [], "if a CA of your own issued the certificate, pass it as anchors="),
        (26, [LEAF], "not for TLS servers"),
        (66, [LEAF], "breaks a rule (message of 66)"),
        (None, [LEAF], "breaks a rule (message of None)"),
        (20, [b"no certificate"], "(issuer unreadable)"),
    ],
)
def test_the_hint_fits(code: int | None, served: list[bytes], words: str) -> None:
    refusal = unverified(code, *served)
    assert words in refusal.hint()
    assert refusal.text().endswith(f"\n  hint: {refusal.hint()}")
    assert ("leaf-pin" in refusal.text()) == (code == 18)


@pytest.mark.parametrize(
    ("rule", "option"),
    [(RULE, " as anchors="), (Rule(), " as unpinned_anchors="), (None, " as unpinned_anchors=")],
    ids=["pinned", "not pinned", "nobody knows"],
)
def test_the_hint_names_the_argument_that_counts(rule: Rule | None, option: str) -> None:
    assert option in unverified(20, LEAF, INNER, rule=rule).hint()


def test_a_chain_whose_issuers_go_in_circles_ends() -> None:
    one, other = named("one", "other"), named("other", "one")
    assert "the chain ends in a certificate of CN=one" in unverified(20, one, other, other).hint()


def test_the_golden_message() -> None:
    """The layout of every other refusal, with what was shown in place of a verified chain."""
    refusal = unverified(20, LEAF, INNER, revision="2026-11-02#7")
    pin = refusal.served.leaf.pin if refusal.served else ""
    assert refusal.text() == (
        "a.test:443 showed a certificate that does not verify:\n"
        "  certificate verify failed: message of 20\n"
        "  served chain (verified by nobody):\n"
        f"    {pin}  leaf  CN=a.test\n"
        f"    {pin}  ca    CN=Inner\n"
        "  its leaf:\n"
        "    names: none\n"
        "    valid: 2020-01-01T00:00:00Z to 2049-12-31T23:59:59Z\n"
        "    issuer: CN=Inner\n"
        "  pinned (policy 2026-11-02#7, pattern a.test):\n"
        f"    {A}\n"
        f"    {B}\n"
        f"  hint: {refusal.hint()}"
    )


def test_one_that_cannot_be_read_has_no_dates() -> None:
    text = unverified(20, b"no certificate").text()
    assert "    names: none\n    issuer: (issuer unreadable)\n" in text
    assert "valid:" not in text


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("WRONG_VERSION_NUMBER", "is this the right port"),
        ("HTTP_REQUEST", "may not speak TLS"),
        ("UNEXPECTED_MESSAGE", "may not speak TLS"),
        ("SSLV3_ALERT_UNEXPECTED_MESSAGE", "its own log"),
        ("UNSUPPORTED_PROTOCOL", "TLS 1.2 and 1.3"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "TLS 1.2 and 1.3"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "AES-GCM or ChaCha20"),
        ("TLSV1_ALERT_INSUFFICIENT_SECURITY", "AES-GCM or ChaCha20"),
        ("WRONG_CIPHER_RETURNED", "AES-GCM or ChaCha20"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "client_cert="),
        ("TLSV1_ALERT_UNKNOWN_CA", "client_cert="),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "client_cert="),
        ("TLSV1_UNRECOGNIZED_NAME", "nothing under the name a.test"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "alpn="),
        ("TLSV1_ALERT_INTERNAL_ERROR", "its own log"),
        ("TLSV13_ALERT_MISSING_EXTENSION", "its own log"),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "breaks the rules of TLS"),
        ("NOT_YET_INVENTED", "breaks the rules of TLS"),
        (None, "breaks the rules of TLS"),
    ],
)
def test_the_hint_for_tls_that_fails(reason: str | None, words: str) -> None:
    assert words in hint(reason, "a.test")
    assert about_identity(reason) == (words == "client_cert=")


def test_a_server_that_does_not_accept_an_identity_says_so_by_an_alert() -> None:
    """OpenSSL's own complaints with such a word are none."""
    assert not about_identity("BAD_CERTIFICATE")
    assert not about_identity("UNKNOWN_CA")
