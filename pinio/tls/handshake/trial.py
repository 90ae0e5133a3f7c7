"""Whether the offer of a session works; its result decides on `pinio.tls.handshake.pauses`."""

from __future__ import annotations

import logging
import ssl
from typing import Final

from pinio.core.evidence import Moment
from pinio.errors import PinVerificationError
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.pauses import Key
from pinio.tls.handshake.sessions import Offer, SessionCache

logger = logging.getLogger("pinio")

SLOW: Final = 1.0
"""Seconds after which a handshake that its caller gives up counts as failed."""

_NO_FAILURE: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError)


class Trial:
    """An offer under way.

    Over once the server has said something on the session, or shaken hands in full.

    `watched` says whether the driver of the handshake tells of every end. A library does not.
    """

    __slots__ = (
        "_began", "_cache", "_configuration", "_judgement", "_key", "_offer", "_resumed", "_watched",
        "again", "over",
    )  # fmt: skip

    def __init__(
        self,
        judge: Judge,
        cache: SessionCache,
        configuration: object,
        offer: Offer,
        *,
        watched: bool,
    ) -> None:
        self._judgement = judge
        self._cache = cache
        self._configuration = configuration
        self._key = Key(configuration, judge.endpoint.host, judge.endpoint.port)
        self._offer = offer
        self._watched = watched
        self._began: Moment | None = None
        self._resumed = False
        self.over = False
        """Whether it is known what came of the offer."""
        self.again = False
        """Whether the handshake failed because of the offer: dial again in full."""

    def begin(self) -> None:
        """The client hello is about to be made."""
        self._began = self._judgement.clock()
        if not self._watched:
            self._cache.pauses.begin(self._key, self._offer, self._began)

    def done(self, *, resumed: bool) -> bool:
        """Note the end of the handshake; returns whether the trial is over.

        On a resumed session the server may still reject the client's last flight.
        """
        self._resumed = resumed
        if not resumed:
            self.heard()
        elif not self._watched:
            self._cache.pauses.done(self._key, self._offer)
        return self.over

    def heard(self) -> None:
        """The server said something after the handshake."""
        if not self.over:
            self.over = True
            self._cache.pauses.heard(self._key, self._offer, self._judgement.clock())

    def invalidate_session(self, error: OSError) -> None:
        """Note that the open connection broke; before any data that rejects the handshake."""
        if not isinstance(error, _NO_FAILURE):
            self.ended(error)

    def ended(self, error: BaseException | None) -> None:
        """The connection ended, by an error or by the caller's wish.

        A peer whose certificate or key is refused has shaken hands in full, so that the offer is
        not to blame, and the session is worth nothing. Whatever else fails may be the offer's
        fault.
        """
        if self.over or self._began is None:
            return
        moment = self._judgement.clock()
        if isinstance(error, ssl.SSLCertVerificationError):
            self._cache.drop(self._configuration, self._judgement.endpoint, self._offer)
            self.again = isinstance(error, PinVerificationError) and error.refusal.resumed
            self.heard()
        elif isinstance(error, Exception) or (moment.since(self._began) or 0.0) >= SLOW:
            self.over = True
            self.again = self._judgement.gate.permit is None
            self._cache.fail(self._configuration, self._judgement.endpoint, self._offer, moment)
            why = "given up" if error is None else type(error).__name__
            logger.info(
                "resuming a TLS session with %s failed (%s); none is offered for a while", self, why
            )

    def __str__(self) -> str:
        return self._key.host if self._key.port is None else f"{self._key.host}:{self._key.port}"

    def __del__(self) -> None:
        if self._resumed and not self._watched and not self.over:
            self._cache.pauses.doubt(self._key)
