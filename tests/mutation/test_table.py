"""The table of guards is up to date: with the code, with the tests, and with the manual."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pinio
from tests.docs.pages import table
from tests.mutation.guards import Guard, read

PACKAGE = Path(pinio.__file__).parent
TESTS = Path(__file__).parents[1]
GUARDS = read()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_where_the_table_says(guard: Guard) -> None:
    source = (PACKAGE / guard.module).read_text("utf-8")
    mutant = guard.disabled(source)
    assert mutant != source
    ast.parse(mutant)  # what does not even compile is noticed by every test


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_test_of_a_guard_exists(guard: Guard) -> None:
    tree = ast.parse((TESTS / guard.file).read_text("utf-8"))
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    assert guard.test in {node.name for node in tree.body if isinstance(node, kinds)}


def test_no_guard_has_the_name_of_another() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_a_table_that_is_out_of_date_is_told() -> None:
    guard = GUARDS[0]
    with pytest.raises(LookupError, match="its code stands 0 times"):
        guard.disabled("pass")


def test_the_manual_lists_every_guard() -> None:
    rows = table("docs/explanation/guards.md", "## The guards")
    assert [tuple(row) for row in rows] == [
        (guard.name, f"pinio/{guard.module}", guard.node) for guard in GUARDS
    ]
