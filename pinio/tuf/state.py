"""What is known of a repository: the newest metadata that verified, and the last good policy with its proof."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, cast

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from pinio.errors import PolicyError

MAX_STATE: Final = 64_000_000
"""Longest file of a state, in bytes."""
MAX_TARGET: Final = 16_000_000
"""Longest target, in bytes: a policy, or a file of anchors that it names."""

FILES: Final = ("timestamp", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class Good:
    """A policy that was in force, and the metadata that vouches for it."""

    roots: int
    """How many of the state's roots lead to the one that vouches for the rest."""
    metadata: Mapping[str, bytes]
    """Timestamp, snapshot and targets."""
    files: Mapping[str, bytes]
    """The targets: the policy, and the files of anchors that it names."""


@dataclass(frozen=True, slots=True)
class State:
    """Values of one repository; each byte of them was verified, and is again when it is read."""

    roots: tuple[bytes, ...] = ()
    """Root metadata after the one that the program ships, in order."""
    metadata: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """The newest timestamp, snapshot and targets, as far as they verified."""
    good: Good | None = None

    def dump(self) -> bytes:
        """As text for a file."""
        good = self.good
        value = {
            "version": 1,
            "roots": [_text(root) for root in self.roots],
            "metadata": _texts(self.metadata),
            "good": None
            if good is None
            else {
                "roots": good.roots,
                "metadata": _texts(good.metadata),
                "files": _texts(good.files),
            },
        }
        return json.dumps(value).encode("ascii")

    @classmethod
    def load(cls, text: bytes) -> State:
        """Read what `dump` wrote. Raises `PolicyError`; nothing is verified yet."""
        try:
            value = cast("dict[str, Any]", json.loads(text))
            if value["version"] != 1:
                raise PolicyError(f"version {value['version']} is not one that pinio knows")
            good = value["good"]
            return cls(
                tuple(_bytes(root) for root in value["roots"]),
                _many(value["metadata"]),
                None
                if good is None
                else Good(int(good["roots"]), _many(good["metadata"]), _many(good["files"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PolicyError(f"damaged: {type(error).__name__}: {error}") from None

    def since(self, bootstrap: bytes) -> State:
        """The same for a program that ships another root: without the roots up to that one.

        Raises `PolicyError`.
        """
        try:
            first = _read(Root, bootstrap).signed.version
            gone = sum(_read(Root, root).signed.version <= first for root in self.roots)
        except (RepositoryError, DeserializationError) as error:
            raise PolicyError(f"damaged: {type(error).__name__}: {error}") from None
        good = self.good
        if good is not None:
            good = replace(good, roots=max(0, good.roots - gone))
        return replace(self, roots=self.roots[gone:], good=good)

    def versions(self, bootstrap: bytes) -> tuple[int, int]:
        """Versions of root and timestamp, to tell which of two states is newer."""
        root = _root(bootstrap, self.roots)
        known = self.metadata.get("timestamp")
        if known is None:
            return root.version, 0
        return root.version, _read(Timestamp, known).signed.version


@dataclass(frozen=True, slots=True)
class Proven:
    """What a good policy's proof proves."""

    files: Mapping[str, bytes]
    expires: datetime
    """The earliest date at which a part of the proof expires."""


def prove(bootstrap: bytes, roots: tuple[bytes, ...], good: Good) -> Proven:
    """Verify every signature, version, length and hash from the program's root down to the files.

    Dates are not looked at: what was good once stays as good as `max_stale` says. Raises
    `PolicyError`.
    """
    try:
        root = _root(bootstrap, roots[: good.roots])
        timestamp = _delegate(root, Timestamp, good.metadata["timestamp"])
        data = good.metadata["snapshot"]
        timestamp.snapshot_meta.verify_length_and_hashes(data)
        snapshot = _delegate(root, Snapshot, data, timestamp.snapshot_meta.version)
        data, meta = good.metadata["targets"], snapshot.meta["targets.json"]
        meta.verify_length_and_hashes(data)
        targets = _delegate(root, Targets, data, meta.version)
        for name, content in good.files.items():
            targets.targets[name].verify_length_and_hashes(content)
    except (RepositoryError, DeserializationError, ValueError, KeyError) as error:
        raise PolicyError(f"does not verify: {type(error).__name__}: {error}") from None
    expires = min(part.expires for part in (root, timestamp, snapshot, targets))
    return Proven(good.files, expires)


def _root(bootstrap: bytes, roots: tuple[bytes, ...]) -> Root:
    """The last root of the chain, in which each is signed as the one before and as itself says."""
    first = _read(Root, bootstrap)
    root: Root = first.signed
    root.verify_delegate(Root.type, first.signed_bytes, first.signatures)
    for data in roots:
        later = _read(Root, data)
        for vouching in (root, later.signed):
            vouching.verify_delegate(Root.type, later.signed_bytes, later.signatures)
        if later.signed.version != root.version + 1:
            raise RepositoryError(f"root {later.signed.version} follows root {root.version}")
        root = later.signed
    return root


def _read(kind: type[Any], data: bytes) -> Metadata[Any]:
    found = Metadata[Any].from_bytes(data)
    if not isinstance(found.signed, kind):
        raise RepositoryError(f"{found.signed.type} stands where {kind.type} belongs")
    return found


def _delegate(root: Root, kind: type[Any], data: bytes, version: int | None = None) -> Any:
    found = _read(kind, data)
    root.verify_delegate(kind.type, found.signed_bytes, found.signatures)
    if version not in (None, found.signed.version):
        raise RepositoryError(f"{kind.type} {found.signed.version} is not version {version}")
    return found.signed


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _texts(values: Mapping[str, bytes]) -> dict[str, str]:
    return {name: _text(data) for name, data in values.items()}


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _many(values: Mapping[str, str]) -> dict[str, bytes]:
    return {name: _bytes(text) for name, text in values.items()}
