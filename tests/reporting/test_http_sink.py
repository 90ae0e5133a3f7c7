"""Reports that arrive, and those that must not."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinio import Policy, PolicyError
from pinio.core.decision import Refusal
from pinio.reporting import HTTPSink, LogObserver, fan_out
from pinio.testing import CA, Connection, Interceptor, Leaf, Server, http, silent
from tests.docs.pages import ROOT
from tests.formats.policies import OTHER
from tests.reporting.decisions import MATCH, REFUSAL, UNLISTED, WAIVED

CAS = CA()
LEAF: Leaf = CAS.issue("localhost")
POLICY = CAS.rebase(Policy({"localhost": [LEAF.pin, OTHER]}))


class Collector:
    """A server that answers as it is told, and keeps what was posted."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.heard = threading.Condition()

    def handler(self, connection: Connection) -> None:
        def body(request: Any) -> bytes:
            with self.heard:
                self.bodies.append(json.loads(request.body))
                self.headers.append({name.lower(): value for name, value in request.headers})
                self.heard.notify_all()
            return b""

        status = self.statuses.pop(0) if self.statuses else 200
        http(body, status=status)(connection)

    def wait(self, count: int) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.bodies) >= count)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def server(collector: Collector) -> Iterator[Server]:
    with Server(LEAF, handler=collector.handler) as server:
        yield server


Make = Callable[..., HTTPSink]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Sinks without a thread: a test takes their turns, unless it says `thread=True`."""
    made: list[HTTPSink] = []

    def sink(server: Server | Interceptor, *, thread: bool = False, **options: Any) -> HTTPSink:
        if not options.keys() & {"policy", "anchors"}:
            options["policy"] = POLICY
        made.append(HTTPSink(f"https://localhost:{server.port}/pins", timeout=60, **options))
        if not thread:
            made[-1]._thread = threading.current_thread()
        return made[-1]

    yield sink
    for each in made:
        each._closed = True
        each._wake.set()
        if each._thread not in (None, threading.current_thread()):
            each._thread.join()


def test_a_report_arrives_as_the_rfc_says(make: Make, server: Server, collector: Collector) -> None:
    sink = make(server, thread=True)
    for decision in (MATCH, UNLISTED, REFUSAL):
        sink(decision)
    collector.wait(1)
    assert REFUSAL.report is not None
    assert collector.bodies == [REFUSAL.report.to_json()]
    assert collector.headers[0]["content-type"] == "application/json"


def test_reports_go_in_batches(make: Make, server: Server, collector: Collector) -> None:
    sink = make(server, batch=3, headers={"Authorization": "Bearer x"})
    for _ in range(4):
        sink(WAIVED)
    assert sink.flush() and sink.sent == 4 and sink.error is None
    assert [len(body) for body in collector.bodies] == [3, 1]
    assert collector.headers[0]["authorization"] == "Bearer x"


def test_a_report_that_was_not_taken_is_sent_again_in_order(
    make: Make, server: Server, collector: Collector
) -> None:
    sink = make(server)
    collector.statuses = [500, 429, 302]
    sink(REFUSAL)
    sink(WAIVED)
    delays = [sink._turn() for _ in range(3)]
    assert sink.error == "HTTP status 302" and (sink.sent, len(sink)) == (0, 2)
    for number, delay in enumerate(delays, 1):
        assert delay is not None and 2.0**number / 2 <= delay <= 2.0**number
    assert sink.flush() and sink.sent == 2 and sink.dropped == 0
    assert [body["enforced"] for body in collector.bodies[-2:]] == [True, False]


def test_what_a_collector_never_takes_is_given_up(
    make: Make, server: Server, collector: Collector
) -> None:
    sink = make(server)
    collector.statuses = [400]
    sink(REFUSAL)
    sink(WAIVED)
    assert sink._turn() == 0.0 and sink.error == "HTTP status 400"
    assert sink.flush() and (sink.sent, sink.dropped) == (1, 1)


def test_P10_the_queue_is_bounded_and_says_what_it_lost(make: Make, server: Server) -> None:
    sink = make(server, size=3)
    for _ in range(5):
        sink(REFUSAL)
    assert (len(sink), sink.dropped) == (3, 2)


def test_P10_a_failure_loses_the_oldest_of_too_many(
    make: Make, server: Server, collector: Collector
) -> None:
    collector.statuses = [500]
    sink = make(server, size=2, batch=2)
    sink(REFUSAL)
    sink(REFUSAL)
    taken = sink._next()
    assert taken[2] == 2
    sink(WAIVED)
    sink._spill()
    assert (len(sink), sink.dropped) == (2, 1)


def test_a_sink_that_is_the_attacker_gets_nothing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does a refusal of the sink's own connection make another report."""
    with Interceptor(CAS, "localhost") as interceptor, caplog.at_level(logging.WARNING, "pinio"):
        sink = make(interceptor)
        observer = fan_out(LogObserver(), sink)
        observer(REFUSAL)
        for _ in range(3):
            delay = sink._turn()
            assert delay is not None and delay > 0
        assert "PinMismatchError" in str(sink.error)
        assert len(sink) == 1, "the same report, and none about the sink"
        records = interceptor.connections
    assert len(records) == 3
    assert not any(record.application_bytes for record in records)
    assert not any(record.handshake_finished for record in records)
    assert sum("refused: localhost" in record.getMessage() for record in caplog.records) >= 1


def test_a_sink_that_the_default_observer_feeds_never_recurses(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Interceptor(CAS, "localhost") as interceptor:
        sink = make(interceptor)
        monkeypatch.setattr("pinio.reporting.default_observer", sink)
        sink(REFUSAL)
        sink._turn()
        assert len(sink) == 1


def test_a_collector_that_answers_without_end_or_never_is_left(make: Make) -> None:
    def endless(connection: Connection) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65_536)

    for handler, timeout in ((endless, 60.0), (silent, 0.2)):
        with Server(LEAF, handler=handler) as server:
            sink = make(server)
            sink._timeout = timeout
            sink(REFUSAL)
            delay = sink._turn()
            assert delay is not None and delay > 0 and len(sink) == 1


def test_what_could_not_be_sent_waits_on_disk(
    make: Make, server: Server, collector: Collector, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    sink = make(server, spool=spool, batch=2)
    collector.statuses = [500]
    for _ in range(3):
        sink(REFUSAL)
    sink._turn()
    assert len(sink) == 0
    files = sorted(spool.glob("*.json"))
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    later = make(server, spool=spool)
    assert later.flush() and later.sent == 3 and not list(spool.glob("*.json"))


def test_what_waits_is_put_on_disk_at_the_end(
    make: Make, server: Server, collector: Collector, tmp_path: Path
) -> None:
    collector.statuses = [500]
    sink = make(server, spool=tmp_path / "spool")
    sink(REFUSAL)
    sink.close()
    sink(REFUSAL)  # which hears nothing any more
    assert len(list((tmp_path / "spool").glob("*.json"))) == 1 and len(sink) == 0


def test_P10_the_spool_is_bounded(make: Make, server: Server, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    assert REFUSAL.report is not None
    size = len(json.dumps(REFUSAL.report.to_json()))
    sink = make(server, spool=spool, spool_bytes=2 * size + 10)
    for _ in range(5):
        sink(REFUSAL)
    sink._spill()
    assert sum(path.stat().st_size for path in spool.glob("*.json")) <= 2 * size + 10
    assert sink.dropped == 3
    small = make(server, spool=tmp_path / "small", spool_bytes=10)
    small(REFUSAL)
    small._spill()
    assert small.dropped == 1


@pytest.mark.parametrize("how", ["link", "mode", "name"])
def test_what_another_user_put_into_the_spool_is_not_sent(
    make: Make, server: Server, collector: Collector, tmp_path: Path, how: str
) -> None:
    secret, spool = tmp_path / "secret", tmp_path / "spool"
    secret.write_text('{"secret": 1}')
    sink = make(server, spool=spool)
    planted = spool / ("0-1.json" if how != "name" else "0.json")
    if how == "link":
        planted.symlink_to(secret)
    else:
        planted.write_text("{}")
        planted.chmod(0o666)
    assert sink.flush() and not collector.bodies and not planted.exists()
    assert secret.exists()


def test_a_spool_that_others_may_write_is_refused(
    make: Make, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "spool").chmod(0o777)
    with pytest.raises(PolicyError, match="others may write"):
        make(server, spool=tmp_path / "spool")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_process_does_not_send_its_parents_reports(make: Make, server: Server) -> None:
    sink = make(server)
    sink(REFUSAL)
    sink._unlock()  # as in the child
    assert len(sink) == 0 and sink._turn() is None


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("https://a.example/", {}, "by one of"),
        ("https://a.example/", {"policy": POLICY, "anchors": CAS.anchors}, "by one of"),
        ("http://a.example/", {"policy": POLICY}, "https://"),
        ("https://a.example/", {"policy": POLICY, "size": 0}, "size"),
        ("https://a.example/", {"policy": POLICY, "batch": 0}, "batch"),
        ("https://a.example/", {"policy": POLICY, "timeout": 0}, "timeout"),
        ("https://a.example/", {"policy": POLICY, "headers": {"X": "a\r\nb"}}, "one line"),
        ("https://a.example/", {"policy": POLICY, "spool": "s", "spool_bytes": 0}, "spool_bytes"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(
    url: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(PolicyError, match=words):
        HTTPSink(url, **options)


def test_a_collector_may_be_verified_by_its_ca_alone(
    make: Make, server: Server, collector: Collector
) -> None:
    sink = make(server, anchors=CAS.anchors)
    sink(REFUSAL)
    assert sink.flush() and len(collector.bodies) == 1
    stranger = make(server, anchors=CA().anchors)
    stranger(REFUSAL)
    assert not stranger.flush() and "CertificateNotVerifiedError" in str(stranger.error)


def test_the_thread_ends_with_its_sink(make: Make, server: Server, collector: Collector) -> None:
    sink = make(server, thread=True)
    sink(Refusal("PIN_MISMATCH", "a.example"))  # has no report
    assert sink._thread is None
    sink(REFUSAL)
    collector.wait(1)
    thread = sink._thread
    assert thread is not None
    sink.close()
    thread.join()


ENDING = """
import sys
from pinio import Policy
from pinio.reporting import HTTPSink
from tests.reporting.decisions import REFUSAL

url, spool, pin, other = sys.argv[1:]
sink = HTTPSink(url, policy=Policy({"localhost": [pin, other]}), spool=spool)
sink._thread = True  # as if it had no turn before the end
sink(REFUSAL)
"""


def test_what_waits_at_the_end_of_a_program_is_put_on_disk(
    make: Make, server: Server, collector: Collector, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    arguments = [f"https://localhost:{server.port}/", str(spool), LEAF.pin, OTHER]
    answer = subprocess.run(
        [sys.executable, "-c", ENDING, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    later = make(server, spool=spool)
    assert later.flush() and later.sent == 1 and len(collector.bodies) == 1
