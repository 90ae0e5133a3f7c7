"""Tripwires: each private name of aiohttp that the connector stands on. If one moves, these say so before users notice."""

from __future__ import annotations

import inspect
import logging
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import connector

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.testing import ConnectProxy, Interceptor, Server, http
from tests.aiohttp_door.world import Addresses
from tests.tls.cast import GENUINE, ROOT, Told, end_of, pinned

SIGNATURES = [
    ("_get_ssl_context", ["self", "req"]),
    ("_get_fingerprint", ["self", "req"]),
    (
        "_wrap_create_connection",
        ["self", "args", "addr_infos", "req", "timeout", "client_error", "kwargs"],
    ),
    ("_start_tls_connection", ["self", "underlying_transport", "req", "timeout", "client_error"]),
    ("_create_direct_connection", ["self", "req", "traces", "timeout", "client_error"]),
    ("_create_connection", ["self", "req", "traces", "timeout"]),
]


@pytest.mark.parametrize(("name", "parameters"), SIGNATURES)
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


HOOKS = [
    name
    for name in vars(PinnedConnector.__mro__[1])
    if hasattr(aiohttp.TCPConnector, name) and name[1] != "_"
]


@pytest.mark.parametrize("gone", [[name] for name in HOOKS] + [HOOKS], ids=",".join)
@pytest.mark.parametrize(
    "path", ["direct", "by an HTTP proxy", "by an HTTPS proxy", "as the HTTPS proxy"]
)
async def test_a_renamed_hook_costs_function_and_never_safety(
    gone: list[str], path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Were a hook of ours no longer called, aiohttp's own TLS would run: over a context that is pinned too."""
    caplog.set_level(logging.CRITICAL, "asyncio")  # the loop's own TLS complains of a refusal
    for name in gone:
        monkeypatch.delattr(PinnedConnector.__mro__[1], name)
    async with (
        Interceptor(ROOT, "localhost", handler=http()) as interceptor,
        ConnectProxy(GENUINE if path == "by an HTTPS proxy" else None) as proxy,
    ):
        between: Server | None = (
            None if path == "direct" else interceptor if path.startswith("as") else proxy
        )
        through = (
            {} if between is None else {"proxy": f"{between.scheme}://localhost:{between.port}"}
        )
        # One address: without our hook, aiohttp tells of the last that it tried, and not of the one
        # that was refused.
        connector = PinnedConnector(pinned(), resolver=Addresses(between or interceptor))
        async with aiohttp.ClientSession(connector=connector) as client:
            # Nobody but us puts TLS over our transport, so that this one fails without having met
            # the peer.
            told = gone != ["_start_tls_connection"] or path != "by an HTTPS proxy"
            with pytest.raises(aiohttp.ClientError if told else Exception) as caught:
                await client.get(f"https://localhost:{interceptor.port}/", **through)  # type: ignore[arg-type]
        await end_of(interceptor)
        assert isinstance(pinio.find_pin_error(caught.value), pinio.PinMismatchError) or not told
        assert interceptor.application_bytes == b"" and interceptor.handshakes_finished == 0


async def test_a_connection_that_was_made_elsewhere_is_not_used(
    tls_version: ssl.TLSVersion,
) -> None:
    """The second net, below every hook: TLS that pinio did not make, even to the right server, carries no request."""

    class Elsewhere(PinnedConnector):
        async def _create_connection(self, *arguments: Any) -> Any:
            return await other._create_connection(*arguments)

    told = Told()
    async with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        aiohttp.TCPConnector(ssl=ROOT.client_context()) as other,
    ):
        async with aiohttp.ClientSession(connector=Elsewhere(pinned(), observer=told)) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
                await client.get(f"https://localhost:{server.port}/")
            await end_of(server)
        assert isinstance(caught.value, pinio.errors.NotJudgedError) and told == [
            caught.value.refusal
        ]
        assert server.handshakes_finished == 1 and server.application_bytes == b""


def test_every_hook_is_watched() -> None:
    """What overrides a method of aiohttp stands in the table above."""
    assert sorted(HOOKS) == sorted(name for name, _ in SIGNATURES)
