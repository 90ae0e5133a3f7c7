"""Every library, every way: a matching pin connects; with a man in the middle not one application byte arrives."""

from __future__ import annotations

import ssl
import sys
from typing import Literal, TypeAlias, cast

import pytest

from tests.conftest import LOOPS
from tests.interop.matrix import ROWS, Outcome, Row, injectable, run, run_injected
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
    pytest.param(
        entry, loop, id=f"{entry.name} [{loop}]" if entry.kind == "asyncio" else entry.name
    )
    for entry in ROWS
    for loop in (LOOPS if entry.kind == "asyncio" else (None,))
]
each_case = pytest.mark.parametrize(("entry", "loop"), CASES)


def need(entry: Row) -> None:
    for module in (
        *entry.modules,
        *(SOCKS.get(name, name) for name in entry.modules if entry.way == "SOCKS5 proxy"),
    ):
        pytest.importorskip(
            module, reason=f"{module} is not installed: pip install --group interop"
        )


def outcome(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion, between: Between = None
) -> Outcome:
    need(entry)
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


@pytest.mark.parametrize(
    ("entry", "loop"), [case for case in CASES if "HTTPS proxy" in str(case.id)]
)
def test_P1_nor_does_one_in_the_place_of_the_proxy(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion
) -> None:
    """It does not hear where the client wants to go (RFC 9110 section 9.3.6), nor a password."""
    result = outcome(entry, loop, tls_version, "proxy")
    assert result.error is not None
    assert result.application_bytes == b""
    assert result.decisions[-1] == "Refusal"


@pytest.mark.parametrize(
    ("entry", "loop"), [case for case in CASES if injectable(cast(Row, case.values[0]))]
)
def test_what_becomes_of_plaintext_that_is_injected_before_tls(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion
) -> None:
    """The one who injects has no key, and sits before the genuine server: its pins match."""
    need(entry)
    said = committed()[entry.name].injected.strip("*")
    # On a busy machine the injected words may miss the read that brings the go-ahead: TLS then
    # refuses them. What the table says is what can happen.
    seen = ""
    for _ in range(3):
        seen = run_injected(
            entry, tls_version=tls_version, loop_factory=LOOPS[loop] if loop else None
        )
        if seen == said:
            break
    # Later Pythons hand on to TLS what asyncio's streams have not read yet, which refuses it.
    assert seen == said or (seen == "refused" and sys.version_info >= (3, 12))


def test_P1_pinio_itself_takes_no_plaintext_for_what_the_server_said() -> None:
    assert committed()["pinio, `upgrade(ssl=)`, STARTTLS"].injected == "refused"


def test_the_table_in_the_documentation_is_the_matrix() -> None:
    assert list(committed()) == [entry.name for entry in ROWS], (
        "python -m tests.interop.table writes it anew"
    )
