"""Blocking bytes over one socket, in clear or through TLS held in memory.

TLS runs on two memory BIOs instead of on the socket. That is what lets a test server put
application data into the very segment that ends its handshake, inject bytes beneath TLS, or vanish
without saying goodbye.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

from pinio.testing.activity import Activity, poll

CHUNK = 65_536


class Stream:
    """One end of a connection. Not for use by two threads at once.

    Args:
        sock: a connected, blocking TCP socket, owned by the stream from now on.
        activity: told whenever this stream waits for its peer.

    Attributes:
        tls: the TLS object, from the handshake on.
        ended: the peer has closed, and all that it sent was read.
    """

    def __init__(self, sock: socket.socket, activity: Activity) -> None:
        self.socket = sock
        self.tls: ssl.SSLObject | None = None
        self.ended = False
        self.activity = activity
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._may_say_goodbye = False
        self._draining = False

    def handshake(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> ssl.SSLObject:
        """Complete a TLS handshake, all but sending this side's last flight.

        That flight leaves with the first `sendall`, in one segment with its data, or alone with
        `flush`.

        Raises:
            ssl.SSLError: the handshake failed; the alert that says so has been sent.
            OSError: the peer went away.
        """
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        try:
            while not self._shook_hands(self.tls):
                self.flush()
                self.activity.wait((self.socket,))
                self.fill()
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                self.flush()
            raise
        self._may_say_goodbye = True
        return self.tls

    def recv(self, size: int = CHUNK) -> bytes:
        """Return up to `size` bytes of application data, and `b""` once the peer has closed in good order.

        Raises:
            ssl.SSLEOFError: TCP ended without TLS's close_notify.
            OSError: the connection broke.
        """
        while not (data := self._read(size)) and not self.ended:
            self.activity.wait((self.socket,))
            self.fill()
        return data

    def read_available(self) -> bytes:
        """Return all the application data that has already been taken off the socket, without waiting."""
        return b"".join(iter(lambda: self._read(CHUNK), b""))

    def fill(self) -> None:
        """Take what the socket holds, blocking if that is nothing."""
        data = self.socket.recv(CHUNK)
        self._arrived(data)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def sendall(self, data: bytes) -> None:
        """Send application data. Raises OSError when the peer is gone."""
        for start in range(0, len(data), CHUNK):
            self.activity.sendall(self.socket, self.seal(data[start : start + CHUNK]))
        self.flush()

    def seal(self, data: bytes) -> bytes:
        """Return what has to be sent for the peer to read `data`, and whatever else TLS still had to say."""
        if self.tls is None:
            return data
        if data:
            self.tls.write(data)
        return self._outgoing.read()

    def flush(self) -> None:
        """Send what TLS has produced and nobody has sent yet."""
        if self._outgoing.pending:
            self.activity.sendall(self.socket, self._outgoing.read())

    def send_raw(self, data: bytes) -> None:
        """Send bytes beneath TLS, where only records belong."""
        self.flush()
        self.activity.sendall(self.socket, data)

    def close(self, *, goodbye: bool = True) -> None:
        """End this side's half: TLS's close_notify (if `goodbye`), then TCP's FIN. Reading can go on."""
        with contextlib.suppress(OSError):  # the peer may be gone already
            if self.tls is not None and goodbye and self._may_say_goodbye:
                self._may_say_goodbye = False
                with contextlib.suppress(ssl.SSLError):
                    self.tls.unwrap()
            self.flush()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Reset the TCP connection."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.activity.changed:
            self.socket.close()

    @property
    def unread(self) -> bool:
        """Whether bytes wait here that nobody has read, while the thread waits for something else.

        The caller holds the lock.
        """
        if self._draining:
            return False
        if self._incoming.pending or (self.tls is not None and self.tls.pending()):
            return True
        if self._incoming.eof:  # the end was read; a socket at its end stays readable for ever
            return False
        return self.socket.fileno() != -1 and bool(poll((self.socket,), timeout=0).to_read)

    def drain(self) -> None:
        """Discard what arrives until the peer is gone: to close earlier could reset what was sent to it."""
        self._draining = True
        with contextlib.suppress(OSError):
            while self.socket.fileno() != -1:
                self.activity.wait((self.socket,))
                if not self.socket.recv(CHUNK):
                    return

    @staticmethod
    def _shook_hands(tls: ssl.SSLObject) -> bool:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _read(self, size: int) -> bytes:
        """Read what the incoming BIO holds; sets `ended` at the end."""
        if self.tls is None:
            data = self._incoming.read(size)
            self.ended = self._incoming.eof
            return self._delivered(data)
        try:
            data = self.tls.read(size)
            self.ended = not data
        except ssl.SSLWantReadError:
            data = b""
        except ssl.SSLZeroReturnError:  # how a close reads when this side has said goodbye before
            data = b""
            self.ended = True
        self.flush()
        return self._delivered(data)

    def _arrived(self, data: bytes) -> None:
        """Note bytes as they came off the wire."""

    def _delivered(self, data: bytes) -> bytes:
        """Note application data on its way to the reader."""
        return data
