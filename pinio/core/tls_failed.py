"""The hint for a TLS handshake that failed, by OpenSSL's word for it."""

from __future__ import annotations

from typing import Final

_NO_TLS: Final = (
    "what answers there may not speak TLS: is this the right port? "
    "(where TLS begins with STARTTLS: pinio.upgrade)"
)
_VERSION: Final = "pinned connections take TLS 1.2 and 1.3; the server must offer one of them"
_PARAMETERS: Final = (
    "the two have no TLS settings in common: pinned connections take TLS 1.3, and TLS 1.2 with an "
    "ephemeral key exchange and AES-GCM or ChaCha20; or the server wants a client certificate "
    "(client_cert=)"
)
_IDENTITY: Final = (
    "the server asks for a client certificate and did not get one that it accepts: load it with "
    "client_cert= of pinio.create_ssl_context; it is shown to pinned hosts only"
)
_NAME: Final = (
    "the server has nothing under the name {host}; another one is passed as server_hostname="
)
_ALPN: Final = "the server speaks none of the protocols that alpn= names"
_ALERT: Final = "the server ended the handshake; its own log may say why"
_BROKEN: Final = "the server, or something on the way to it, breaks the rules of TLS"

_OWN: Final = {
    **dict.fromkeys(
        (
            "BAD_RECORD_TYPE",
            "HTTPS_PROXY_REQUEST",
            "HTTP_REQUEST",
            "PACKET_LENGTH_TOO_LONG",
            "RECORD_LAYER_FAILURE",
            "UNEXPECTED_MESSAGE",
            "UNKNOWN_PROTOCOL",
            "WRONG_VERSION_NUMBER",
        ),
        _NO_TLS,
    ),
    **dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "UNSUPPORTED_SSL_VERSION", "VERSION_TOO_LOW"),
        _VERSION,
    ),
    **dict.fromkeys(
        (
            "DH_KEY_TOO_SMALL",
            "NO_CIPHERS_AVAILABLE",
            "NO_SUITABLE_GROUPS",
            "NO_SUITABLE_KEY_SHARE",
            "UNKNOWN_CIPHER_RETURNED",
            "WRONG_CIPHER_RETURNED",
            "WRONG_CURVE",
        ),
        _PARAMETERS,
    ),
}
"""OpenSSL's own complaints."""

_ALERTS: Final = {
    **dict.fromkeys(
        (
            "ACCESS_DENIED",
            "BAD_CERTIFICATE",
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_REQUIRED",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_UNKNOWN",
            "NO_CERTIFICATE",
            "UNKNOWN_CA",
            "UNSUPPORTED_CERTIFICATE",
        ),
        _IDENTITY,
    ),
    **dict.fromkeys(("HANDSHAKE_FAILURE", "INSUFFICIENT_SECURITY"), _PARAMETERS),
    **dict.fromkeys(("INAPPROPRIATE_FALLBACK", "PROTOCOL_VERSION"), _VERSION),
    "NO_APPLICATION_PROTOCOL": _ALPN,
    "UNRECOGNIZED_NAME": _NAME,
}
"""Alerts of the peer (RFC 8446 section 6.2)."""

# How OpenSSL begins its words for them; the version says when an alert was invented, no more.
_PREFIXES: Final = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_", "TLSV1_")


def hint(reason: str | None, host: str) -> str:
    """What to do about it."""
    alert = _alert(reason)
    if alert is not None:
        return _ALERTS.get(alert, _ALERT).format(host=host)
    return _OWN.get(reason or "", _BROKEN)


def about_identity(reason: str | None) -> bool:
    """Whether this is the peer's alert about the certificate that a client showed, or did not show."""
    return _ALERTS.get(_alert(reason) or "") is _IDENTITY


def _alert(reason: str | None) -> str | None:
    """The name of the alert, if OpenSSL's word is for one."""
    for prefix in _PREFIXES:
        if reason is not None and reason.startswith(prefix):
            return reason.removeprefix(prefix)
    return None
