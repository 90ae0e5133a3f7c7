"""A repository with its signers, the host that serves it, and what makes clients of it."""

from __future__ import annotations

import functools
import http.server
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from pinio import Policy
from pinio.formats import FORMATS
from pinio.testing import Leaf
from pinio.tuf import TUFSource
from pinio.tuf.repository import Repository
from tests.formats.policies import OTHER, PIN

NEVER = 100_000.0
"""An interval in which no source asks by itself but once, when it began with what was kept."""

HOSTS = {"a.example": [PIN, OTHER], "b.example": [PIN, OTHER]}


def policy(revision: str, **options: Any) -> Policy:
    return Policy(**({"hosts": HOSTS} | options), revision=revision)


Answer = Callable[[http.server.BaseHTTPRequestHandler], object]


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host: Host = self.server.host  # type: ignore[attr-defined]
        host.paths.append(self.path)
        for part, answer in host.answers.items():
            if part in self.path:
                self.close_connection = True
                answer(self)
                return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    block_on_close = False
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what these tests are about."""


@dataclass
class Host:
    """A static host on loopback, which answers otherwise where a test says so."""

    folder: Path
    leaf: Leaf | None = None
    paths: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    """Part of a path → what is done with the request."""
    port: int = 0

    @contextmanager
    def serving(self) -> Iterator[Host]:
        server = _Server(
            ("127.0.0.1", self.port), functools.partial(_Handler, directory=str(self.folder))
        )
        server.host = self  # type: ignore[attr-defined]
        self.port = server.server_port
        if self.leaf is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.leaf.load_into(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def url(self) -> str:
        scheme, name = ("http", "127.0.0.1") if self.leaf is None else ("https", "localhost")
        return f"{scheme}://{name}:{self.port}"


def signer() -> CryptoSigner:
    return CryptoSigner.generate_ed25519()


@dataclass
class Fleet:
    """A repository in `folder` with two root keys, two targets keys, both needed, and one online key."""

    folder: Path
    roots: list[CryptoSigner] = field(default_factory=lambda: [signer(), signer()])
    targets: list[CryptoSigner] = field(default_factory=lambda: [signer(), signer()])
    online: CryptoSigner = field(default_factory=signer)
    sources: list[TUFSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = Repository.create(
            self.folder, self.roots, self.targets, self.online, threshold=2
        )
        self.root = (self.folder / "metadata" / "1.root.json").read_bytes()

    def publish(self, new: Policy | str | None = None, **days: int) -> None:
        """Sign a policy as the signers do, and put it before clients; None renews the dates."""
        if new is not None:
            text = new if isinstance(new, str) else FORMATS["native"].dumps(new)
            assert self.repository.stage({"policy.toml": text.encode()}, self.targets) == 0
        self.repository.publish(self.online, days)

    def copy(self, name: str) -> Path:
        """The repository as it is, kept by an attacker."""
        return Path(shutil.copytree(self.folder, self.folder.with_name(name)))

    def put_back(self, kept: Path) -> None:
        """Serve what was kept in place of what is."""
        shutil.rmtree(self.folder)
        shutil.copytree(kept, self.folder)

    def client(self, host: Host, **options: Any) -> TUFSource:
        if not options.keys() & {"policy", "anchors", "plaintext"}:
            options["plaintext"] = "a test"
        source = TUFSource(
            host.url, root=self.root, **({"interval": NEVER, "timeout": 60.0} | options)
        )
        self.sources.append(source)
        return source

    def close(self) -> None:
        for source in self.sources:
            source.close()
            source.refresh()  # whatever its thread has begun is over


class Travelled:
    """Stands for the module `datetime` in python-tuf: some days later."""

    def __init__(self, real: Any, days: float) -> None:
        self.timezone = real.timezone

        class _Later:
            @staticmethod
            def now(zone: Any) -> Any:
                return real.datetime.now(zone) + real.timedelta(days=days)

        self.datetime = _Later


def later(days: float) -> Callable[[], float]:
    """The wall clock some days later."""
    return lambda: time.time() + days * 86_400
