"""mitmproxy, in its modes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.interceptors.base import HOST, Interceptor, Way, free_port, pypi

REQUIREMENT = "mitmproxy>=10"

ADDON = """
import os

log = open(os.environ["CAPTURED"], "a", buffering=1)

def request(flow):
    request = flow.request
    log.write(f"{request.method} {request.path} {request.headers.get('x-secret')}\\n")

def tls_established_client(data):
    if data.conn.certificate_list:
        log.write("a client certificate\\n")
"""


class Mitmproxy(Interceptor):
    """mitmdump, which mints certificates with the forger's key."""

    mode: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    passes_through = True

    @classmethod
    def install(cls) -> None:
        pypi("mitmproxy", REQUIREMENT)

    def start(self, *, through: bool = False) -> None:
        self.prepare()
        self.dump(self.mode.format(origin=self.world.origin), self.port, through=through)

    def prepare(self) -> None:
        """Write the files that it reads."""
        certificate, key = self.world.write_ca()
        (self.world.directory / "mitmproxy-ca.pem").write_text(
            key.read_text() + certificate.read_text()
        )
        (self.world.directory / "addon.py").write_text(ADDON)

    def dump(self, mode: str, port: int, *, through: bool) -> None:
        settings = ("ssl_insecure=true", f"confdir={self.world.directory}", *self.options)
        if through:
            settings += ("ignore_hosts=.*",)
        options = [word for setting in settings for word in ("--set", setting)]
        mitmdump = pypi("mitmproxy", REQUIREMENT) / "mitmdump"
        self.run(
            *self.prefix(), mitmdump, "-q", "--mode", mode, *options, "-s", "addon.py",
            "--listen-host", "127.0.0.1", "--listen-port", str(port),
            port=port, CAPTURED=str(self.log),
        )  # fmt: skip

    def prefix(self) -> tuple[str | Path, ...]:
        """Words before the command."""
        return ()


class Regular(Mitmproxy):
    """An HTTP proxy."""

    name, mode, way = "mitmproxy-regular", "regular", "connect"
    options = ("request_client_cert=true",)


class Reverse(Mitmproxy):
    """In the genuine server's place, as by a forged answer of DNS."""

    name, mode = "mitmproxy-reverse", f"reverse:https://{HOST}:{{origin}}"
    options = ("keep_host_header=true",)
    passes_through = False  # one that leaves TLS alone is a relay


class Socks(Mitmproxy):
    """A SOCKS proxy."""

    name, mode = "mitmproxy-socks5", "socks5"
    way: ClassVar[Way] = "socks"


class Sniffing(Mitmproxy):
    """Sends the genuine chain behind its own (CVE-2016-2402)."""

    name, mode, way = "mitmproxy-appends-the-chain", "regular", "connect"
    options = ("add_upstream_certs_to_client_chain=true", "upstream_cert=true")


class Upstream(Mitmproxy):
    """Two in a row."""

    name, mode, way = "mitmproxy-upstream", "regular", "connect"
    passes_through = False

    def start(self, *, through: bool = False) -> None:
        second = free_port()
        self.prepare()
        self.dump("regular", second, through=False)
        self.dump(f"upstream:http://127.0.0.1:{second}", self.port, through=False)
