"""What a policy file, and the files of anchors that it names, said at one moment; and whether they still say it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pinio.core import pem
from pinio.core.anchors import MAX_FILE as MAX_ANCHORS
from pinio.core.anchors import Anchors
from pinio.core.policy import Policy
from pinio.errors import PinError, PolicyError
from pinio.formats import FORMATS
from pinio.sources.reading import Stamp, last_write, read, shown

MAX_POLICY: Final = 96_000_000
"""Longest policy file, in bytes: room for a million hosts with one pin each."""
MAX_ANCHORS_FILES: Final = 64
"""Files of anchors that one policy may name."""


@dataclass(frozen=True, slots=True)
class FileFingerprint:
    """What tells the content of one file, or the error that kept it from being read."""

    content: bytes | str
    written: int | None
    """When it was last written, in nanoseconds since 1970; None if it was while it was read."""
    stamp: Stamp | None = None
    """None if it would not show that the file was touched."""
    inode: tuple[int, int] | None = None
    """Which file it is, whatever its name."""

    @classmethod
    def take(cls, path: str, limit: int) -> tuple[FileFingerprint, bytes | PolicyError]:
        """Read a file; its print, and what was read or why it was not."""
        try:
            data, stamp = read(path, limit)
        except PolicyError as error:
            return cls(str(error), last_write(path)), error
        content = hashlib.sha256(data).digest()
        if stamp is None:
            return cls(content, None), data
        sure = stamp if stamp.older_than_a_tick() else None
        return cls(content, stamp.modified, sure, (stamp.device, stamp.inode)), data

    def at_rest(self, seconds: float) -> bool:
        """Whether the last write is longer ago than that, by this machine's clock."""
        return self.written is not None and time.time_ns() - self.written > seconds * 1e9


class Files:
    """The files of one policy, each read once and remembered.

    `where` is what errors call the policy.
    """

    def __init__(self, path: str, where: str) -> None:
        # Links are followed once, here: where a directory is swapped by a link, as Kubernetes does
        # it, the policy and its anchors come out of the same one.
        self.path = os.path.realpath(path)
        self.fingerprints: dict[str, FileFingerprint] = {}
        self._where = where

    def policy(self) -> Policy:
        """Read the policy. Raises `PolicyError` or `PinFormatError`."""
        try:
            text = self._read(self.path, MAX_POLICY).decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise PolicyError(
                f"{self._where}: line {line} is not UTF-8 (byte {error.start})"
            ) from None
        except PolicyError as error:
            raise PolicyError(f"{self._where}: {error}") from error.__cause__
        return FORMATS["native"].loads(text, where=self._where, anchors=self._anchors)

    def _anchors(self, name: str) -> Anchors:
        path = str(Path(self.path).parent / name)
        if len(self.fingerprints) > MAX_ANCHORS_FILES:
            raise PolicyError(f"the policy names more than {MAX_ANCHORS_FILES} files of anchors")
        try:
            return Anchors.from_pem(pem.decode(self._read(path, MAX_ANCHORS)))
        except PolicyError as error:
            raise PolicyError(f"{shown(path)}: {error}") from error.__cause__

    def _read(self, path: str, limit: int) -> bytes:
        self.fingerprints[path], found = FileFingerprint.take(path, limit)
        if isinstance(found, PolicyError):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files at one moment, and the policy or the error that they made."""

    path: str
    """The policy file, links resolved."""
    fingerprints: Mapping[str, FileFingerprint]
    outcome: Policy | PinError

    @classmethod
    def take(cls, path: str, where: str) -> Snapshot:
        """Read everything; an error becomes part of the snapshot."""
        files = Files(path, where)
        try:
            return cls(files.path, files.fingerprints, files.policy())
        except PinError as error:
            # A fresh one: the error as it was raised holds on to the frames, and to the text of the
            # file with them.
            return cls(files.path, files.fingerprints, type(error)(*error.args))

    def untouched(self, path: str) -> bool:
        """Whether the file system says that nothing was changed.

        Reads nothing; False where it cannot be sure.
        """
        return os.path.realpath(path) == self.path and all(
            known.stamp is not None and known.stamp == Stamp.now(name)
            for name, known in self.fingerprints.items()
        )

    def again(self, path: str) -> Snapshot | None:
        """Read every file again: this snapshot with fresh stamps if their content is the same, or else None."""
        if os.path.realpath(path) != self.path:
            return None
        fingerprints: dict[str, FileFingerprint] = {}
        for name, known in self.fingerprints.items():
            fingerprints[name], _ = FileFingerprint.take(
                name, MAX_POLICY if name == self.path else MAX_ANCHORS
            )
            if fingerprints[name].content != known.content:
                return None
        return replace(self, fingerprints=fingerprints)

    def at_rest(self, seconds: float) -> bool:
        """Whether the last write to any of the files is longer ago than that."""
        return all(found.at_rest(seconds) for found in self.fingerprints.values())

    def rewrites(self, before: Snapshot) -> bool:
        """Whether a file was written in place since `before`, and not replaced by another."""
        pairs = [
            (found, before.fingerprints.get(name)) for name, found in self.fingerprints.items()
        ]
        return any(
            found.content != known.content and found.inode == known.inode is not None
            for found, known in pairs
            if known is not None
        )
