"""The servers of a run: nginx where it is installed, one of our own for streams and for everybody else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

from benchmarks.servers import nginx
from benchmarks.target import Identity, KeyKind, Target, Version

Kind = Literal["nginx", "builtin"]
HERE = Path(__file__).parents[2]
"""The folder from which `benchmarks` is importable."""

_COMBINATIONS: tuple[tuple[Version, KeyKind], ...] = (
    ("1.3", "ecdsa"), ("1.2", "ecdsa"), ("1.3", "rsa"), ("1.2", "rsa")
)  # fmt: skip


class Servers:
    """Started when they are first asked for, and stopped at the end of a `with`."""

    def __init__(self, *, only_builtin: bool = False) -> None:
        self.preferred: Kind = "builtin" if only_builtin or nginx.find() is None else "nginx"
        """What answers HTTP requests."""
        self._folder = TemporaryDirectory(prefix="pinio-benchmarks-")
        folder = Path(self._folder.name)
        self._identities: dict[KeyKind, Identity] = {
            "ecdsa": Identity.make(folder, "ecdsa"),
            "rsa": Identity.make(folder, "rsa"),
        }
        self._running: dict[Kind, nginx.Nginx | Builtin] = {}

    def target(self, kind: Kind, version: Version, key: KeyKind) -> Target:
        """A listening server of this kind."""
        if kind not in self._running:
            start = nginx.Nginx if kind == "nginx" else Builtin
            self._running[kind] = start(Path(self._folder.name), self._identities)
        return self._running[kind].targets[version, key]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._running.values():
            server.close()
        self._folder.cleanup()


class Builtin:
    """The process of `benchmarks.servers.builtin`."""

    def __init__(self, _folder: Path, identities: dict[KeyKind, Identity]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.servers.builtin"],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        asked = [Target(0, version, identities[key]) for version, key in _COMBINATIONS]
        stdin.write(json.dumps([target.to_json() for target in asked]) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the built-in server ended with status {self._process.wait()}")
        self.targets = {
            key: Target(port, target.version, target.identity)
            for key, target, port in zip(_COMBINATIONS, asked, json.loads(line), strict=True)
        }

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.communicate()
