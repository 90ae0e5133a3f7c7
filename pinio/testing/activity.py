"""Waiting for sockets in such a way that others can tell whether anything is left to wait for."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

# poll() knows no highest descriptor number and costs no descriptor of its own; Windows has select() only.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Ready(NamedTuple):
    """Sockets on which something can be done at once."""

    to_read: set[socket.socket]
    to_write: set[socket.socket]


def poll(
    reading: Iterable[socket.socket], writing: Iterable[socket.socket] = (), timeout: float | None = None
) -> Ready:
    """Wait, at most `timeout` seconds, until some of the sockets can be read or written without blocking."""
    expectation: defaultdict[socket.socket, int] = defaultdict(int)
    for sock in reading:
        expectation[sock] |= selectors.EVENT_READ
    for sock in writing:
        expectation[sock] |= selectors.EVENT_WRITE
    with _Selector() as selector:
        for sock, events in expectation.items():
            selector.register(sock, events)
        ready = {key.fileobj: events for key, events in selector.select(timeout)}
    return Ready(
        {sock for sock in expectation if ready.get(sock, 0) & selectors.EVENT_READ},
        {sock for sock in expectation if ready.get(sock, 0) & selectors.EVENT_WRITE},
    )


class Activity:
    """Whether one connection's thread has anything left to do.

    A thread takes bytes off a socket only between two calls of `wait`, so whoever holds the lock sees either
    a busy thread, or bytes still waiting in the socket, or true quiet. No byte is ever in between.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.changed = changed
        self._watched: Collection[socket.socket] = ()

    def wait(self, reading: Collection[socket.socket], writing: Collection[socket.socket] = ()) -> Ready:
        """Block until some of the sockets can be read or written, and touch none of them."""
        with self.changed:
            self._watched = () if writing else reading  # with something left to send, nobody is idle
            self.changed.notify_all()
        try:
            return poll(reading, writing)
        finally:
            with self.changed:
                self._watched = ()

    def idle(self) -> bool:
        """Tell whether the thread waits and nothing has arrived for it. The caller holds the lock."""
        return bool(self._watched) and not poll(self._watched, timeout=0).to_read
