"""Tripwires: each private name of aiohttp that the connector stands on. If one moves, these say so before users notice."""

from __future__ import annotations

import inspect

import aiohttp
import pytest
from aiohttp import connector

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.testing import Interceptor, http
from tests.tls.cast import ROOT, end_of, pinned


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_get_ssl_context", ["self", "req"]),
        ("_get_fingerprint", ["self", "req"]),
        (
            "_wrap_create_connection",
            ["self", "args", "addr_infos", "req", "timeout", "client_error", "kwargs"],
        ),
        ("_start_tls_connection", ["self", "underlying_transport", "req", "timeout", "client_error"]),
        ("_create_direct_connection", ["self", "req", "traces", "timeout", "client_error"]),
        ("_create_proxy_connection", ["self", "req", "traces", "timeout"]),
    ],
)
def test_a_private_method_is_still_there(name: str, parameters: list[str]) -> None:
    """With the parameters that the overriding method takes."""
    assert list(inspect.signature(getattr(aiohttp.TCPConnector, name)).parameters) == parameters


async def test_private_attributes_are_still_there() -> None:
    """The HTTP protocol's factory, and the loop."""
    async with aiohttp.TCPConnector() as plain:
        assert callable(plain._factory) and plain._loop is not None


def test_the_documented_door_takes_what_it_took() -> None:
    """`connect` is documented; what follows its arguments is ours to pass on."""
    assert list(inspect.signature(connector.BaseConnector.connect).parameters) == [
        "self",
        "req",
        "traces",
        "timeout",
    ]


@pytest.mark.parametrize("name", ["_wrap_create_connection", "_start_tls_connection", "_get_fingerprint"])
async def test_a_renamed_hook_costs_function_and_never_safety(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a hook of ours no longer called, aiohttp's own TLS would run: over a context that is pinned too."""
    monkeypatch.delattr(PinnedConnector.__mro__[1], name)
    async with Interceptor(ROOT, "localhost", handler=http()) as interceptor:
        async with aiohttp.ClientSession(connector=PinnedConnector(pinned())) as client:
            with pytest.raises(aiohttp.ClientError) as caught:
                await client.get(f"https://localhost:{interceptor.port}/")
        await end_of(interceptor)
        assert isinstance(pinio.find_pin_error(caught.value), pinio.PinMismatchError)
        assert interceptor.application_bytes == b""
