"""One refresh of a repository's state, by python-tuf's own client workflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from pinio.core import pem
from pinio.core.anchors import MAX_FILE, Anchors
from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.formats import FORMATS
from pinio.sources.reading import shown
from pinio.sources.snapshot import MAX_ANCHORS_FILES
from pinio.tuf.state import FILES, MAX_TARGET, Good, State


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a refresh brought."""

    state: State
    """The state with what verified, as far as the refresh came; its good policy is untouched."""
    policy: Policy | None
    good: Good | None
    """The policy's proof."""
    error: Exception | None
    """Why there is no policy."""


def update(
    bootstrap: bytes, state: State, url: str, target: str, fetcher: FetcherInterface
) -> Outcome:
    """Refresh the metadata from `url`, and fetch the policy. Raises nothing that the repository causes."""
    with tempfile.TemporaryDirectory(prefix="pinio-tuf-") as folder:
        metadata, targets = Path(folder, "metadata"), Path(folder, "targets")
        targets.mkdir()
        _seed(metadata, bootstrap, state)
        policy = good = error = None
        files: dict[str, bytes] = {}
        try:
            updater = Updater(
                str(metadata),
                f"{url}/metadata/",
                str(targets),
                f"{url}/targets/",
                fetcher=fetcher,
                bootstrap=bootstrap,
            )
            updater.refresh()
            kept: Mapping[str, bytes] = {} if state.good is None else state.good.files
            policy = _policy(updater, target, files, kept)
        except Exception as failed:  # noqa: BLE001  what verified before it is kept
            error = failed
        state = _harvest(metadata, bootstrap, state)
        if policy is not None:
            good = Good(len(state.roots), dict(state.metadata), files)
        return Outcome(state, policy, good, error)


def read_policy(name: str, files: Mapping[str, bytes]) -> Policy:
    """The policy out of files that were proven. Raises `PolicyError` or `PinFormatError`."""

    def stored(path: str) -> bytes:
        if path not in files:
            raise PolicyError(f"{shown(path)}: not among the files that were kept")
        return files[path]

    return _parse(name, stored)


def _policy(
    updater: Updater, target: str, files: dict[str, bytes], kept: Mapping[str, bytes]
) -> Policy:
    """Fetch the policy and the files of anchors that it names, and put all of them into `files`.

    What is the same as in `kept` is not fetched again.
    """

    def fetch(name: str) -> bytes:
        if name not in files:
            if len(files) > MAX_ANCHORS_FILES:
                raise PolicyError(f"names more than {MAX_ANCHORS_FILES} files of anchors")
            files[name] = _fetch(updater, name, kept.get(name))
        return files[name]

    return _parse(target, fetch)


def _parse(target: str, fetch: Callable[[str], bytes]) -> Policy:
    def anchors(name: str) -> Anchors:
        data = fetch(name)
        if len(data) > MAX_FILE:
            raise PolicyError(f"{shown(name)}: longer than {MAX_FILE:,} bytes")
        return Anchors.from_pem(pem.decode(data))

    try:
        text = fetch(target).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{target}: not UTF-8 (byte {error.start})") from None
    return FORMATS["native"].loads(text, where=target, anchors=anchors)


def _fetch(updater: Updater, name: str, kept: bytes | None) -> bytes:
    info = updater.get_targetinfo(name)
    if info is None:
        raise PolicyError(f"{shown(name)}: the repository has no such target")
    if info.length > MAX_TARGET:
        raise PolicyError(
            f"{shown(name)}: {info.length:,} bytes, and at most {MAX_TARGET:,} are read"
        )
    if kept is not None:
        with suppress(LengthOrHashMismatchError):
            info.verify_length_and_hashes(kept)
            return kept
    return Path(updater.download_target(info)).read_bytes()


def _seed(folder: Path, bootstrap: bytes, state: State) -> None:
    """Lay out what is known as python-tuf does, so that it refuses what is older."""
    history = folder / "root_history"
    history.mkdir(parents=True)
    first = State().versions(bootstrap)[0]
    for version, data in enumerate(state.roots, first + 1):
        (history / f"{version}.root.json").write_bytes(data)
    for name, data in state.metadata.items():
        (folder / f"{name}.json").write_bytes(data)


def _harvest(folder: Path, bootstrap: bytes, state: State) -> State:
    """What python-tuf has written, each file after it was verified."""
    first = State().versions(bootstrap)[0]
    roots: list[bytes] = []
    while (path := folder / "root_history" / f"{first + len(roots) + 1}.root.json").is_file():
        roots.append(path.read_bytes())
    found = {name: folder / f"{name}.json" for name in FILES}
    metadata = {name: path.read_bytes() for name, path in found.items() if path.is_file()}
    if len(roots) < len(state.roots):
        raise RepositoryError("a root that was known is gone")
    return replace(state, roots=tuple(roots), metadata=metadata)
