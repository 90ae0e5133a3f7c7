"""Where from? Policies out of files: read once, or followed while they change."""

from __future__ import annotations

from pinio.sources.diff import loosened
from pinio.sources.file import FileSource, load_policy

__all__ = ["FileSource", "load_policy", "loosened"]
