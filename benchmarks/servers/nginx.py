"""nginx, with a configuration made on the spot: loopback, unprivileged ports, no files but in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.machine import SERVER, stay_on
from benchmarks.target import ADDRESS, BODY, Identity, KeyKind, Target, Version

_WHERE = os.pathsep.join(
    (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
)

# One process in the foreground: nothing to clean up but itself. The answer says what the server saw
# of the handshake.
_CONFIGURATION = """
daemon off;
master_process off;
pid "{folder}/nginx.pid";
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    keepalive_requests 1000000;
    keepalive_timeout 600s;
    client_header_timeout 600s;
    ssl_session_tickets on;
    ssl_session_timeout 1h;
    ssl_ciphers HIGH:!aNULL;
{servers}
}}
"""
_SERVER = """
    server {{
        listen {address}:{port} ssl backlog=4096;
        ssl_certificate "{chain}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv{version};
        location / {{
            default_type text/plain;
            return 200 "$ssl_session_reused $ssl_protocol $ssl_cipher {padding}";
        }}
    }}
"""


def find() -> str | None:
    """The nginx binary, which is often outside of a user's PATH."""
    return shutil.which("nginx", path=_WHERE)


class Nginx:
    """A running nginx with one listening port for each TLS version and key kind."""

    def __init__(self, folder: Path, identities: Mapping[KeyKind, Identity]) -> None:
        binary = find()
        if binary is None:
            raise FileNotFoundError("nginx is not installed")
        configuration = folder / "nginx.conf"
        with reserved_ports(4) as ports:
            self.targets = {
                (version, kind): Target(port, version, identity)
                for (version, kind, identity), port in zip(_each(identities), ports, strict=True)
            }
            configuration.write_text(_configure(folder, self.targets.values()), "utf-8")
            self._process = subprocess.Popen(
                [binary, "-p", str(folder), "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            stay_on(SERVER, self._process.pid)
            try:
                for target in self.targets.values():
                    self._wait_for(target.port)
            except BaseException:
                self.close()
                raise

    def _wait_for(self, port: int) -> None:
        for _ in range(6000):
            if self._process.poll() is not None:
                raise RuntimeError(f"nginx ended with status {self._process.returncode}")
            try:
                socket.create_connection((ADDRESS, port), timeout=5).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise RuntimeError("nginx does not answer")

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


def _configure(folder: Path, targets: Iterable[Target]) -> str:
    servers = (
        _SERVER.format(
            address=ADDRESS,
            port=target.port,
            chain=target.identity.chain,
            key=target.identity.key,
            version=target.version,
            padding="." * BODY,
        )
        for target in targets
    )
    return _CONFIGURATION.format(folder=folder, servers="".join(servers))


def _each(identities: Mapping[KeyKind, Identity]) -> list[tuple[Version, KeyKind, Identity]]:
    versions: tuple[Version, ...] = ("1.2", "1.3")
    return [
        (version, kind, identity) for version in versions for kind, identity in identities.items()
    ]


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody is given meanwhile, but that one can listen on who asks for them with SO_REUSEADDR, as nginx does."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((ADDRESS, 0))
        yield [bound.getsockname()[1] for bound in sockets]
