"""One context in many threads, its policy swapped meanwhile, forks in between: no race, no wrong verdict."""

from __future__ import annotations

import json
import os
import random
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.testing import Server
from pinio.tls.config.profile import Profile
from pinio.tls.config.settings import Settings
from pinio.tls.context import inner as inner_contexts
from pinio.tls.context import outer
from pinio.tls.context.inner import inner_context
from tests.tls.cast import GENUINE, MISPINNED, ROOT, pinned
from tests.tls.crowd import PINS, Crowd, Swapped, heard_by, meddle, policies, servers, together
from tests.tls.process import run_python
from tests.tls.through import SECRET, context_for, inner

SEED, THREADS, CALLS = 4, 8, 40
AFTERWARDS = 4


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Threads take turns every few bytecodes."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_P1_P4_threads_that_share_a_context_reach_no_wrong_verdict(
    tls_version: ssl.TLSVersion,
) -> None:
    source = Swapped(policies(PINS, ROOT.anchors))
    with servers(tls_version) as both:
        crowd = Crowd({name: server.address for name, server in both.items()}, source)

        def work(number: int) -> None:
            chance = random.Random(f"{SEED}/{number}")
            for _ in range(CALLS):
                meddle(crowd.context, chance)
                crowd.call(
                    chance.choice(list(PINS)),
                    chance.choice([None, chance.choice(source.policies).revision]),
                )

        together(THREADS, work)
        # Both servers have one name, so that in the crowd most offers meet the server that cannot
        # resume them. Clients of one server, one after another, resume.
        for revision in ["genuine"] * AFTERWARDS:
            crowd.call("genuine", revision)
        assert crowd.wrong == []
        for name, server in both.items():
            assert heard_by(server) == [SECRET] * crowd.permitted[name]
    assert all(crowd.permitted.values()) and crowd.refused and crowd.resumed
    assert sum(crowd.permitted.values()) + crowd.refused == THREADS * CALLS + AFTERWARDS


def test_threads_that_come_first_find_one_inner_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes milliseconds to build, and sessions belong to it."""
    built: list[ssl.SSLContext] = []
    build = inner_contexts._build

    def at_leisure(profile: Profile) -> ssl.SSLContext:
        built.extend(build(profile) for _ in range(100))
        return built[-1]

    context = context_for(pinned())
    inner_context.clear()
    monkeypatch.setattr(inner_contexts, "_build", at_leisure)
    found: list[ssl.SSLContext] = []
    together(THREADS, lambda _: found.append(inner(context)))
    assert len(built) == 100
    assert found == [built[-1]] * THREADS


def test_threads_that_change_one_context_lose_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[tuple[str, Any]] = [
        ("options", ssl.OP_NO_TICKET),
        ("options", ssl.OP_NO_TLSv1_3),
        ("verify_flags", ssl.VERIFY_X509_STRICT),
        ("verify_flags", ssl.VERIFY_CRL_CHECK_LEAF),
        ("verify_flags", ssl.VERIFY_CRL_CHECK_CHAIN),
        ("minimum_version", ssl.TLSVersion.TLSv1_3),
        ("post_handshake_auth", True),
        ("verify_mode", ssl.CERT_NONE),
    ]

    def at_leisure(settings: Settings, **changed: Any) -> Settings:
        for _ in range(200_000):
            pass
        return replace(settings, **changed)

    monkeypatch.setattr(outer, "replace", at_leisure)
    context = context_for(pinned())
    together(THREADS, lambda number: setattr(context, *changes[number]))
    assert context.ignored >= {"verify_mode"} and context.verify_mode is ssl.CERT_REQUIRED
    for name, value in changes[:-1]:
        assert getattr(context, name) & value, name


# Forks

FORKS = 10
FORKING = f"""
    import json, os, random, sys, threading, warnings

    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 says that to fork among threads is dangerous
    from pinio.core.anchors import Anchors
    from tests.tls.crowd import Crowd, Swapped, policies, together

    class Crossing:
        # OpenSSL's own locks do not survive a fork, so that threads are stopped outside of it: inside pinio, where it reads
        # its policy or tells its observer, in the middle of handshakes and writes.

        def __init__(self):
            self.changed, self.closed, self.waiting = threading.Condition(), False, 0

        def wait(self):
            with self.changed:
                self.waiting += 1
                self.changed.notify_all()
                self.changed.wait_for(lambda: not self.closed)
                self.waiting -= 1

        def fork(self):
            with self.changed:
                self.closed = True
                self.changed.wait_for(lambda: self.waiting == {THREADS})
                pid = os.fork()
                self.closed = False
                self.changed.notify_all()
                return pid

    class Stopping(Swapped):
        @property
        def current(self):
            crossing.wait()
            return super().current

    class Stopped(Crowd):
        def hear(self, decision):
            crossing.wait()
            super().hear(decision)

    def child():
        # The other threads are not here, and left things as they were. This process decides anew.
        global crossing
        crossing = Crossing()
        crowd.start_counting()
        for policy in source.policies:
            for name in ports:
                crowd.call(name, policy.revision)
        good = not crowd.wrong and set(crowd.permitted.values()) == {{2}} and crowd.resumed == 0
        os._exit(0 if good else 1)

    def work(number):
        chance = random.Random(f"{SEED}/{{number}}")
        while not done.is_set():
            crowd.call(chance.choice(list(ports)), chance.choice([None, chance.choice(source.policies).revision]))

    def fork(_):
        try:
            for _ in range({FORKS}):
                pid = crossing.fork()
                if pid == 0:
                    child()
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        finally:
            done.set()

    pins, ports, root = json.loads(sys.argv[1])
    crossing, done, statuses = Crossing(), threading.Event(), []
    source = Stopping(policies(pins, Anchors.from_pem(root)))
    crowd = Stopped({{name: ("127.0.0.1", port) for name, port in ports.items()}}, source)
    together({THREADS} + 1, lambda number: (fork if number == {THREADS} else work)(number))
    assert not crowd.wrong, crowd.wrong
    assert all(crowd.permitted.values()) and crowd.refused
    print(json.dumps([statuses, crowd.permitted]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_P1_P4_forks_among_threads_reach_no_wrong_verdict(tls_version: ssl.TLSVersion) -> None:
    with servers(tls_version) as both:
        ports = {name: server.port for name, server in both.items()}
        printed = run_python(FORKING, json.dumps([PINS, ports, ROOT.certificate_pem]))
        statuses, permitted = json.loads(printed)
        assert statuses == [0] * FORKS
        for name, server in both.items():
            assert heard_by(server) == [SECRET] * (permitted[name] + 2 * FORKS)


# Event loops that wrap in threads of their own


class Watched:
    """A source that notes in which threads it was asked."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.threads: set[int] = set()

    @property
    def current(self) -> Policy:
        self.threads.add(threading.get_ident())
        return self._policy


async def ask_by_anyio(context: ssl.SSLContext, server: Server) -> bytes:
    import anyio

    async with await anyio.connect_tcp(
        *server.address,
        ssl_context=context,
        tls_hostname="localhost",
        tls_standard_compatible=False,
    ) as stream:
        await stream.send(SECRET)
        return await stream.receive()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_P1_anyio_which_wraps_in_worker_threads_is_pinned(
    backend: str, tls_version: ssl.TLSVersion
) -> None:
    """It does so for every context that is not exactly `ssl.SSLContext`."""
    anyio: Any = pytest.importorskip("anyio", reason="anyio is not installed")
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    right, wrong = Watched(pinned()), Watched(MISPINNED)
    answers: list[object] = []

    async def one(source: Watched, context: ssl.SSLContext, server: Server) -> None:
        try:
            answers.append(await ask_by_anyio(context, server))
        except Exception as error:  # noqa: BLE001  # what trio makes of it is another's test
            answers.append(type(pinio.find_pin_error(error)))

    async def main(server: Server) -> None:
        contexts = [(source, context_for(source)) for source in (right, wrong)]
        async with anyio.create_task_group() as group:
            for _ in range(THREADS):
                for source, context in contexts:
                    group.start_soon(one, source, context, server)

    with Server(GENUINE, tls_version=tls_version) as server:
        anyio.run(main, server, backend=backend)
        server.wait_quiet()
        assert server.application_bytes == SECRET * THREADS
        assert server.handshakes_finished == THREADS, "P2"
    assert answers.count(SECRET) == answers.count(PinMismatchError) == THREADS
    for source in (right, wrong):
        assert source.threads - {threading.get_ident()}, "asked in a worker thread"
