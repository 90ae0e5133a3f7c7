"""One offer of a session: what its connection's end says of the server."""

from __future__ import annotations

import logging
import ssl

import pytest

from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import Evidence
from pinio.core.policy import Endpoint
from pinio.tls.config.profile import Profile
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.pauses import Key
from pinio.tls.handshake.sessions import Offer, SessionCache, now
from pinio.tls.handshake.trial import Trial
from tests.tls.cast import GENUINE, ISSUER, ROOT, Told, pinned


class World:
    """A cache with one offer, and the trial of that offer."""

    def __init__(self, port: int | None = 443) -> None:
        self.endpoint: Endpoint = pinned().endpoint("localhost", port)
        profile = Profile.of(self.endpoint)
        self.context = inner_context(profile)
        chain = VerifiedChain([GENUINE.der, ISSUER.der, ROOT.der])
        evidence = Evidence.of("localhost", chain, profile.identity, now())
        assert evidence is not None
        # The session itself is never looked at.
        self.offer = Offer("a session", evidence)
        self.cache = SessionCache()
        self.cache.keep(self.context, self.endpoint, self.offer, once=False)
        judge = Judge(self.endpoint, profile, Told(), evidence=evidence)
        self.trial = Trial(judge, self.cache, self.context, self.offer, watched=True)
        self.trial.begin()

    @property
    def paused(self) -> bool:
        """Whether the server is offered no session."""
        return self.cache.pauses.active(Key(self.context, "localhost", self.endpoint.port), now())


@pytest.mark.parametrize(
    "error",
    [ssl.SSLWantReadError(), ssl.SSLWantWriteError(), ssl.SSLZeroReturnError()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_failure_leaves_the_trial_open(error: OSError) -> None:
    world = World()
    world.trial.invalidate_session(error)
    assert not world.trial.over
    assert not world.paused
    assert len(world.cache) == 1


@pytest.mark.parametrize(("port", "server"), [(8443, "localhost:8443"), (None, "localhost")])
def test_a_failure_is_logged_with_the_server_that_it_is_held_against(
    port: int | None, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pinio")
    world = World(port)
    world.trial.invalidate_session(ConnectionResetError())
    assert world.trial.over
    assert world.paused
    assert len(world.cache) == 0
    assert f"resuming a TLS session with {server} failed (ConnectionResetError)" in caplog.text


def test_a_server_is_heard_once() -> None:
    """What it says later does not lift a pause that another connection has brought about since."""
    world = World()
    world.trial.heard()
    other = Offer("another session", world.offer.evidence)
    world.cache.fail(world.context, world.endpoint, other, now())
    world.trial.heard()
    assert world.paused
    world.trial.ended(ConnectionResetError())
    assert not world.trial.again
