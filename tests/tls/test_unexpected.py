"""Arguments as other libraries call them: the error names the function that was called, and the argument that is meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
from requests.adapters import HTTPAdapter

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.errors import PolicyError
from pinio.httpx import AsyncPinnedHTTPTransport, PinnedHTTPTransport
from pinio.requests import PinnedAdapter, PinnedSession
from pinio.tls import unexpected
from tests.tls.cast import pinned

POLICY = pinned()
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "open_connection": (pinio.open_connection, ("localhost", 443)),
    "create_connection": (pinio.create_connection, (None, "localhost", 443)),
    "open_unix_connection": (pinio.open_unix_connection, ("/nowhere",)),
    "create_unix_connection": (pinio.create_unix_connection, (None, "/nowhere")),
    "start_tls": (pinio.start_tls, (None, None)),
    "upgrade": (pinio.upgrade, (None, None)),
    "create_ssl_context": (pinio.create_ssl_context, ()),
    "probe": (pinio.probe, ("localhost",)),
}
CLASSES: dict[str, tuple[type, Callable[..., Any]]] = {
    "PinnedConnector": (PinnedConnector, aiohttp.TCPConnector),
    "PinnedAdapter": (PinnedAdapter, HTTPAdapter),
    "PinnedSession": (PinnedSession, HTTPAdapter),
    "PinnedHTTPTransport": (PinnedHTTPTransport, httpx.HTTPTransport),
    "AsyncPinnedHTTPTransport": (AsyncPinnedHTTPTransport, httpx.AsyncHTTPTransport),
}


async def refused(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """What the error says."""
    with pytest.raises((TypeError, PolicyError)) as caught:
        await called(function, *arguments, **options)
    return str(caught.value)


async def called(function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    result = function(*arguments, **options)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("argument", ["cafile", "capath", "cadata", "ca_certs"])
async def test_a_file_of_cas(name: str, argument: str) -> None:
    function, arguments = FUNCTIONS[name]
    text = await refused(function, *arguments, **{argument: "ca.pem"})
    assert text.startswith(f"{name}() got an unexpected keyword argument {argument!r}: ")
    assert "anchors=" in text


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("argument", ["cafile", "anchors", "ca_certs"])
async def test_a_file_of_cas_where_the_policy_has_them(name: str, argument: str) -> None:
    text = await refused(CLASSES[name][0], POLICY, **{argument: "ca.pem"})
    assert text.startswith(f"{name}() got an unexpected keyword argument {argument!r}: ")
    assert "anchors= of a PinSet" in text


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("ssl_context", "ssl="),
        ("certfile", "client_cert="),
        ("check_hostname", "always verified"),
        ("verify", "always verified"),
        ("minimum_version", "ssl="),
        ("hostname", "server_hostname="),
        ("fingerprint", "pins="),
        ("mode", "PinSet"),
        ("deny", "policy="),
        ("timeout", "ssl_handshake_timeout="),
        ("callback", "observer="),
        ("server_hostnam", "did you mean server_hostname=?"),
    ],
)
async def test_what_is_meant(argument: str, meant: str) -> None:
    text = await refused(pinio.open_connection, "localhost", 443, policy=POLICY, **{argument: None})
    assert text.startswith(f"open_connection() got an unexpected keyword argument {argument!r}: ")
    assert meant in text


async def test_a_context_has_arguments_of_its_own() -> None:
    assert "client_cert=" in await refused(pinio.create_ssl_context, POLICY, keyfile="key.pem")
    assert "alpn=" in await refused(pinio.create_ssl_context, POLICY, alpn_protocols=["h2"])
    assert "timeout=" in await refused(pinio.probe, "localhost", connect_timeout=3)


async def test_what_nobody_knows_is_as_in_python() -> None:
    text = await refused(pinio.open_connection, "localhost", 443, policy=POLICY, zzz=1)
    assert text == "open_connection() got an unexpected keyword argument 'zzz'"
    with pytest.raises(TypeError, match="positional"):
        await called(pinio.open_connection, "localhost", 443, POLICY)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (PinnedConnector, "verify_ssl"),
        (PinnedConnector, "fingerprint"),
        (PinnedConnector, "ssl_context"),
        (PinnedHTTPTransport, "verify"),
        (PinnedHTTPTransport, "cert"),
        (PinnedHTTPTransport, "trust_env"),
    ],
)
async def test_what_the_library_would_take_and_must_not(kind: type, argument: str) -> None:
    with pytest.raises(PolicyError) as caught:
        await called(kind, POLICY, **{argument: object()})
    assert str(caught.value).startswith(f"{kind.__name__}() takes no {argument}=: ")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_looks_as_it_is(name: str) -> None:
    """Signature, name, documentation and kind, for `help()` and for whoever asks `inspect`."""
    function = FUNCTIONS[name][0]
    assert function.__name__ == name
    assert "policy" in inspect.signature(function).parameters or name == "probe"
    assert inspect.iscoroutinefunction(function) == (name != "create_ssl_context")
    assert function.__doc__


def test_no_advice_is_for_an_argument_that_is_there() -> None:
    """Every name of the table is unknown somewhere, and every hint names an argument or a class that exists."""
    for name, lines in unexpected._MEANT.items():
        for parameter, text in lines:
            assert not parameter or any(
                parameter in inspect.signature(function).parameters
                for function, _ in FUNCTIONS.values()
            )
            assert text, name
