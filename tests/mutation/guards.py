"""The guards of pinio, one row each: how one is disabled, and which test must notice."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("guards.toml")


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        name: what it ensures, in words.
        module: its file, below `pinio/`.
        code: the text that is taken away; it stands there once.
        instead: the text that takes its place: the same code without the guard.
        file: of the test that fails without it, below `tests/`.
        test: its name.
    """

    name: str
    module: str
    code: str
    instead: str
    file: str
    test: str

    @property
    def node(self) -> str:
        """The test, as pytest names it."""
        return f"tests/{self.file}::{self.test}"

    def disabled(self, source: str) -> str:
        """The source without the guard. Raises `LookupError` if the table is out of date."""
        if (count := source.count(self.code)) != 1:
            raise LookupError(
                f"guards.toml, {self.name!r}: its code stands {count} times "
                f"in pinio/{self.module}, and not once; write what stands there now"
            )
        return source.replace(self.code, self.instead)


def read() -> list[Guard]:
    """All guards, in the table's order."""
    rows = tomllib.loads(TABLE.read_text("utf-8"))["guard"]
    return [Guard(**row) for row in rows]
