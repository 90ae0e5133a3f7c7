"""What an OpenSSL TLS object knows about its peer.

The only user of private names of `ssl`; a tripwire test watches each.

- `SSLObject._sslobj` and `SSLSocket._sslobj`, the C object: it has `get_verified_chain` on every
  Python version, also while the handshake still runs, and its bound methods spare a Python call per
  read and write.
- `_ssl._SSLContext.verify_mode` and `.check_hostname`, what a context does, whatever a subclass
  says.
- `_ssl.ENCODING_DER`: those chains come as `_ssl.Certificate`, which exports PEM unless told
  otherwise.
"""

from __future__ import annotations

import _ssl
import ssl
import sys
from typing import Any, Final, Protocol, TypeAlias, cast

TLSObject: TypeAlias = ssl.SSLObject | ssl.SSLSocket

LIBRARY: Final[str | None] = getattr(_ssl, "__file__", None)
"""The file of the extension module that binds OpenSSL; None where it is built into Python."""

_DER: Final[int] = _ssl.ENCODING_DER
_VERIFY_MODE: Final[Any] = (
    _ssl._SSLContext.verify_mode
)  # a descriptor, for which typeshed has an int
_CHECK_HOSTNAME: Final[Any] = _ssl._SSLContext.check_hostname
_REQUIRED: Final = int(ssl.CERT_REQUIRED)

reading_leaks: bool = sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)
"""Whether reading `.session` leaks 6.7 kB each time (python/cpython#116810).

It also copies the session, which with OpenSSL 3.0 costs a tenth of a handshake. There a TLS 1.3
ticket is used as often as a TLS 1.2 session, so that a session is read once for each full handshake
and not for each connection.
"""


class Raw(Protocol):
    """The C-level TLS object, as far as pinio uses it."""

    def do_handshake(self) -> None: ...
    def read(self, size: int, buffer: Any = ..., /) -> Any: ...
    def write(self, data: Any, /) -> int: ...
    def pending(self) -> int: ...
    def shutdown(self) -> object: ...


def raw(tls: TLSObject) -> Raw:
    """The C-level object under an `SSLObject` or `SSLSocket`."""
    return cast(Raw, tls._sslobj)  # type: ignore[union-attr]  # not in typeshed


def has_core(tls: TLSObject) -> bool:
    """Whether there is a C object under it: a socket that is not connected yet has none."""
    return tls._sslobj is not None  # type: ignore[union-attr]


def verifies(context: ssl.SSLContext) -> bool:
    """Whether a context requires a verified certificate.

    Reads the C descriptor, at a tenth of the cost of `ssl`'s enum.
    """
    return bool(_VERIFY_MODE.__get__(context) == _REQUIRED)


def checks_names(context: ssl.SSLContext) -> bool:
    """Whether a context compares the peer's certificate with the name that was asked for."""
    return bool(_CHECK_HOSTNAME.__get__(context))


def verified_chain(tls: TLSObject) -> list[bytes] | None:
    """DER of the chain that OpenSSL built and, with `CERT_REQUIRED`, verified; leaf first.

    Readable as soon as the peer's certificate was processed, also while `do_handshake` still wants
    more: then the peer has proven nothing yet, but for what `final_flight_made` says. None on a
    resumed session. Under `CERT_NONE` everything above position 0 is forgeable.
    """
    return _export(tls._sslobj.get_verified_chain())  # type: ignore[union-attr]


def final_flight_made(tls: TLSObject) -> bool:
    """Whether this side's Finished message of the handshake exists.

    While `do_handshake` still wants to read, that is so with TLS 1.2 alone: there the client
    finishes first, once the server has signed its key exchange (RFC 5246 section 7.3). With TLS 1.3
    the server finishes first (RFC 8446 section 2), and the handshake ends with the client's
    message. OpenSSL reports the message as the channel binding `tls-unique` (RFC 5929 section 3).
    """
    return tls.get_channel_binding("tls-unique") is not None


def served_chain(tls: TLSObject) -> list[bytes] | None:
    """DER of what the peer sent, unverified; on a resumed session perhaps the old one's."""
    return _export(tls._sslobj.get_unverified_chain())  # type: ignore[union-attr]


class OpenSSLFacts:
    """The `PeerFacts` of a TLS object."""

    __slots__ = ("_tls",)

    def __init__(self, tls: TLSObject) -> None:
        self._tls = tls

    @property
    def configuration(self) -> ssl.SSLContext:
        return self._tls.context

    @property
    def tickets_are_used_once(self) -> bool:
        return not reading_leaks

    @property
    def requires_verification(self) -> bool:
        return verifies(self._tls.context)

    @property
    def checks_names(self) -> bool:
        return checks_names(self._tls.context)

    @property
    def proven_early(self) -> bool:
        return final_flight_made(self._tls)

    @property
    def resumed(self) -> bool:
        return bool(self._tls.session_reused)

    @property
    def version(self) -> str | None:
        return self._tls.version()

    @property
    def leaf(self) -> bytes | None:
        return self._tls.getpeercert(binary_form=True)

    def verified_chain(self) -> list[bytes] | None:
        return verified_chain(self._tls)

    def served_chain(self) -> list[bytes] | None:
        return served_chain(self._tls)

    def leaves(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        return leaves(self._tls)

    def session(self) -> ssl.SSLSession | None:
        session = self._tls.session
        by_id = self.version == "TLSv1.2" and session is not None and session.id
        return session if session is not None and (session.has_ticket or by_id) else None


def _export(chain: list[Any] | None) -> list[bytes] | None:
    return [certificate.public_bytes(_DER) for certificate in chain] if chain else None


def leaves(tls: TLSObject) -> tuple[bytes | None, bytes | None, bytes | None]:
    """DER of the leaf by the verified chain, the served chain and the finished handshake.

    Raises `ValueError` before the handshake is done.
    """
    core = cast(Any, tls._sslobj)  # type: ignore[union-attr]
    return (
        _first(core.get_verified_chain()),
        _first(core.get_unverified_chain()),
        tls.getpeercert(binary_form=True),
    )


def _first(chain: list[Any] | None) -> bytes | None:
    return chain[0].public_bytes(_DER) if chain else None
