"""What the pages say about the code is so: tables, names, options, links."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from types import ModuleType

import click
import pytest

import pinio
from pinio import tls
from pinio.cli.group import pinio as command
from pinio.cli.ui import Exit
from pinio.errors import BY_REASON, TLSFailedError
from pinio.tls.handshake.gate import TRANSITIONS
from tests.architecture.api import PUBLIC, public_modules
from tests.docs.pages import PAGES, ROOT, blocks, table, text
from tests.interop.matrix import ROWS
from tests.interop.table import ENTERED

assert ENTERED

ERRORS, API, CLI = "docs/reference/errors.md", "docs/reference/api.md", "docs/reference/cli.md"
ARCHITECTURE = "docs/explanation/architecture.md"
HOWTO = "docs/howto/pin-any-library.md"

PROJECT = tomllib.loads(text("pyproject.toml"))["project"]

each_page = pytest.mark.parametrize("page", PAGES)


def headings(page: str) -> list[str]:
    without_code = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)


def test_every_reason_code_is_explained() -> None:
    rows = table(ERRORS, "## Reason codes")
    assert {code: error for code, error, *_ in rows} == {
        code: kind.__name__
        for code, kind in {**BY_REASON, TLSFailedError.code: TLSFailedError}.items()
    }
    assert all(meaning and remedy for *_, meaning, remedy in rows)


def test_the_gate_is_the_one_in_the_page() -> None:
    rows = [
        (state, event, after)
        for state, events in TRANSITIONS.items()
        for event, after in events.items()
    ]
    assert [tuple(row) for row in table(ARCHITECTURE, "## The gate")] == rows


def test_every_module_of_the_tls_layer_has_its_row() -> None:
    named = [
        name
        for modules, _ in table(ARCHITECTURE, "## The modules of `tls/`")
        for name in modules.split(", ")
    ]
    found = pkgutil.walk_packages(tls.__path__, f"{tls.__name__}.")
    modules = [item.name.removeprefix(f"{tls.__name__}.") for item in found if not item.ispkg]
    assert sorted(named) == sorted(modules)


def test_every_public_name_has_its_place() -> None:
    topics = [
        "API",
        "Saying what is expected",
        "Connecting",
        "Looking",
        "Errors",
        "Modules",
        *PUBLIC,
    ]
    names = [heading for heading in headings(API) if heading not in topics]
    assert sorted(names) == sorted(pinio.__all__), (
        "new names: give each a heading and a line in docs/reference/api.md"
    )


@pytest.mark.parametrize("module", public_modules()[1:], ids=lambda module: module.__name__)
def test_every_name_of_a_public_module_is_in_its_table(module: ModuleType) -> None:
    rows = table(API, f"### {module.__name__}")
    assert all(what for _, what in rows)
    assert sorted(name for names, _ in rows for name in names.split(", ")) == sorted(module.__all__)


def verbs(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb of a group and of those below it, with its name."""
    context = click.Context(group)
    for verb in group.list_commands(context):
        described = group.get_command(context, verb)
        assert described is not None
        yield above + verb, described
        if isinstance(described, click.Group):
            yield from verbs(described, f"{above}{verb} ")


def test_every_verb_and_option_is_described() -> None:
    found = dict(verbs(command))
    written = [heading.removeprefix("pinio ") for heading in headings(CLI) if "pinio " in heading]
    assert sorted(written) == sorted(found)
    for verb, described in found.items():
        options = {
            " ".join(filter(None, (option.opts[0], option.metavar)))
            for option in described.params
            if isinstance(option, click.Option) and option.name != "help"
        }
        heading = f"{'###' if ' ' in verb else '##'} pinio {verb}"
        assert options == ({row[0] for row in table(CLI, heading)} if options else set())


def test_every_exit_code_is_described() -> None:
    assert [int(code) for code, _ in table(CLI, "# Command")] == list(Exit)


@each_page
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text(page)):
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), f"{page}: {target}"
        if anchor:
            slugs = [
                re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-")
                for heading in headings(str(there.resolve().relative_to(ROOT)))
            ]
            assert anchor in slugs, f"{page}: {target}"


@each_page
def test_tests_that_are_named_exist(page: str) -> None:
    for path, name in re.findall(r"`(tests/[\w/.]+?)(?:::(\w+))?`", text(page)):
        assert (ROOT / path).exists(), f"{page}: {path}"
        assert not name or re.search(
            rf"^(?:async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE
        ), f"{page}: {name}"


@each_page
def test_modules_that_are_named_exist(page: str) -> None:
    for package, module in re.findall(
        r"`(core|formats|sources|tls|aiohttp|cli|testing)/(\w+)\.py`", text(page)
    ):
        assert importlib.util.find_spec(f"pinio.{package}.{module}") is not None, (
            f"{page}: {package}/{module}.py"
        )


def test_every_library_of_the_matrix_has_an_example_of_its_own() -> None:
    """Examples are run; this one looks that none is missing."""
    examples = "".join(block.text for block in blocks(HOWTO) if block.language == "python")
    imported = set(re.findall(r"^\s*(?:import|from) (?:pinio\.)?(\w+)", examples, re.MULTILINE))
    assert {module for row in ROWS for module in row.modules} <= imported


def test_every_page_can_be_found_from_the_index() -> None:
    index = text("docs/index.md")
    unlisted = {
        page
        for page in PAGES
        if page not in ("README.md", "docs/index.md")
        and f"]({page.removeprefix('docs/')})" not in index
    }
    assert not unlisted, "new pages: give each a link in docs/index.md"


def test_each_decision_has_a_number_of_its_own() -> None:
    """Links name a decision by its number: in its file's name, and in its title."""
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for number, file in enumerate(files, 1):
        assert file.read_text("utf-8").startswith(f"# {number}. "), file.name


def test_no_page_and_no_hint_offers_what_no_index_has() -> None:
    """Until a version is published, pinio comes from a checkout; see `pinio/extras.py`."""
    assert PROJECT["version"].endswith(".dev0"), (
        "published? then say `pip install pinio` again, in pages and hints"
    )
    offers = re.compile(r"pip install (?!pinio`\s+finds)[\"']?pinio\b")
    sources = [path.relative_to(ROOT) for path in (ROOT / "pinio").rglob("*.py")]
    assert not [str(name) for name in (*PAGES, *sources) if offers.search(text(str(name)))]


def test_the_links_of_the_package_lead_to_this_project() -> None:
    """An index shows them beside each release."""
    home = "https://github.com/pinio/pinio"
    assert PROJECT["urls"].keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    for name, url in PROJECT["urls"].items():
        assert url == home or url.startswith(f"{home}/"), name
        _, is_a_file, path = url.partition("/blob/main/")
        assert not is_a_file or (ROOT / path).is_file(), name


def test_every_extra_that_is_named_exists() -> None:
    """In pages, and in what the program itself says."""
    extras = set(PROJECT["optional-dependencies"])
    sources = [str(path.relative_to(ROOT)) for path in (ROOT / "pinio").rglob("*.py")]
    for name in (*PAGES, *sources):
        for listed in re.findall(
            r"pip install '\.\[([\w,]+)\]'|how_to_install\('(\w+)'\)", text(name)
        ):
            assert set("".join(listed).split(",")) <= extras, name
