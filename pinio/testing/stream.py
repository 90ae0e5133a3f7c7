"""Blocking bytes over one socket, in clear or through TLS held in memory.

TLS runs on two memory BIOs instead of on the socket. That is what lets a test server put application data
into the very segment that ends its handshake, inject bytes beneath TLS, or vanish without saying goodbye.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

CHUNK = 65_536

# poll() knows no highest descriptor number and costs no descriptor of its own; Windows has select() only.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


def readable(*sockets: socket.socket, timeout: float | None = None) -> list[socket.socket]:
    """Those of ``sockets`` that can be read without blocking; waits at most ``timeout`` seconds for one."""
    with _Selector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        ready = {key.fileobj for key, _ in selector.select(timeout)}
        return [each for each in sockets if each in ready]


class Activity:
    """Whether one connection's thread has anything left to do.

    A thread takes bytes off a socket only between two calls of :meth:`wait`, so whoever holds the lock sees
    either a busy thread, or bytes still waiting in the socket, or true quiet. No byte is ever in between.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.changed = changed
        self._watched: tuple[socket.socket, ...] = ()

    def wait(self, *sockets: socket.socket) -> list[socket.socket]:
        """Blocks until some of ``sockets`` are readable and returns them, without reading from them."""
        with self.changed:
            self._watched = sockets
            self.changed.notify_all()
        try:
            return readable(*sockets)
        finally:
            with self.changed:
                self._watched = ()

    def idle(self) -> bool:
        """True while the thread waits and nothing has arrived. The caller holds the lock."""
        return bool(self._watched) and not readable(*self._watched, timeout=0)


class Stream:
    """One end of a connection. Not for use by two threads at once.

    Args:
        sock: a connected, blocking TCP socket, owned by the stream from now on.
        activity: told whenever this stream waits for its peer.
    """

    def __init__(self, sock: socket.socket, activity: Activity) -> None:
        self.socket = sock
        self.tls: ssl.SSLObject | None = None
        self.activity = activity
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._may_say_goodbye = False

    def handshake(
        self, context: ssl.SSLContext, *, server_side: bool = False, server_hostname: str | None = None
    ) -> ssl.SSLObject:
        """Completes a TLS handshake, all but sending this side's last flight.

        That flight leaves with the first :meth:`sendall`, in one segment with its data, or alone with
        :meth:`flush`.

        Raises:
            ssl.SSLError: the handshake failed; the alert that says so has been sent.
            OSError: the peer went away.
        """
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        try:
            self._pump(self.tls.do_handshake)
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                self.flush()
            raise
        self._may_say_goodbye = True
        return self.tls

    def recv(self, size: int = CHUNK) -> bytes:
        """Up to ``size`` bytes of application data; ``b""`` once the peer has closed in good order.

        Raises:
            ssl.SSLEOFError: TCP ended without TLS's goodbye.
            OSError: the connection broke.
        """
        tls = self.tls
        if tls is None:
            return self._delivered(self._from_socket(size))
        try:
            data = self._pump(lambda: tls.read(size))
        except ssl.SSLZeroReturnError:  # how a close reads when this side has said goodbye before
            data = b""
        self.flush()
        return self._delivered(data)

    def sendall(self, data: bytes) -> None:
        """Sends application data. Raises OSError when the peer is gone."""
        if self.tls is None:
            self.socket.sendall(data)
            return
        for start in range(0, len(data), CHUNK):
            self.tls.write(data[start : start + CHUNK])
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Sends what TLS has produced and nobody has sent yet."""
        if data := self._outgoing.read():
            self.socket.sendall(data)

    def send_raw(self, data: bytes) -> None:
        """Sends bytes beneath TLS, where only records belong."""
        self.flush()
        self.socket.sendall(data)

    def close(self, *, goodbye: bool = True) -> None:
        """Ends this side's half: TLS's close_notify (if ``goodbye``), then TCP's FIN. Reading can go on."""
        with contextlib.suppress(
            OSError, ValueError
        ):  # the peer may be gone, or in the middle of a handshake
            if self.tls is not None and goodbye and self._may_say_goodbye:
                self._may_say_goodbye = False
                with contextlib.suppress(ssl.SSLError):
                    self.tls.unwrap()
                self.flush()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Resets the TCP connection."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.activity.changed:
            self.socket.close()

    def drain(self) -> None:
        """Discards what arrives until the peer is gone: to close earlier could reset what was sent to it."""
        with contextlib.suppress(OSError):
            while self.socket.fileno() != -1 and self._from_socket(CHUNK):
                pass

    def _pump(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self.flush()
                if data := self._from_socket(CHUNK):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    def _from_socket(self, size: int) -> bytes:
        self.activity.wait(self.socket)
        data = self.socket.recv(size)
        self._arrived(data)
        return data

    def _arrived(self, data: bytes) -> None:
        """Called with every chunk as it came off the wire."""

    def _delivered(self, data: bytes) -> bytes:
        """Called with application data on its way to the reader."""
        return data
