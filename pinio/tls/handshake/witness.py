"""Checks who signed whom on a path again, with a library that is not the engine's.

A pin above the leaf rests on OpenSSL's word that the pinned issuer signed what lies below it: one
hooked function (`X509_verify_cert`) and a leaf that merely names the issuer would open it. So each
signature from the pinned certificate down to the leaf is checked again with `cryptography`, which
brings its own copy of OpenSSL. Names, dates and constraints other than "is a CA" stay the engine's.

Where `cryptography` is not installed nothing is checked here, and `available` says so. It is
imported at the first match above a leaf. Each pair of certificates is checked once, and remembered
by content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pinio.core.certificate import Certificate, VerifiedChain

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as Parsed

LINKS: Final = 2048
"""Pairs of certificates that are remembered; when there are more the memory begins anew."""

_signed: dict[tuple[bytes, bytes], bool] = {}
_loaded: list[Any] = []


def available() -> bool:
    """Whether paths are witnessed: `cryptography` 41 or later is installed and can be imported."""
    return _x509() is not None


def witness(chain: VerifiedChain, position: int) -> str | None:
    """Why the certificate at `position` did not issue the path below it; None if it did.

    Also None where `cryptography` is not installed.
    """
    if _x509() is None:
        return None
    # From the pinned certificate down: what is above is genuine when what is below is looked at.
    for issuer in range(position, 0, -1):
        if not _link(chain.certificates[issuer - 1], chain.certificates[issuer]):
            return f"the key at position {issuer} did not sign the certificate at {issuer - 1}"
    return None


def _link(certificate: Certificate, issuer: Certificate) -> bool:
    key = (certificate.der, issuer.der)
    known = _signed.get(key)
    if known is None:
        known = _check(*key)
        if len(_signed) >= LINKS:
            _signed.clear()
        _signed[key] = known
    return known


def _check(certificate_der: bytes, issuer_der: bytes) -> bool:
    x509 = _x509()
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        issuer = x509.load_der_x509_certificate(issuer_der)
        try:
            key = issuer.public_key()
        except UnsupportedAlgorithm:
            # A genuine issuer (see `witness`) whose kind of key is newer than this `cryptography`.
            return True
        return _is_ca(x509, issuer) and _verifies(key, certificate)
    except Exception:  # noqa: BLE001
        # Whatever cannot be read, or is signed by another kind of key, was not signed by this one.
        return False


def _is_ca(x509: Any, issuer: Parsed) -> bool:
    """Whether it may issue (RFC 5280 section 4.2.1.9); old roots are self-issued, no more."""
    try:
        return bool(issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return issuer.issuer == issuer.subject
    except ValueError:
        return True  # another extension cannot be read, which OpenSSL accepts; its signature counts


def _verifies(key: Any, certificate: Parsed) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    parameters: tuple[Any, ...] = ()  # Ed25519 and Ed448 have none
    if isinstance(key, RSAPublicKey):
        parameters = (
            certificate.signature_algorithm_parameters,
            certificate.signature_hash_algorithm,
        )
    elif isinstance(key, EllipticCurvePublicKey):
        parameters = (certificate.signature_algorithm_parameters,)
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, *parameters)
    except InvalidSignature:
        return False
    return True


def _x509() -> Any:
    if not _loaded:
        try:
            from cryptography import x509
        except ImportError:
            _loaded.append(None)
        else:
            # Before cryptography 41 a certificate does not say how it was signed.
            able = hasattr(x509.Certificate, "signature_algorithm_parameters")
            _loaded.append(x509 if able else None)
    return _loaded[0]
