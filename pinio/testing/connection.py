"""The server's end of one connection, and what it keeps in its record."""

from __future__ import annotations

import contextlib
import socket

from pinio.testing.activity import Activity
from pinio.testing.record import ConnectionRecord, append_bounded
from pinio.testing.routing import unrouted
from pinio.testing.stream import Stream

CONNECT_TIMEOUT = 60.0


class Connection(Stream):
    """What a handler holds: the server's end of one connection.

    Attributes:
        record: what has been seen so far.
    """

    def __init__(self, sock: socket.socket, activity: Activity, record: ConnectionRecord) -> None:
        super().__init__(sock, activity)
        self.record = record
        self.settled = False  # whether the handshake, if any, has ended one way or the other
        self._onward: list[Stream] = []
        self._hung_up = False

    @property
    def quiet(self) -> bool:
        """Whether nothing is left to happen unless the client acts. The caller holds the lock."""
        return self.settled and self.activity.idle() and not self.unread

    @property
    def taken_in(self) -> bool:
        """Whether the thread can do nothing more about what has arrived.

        The caller holds the lock.
        """
        return self.activity.stalled() and not self.unread

    def dial(self, address: tuple[str, int]) -> Stream:
        """Open a TCP connection to somewhere else on this one's behalf; it ends with this one at the latest.

        Raises OSError when nobody answers there.
        """
        with unrouted():
            sock = socket.create_connection(address, timeout=CONNECT_TIMEOUT)
        onward = Stream(sock, self.activity)
        onward.socket.settimeout(None)
        with self.activity.changed:
            self._onward.append(onward)
            if self._hung_up:  # meanwhile; nobody will come back for this one
                raise ConnectionAbortedError("the server is closing")
        return onward

    def hang_up(self) -> None:
        """Wake the thread, wherever it waits, by ending what it waits for.

        The caller holds the lock.
        """
        self._hung_up = True
        for stream in (self, *self._onward):
            with contextlib.suppress(OSError):
                stream.socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the sockets. The caller holds the lock."""
        for stream in (self, *self._onward):
            stream.socket.close()

    def _arrived(self, data: bytes) -> None:
        if self.tls is not None and not self.record.handshake_finished:
            append_bounded(self.record.handshake_bytes, data)

    def _delivered(self, data: bytes) -> bytes:
        clear_first = self.tls is None and not self.settled
        append_bounded(
            self.record.plaintext_bytes if clear_first else self.record.application_bytes, data
        )
        return data
