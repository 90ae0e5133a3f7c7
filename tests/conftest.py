"""Shared by all tests: both event loops, both TLS versions, a steady hypothesis.

A test that is a coroutine runs on every installed event loop by itself. A plain test that needs a
loop asks for `run`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, settings

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
with suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop

# The same examples in every CI run; no deadline and no complaint about speed, since the machine may
# be busy.
settings.register_profile(
    "pinio",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pinio")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every coroutine test on each of these."""
    return LOOPS


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name no test after a key that was made for this run: workers in parallel have to know it by the same name."""
    return argname if isinstance(val, str) and ("sha256/" in val or "sha512/" in val) else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the soak is: see tests/tls/soak; how large the fleet: tests/tuf/test_simulation.py."""
    parser.addoption(
        "--soak", type=int, default=1000, metavar="N", help="connections of the soak, on each loop"
    )
    parser.addoption(
        "--fleet", type=int, default=4, metavar="N", help="processes of the simulated fleet"
    )
    parser.addoption(
        "--soak-seed", type=int, default=1, metavar="N", help="what their fates are drawn from"
    )
    parser.addoption(
        "--engine",
        choices=["openssl", "rustls"],
        default="openssl",
        help="the engine of tests that name none",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make another engine the default."""
    if config.getoption("--engine") == "rustls":
        from tests.engines import rustls

        rustls.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what holds with one engine alone."""
    if config.getoption("--engine") == "rustls":
        from tests.engines import rustls

        rustls.skip_differences(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where half of the suite is missing; and the figures that tests have recorded."""
    if "uvloop" not in LOOPS:
        terminalreporter.write_line(
            "uvloop is not installed: nothing was run on it", yellow=True, bold=True
        )
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures" and report.when == "call":
                terminalreporter.write_line(str(value))


class Run(Protocol):
    """Runs a coroutine to its end on a new event loop."""

    def __call__(self, main: Coroutine[Any, Any, T], /) -> T: ...


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    """Name of an event loop."""
    kind: str = request.param
    return kind


@pytest.fixture
def run(loop_kind: str) -> Run:
    def run(main: Coroutine[Any, Any, T], /) -> T:
        with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as runner:
            return runner.run(main)

    return run


@pytest.fixture(
    params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name
)
def tls_version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    version: ssl.TLSVersion = request.param
    return version


@pytest.fixture
def reserved_port() -> Iterator[int]:
    """A port of this test alone, on every address: connections are refused there but while the test has a server on it.

    A port that was merely free a moment ago is anybody's, and tests in parallel take many. This one
    is bound all the time; since nobody listens on that socket, and all say SO_REUSEADDR, servers
    can come and go on the port itself.
    """
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def ipv6() -> str:
    """The loopback address of IPv6, where this machine has one."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return "::1"
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
