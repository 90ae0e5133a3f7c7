"""Errors that are both: httpx's for a connection that failed, and pinio's for a bad key or host."""

from __future__ import annotations

from typing import Final, cast

from httpx import ConnectError, UnsupportedProtocol

from pinio.core.host import canonical_host
from pinio.errors import PinVerificationError, PolicyError, TLSFailedError, forms


class TransportPinError(ConnectError, PinVerificationError):
    """A request of a pinned transport was refused.

    `except pinio.PinError`, `except httpx.TransportError` and the `except` for the concrete pinio
    error (`PinMismatchError` …) all catch it: there is a subclass for each. `refusal` has the data.
    """

    def __init__(self, error: PinVerificationError) -> None:
        # httpx hands on what it takes for the message, and pinio's own error makes one of it.
        ConnectError.__init__(self, cast("str", error.refusal))

    def __reduce__(self) -> tuple[object, ...]:
        # Without the request, which may have a password in it.
        return transport_error, (self.refusal.error(),)


_KINDS: Final = forms(TransportPinError, "Transport")
globals().update({kind.__name__: kind for kind in _KINDS.values()})  # where pickle looks for them


class TransportTLSFailedError(ConnectError, TLSFailedError):
    """TLS failed on a request of a pinned transport, and no certificate is the reason.

    `refusal` has the data.
    """

    def __init__(self, error: TLSFailedError) -> None:
        ConnectError.__init__(self, cast("str", error.refusal))

    def __reduce__(self) -> tuple[object, ...]:
        return transport_error, (self.refusal.error(),)


def transport_error(
    error: PinVerificationError | TLSFailedError,
) -> TransportPinError | TransportTLSFailedError:
    """The form of a refusal that is httpx's as well; its `__cause__` is the plain one."""
    wrapped: TransportPinError | TransportTLSFailedError
    if isinstance(error, TLSFailedError):
        wrapped = TransportTLSFailedError(error)
    else:
        wrapped = _KINDS.get(type(error), TransportPinError)(error)
    wrapped.__cause__ = error
    return wrapped


class TransportHostError(UnsupportedProtocol, PolicyError):
    """The host of a URL is none that pinio can use: an error of httpx's transports, and pinio's."""


def check_host(host: str) -> None:
    """Raise `TransportHostError` for what is no host name. It may be a redirect's."""
    try:
        canonical_host(host)
    except PolicyError as error:
        raise TransportHostError(str(error)) from error
