"""Many threads ask, one looks; and a child process goes on looking."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pinio import FileSource, Policy
from tests.formats.policies import OTHER, PIN
from tests.sources.following import INTERVAL, Following, text


def numbered(number: int) -> Policy:
    """A policy whose every part names its number, so that a torn one would show."""
    return Policy(
        {f"h{number}-{host}.example": [PIN, OTHER] for host in range(5)}, revision=str(number)
    )


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns fifty times as often, so that there is more to go wrong, and sooner."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 50)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_threads_see_whole_policies_while_the_file_is_swapped(path: Path) -> None:
    policies = [numbered(number) for number in range(100)]
    path.write_text(text(policies[0]))
    source = FileSource(path, interval=0.0005)
    written = threading.Event()

    def ask() -> set[int]:
        seen: set[int] = set()
        while not written.is_set():
            policy = source.current
            number = int(policy.revision or "")
            assert policy == policies[number]
            seen.add(number)
        return seen

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        for policy in policies[1:]:
            spare = path.with_suffix(".new")
            spare.write_text(text(policy))
            spare.replace(path)
        written.set()
        seen = {number for answer in asking for number in answer.result()}
    assert seen <= set(range(100))
    assert source.error is None or "changes at every look" in str(source.error)


def test_nobody_waits_for_the_thread_that_looks(following: Following, policy: Policy) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def stay(_: Policy) -> None:
        looking.set()
        go_on.wait()

    following.source.subscribe(stay)
    new = policy.replace(revision="2")
    following.path.write_text(text(new))
    following.look()
    following.clock.now += INTERVAL
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: following.source.current)
        try:
            looking.wait()
            assert following.source.current == new  # here, while the other thread is still at it
            assert not slow.done()
        finally:
            go_on.set()
        assert slow.result() == new


FORK = """
import os, sys, threading
from pinio import FileSource

now = 0.0
source = FileSource(sys.argv[1], clock=lambda: now)
source._looking.acquire()  # as a thread would that is not there any more in the child
if (child := os.fork()) == 0:
    with open(sys.argv[1], "a") as file:
        file.write('revision = "child"')
    for now in (10.0, 20.0):
        source.current
    os._exit(0 if source.revision == "child" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_process_goes_on_looking(path: Path) -> None:
    path.write_text("version = 1\n")
    answer = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], check=False, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_source_that_nobody_holds_is_gone(path: Path) -> None:
    source = weakref.ref(FileSource(path))
    gc.collect()
    assert source() is None
