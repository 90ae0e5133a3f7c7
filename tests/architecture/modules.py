"""The modules of pinio as syntax trees, wherever pinio is installed, and what each imports."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path


def _read() -> dict[str, ast.Module]:
    spec = importlib.util.find_spec("pinio")
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent
    trees = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text("utf-8"), str(path))
    return trees


MODULES = _read()
"""Dotted name → tree; a package stands for its `__init__.py`."""


def imports(module: str) -> set[str]:
    """Everything that a module imports when it runs, inside functions too, as dotted names; `from a import b` gives `a.b` if
    that is a module of pinio, else `a`.
    """
    found = set()
    for node in _at_run_time(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, (
                f"{module}, line {node.lineno}: a relative import"
            )
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys()
            if names - MODULES.keys():
                found.add(node.module)
    return found


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            for branch in node.orelse:
                yield branch
                yield from _at_run_time(branch)
        else:
            yield node
            yield from _at_run_time(node)
