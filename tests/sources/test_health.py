"""What a source says of itself without traffic."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from pinio import PinSet, Policy
from tests.formats.policies import OTHER, PIN
from tests.sources.following import INTERVAL, Following

NOW = datetime.now(UTC).replace(microsecond=0)


def test_a_good_file_is_healthy(following: Following) -> None:
    before = time.time()
    following.look()
    health = following.source.health()
    assert health.ok and health.error is None and health.revision == "1"
    assert health.loaded <= health.checked and before <= health.checked <= time.time()
    assert (health.next_expiry, health.expiring, health.stale_at) == (None, (), None)


def test_a_bad_file_is_told_with_the_time_at_which_it_begins_to_matter(
    following: Following,
) -> None:
    stale = Following(following.path, max_stale=3 * INTERVAL, clock=following.clock)
    checked = stale.source.health().checked
    stale.path.write_text("garbage", "utf-8")
    stale.settle()
    health = stale.source.health()
    assert not health.ok and "not TOML" in str(health.error)
    assert health.checked >= checked and health.stale_at is not None
    assert abs(health.stale_at - time.time() - 3 * INTERVAL) < INTERVAL


def test_pins_that_expire_within_a_month_are_told_earliest_first(following: Following) -> None:
    def pins(days: int) -> PinSet:
        return PinSet([PIN, OTHER], expires=NOW + timedelta(days=days))

    following.write(
        Policy(
            {"late": pins(40), "soon": pins(29), "past": pins(-1), "never": [PIN, OTHER]}
        ).replace(revision="2")
    )
    health = following.source.health()
    assert health.next_expiry == NOW - timedelta(days=1)
    assert [pattern for pattern, _ in health.expiring] == ["past", "soon"]
    assert len(following.source.health(within=41 * 86_400).expiring) == 3
