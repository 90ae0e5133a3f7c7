"""redis takes no context, so its how-to leans on two private methods.

Without them it must connect to nobody.
"""

from __future__ import annotations

from typing import Any

import pytest

from pinio.testing import Server
from tests.interop import other_clients, peers
from tests.interop.matrix import Site
from tests.tls.cast import GENUINE

redis: Any = pytest.importorskip(
    "redis", reason="redis is not installed: pip install --group interop"
)

NO_LIST = r"(?i)no certificate"


def test_P5_a_connection_class_whose_method_was_renamed_connects_to_nobody() -> None:
    with Server(GENUINE, handler=peers.redis) as server:
        with pytest.raises(redis.ConnectionError, match=NO_LIST):
            other_clients.ping(redis.SSLConnection, Site(server))
        server.wait_quiet()
        assert server.handshakes_finished == 0
        assert server.application_bytes == b""


async def test_P5_nor_does_the_asynchronous_one() -> None:
    from redis.asyncio import SSLConnection

    with Server(GENUINE, handler=peers.redis) as server:
        with pytest.raises(redis.ConnectionError, match=NO_LIST):
            await other_clients.ping_asyncio(SSLConnection, Site(server))
        await server.quiet()
        assert server.handshakes_finished == 0
        assert server.application_bytes == b""
