"""Every library, every way: a matching pin connects; with a man in the middle not one application byte arrives."""

from __future__ import annotations

import ssl
from typing import Literal, TypeAlias

import pytest

from tests.conftest import LOOPS
from tests.interop.matrix import ROWS, Outcome, Row, run
from tests.interop.table import ENTERED, committed, names

assert ENTERED

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SOCKS = {"httpx": "socksio", "requests": "socks"}
"""What a library needs for SOCKS proxies, by what it is imported as."""

Between: TypeAlias = Literal["server", "proxy"] | None

CASES = [
    pytest.param(entry, loop, id=f"{entry.name} [{loop}]" if entry.kind == "asyncio" else entry.name)
    for entry in ROWS
    for loop in (LOOPS if entry.kind == "asyncio" else (None,))
]
each_case = pytest.mark.parametrize(("entry", "loop"), CASES)


def outcome(entry: Row, loop: str | None, tls_version: ssl.TLSVersion, between: Between = None) -> Outcome:
    for module in (
        *entry.modules,
        *(SOCKS.get(name, name) for name in entry.modules if entry.way == "SOCKS5 proxy"),
    ):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install --group interop")
    factory = LOOPS[loop] if loop else None
    return run(entry, between=between, tls_version=tls_version, loop_factory=factory)


@each_case
def test_a_matching_pin_connects(entry: Row, loop: str | None, tls_version: ssl.TLSVersion) -> None:
    result = outcome(entry, loop, tls_version)
    if result.error is not None:
        raise result.error
    assert result.application_bytes
    assert set(result.decisions) == {"Permit"}


@each_case
def test_P1_a_man_in_the_middle_gets_nothing(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion
) -> None:
    result = outcome(entry, loop, tls_version, "server")
    assert result.error is not None
    assert result.application_bytes == b""
    assert result.decisions[-1] == "Refusal"
    if entry.door == "BIO":
        assert result.handshakes_finished == 0, "P2: not even the client's final flight"
    line = committed()[entry.name]
    assert (line.door, line.stopped, line.seen) == (entry.door, "yes", "0")
    assert (line.final_flight == "sent") == bool(result.handshakes_finished)
    assert line.raised.strip("`") in names(result)
    assert (line.found == "finds it") == (result.pin_error is not None)


@pytest.mark.parametrize(("entry", "loop"), [case for case in CASES if "HTTPS proxy" in str(case.id)])
def test_P1_nor_does_one_in_the_place_of_the_proxy(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion
) -> None:
    """It does not hear where the client wants to go (RFC 9110 section 9.3.6), nor a password."""
    result = outcome(entry, loop, tls_version, "proxy")
    assert result.error is not None
    assert result.application_bytes == b""
    assert result.decisions[-1] == "Refusal"


def test_the_table_in_the_documentation_is_the_matrix() -> None:
    assert list(committed()) == [entry.name for entry in ROWS], "python -m tests.interop.table writes it anew"
