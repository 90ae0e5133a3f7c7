"""The pages of the documentation, and what stands in them between fences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple(
    sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        if path.is_file()
    )
)
"""Paths, relative to the root of the project."""

_FENCE = re.compile(
    r"^```(?P<language>[\w-]*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    title: str | None
    """The file that it is: ```` ```toml title="pins.toml" ````."""
    text: str
    line: int
    """The line of its first line."""


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    content = text(page)
    assert content.count("\n```") % 2 == 0, f"{page}: a fence is not closed"
    return [
        Block(
            match["language"],
            match["title"],
            match["text"],
            content.count("\n", 0, match.start("text")) + 1,
        )
        for match in _FENCE.finditer(content)
    ]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its head; backticks are dropped."""
    section = f"\n{text(page)}".partition(f"\n{heading}\n")[2]
    rows = re.search(r"^\|.*\n\|[-| :]+\|\n(?P<rows>(?:\|.*\n)+)", section, re.MULTILINE)
    assert rows is not None, f"{page}: no table under {heading!r}"
    return [
        [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]
        for row in rows["rows"].splitlines()
    ]
