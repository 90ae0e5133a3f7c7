"""Whether other people's clients close their sockets in time, and what they log, is not what these tests are about."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def leave_nothing_to_the_next() -> Iterator[None]:
    """Garbage is found by chance; the next module must not be blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
