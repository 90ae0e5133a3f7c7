"""One error that is both aiohttp's and pinio's."""

from __future__ import annotations

import copy
import pickle
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from pinio.aiohttp.errors import ClientPinError, client_error
from pinio.core.decision import Refusal
from pinio.errors import BY_REASON, PinError, PinVerificationError

KEY = ConnectionKey("api.example.com", 443, True, True, None, None, None)


@pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)
def test_every_refusal_has_its_aiohttp_form(kind: type[PinVerificationError]) -> None:
    """Caught as aiohttp's, as pinio's in general, and as the concrete pinio error; with all its data."""
    plain = kind(Refusal(kind.code, "api.example.com", 443))
    error = client_error(KEY, plain)
    for caught_as in (
        aiohttp.ClientError,
        aiohttp.ClientConnectorCertificateError,
        ClientPinError,
        PinError,
        kind,
        ssl.SSLError,
    ):
        assert isinstance(error, caught_as)
    assert error.certificate_error is plain and error.__cause__ is plain
    assert (error.host, error.port, error.ssl) == ("api.example.com", 443, True)
    assert error.refusal == plain.refusal and str(error) == str(plain) and error.errno == ssl.SSL_ERROR_SSL


@pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)
def test_it_pickles_and_copies(kind: type[PinVerificationError]) -> None:
    """Process pools and loggers carry it around."""
    error = client_error(KEY, kind(Refusal(kind.code, "api.example.com", 443)))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error) and other.refusal == error.refusal and str(other) == str(error)
        assert type(other.certificate_error) is kind
