"""What a program may say about TLS beyond trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pinio.errors import PolicyError
from pinio.tls.config.identity import ClientIdentity
from pinio.tls.config.settings import CIPHERS, OPTIONS, Settings, StockContext, assign, scratch
from tests.tls.cast import IDENTITY


def tls_1_2_suites(context: ssl.SSLContext) -> list[str]:
    return [
        suite["name"] for suite in context.get_ciphers() if not suite["name"].startswith("TLS_")
    ]


def applied(settings: Settings) -> ssl.SSLContext:
    context = scratch()
    settings.apply(context)
    return context


def test_the_floor_holds_without_any_setting() -> None:
    context = applied(Settings())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & OPTIONS == OPTIONS
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all(name.startswith("ECDHE-") for name in tls_1_2_suites(context)), (
        "ephemeral keys alone"
    )


def test_options_and_flags_come_on_top_of_those_that_a_context_has() -> None:
    stock = scratch()
    context = applied(
        Settings(options=int(ssl.OP_NO_TICKET), verify_flags=int(ssl.VERIFY_X509_STRICT))
    )
    assert context.options & (stock.options | ssl.OP_NO_TICKET) == stock.options | ssl.OP_NO_TICKET
    assert context.verify_flags & (stock.verify_flags | ssl.VERIFY_X509_STRICT) == (
        stock.verify_flags | ssl.VERIFY_X509_STRICT
    )


def test_settings_are_compared_by_value() -> None:
    assert Settings(alpn=("h2",)) == Settings(alpn=("h2",))
    assert hash(Settings(alpn=("h2",))) == hash(Settings(alpn=("h2",)))
    assert Settings() != Settings(curve="prime256v1")


# Ciphers


@pytest.mark.parametrize(
    "wanted", ["DEFAULT", "ALL", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "HIGH:!DH"]
)
def test_ciphers_are_those_named_that_were_allowed(wanted: str) -> None:
    stricter, left_out = Settings().tighter_ciphers(wanted)
    named, context = scratch(), scratch()
    named.set_ciphers(wanted)
    context.set_ciphers(stricter)
    assert set(tls_1_2_suites(context)) == set(tls_1_2_suites(named)) & set(
        tls_1_2_suites(applied(Settings()))
    )
    assert left_out == (set(tls_1_2_suites(named)) != set(tls_1_2_suites(context)))


def test_ciphers_never_come_back() -> None:
    once, _ = Settings().tighter_ciphers("ECDHE+CHACHA20")
    again, left_out = Settings(ciphers=once).tighter_ciphers("DEFAULT")
    context = applied(Settings(ciphers=again))
    assert tls_1_2_suites(context) == [
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]
    assert left_out


def test_a_security_level_cannot_be_lowered_by_a_cipher_string() -> None:
    """Level 0 would take certificates with keys of 512 bits."""
    stricter, _ = Settings().tighter_ciphers("ECDHE+AESGCM:@SECLEVEL=0")
    context = applied(Settings(ciphers=stricter))
    assert context.security_level == 2


def test_the_same_ciphers_are_the_same_settings() -> None:
    assert Settings().tighter_ciphers(CIPHERS) == (CIPHERS, False)


@pytest.mark.parametrize("wanted", ["AES256-GCM-SHA384", "kRSA", "aNULL:@SECLEVEL=0", "AESCCM"])
def test_ciphers_of_which_nothing_is_left_are_refused(wanted: str) -> None:
    """An `SSLError` where this OpenSSL was built without them."""
    with pytest.raises((PolicyError, ssl.SSLError)):
        Settings().tighter_ciphers(wanted)


def test_ciphers_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ssl.SSLError):
        Settings().tighter_ciphers("CAESAR")


# Client identity


def test_hosts_without_pins_get_settings_without_the_identity(tmp_path: Path) -> None:
    identity = ClientIdentity.read(*IDENTITY.write(tmp_path))
    settings = Settings(alpn=("h2",), post_handshake_auth=True).with_identity(identity)
    assert settings.anonymous() == Settings(alpn=("h2",))
    assert Settings(alpn=("h2",)).anonymous() == Settings(alpn=("h2",))


# Where somebody replaced ssl.SSLContext


class Replacement(StockContext):
    pass


def test_a_context_is_ssls_own_whatever_is_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "SSLContext", Replacement)
    assert type(scratch()) is StockContext
    context = applied(
        Settings(maximum_version=ssl.TLSVersion.TLSv1_2, options=int(ssl.OP_NO_TICKET))
    )
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2


def test_the_setters_of_ssl_still_cannot_be_used_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there is `assign`. If this fails, it can go."""
    context = scratch()
    monkeypatch.setattr(ssl, "SSLContext", Replacement)
    with pytest.raises(RecursionError):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    assign(context, "minimum_version", ssl.TLSVersion.TLSv1_3)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
