"""Each test of what the adapters have in common runs with each of them."""

from __future__ import annotations

import pytest

from tests.adapters.world import VISITS, Visit


@pytest.fixture(params=VISITS)
def way(request: pytest.FixtureRequest) -> tuple[Visit, type[Exception]]:
    found: tuple[Visit, type[Exception]] = VISITS[request.param]
    return found


@pytest.fixture
def visit(way: tuple[Visit, type[Exception]]) -> Visit:
    """Visits URLs with one client, in order."""
    return way[0]


@pytest.fixture
def library_error(way: tuple[Visit, type[Exception]]) -> type[Exception]:
    """What the library raises where a connection fails."""
    return way[1]
