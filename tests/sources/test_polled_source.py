"""Sources that are asked in the background."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from pinio import Policy, PolicyError
from pinio.formats import FORMATS
from pinio.sources import AsyncSource
from pinio.sources.polling import _jittered
from tests.formats.policies import OTHER, PIN
from tests.sources.following import Clock, text

FIRST = Policy({"a.example": [PIN, OTHER]}, revision="1")
SECOND = Policy({"a.example": [PIN, OTHER], "b.example": [PIN, OTHER]}, revision="2")
NEVER = 100_000.0
"""An interval in which no test asks by itself but once, when the thread begins."""


class Store:
    """What an async callable reads."""

    def __init__(self, answer: object = FIRST) -> None:
        self.answer = answer
        self.threads: set[str] = set()
        self.asked = threading.Event()

    async def fetch(self) -> Policy:
        self.threads.add(threading.current_thread().name)
        self.asked.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # whatever a test says


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def make(store: Store) -> Iterator[Callable[..., AsyncSource]]:
    made: list[AsyncSource] = []

    def source(**options: object) -> AsyncSource:
        made.append(AsyncSource(store.fetch, name="store", **({"interval": NEVER} | options)))  # type: ignore[arg-type]
        return made[-1]

    yield source
    for each in made:
        each.close()
        each.refresh()  # whatever has begun is over


def test_the_answer_of_an_async_callable_is_the_policy(
    store: Store, make: Callable[..., AsyncSource]
) -> None:
    source = make()
    seen: list[Policy] = []
    source.subscribe(seen.append)
    assert (source.current, source.revision, source.error) == (FIRST, "1", None)
    store.answer = text(SECOND).encode()
    source.refresh()
    assert source.current == SECOND and seen == [SECOND]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        b" \n",
        b"\xff",
        "hosts = ",
        None,
        17,
        OSError("away"),
        RuntimeError("a defect of the callable"),
        "x" * 16_000_001,
        text(Policy({}, no_hosts="why")).replace('no_hosts = "why"\n', ""),
    ],
    ids=["empty", "blank", "bytes", "cut", "none", "number", "away", "defect", "huge", "hosts"],
)
def test_garbage_leaves_the_last_good_policy(
    store: Store, make: Callable[..., AsyncSource], garbage: object
) -> None:
    source = make()
    store.answer = garbage
    source.refresh()
    assert source.current is FIRST
    assert isinstance(source.error, PolicyError) and "store" in str(source.error)
    assert source.health().ok is False
    assert not isinstance(garbage, str | bytes) or garbage.strip() or "empty" in str(source.error)
    store.answer = FIRST
    source.refresh()
    assert source.error is None and source.health().ok


def test_a_change_that_loosens_needs_another_revision(
    store: Store, make: Callable[..., AsyncSource]
) -> None:
    source = make()
    store.answer = Policy({"b.example": [PIN, OTHER]}, revision="1")
    source.refresh()
    assert source.current is FIRST and "loosens" in str(source.error)


def test_an_answer_that_does_not_come_is_an_error() -> None:
    async def never() -> Policy:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with pytest.raises(PolicyError, match=r"hung: no answer in 0\.01 s"):
        AsyncSource(never, name="hung", timeout=0.01)


def test_P6_a_policy_that_nobody_confirms_gets_too_old(
    store: Store, make: Callable[..., AsyncSource]
) -> None:
    clock = Clock()
    source = make(interval=40.0, timeout=11.0, max_stale=102.0, clock=clock)
    store.answer = OSError("away")
    source.refresh()
    clock.now += 101.0
    assert source.current is FIRST
    assert source.health().stale_at is not None
    clock.now += 1.0
    with pytest.raises(PolicyError, match=r"older than 102 s: .*away"):
        source.current  # noqa: B018
    store.answer = FIRST
    source.refresh()
    assert source.current is FIRST


def test_a_source_that_is_not_required_has_no_policy_before_the_first_answer(
    store: Store, make: Callable[..., AsyncSource]
) -> None:
    store.answer = OSError("away")
    source = make(required=False)
    seen: list[Policy] = []
    end = source.subscribe(seen.append)
    source.refresh()
    with pytest.raises(PolicyError, match=r"no policy is in force yet: .*away"):
        source.current  # noqa: B018
    assert source.revision is None and "away" in str(source.error)
    assert source.health().revision is None and not source.health().ok
    store.answer = FIRST
    source.refresh()
    assert source.current is FIRST and seen == [FIRST]
    end()
    store.answer = SECOND
    source.refresh()
    assert seen == [FIRST]


async def test_a_source_never_blocks_the_event_loop(store: Store) -> None:
    with pytest.raises(PolicyError, match=r"await AsyncSource\.open"):
        AsyncSource(store.fetch)
    assert not store.asked.is_set()
    source = await AsyncSource.open(store.fetch, interval=NEVER)
    source.close()
    assert source.current is FIRST
    assert threading.current_thread().name not in store.threads


def test_the_thread_asks_by_itself_and_ends_with_its_source(store: Store) -> None:
    source = AsyncSource(store.fetch, name="store", interval=0.001)
    thread = source._poller._thread
    assert thread is not None
    for _ in range(3):
        store.asked.clear()
        store.asked.wait()
    gone = weakref.ref(source)
    del source
    gc.collect()
    thread.join()
    assert gone() is None


def test_a_child_process_asks_in_a_thread_of_its_own(
    store: Store, make: Callable[..., AsyncSource]
) -> None:
    source = make()
    with source._asking:  # as if the parent asked at the moment of the fork
        source._poller._unlock()
        source._unlock()
        store.answer = SECOND
        source.refresh()
    assert source.current == SECOND
    before = source._poller._thread
    assert before is not None and before.is_alive()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": float("nan")}, "interval"),
        ({"timeout": 0}, "timeout"),
        ({"max_stale": -1}, "max_stale"),
        ({"max_stale": float("inf")}, "max_stale"),
        ({"max_stale": 30.0}, "one lost answer"),
    ],
)
def test_options_that_make_no_sense_are_errors(
    store: Store, options: dict[str, float], words: str
) -> None:
    with pytest.raises(PolicyError, match=words):
        AsyncSource(store.fetch, **options)  # type: ignore[arg-type]


def test_what_is_no_callable_is_refused() -> None:
    with pytest.raises(PolicyError, match="async callable"):
        AsyncSource("redis")  # type: ignore[arg-type]


def test_a_path_in_a_text_from_elsewhere_is_no_file_here(
    store: Store, tmp_path: os.PathLike[str]
) -> None:
    store.answer = text(FIRST).replace(
        "[hosts.", 'unpinned_anchors = "/etc/ssl/certs/ca-certificates.crt"\n[hosts.', 1
    )
    with pytest.raises(PolicyError):
        AsyncSource(store.fetch)
    assert FORMATS["native"].loads(text(FIRST)) == FIRST


def test_a_fleet_that_starts_as_one_does_not_ask_as_one() -> None:
    delays = {_jittered(100.0) for _ in range(200)}
    assert len(delays) > 100 and min(delays) >= 80.0 and max(delays) <= 120.0
    assert max(delays) - min(delays) > 20.0


FORKED = """
import os, sys, threading
from pinio import Policy
from pinio.sources import AsyncSource

asked = threading.Event()
pids = []

async def fetch():
    pids.append(os.getpid())
    asked.set()
    return Policy({"a.example": sys.argv[1:]}, revision=str(len(pids)))

source = AsyncSource(fetch, interval=0.01)
while len(pids) < 3:  # its thread is at work
    asked.clear()
    asked.wait()
if (child := os.fork()) == 0:
    pids.clear()
    source.current
    while len(pids) < 3:
        asked.clear()
        asked.wait()
    os._exit(0 if set(pids) == {os.getpid()} else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_asks_by_itself() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, PIN, OTHER],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.stdout == "0\n", answer.stderr
