"""Errors that are both aiohttp's and pinio's."""

from __future__ import annotations

import copy
import pickle
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from pinio.aiohttp import PinnedConnector
from pinio.aiohttp.errors import ClientPinError, client_error
from pinio.core.decision import Refusal
from pinio.core.policy import Policy
from pinio.errors import BY_REASON, PinError, PinVerificationError, PolicyError, find_pin_error
from pinio.testing import Server, http
from tests.tls.cast import GENUINE, pinned

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
    assert (
        error.refusal == plain.refusal
        and str(error) == str(plain)
        and error.errno == ssl.SSL_ERROR_SSL
    )


@pytest.mark.parametrize("host", ["127.1", "a..b", "xn--a.test"])
async def test_a_redirect_to_no_host_is_an_error_of_aiohttp(host: str) -> None:
    """The URL is the server's choice: a program that expects aiohttp's errors has to do with nothing else."""
    handler = http(status=302, headers=[("Location", f"https://{host}/T0PSECRET")])
    async with (
        Server(GENUINE, handler=handler) as server,
        aiohttp.ClientSession(connector=PinnedConnector(pinned())) as client,
    ):
        with pytest.raises(aiohttp.InvalidURL) as caught:
            await client.get(f"https://localhost:{server.port}/")
    assert isinstance(caught.value, PolicyError) and find_pin_error(caught.value) is caught.value
    assert "not a host name" in str(caught.value) and "T0PSECRET" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value) and str(again) == str(caught.value)


async def test_another_error_of_the_policy_is_not_the_urls() -> None:
    """A source that has nothing to say raises what it raises everywhere."""

    class Stale:
        said: Policy | None = pinned()

        @property
        def current(self) -> Policy:
            if self.said is None:
                raise PolicyError("the policy is too old")
            return self.said

    source = Stale()
    async with aiohttp.ClientSession(connector=PinnedConnector(source)) as client:
        source.said = None
        with pytest.raises(PolicyError, match="too old") as caught:
            await client.get("https://localhost:1/")
    assert not isinstance(caught.value, aiohttp.ClientError)


@pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)
def test_it_pickles_and_copies(kind: type[PinVerificationError]) -> None:
    """Process pools and loggers carry it around."""
    error = client_error(KEY, kind(Refusal(kind.code, "api.example.com", 443)))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (
            type(other) is type(error)
            and other.refusal == error.refusal
            and str(other) == str(error)
        )
        assert type(other.certificate_error) is kind
