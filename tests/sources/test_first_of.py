"""Several sources as one."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from pinio import FileSource, Policy, PolicyError
from pinio.sources import Health, first_of
from tests.formats.policies import OTHER, PIN
from tests.sources.following import Following

HOSTS = {"a.example": [PIN, OTHER], "b.example": [PIN, OTHER]}
STRICT = Policy(HOSTS, revision="tuf")
SAME = Policy(HOSTS, revision="file")
LOOSE = Policy({"a.example": [PIN, OTHER]}, unpinned="allow", revision="loose")


class Source:
    """A source that is set by hand."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @property
    def current(self) -> Policy:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # whatever a test says


AWAY = PolicyError("away")


def test_the_first_source_that_has_a_policy_decides() -> None:
    assert first_of(Source(STRICT), Source(SAME)).current is STRICT
    chosen = first_of(Source(AWAY), Source(SAME))
    assert (chosen.current, chosen.revision, str(chosen.error)) == (SAME, "file", "away")


def test_an_outage_hands_over_to_a_source_that_loosens_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tuf = Source(STRICT)
    chosen = first_of(tuf, Source(SAME))
    seen: list[Policy] = []
    chosen.subscribe(seen.append)
    assert chosen.current is STRICT
    tuf.answer = AWAY
    with caplog.at_level(logging.WARNING, "pinio"):
        assert chosen.current is SAME
    assert "source 2 of 2 decides" in caplog.text and "away" in caplog.text
    tuf.answer = STRICT
    assert chosen.current is STRICT and seen == [SAME, STRICT]
    assert chosen.error is None


def test_P6_an_outage_never_loosens() -> None:
    """Whoever cuts the network off chooses no policy by that."""
    tuf = Source(STRICT)
    chosen = first_of(tuf, Source(LOOSE))
    assert chosen.current is STRICT
    tuf.answer = AWAY
    for _ in range(2):
        with pytest.raises(PolicyError, match="no source has a policy: away"):
            chosen.current  # noqa: B018
    assert chosen.revision is None and "away" in str(chosen.error)
    health = chosen.health()
    assert not health.ok and health.stale_at is not None and health.stale_at <= time.time()
    tuf.answer = STRICT
    assert chosen.current is STRICT


def test_a_third_source_decides_where_the_second_would_loosen() -> None:
    tuf = Source(STRICT)
    chosen = first_of(tuf, Source(LOOSE), Source(SAME))
    tuf.answer = AWAY
    for _ in range(3):  # the second is no earlier source now, and loosens all the same
        assert chosen.current is SAME


def test_P6_a_source_that_stands_in_for_another_does_not_loosen_later() -> None:
    tuf, file = Source(STRICT), Source(SAME)
    chosen = first_of(tuf, file)
    tuf.answer = AWAY
    assert chosen.current is SAME
    file.answer = LOOSE
    with pytest.raises(PolicyError, match="no source has a policy"):
        chosen.current  # noqa: B018
    tuf.answer = LOOSE  # which may
    assert chosen.current is LOOSE


@pytest.mark.parametrize("garbage", [None, "text", RuntimeError("a defect")])
def test_P6_garbage_from_every_source_refuses(garbage: object) -> None:
    with pytest.raises(PolicyError, match="no source has a policy"):
        first_of(Source(garbage), Source(garbage))
    assert first_of(Source(garbage), Source(SAME)).current is SAME


def test_what_has_no_policy_is_no_source() -> None:
    with pytest.raises(PolicyError, match="at least one"):
        first_of()
    with pytest.raises(PolicyError, match=r"\.current"):
        first_of(object())  # type: ignore[arg-type]


def test_a_policy_is_a_source_and_has_no_health_of_its_own() -> None:
    chosen = first_of(STRICT)
    health = chosen.health()
    assert isinstance(health, Health) and health.ok and health.revision == "tuf"


def test_a_swap_of_the_source_that_decides_is_told(following: Following, policy: Policy) -> None:
    chosen = first_of(following.source, SAME)
    seen: list[Policy] = []
    end = chosen.subscribe(seen.append)
    following.write(policy.replace(revision="2"))
    assert [each.revision for each in seen] == ["2"]
    assert chosen.health().checked == following.source.health().checked
    end()
    following.write(policy.replace(revision="3"))
    assert len(seen) == 1


def test_a_file_that_is_not_good_is_the_error(following: Following) -> None:
    chosen = first_of(following.source)
    following.path.write_text("garbage", "utf-8")
    following.settle()
    assert isinstance(following.source, FileSource) and chosen.error is following.source.error
    assert "first_of" not in str(chosen.error) and "FirstOf" in repr(chosen)


def test_a_subscriber_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tuf = Source(STRICT)
    chosen = first_of(tuf)
    chosen.subscribe(lambda _: 1 / 0)
    tuf.answer = SAME
    assert chosen.current is SAME
    assert "a subscriber of first_of failed" in caplog.text


def test_a_source_that_is_slow_makes_no_other_thread_wait() -> None:
    begun, over = threading.Event(), threading.Event()

    class Slow(Source):
        @property
        def current(self) -> Policy:
            if threading.current_thread().name == "slow":
                begun.set()
                over.wait()
            return super().current

    slow = Slow(STRICT)
    chosen = first_of(slow)
    thread = threading.Thread(target=lambda: chosen.current, name="slow")
    thread.start()
    begun.wait()
    assert chosen.current is STRICT
    over.set()
    thread.join()


def test_P6_a_thread_that_does_not_wait_is_refused_like_the_others() -> None:
    slow = Source(STRICT)
    chosen = first_of(slow)
    slow.answer = AWAY
    with pytest.raises(PolicyError, match="away"):
        chosen.current  # noqa: B018
    slow.answer = STRICT
    thread = threading.Thread(target=chosen._lock.acquire)  # somebody asks, and is not done
    thread.start()
    thread.join()
    with pytest.raises(PolicyError, match="away"):
        chosen.current  # noqa: B018
