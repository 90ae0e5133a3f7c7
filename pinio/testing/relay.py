"""Passing bytes on between two streams: what interceptors, proxies and bad networks have in common."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from pinio.testing.stream import CHUNK, Stream

# Where it is missing (Windows), a send blocks until the peer reads; only a peer that never does
# would notice.
_DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)


def _forget(_data: bytes) -> None:
    """Keep nothing."""


@dataclass
class Direction:
    """One way through a relay.

    Attributes:
        source: where bytes come from.
        target: where they go to.
        note: told of everything that is passed on.
        limit: the number of application bytes after which the relay stops; `None` for no limit.
        step: the most bytes to send at a time.
    """

    source: Stream
    target: Stream
    note: Callable[[bytes], None] = _forget
    limit: int | None = None
    step: int = CHUNK
    _unsent: bytes = b""
    _closed: bool = False

    @property
    def reached_limit(self) -> bool:
        """All that may pass has been sent."""
        return self.limit == 0 and not self._unsent

    @property
    def sending(self) -> bool:
        """Bytes wait for the target to take them."""
        return bool(self._unsent)

    @property
    def receiving(self) -> bool:
        """The source may be read: nothing older waits, so that memory stays bounded."""
        return not self._unsent and not self.source.ended

    def load(self) -> None:
        """Take over what the source has received, and pass its end on."""
        data = self.source.read_available()
        if self.limit is not None:
            data = data[: self.limit]
            self.limit -= len(data)
        self.note(data)
        self._unsent = self.target.seal(data)
        self._pass_on_end()

    def send(self) -> None:
        """Send what the target takes without blocking. Raises OSError when it is gone."""
        sent = self.target.socket.send(self._unsent[: self.step], _DONT_WAIT)
        self._unsent = self._unsent[sent:]
        self._pass_on_end()

    def _pass_on_end(self) -> None:
        if self.source.ended and not self._unsent and not self._closed and not self.reached_limit:
            self._closed = True
            self.target.close()


def relay(onward: Direction, back: Direction) -> None:
    """Pass bytes on, both ways, until both sides have ended or one direction has reached its limit.

    Raises:
        OSError: one of the two went away without saying goodbye.
    """
    activity = onward.source.activity
    directions = (onward, back)
    for direction in directions:
        direction.load()  # a client's first request may have come along with the end of its handshake
    while not any(direction.reached_limit for direction in directions):
        reading = [direction.source.socket for direction in directions if direction.receiving]
        writing = [direction.target.socket for direction in directions if direction.sending]
        if not reading and not writing:
            return
        ready = activity.wait(reading, writing)
        for direction in directions:
            if direction.sending:
                if direction.target.socket in ready.to_write:
                    direction.send()
            elif direction.receiving and direction.source.socket in ready.to_read:
                direction.source.fill()
                direction.load()
