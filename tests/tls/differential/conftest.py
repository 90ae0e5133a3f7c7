"""Each story over each door and each version of TLS; each event loop comes by itself."""

from __future__ import annotations

import ssl

import pytest

from tests.tls.differential.stage import DOORS, Door, Stage


@pytest.fixture(params=DOORS)
def stage(request: pytest.FixtureRequest, tls_version: ssl.TLSVersion) -> Stage:
    door: Door = request.param
    return Stage(door, tls_version)


@pytest.fixture
def dialling(tls_version: ssl.TLSVersion) -> Stage:
    """For stories that begin without any connection."""
    return Stage("create_connection", tls_version)
