"""An open connection says why it is allowed; nothing else can say it in its place."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import (
    DeniedKeyError,
    NotJudgedError,
    NoVerifiedChainError,
    PinExpiredError,
    PinMismatchError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.testing import CA, Server
from pinio.tls.transport import PinnedTransport
from tests.tls.cast import ABSENT, GENUINE, ISSUER, MISPINNED, ROOT, SPARE, App, Told, pinned

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def test_whatever_a_door_returned_is_recognised(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection("localhost", server.port, policy=pinned())
        permit = writer.get_extra_info("pinio")
        for connection in (writer, writer.transport, writer.get_extra_info("ssl_object")):
            assert pinio.attest(connection) is permit
        assert pinio.attest(SimpleNamespace(connection=SimpleNamespace(transport=writer.transport))) is permit
        writer.close()
        await writer.wait_closed()


async def test_foreign_connections_are_not(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=ROOT.client_context(), server_hostname="localhost"
        )
        for connection in (reader, writer, writer.transport, writer.get_extra_info("ssl_object")):
            with pytest.raises(NotJudgedError):
                pinio.attest(connection)
        writer.close()
        await writer.wait_closed()


class Boaster(asyncio.Transport):
    """Says what a pinned transport would."""

    permit = state = "open"

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"pinio": "a permit", "ssl_object": MagicMock()}.get(name, default)


@pytest.mark.parametrize(
    "pretender",
    [
        None,
        7,
        object(),
        Boaster(),
        Mock(spec=PinnedTransport),
        MagicMock(),
        SimpleNamespace(transport=Boaster()),
    ],
    ids=["None", "number", "object", "boaster", "mock", "magic mock", "holder"],
)
def test_nothing_is_taken_at_its_word(pretender: object) -> None:
    with pytest.raises(NotJudgedError, match="no connection of pinio's, or one that is closed"):
        pinio.attest(pretender)


def test_a_socket_that_was_never_judged() -> None:
    context = pinio.create_ssl_context(pinned())
    with Server(GENUINE) as server, socket.create_connection(server.address) as raw:
        tls = context.wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=False)
        with pytest.raises(NotJudgedError):
            pinio.attest(tls)
        tls.settimeout(60)
        tls.do_handshake()
        assert pinio.attest(tls).pinned
        tls.close()


async def test_a_closed_connection_is_nobodys(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        transport, app = await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        assert pinio.attest(transport).pinned
        transport.close()
        with pytest.raises(NotJudgedError):
            pinio.attest(transport)
        await app.lost
        with pytest.raises(NotJudgedError):
            pinio.attest(transport)


STRICTER = {
    "another key": (MISPINNED, PinMismatchError),
    "expired": (pinned(expires=PAST), PinExpiredError),
    "denied": (pinned(policy={"deny": [ISSUER.pin]}), DeniedKeyError),
    "no longer listed": (pinned(host="other.test"), UnpinnedHostError),
    "other anchors": (pinned(anchors=CA("another").anchors), NoVerifiedChainError),
    "public anchors": (pinned(anchors=None), NoVerifiedChainError),
    "no anchors at all": (pinned(trust="leaf-pin"), NoVerifiedChainError),
}


@pytest.mark.parametrize("stricter", STRICTER)
async def test_a_policy_judges_again(stricter: str) -> None:
    policy, error = STRICTER[stricter]
    told = Told()
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned(), observer=told
        )
        with pytest.raises(error) as refused:
            pinio.attest(transport, policy=policy)
        assert refused.value.host == "localhost"
        assert pinio.attest(transport).pinned, "asking changes nothing"
        assert told.kinds == ["Permit"]
        transport.abort()


async def test_a_policy_that_agrees_permits_anew() -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        permit = pinio.attest(transport, policy=pinned(f"ca:{ROOT.pin}", policy={"revision": "tomorrow"}))
        assert (str(permit.pin), permit.revision) == (f"ca:{ROOT.pin}", "tomorrow")
        with pytest.raises(PolicyError, match="a Policy or a source"):
            pinio.attest(transport, policy={"localhost": GENUINE.pin})  # type: ignore[arg-type]
        transport.abort()


async def test_a_chain_that_nobody_verified_satisfies_no_policy_that_asks_for_it() -> None:
    """Connected by the key alone; the name was never looked at."""
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "127.0.0.1", server.port, policy=pinned(host="127.0.0.1", trust="leaf-pin")
        )
        with pytest.raises(NoVerifiedChainError, match="in another way"):
            pinio.attest(transport, policy=pinned(host="127.0.0.1"))
        transport.abort()


async def test_a_connection_without_pins_satisfies_no_policy_with_pins() -> None:
    """Its chain was not kept, because nobody asked for it."""
    anybody = Policy({"other.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors)
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(App, "localhost", server.port, policy=anybody)
        assert not pinio.attest(transport).pinned
        with pytest.raises(NoVerifiedChainError):
            pinio.attest(transport, policy=pinned())
        transport.abort()


async def test_the_other_name_is_judged_again_too() -> None:
    """It had no pins when the connection was made."""
    genuine, other = pinned().hosts["localhost"], pinned(ABSENT).hosts["localhost"]
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "127.0.0.1", server.port, server_hostname="localhost", policy=Policy({"localhost": genuine})
        )
        with pytest.raises(PinMismatchError):
            pinio.attest(transport, policy=Policy({"localhost": genuine, "127.0.0.1": other}))
        transport.abort()
