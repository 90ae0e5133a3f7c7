"""A Permit is made in one place."""

from __future__ import annotations

import ast

import pytest

from pinio.core.decision import Permit
from tests.architecture.modules import MODULES


def test_only_the_judgement_mints_a_permit() -> None:
    mints = [
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "_mint")
        or (isinstance(node, ast.Constant) and node.value == "_mint")
    ]
    assert mints == ["pinio.core.verify"]


def test_no_other_module_makes_a_permit_around_the_mint() -> None:
    makes = {
        f"{module}, line {node.lineno}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if module != Permit.__module__
        and isinstance(node, ast.Call)
        and "Permit"
        in {getattr(part, "id", getattr(part, "attr", None)) for part in (node.func, *node.args)}
        and not _is_type_question(node)
    }
    assert not makes


def _is_type_question(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in {"isinstance", "issubclass"}


def test_a_permit_cannot_be_constructed() -> None:
    with pytest.raises(TypeError):
        Permit()
