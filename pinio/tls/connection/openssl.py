"""The `Engine` of OpenSSL, by the standard library's `ssl`: two memory BIOs and a TLS object.

During the handshake the engine lets nothing out that the judge has not permitted. Afterwards its
`read` and `write` are the bound methods of the C object, so that a record costs no Python call
here.

A memory BIO keeps the largest size that it ever had. So that an idle connection stays small after
bulk traffic, callers feed and drain it in slices of at most `SLICE` bytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from pinio.core.decision import Refusal
from pinio.tls.context.objects import bind
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import CLOSED, REFUSED
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache


class OpenSSLEngine:
    """One connection's TLS object, its two BIOs and its handshake; implements `Engine`."""

    __slots__ = (
        "_do_handshake", "_handshake", "incoming", "judge", "outgoing", "pending", "read",
        "shutdown", "tls", "write",
    )  # fmt: skip

    def __init__(self, context: ssl.SSLContext, handshake: Handshake) -> None:
        self._handshake = handshake
        self.judge: Judge = handshake.judge
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            # As bytes: `ssl` puts text through its IDNA codec.
            server_hostname=self.judge.endpoint.host.encode("ascii"),
            session=handshake.session,
        )
        bind(self.tls, handshake, self.outgoing)
        raw = peer.raw(self.tls)
        self._do_handshake = raw.do_handshake
        read, shutdown = raw.read, raw.shutdown
        if handshake.answers:
            read, shutdown = self._checked(read), self._checked(shutdown)
        self.read: Callable[..., Any] = read
        self.write = raw.write
        self.pending = raw.pending
        self.shutdown = shutdown

    def _checked(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `step`: OpenSSL may answer a request for the client's certificate within it."""
        check, outgoing = self._handshake.check_answer, self.outgoing

        def checked(*arguments: Any) -> Any:  # does not hold `self`, which would be a cycle
            try:
                return step(*arguments)
            finally:
                check(outgoing)

        return checked

    def handshake(self) -> bool:
        """Go as far as the bytes received allow; True once the peer is judged.

        Raises `PinVerificationError` where the judge or OpenSSL refuses the peer and
        `TLSFailedError` where TLS fails; then `take` returns nothing.
        """
        try:
            self._handshake.step(self.tls, self._do_handshake, self.outgoing)
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def sessions(self) -> SessionCache | None:
        """Where sessions are kept; None where the connection does not resume."""
        return self._handshake.sessions

    def heard(self) -> bool:
        """Keep the session after data has arrived; False while no ticket has come."""
        return self._handshake.heard(self.tls)

    @property
    def again(self) -> bool:
        """Whether the handshake failed because of an offered session: dial again in full."""
        trial = self._handshake.trial
        return trial is not None and trial.again

    def invalidate_session(self, error: OSError) -> Refusal | None:
        """Report that the open connection broke; returns the refusal to raise instead, if any."""
        return self._handshake.invalidate_session(self.tls, error)

    def ended(self, error: BaseException | None) -> None:
        """Report that the connection ended during the handshake; None if its caller gave up."""
        self._handshake.ended(error)

    def recheck(self) -> None:
        """Judge an open connection again if its policy was replaced or its pins have expired.

        Costs two comparisons otherwise. Raises `PinVerificationError` if the policy no longer
        allows the connection; then nothing is left to send.
        """
        self._handshake.recheck(self.outgoing)

    def take(self) -> bytes:
        """Take the ciphertext to send; nothing after a refusal."""
        state = self.judge.gate.state
        return b"" if state is REFUSED or state is CLOSED else self.outgoing.read()
