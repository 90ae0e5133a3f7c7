"""The public API as text: every public name, its kind, and how it is called. Nothing in it depends on the Python version.

`./run python tests/architecture/api.py` writes it to public_api.txt, to be read before it is
committed: what stands there is what pinio promises to keep.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

PUBLIC = (
    "pinio",
    *(
        f"pinio.{name}"
        for name in (
            "aiohttp",
            "errors",
            "formats",
            "httpx",
            "reporting",
            "requests",
            "sources",
            "tampering",
            "testing",
            "tuf",
            "typing",
        )
    ),
)
"""The public modules; every other path is private."""

REVIEWED = Path(__file__).with_name("public_api.txt")


def public_modules() -> list[ModuleType]:
    return [importlib.import_module(name) for name in PUBLIC if importlib.util.find_spec(name)]


def dump() -> str:
    return "\n".join(line for module in public_modules() for line in _module(module)) + "\n"


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The classes, functions, methods and properties of a public module, by name."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            yield name, thing
            for member in _added(thing):
                value = inspect.getattr_static(thing, member, None)
                if inspect.isroutine(value) or isinstance(value, property):
                    yield f"{name}.{member}", getattr(thing, member)
        elif inspect.isroutine(thing):
            yield name, thing


def _module(module: ModuleType) -> Iterator[str]:
    yield f"[{module.__name__}]"
    for name in sorted(module.__all__):
        thing = getattr(module, name)
        if inspect.isclass(thing):
            yield f"class {name}{_bases(thing)}{_call(thing) if _has_constructor(thing) else ''}"
            yield from _members(thing)
        else:
            yield _line(name, thing)
    yield ""


def _bases(kind: type) -> str:
    names = list(dict.fromkeys(_public_bases(kind)))
    return f"[{', '.join(names)}]" if names else ""


def _public_bases(kind: type) -> Iterator[str]:
    """Its bases, with those of them that are private to pinio replaced by their own."""
    named = (getattr(module, name) for module in public_modules() for name in module.__all__)
    public = {thing for thing in named if inspect.isclass(thing)}
    for base in kind.__bases__:
        if base in public or base not in _ours(kind):
            yield from () if base is object else (base.__name__,)
        else:
            yield from _public_bases(base)


def _has_constructor(kind: type) -> bool:
    # A constructor that `object`, `Exception` or `Protocol` gave differs between Python versions.
    return not getattr(kind, "_is_protocol", False) and any(
        {"__init__", "__new__"} & vars(base).keys() for base in _ours(kind)
    )


def _ours(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] == "pinio"]


def _members(kind: type) -> Iterator[str]:
    for name in _added(kind):
        yield f"    {_line(name, inspect.getattr_static(kind, name, None))}"


def _added(kind: type) -> list[str]:
    """What a class has beyond its bases in other projects: fields, attributes, methods. What it overrides keeps their shape."""
    ours = _ours(kind)
    found = {name for base in ours for name in (*vars(base), *inspect.get_annotations(base))}
    theirs = {name for base in kind.__mro__ if base not in ours for name in vars(base)}
    return sorted(name for name in found - theirs if not name.startswith("_"))


def _line(name: str, thing: object) -> str:
    match thing:
        case staticmethod():
            return f"static {_line(name, thing.__func__)}"
        case classmethod():
            return _line(name, thing.__func__)  # its `cls` says so
        case _ if inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing):
            return f"async def {name}{_call(thing)}"
        case _ if inspect.isroutine(thing) and callable(thing):
            return f"def {name}{_call(thing)}"
        case _:
            return name


def _call(thing: object) -> str:
    """The parameters with their kinds and plain defaults, without types: `(host, *, port=None)`."""
    assert callable(thing)
    signature = inspect.signature(thing)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_default(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _default(default: object) -> object:
    plain = default in (inspect.Parameter.empty, None, ()) or type(default) in {
        bool,
        float,
        int,
        str,
    }
    return default if plain else _Something()


class _Something:
    """A default whose text may differ between Python versions."""

    def __repr__(self) -> str:
        return "…"


if __name__ == "__main__":
    REVIEWED.write_text(dump(), "utf-8")
