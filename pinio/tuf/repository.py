"""A repository in a folder: what `pinio policy` makes, signs, publishes and tells of.

    FOLDER/metadata/   what clients read: N.root.json, N.targets.json, N.snapshot.json, timestamp.json
    FOLDER/targets/    HASH.policy.toml, and the files of anchors that it names
    FOLDER/staged/     a policy that waits for signatures; no client looks here

A value of the newest metadata, and functions that make the next. Nothing is written before what is
written would be accepted by a client.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from pinio.errors import PolicyError
from pinio.sources.reading import read, shown
from pinio.tuf.state import MAX_TARGET

DAYS: Final = {"root": 365, "targets": 180, "snapshot": 14, "timestamp": 7}
"""For how long signatures hold. Those of the timestamp bound for how long a newer policy can be withheld."""
_MAX: Final = 5_000_000

PRETTY: Final = JSONSerializer(compact=False)


@dataclass
class Repository:
    """The newest metadata of a folder."""

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets] | None = None
    snapshot: Metadata[Snapshot] | None = None
    timestamp: Metadata[Timestamp] | None = None
    staged: Metadata[Targets] | None = None

    @classmethod
    def open(cls, folder: Path) -> Repository:
        """Read a folder. Raises `PolicyError`."""
        metadata = folder / "metadata"
        try:
            numbers = [int(path.name.split(".")[0]) for path in metadata.glob("*.root.json")]
        except ValueError:
            raise PolicyError(f"{shown(str(metadata))}: N.root.json has a number") from None
        if not numbers:
            raise PolicyError(f"{shown(str(folder))}: no repository; `pinio policy init` makes one")
        repository = cls(folder, _load(metadata / f"{max(numbers)}.root.json", Root))
        if (path := metadata / "timestamp.json").exists():
            repository.timestamp = stamp = _load(path, Timestamp)
            number = stamp.signed.snapshot_meta.version
            repository.snapshot = snapshot = _load(metadata / f"{number}.snapshot.json", Snapshot)
            number = snapshot.signed.meta["targets.json"].version
            repository.targets = _load(metadata / f"{number}.targets.json", Targets)
        if (path := folder / "staged" / "targets.json").exists():
            repository.staged = _load(path, Targets)
        return repository

    @classmethod
    def create(
        cls, folder: Path, roots: list[CryptoSigner], targets: list[CryptoSigner],
        online: CryptoSigner, threshold: int,
    ) -> Repository:  # fmt: skip
        """Make the first root in a folder without a repository. Raises `PolicyError`."""
        if list((folder / "metadata").glob("*")):
            raise PolicyError(f"{shown(str(folder))}: there is a repository already")
        if not 1 <= threshold <= min(len(roots), len(targets)):
            raise PolicyError(f"a threshold of {threshold} needs as many signers, at least")
        root = Root(expires=expiry(DAYS["root"]), consistent_snapshot=True)
        for role, signers in {"root": roots, "targets": targets}.items():
            for signer in signers:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = threshold
        for role in ("snapshot", "timestamp"):
            root.add_key(online.public_key, role)
        signed = Metadata(root)
        sign_with(signed, roots)
        repository = cls(folder, signed)
        repository.write("metadata/1.root.json", signed.to_bytes(PRETTY))
        return repository

    def stage(self, files: Mapping[str, bytes], signers: Iterable[CryptoSigner]) -> int:
        """Sign a policy and what it names; the number of signatures that still miss.

        Signatures that are there already for the same files are kept. Raises `PolicyError`.
        """
        wanted = {
            name: TargetFile.from_data(name, data, ["sha256"]) for name, data in files.items()
        }
        for name, data in files.items():
            if len(data) > MAX_TARGET:
                raise PolicyError(f"{shown(name)}: longer than {MAX_TARGET:,} bytes")
        version = self._next()
        staged = self.staged
        if staged is None or staged.signed.targets != wanted or staged.signed.version != version:
            staged = Metadata(Targets(version, expires=expiry(DAYS["targets"]), targets=wanted))
        sign_with(staged, self._allowed("targets", signers))
        for name, data in files.items():
            self.write(f"staged/{name}", data)
        self.write("staged/targets.json", staged.to_bytes(PRETTY))
        self.staged = staged
        return self.missing(staged)

    def _next(self) -> int:
        """The version of the next policy."""
        return 1 if self.targets is None else self.targets.signed.version + 1

    def missing(self, targets: Metadata[Targets]) -> int:
        """How many signatures the targets role still needs."""
        result = self.root.signed.get_verification_result(
            Targets.type, targets.signed_bytes, targets.signatures
        )
        return max(0, result.missing)

    def publish(self, online: CryptoSigner, days: Mapping[str, int] | None = None) -> None:
        """Put the staged policy, if there is one, before clients; renew snapshot and timestamp.

        The timestamp is written last, so that clients see the old state or the new one. Raises
        `PolicyError` while signatures are missing.
        """
        for_days = {**DAYS, **(days or {})}
        (online,) = self._allowed("timestamp", [online])
        targets = self.staged or self.targets
        if targets is None:
            raise PolicyError("there is no policy; `pinio policy sign` stages one")
        if targets is self.staged and targets.signed.version != self._next():
            raise PolicyError("another policy was published meanwhile: sign the staged one again")
        if missing := self.missing(targets):
            raise PolicyError(f"the policy needs {missing} more signature(s) of the targets role")
        if self.staged is not None:
            for name, info in targets.signed.targets.items():
                data = read(str(self.folder / "staged" / name), MAX_TARGET)[0]
                try:
                    info.verify_length_and_hashes(data)
                except RepositoryError as error:
                    raise PolicyError(
                        f"staged/{shown(name)}: not what was signed: {error}"
                    ) from None
                folder, _, base = name.rpartition("/")
                self.write(f"targets/{folder and folder + '/'}{info.hashes['sha256']}.{base}", data)
        data = targets.to_bytes(PRETTY)
        self.write(f"metadata/{targets.signed.version}.targets.json", data)
        self.renew(online, targets.signed.version, data, for_days)
        if self.staged is not None:
            for path in (*targets.signed.targets, "targets.json"):
                with suppress(OSError):
                    (self.folder / "staged" / path).unlink()
        self.targets, self.staged = targets, None

    def files(self, targets: Metadata[Targets] | None = None) -> dict[str, bytes]:
        """What clients get: the published policy and the files that it names."""
        targets = targets or self.targets
        if targets is None:
            return {}
        found: dict[str, bytes] = {}
        for name, info in targets.signed.targets.items():
            folder, _, base = name.rpartition("/")
            path = self.folder / "targets" / folder / f"{info.hashes['sha256']}.{base}"
            found[name] = read(str(path), MAX_TARGET)[0]
        return found

    def renew(
        self, online: CryptoSigner, version: int, data: bytes, days: Mapping[str, int]
    ) -> None:
        """Sign the next snapshot and timestamp, and write them in that order."""
        number = 1 if self.snapshot is None else self.snapshot.signed.version + 1
        meta = {"targets.json": MetaFile.from_data(version, data, ["sha256"])}
        snapshot = Metadata(Snapshot(number, expires=expiry(days["snapshot"]), meta=meta))
        sign_with(snapshot, [online])
        text = snapshot.to_bytes(PRETTY)
        self.write(f"metadata/{number}.snapshot.json", text)
        stamp = 1 if self.timestamp is None else self.timestamp.signed.version + 1
        timestamp = Metadata(
            Timestamp(
                stamp,
                expires=expiry(days["timestamp"]),
                snapshot_meta=MetaFile.from_data(number, text, ["sha256"]),
            )
        )
        sign_with(timestamp, [online])
        self.write("metadata/timestamp.json", timestamp.to_bytes(PRETTY))
        self.snapshot, self.timestamp = snapshot, timestamp

    def _allowed(self, role: str, signers: Iterable[CryptoSigner]) -> list[CryptoSigner]:
        """The signers, each of which signs for the role. Raises `PolicyError`."""
        signers, keys = list(signers), self.root.signed.roles[role].keyids
        for signer in signers:
            if signer.public_key.keyid not in keys:
                raise PolicyError(f"key {signer.public_key.keyid[:12]} does not sign for {role}")
        return signers

    def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole, for everybody to read. Raises `PolicyError`."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            try:
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise PolicyError(f"{shown(str(path))}: {error.strerror}") from error


def _load(path: Path, kind: type[Any]) -> Metadata[Any]:
    try:
        found = Metadata[Any].from_bytes(read(str(path), _MAX)[0])
    except (PolicyError, DeserializationError, RepositoryError) as error:
        raise PolicyError(f"{shown(str(path))}: {error}") from None
    if not isinstance(found.signed, kind):
        raise PolicyError(f"{shown(str(path))}: holds {found.signed.type}")
    return found


def sign_with(metadata: Metadata[Any], signers: Iterable[CryptoSigner]) -> None:
    """Add a signature of each."""
    for signer in signers:
        metadata.sign(signer, append=True)


def expiry(days: int) -> datetime:
    """The moment so many days from now."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
