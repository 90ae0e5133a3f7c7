"""An open connection says why it is allowed; nothing else can say it in its place."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import aiohttp
import pytest

import pinio
from pinio.aiohttp import PinnedConnector
from pinio.core.pinset import PinSet
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
from pinio.testing import CA, Connection, ConnectProxy, Server
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.gate import State
from tests.aiohttp_door.world import PROXY
from tests.interop.peers import websocket
from tests.tls.cast import ABSENT, GENUINE, ISSUER, MISPINNED, ROOT, SPARE, App, Told, pinned

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def test_whatever_a_door_returned_is_recognised(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection("localhost", server.port, policy=pinned())
        permit = writer.get_extra_info("pinio")
        for connection in (writer, writer.transport, writer.get_extra_info("ssl_object")):
            assert pinio.attest(connection) is permit
        assert (
            pinio.attest(SimpleNamespace(connection=SimpleNamespace(transport=writer.transport)))
            is permit
        )
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
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned()
        )
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
        permit = pinio.attest(
            transport, policy=pinned(f"ca:{ROOT.pin}", policy={"revision": "tomorrow"})
        )
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
    anybody = Policy(
        {"other.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
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
            App,
            "127.0.0.1",
            server.port,
            server_hostname="localhost",
            policy=Policy({"localhost": genuine}),
        )
        with pytest.raises(PinMismatchError):
            pinio.attest(transport, policy=Policy({"localhost": genuine, "127.0.0.1": other}))
        transport.abort()


# The pair of names


PAIRED: dict[str, Callable[[], dict[str, Any]]] = {
    "policy": lambda: {"policy": pinned()},
    "pins": lambda: {"pins": [GENUINE.pin, SPARE], "anchors": ROOT.anchors},
    "context of pins": lambda: {
        "ssl": pinio.create_ssl_context(pins=[GENUINE.pin, SPARE], anchors=ROOT.anchors)
    },
}


@pytest.mark.parametrize("by", PAIRED)
async def test_both_names_count_whatever_the_connection_was_made_by(
    by: str, tls_version: ssl.TLSVersion
) -> None:
    """A new connection to this pair would be refused for the name that was dialled, so that this one is no match."""
    genuine, other = pinned().hosts["localhost"], pinned(ABSENT).hosts["localhost"]
    both = Policy({"localhost": genuine, "127.0.0.1": other})
    with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection(
            "127.0.0.1", server.port, server_hostname="localhost", **PAIRED[by]()
        )
        with pytest.raises(PinMismatchError):
            pinio.attest(writer, policy=both)
        with pytest.raises(PinMismatchError):
            await pinio.open_connection(
                "127.0.0.1", server.port, server_hostname="localhost", policy=both, observer=Told()
            )
        assert pinio.attest(writer, policy=pinned()).pinned
        writer.close()
        await writer.wait_closed()


# Plaintext that came through a proxy


def unfinished(connection: Connection) -> None:
    """Answer, but not to the end: so the response keeps its connection."""
    connection.recv()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    connection.recv()


def _allowing() -> Policy:
    """Pins for the proxy, and none for anybody else."""
    return Policy(
        {"localhost": PinSet([PROXY.pin, SPARE], anchors=ROOT.anchors)},
        unpinned="allow",
        unpinned_anchors=ROOT.anchors,
    )


@pytest.mark.parametrize("connector", ["pinned", "stock"])
async def test_a_plaintext_response_through_a_pinned_proxy_is_not_judged(connector: str) -> None:
    """The proxy was; what it passes on is anybody's."""
    allowing = _allowing()
    kind: aiohttp.TCPConnector = (
        PinnedConnector(allowing)
        if connector == "pinned"
        else aiohttp.TCPConnector(ssl=pinio.create_ssl_context(allowing))
    )
    async with (
        Server(PROXY, handler=unfinished) as proxy,
        aiohttp.ClientSession(connector=kind) as client,
        client.get("http://elsewhere.test/", proxy=f"https://localhost:{proxy.port}") as response,
    ):
        assert response.connection is not None
        for policy in (None, allowing):
            with pytest.raises(NotJudgedError, match="came in plaintext") as refused:
                pinio.attest(response, policy=policy)
            assert "connection to the HTTPS proxy" in str(refused.value)
        assert pinio.attest(response.connection.transport).host == "localhost", "the proxy's own"


async def test_a_plaintext_websocket_through_a_pinned_proxy_is_not_judged() -> None:
    async with (
        Server(PROXY, handler=websocket) as proxy,
        aiohttp.ClientSession(connector=PinnedConnector(_allowing())) as client,
        client.ws_connect(
            "ws://elsewhere.test/", proxy=f"https://localhost:{proxy.port}"
        ) as socket,
    ):
        with pytest.raises(NotJudgedError, match="came in plaintext"):
            pinio.attest(socket)


async def test_a_response_through_a_tunnel_is_judged_by_its_own_connection() -> None:
    """Whatever lies below."""
    async with (
        Server(GENUINE, handler=unfinished) as server,
        ConnectProxy(PROXY) as proxy,
        aiohttp.ClientSession(
            connector=PinnedConnector(pinned(), proxy_policy=pinned(PROXY.pin))
        ) as client,
        client.get(
            f"https://localhost:{server.port}/", proxy=f"https://localhost:{proxy.port}"
        ) as response,
    ):
        assert str(pinio.attest(response).pin) == GENUINE.pin


# What it says


def test_what_a_mock_says_of_itself_counts_for_nothing() -> None:
    """Not even one that takes the class for its own, and has the state of an open connection."""
    mock = Mock(spec=PinnedTransport)
    mock.judge.gate.state = State.OPEN
    with pytest.raises(NotJudgedError, match="no connection of pinio's"):
        pinio.attest(mock)


async def test_it_says_what_became_of_the_connection() -> None:
    with Server(GENUINE) as server:
        _, writer = await pinio.open_connection("localhost", server.port, policy=pinned())
        writer.close()
        for _ in range(2):
            with pytest.raises(
                NotJudgedError, match="this connection is closed; ask before"
            ) as refused:
                pinio.attest(writer)
            assert (refused.value.host, refused.value.port) == ("localhost", server.port)
            await writer.wait_closed()


def test_it_says_that_a_handshake_is_missing_or_was_refused() -> None:
    with Server(GENUINE) as server:
        for policy, says in ((pinned(), "not open yet"), (MISPINNED, "was refused")):
            context = pinio.create_ssl_context(policy, observer=Told())
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            if says == "was refused":
                with (
                    socket.create_connection(server.address) as sock,
                    pytest.raises(PinMismatchError),
                ):
                    _shake_hands(tls, incoming, outgoing, sock)
            with pytest.raises(NotJudgedError, match=says):
                pinio.attest(tls)


def _shake_hands(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, sock: socket.socket
) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))


def test_of_nothing_it_says_where_the_connection_may_be() -> None:
    """aiohttp's `response.connection` is None once the body has arrived."""
    with pytest.raises(NotJudgedError, match=r"None is no connection .* once its body has arrived"):
        pinio.attest(None)
