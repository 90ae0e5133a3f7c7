"""Whatever happens to a connection, the event loop has nothing to complain about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

# These compare all entry points with each other, those of the extras too. Where an extra is missing
# they cannot be imported; tests/architecture/test_bare_tests.py fails if a module is left out here.
EXTRAS = ("aiohttp", "httpx", "requests", "OpenSSL")
collect_ignore = (
    []
    if all(find_spec(name) for name in EXTRAS)
    else [
        "handshake/test_expiry.py",
        "resumption/test_failing.py",
        "test_attest.py",
        "test_not_verified.py",
        "test_tls_failed.py",
        "test_unexpected.py",
    ]
)


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test after which asyncio logged an error: an exception that nobody retrieved, a callback that raised."""
    yield
    complaints = [
        record.getMessage() for record in caplog.get_records("call") if _is_complaint(record)
    ]
    assert not complaints


def _is_complaint(record: logging.LogRecord) -> bool:
    return record.name == "asyncio" and record.levelno >= logging.ERROR
