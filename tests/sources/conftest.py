"""A policy in a file, and a source that follows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinio import Policy
from tests.formats.policies import OTHER, PIN
from tests.sources.following import Following, text


@pytest.fixture
def policy() -> Policy:
    return Policy({"a.example": [PIN, OTHER], "b.example": [PIN, OTHER]}, revision="1")


@pytest.fixture
def path(tmp_path: Path, policy: Policy) -> Path:
    path = tmp_path / "pins.toml"
    path.write_text(text(policy), "utf-8")
    return path


@pytest.fixture
def following(path: Path) -> Following:
    return Following(path)
