"""What all interceptors have in common: to be installed, started, led to, stopped, and read."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from pinio.testing import CA, Leaf

HOST = "localhost"
READY = 60.0  # seconds for a program to listen; it takes one or two
HOME = Path(os.environ.get("PINIO_INTERCEPTORS", Path.home() / ".cache" / "pinio-interceptors"))
"""Where what comes from PyPI and npm is installed, each program in a directory of its own."""

Way = Literal["direct", "connect", "socks", "transparent"]


class NotInstalledError(Exception):
    """A program that cannot be installed on this machine, and why."""


@dataclass
class World:
    """One genuine server, and the authorities: what an interceptor is put in front of.

    Attributes:
        origin: the port of the genuine server, on loopback.
        plain: the port of a server without TLS, which notes what terminators pass on.
        directory: for the interceptor's files.
        forger: the CA that the interceptor signs with, and that clients trust.
        genuine: the genuine server's certificate.
    """

    origin: int
    plain: int
    directory: Path
    forger: CA
    genuine: Leaf
    plaintext: list[bytes] = field(default_factory=list)

    def write_ca(self) -> tuple[Path, Path]:
        """The forger's certificate and key, as files."""
        certificate, key = self.directory / "ca.pem", self.directory / "ca.key"
        certificate.write_text(self.forger.certificate_pem)
        key.write_bytes(self.forger._authority.private_key_pem.bytes())
        return certificate, key

    def write_leaf(self) -> tuple[Path, Path, Path]:
        """A forged certificate for the genuine server's name: chain, key, and both in one file."""
        leaf = self.forger.issue(HOST, "127.0.0.1", key_type="rsa")
        chain, key = leaf.write(self.directory, "forged")
        both = self.directory / "forged.both.pem"
        both.write_text(leaf.chain_pem + leaf.private_key_pem)
        return chain, key, both


class Interceptor(ABC):
    """One program in one mode, and how a client gets to it.

    Attributes:
        name: of the program and its mode.
        way: how clients reach it.
        emulated: whether it is an imitation of ours.
        passes_through: whether it can be told to leave a host alone.
    """

    name: ClassVar[str]
    way: ClassVar[Way] = "direct"
    emulated: ClassVar[bool] = False
    passes_through: ClassVar[bool] = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = free_port()
        self.log = world.directory / "captured.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Make the program available. Raises `NotInstalledError`."""

    @abstractmethod
    def start(self, *, through: bool = False) -> None:
        """Listen on `port`; with `through`, leave the genuine server alone."""

    def stop(self) -> None:
        """End the programs that were started here."""
        for process in self._processes:
            with_group(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                with_group(process.pid, signal.SIGKILL)
                process.wait(10)
        self._processes.clear()

    def captured(self) -> str:
        """What it logged in clear, whatever else its logs say."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return text + b"".join(self.world.plaintext).decode("utf-8", "replace")

    def trusted(self) -> str:
        """The CA that it signs with, as PEM: clients are made to trust it."""
        return self.world.forger.certificate_pem

    def run(self, *command: str | Path, port: int | None = None, **environment: str) -> None:
        """Start a program in the background, and wait until it listens."""
        output = (self.world.directory / "output.log").open("ab")
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=self.world.directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output.close()
        self._processes.append(process)
        wait_for(self.port if port is None else port, process, self.world.directory / "output.log")


def with_group(pid: int, number: signal.Signals) -> None:
    """Signal a program that was started here, and its children."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until somebody listens on a port of loopback."""
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if listens(port):
            return
        time.sleep(0.05)
    said = output.read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"{process.args!r} does not listen on port {port}; it said:\n{said}")


def listens(port: int) -> bool:
    """Whether somebody listens on a TCP port.

    Linux tells without a connection, which interceptors would take for a client.
    """
    if not (table := Path("/proc/net/tcp")).exists():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    if (six := Path("/proc/net/tcp6")).exists():
        rows += [line.split() for line in six.read_text().splitlines()[1:]]
    listening = "0A"
    return any(row[1].endswith(f":{port:04X}") and row[3] == listening for row in rows)


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Run an installer to its end. Raises `NotInstalledError` with what it said."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotInstalledError(f"{words[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise NotInstalledError(f"{' '.join(words)}: {' / '.join(said)}")


def program(name: str, *others: str) -> str:
    """The path of a program. Raises `NotInstalledError`."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for each in (name, *others):
        if found := shutil.which(each, path=path):
            return found
    raise NotInstalledError(f"there is no {name} on this machine")


@cache
def _updated() -> None:
    call("apt-get", "update", "-qq")


def debian(package: str, *programs: str) -> None:
    """Install a package of Debian where its programs are missing and root may."""
    try:
        for each in programs:
            program(each)
    except NotInstalledError:
        if os.geteuid() != 0:
            raise NotInstalledError(
                f"Debian's package {package} is missing; root installs it"
            ) from None
        _updated()
        install = ("apt-get", "install", "-qqy", "--no-install-recommends", package)
        call("env", "DEBIAN_FRONTEND=noninteractive", *install)


def pypi(name: str, *requirements: str) -> Path:
    """A virtual environment of its own with these packages; its directory of programs."""
    import venv

    home = HOME / name
    done = home / "installed"
    if not done.exists() or done.read_text() != " ".join(requirements):
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        call(home / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements)
        done.write_text(" ".join(requirements))
    return home / "bin"


def npm(name: str, *packages: str) -> Path:
    """A directory of its own with these packages of npm."""
    program("node")
    home = HOME / name
    done = home / "installed"
    if not done.exists() or done.read_text() != " ".join(packages):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "package.json").write_text('{"private": true}')
        call(program("npm"), "install", "--no-audit", "--no-fund", "--silent", *packages, cwd=home)
        done.write_text(" ".join(packages))
    return home


def words(text: str) -> Sequence[str]:
    """A command line as its words."""
    return text.split()
