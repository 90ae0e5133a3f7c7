"""Delivers plaintext from the engine to the application.

Nothing is queued here: while the application has paused, data stays encrypted in the engine.

The application's protocol decides among three ways. A plain `Protocol` may keep what it is given
and gets one record after another. A `BufferedProtocol` gets them in its own buffer. asyncio's
stream reader copies, and gets all records of one read from the memory of the loop.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal, TypeAlias, cast

from pinio.tls.connection.asyncio_streams import copies
from pinio.tls.connection.engine import RECORD, BothClosed, Engine, EngineError, NeedsInput
from pinio.tls.handshake.gate import OPEN

OVERRUN: Final = 1024 * 1024
"""Most bytes that are read from a peer after our close_notify.

Some data crosses the close_notify; a peer that sends more ignores it. Also the most bytes of
KeyUpdate replies that wait for a peer that does not read.
"""


Ending: TypeAlias = Literal["clean", "ragged", "overrun"]
"""How a peer ended: with a close_notify, without one, or by ignoring ours."""


Outcome: TypeAlias = Literal["more", "empty", "ended"]
"""Of one step: more may follow, nothing is left for now, or the peer sent close_notify."""


class Delivery:
    """Hands one connection's plaintext to the application's protocol."""

    __slots__ = (
        "_discarded",
        "_engine",
        "_filled",
        "_gate",
        "_plain",
        "_step",
        "app",
        "more",
        "paused",
    )

    def __init__(self, engine: Engine, app: asyncio.BaseProtocol, plain: memoryview) -> None:
        self._engine = engine
        self._gate = engine.judge.gate
        self._discarded = 0
        self._plain = plain
        self._filled = 0
        self.paused = False
        """Whether the application asked for a pause."""
        self.more = False
        """Whether ciphertext of the same read of the loop is still to come."""
        self.set_app(app)

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        """Deliver to `app` from the next record on."""
        self.app = app
        self._step = (
            Delivery._fill
            if isinstance(app, asyncio.BufferedProtocol)
            else Delivery._gather
            if copies(app)
            else Delivery._hand_over
        )

    def pending(self) -> int:
        """Bytes that the engine holds, encrypted and decrypted; perhaps not a whole record."""
        return self._engine.incoming.pending + self._engine.pending()

    def run(self) -> bool:
        """Deliver what has arrived, until the application pauses or closes.

        Returns True at the peer's close_notify. Raises what the application's callback raises, and
        `EngineError` for a broken record.
        """
        gate = self._gate
        while not self.paused and gate.state is OPEN:
            outcome = self._step(self)
            if outcome != "more":
                return outcome == "ended"
        return False

    def _hand_over(self) -> Outcome:
        """Deliver one record to a protocol that may keep it."""
        try:
            data = self._engine.read(RECORD)
        except NeedsInput:
            return "empty"
        if not data:
            return "ended"
        cast(asyncio.Protocol, self.app).data_received(data)
        # A read of RECORD bytes leaves none of its record behind, so an empty BIO means that there
        # is no more. That spares the read that would only raise.
        return "more" if self._engine.incoming.pending else "empty"

    def _gather(self) -> Outcome:
        """Deliver all records of one read of the loop to a stream reader.

        One call for all: the reader wakes its task for each piece, and pauses for each above its
        limit. It copies, so that the next piece can be decrypted into the same memory.
        """
        read, incoming, plain, filled = (
            self._engine.read,
            self._engine.incoming,
            self._plain,
            self._filled,
        )
        room = len(plain) - RECORD  # as long as no more is filled than that, the next record fits
        outcome: Outcome = "empty"
        try:
            while count := read(RECORD, plain[filled:]):
                filled += count
                if not incoming.pending:
                    break
                if filled > room:
                    outcome = "more"
                    break
            else:
                outcome = "ended"
        except NeedsInput:
            pass
        except EngineError:
            self._give(filled)  # what came before it is still good
            raise
        if self.more and outcome == "empty" and filled <= room:
            self._filled = filled
        else:
            self._give(filled)
        return outcome

    def _give(self, filled: int) -> None:
        self._filled = 0
        if filled:
            lent = self._plain[:filled]
            try:
                cast(Any, self.app).data_received(lent)
            finally:
                # A patched reader that keeps it must not see other connections' data.
                lent.release()

    def _fill(self) -> Outcome:
        """Deliver as many records as fit into the application's own buffer."""
        app, read, pending = (
            cast(asyncio.BufferedProtocol, self.app),
            self._engine.read,
            self.pending,
        )
        outcome: Outcome = "more"
        broken: EngineError | None = None
        filled = 0
        # Both views are given back before the application is told, for it may want to resize what
        # is under them.
        with memoryview(app.get_buffer(pending())) as view, view.cast("B") as buffer:
            if not buffer:
                raise RuntimeError("get_buffer() returned an empty buffer")
            size = len(buffer)
            try:
                while filled < size and outcome == "more":
                    count = read(size - filled, buffer[filled:])
                    filled += count
                    outcome = "ended" if not count else "more" if pending() else "empty"
            except NeedsInput:
                outcome = "empty"
            except EngineError as error:
                broken = error  # what came before it is still good
        if filled:
            app.buffer_updated(filled)
        if broken is not None:
            raise broken
        return outcome

    def discard(self) -> Ending | None:
        """Discard application data that crosses our close_notify.

        Returns how the peer ended, None if it has not. Raises `EngineError` for a broken record.
        """
        try:
            while data := self._engine.read(RECORD):
                self._discarded += len(data)
                if self._discarded > OVERRUN:
                    return "overrun"
        except NeedsInput:
            return None
        except BothClosed:  # both sides have sent close_notify
            pass
        return "clean"
