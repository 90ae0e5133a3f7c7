"""The manual as Sphinx builds it: `./run manual`. Its pages are plain Markdown, and read the same where nothing is built."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "pinio"
release = metadata.version("pinio")
extensions = ["myst_parser", "sphinx_copybutton"]
copybutton_exclude = ".linenos, .gp, .go"  # copy commands without their prompts and output
html_theme = "furo"
myst_heading_anchors = 3
nitpicky = True


def setup(app: Sphinx) -> None:
    """Sphinx calls it."""
    app.connect("source-read", sidebar)


def sidebar(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make the sidebar of the front page's own links: a group for each bold word that lines begin with."""
    if page != "index":
        return
    for caption, links in re.findall(
        r"^\*\*([\w ]+):\*\*(.*?)(?=^\*\*|\Z)", source[0], re.MULTILINE | re.DOTALL
    ):
        pages = re.findall(r"\]\(([\w/-]+)\.md\)", links)
        source[0] += "\n".join(
            ["\n```{toctree}", f":caption: {caption}", ":hidden:", "", *pages, "```\n"]
        )
