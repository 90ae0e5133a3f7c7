"""A file that nobody else can have written: private, replaced as a whole, and checked when it is read."""

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

_NAME: Final = "state.json"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class PrivateFile:
    """One file in a folder of its own, which is made with mode 0700 if it is missing.

    Raises `PolicyError` where the folder or the file is a link, belongs to another user, or can be
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

    def read(self, limit: int) -> bytes | None:
        """The content; None if there is no file yet."""
        path = self._folder / _NAME
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

    def write(self, content: bytes, *, unless: Callable[[bytes | None], bool], limit: int) -> None:
        """Replace the content as a whole, unless what stands there now is better.

        Where another process is at it, what that one writes is about as new, and stays.
        """
        with self._alone() as alone:
            if not alone or unless(self.read(limit)):
                return
            descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".state-")  # mode 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                Path(name).replace(self._folder / _NAME)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise

    @contextmanager
    def _alone(self) -> Generator[bool]:
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
