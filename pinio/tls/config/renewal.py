"""Client certificates that are renewed on disk, while the program runs.

Short-lived certificates are written anew into the same files. Each connection that would show a
client certificate looks first whether its files changed: one `stat` for each file, some
microseconds. What they hold then is a new identity, with TLS contexts of its own and no old
sessions; connections that are open keep the identity that they began with.

Files that are gone change nothing, for what was loaded is kept. Files that do not fit together (a
new certificate, and the old key still) change nothing either, and are logged once.
"""

from __future__ import annotations

import logging
import stat
import time
from pathlib import Path
from typing import Final, TypeAlias

from pinio.tls.config.identity import ClientIdentity

logger = logging.getLogger("pinio")

SETTLED: Final = 1_000_000_000
"""Nanoseconds after which a change of a file is told by its time of modification. A file that is
younger is read: file systems count in ticks, and two changes may fall into one."""

_Stamp: TypeAlias = tuple[int, int, int, int]
"""What changes when a regular file does: time of modification, size, inode, device."""


class Renewals:
    """Looks whether the files of client identities were renewed."""

    def __init__(self) -> None:
        self._settled: dict[tuple[Path, ...], list[_Stamp]] = {}
        self._told: dict[tuple[Path, ...], str] = {}

    def of(self, identity: ClientIdentity) -> ClientIdentity:
        """Return what the files of an identity hold now; the identity itself if nothing is new."""
        files = identity.files
        try:
            stamps = [_stamp(file) for file in files]
            if self._settled.get(files) == stamps:
                return identity
            changed = max(stamps)[0]
            if time.time_ns() - changed > SETTLED:
                self._settled[files] = stamps
            renewed = identity.read_again()
        except (_NoFileError, FileNotFoundError):
            return identity
        except (OSError, ValueError) as error:
            self._tell(files, str(error))
            return identity
        if renewed is not identity:
            self._told.pop(files, None)
            logger.info("%s: the client certificate was renewed", files[0])
        return renewed

    def _tell(self, files: tuple[Path, ...], fault: str) -> None:
        if self._told.get(files) != fault:
            self._told[files] = fault
            logger.warning(
                "a renewed client certificate is not used, the one before it stays: %s", fault
            )


class _NoFileError(Exception):
    """What cannot be read twice, such as a pipe."""


def _stamp(file: Path) -> _Stamp:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _NoFileError
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
