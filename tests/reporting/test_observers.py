"""Who is told, how often, and that nobody who listens can do harm."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

import pinio
from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.errors import BY_REASON, PinVerificationError, PolicyError
from pinio.httpx import AsyncPinnedHTTPTransport, PinnedHTTPTransport
from pinio.reporting import Counters, LogObserver, Queue, default_observer, fan_out, notify
from pinio.requests import PinnedSession
from pinio.testing import Server, http
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, MISPINNED, App, Told, pinned
from tests.tls.process import run_python
from tests.tls.through import ask

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def decided(policy: Policy, host: str = "localhost") -> Permit | Refusal:
    """What a connection under `policy` is told about."""
    told = Told()
    context = pinio.create_ssl_context(policy, observer=told, resumption=False)
    with Server(GENUINE) as server, contextlib.suppress(PinVerificationError):
        ask(context, server, host)
    (decision,) = told
    return decision


MATCH = decided(pinned())
REFUSAL = decided(MISPINNED)
WAIVED = decided(pinned(ABSENT, mode="report-only"))
EXPIRED = decided(pinned(expires=PAST, on_expiry="report"))


def refusal(host: str, reason: str = "PIN_MISMATCH") -> Refusal:
    return Refusal(reason, host)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# LogObserver


def test_a_match_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    LogObserver()(MATCH)
    assert not caplog.records


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            REFUSAL,
            (
                "refused: localhost",
                "no certificate in the verified chain matches",
                GENUINE.pin,
                ABSENT,
            ),
        ),
        (
            WAIVED,
            (
                "let through: localhost is pinned, and no certificate",
                " (report-only).",
                GENUINE.pin,
                ABSENT,
            ),
        ),
        (
            EXPIRED,
            (
                "let through: localhost is pinned, and its pins have expired",
                ' (on_expiry="report").',
                GENUINE.pin,
                "expired 2020-01-01T00:00:00Z",
            ),
        ),
    ],
    ids=["refused", "report-only", "expired"],
)
def test_what_went_wrong_is_a_warning(
    decision: Permit | Refusal, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    LogObserver()(decision)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pinio", logging.WARNING)
    assert all(word in record.getMessage() for word in words)


def test_a_host_and_reason_is_logged_once_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    observer = LogObserver(clock=clock)
    for _ in range(5):
        observer(refusal("a.test"))
    observer(refusal("b.test"))
    observer(refusal("a.test", "DENIED_KEY"))
    assert len(caplog.records) == 3
    clock.now += 59.9
    observer(refusal("a.test"))
    assert len(caplog.records) == 3
    clock.now += 0.1
    observer(refusal("a.test"))
    assert "(5 more like this were not logged)" in caplog.records[-1].getMessage()
    clock.now += 60
    observer(refusal("a.test"))
    assert len(caplog.records) == 5
    assert "more like this" not in caplog.records[-1].getMessage()


def test_a_clock_that_runs_backwards_silences_nobody(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    observer = LogObserver(clock=clock)
    observer(refusal("a.test"))
    clock.now = 0.0
    observer(refusal("a.test"))
    assert len(caplog.records) == 2


def test_P10_it_remembers_so_many_hosts_and_no_more(clock: Clock) -> None:
    observer = LogObserver(clock=clock)
    for number in range(3000):
        observer(refusal(f"{number}.test"))
    assert len(observer._seen) == 1024
    assert ("2999.test", "PIN_MISMATCH") in observer._seen


def test_what_a_peer_wrote_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    LogObserver()(Refusal("PIN_MISMATCH", "a.test", detail="x\nWARNING pinio: all is well\x1b[2J"))
    text = caplog.records[0].getMessage()
    assert "\x1b" not in text
    assert "\nWARNING" not in text


# Counters


def test_counters_have_names_that_stay() -> None:
    counters = Counters()
    for decision in (MATCH, MATCH, WAIVED, EXPIRED, REFUSAL, refusal("b.test", "DENIED_KEY")):
        counters(decision)
    assert (counters.permits(), counters.refusals()) == (4, 2)
    assert (
        counters.permits("match"),
        counters.permits("mismatch"),
        counters.permits("expired"),
    ) == (2, 1, 1)
    assert (counters.refusals("PIN_MISMATCH"), counters.refusals("DENIED_KEY")) == (1, 1)
    assert counters.permits("backup") == counters.refusals("PINS_EXPIRED") == 0
    assert counters.prometheus() == (
        "# HELP pinio_permits_total Pinned connections that were permitted.\n"
        "# TYPE pinio_permits_total counter\n"
        'pinio_permits_total{verdict="expired",resumed="false"} 1\n'
        'pinio_permits_total{verdict="match",resumed="false"} 2\n'
        'pinio_permits_total{verdict="mismatch",resumed="false"} 1\n'
        "# HELP pinio_refusals_total Pinned connections that were refused.\n"
        "# TYPE pinio_refusals_total counter\n"
        'pinio_refusals_total{reason="DENIED_KEY"} 1\n'
        'pinio_refusals_total{reason="PIN_MISMATCH"} 1\n'
    )


def test_a_backup_and_a_resumption_are_counted_apart() -> None:
    counters = Counters()
    policy = Policy({"localhost": pinned(ABSENT).hosts["localhost"].replace(backup=[GENUINE.pin])})
    context = pinio.create_ssl_context(policy, observer=counters, resumption=SessionCache())
    with Server(GENUINE) as server:
        ask(context, server)
        ask(context, server)
    assert 'verdict="backup",resumed="false"} 1' in counters.prometheus()
    assert 'verdict="backup",resumed="true"} 1' in counters.prometheus()
    assert counters.permits("backup") == 2


def test_P10_counters_know_no_hosts() -> None:
    counters = Counters()
    for number in range(1000):
        for reason in BY_REASON:
            counters(refusal(f"{number}.test", reason))
    assert counters.prometheus().count("\n") == 4 + len(BY_REASON)


def test_counters_add_up_over_threads() -> None:
    counters = Counters()

    def count() -> None:
        for _ in range(2000):
            counters(MATCH)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.permits() == 16000


# Queue


def test_a_queue_keeps_the_latest_and_counts_the_rest() -> None:
    queue = Queue(3)
    sent = [refusal(f"{number}.test") for number in range(5)]
    for decision in sent:
        queue(decision)
    assert (len(queue), queue.dropped) == (3, 2)
    assert queue.drain() == sent[2:]
    assert queue.drain() == []
    assert len(queue) == 0


def test_a_queue_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Queue(0)


async def test_get_takes_what_is_there_and_waits_for_what_is_not() -> None:
    queue = Queue()
    queue(REFUSAL)
    assert await queue.get() is REFUSAL
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(queue, MATCH)
    assert await waiting is MATCH


async def test_each_of_several_waiters_gets_one() -> None:
    queue = Queue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    sent = [refusal(f"{number}.test") for number in range(3)]
    for decision in sent:
        queue(decision)
    assert await asyncio.gather(*waiting) == sent


async def test_a_waiter_that_was_cancelled_takes_nothing_with_it() -> None:
    queue = Queue()
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue(REFUSAL)
    first.cancel()
    assert await second is REFUSAL
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_waiter_whose_loop_is_gone_stops_nobody() -> None:
    """A decision is told on the connection's thread, which must not pay for a listener that went away."""
    queue = Queue()
    gone = asyncio.new_event_loop()
    gone.close()
    queue._waiters.append((gone, gone.create_future()))
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue(REFUSAL)
    assert await waiting is REFUSAL


# fan_out


def test_fan_out_tells_everybody_whoever_fails(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Told(), Told()

    def failing(decision: Permit | Refusal) -> None:
        raise ZeroDivisionError

    fan_out(first, failing, last)(MATCH)
    assert list(first) == list(last) == [MATCH]
    assert [record.exc_info is not None for record in caplog.records] == [True]


# Locks

FORK = """
    import os, threading, time, warnings
    from pinio.core.decision import Refusal
    from pinio.reporting import Counters, LogObserver, Queue, default_observer

    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 says that to fork among threads is dangerous
    observers = [default_observer, LogObserver(), Counters(), Queue()]
    inside, over = threading.Event(), threading.Event()

    def hold():  # as a thread would that is told of a decision
        with observers[0]._lock, observers[1]._lock, observers[2]._lock, observers[3]._lock:
            inside.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    if (child := os.fork()) == 0:
        free = all(observer._lock.acquire(blocking=False) for observer in observers)
        if free:
            for observer in observers:
                observer(Refusal("PIN_MISMATCH", "localhost", time=time.time()))
        os._exit(0 if free else 1)
    status = os.waitpid(child, 0)[1]
    over.set()
    thread.join()
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_is_told_leaves_no_lock_behind() -> None:
    assert run_python(FORK) == "0\n"


@pytest.mark.parametrize("kind", [LogObserver, Counters, Queue])
def test_a_signal_handler_may_ask_in_the_middle_of_being_told(kind: Any) -> None:
    """It runs in the thread that it interrupts, and would wait for itself."""
    observer = kind()
    with observer._lock:
        assert observer._lock.acquire(blocking=False)
        observer._lock.release()


# Every door


async def raw(policy: Policy, server: Server, observer: Any) -> None:
    _, writer = await pinio.open_connection(
        "localhost", server.port, policy=policy, observer=observer, resumption=False
    )
    writer.close()
    await writer.wait_closed()


async def raw_transport(policy: Policy, server: Server, observer: Any) -> None:
    transport, protocol = await pinio.create_connection(
        App, "localhost", server.port, policy=policy, observer=observer, resumption=False
    )
    transport.abort()
    await protocol.lost


async def raw_start_tls(policy: Policy, server: Server, observer: Any) -> None:
    plain, protocol = await asyncio.get_running_loop().create_connection(
        lambda: App(opening=b""), *server.address
    )
    try:
        transport = await pinio.start_tls(
            plain,
            protocol,
            policy=policy,
            server_hostname="localhost",
            observer=observer,
            resumption=False,
        )
        transport.abort()
    finally:
        plain.abort()
        await asyncio.wait([protocol.lost])


async def raw_upgrade(policy: Policy, server: Server, observer: Any) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    plain = writer.transport
    try:
        _, writer = await pinio.upgrade(
            reader,
            writer,
            policy=policy,
            server_hostname="localhost",
            observer=observer,
            resumption=False,
        )
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    finally:
        plain.abort()


async def over_bio(policy: Policy, server: Server, observer: Any) -> None:
    context = pinio.create_ssl_context(policy, observer=observer, resumption=False)
    _, writer = await asyncio.open_connection(*server.address)
    try:
        await writer.start_tls(context, server_hostname="localhost")
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def over_socket(policy: Policy, server: Server, observer: Any) -> None:
    context = pinio.create_ssl_context(policy, observer=observer, resumption=False)
    await asyncio.to_thread(ask, context, server)


async def by_aiohttp(policy: Policy, server: Server, observer: Any) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from pinio.aiohttp import PinnedConnector

    connector = PinnedConnector(policy, observer=observer, resumption=False)
    url = f"https://localhost:{server.port}/"
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        await response.read()


each_door = pytest.mark.parametrize(
    "door", [raw, raw_transport, raw_start_tls, raw_upgrade, over_bio, over_socket, by_aiohttp]
)


def serving(door: Any) -> Server:
    return Server(GENUINE, handler=http()) if door is by_aiohttp else Server(GENUINE)


@each_door
async def test_P7_every_door_tells_its_observer(door: Any) -> None:
    for policy, kind in (
        (pinned(), Permit),
        (MISPINNED, Refusal),
        (pinned(ABSENT, mode="report-only"), Permit),
    ):
        told = Told()
        with serving(door) as server, contextlib.suppress(OSError):
            await door(policy, server, told)
        (decision,) = told
        assert type(decision) is kind
        assert (decision.report is None) == (policy.hosts == pinned().hosts)


@each_door
async def test_every_observer_understands_every_door(
    door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of a host that is refused before there is a connection."""
    counters, queue = Counters(), Queue()
    observer = fan_out(LogObserver(), counters, queue)
    report_only = pinned(ABSENT, mode="report-only")
    with serving(door) as server:
        for policy in (pinned(), MISPINNED, report_only, pinned(host="elsewhere.test")):
            with contextlib.suppress(OSError):
                await door(policy, server, observer)
    assert (counters.permits("match"), counters.permits("mismatch"), counters.permits()) == (
        1,
        1,
        2,
    )
    assert counters.refusals("PIN_MISMATCH") == counters.refusals("UNPINNED_HOST") == 1
    decisions = queue.drain()
    assert [type(decision) for decision in decisions] == [Permit, Refusal, Permit, Refusal]
    assert {decision.host for decision in decisions} == {"localhost"}
    words = [
        record.getMessage().split(":")[0] for record in caplog.records if record.name == "pinio"
    ]
    assert words == ["refused", "let through", "refused"]


@each_door
async def test_P7_no_door_is_mute_without_one(
    door: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_observer, "_seen", {})
    with serving(door) as server, contextlib.suppress(OSError):
        await door(MISPINNED, server, None)
    assert [record.getMessage().splitlines()[0].split(":")[0] for record in caplog.records] == [
        "refused"
    ]


@each_door
async def test_an_observer_that_fails_changes_nothing(
    door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(decision: Permit | Refusal) -> None:
        raise ZeroDivisionError

    with serving(door) as server:
        await door(pinned(), server, failing)
        with pytest.raises(OSError) as error:
            await door(MISPINNED, server, failing)
    assert isinstance(pinio.find_pin_error(error.value), pinio.PinMismatchError)
    assert len(caplog.records) == 2


@each_door
async def test_P6_an_observer_cannot_turn_a_refusal_into_anything_else(door: Any) -> None:
    """Not even by raising what a loop reads as "try again"."""

    def failing(decision: Permit | Refusal) -> None:
        raise ssl.SSLWantReadError

    with serving(door) as server:
        with pytest.raises(OSError) as error:
            await door(MISPINNED, server, failing)
        assert isinstance(pinio.find_pin_error(error.value), pinio.PinMismatchError)
        await server.quiet()
        assert server.application_bytes == b""


# What would never run


async def coroutine(decision: Permit | Refusal) -> None:
    """A coroutine function: called, it does nothing."""


def generator(decision: Permit | Refusal) -> Iterator[None]:
    """A generator function, likewise."""
    yield


async def asynchronous_generator(decision: Permit | Refusal) -> AsyncIterator[None]:
    """And one that is both."""
    yield


class Called:
    """An object whose call is a coroutine function."""

    async def __call__(self, decision: Permit | Refusal) -> None: ...

    async def method(self, decision: Permit | Refusal) -> None: ...


NEVER_RUN: dict[str, Any] = {
    "coroutine function": coroutine,
    "method": Called().method,
    "object": Called(),
    "partial": functools.partial(coroutine),
    "partial of a partial": functools.partial(functools.partial(Called().method)),
    "partial of an object": functools.partial(Called()),
    "mock": AsyncMock(),
    "generator": generator,
    "asynchronous generator": asynchronous_generator,
}
never_run = pytest.mark.parametrize("observer", NEVER_RUN.values(), ids=NEVER_RUN)


@never_run
@each_door
async def test_no_door_takes_an_observer_that_would_never_run(door: Any, observer: Any) -> None:
    """Before anything is sent."""
    with (
        Server(GENUINE) as server,
        pytest.raises(PolicyError, match="an observer is called and never"),
    ):
        await door(pinned(), server, observer)
    assert not any(record.handshake_bytes for record in server.connections)


@never_run
def test_nor_does_anything_else_that_passes_decisions_on(observer: Any) -> None:
    for take in (
        lambda: fan_out(LogObserver(), observer),
        lambda: PinnedSession(pinned(), observer=observer),
        lambda: PinnedHTTPTransport(pinned(), observer=observer),
        lambda: AsyncPinnedHTTPTransport(pinned(), observer=observer),
        lambda: pinio.create_ssl_context(pins=[GENUINE.pin, ABSENT], observer=observer),
    ):
        with pytest.raises(PolicyError, match="an observer is called and never"):
            take()


async def test_a_call_that_stands_in_for_its_contexts_observer_is_checked_too() -> None:
    with Server(GENUINE) as server, pytest.raises(PolicyError, match="never awaited"):
        await pinio.open_connection(
            "localhost",
            server.port,
            ssl=pinio.create_ssl_context(pinned()),
            observer=coroutine,
        )


def test_a_coroutine_that_a_plain_function_returns_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody can see it before; it is closed, so that Python does not complain of it somewhere else."""

    def returning(decision: Permit | Refusal) -> object:
        return coroutine(decision)

    notify(returning, MATCH)
    fan_out(returning)(MATCH)
    assert len(caplog.records) == 2
    assert all("never awaited" in (record.exc_text or "") for record in caplog.records)


def test_what_runs_is_taken() -> None:
    """Whatever its shape."""
    told = Told()
    for observer in (
        told,
        told.append,
        functools.partial(told.__class__.append, told),
        lambda decision: told.append(decision),  # noqa: PLW0108  # a function, and no method
        Mock(side_effect=told),
        fan_out(told),
    ):
        pinio.create_ssl_context(pinned(), observer=observer)
        notify(observer, MATCH)
    assert len(told) == 6
