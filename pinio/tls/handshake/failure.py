"""Refusals for errors of the TLS library: an unverified certificate, a TLS failure.

A reset, an end of the stream and a timeout are errors of TCP and stay what they are.
"""

from __future__ import annotations

import re
import ssl
from contextlib import suppress
from typing import Final

from pinio.core.certificate import ServedChain
from pinio.core.decision import Refusal
from pinio.core.policy import Endpoint
from pinio.core.tls_failed import about_identity
from pinio.core.wording import MOST_CERTIFICATES
from pinio.errors import CertificateNotVerifiedError, PinError, TLSFailedError
from pinio.tls.handshake.facts import PeerFacts

MOST_BYTES: Final = 32768
"""Bytes of served certificates that a refusal keeps; observers may keep a thousand refusals."""

_NO_FAILURE: Final = (
    ssl.SSLEOFError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
    PinError,  # decided already
)
_WORDS: Final = re.compile(r"\[\w+\] (?P<words>.+?) \(_ssl\.c")


def refusal_of(
    error: BaseException, endpoint: Endpoint, facts: PeerFacts, time: float
) -> Refusal | None:
    """The refusal for an error of a handshake; None if TLS did not fail.

    `time` is in POSIX seconds.
    """
    if not isinstance(error, ssl.SSLError) or isinstance(error, _NO_FAILURE):
        return None
    host, port, revision = endpoint.host, endpoint.port, endpoint.policy.revision
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(
            CertificateNotVerifiedError.code,
            host,
            port,
            revision=revision,
            time=time,
            noted=endpoint.rule,
            verify_code=getattr(error, "verify_code", None),
            verify_message=getattr(error, "verify_message", None),
            served=_served(facts),
        )
    return tls_failed(error, host, port, revision=revision, time=time)


def refusal_of_identity(
    error: ssl.SSLError, endpoint: Endpoint, facts: PeerFacts, time: float
) -> Refusal | None:
    """The refusal for an alert about the client's certificate on an open connection.

    With TLS 1.3 the client's handshake is done before the server has looked at that certificate.
    """
    if facts.version == "TLSv1.2" or not about_identity(_reason(error)):
        return None
    return refusal_of(error, endpoint, facts, time)


def tls_failed(
    error: ssl.SSLError,
    host: str,
    port: int | None,
    *,
    revision: str | None = None,
    time: float = 0.0,
) -> Refusal:
    """The refusal for TLS that failed for another reason than a certificate."""
    return Refusal(
        TLSFailedError.code,
        host,
        port,
        revision=revision,
        time=time,
        detail=str(error.strerror or error),
        tls_reason=_reason(error),
    )


def _reason(error: ssl.SSLError) -> str | None:
    """OpenSSL's name of an error, made from its sentence where Python's table has none."""
    if reason := getattr(error, "reason", None):  # an error that OpenSSL did not make has none
        return str(reason)
    sentence = _WORDS.match(str(error.strerror or ""))
    return sentence["words"].upper().replace(" ", "_") if sentence is not None else None


def _served(facts: PeerFacts) -> ServedChain | None:
    """The first certificates that the peer sent; None if unknown or above `MOST_BYTES`."""
    kept: list[bytes] = []
    with suppress(Exception):  # a TLS library that does not tell; the refusal stands without it
        for certificate in (facts.served_chain() or ())[:MOST_CERTIFICATES]:
            if sum(map(len, kept)) + len(certificate) > MOST_BYTES:
                break
            kept.append(certificate)
    return ServedChain(kept) if kept else None
