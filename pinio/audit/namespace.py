"""A network namespace in which every connection of a program comes to the interceptor."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROGRAMS: Final = ("unshare", "ip", "nft", "mount", "nsenter")
_PATH: Final = ":/usr/sbin:/sbin"
_RESOLVER: Final = "nameserver 192.0.2.53\noptions timeout:1 attempts:1\n"  # led to ours


def missing() -> str | None:
    """Why there can be no namespace here, in words; None if there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    path = os.environ.get("PATH", "") + _PATH
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    return f"{lacking[0]} is not installed" if lacking else None


@dataclass
class Inside:
    """A program that waits in its namespace.

    Attributes:
        process: the program.
        listening: the socket to which its connections are redirected.
        names: the UDP socket to which its DNS queries are; its user closes it.
    """

    process: subprocess.Popen[bytes]
    listening: socket.socket
    names: socket.socket
    _network: int
    _parent: socket.socket

    def go(self) -> None:
        """Let the program begin."""
        self._parent.sendall(b"!")
        self._parent.close()

    def quic(self) -> int:
        """How many datagrams it sent to port 443."""
        entered = ["nsenter", f"--net=/proc/self/fd/{self._network}"]
        done = subprocess.run(
            [*entered, "nft", "-j", "list", "counter", "inet", "pinio", "quic"],
            pass_fds=(self._network,), capture_output=True, text=True, check=False, env=_env({}),
        )  # fmt: skip
        try:
            parts = json.loads(done.stdout)["nftables"]
        except ValueError:
            return 0
        return sum(part["counter"]["packets"] for part in parts if "counter" in part)

    def close(self) -> None:
        """Give the sockets and the namespace up."""
        os.close(self._network)
        self.listening.close()


def enter(
    command: Sequence[str],
    variables: Mapping[str, str],
    bundle: Path,
    stores: Sequence[Path],
    stdout: int | None,
) -> Inside:
    """Start a program in namespaces of its own; it waits for `go`.

    Args:
        command: the program and its arguments.
        variables: beside this process's.
        bundle: the file of CAs that takes the place of each of `stores`.
        stores: files of CAs.
        stdout: where its output goes; this process's unless told.

    Raises:
        OSError: it cannot be started, and why.
    """
    resolver = bundle.with_name("resolv.conf")
    resolver.write_text(_RESOLVER, encoding="ascii")
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.set_inheritable(True)
        inside = [
            "unshare", "--net", "--mount", "--propagation", "private",
            sys.executable, "-m", "pinio.audit.inside", str(theirs.fileno()),
            str(bundle), str(resolver), *map(str, stores), "--", *command,
        ]  # fmt: skip
        process = subprocess.Popen(
            inside, env=_env(variables), stdout=stdout, pass_fds=(theirs.fileno(),)
        )
    _, descriptors, _, _ = socket.recv_fds(ours, 16, 3)
    if len(descriptors) != 3:
        process.wait()
        ours.close()
        raise OSError("the namespace could not be set up")
    listening, names = (socket.socket(fileno=number) for number in descriptors[:2])
    return Inside(process, listening, names, descriptors[2], ours)


def _env(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + _PATH, **variables}
