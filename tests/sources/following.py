"""A policy file that is rewritten, a clock that is set by hand, and a source that follows the file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from pinio import FileSource, Policy
from pinio.formats import FORMATS

INTERVAL = 3600.0
"""Seconds; so long that a file stays young for all of a test, unless the test dates it back."""


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Following:
    """Looks at the file at `path` each time that it is told to."""

    path: Path
    max_stale: float | None = None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.source = FileSource(
            self.path, interval=INTERVAL, max_stale=self.max_stale, clock=self.clock
        )

    def look(self) -> Policy:
        """Let one interval pass, and ask for the policy in force."""
        self.clock.now += INTERVAL
        return self.source.current

    def settle(self) -> Policy:
        """Let the file be read twice."""
        self.look()
        return self.look()

    def write(self, policy: Policy) -> Policy:
        """Write a policy into the file, in place, and let it be read twice."""
        self.path.write_text(text(policy), "utf-8")
        return self.settle()


def age(*paths: Path, seconds: float = 2 * INTERVAL) -> None:
    """Let the last write to files, or directories, be long ago."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then))


def rename_over(path: Path, content: str) -> None:
    """Write another file, and let it take the place of this one."""
    spare = path.with_suffix(".new")
    spare.write_text(content, "utf-8")
    spare.replace(path)


def text(policy: Policy) -> str:
    return FORMATS["native"].dumps(policy)


def rewrite(path: Path, content: str) -> None:
    """Write a file that is there, in place.

    It is not emptied before: some file systems (ext4 among them) bring a file that was to the disk
    as soon as it is closed, and a thousand times that is minutes where others keep the disk busy.
    """
    with path.open("r+b") as file:
        file.write(content.encode())
        file.truncate()
