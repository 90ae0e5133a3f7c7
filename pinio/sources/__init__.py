"""Where from? Policies out of files and other places: read once, or followed while they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinio.sources.diff import loosened
from pinio.sources.file import FileSource, load_policy
from pinio.sources.first import FirstOf, first_of
from pinio.sources.health import Health

if TYPE_CHECKING:
    from pinio.sources.asynchronous import AsyncSource

__all__ = [
    "AsyncSource",
    "FileSource",
    "FirstOf",
    "Health",
    "first_of",
    "load_policy",
    "loosened",
]


if not TYPE_CHECKING:  # as in `pinio`: a program that only reads policies loads no event loop

    def __getattr__(name: str) -> Any:
        if name == "AsyncSource":
            from pinio.sources.asynchronous import AsyncSource

            return AsyncSource
        raise AttributeError(f"module 'pinio.sources' has no attribute {name!r}")
