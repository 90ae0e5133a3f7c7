"""The raw doors that dial a Unix socket: who answers there has to show the pinned key of the name that is asked for."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.errors import PinMismatchError, PolicyError, UnpinnedHostError
from pinio.testing import Interceptor, Server, echo, self_signed
from tests.tls.cast import GENUINE, IDENTITY, MISPINNED, ROOT, SPARE, App, Told, end_of, pinned
from tests.tls.unix import unix_socket

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")

Door = Callable[..., Awaitable[Any]]


async def _transport(path: Any = None, **options: Any) -> asyncio.Transport:
    transport, _ = await pinio.create_unix_connection(App, path, **options)
    return transport


async def _streams(path: Any = None, **options: Any) -> asyncio.StreamWriter:
    _, writer = await pinio.open_unix_connection(path, **options)
    writer.write(b"the password is swordfish")
    return writer


DOORS: dict[str, Door] = {"create_unix_connection": _transport, "open_unix_connection": _streams}

each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@each_door
async def test_bytes_go_both_ways(door: Door, tls_version: ssl.TLSVersion) -> None:
    told = Told()
    with Server(GENUINE, handler=echo, tls_version=tls_version) as server:
        async with unix_socket(server) as path:
            transport = await door(
                path, policy=pinned(), server_hostname="localhost", observer=told
            )
            permit = transport.get_extra_info("pinio")
            assert (permit.host, permit.port, str(permit.pin)) == ("localhost", None, GENUINE.pin)
            assert told == [permit]
            assert transport.get_extra_info("socket").family == socket.AF_UNIX
            assert pinio.attest(transport).pinned
            transport.close()
        await end_of(server)
    assert server.application_bytes == b"the password is swordfish"


async def test_streams_read_what_was_answered() -> None:
    async with Server(GENUINE, handler=echo) as server, unix_socket(server) as path:
        reader, writer = await pinio.open_unix_connection(
            path, limit=1024, policy=pinned(), server_hostname="localhost"
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


@each_door
async def test_a_refused_peer_gets_nothing(
    door: Door, tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """Not one application byte, no finished handshake, no client certificate, seen from the interceptor's side."""
    told = Told()
    context = pinio.create_ssl_context(
        pinned(), observer=told, client_cert=IDENTITY.write(tmp_path, "client")
    )
    interceptor = Interceptor(ROOT, "localhost", tls_version=tls_version, client_ca=ROOT)
    with interceptor:
        async with unix_socket(interceptor) as path:
            ways: list[dict[str, Any]] = [{"policy": pinned(), "observer": told}, {"ssl": context}]
            for options in ways:
                with pytest.raises(PinMismatchError) as caught:
                    await door(path, server_hostname="localhost", **options)
                assert (caught.value.host, caught.value.port) == ("localhost", None)
        await end_of(interceptor)
    assert told.kinds == ["Refusal", "Refusal"]
    assert interceptor.application_bytes == b""
    assert interceptor.handshakes_finished == 0
    assert not any(record.client_certificate for record in interceptor.connections)
    assert len(interceptor.connections) == 2


async def test_the_application_never_hears_of_a_refused_peer() -> None:
    apps: list[App] = []

    def factory() -> App:
        apps.append(App())
        return apps[-1]

    async with Interceptor(ROOT, "localhost") as interceptor, unix_socket(interceptor) as path:
        with pytest.raises(PinMismatchError):
            await pinio.create_unix_connection(
                factory, path, policy=pinned(), server_hostname="localhost", observer=Told()
            )
    assert [app.calls for app in apps] == [[]]


@each_door
async def test_a_name_that_the_policy_does_not_list_is_not_dialled(door: Door) -> None:
    """Before a socket exists: there is nobody at this path."""
    with pytest.raises(UnpinnedHostError):
        await door("/nowhere", policy=pinned(), server_hostname="other.test", observer=Told())


@each_door
async def test_a_connected_socket_is_taken(door: Door, tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, handler=echo, tls_version=tls_version) as server:
        async with unix_socket(server) as path:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, str(path))
            transport = await door(sock=sock, policy=pinned(), server_hostname="localhost")
            assert transport.get_extra_info("pinio").pinned
            transport.close()
        await end_of(server)
    assert server.application_bytes == b"the password is swordfish"


@each_door
@pytest.mark.parametrize("spelled", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
async def test_a_path_in_every_spelling(door: Door, spelled: Callable[[Path], Any]) -> None:
    async with Server(GENUINE) as server, unix_socket(server) as path:
        transport = await door(
            spelled(path),
            pins=[GENUINE.pin, SPARE],
            anchors=ROOT.anchors,
            server_hostname="localhost",
        )
        transport.close()


async def test_a_device_behind_a_socket() -> None:
    """The key is the trust: the name only says which entry of the policy is meant."""
    device = self_signed("printer.local")
    async with Server(device) as server, unix_socket(server) as path:
        transport = await _transport(
            path, pins=[device.pin, SPARE], trust="leaf-pin", server_hostname="anything.test"
        )
        transport.close()


async def test_a_session_is_resumed_and_judged(tls_version: ssl.TLSVersion) -> None:
    """A second connection resumes; under a policy that dropped the key it is dialled in full, and refused."""
    sessions = pinio.SessionCache()
    async with (
        Server(GENUINE, handler=echo, tls_version=tls_version) as server,
        unix_socket(server) as path,
    ):
        resumed = []
        for _ in range(2):
            reader, writer = await pinio.open_unix_connection(
                path, policy=pinned(), server_hostname="localhost", resumption=sessions
            )
            writer.write(b"hello")
            await reader.readexactly(5)
            resumed.append(pinio.attest(writer).resumed)
            writer.close()
            await writer.wait_closed()
        assert resumed == [False, True]
        with pytest.raises(PinMismatchError) as caught:
            await pinio.open_unix_connection(
                path,
                policy=MISPINNED,
                server_hostname="localhost",
                resumption=sessions,
                observer=Told(),
            )
        assert not caught.value.refusal.resumed


@each_door
async def test_arguments_that_make_no_sense(door: Door) -> None:
    """asyncio raises `ValueError` for them, which a `PolicyError` is; nothing is dialled."""
    one, other = socket.socketpair()
    with (
        one,
        other,
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"path": "/s"}, "pass server_hostname="),
            ({"path": "/s", "server_hostname": None}, "pass server_hostname="),
            ({"path": "/s", "server_hostname": ""}, "server_hostname is empty"),
            ({"server_hostname": "localhost"}, "pass path or sock"),
            ({"path": "/s", "sock": one, "server_hostname": "localhost"}, "pass path or sock"),
            ({"sock": tcp, "server_hostname": "localhost"}, "a Unix stream socket"),
            ({"sock": datagrams, "server_hostname": "localhost"}, "a Unix stream socket"),
            (
                {"path": "/s", "server_hostname": "localhost", "ssl_handshake_timeout": 0},
                "a positive number",
            ),
            ({"path": "/s", "server_hostname": "localhost", "pins": SPARE}, "policy"),
            (
                {"path": "/s", "server_hostname": "localhost", "ssl": False},
                "ssl=False says nothing",
            ),
        ]
        for options, why in wrong:
            with pytest.raises(PolicyError, match=why):
                await door(**{"policy": pinned(), **options})
        with pytest.raises(PolicyError, match="policy"):
            await door("/s", server_hostname="localhost")


@each_door
async def test_nobody_there(door: Door, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await door(tmp_path / "s", policy=pinned(), server_hostname="localhost")
