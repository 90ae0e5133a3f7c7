"""Each row of the table says what happens, in both directions, and the page shows the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.tampering.techniques import TECHNIQUES, Technique, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "tampering.md"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@cache
def observed() -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tampering.rows"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
def test_a_technique_does_what_its_row_says(technique: Technique) -> None:
    row = observed()[technique.name]
    assert (row["opens"], row["by"]) == (technique.opens, list(technique.by)), row["seen"]


def test_the_page_shows_the_table() -> None:
    assert "\n".join(table()) in PAGE.read_text("utf-8")
