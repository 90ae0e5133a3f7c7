"""Whether the functions that judge are those that were imported.

The first look remembers every function and class (no other object: an observer may be set) that `pinio.core`, `pinio.tls` and
`pinio.reporting` name, and the code of each; a later one compares. It also asks where the code of
each function comes from, which shows a replacement that was there before the first look.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from pinio.tampering.findings import Finding

_WATCHED: Final = ("pinio.core", "pinio.tls", "pinio.reporting", "pinio.errors")
_HOME: Final = str(Path(__file__).parents[1])

_known: dict[tuple[str, str], tuple[object, object]] = {}
_seen: set[str] = set()


def remember() -> list[Finding]:
    """Enter modules that were imported since the last look; findings where their code is not pinio's."""
    found: list[Finding] = []
    for name, module in _modules():
        if name not in _seen:
            _seen.add(name)
            for place, thing in _things(module):
                _known[name, place] = thing, _code(thing)
                found += _origin(name, place, thing)
    return found


def compare() -> Iterator[Finding]:
    """Findings where a name means something else than at the first look."""
    yield from remember()
    now = {(name, place): thing for name, module in _modules() for place, thing in _things(module)}
    for (name, place), (thing, code) in _known.items():
        current = now.get((name, place))
        if current is not thing:
            yield Finding("references", f"{name}.{place} was replaced")
        elif _code(thing) is not code:
            yield Finding("references", f"the code of {name}.{place} was replaced")


def _modules() -> list[tuple[str, ModuleType]]:
    return [
        (name, module)
        for name, module in list(sys.modules.items())
        if name.startswith(_WATCHED) and isinstance(module, ModuleType)
    ]


def _things(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, value in list(vars(module).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, type):
            yield name, value
            if value.__module__ == module.__name__:
                for inner, member in list(vars(value).items()):
                    if callable(member) or isinstance(
                        member, property | staticmethod | classmethod
                    ):
                        yield f"{name}.{inner}", member
        elif isinstance(value, FunctionType | BuiltinFunctionType):
            yield name, value


def _function(thing: Any) -> FunctionType | None:
    for candidate in (thing, getattr(thing, "__func__", None), getattr(thing, "fget", None)):
        if isinstance(candidate, FunctionType):
            return candidate
    return None


def _code(thing: object) -> object:
    function = _function(thing)
    return None if function is None else function.__code__


def _origin(module: str, place: str, thing: object) -> Iterator[Finding]:
    """Code of a function of ours that was compiled from no file of ours."""
    function = _function(thing)
    if function is None or place.rpartition(".")[2].startswith("__"):
        return  # dunder methods of dataclasses and named tuples are compiled from text
    file = function.__code__.co_filename
    ours = file.startswith(_HOME) and function.__module__.startswith("pinio")
    borrowed = not function.__module__.startswith("pinio") and function.__module__ in sys.modules
    if not (ours or borrowed):
        yield Finding("references", f"{module}.{place} was compiled from {file!a}")
