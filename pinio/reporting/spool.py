"""Reports that wait on disk: files in a private folder, oldest first, bounded in bytes."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from os import PathLike
from typing import Final

from pinio.errors import PolicyError
from pinio.private import PrivateFolder

_MOST_FILES: Final = 10_000


class Spool:
    """A folder of batches. Each is a file whose name says when it was put there and how many reports it has."""

    def __init__(self, folder: str | PathLike[str], most: int) -> None:
        if most < 1:
            raise PolicyError("spool_bytes is a number of bytes above 0")
        self._folder = PrivateFolder(folder)
        self._most = most
        self._numbers = itertools.count()

    def put(self, body: bytes, count: int) -> int:
        """Keep a batch; how many reports were given up for it, or with it."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}-{count}.json"
        if len(body) > self._most:
            return count
        dropped = 0
        try:
            sizes = {each: self._folder.size(each) for each in self._names()}
            while sizes and (
                sum(sizes.values()) + len(body) > self._most or len(sizes) >= _MOST_FILES
            ):
                oldest = min(sizes)
                del sizes[oldest]
                self._folder.delete(oldest)
                dropped += _count(oldest)
            self._folder.write(name, body)
        except OSError:  # a full disk, say
            dropped += count
        return dropped

    def oldest(self) -> tuple[str, bytes, int] | None:
        """The oldest batch; what cannot have been put here by this user is deleted unread."""
        for name in self._names():
            with suppress(PolicyError, OSError):
                if body := self._folder.read(name, self._most):
                    return name, body, _count(name)
            self._folder.delete(name)
        return None

    def delete(self, name: str) -> None:
        """The batch was sent."""
        self._folder.delete(name)

    def _names(self) -> list[str]:
        try:
            return [name for name in self._folder.names() if name.endswith(".json")]
        except OSError:
            return []


def _count(name: str) -> int:
    number = name.removesuffix(".json").rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
