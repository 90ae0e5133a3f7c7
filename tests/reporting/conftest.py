"""A policy file that a source follows, as in tests/sources."""

from __future__ import annotations

from tests.sources.conftest import following, path, policy

__all__ = ["following", "path", "policy"]
