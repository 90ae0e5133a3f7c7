"""A fleet, and the host of its repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tuf")

from tests.tuf.fleet import Fleet, Host


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "repository")
    yield fleet
    fleet.close()


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Host]:
    with Host(fleet.folder).serving() as host:
        yield host
