"""Errors that are both the library's and pinio's."""

from __future__ import annotations

import copy
import pickle
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests

from pinio.core.decision import Refusal
from pinio.errors import BY_REASON, PinError, PinVerificationError, PolicyError, find_pin_error
from pinio.httpx import TransportPinError
from pinio.httpx.errors import TransportHostError, transport_error
from pinio.requests import RequestPinError
from pinio.requests.errors import RequestHostError, request_error

FORMS: dict[str, tuple[Callable[..., Any], tuple[type[BaseException], ...]]] = {
    "requests": (
        request_error,
        (RequestPinError, requests.exceptions.SSLError, requests.RequestException),
    ),
    "httpx": (transport_error, (TransportPinError, httpx.ConnectError, httpx.TransportError)),
}

each_form = pytest.mark.parametrize(("form", "kinds"), FORMS.values(), ids=FORMS)
each_kind = pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)


@each_form
@each_kind
def test_every_refusal_has_its_form(
    kind: type[PinVerificationError], form: Any, kinds: tuple[type[BaseException], ...]
) -> None:
    plain = kind(Refusal(kind.code, "api.example.com", 443))
    error = form(plain)
    for caught_as in (*kinds, PinError, kind, ssl.SSLCertVerificationError):
        assert isinstance(error, caught_as)
    assert error.__cause__ is plain and find_pin_error(error) == error
    assert (error.host, error.port, error.reason) == ("api.example.com", 443, kind.code)
    assert error.refusal == plain.refusal and str(error) == str(plain)
    assert error.errno == ssl.SSL_ERROR_SSL and error.verify_message == plain.verify_message


@each_form
@each_kind
def test_it_pickles_and_copies(
    kind: type[PinVerificationError], form: Any, kinds: tuple[type[BaseException], ...]
) -> None:
    error = form(kind(Refusal(kind.code, "api.example.com", 443)))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert other.refusal == error.refusal and str(other) == str(error)


def test_a_pickle_has_no_request_in_it() -> None:
    request = requests.Request("GET", "https://user:T0PSECRET@api.example.com/").prepare()
    error = request_error(
        BY_REASON["PIN_MISMATCH"](Refusal("PIN_MISMATCH", "api.example.com")), request
    )
    assert error.request is request
    assert b"T0PSECRET" not in pickle.dumps(error)


@pytest.mark.parametrize("kind", [RequestHostError, TransportHostError])
def test_a_host_that_is_none_is_an_error_of_both(kind: type[Exception]) -> None:
    error = kind("'127.1' is not a host name")
    assert isinstance(error, PolicyError) and str(error) == "'127.1' is not a host name"
    assert find_pin_error(error) is error
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)
