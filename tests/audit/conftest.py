"""The command, as the tests of the command have it."""

from __future__ import annotations

from tests.cli.conftest import command

__all__ = ["command"]
