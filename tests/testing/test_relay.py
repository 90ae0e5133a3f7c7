from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from pinio.testing.activity import Activity
from pinio.testing.relay import Direction, relay
from pinio.testing.stream import Stream


@contextmanager
def relayed(
    kind: socket.SocketKind, *, step: int
) -> Generator[tuple[socket.socket, socket.socket]]:
    """A client and a server with a relay between them that sends at most `step` bytes at a time."""
    client, left = socket.socketpair(socket.AF_UNIX, kind)
    right, server = socket.socketpair(socket.AF_UNIX, kind)
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # less than a relay sends at once
    activity = Activity(threading.Condition())
    before, behind = Stream(left, activity), Stream(right, activity)
    directions = Direction(before, behind, step=step), Direction(behind, before, step=step)
    thread = threading.Thread(target=relay, args=directions, daemon=True)
    with client, left, right, server:
        client.settimeout(60)
        server.settimeout(60)
        thread.start()
        yield client, server
        client.close()
        assert server.recv(100) == b"", "an end is passed on"
        server.close()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="needs sockets that show where a send ended")
def test_no_more_than_a_step_is_sent_at_a_time() -> None:
    with relayed(socket.SOCK_SEQPACKET, step=3) as (client, server):
        client.send(b"0123456789")
        assert [server.recv(100) for _ in range(4)] == [b"012", b"345", b"678", b"9"]
        server.send(b"0123456789")
        assert [client.recv(100) for _ in range(4)] == [b"012", b"345", b"678", b"9"]


@pytest.mark.skipif(not hasattr(socket, "MSG_DONTWAIT"), reason="cannot send without waiting")
def test_a_client_that_does_not_read_can_still_write() -> None:
    size = 10_000_000  # more than the sockets on the way hold
    with relayed(socket.SOCK_STREAM, step=size) as (client, server):
        flood = threading.Thread(target=server.sendall, args=(b"x" * size,), daemon=True)
        flood.start()
        assert client.recv(1) == b"x"  # the relay has begun to send
        for _ in range(100):
            client.sendall(b"y")
            assert server.recv(1) == b"y"
        received = 1
        while received < size:
            received += len(client.recv(1_000_000))
        flood.join(60)
