"""The cache by itself: which session is offered, which goes first, and what keeps it small."""

from __future__ import annotations

import gc
import os
import ssl
import weakref
from typing import Any

import pytest

from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import MAX_AGE, Evidence, Moment
from pinio.core.policy import Endpoint, Policy
from pinio.errors import PolicyError
from pinio.tls.config.profile import Profile
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake import peer, sessions
from pinio.tls.handshake.peer import OpenSSLFacts
from pinio.tls.handshake.sessions import MAX_TICKETS, PATIENCE, Offer, SessionCache, resuming
from tests.tls.cast import GENUINE, ISSUER, ROOT, pinned

PROFILE = Profile("pkix", ROOT.anchors)
CONTEXT = inner_context(PROFILE)
POLICY = pinned(host="**.pinned.test")
START = sessions.now()


def endpoint(name: str = "a", port: int = 443) -> Endpoint:
    return POLICY.endpoint(f"{name}.pinned.test", port)


def after(seconds: float) -> Moment:
    return Moment(START.wall + seconds, START.monotonic + seconds)


def session(name: str = "a", seen: Moment = START, label: str = "a session") -> Offer:
    """What the cache hands out again; it never looks at the session itself."""
    chain = VerifiedChain([GENUINE.der, ISSUER.der, ROOT.der])
    evidence = Evidence.of(f"{name}.pinned.test", chain, PROFILE.identity, seen)
    assert evidence is not None
    stand_in: Any = label
    return Offer(stand_in, evidence)


def keep(cache: SessionCache, offer: Offer, name: str = "a", *, once: bool = True) -> None:
    cache.keep(CONTEXT, endpoint(name), offer, once=once)


def offered(
    cache: SessionCache, name: str = "a", moment: Moment = START, port: int = 443
) -> Offer | None:
    return cache.offer(CONTEXT, endpoint(name, port), PROFILE.identity, moment)


def test_the_newest_is_offered_first() -> None:
    """Its age is the least, and its ticket the one that the server is likeliest to know."""
    cache = SessionCache()
    made = [session(label=str(number)) for number in range(MAX_TICKETS + 2)]
    for offer in made:
        keep(cache, offer)
    assert [offered(cache) for _ in range(MAX_TICKETS)] == made[: -MAX_TICKETS - 1 : -1]
    assert offered(cache) is None and len(cache) == 0


def test_a_session_that_may_be_used_again_stays() -> None:
    """TLS 1.2; one of TLS 1.3 is handed out once."""
    cache, offer = SessionCache(), session()
    keep(cache, offer, once=False)
    assert offered(cache) is offered(cache) is offer
    cache.clear()
    keep(cache, offer, once=True)
    assert (offered(cache), offered(cache)) == (offer, None)


def test_the_host_that_was_least_recently_used_goes_first() -> None:
    """Keeping and offering are both uses."""
    cache = SessionCache(hosts=3)
    for name in ("a", "b", "c"):
        keep(cache, session(name), name, once=False)
    keep(cache, session("a"), "a", once=False)
    assert offered(cache, "b") is not None
    keep(cache, session("d"), "d", once=False)
    assert [offered(cache, name) is not None for name in "abcd"] == [True, True, False, True]
    keep(cache, session("e"), "e", once=False)
    assert [offered(cache, name) is not None for name in "abcde"] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_a_host_that_is_kept_again_costs_no_other_its_place() -> None:
    """Renewal is no new host."""
    cache = SessionCache(hosts=2)
    for name in ("a", "b", "b", "b"):
        keep(cache, session(name), name, once=False)
    assert offered(cache, "a") is not None
    assert offered(cache, "b") is not None


def test_who_resumes_nothing_has_no_cache() -> None:
    """Then nothing is copied out of a connection that could not be used: unpinned hosts, and those who said no."""
    cache = SessionCache()
    unlisted = Policy({"x.test": [GENUINE.pin, ROOT.pin]}, unpinned="allow").endpoint(
        "localhost", 443
    )
    assert resuming(endpoint(), cache) is cache
    assert resuming(endpoint(), True) is sessions.default_sessions
    assert resuming(endpoint(), False) is None
    assert resuming(unlisted, cache) is None
    assert resuming(pinned(resumption=False).endpoint("localhost", 443), cache) is None


@pytest.mark.parametrize("moment", [after(MAX_AGE), after(-1)], ids=["too old", "before it was"])
def test_a_session_that_can_never_be_offered_again_is_freed(moment: Moment) -> None:
    """By age and clock alone; one that another policy may like again stays."""
    cache = SessionCache()
    keep(cache, session(), once=False)
    assert (
        cache.offer(CONTEXT, pinned(ROOT.pin[:-5] + "AAAA=").endpoint("localhost", 443), "", START)
        is None
    )
    assert cache.offer(CONTEXT, endpoint(), "another profile", START) is None
    assert len(cache) == 1
    assert offered(cache, moment=moment) is None
    assert len(cache) == 0


def test_an_older_one_is_offered_where_the_newest_may_not_be() -> None:
    """Each is judged for itself."""
    cache = SessionCache()
    good, bad = session(), session("elsewhere")
    keep(cache, good)
    keep(cache, bad)
    assert offered(cache) is good


def test_a_session_is_for_one_context_host_and_port() -> None:
    """Another TLS configuration, tenant or service never sees it."""
    cache, offer = SessionCache(), session()
    keep(cache, offer, once=False)
    assert offered(cache, port=444) is None
    assert offered(cache, "b") is None
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert cache.offer(other, endpoint(), PROFILE.identity, START) is None
    assert offered(cache) is offer


def test_dropping_takes_one_session_and_no_other() -> None:
    """The one with which a handshake failed; and what is not there may be dropped too."""
    cache = SessionCache()
    first, second = session(label="1"), session(label="2")
    keep(cache, first)
    keep(cache, second)
    cache.drop(CONTEXT, endpoint(), second)
    cache.drop(CONTEXT, endpoint("b"), second)
    assert offered(cache) is first
    keep(cache, first)
    cache.drop(CONTEXT, endpoint(), first)
    assert len(cache) == 0


def test_a_server_that_was_asked_in_vain_too_often_is_asked_no_more() -> None:
    cache = SessionCache()
    for _ in range(PATIENCE):
        assert cache.expects_ticket(CONTEXT, endpoint(), START)
        cache.record_no_ticket(CONTEXT, endpoint(), START)
    assert not cache.expects_ticket(CONTEXT, endpoint(), after(MAX_AGE - 1))
    assert cache.expects_ticket(CONTEXT, endpoint(port=8443), START), "another server"
    assert cache.expects_ticket(CONTEXT, endpoint(), after(MAX_AGE))
    assert cache.expects_ticket(CONTEXT, endpoint(), after(-1)), (
        "nobody knows how long ago that was"
    )
    cache.record_no_ticket(CONTEXT, endpoint(), after(MAX_AGE))
    assert not cache.expects_ticket(CONTEXT, endpoint(), after(MAX_AGE)), "once more in vain"


def test_a_session_that_came_after_all_gives_hope_again() -> None:
    cache = SessionCache()
    for _ in range(PATIENCE):
        cache.record_no_ticket(CONTEXT, endpoint(), START)
    keep(cache, session())
    assert cache.expects_ticket(CONTEXT, endpoint(), START)
    cache.record_no_ticket(CONTEXT, endpoint(), START)
    assert cache.expects_ticket(CONTEXT, endpoint(), START), "counted anew"


def test_what_is_noted_of_servers_is_bounded_and_forgotten_with_the_rest() -> None:
    cache = SessionCache(hosts=3)
    for name in "abcd":
        cache.record_no_ticket(CONTEXT, endpoint(name), START)
    assert len(cache._ticketless) == 3
    sessions.forget(CONTEXT)
    assert not cache._ticketless
    cache.record_no_ticket(CONTEXT, endpoint(), START)
    cache.clear()
    assert not cache._ticketless


@pytest.mark.parametrize("leaks", [False, True])
def test_a_ticket_is_used_once_unless_reading_it_leaks(
    leaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "reading_leaks", leaks)
    tls = CONTEXT.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert OpenSSLFacts(tls).tickets_are_used_once is not leaks


def test_the_cache_is_bounded_in_hosts_and_tickets() -> None:
    """A flood of hosts keeps the newest, a flood of tickets for one host likewise."""
    cache, offer = SessionCache(hosts=64), session()
    for number in range(100_000):
        keep(cache, offer, f"host-{number}")
        assert len(cache) <= 64
    for _ in range(50):
        keep(cache, offer)
    assert max(map(len, cache._kept.values())) == MAX_TICKETS


def test_a_cache_ends_with_its_last_user() -> None:
    """Nothing else holds it: neither the hook that empties it after a fork, nor the contexts of its connections."""
    cache = SessionCache()
    keep(cache, session())
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("hosts", [0, -1, 1.5, "many", None, True])
def test_a_cache_holds_at_least_one_host(hosts: Any) -> None:
    """What could hold none would be noticed at the first ticket, in the middle of a connection."""
    with pytest.raises(PolicyError, match="hosts is the number of hosts"):
        SessionCache(hosts)


def test_every_cache_can_be_emptied_at_once() -> None:
    """A forked child does so: see below."""
    caches = [SessionCache(), SessionCache()]
    for cache in caches:
        keep(cache, session())
    sessions.forget()
    assert [len(cache) for cache in caches] == [0, 0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_without_sessions() -> None:
    """Two processes must not use one ticket, nor share a lock."""
    cache = SessionCache()
    keep(cache, session())
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, bytes([len(cache)]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\0" and len(cache) == 1
    os.close(read)
    os.close(write)
