"""Connections of this process go where they are led, by every way to connect, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest
import trio

from pinio.errors import PolicyError
from pinio.testing import Route, Server, echo, unrouted
from tests.conftest import Run

HOST = "api.example.com"


@pytest.fixture
def server() -> Server:
    return Server(plain=True, handler=echo)


def say(host: str, port: int) -> bytes:
    with closing(socket.create_connection((host, port), timeout=60)) as sock:
        sock.sendall(b"hello")
        return sock.recv(5)


async def say_asyncio(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello")
    heard = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return heard


async def say_resolved(host: str, port: int) -> bytes:
    """As aiohttp does: resolve, then connect a socket."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with closing(socket.socket(found[0][0])) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, found[0][4])
        await loop.sock_sendall(sock, b"hello")
        return await loop.sock_recv(sock, 5)


async def say_trio(host: str, port: int) -> bytes:
    async with await trio.open_tcp_stream(host, port) as stream:
        await stream.send_all(b"hello")
        return bytes(await stream.receive_some(5))


def test_a_blocking_client_is_led_there(server: Server) -> None:
    with server, Route(HOST, 443, server.address):
        assert say(HOST, 443) == say("API.Example.COM.", 443) == b"hello"
        assert len(server.connections) == 2


@pytest.mark.parametrize("client", [say_asyncio, say_resolved])
def test_a_client_of_a_loop_is_led_there(server: Server, run: Run, client: object) -> None:
    assert callable(client)
    with server, Route(HOST, 443, server.address):
        assert run(client(HOST, 443)) == b"hello"
        assert len(server.connections) == 1


def test_a_client_of_trio_is_led_there(server: Server) -> None:
    with server, Route(HOST, 443, server.address):
        assert trio.run(say_trio, HOST, 443) == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_an_address_is_led_there(server: Server, host: str, ipv6: str) -> None:
    with server, Route(host, 443, server.address):
        assert say(host, 443) == b"hello"


def test_everything_is_restored(server: Server, run: Run) -> None:
    before = socket.getaddrinfo, socket.gethostbyname
    with server, Route(HOST, 443, server.address), Route("127.0.0.1", 443, server.address):
        assert socket.gethostbyname(HOST).startswith("127.88.")
        assert (socket.getaddrinfo, socket.gethostbyname) != before
    assert (socket.getaddrinfo, socket.gethostbyname) == before
    assert not {"connect", "connect_ex"} & vars(socket.socket).keys()
    with Server(plain=True) as other:
        assert say("127.0.0.1", other.port) == run(say_asyncio("localhost", other.port)) == b"hello"


def test_other_hosts_and_ports_go_on_as_they_are(server: Server) -> None:
    with Server(plain=True) as other, server, Route("127.0.0.1", 443, server.address):
        with Route(HOST, 443, server.address):
            assert say("127.0.0.1", other.port) == say("localhost", other.port) == b"hello"
            with pytest.raises(ConnectionRefusedError, match=rf"no route for {HOST}:80"):
                say(HOST, 80)
        assert server.connections == []


def test_the_latest_route_wins_and_an_exact_port_precedes_all_ports(server: Server) -> None:
    with server, Server(plain=True) as later, Route(HOST, 443, server.address):
        with Route(HOST, None, later.address):
            say(HOST, 443)
            say(HOST, 80)
            assert (len(server.connections), len(later.connections)) == (1, 1)
        with Route(HOST, 443, later.address) as route:
            say(HOST, 443)
            assert len(later.connections) == 2
            route.close()
            say(HOST, 443)
            assert len(server.connections) == 2


def test_a_thread_of_a_test_can_leave_the_routes(server: Server) -> None:
    with Server(plain=True) as other, server, Route("127.0.0.1", other.port, server.address):
        with unrouted():
            say("127.0.0.1", other.port)
        assert (len(other.connections), len(server.connections)) == (1, 0)


def test_a_name_has_no_address_of_ipv6(server: Server) -> None:
    with server, Route(HOST, 443, server.address), pytest.raises(socket.gaierror, match="routed"):
        socket.getaddrinfo(HOST, 443, socket.AF_INET6)


def test_a_service_has_a_port_by_name_and_number(server: Server) -> None:
    with server, Route(HOST, 443, server.address):
        found = socket.getaddrinfo(HOST, "https", type=socket.SOCK_STREAM)
        assert found == socket.getaddrinfo(HOST, b"443", proto=socket.IPPROTO_TCP)
        assert found[0][4][1] == 443
        assert socket.getaddrinfo(HOST, None)[0][4][1] == 0


def test_what_is_no_host_is_an_error() -> None:
    with pytest.raises(PolicyError):
        Route("no host", 443, ("127.0.0.1", 1))
    assert not {"connect"} & vars(socket.socket).keys()
