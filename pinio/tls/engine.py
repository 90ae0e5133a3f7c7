"""TLS without I/O: ciphertext in, ciphertext and plaintext out. No asyncio, no sockets.

Two memory BIOs and an `SSLObject`. While it shakes hands, the engine lets nothing out that the judge has not let pass; once
the handshake is done, its `read` and `write` are the bound methods of the C object, and the caller does the rest.

A memory BIO keeps the largest size it ever had. So that an idle connection stays small after bulk traffic, callers feed
and drain it in slices of at most `SLICE` bytes.
"""

from __future__ import annotations

import ssl
from typing import Final

from pinio.tls import peer
from pinio.tls.gate import Event, State
from pinio.tls.judgement import Judgement
from pinio.tls.sessions import Offer, SessionCache

RECORD: Final = 16384
"""Most plaintext bytes in one TLS record (RFC 8446 section 5.1): a read of that size takes a whole one."""
SLICE: Final = 32768
"""Most bytes that a BIO is given at once."""


class Engine:
    """One connection's TLS object, its two BIOs, its judge, and the session it may resume or leave behind."""

    __slots__ = (
        "_handshake", "_offer", "_sessions", "incoming", "judgement", "outgoing", "pending", "read", "shutdown", "tls", "write"
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        judgement: Judgement,
        sessions: SessionCache | None = None,
        offer: Offer | None = None,
    ) -> None:
        self.judgement = judgement
        self._sessions = sessions
        self._offer = offer
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_hostname=judgement.endpoint.host,
            session=None if offer is None else offer.session,
        )
        raw = peer.raw(self.tls)
        self._handshake = raw.do_handshake
        self.read = raw.read
        """`read(size)` → plaintext, `b""` at the peer's close_notify; `read(size, buffer)` → bytes written to it."""
        self.write = raw.write
        self.pending = raw.pending
        self.shutdown = raw.shutdown

    def start(self) -> None:
        """Begin the handshake; then `take` what is to be sent."""
        self.judgement.gate.advance(Event.START)
        self.handshake()

    def handshake(self) -> bool:
        """Go as far as the bytes received allow; True once it is done and judged.

        Raises `PinVerificationError` where the judge refuses and `ssl.SSLError` where TLS fails; then nothing more can be
        taken from this engine, and a session that was offered is forgotten.
        """
        try:
            try:
                self._handshake()
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    self.judgement.flight_ready(self.tls)
                return False
            self.judgement.handshake_done(self.tls)
        except BaseException:
            self.judgement.gate.fail()
            if self._offer is not None and self._sessions is not None:
                self._sessions.drop(self.tls.context, self.judgement.endpoint, self._offer)
            raise
        return True

    def keep_session(self) -> bool:
        """Keep the session of an open connection for the next one; False while its ticket has not arrived.

        With TLS 1.3 the ticket comes after the handshake and is seen by a read, so this is called after the first ones.
        """
        if self._sessions is None or (session := self.tls.session) is None:
            return True
        once = self.tls.version() != "TLSv1.2"
        if not session.has_ticket and (once or not session.id):
            return False
        if (evidence := self.judgement.vouch()) is not None:
            self._sessions.keep(
                self.tls.context, self.judgement.endpoint, Offer(session, evidence), once=once
            )
        return True

    def take(self) -> bytes:
        """Ciphertext to send; nothing once the peer was refused."""
        state = self.judgement.gate.state
        return b"" if state is State.REFUSED or state is State.CLOSED else self.outgoing.read()
