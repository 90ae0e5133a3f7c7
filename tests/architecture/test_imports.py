"""Every import inside pinio is an arrow of arrows.toml."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.modules import MODULES, imports

ARROWS = tomllib.loads(Path(__file__).with_name("arrows.toml").read_text("utf-8"))

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
EXTRAS = PROJECT["optional-dependencies"]

each_module = pytest.mark.parametrize("module", MODULES)


def part(module: str) -> str:
    """The part that a module of pinio belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def inside(module: str) -> str:
    """The module's name as the table spells it."""
    return module.partition(".")[2] or "__init__"


def own(module: str) -> set[str]:
    return {name for name in imports(module) if name == "pinio" or name.startswith("pinio.")}


def foreign(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)} - {"pinio", "__future__"}


def library(requirement: str) -> str:
    """The library that a requirement is about."""
    found = re.match(r"[\w-]+", requirement)
    assert found is not None, requirement
    return found[0]


def table(name: str, module: str) -> set[str]:
    """What a table of names says about a module: its part's row and its own."""
    rows: dict[str, list[str]] = ARROWS[name]
    return {*rows.get(part(module), ()), *rows.get(inside(module), ())}


@each_module
def test_a_part_imports_only_the_parts_below_it(module: str) -> None:
    assert part(module) in ARROWS["parts"], "a new part: give it a row under [parts]"
    allowed = {part(module), *ARROWS["parts"][part(module)]}
    strangers = {name for name in own(module) if part(name) not in allowed and "*" not in allowed}
    assert not strangers


@pytest.mark.parametrize("package", ARROWS["order"])
def test_a_module_imports_only_the_rows_below_it(package: str) -> None:
    row = {
        f"pinio.{package}.{name}": level
        for level, names in enumerate(ARROWS["order"][package])
        for name in names
    }
    modules = [module for module in MODULES if module.startswith(f"pinio.{package}.")]
    unplaced = sorted(set(modules) - row.keys())
    assert not unplaced, "new modules: give each a place under [order]"
    upwards = {
        f"{module} -> {name}"
        for module in modules
        for name in own(module)
        if part(name) == package and row.get(name, -1) >= row[module]
    }
    assert not upwards


def test_there_is_no_cycle() -> None:
    graphlib.TopologicalSorter({module: own(module) for module in MODULES}).prepare()


@each_module
def test_a_part_imports_only_its_libraries(module: str) -> None:
    strangers = foreign(module) - set(sys.stdlib_module_names) - table("libraries", module)
    assert not strangers


def test_each_row_of_the_table_is_about_a_module_that_exists() -> None:
    names = {name for module in MODULES for name in (part(module), inside(module))}
    rows = {
        row for table_of in ("parts", "libraries", "without", "except") for row in ARROWS[table_of]
    }
    assert not rows - names


@pytest.mark.parametrize(("row", "libraries"), ARROWS["libraries"].items())
def test_each_library_of_the_table_is_imported(row: str, libraries: list[str]) -> None:
    modules = [module for module in MODULES if row in (part(module), inside(module))]
    assert not set(libraries) - {name for module in modules for name in foreign(module)}


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() & ARROWS["libraries"].keys()))
def test_an_extra_lists_the_libraries_that_its_part_imports(extra: str) -> None:
    """What every installation has, and what another extra lists, needs no second entry."""
    listed = {library(line) for line in EXTRAS[extra]} - {"pinio"}
    assert listed == set(ARROWS["libraries"][extra]) - {
        library(line) for line in PROJECT["dependencies"]
    }


@each_module
def test_a_part_does_without_what_it_must_not_know(module: str) -> None:
    strangers = foreign(module) & (table("without", module) - table("except", module))
    assert not strangers


@pytest.mark.parametrize(("name", "home"), ARROWS["private"].items())
def test_a_private_name_of_another_project_is_said_in_one_module(name: str, home: str) -> None:
    says = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if name in (getattr(node, "attr", None), getattr(node, "id", None))
        or (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.alias) and node.name == name)
        or (isinstance(node, ast.ImportFrom) and node.module == name)
    }
    assert says <= {f"pinio.{home}"}


def test_a_module_is_imported_by_its_text_in_few_places() -> None:
    """An import that is made of a string is one that the tests above cannot see."""
    says = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] == "importlib"
        )
        or (isinstance(node, ast.alias) and node.name.partition(".")[0] == "importlib")
        or getattr(node, "id", None) in ("__import__", "exec", "eval")
    }
    assert {inside(module) for module in says} == set(ARROWS["by_name"]["modules"])


def test_the_core_never_asks_what_time_it_is() -> None:
    clocks = {"now", "utcnow", "today", "monotonic"}
    asks = {
        f"{module}, line {node.lineno}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if part(module) == "core"
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in clocks
    }
    assert not asks
