"""What the engines have in common: the handshake, its judge and its sessions.

A subclass says who does the TLS, by the attributes of the interface `Engine`. While it shakes
hands, it lets nothing out that the judge has not let pass.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from pinio.core.decision import Refusal
from pinio.tls.connection.engine import Incoming, Information, Outgoing
from pinio.tls.handshake.facts import PeerFacts
from pinio.tls.handshake.gate import CLOSED, REFUSED
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache


class JudgedEngine:
    """One connection's handshake; implements `Engine` but for who does the TLS.

    Attributes:
        incoming: where ciphertext goes in.
        outgoing: where ciphertext comes out; `take` asks the gate first.
        read: `read(size)` → plaintext, `b""` at the peer's close_notify; `read(size, buffer)` →
            bytes written to the buffer.
        write: `write(data)` encrypts.
        pending: `pending()` → bytes that are decrypted and not read yet.
        shutdown: `shutdown()` says close_notify.
        tls: what the application is shown.
    """

    __slots__ = (
        "_do_handshake", "_facts", "_handshake", "incoming", "judge", "outgoing", "pending", "read", "shutdown", "tls", "write"
    )  # fmt: skip

    incoming: Incoming
    outgoing: Outgoing
    read: Callable[..., Any]
    write: Callable[[Any], object]
    pending: Callable[[], int]
    shutdown: Callable[[], object]
    tls: Information
    _do_handshake: Callable[[], None]
    _facts: PeerFacts

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self.judge: Judge = handshake.judge

    def handshake(self) -> bool:
        """Go as far as the bytes received allow; True once it is done and judged.

        Raises `PinVerificationError` where the judge or the engine refuses the peer and
        `TLSFailedError` where TLS fails; then nothing more can be taken from this engine.
        """
        try:
            self._handshake.step(self._facts, self._do_handshake, self.outgoing)
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def sessions(self) -> SessionCache | None:
        """Where the session is kept; None where none is."""
        return self._handshake.sessions

    def heard(self) -> bool:
        """The peer said something: keep the session for the next connection.

        False while its ticket has not arrived.
        """
        return self._handshake.heard(self._facts)

    @property
    def again(self) -> bool:
        """Whether the handshake failed in a way in which a full one, on a new connection, may not."""
        trial = self._handshake.trial
        return trial is not None and trial.again

    def invalidate_session(self, error: OSError) -> Refusal | None:
        """The open connection broke: its session may not be worth resuming.

        Returns the refusal to raise instead, if any.
        """
        return self._handshake.invalidate_session(self._facts, error)

    def ended(self, error: BaseException | None) -> None:
        """The connection ended within the handshake; None by the caller's wish."""
        self._handshake.ended(error)

    def recheck(self) -> None:
        """Judge an open connection again if its policy was swapped or has expired.

        Two comparisons if not. Raises `PinVerificationError` if the policy in force now does not
        allow it; then nothing is left to send.
        """
        self._handshake.recheck(self.outgoing)

    def take(self) -> bytes:
        """Ciphertext to send; nothing once the peer was refused."""
        state = self.judge.gate.state
        return b"" if state is REFUSED or state is CLOSED else self.outgoing.read()
