"""Transparent interceptors: nftables leads every connection there, in a network namespace."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import ClassVar

from tests.interceptors.base import (
    Interceptor,
    NotInstalledError,
    Way,
    call,
    debian,
    program,
)
from tests.interceptors.matrix import Result
from tests.interceptors.mitmproxy import Mitmproxy
from tests.interceptors.programs import Sslsplit

GROUP = 65534  # nogroup: connections of this group are the interceptor's own, and go where they say
_RULES = """
table ip pinio {{
    chain out {{
        type nat hook output priority -100;
        meta skgid {group} return
        tcp dport {origin} redirect to :{port}
    }}
}}
"""


def lead(interceptor: Interceptor) -> None:
    """Lead what goes to the genuine server to the interceptor, in this namespace."""
    rules = interceptor.world.directory / "rules.nft"
    ports = {"origin": interceptor.world.origin, "port": interceptor.port}
    rules.write_text(_RULES.format(group=GROUP, **ports))
    call(program("nft"), "-f", rules)


def as_group() -> tuple[str, ...]:
    """Words before a command that runs in that group."""
    return program("setpriv"), f"--regid={GROUP}", "--clear-groups"


class TransparentMitmproxy(Mitmproxy):
    """mitmproxy."""

    name, mode = "mitmproxy-transparent", "transparent"
    way: ClassVar[Way] = "transparent"

    @classmethod
    def install(cls) -> None:
        super().install()
        check()

    def start(self, *, through: bool = False) -> None:
        super().start(through=through)
        lead(self)

    def prefix(self) -> tuple[str, ...]:
        return as_group()


class TransparentSslsplit(Sslsplit):
    """sslsplit."""

    name = "sslsplit-transparent"
    way: ClassVar[Way] = "transparent"
    passes_through = False

    @classmethod
    def install(cls) -> None:
        super().install()
        check()

    def start(self, *, through: bool = False) -> None:
        certificate, key = self.world.write_ca()
        self.run(
            *as_group(), program("sslsplit"), "-D", "-u", "root",
            "-k", key, "-c", certificate, "-L", self.log, "-e", "netfilter",
            "ssl", "127.0.0.1", str(self.port),
        )  # fmt: skip
        lead(self)


def check() -> None:
    """Raise `NotInstalledError` where this machine makes no namespace with nftables."""
    if os.geteuid() != 0:
        raise NotInstalledError("network namespaces and nftables need root")
    debian("nftables", "nft")
    debian("iproute2", "ip")
    call("unshare", "--net", program("nft"), "list", "ruleset")


def in_a_namespace(kind: type[Interceptor]) -> Result:
    """Drive one interceptor in a process with a network of its own."""
    command = [
        "unshare",
        "--net",
        sys.executable,
        "-m",
        "tests.interceptors",
        "--inside",
        kind.name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        values = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"nothing came of it: {done.stderr[-2000:]}") from None
    return Result(**{**values, "sent": {key: set(seen) for key, seen in values["sent"].items()}})


def inside(drive: Callable[[], Result]) -> int:
    """In the namespace: bring loopback up, drive, and print the result as JSON."""
    call(program("ip"), "link", "set", "lo", "up")
    # sslsplit asks for addresses of configured families, and loopback alone does not count.
    call(program("ip"), "address", "add", "10.99.0.1/32", "dev", "lo")
    print(json.dumps(dataclasses.asdict(drive()), default=list))
    return 0
