"""Whatever happens to a connection, the event loop has nothing to complain about."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


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
