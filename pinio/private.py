"""A folder in which nobody else can have written: private, and checked whenever it is read."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pinio.errors import PolicyError
from pinio.sources.reading import absolute, shown

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class PrivateFolder:
    """A folder of one user, which is made with mode 0700 if it is missing.

    Raises `PolicyError` where the folder or a file in it is a link, belongs to another user, or can be
    written by one.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(absolute(folder))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PolicyError(f"{self}: cannot be made: {error.strerror}") from error
        self._check(self._folder.lstat(), stat.S_ISDIR, self._folder)

    def __str__(self) -> str:
        return shown(str(self._folder))

    def names(self) -> list[str]:
        """The files in it, hidden ones left out, in order."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))

    def size(self, name: str) -> int:
        """Bytes of a file; 0 if it is gone."""
        try:
            return (self._folder / name).lstat().st_size
        except OSError:
            return 0

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(OSError):
            (self._folder / name).unlink()

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of a file; None if there is none."""
        path = self._folder / name
        self._check(self._folder.lstat(), stat.S_ISDIR, self._folder)
        try:
            descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            why = "a link" if path.is_symlink() else error.strerror
            raise PolicyError(f"{shown(str(path))}: {why}; {_REMEDY}") from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            self._check(status, stat.S_ISREG, path)
            if status.st_size > limit:
                raise PolicyError(f"{shown(str(path))}: longer than {limit:,} bytes")
            return file.read(limit + 1)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole. Raises `OSError`."""
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(self._folder / name)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise

    @contextmanager
    def alone(self) -> Generator[bool]:
        """Whether no other process writes; held for as long as the block lasts."""
        try:
            import fcntl
        except ImportError:  # Windows: the replacement is atomic there too
            yield True
            return
        flags = os.O_RDWR | os.O_CREAT | _NOFOLLOW
        descriptor = os.open(self._folder / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    def _check(self, status: os.stat_result, kind: Callable[[int], bool], path: Path) -> None:
        if not kind(status.st_mode):
            what = "a link" if stat.S_ISLNK(status.st_mode) else "not what pinio made"
            raise PolicyError(f"{shown(str(path))}: {what}; {_REMEDY}")
        if not hasattr(os, "geteuid"):
            return
        if status.st_uid != os.geteuid():
            owner = f"belongs to user {status.st_uid}, and not to this process's"
            raise PolicyError(f"{shown(str(path))}: {owner}; {_REMEDY}")
        if status.st_mode & _OTHERS_WRITE:
            raise PolicyError(f"{shown(str(path))}: others may write there; {_REMEDY}")


_REMEDY: Final = "name a folder that belongs to the program's user alone (mode 0700)"
