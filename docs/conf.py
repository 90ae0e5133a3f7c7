"""The manual as Sphinx builds it: `./run manual`. Its pages are plain Markdown.

The page of Python names is generated from docstrings. All other pages read the same where nothing
is built.
"""

from __future__ import annotations

import importlib
import inspect
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "pinio"
release = metadata.version("pinio")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
copybutton_exclude = ".linenos, .gp, .go"  # copy commands without their prompts and output
html_theme = "furo"
myst_heading_anchors = 3
nitpicky = True
# Annotations name the standard library and private modules, which have no page here.
nitpick_ignore_regex = [("py:.*", ".*")]
autodoc_inherit_docstrings = False  # those of other projects link to pages of their own
autodoc_member_order = "bysource"

PUBLIC_API = Path(__file__).parents[1] / "tests" / "architecture" / "public_api.txt"


def setup(app: Sphinx) -> None:
    """Sphinx calls it."""
    app.connect("source-read", sidebar)
    app.connect("source-read", python_names)
    # Before napoleon, which reads the sections of a docstring at priority 500.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    app.connect("env-check-consistency", every_name_is_there)


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


def public_names() -> dict[str, tuple[str, str]]:
    """The public names, each once, with the first module that has it and the name in full."""
    names: dict[str, tuple[str, str]] = {}
    seen: set[int] = set()
    for module in re.findall(r"^\[([\w.]+)\]$", PUBLIC_API.read_text("utf-8"), re.MULTILINE):
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            thing = getattr(loaded, name)
            if id(thing) not in seen and getattr(thing, "__doc__", None):
                seen.add(id(thing))
                names[f"{module}.{name}"] = (module, name)
    return names


def python_names(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append a section for each public module to the page of Python names."""
    if page != "reference/python":
        return
    sections: dict[str, list[str]] = {}
    for module, name in public_names().values():
        sections.setdefault(module, []).append(name)
    for module, names in sections.items():
        source[0] += f"\n## {module}\n\n```{{eval-rst}}\n.. module:: {module}\n\n"
        # Each by its name: automodule does not find what a module loads only when it is asked.
        source[0] += "\n\n".join(directive(module, name) for name in names) + "\n```\n"


def directive(module: str, name: str) -> str:
    """What makes autodoc describe one name."""
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing):
        options = "\n   :members:\n   :show-inheritance:"
        return f".. autoclass:: {module}.{name}{options}"
    return f".. auto{'function' if inspect.isroutine(thing) else 'data'}:: {module}.{name}"


def as_restructured_text(
    _app: Sphinx, _what: str, _name: str, _thing: object, _options: Any, lines: list[str]
) -> None:
    """Mark the code of a docstring as code: names between backticks, and indented examples."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", "\n".join(lines))
    # An example stands behind a blank line; the entries of a section do not.
    text = re.sub(r"(?<=\n\n)(?=    \S)", ".. code-block:: python\n    :force:\n\n", text)
    lines[:] = text.split("\n")


def every_name_is_there(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of a public name that the index does not have, which fails the build."""
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]  # of the Python domain
    for name in sorted(public_names().keys() - objects.keys()):
        logging.getLogger(__name__).warning("%s is public, and not in the index", name)
