from __future__ import annotations

import socket
import sys
import threading

import pytest

from pinio.testing.activity import Activity
from pinio.testing.relay import Direction, relay
from pinio.testing.stream import Stream


@pytest.mark.skipif(sys.platform != "linux", reason="needs sockets that show where a send ended")
def test_no_more_than_a_step_is_sent_at_a_time() -> None:
    client, left = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    right, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    activity = Activity(threading.Condition())
    before, behind = Stream(left, activity), Stream(right, activity)
    directions = Direction(before, behind, step=3), Direction(behind, before)
    thread = threading.Thread(target=relay, args=directions)
    with client, left, right, server:
        thread.start()
        client.send(b"0123456789")
        assert [server.recv(100) for _ in range(4)] == [b"012", b"345", b"678", b"9"]
        server.send(b"0123456789")
        assert client.recv(100) == b"0123456789"
        client.close()
        assert server.recv(100) == b"", "an end is passed on"
        server.close()
        thread.join(10)
        assert not thread.is_alive()
