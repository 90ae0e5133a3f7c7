"""The command, run in this process."""

from __future__ import annotations

from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from pinio.cli.group import pinio


class Command(Protocol):
    """`command("pins", "localhost")` is `pinio pins localhost`, not on a terminal."""

    def __call__(self, *arguments: str, env: dict[str, str | None] | None = None) -> Result: ...


@pytest.fixture
def command() -> Command:
    def run(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
        plain: dict[str, str | None] = {
            "NO_COLOR": None,
            "FORCE_COLOR": None,
            "TERM": "xterm",
            "COLUMNS": "40",
        }
        result = CliRunner().invoke(pinio, arguments, prog_name="pinio", env=plain | (env or {}))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
