"""The cache behind every verdict: bounded, interning, and never an answer about other bytes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from pinio.core.certificate import Certificate
from pinio.core.intern import TAIL, InternCache
from tests.core import forge
from tests.core.forge import Forged, tlv


class Made(NamedTuple):
    der: bytes


class Counting:
    """Makes values and remembers how often."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def __call__(self, der: bytes) -> Made:
        self.made.append(der)
        return Made(der)


def test_a_value_is_made_once_and_shared() -> None:
    """The same bytes, in whatever object, are one value."""
    make = Counting()
    cache = InternCache(make)
    first = cache(b"certificate")
    assert cache(bytes(bytearray(b"certificate"))) is first
    assert cache.all([b"certificate", b"other", b"certificate"])[::2] == (first, first)
    assert make.made == [b"certificate", b"other"]
    assert len(cache) == 2


def test_a_flood_of_certificates_is_bounded() -> None:
    """100,000 distinct certificates leave at most two generations behind."""
    cache = InternCache(Made, entries=1000)
    for number in range(100_000):
        der = b"%08d" % number
        assert cache(der).der == der
        assert len(cache) <= 2000


def test_a_flood_of_huge_certificates_is_bounded_by_weight() -> None:
    """Few entries, many bytes: what is kept is bounded too, in either generation."""
    cache = InternCache(Made, entries=1000, weight=10_000)
    for number in range(200):
        cache(b"%08d" % number * 125)
        assert len(cache) <= 20


def test_what_is_asked_for_survives_a_flood() -> None:
    """A certificate in use moves to the young generation, so that strangers do not drive it out."""
    make = Counting()
    cache = InternCache(make, entries=100)
    mine = cache(b"mine")
    for number in range(5000):
        cache(b"%08d" % number)
        assert cache(b"mine") is mine
    assert make.made.count(b"mine") == 1


def test_an_equal_tail_is_no_hit() -> None:
    """Who copies the end of a certificate gets his own value, and costs the other a second look at most."""
    cache = InternCache(Made)
    tail = b"the signature of a genuine certificate"
    assert len(tail) > TAIL
    for der in (b"genuine" + tail, b"forged!" + tail) * 3:
        assert cache(der).der == der
        assert cache.all([der])[0].der == der
    assert len(cache) == 1


def test_an_equal_tail_in_a_chain_is_no_hit() -> None:
    """Chains are looked up all at once, and by the same rule."""
    tail = bytes(range(TAIL))
    cache = InternCache(Made)
    genuine, forged = b"genuine" + tail, b"forged" + tail
    for order in ([genuine, forged], [forged, genuine]):
        assert [made.der for made in cache.all(order)] == order


def test_short_keys_are_told_apart() -> None:
    """Keys shorter than a tail, the empty one included."""
    cache = InternCache(Made)
    for der in (b"", b"a", b"aa", b"a" * TAIL, b"a" * (TAIL + 1)):
        assert cache(der).der == der


def test_equal_names_and_serial_numbers_are_no_hit() -> None:
    """Certificates with the same issuer, serial number and key identifier but other keys keep their own digests."""
    key_identifier = tlv(0xA3, tlv(0x30, forge.extension(b"\x55\x1d\x0e", tlv(4, b"i" * 20))))
    twins = [Forged(spki=forge.some_spki(octet), trailing=key_identifier) for octet in (1, 2)]
    first, second = (Certificate.of(twin.der) for twin in twins)
    assert first.spki_sha256 != second.spki_sha256
    assert (first.spki, second.spki) == (twins[0].spki, twins[1].spki)


def test_threads_see_one_value() -> None:
    """However many threads meet the same certificates for the first time, each is one object."""
    cache = InternCache(Made)
    ders = [b"%08d" % number for number in range(200)]
    start = threading.Barrier(8)

    def everything(_: int) -> tuple[Made, ...]:
        start.wait()
        return tuple(cache(der) for der in ders)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(everything, range(8)))
    assert all(a is b for answer in seen for a, b in zip(answer, seen[0], strict=True))


def test_threads_and_a_tiny_cache() -> None:
    """Generations change under the feet of eight threads, and nobody gets a value of other bytes."""
    cache = InternCache(Made, entries=3)

    def everything(seed: int) -> bool:
        ders = [b"%d" % ((number * seed) % 17) for number in range(2000)]
        return all(value.der == der for value, der in zip(cache.all(ders), ders, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(everything, range(1, 9)))
    assert len(cache) <= 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_empties_the_cache_and_frees_its_lock() -> None:
    """A child starts empty, and works even if another thread held the lock when the process was forked."""
    cache = InternCache(Made)
    cache(b"certificate")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def child() -> None:
        answers.put(len(cache))
        answers.put(cache(b"certificate").der)

    with cache._lock:
        process = context.Process(target=child, daemon=True)
        process.start()
    process.join()
    assert process.exitcode == 0
    assert (answers.get(), answers.get()) == (0, b"certificate")
    assert len(cache) == 1
