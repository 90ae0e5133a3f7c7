"""The judge of one connection: from the peer's facts to a Permit, or to an error.

All entry points meet here, so that there is one verdict. The driver of the handshake calls
`flight_ready` each time that the TLS library wants to read while bytes to send are pending, and
`handshake_done` when the handshake is done, and sends nothing in between. Either returns, or raises
what refuses the connection; then the driver must discard the pending bytes, which are the client's
final flight.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.evidence import Evidence, Moment
from pinio.core.policy import Endpoint, Policy
from pinio.core.verify import judge
from pinio.errors import PinVerificationError
from pinio.reporting import notify
from pinio.tls.config.profile import Profile
from pinio.tls.handshake.facts import PeerFacts
from pinio.tls.handshake.failure import refusal_of, refusal_of_identity
from pinio.tls.handshake.gate import CHAIN_KNOWN, HANDSHAKING, Gate
from pinio.tls.handshake.sessions import now
from pinio.tls.handshake.witness import witness
from pinio.typing import Observer, PolicySource

_Result = TypeVar("_Result")


class Judge:
    """Judges one connection, and again while it is open.

    Holds its endpoint, profile, gate and observer, and the evidence of the session that it offers.
    """

    __slots__ = (
        "_chain",
        "_evidence_age",
        "_moment",
        "clock",
        "endpoint",
        "evidence",
        "expires_at",
        "for_proxy",
        "gate",
        "observer",
        "profile",
        "source",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        profile: Profile,
        observer: Observer,
        *,
        source: PolicySource | None = None,
        evidence: Evidence | None = None,
        clock: Callable[[], Moment] = now,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.observer = observer
        self.source = source
        """The source of the policy, which may get a newer one; None if the policy is fixed."""
        self.clock = clock
        self.gate = Gate()
        self.evidence = evidence
        """Of the session that is offered; None where none is, and after a full handshake."""
        self.expires_at: float | None = None
        """When the pins that matched expire, in POSIX seconds; None if they do not."""
        self.for_proxy = False
        """Whether the peer is a proxy, which may pass on plaintext from somewhere else."""
        self._chain: VerifiedChain | None = None
        self._evidence_age: float | None = None
        self._moment: Moment | None = None

    def check_profile(self, facts: PeerFacts) -> None:
        """Compare how the TLS library verifies with the profile.

        Called when the TLS object is made, which keeps the verify mode of that moment, and again
        when the peer is judged. Raises `JudgementError` where they differ.
        """
        if not verifies_as(facts, self.profile):
            raise self.refuse(
                "JUDGEMENT_FAILED", "the TLS context does not verify as its profile says"
            )

    def flight_ready(self, facts: PeerFacts) -> None:
        """Judge early, if the peer has proven its key (TLS 1.2).

        Raises `PinVerificationError` to refuse.
        """
        if self.gate.state is HANDSHAKING and self.endpoint.needs_chain:
            self._guard(self._judge_early, facts)

    def handshake_done(self, facts: PeerFacts) -> Permit:
        """Judge, or confirm what was judged early, and open the gate.

        Raises `PinVerificationError` to refuse.
        """
        permit = self._guard(self._judge_finally, facts)
        notify(self.observer, permit)
        return permit

    def recheck(self) -> None:
        """Judge an open connection again if its policy was replaced or its pins have expired.

        Costs two comparisons otherwise. Raises `PinVerificationError` if it is not allowed
        now, and closes the gate.
        """
        try:
            policy = self.endpoint.policy
            current = policy if self.source is None else self.source.current
            if current is not policy or (self.expires_at is not None and self.expired):
                self._judge_again(current)
        except PinVerificationError:
            raise
        except Exception as error:
            raise self.refuse("JUDGEMENT_FAILED", type(error).__name__) from error

    @property
    def expired(self) -> bool:
        """Whether pins have expired since the connection was judged."""
        return self.expires_at is not None and self.clock().wall >= self.expires_at

    def recheck_identity(self) -> None:
        """Judge again, as `recheck` does, before the client's certificate is shown on request."""
        self.recheck()
        if self.endpoint.rule.pin_set is None and self.profile.settings.identities:
            detail = "it may ask for the client certificate, which is shown to pinned hosts only"
            raise self.refuse("UNPINNED_HOST", detail)

    def _judge_again(self, policy: Policy) -> None:
        endpoint, decision = self.hold_against(policy)
        if isinstance(decision, Refusal):
            raise self._refused(decision)
        before = self.gate.permit
        self.endpoint = endpoint
        self.expires_at = endpoint.next_expiry(decision.time)
        self.gate.renew(decision)
        # What is waived from now on is told, once.
        if decision.report is not None and (
            before is None or type(before.verdict) is not type(decision.verdict)
        ):
            notify(self.observer, decision)

    def hold_against(self, policy: Policy) -> tuple[Endpoint, Permit | Refusal]:
        """The decision of another policy on this connection, now; has no effect."""
        before, moment = self.endpoint, self.clock()
        try:
            endpoint = policy.endpoint(before.host, before.port, url_host=before.url_host)
        except PinVerificationError as error:
            return before, error.refusal
        if Profile.of(endpoint, engine=self.profile.engine).identity != self.profile.identity:
            # A chain that was not verified, or under other anchors, is no evidence for this policy.
            detail = "the policy verifies this host in another way than when it was connected"
            return endpoint, self._refusal(endpoint, "NO_VERIFIED_CHAIN", detail)
        # An open connection stays open when a clock is set back, although the age of its evidence
        # is unknown then.
        age = None if self.evidence is None else moment.since(self.evidence.seen) or 0.0
        return endpoint, judge(
            endpoint, self._chain, moment.wall, age, witness, self.profile.engine
        )

    def _judge_early(self, facts: PeerFacts) -> None:
        # Under TLS 1.3 a chain that is known in mid-handshake proves nothing: it can be replayed.
        if not facts.proven_early:
            return
        chain = self._verified(facts)
        if chain is not None:
            self._decide(facts, chain, self.clock())

    def _judge_finally(self, facts: PeerFacts) -> Permit:
        moment = self.clock()
        if facts.resumed:
            self._judge_resumed(facts, moment)
        else:
            if self.gate.state is HANDSHAKING:
                self._decide(
                    facts, self._verified(facts) if self.endpoint.needs_chain else None, moment
                )
            if self._chain is not None:
                self._compare_witnesses(self._chain.leaf.der, facts)
            self.evidence, self._moment = None, moment
        return self.gate.open()

    def session_evidence(self) -> Evidence | None:
        """Evidence for the session of an open connection; None if no pin matched.

        A resumed connection inherits the evidence, and with it the age, of the session that it
        resumed.
        """
        permit = self.gate.permit
        if permit is None or not permit.pinned or self._chain is None or self._moment is None:
            return self.evidence  # of the session that was resumed; there is no moment then
        return Evidence.of(self.endpoint.host, self._chain, self.profile.identity, self._moment)

    def _judge_resumed(self, facts: PeerFacts, moment: Moment) -> None:
        """Judge a resumed session, which shows no chain, by the evidence of its full handshake.

        The policy is the one in force now. Without evidence (a session that was not offered here, a
        pre-shared key from elsewhere) there is nothing to judge. The leaf is the TLS library's own
        copy from the session: comparing it detects a mixed-up cache, no more.
        """
        evidence = self.evidence
        if evidence is None:
            raise self.refuse(
                "NO_VERIFIED_CHAIN", "a session was resumed that nobody here has offered"
            )
        elapsed = moment.since(evidence.seen)
        self._evidence_age = 0.0 if elapsed is None else elapsed
        if elapsed is None:
            raise self.refuse(
                "NO_VERIFIED_CHAIN", "a clock ran backwards, so nobody knows how old the session is"
            )
        if evidence.host != self.endpoint.host:
            raise self.refuse("WITNESSES_DISAGREE", "the session was made with another host")
        self._decide(facts, evidence.chain, moment, elapsed)
        if evidence.chain.leaf.der != facts.leaf:
            raise self.refuse("WITNESSES_DISAGREE")

    def _verified(self, facts: PeerFacts) -> VerifiedChain | None:
        chain = facts.verified_chain()
        if chain is None:
            return None
        # Under "leaf-pin" what lies above the leaf is not verified: do not pass it on.
        return VerifiedChain(chain[:1] if self.profile.trust == "leaf-pin" else chain)

    def _decide(
        self,
        facts: PeerFacts,
        chain: VerifiedChain | None,
        moment: Moment,
        evidence_age: float | None = None,
    ) -> None:
        self.gate.advance(CHAIN_KNOWN)
        self.check_profile(facts)
        decision = judge(
            self.endpoint, chain, moment.wall, evidence_age, witness, self.profile.engine
        )
        if isinstance(decision, Refusal):
            raise self._refused(decision)
        self._chain = chain
        self.expires_at = self.endpoint.next_expiry(moment.wall)
        self.gate.permit_by(decision)

    def _compare_witnesses(self, leaf: bytes, facts: PeerFacts) -> None:
        """Compare the sources that name the leaf after a full handshake; tampering may miss one."""
        seen = facts.leaves()
        if not seen or any(other != leaf for other in seen):
            raise self.refuse("WITNESSES_DISAGREE")

    def _guard(self, step: Callable[[PeerFacts], _Result], facts: PeerFacts) -> _Result:
        """Run a step of judging; any error of it refuses the connection."""
        try:
            return step(facts)
        except PinVerificationError:
            raise
        except Exception as error:
            raise self.refuse("JUDGEMENT_FAILED", type(error).__name__) from error

    def failed(self, facts: PeerFacts, error: BaseException, *, told: bool) -> Refusal | None:
        """The refusal for an error of the handshake; None if TLS did not fail.

        With `told` the observer is called with it.
        """
        refusal = refusal_of(error, self.endpoint, facts, self.clock().wall)
        return self._heard(refusal) if told else refusal

    def identity_refused(self, facts: PeerFacts, error: ssl.SSLError) -> Refusal | None:
        """The refusal where the peer of an open connection rejects the client's certificate."""
        return self._heard(refusal_of_identity(error, self.endpoint, facts, self.clock().wall))

    def _heard(self, refusal: Refusal | None) -> Refusal | None:
        if refusal is not None:
            self.gate.fail()
            notify(self.observer, refusal)
        return refusal

    def refuse(self, reason: str, detail: str | None = None) -> PinVerificationError:
        """Close the gate for good, tell the observer, and return the error to raise."""
        return self._refused(self._refusal(self.endpoint, reason, detail))

    def _refusal(self, endpoint: Endpoint, reason: str, detail: str | None) -> Refusal:
        return Refusal(
            reason, endpoint.host, endpoint.port, revision=endpoint.policy.revision,
            time=self.clock().wall, detail=detail, chain=self._chain, noted=endpoint.rule,
            evidence_age=self._evidence_age,
        )  # fmt: skip

    def _refused(self, refusal: Refusal) -> PinVerificationError:
        self._heard(refusal)
        return cast(PinVerificationError, refusal.error())


def verifies_as(facts: PeerFacts, profile: Profile) -> bool:
    """Whether the TLS library still verifies as a profile says."""
    if profile.trust == "leaf-pin":
        return not facts.requires_verification
    return facts.requires_verification and facts.checks_names
