"""TLS without I/O: ciphertext in, ciphertext and plaintext out. No asyncio, no sockets.

Two memory BIOs and a TLS object. While it shakes hands, the engine lets nothing out that the judge
has not let pass; once the handshake is done, its `read` and `write` are the bound methods of the C
object, and the caller does the rest.

A memory BIO keeps the largest size it ever had. So that an idle connection stays small after bulk
traffic, callers feed and drain it in slices of at most `SLICE` bytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

from pinio.core.decision import Refusal
from pinio.tls.context.objects import bind
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import CLOSED, REFUSED
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache

RECORD: Final = 16384
"""Most plaintext bytes in one TLS record (RFC 8446 section 5.1): a read of that size takes a whole one."""
SLICE: Final = 5 + RECORD + 256
"""Most bytes of ciphertext that a BIO is given at once: the longest record (RFC 8446 section 5.2)."""


class OpenSSLEngine:
    """One connection's TLS object, its two BIOs and its handshake."""

    __slots__ = (
        "_do_handshake", "_handshake", "incoming", "judge", "outgoing", "pending", "read", "shutdown", "tls", "write"
    )  # fmt: skip

    def __init__(self, context: ssl.SSLContext, handshake: Handshake) -> None:
        self._handshake = handshake
        self.judge: Judge = handshake.judge
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_hostname=self.judge.endpoint.host.encode(
                "ascii"
            ),  # `ssl` has an IDNA codec for text
            session=handshake.session,
        )
        bind(self.tls, handshake, self.outgoing)
        raw = peer.raw(self.tls)
        self._do_handshake = raw.do_handshake
        read, shutdown = raw.read, raw.shutdown
        if handshake.answers:
            read, shutdown = self._checked(read), self._checked(shutdown)
        self.read = read
        """`read(size)` → plaintext, `b""` at the peer's close_notify; `read(size, buffer)` → bytes written to it."""
        self.write = raw.write
        self.pending = raw.pending
        self.shutdown = shutdown

    def _checked(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """`step`, within which OpenSSL may answer a request for the client's certificate."""
        check, outgoing = self._handshake.check_answer, self.outgoing

        def checked(*arguments: Any) -> Any:  # without `self`: no cycle
            try:
                return step(*arguments)
            finally:
                check(outgoing)

        return checked

    def handshake(self) -> bool:
        """Go as far as the bytes received allow; True once it is done and judged.

        Raises `PinVerificationError` where the judge or OpenSSL refuses the peer and
        `TLSFailedError` where TLS fails; then nothing more can be taken from this engine.
        """
        try:
            self._handshake.step(self.tls, self._do_handshake, self.outgoing)
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def sessions(self) -> SessionCache | None:
        """Where the session is kept; None where none is."""
        return self._handshake.sessions

    def heard(self) -> bool:
        """The peer said something: keep the session for the next connection; False while its ticket has not arrived."""
        return self._handshake.heard(self.tls)

    @property
    def again(self) -> bool:
        """Whether the handshake failed in a way in which a full one, on a new connection, may not."""
        trial = self._handshake.trial
        return trial is not None and trial.again

    def invalidate_session(self, error: OSError) -> Refusal | None:
        """The open connection broke: its session may not be worth resuming. Returns the refusal to raise instead, if any."""
        return self._handshake.invalidate_session(self.tls, error)

    def ended(self, error: BaseException | None) -> None:
        """The connection ended within the handshake; None by the caller's wish."""
        self._handshake.ended(error)

    def recheck(self) -> None:
        """Judge an open connection again if its policy was swapped or has expired; two comparisons if not.

        Raises `PinVerificationError` if the policy in force now does not allow it; then nothing is
        left to send.
        """
        self._handshake.recheck(self.outgoing)

    def take(self) -> bytes:
        """Ciphertext to send; nothing once the peer was refused."""
        state = self.judge.gate.state
        return b"" if state is REFUSED or state is CLOSED else self.outgoing.read()
