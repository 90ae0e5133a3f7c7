"""What the tests of this door share: a proxy's certificate, a resolver that is told, a policy that can be swapped."""

from __future__ import annotations

from typing import Any

import aiohttp

from pinio.testing import Server
from tests.tls.cast import ISSUER

PROXY = ISSUER.issue("localhost", "127.0.0.1")
PLAIN_PROXY = "127.0.0.1"
"""The host of proxies without TLS; `localhost` is that of proxies with a key."""
ONE_BY_ONE: dict[str, Any] = {"happy_eyeballs_delay": 3600.0}
"""No address is tried beside another, however slow this machine is; each comes when the one before has failed."""


class Addresses(aiohttp.abc.AbstractResolver):
    """Says that every name lives at these addresses, in this order."""

    def __init__(self, *servers: Server | tuple[str, int]) -> None:
        self._addresses = [
            server if isinstance(server, tuple) else server.address for server in servers
        ]
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        self.asked += 1
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": 10 if ":" in address else 2,
                "proto": 6,
                "flags": 0,
            }
            for address, port in self._addresses
        ]

    async def close(self) -> None:
        pass
