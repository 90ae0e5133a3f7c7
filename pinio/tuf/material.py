"""What signers look at: a policy out of a file with what it names, and the one that is published."""

from __future__ import annotations

import warnings
from pathlib import Path

from pinio.core.policy import Policy
from pinio.errors import PinWarning, PolicyError
from pinio.sources.reading import absolute, shown
from pinio.sources.snapshot import Files
from pinio.tuf.repository import Repository
from pinio.tuf.update import read_policy

TARGET = "policy.toml"
"""The name of the policy in a repository."""


def gather(file: Path) -> tuple[Policy, dict[str, bytes], list[str]]:
    """Read a policy file: the policy, the targets that it makes, and warnings.

    Raises `PolicyError` or `PinFormatError`; also for a file of anchors that is not below the
    folder of the policy.
    """
    path = absolute(file)
    files = Files(path, shown(str(file)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PinWarning)
        policy = files.policy()
    home = Path(files.path).parent
    targets = {TARGET: Path(files.path).read_bytes()}
    for name in files.fingerprints.keys() - {files.path}:
        relative = Path(name).relative_to(home) if Path(name).is_relative_to(home) else None
        if relative is None or ".." in relative.parts:
            raise PolicyError(f"{shown(name)}: a file of anchors stands below the policy's folder")
        targets[relative.as_posix()] = Path(name).read_bytes()
    if read_policy(TARGET, targets) != policy:
        raise PolicyError(f"{shown(str(file))}: it was changed meanwhile")
    return policy, targets, [str(warning.message) for warning in caught]


def published(repository: Repository) -> Policy | None:
    """The policy that clients get; None if there is none yet. Raises `PolicyError`."""
    files = repository.files()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PinWarning)
        return read_policy(TARGET, files) if files else None
