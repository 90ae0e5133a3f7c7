"""Who does the TLS of a connection, and whether that engine can do what was asked."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias, get_args

from pinio.errors import PolicyError
from pinio.tls.config.settings import CIPHERS, Settings

EngineName: TypeAlias = Literal["openssl", "rustls"]
"""OpenSSL by the module `ssl`, or rustls by the package `pinio-rustls`."""

EngineChoice: TypeAlias = Literal["openssl", "rustls", "auto"]
"""What a caller says: an engine, or rustls where it is installed and can do what is asked."""

_VERSION_OPTIONS: Final = int(ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3)


def choose(choice: EngineChoice, settings: Settings) -> EngineName:
    """The engine for a caller's choice.

    Raises `PolicyError` for a word that is no engine, and where rustls was chosen and is not
    installed or cannot do what the settings ask.
    """
    if not isinstance(choice, str) or choice not in get_args(EngineChoice):
        raise PolicyError(f'engine is "openssl", "rustls" or "auto", not {choice!r}')
    if choice == "openssl":
        return choice
    objection = _objection(settings)
    if objection is None:
        return "rustls"
    if choice == "auto":
        return "openssl"
    raise PolicyError(f'engine="rustls": {objection}')


def _objection(settings: Settings) -> str | None:
    """Why rustls cannot serve; None if it can."""
    for name, asked in (
        ("a choice of ciphers", settings.ciphers != CIPHERS),
        ("a choice of curve", settings.curve is not None),
        ("verify_flags", bool(settings.verify_flags)),
        ("options beyond TLS versions", bool(settings.options & ~_VERSION_OPTIONS)),
        ("post_handshake_auth", settings.post_handshake_auth),
        ("keylog_filename", settings.keylog_filename is not None),
        ("more than one client certificate", len(settings.identities) > 1),
        (
            "an encrypted private key",
            any(identity.password is not None for identity in settings.identities),
        ),
    ):
        if asked:
            return f'rustls cannot do {name}, which the context asks for; engine="openssl" can'
    if find_spec("pinio_rustls") is None:
        return (
            "the package pinio-rustls is not installed: in a checkout, ./run engine builds and "
            "installs it"
        )
    return None
