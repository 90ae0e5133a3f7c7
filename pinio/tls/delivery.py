"""From the engine to the application: plaintext, record by record, in the way that the application's protocol wants it.

Nothing is queued here. What the application does not want yet stays encrypted in the engine.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Literal, TypeAlias, cast

from pinio.tls.engine import RECORD, Engine
from pinio.tls.gate import State

OVERRUN: Final = 1024 * 1024
"""Bytes that a peer may send after our close_notify, which it had no chance to see yet; one that sends more will not stop."""


Ending: TypeAlias = Literal["clean", "ragged", "overrun"]
"""How a peer ended: with a close_notify, without, or not at all, in spite of ours."""


class Delivery:
    """Hands one connection's bytes to whatever protocol is set."""

    __slots__ = ("_buffered", "_discarded", "_engine", "_gate", "app", "paused")

    def __init__(self, engine: Engine, app: asyncio.BaseProtocol) -> None:
        self._engine = engine
        self._gate = engine.judgement.gate
        self._discarded = 0
        self.paused = False
        """Whether the application asked for a pause."""
        self.set_app(app)

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        """Deliver to `app` from the next record on."""
        self.app = app
        self._buffered = isinstance(app, asyncio.BufferedProtocol)

    def pending(self) -> int:
        """Bytes that the engine holds, encrypted and decrypted; perhaps not a whole record."""
        return self._engine.incoming.pending + self._engine.pending()

    def run(self) -> bool:
        """Deliver what has arrived, until the application pauses or closes; True at the peer's close_notify.

        Raises what the application's callback raises, and `ssl.SSLError` for a broken record.
        """
        read, incoming, gate = self._engine.read, self._engine.incoming, self._gate
        while not self.paused and gate.state is State.OPEN:
            if self._buffered:
                outcome = self._fill(cast(asyncio.BufferedProtocol, self.app))
                if outcome == "more":
                    continue
                return outcome == "ended"
            try:
                data = read(RECORD)
            except ssl.SSLWantReadError:
                return False
            if not data:
                return True
            cast(asyncio.Protocol, self.app).data_received(data)
            # A read of RECORD bytes leaves none of its record behind, so an empty BIO means that there is no more. That
            # spares the read that would only raise.
            if not incoming.pending:
                return False
        return False

    def _fill(self, app: asyncio.BufferedProtocol) -> Literal["more", "empty", "ended"]:
        """Read into the application's own buffer, as many records as fit, and say whether there is more to come."""
        read, pending = self._engine.read, self.pending
        outcome: Literal["more", "empty", "ended"] = "more"
        broken: ssl.SSLError | None = None
        filled = 0
        # Both views are given back before the application is told, for it may want to resize what is under them.
        with memoryview(app.get_buffer(pending())) as view, view.cast("B") as buffer:
            size = len(buffer)
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            try:
                while filled < size and outcome == "more":
                    count = read(size - filled, buffer[filled:])
                    filled += count
                    outcome = "ended" if not count else "more" if pending() else "empty"
            except ssl.SSLWantReadError:
                outcome = "empty"
            except ssl.SSLError as error:
                broken = error  # what came before it is still good
        if filled:
            app.buffer_updated(filled)
        if broken is not None:
            raise broken
        return outcome

    def discard(self) -> Ending | None:
        """After our close_notify: drop application data that crossed it; says how the peer ended, None if it has not.

        Raises `ssl.SSLError` for a broken record.
        """
        try:
            while data := self._engine.read(RECORD):
                self._discarded += len(data)
                if self._discarded > OVERRUN:
                    return "overrun"
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:  # how the end reads once both sides have said goodbye
            pass
        return "clean"
