"""Reading one file: regular files only, bounded, and with a stamp that tells later whether it was touched."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pinio.core.visible import is_visible
from pinio.errors import PolicyError

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

# A pipe that nobody writes to would block the open, and a terminal could become this process's own.
_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0)
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)

_TICK: Final = 2_000_000_000
"""Nanoseconds in which two changes may get the same time from a file system.

Two seconds is FAT's.
"""


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same after `os.chdir`. Raises `PolicyError` if it cannot be one."""
    text = os.fsdecode(path)
    if "\0" in text:
        raise PolicyError(f"{shown(text)}: no path has a NUL in it")
    return str(Path(text).absolute())


class Stamp(NamedTuple):
    """What the file system says about a file; it differs after every change, but for two in one tick of its clock."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    @classmethod
    def now(cls, path: str) -> Stamp | None:
        """The stamp that the file at `path` has now; None if there is no such file."""
        try:
            return cls.of(Path(path).stat())
        except OSError:
            return None

    def older_than_a_tick(self) -> bool:
        """Whether a change from now on is sure to show.

        A file server's clock that is ahead only makes this False for longer.
        """
        return time.time_ns() - max(self.modified, self.changed) > _TICK


def last_write(path: str) -> int | None:
    """When a file was last written, in nanoseconds since 1970.

    Where it is missing, when its directory changed; None if neither can be asked. It is the
    content's time, and not the inode's, that tells a file at rest: a file that was written long ago
    and renamed or linked into place just now is whole.
    """
    for name in (path, str(Path(path).parent)):
        with suppress(OSError, ValueError):
            return Path(name).stat().st_mtime_ns
    return None


def read(path: str, limit: int) -> tuple[bytes, Stamp | None]:
    """Read a regular file of at most `limit` bytes; there is no stamp if it was touched meanwhile.

    Raises `PolicyError` that says what it is instead.
    """
    if "\0" in path:
        raise PolicyError("no path has a NUL in it")
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            return _read(descriptor, limit)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}") from error
    except UnicodeEncodeError:
        raise PolicyError("the name of no file here can be this one") from None


def _read(descriptor: int, limit: int) -> tuple[bytes, Stamp | None]:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = next((words for test, words in _KINDS if test(status.st_mode)), "something else")
        raise PolicyError(f"{kind}, and not a file")
    # Its size first, so that nothing is read of a file that is too long; then what was read, for it
    # may be growing.
    data = b""
    if status.st_size <= limit:
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    if max(status.st_size, len(data)) > limit:
        raise PolicyError(f"longer than the {limit:,} bytes that pinio reads")
    before, after = Stamp.of(status), Stamp.of(os.fstat(descriptor))
    return data, before if before == after else None


def shown(path: str) -> str:
    """A path on one line of valid Unicode: file names may hold anything."""
    return "".join(_escaped(letter) for letter in path)


def _escaped(letter: str) -> str:
    return letter if is_visible(letter) else letter.encode("unicode_escape").decode()
