"""Waiting for sockets in such a way that others can tell whether anything is left to wait for."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from typing import NamedTuple

# poll() knows no highest descriptor number and costs no descriptor of its own; Windows has select()
# only.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Ready(NamedTuple):
    """Sockets on which something can be done at once."""

    to_read: set[socket.socket]
    to_write: set[socket.socket]


def poll(
    reading: Iterable[socket.socket],
    writing: Iterable[socket.socket] = (),
    timeout: float | None = None,
) -> Ready:
    """Wait, at most `timeout` seconds, until some of the sockets can be read or written without blocking."""
    wanted: defaultdict[socket.socket, int] = defaultdict(int)
    for sock in reading:
        wanted[sock] |= selectors.EVENT_READ
    for sock in writing:
        wanted[sock] |= selectors.EVENT_WRITE
    with _Selector() as selector:
        for sock, events in wanted.items():
            selector.register(sock, events)
        ready = {key.fileobj: events for key, events in selector.select(timeout)}
    return Ready(
        {sock for sock in wanted if ready.get(sock, 0) & selectors.EVENT_READ},
        {sock for sock in wanted if ready.get(sock, 0) & selectors.EVENT_WRITE},
    )


def _open(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Leave out the sockets that were closed: nothing arrives there any more."""
    return [sock for sock in sockets if sock.fileno() >= 0]


class Activity:
    """Whether one connection's thread has anything left to do.

    A thread takes bytes off a socket only between two calls of `wait`, so whoever holds the lock
    sees either a busy thread, or bytes still waiting in the socket, or true quiet. No byte is ever
    in between.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.changed = changed
        self._waits = False
        self._reading: Collection[socket.socket] = ()
        self._writing: Collection[socket.socket] = ()

    def wait(
        self, reading: Collection[socket.socket], writing: Collection[socket.socket] = ()
    ) -> Ready:
        """Block until some of the sockets can be read or written, and touch none of them."""
        with self._waiting(reading, writing):
            return poll(reading, writing)

    def sendall(self, sock: socket.socket, data: bytes) -> None:
        """Send all of it, however long the peer takes. Raises OSError when the peer is gone."""
        with self._waiting((), (sock,)):
            sock.sendall(data)

    @contextmanager
    def _waiting(
        self, reading: Collection[socket.socket], writing: Collection[socket.socket]
    ) -> Generator[None]:
        with self.changed:
            self._waits, self._reading, self._writing = True, reading, writing
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._waits, self._reading, self._writing = False, (), ()

    def idle(self) -> bool:
        """Tell whether the thread waits and nothing has arrived for it. The caller holds the lock.

        With something left to send, a thread is not idle.
        """
        return (
            bool(self._reading)
            and not self._writing
            and not poll(_open(self._reading), timeout=0).to_read
        )

    def stalled(self) -> bool:
        """Tell whether the thread can do nothing unless the peer acts.

        The caller holds the lock.
        """
        ready = poll(_open(self._reading), _open(self._writing), timeout=0)
        return self._waits and not any(ready)
