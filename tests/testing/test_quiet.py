"""`wait_quiet()` returns when everything that clients did has had its effect, and not before.

Nothing leaks.
"""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from pinio.testing import CA, Connection, DripRelay, Server, silent, speak_first
from tests.testing.clients import Withholding, connected, exactly

CA_ROOT = CA()
LEAF = CA_ROOT.issue("localhost")


def test_a_server_without_clients_is_quiet() -> None:
    with Server(LEAF) as server:
        server.wait_quiet()


def test_everything_sent_before_has_been_read() -> None:
    """Without any exchange that would make the client wait for the server."""
    with Server(LEAF, handler=silent) as server, connected(server, CA_ROOT) as tls:
        for count in range(1, 101):
            tls.sendall(b"x")
            server.wait_quiet()
            assert len(server.application_bytes) == count


def test_clients_that_were_never_accepted_yet_are_waited_for() -> None:
    with Server(plain=True) as server:
        for count in range(1, 51):
            with socket.create_connection(server.address) as raw:
                raw.sendall(b"x")
            server.wait_quiet()
            assert len(server.connections) == count
            assert all(record.ended.is_set() for record in server.connections)
            assert len(server.application_bytes) == count


def test_an_open_and_idle_connection_is_quiet(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version) as server, connected(server, CA_ROOT) as tls:
        server.wait_quiet()
        assert server.handshakes_finished == 1
        assert not server.connections[0].ended.is_set()
        tls.sendall(b"x")
        exactly(tls, 1)


def test_an_unfinished_handshake_is_not_quiet() -> None:
    with Server(LEAF) as server, Withholding(server, CA_ROOT.client_context()) as client:
        client.up_to_the_final_flight()
        with pytest.raises(TimeoutError, match="handshake_finished=False"):
            server.wait_quiet(timeout=0.05)


def test_a_busy_handler_is_not_quiet() -> None:
    proceed = threading.Event()

    def busy(connection: Connection) -> None:
        connection.recv()
        proceed.wait()

    with Server(LEAF, handler=busy) as server, connected(server, CA_ROOT) as tls:
        tls.sendall(b"x")
        with pytest.raises(TimeoutError):
            server.wait_quiet(timeout=0.05)
        proceed.set()
        server.wait_quiet()


def test_a_handler_that_returned_waits_for_its_client_quietly() -> None:
    with (
        Server(LEAF, handler=speak_first(b"bye", then=lambda _: None)) as server,
        connected(server, CA_ROOT) as tls,
    ):
        assert exactly(tls, 3) == b"bye"
        assert tls.recv(1) == b""
        server.wait_quiet()
        assert not server.connections[0].ended.is_set()


def test_a_relay_whose_client_is_gone_is_quiet() -> None:
    """A socket stays readable for ever after its end was read, and nothing is left to read."""
    proceed = threading.Event()

    def busy(connection: Connection) -> None:
        proceed.wait()

    with Server(plain=True, handler=busy) as server, DripRelay(server) as relay:
        socket.create_connection(relay.address).close()
        try:
            relay.wait_quiet(timeout=10)
            assert not relay.connections[0].ended.is_set()
        finally:
            proceed.set()


@pytest.mark.parametrize("waits", [True, False], ids=["wait_quiet", "close"])
def test_a_thread_that_has_ended_its_connection_is_waited_for(waits: bool) -> None:
    """It may get no time to end itself; then it would still be there when a test counts threads."""
    gone: list[bool] = []

    class Lingering(Server):
        def _run(self, connection: Connection) -> None:
            super()._run(connection)
            for _ in range(1000):
                time.sleep(0)
            gone.append(True)

    with Lingering(plain=True) as server:
        socket.create_connection(server.address).close()
        if waits:
            server.wait_quiet()
            assert gone
        else:
            while not server.connections or not server.connections[0].ended.is_set():
                time.sleep(0)
    assert gone


def test_closing_ends_whatever_is_open() -> None:
    """A stalled handshake, an idle connection, a handler blocked in sending."""

    def flood(connection: Connection) -> None:
        while True:
            connection.sendall(b"x" * 65_536)

    with Server(LEAF) as server, Server(LEAF, handler=flood) as flooding:
        stalled = socket.create_connection(server.address)
        idle = socket.create_connection(server.address)
        idle_tls = CA_ROOT.client_context().wrap_socket(idle, server_hostname="localhost")
        deaf = socket.create_connection(flooding.address)
        deaf_tls = CA_ROOT.client_context().wrap_socket(deaf, server_hostname="localhost")
        exactly(deaf_tls, 1)
    for record in (*server.connections, *flooding.connections):
        assert record.ended.is_set()
    for sock in (stalled, idle_tls, deaf_tls):
        sock.close()


def test_a_server_can_be_closed_twice_and_started_again() -> None:
    server = Server(LEAF)
    with server:
        pass
    server.close()
    with server, connected(server, CA_ROOT):
        pass


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="counts descriptors in /dev/fd")
def test_nothing_is_left_behind_after_many_connections() -> None:
    def count() -> tuple[int, int]:
        gc.collect()
        ours = [
            thread for thread in threading.enumerate() if thread.name.startswith("pinio-testing-")
        ]
        return len(list(Path("/dev/fd").iterdir())), len(
            ours
        )  # other libraries' threads come and go

    context = CA_ROOT.client_context()
    before = count()
    with Server(LEAF) as server:
        inside = count()
        for number in range(200):
            if number % 4 == 0:  # refused by the client
                with pytest.raises(ssl.SSLCertVerificationError), connected(server, CA()):
                    pass
            elif number % 4 == 1:  # given up in the middle
                with Withholding(server, context) as client:
                    client.up_to_the_final_flight()
            else:
                with connected(server, CA_ROOT) as tls:
                    tls.sendall(b"x")
                    exactly(tls, 1)
        server.wait_quiet()
        assert count() == inside
        assert len(server.connections) == 200
        assert server.handshakes_finished == 100
    assert count() == before
