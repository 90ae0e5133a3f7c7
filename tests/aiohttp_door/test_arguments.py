"""An argument that says what `TCPConnector` takes without it says nothing, under `PinnedConnector` too."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.testing import Server, http
from pinio.tls.connection.establish import SHUTDOWN_TIMEOUT
from tests.tls.cast import GENUINE, end_of, pinned

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(aiohttp.TCPConnector).parameters.items()
}


@pytest.mark.parametrize("names", [*([name] for name in DEFAULTS), list(DEFAULTS)], ids=",".join)
@pytest.mark.parametrize("given", ["policy", "ssl"])
async def test_a_default_may_be_written_out(given: str, names: list[str]) -> None:
    """A class that hands its arguments on writes them out, and some are a marker of aiohttp's own.

    None of them warns.
    """
    options: dict[str, Any] = {name: DEFAULTS[name] for name in names}
    if given == "policy":
        connector = PinnedConnector(pinned(), **options)
    else:
        connector = PinnedConnector(**(options | {"ssl": pinio.create_ssl_context(pinned())}))
    assert connector.timeouts.shutdown == SHUTDOWN_TIMEOUT
    async with Server(GENUINE, handler=http()) as server:
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"https://localhost:{server.port}/") as response,
        ):
            assert response.status == 200
        await end_of(server)


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"verify_ssl": False}, "takes no verify_ssl="),
    ({"verify_ssl": 1}, "takes no verify_ssl="),
    ({"fingerprint": b"x" * 32}, "takes no fingerprint="),
    ({"ssl": False}, "one of the two"),
]
if "ssl_shutdown_timeout" in DEFAULTS:
    OTHERS += [
        ({"ssl_shutdown_timeout": value}, "ssl_shutdown_timeout is a positive number")
        for value in ("soon", -1)
    ]


@pytest.mark.parametrize(("options", "says"), OTHERS, ids=range(len(OTHERS)))
async def test_other_values_mean_something(options: dict[str, Any], says: str) -> None:
    """What loosens, or makes no sense, is an error."""
    with pytest.raises(pinio.PolicyError, match=says):
        PinnedConnector(pinned(), **options)


async def test_true_is_no_context() -> None:
    """`ssl=True` says that there is TLS, and not what is expected of it."""
    with pytest.raises(pinio.PolicyError, match="pass a policy, or ssl="):
        PinnedConnector(ssl=True)
