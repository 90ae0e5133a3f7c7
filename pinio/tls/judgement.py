"""One connection before its judge: from a TLS object in mid-handshake to a Permit, or to an error.

The raw doors and the context door meet here, so that there is one verdict and one place where it is asked. Theory of
operation: whoever drives the handshake calls `flight_ready` each time that OpenSSL wants to read while bytes to send are
pending, and `handshake_done` when it returned, and sends nothing in between. Either returns quietly, or raises what refuses
the connection; then the pending bytes, the client's final flight, must be thrown away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Endpoint
from pinio.core.verify import judge
from pinio.errors import PinVerificationError
from pinio.tls import peer
from pinio.tls.gate import Event, Gate, State
from pinio.tls.profile import Profile
from pinio.typing import Observer

logger = logging.getLogger("pinio")
_Result = TypeVar("_Result")


class Judgement:
    """Endpoint, profile, gate and observer of one connection."""

    __slots__ = ("_chain", "clock", "endpoint", "gate", "observer", "profile")

    def __init__(
        self,
        endpoint: Endpoint,
        profile: Profile,
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.observer = observer
        self.clock = clock
        self.gate = Gate()
        self._chain: VerifiedChain | None = None

    def flight_ready(self, tls: peer.TLSObject) -> None:
        """Judge early, if the chain is known already. Raises `PinVerificationError` to refuse."""
        if self.gate.state is State.HANDSHAKING and self.endpoint.needs_chain:
            self._guard(self._judge_early, tls)

    def handshake_done(self, tls: peer.TLSObject) -> Permit:
        """Judge, or confirm what was judged early, and open the gate. Raises `PinVerificationError` to refuse."""
        permit = self._guard(self._judge_finally, tls)
        self._tell(permit)
        return permit

    def _judge_early(self, tls: peer.TLSObject) -> None:
        chain = self._verified(tls)
        if chain is not None:
            self._decide(chain, tls)

    def _judge_finally(self, tls: peer.TLSObject) -> Permit:
        if self.gate.state is State.HANDSHAKING:
            self._decide(self._verified(tls) if self.endpoint.needs_chain else None, tls)
        if self._chain is not None:
            self._compare_witnesses(self._chain, tls)
        return self.gate.open()

    def _verified(self, tls: peer.TLSObject) -> VerifiedChain | None:
        chain = peer.verified_chain(tls)
        if chain is None:
            return None
        # Under "leaf-pin" nobody verified what lies above the leaf, so nobody gets to see it.
        return VerifiedChain(chain[:1] if self.profile.trust == "leaf-pin" else chain)

    def _decide(self, chain: VerifiedChain | None, tls: peer.TLSObject) -> None:
        self.gate.advance(Event.CHAIN_KNOWN)
        if not self.profile.holds_for(tls):
            raise self.refuse("JUDGEMENT_FAILED", "the TLS context does not verify as it did when it was made")
        decision = judge(self.endpoint, chain, self.clock())
        if isinstance(decision, Refusal):
            raise self._refused(decision)
        self._chain = chain
        self.gate.permit_by(decision)

    def _compare_witnesses(self, judged: VerifiedChain, tls: peer.TLSObject) -> None:
        """After a full handshake three sources name the leaf; a TLS library that was tampered with may forget one."""
        if any(leaf != judged.leaf.der for leaf in peer.leaves(tls)):
            raise self.refuse("WITNESSES_DISAGREE")

    def _guard(self, step: Callable[[peer.TLSObject], _Result], tls: peer.TLSObject) -> _Result:
        """Whatever goes wrong while judging refuses the connection."""
        try:
            return step(tls)
        except PinVerificationError:
            raise
        except Exception as error:
            raise self.refuse("JUDGEMENT_FAILED", type(error).__name__) from error

    def refuse(self, reason: str, detail: str | None = None) -> PinVerificationError:
        """Close the gate for good, tell the observer, and return the error to raise."""
        endpoint = self.endpoint
        return self._refused(
            Refusal(
                reason, endpoint.host, endpoint.port, revision=endpoint.policy.revision, time=self.clock(), detail=detail,
                chain=self._chain, noted=endpoint.rule,
            )
        )  # fmt: skip

    def _refused(self, refusal: Refusal) -> PinVerificationError:
        self.gate.fail()
        self._tell(refusal)
        return refusal.error()

    def _tell(self, decision: Permit | Refusal) -> None:
        """An observer hears about decisions; it cannot change or delay them by failing."""
        try:
            self.observer(decision)
        except Exception:
            logger.exception("the observer of a pinned connection failed")
