"""For how long a server is offered no session: by failures, by what is on trial, and within what memory."""

from __future__ import annotations

import ssl

import pytest

from pinio.core.evidence import MAX_AGE, Moment
from pinio.tls.handshake.pauses import LONGEST, Key, Pauses

CONTEXT, OTHER = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
KEY = Key(CONTEXT, "a.pinned.test", 443)
OFFER, ANOTHER = object(), object()
START = Moment(1_700_000_000.0, 1000.0)


def after(seconds: float) -> Moment:
    return Moment(START.wall + seconds, START.monotonic + seconds)


def fail_again_and_again(pauses: Pauses) -> list[float]:
    """How long each pause is, where each ends with one failure more."""
    lengths, began = [], 0.0
    for _ in range(8):
        pauses.fail(KEY, OFFER, after(began))
        length = next(
            hours * MAX_AGE
            for hours in range(1, 100)
            if not pauses.active(KEY, after(began + hours * MAX_AGE))
        )
        assert pauses.active(KEY, after(began + length - 1))
        lengths.append(length)
        began += length
    return lengths


def test_each_failure_doubles_the_pause_up_to_a_day() -> None:
    hours = [length / MAX_AGE for length in fail_again_and_again(Pauses(10))]
    assert hours == [1, 2, 4, 8, 16, 24, 24, 24]
    assert LONGEST == 24 * MAX_AGE


def test_a_server_that_goes_on_starts_anew() -> None:
    pauses = Pauses(10)
    fail_again_and_again(pauses)
    late = after(200 * MAX_AGE)
    pauses.heard(KEY, OFFER, late)
    pauses.fail(KEY, OFFER, late)
    assert pauses.active(KEY, after(201 * MAX_AGE - 1))
    assert not pauses.active(KEY, after(201 * MAX_AGE))


def test_failures_of_offers_that_were_under_way_at_once_count_once() -> None:
    pauses = Pauses(10)
    for _ in range(10):
        pauses.fail(KEY, object(), START)
    assert not pauses.active(KEY, after(MAX_AGE))


def test_a_success_that_was_under_way_ends_no_pause() -> None:
    """One server of a farm can, and another cannot."""
    pauses = Pauses(10)
    pauses.fail(KEY, OFFER, START)
    pauses.heard(KEY, ANOTHER, after(1))
    assert pauses.active(KEY, after(2))


def test_a_clock_that_is_set_back_ends_a_pause() -> None:
    """Or it might last for years."""
    pauses = Pauses(10)
    pauses.fail(KEY, OFFER, START)
    assert not pauses.active(KEY, after(-1))


@pytest.mark.parametrize("proven", [False, True])
def test_one_offer_is_on_trial_at_a_time(proven: bool) -> None:
    """Until its handshake is done where the server has gone on before, until it goes on where it has not."""
    pauses = Pauses(10)
    if proven:
        pauses.heard(KEY, ANOTHER, START)
    assert not pauses.active(KEY, START)
    pauses.begin(KEY, OFFER, START)
    assert pauses.active(KEY, after(1))
    pauses.done(KEY, OFFER)
    assert pauses.active(KEY, after(1)) is not proven
    pauses.heard(KEY, OFFER, after(1))
    assert not pauses.active(KEY, after(1))


def test_a_pause_keeps_the_time_it_began_at() -> None:
    """A session that was chosen before the pause changes nothing about it."""
    pauses = Pauses(10)
    pauses.fail(KEY, OFFER, START)
    pauses.begin(KEY, ANOTHER, after(MAX_AGE - 1))
    assert pauses.active(KEY, after(MAX_AGE - 1))
    assert not pauses.active(KEY, after(MAX_AGE))


def test_what_never_ends_counts_as_failed_since_it_began() -> None:
    pauses = Pauses(10)
    pauses.begin(KEY, OFFER, START)
    assert not pauses.active(KEY, after(MAX_AGE))
    pauses.begin(KEY, ANOTHER, after(MAX_AGE))
    assert pauses.active(KEY, after(3 * MAX_AGE - 1))
    pauses.fail(KEY, ANOTHER, after(MAX_AGE + 60))
    assert pauses.active(KEY, after(3 * MAX_AGE + 59)), "known when it ended, and counted once"
    assert not pauses.active(KEY, after(3 * MAX_AGE + 60))


def test_a_doubted_server_has_to_go_on_again() -> None:
    pauses = Pauses(10)
    pauses.heard(KEY, OFFER, START)
    pauses.doubt(KEY)
    pauses.begin(KEY, OFFER, START)
    pauses.done(KEY, OFFER)
    assert pauses.active(KEY, START)


def test_what_is_remembered_is_bounded_and_forgotten_with_its_context() -> None:
    pauses = Pauses(3)
    for number in range(100):
        pauses.fail(Key(CONTEXT, f"{number}.pinned.test", 443), OFFER, START)
        pauses.heard(Key(CONTEXT, f"{number}.pinned.test", 8443), OFFER, START)
        assert len(pauses) <= 6
    assert len(pauses) == 6
    pauses.fail(Key(OTHER, "a.pinned.test", 443), OFFER, START)
    pauses.forget(CONTEXT)
    assert len(pauses) == 1
