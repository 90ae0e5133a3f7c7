"""One handshake: asks the judge at the right moments, offers and keeps sessions.

The raw entry points drive it from their `Engine`, the context entry point from the TLS object that
a library holds. Both call `step` with OpenSSL's own `do_handshake`, and send nothing between its
return and that of `step`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final, Protocol

from pinio.core.decision import Refusal
from pinio.core.policy import Endpoint
from pinio.tls.config.profile import Profile
from pinio.tls.handshake.facts import PeerFacts
from pinio.tls.handshake.gate import CLOSING, IDLE, OPEN, START
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import Offer, SessionCache, now, resuming
from pinio.tls.handshake.trial import Trial
from pinio.typing import Observer, PolicySource

_ALERT: Final = 6 + 5 + 8 + 2 + 16
"""Most bytes of an alert (RFC 8446 section 6).

ChangeCipherSpec, header, nonce, alert, tag. A handshake flight has more, and so has an answer to a
request for the client's certificate.
"""


class Outgoing(Protocol):
    """Ciphertext that waits to be sent: a memory BIO, or what an engine has in its place."""

    @property
    def pending(self) -> int:
        """How many bytes wait."""
        ...

    def read(self) -> bytes:
        """Take them all."""
        ...


class Handshake:
    """The judge of one connection, and the sessions that it may use and leave behind."""

    __slots__ = ("_dials_again", "_kept", "judge", "sessions", "trial")

    def __init__(
        self,
        judge: Judge,
        sessions: SessionCache | None = None,
        offer: Offer | None = None,
        trial: Trial | None = None,
        *,
        dials_again: bool = False,
    ) -> None:
        self.judge = judge
        self._dials_again = dials_again
        self.sessions = sessions
        self.trial = trial
        """Of the session that is offered; None if none is, and once the server accepted it."""
        self._kept = offer

    @classmethod
    def prepare(
        cls,
        endpoint: Endpoint,
        profile: Profile,
        configuration: object,
        *,
        observer: Observer,
        resumption: bool | SessionCache,
        source: PolicySource | None = None,
        watched: bool = True,
        dials_again: bool = False,
    ) -> Handshake:
        """Prepare a handshake; it offers a session whose evidence satisfies the policy now, if any.

        `watched` says whether the driver reports every end of the connection, `dials_again` whether
        it dials again for a full handshake where the offer fails.
        """
        sessions = resuming(endpoint, resumption)
        offer = (
            sessions.offer(configuration, endpoint, profile.identity, now())
            if sessions is not None
            else None
        )
        if sessions is None or offer is None:
            return cls(Judge(endpoint, profile, observer, source=source), sessions)
        judge = Judge(endpoint, profile, observer, source=source, evidence=offer.evidence)
        trial = Trial(judge, sessions, configuration, offer, watched=watched)
        return cls(judge, sessions, offer, trial, dials_again=dials_again)

    @property
    def session(self) -> object | None:
        """The session to offer."""
        return self._kept.session if self._kept is not None else None

    def step(
        self, facts: PeerFacts, do_handshake: Callable[[], None], outgoing: Outgoing | None
    ) -> None:
        """Go as far as the bytes received allow; return once the peer is judged.

        Raises `ssl.SSLWantReadError` and `ssl.SSLWantWriteError` as `do_handshake` does,
        `PinVerificationError` where the judge refuses, `CertificateNotVerifiedError` where OpenSSL
        does not verify the certificate, `TLSFailedError` where TLS fails, and whatever an observer
        raises that is no `Exception`. After any failure `outgoing` holds nothing but the alert of a
        TLS failure: what else was in it, such as the client's final flight, is thrown away, so that
        a caller that flushes it cannot complete the handshake.
        """
        judge = self.judge
        tls_failed = False
        begins = judge.gate.state is IDLE
        if begins:
            judge.gate.advance(START)
            if self.trial is not None:
                self.trial.begin()
        try:
            try:
                do_handshake()
            except ssl.SSLWantReadError:
                # A client hello comes before any chain.
                if outgoing is not None and outgoing.pending and not begins:
                    judge.flight_ready(facts)
                raise
            except ssl.SSLError:
                tls_failed = True
                raise
            judge.handshake_done(facts)
            self._done(facts)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except BaseException as error:
            judge.gate.fail()
            # OpenSSL, too, can fail with an unjudged flight in `outgoing`: a TLS 1.2 server sends
            # its part and then garbage, or the end of the stream.
            if outgoing is not None and not (tls_failed and outgoing.pending <= _ALERT):
                outgoing.read()
            self.ended(error)
            # Do not report a failed offer if the driver dials again: the next handshake reports.
            again = self._dials_again and self.trial is not None and self.trial.again
            refusal = judge.failed(facts, error, told=not again)
            if refusal is not None:
                raise refusal.error() from error
            raise

    def _done(self, facts: PeerFacts) -> None:
        if self.trial is not None and self.trial.done(resumed=facts.resumed):
            self.trial = None

    def ended(self, error: BaseException | None) -> None:
        """Report that the connection ended during the handshake; None if its caller gave up."""
        if self.trial is not None:
            self.trial.ended(error)

    @property
    def answers(self) -> bool:
        """Whether the peer may ask for the client's certificate later (RFC 8446 section 4.6.2)."""
        return self.judge.profile.settings.post_handshake_auth

    def recheck(self, outgoing: Outgoing | None) -> None:
        """Judge an open connection again if its policy was replaced or its pins have expired.

        Costs two comparisons otherwise. Raises `PinVerificationError` if the policy in force now
        does not allow it; then nothing is left to send.
        """
        self._again(self.judge.recheck, outgoing)

    def check_answer(self, outgoing: Outgoing | None) -> None:
        """Judge again before a request for the client's certificate is answered.

        OpenSSL answers within any read, and within a shutdown. With a BIO this is called
        afterwards, and looks whether there is an answer; with a socket it is called before, for the
        socket sends by itself. Raises what `recheck` raises, and `UnpinnedHostError` if the policy
        in force now does not pin the host: the client's certificate is for pinned hosts only.
        """
        if self.judge.gate.state not in (OPEN, CLOSING):
            return  # another thread has closed it
        if outgoing is None or outgoing.pending > _ALERT:
            self._again(self.judge.recheck_identity, outgoing)

    def _again(self, judge: Callable[[], None], outgoing: Outgoing | None) -> None:
        try:
            judge()
        except BaseException:
            self.judge.gate.fail()
            if outgoing is not None:
                outgoing.read()
            raise

    def keep_session(self, facts: PeerFacts) -> bool:
        """Keep the session of an open connection; False while its ticket has not arrived.

        With TLS 1.3 the ticket comes after the handshake and is seen by a read, so this is called
        after the first ones.
        """
        cache, endpoint = self.sessions, self.judge.endpoint
        if cache is None:
            return True
        once = facts.version != "TLSv1.2" and facts.tickets_are_used_once
        moment, configuration = self.judge.clock(), facts.configuration
        if facts.resumed and not once:
            return True  # the one that was offered is kept still, and as good
        if not cache.expects_ticket(configuration, endpoint, moment):
            return True
        session = facts.session()
        if session is None:
            cache.record_no_ticket(configuration, endpoint, moment)
            return False
        if (evidence := self.judge.session_evidence()) is not None:
            self._kept = Offer(session, evidence)
            cache.keep(configuration, endpoint, self._kept, once=once)
        return True

    def heard(self, facts: PeerFacts) -> bool:
        """Report data after the handshake; keeps the session as `keep_session` does."""
        if self.trial is not None:
            self.trial.heard()
            self.trial = None
        return self.keep_session(facts)

    def invalidate_session(self, facts: PeerFacts, error: OSError) -> Refusal | None:
        """An open connection broke.

        If TLS failed its session is forgotten, as RFC 5246 section 7.2.2 asks. An end is no
        failure. Returns the refusal to raise in place of `error`, if that says that the peer does
        not accept the client's certificate.
        """
        if self.trial is not None:
            self.trial.invalidate_session(error)
        # Subclasses say that bytes are missing, or that there are no more.
        if type(error) is not ssl.SSLError:
            return None
        if self.trial is None and self._kept is not None and self.sessions is not None:
            self.sessions.drop(facts.configuration, self.judge.endpoint, self._kept)
        return self.judge.identity_refused(facts, error)
