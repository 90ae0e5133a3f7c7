"""Errors that are both: aiohttp's for a bad certificate, TLS or URL, and pinio's for a bad key or host."""

from __future__ import annotations

from typing import Final

from aiohttp import ClientConnectorCertificateError, ClientConnectorSSLError, InvalidURL
from aiohttp.client_reqrep import ConnectionKey

from pinio.core.host import canonical_host
from pinio.errors import PinVerificationError, PolicyError, TLSFailedError, forms


class ClientPinError(ClientConnectorCertificateError, PinVerificationError):
    """A connection of `PinnedConnector` was refused.

    `except pinio.PinError`, `except aiohttp.ClientError` and the `except` for the concrete pinio
    error (`PinMismatchError` …) all catch it: there is a subclass for each. `certificate_error` is
    the plain pinio error, `refusal` its data.
    """

    _certificate_error: PinVerificationError

    def __init__(
        self, connection_key: ConnectionKey, certificate_error: PinVerificationError
    ) -> None:
        PinVerificationError.__init__(self, certificate_error.refusal)
        self._conn_key = connection_key
        self._certificate_error = certificate_error
        self._os_error = certificate_error

    @property
    def certificate_error(self) -> PinVerificationError:
        """The plain pinio error."""
        return self._certificate_error

    @property
    def host(self) -> str:
        return self.refusal.host

    @property
    def port(self) -> int | None:
        return self._conn_key.port

    def __str__(self) -> str:
        return str(self.certificate_error)

    def __reduce__(self) -> tuple[object, ...]:
        return client_error, (self._conn_key, self.certificate_error)


_KINDS: Final = forms(ClientPinError, "Client")
globals().update({kind.__name__: kind for kind in _KINDS.values()})  # where pickle looks for them


def client_error(connection_key: ConnectionKey, error: PinVerificationError) -> ClientPinError:
    """The aiohttp form of a refusal; its `__cause__` is the plain one."""
    wrapped = _KINDS.get(type(error), ClientPinError)(connection_key, error)
    wrapped.__cause__ = error
    return wrapped


class ClientTLSFailedError(ClientConnectorSSLError, TLSFailedError):
    """TLS failed on a connection of `PinnedConnector`, and no certificate is the reason.

    `os_error` is the plain pinio error, `refusal` its data.
    """

    _os_error: TLSFailedError

    def __init__(self, connection_key: ConnectionKey, os_error: TLSFailedError) -> None:
        TLSFailedError.__init__(self, os_error.refusal)
        self._conn_key = connection_key
        self._os_error = os_error

    @property
    def host(self) -> str:
        return self.refusal.host

    @property
    def port(self) -> int | None:
        return self._conn_key.port

    def __str__(self) -> str:
        return str(self._os_error)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._conn_key, self._os_error)


class ClientHostError(InvalidURL, PolicyError):
    """The host of a URL is none that pinio can use: aiohttp's error for it, and pinio's."""


def check_host(host: str) -> None:
    """Raise `ClientHostError` for what is no host name.

    It may be a redirect's, so that no program wrote it.
    """
    try:
        canonical_host(host)
    except PolicyError as error:
        raise ClientHostError(host, str(error)) from error
