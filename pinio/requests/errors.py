"""Errors that are both: requests' for a failed connection or a bad URL, and pinio's for a bad key or host."""

from __future__ import annotations

from typing import Final

from requests import PreparedRequest
from requests.exceptions import InvalidURL, SSLError

from pinio.core.host import canonical_host
from pinio.errors import PinVerificationError, PolicyError, TLSFailedError, forms


class RequestPinError(SSLError, PinVerificationError):
    """A request of a `PinnedAdapter` was refused.

    `except pinio.PinError`, `except requests.RequestException` and the `except` for the concrete
    pinio error (`PinMismatchError` …) all catch it: there is a subclass for each. `refusal` has the
    data.
    """

    def __init__(self, error: PinVerificationError, request: PreparedRequest | None = None) -> None:
        SSLError.__init__(self, error.refusal, request=request)

    def __reduce__(self) -> tuple[object, ...]:
        # Without the request, which may have a password in it.
        return request_error, (self.refusal.error(),)


_KINDS: Final = forms(RequestPinError, "Request")
globals().update({kind.__name__: kind for kind in _KINDS.values()})  # where pickle looks for them


class RequestTLSFailedError(SSLError, TLSFailedError):
    """TLS failed on a request of a `PinnedAdapter`, and no certificate is the reason.

    `refusal` has the data.
    """

    def __init__(self, error: TLSFailedError, request: PreparedRequest | None = None) -> None:
        SSLError.__init__(self, error.refusal, request=request)

    def __reduce__(self) -> tuple[object, ...]:
        return request_error, (self.refusal.error(),)


def request_error(
    error: PinVerificationError | TLSFailedError, request: PreparedRequest | None = None
) -> RequestPinError | RequestTLSFailedError:
    """The form of a refusal that is requests' as well; its `__cause__` is the plain one."""
    wrapped: RequestPinError | RequestTLSFailedError
    if isinstance(error, TLSFailedError):
        wrapped = RequestTLSFailedError(error, request)
    else:
        wrapped = _KINDS.get(type(error), RequestPinError)(error, request)
    wrapped.__cause__ = error
    return wrapped


class RequestHostError(InvalidURL, PolicyError):
    """The host of a URL is none that pinio can use: requests' error for it, and pinio's."""


def check_host(host: str, request: PreparedRequest) -> None:
    """Raise `RequestHostError` for what is no host name. It may be a redirect's."""
    try:
        canonical_host(host)
    except PolicyError as error:
        raise RequestHostError(str(error), request=request) from error
