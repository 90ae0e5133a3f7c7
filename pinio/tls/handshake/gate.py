"""The state of one connection, as a table; it decides whether application bytes may flow.

Rule 1: every transition is in `TRANSITIONS`; any other is an error and changes nothing.
Rule 2: the gate opens for a `Permit` and for nothing else; `pinio.core.verify` alone makes one.
Rule 3: between VERIFYING and PERMITTED nothing leaves; application bytes exist in OPEN only.

PERMITTED is provisional. With TLS 1.2 the chain is known while the client's final flight is still
unsent, so it is judged there; whether the peer finishes its own half is not known yet, and until
then no Permit is published, no observer called.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pinio.core.decision import Permit


class State(StrEnum):
    """Where a connection is."""

    IDLE = "idle"
    HANDSHAKING = "handshaking"
    VERIFYING = "verifying"
    PERMITTED = "permitted"
    OPEN = "open"
    CLOSING = "closing"
    REFUSED = "refused"
    CLOSED = "closed"


class Event(StrEnum):
    """What can happen to it."""

    START = "start"
    CHAIN_KNOWN = "chain known"
    PERMIT = "permit"
    HANDSHAKE_DONE = "handshake done"
    SHUTDOWN = "shutdown"
    CLOSED_BY_PEER = "closed by peer"
    FAIL = "fail"


# Before Python 3.12 a member of an enum costs ten times what a global does, and these are asked for
# with every record.
IDLE, HANDSHAKING, VERIFYING, PERMITTED, OPEN, CLOSING, REFUSED, CLOSED = State
START, CHAIN_KNOWN, PERMIT, HANDSHAKE_DONE, SHUTDOWN, CLOSED_BY_PEER, FAIL = Event

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    IDLE: {START: HANDSHAKING, FAIL: CLOSED},
    # The client's final flight is made and the chain verified (TLS 1.2), or the handshake returned.
    HANDSHAKING: {CHAIN_KNOWN: VERIFYING, FAIL: REFUSED},
    VERIFYING: {PERMIT: PERMITTED, FAIL: REFUSED},
    PERMITTED: {HANDSHAKE_DONE: OPEN, FAIL: CLOSED},
    OPEN: {SHUTDOWN: CLOSING, FAIL: CLOSED},
    CLOSING: {CLOSED_BY_PEER: CLOSED, FAIL: CLOSED},
    REFUSED: {},
    CLOSED: {},
}


class GateError(RuntimeError):
    """A transition that is not in the table: a defect of pinio, never of a peer."""


class Gate:
    """One connection's state, and its Permit once the handshake is done."""

    __slots__ = ("_pending", "permit", "state")

    def __init__(self) -> None:
        self.state = IDLE
        self.permit: Permit | None = None
        """The Permit of a connection that has been open; None before."""
        self._pending: Permit | None = None

    def advance(self, event: Event) -> None:
        """Take a transition other than those that need a Permit.

        Raises `GateError` if the table has none.
        """
        if event is PERMIT or event is HANDSHAKE_DONE:
            raise GateError(f"{event} takes a Permit")
        self._take(event)

    def permit_by(self, permit: Permit) -> None:
        """VERIFYING → PERMITTED. Raises `TypeError` for anything but a Permit."""
        if type(permit) is not Permit:
            raise TypeError(f"the gate opens for a Permit, not for {type(permit).__name__}")
        self._take(PERMIT)
        self._pending = permit

    def open(self) -> Permit:
        """PERMITTED → OPEN: publish the Permit."""
        permit = self._pending
        if permit is None:
            raise GateError("the gate has no Permit to open with")
        self._take(HANDSHAKE_DONE)
        self.permit = permit
        return permit

    def renew(self, permit: Permit) -> None:
        """Replace the Permit of an OPEN or CLOSING connection after its policy was replaced.

        Raises `GateError` in any other state.
        """
        if type(permit) is not Permit or self.state not in (OPEN, CLOSING):
            raise GateError(
                f"{type(permit).__name__} cannot renew a connection that is {self.state}"
            )
        self.permit = permit

    def fail(self) -> None:
        """Let no application byte through from here on, whatever the state. Idempotent."""
        if TRANSITIONS[self.state]:
            self._take(FAIL)

    def _take(self, event: Event) -> None:
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError:
            raise GateError(f"{event!r} while {self.state!r}") from None

    def __repr__(self) -> str:
        return f"<Gate {self.state}>"
