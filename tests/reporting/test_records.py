"""Logs as lines, metrics and records of OpenTelemetry, gauges of Prometheus."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinio import PinSet, Policy, PolicyError
from pinio.core.decision import Refusal
from pinio.reporting import (
    JSONFormatter,
    LogObserver,
    OpenTelemetryObserver,
    PrometheusObserver,
    source_gauges,
)
from pinio.sources import first_of
from tests.formats.policies import OTHER, PIN
from tests.reporting.decisions import MATCH, REFUSAL, UNLISTED, WAIVED
from tests.sources.following import Following

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=10)


# JSON lines


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    def written() -> list[dict[str, Any]]:
        texts = [JSONFormatter().format(record) for record in caplog.records]
        assert all("\n" not in text and text.isascii() for text in texts)
        return [json.loads(text) for text in texts]

    with caplog.at_level(logging.DEBUG, "pinio"):
        yield written


def test_a_refusal_is_one_line_with_its_fields(lines: Any) -> None:
    LogObserver()(REFUSAL)
    (line,) = lines()
    assert line["level"] == "WARNING" and line["logger"] == "pinio" and line["time"].endswith("Z")
    fields = line["pinio"]
    assert fields["decision"] == "refusal" and fields["reason"] == "PIN_MISMATCH"
    assert fields["host"] == fields["pattern"] == "localhost" and fields["left_out"] == 0


def test_what_was_let_through_is_told_with_its_mode(lines: Any) -> None:
    LogObserver()(WAIVED)
    fields = lines()[0]["pinio"]
    assert (fields["decision"], fields["mode"], fields["verdict"]) == (
        "permit", "report-only", "mismatch",
    )  # fmt: skip


def test_a_peer_ends_no_line(lines: Any) -> None:
    LogObserver()(Refusal("TLS_FAILED", "a.example", detail='x\n{"level": "INFO"}\r\u2028'))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("pinio").exception("failed")
    first, second = lines()
    assert first["level"] == "WARNING" and "two\nlines" in second["exception"]


# OpenTelemetry


@pytest.fixture
def otel() -> Any:
    metrics = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    logs = pytest.importorskip("opentelemetry.sdk._logs")
    log_export = pytest.importorskip("opentelemetry.sdk._logs.export")

    class Otel:
        def __init__(self) -> None:
            self.reader = export.InMemoryMetricReader()
            self.meter_provider = metrics.MeterProvider([self.reader])
            name = "InMemoryLogRecordExporter"
            kind = getattr(log_export, name, None) or log_export.InMemoryLogExporter
            self.logs = kind()
            self.logger_provider = logs.LoggerProvider()
            self.logger_provider.add_log_record_processor(
                log_export.SimpleLogRecordProcessor(self.logs)
            )

        def observer(self, **options: Any) -> OpenTelemetryObserver:
            return OpenTelemetryObserver(
                meter_provider=self.meter_provider, logger_provider=self.logger_provider, **options
            )

        def points(self, name: str) -> list[Any]:
            data = self.reader.get_metrics_data()
            return [
                point
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name == name
                for point in metric.data.data_points
            ]

        def records(self) -> list[Any]:
            return [data.log_record for data in self.logs.get_finished_logs()]

    return Otel()


def test_decisions_are_counted_by_reason_host_pattern_and_revision(otel: Any) -> None:
    observer = otel.observer()
    for decision in (MATCH, MATCH, REFUSAL, UNLISTED):
        observer(decision)
    (permits,) = otel.points("pinio.permits")
    assert permits.value == 2
    assert permits.attributes["pinio.host"] == permits.attributes["pinio.pattern"] == "localhost"
    assert permits.attributes["pinio.verdict"] == "match"
    refusals = {
        point.attributes["pinio.reason"]: point.value for point in otel.points("pinio.refusals")
    }
    assert refusals == {"PIN_MISMATCH": 1, "UNPINNED_HOST": 1}
    (remaining,) = otel.points("pinio.pins.remaining")
    assert remaining.count == 2 and remaining.sum > 0


def test_P10_nobody_makes_series_without_end(otel: Any) -> None:
    observer = otel.observer(most=3)
    for number in range(10):
        observer(Refusal("UNPINNED_HOST", f"{number}.example"))
    hosts = {point.attributes["pinio.host"]: point.value for point in otel.points("pinio.refusals")}
    assert hosts == {"0.example": 1, "1.example": 1, "2.example": 1, "other": 7}


def test_a_refusal_is_a_record_with_the_report_as_attributes(otel: Any) -> None:
    observer = otel.observer()
    for decision in (MATCH, REFUSAL, WAIVED, UNLISTED):
        observer(decision)
    refused, waived, unlisted = otel.records()
    assert refused.event_name == "pinio.refusal" and waived.event_name == "pinio.waived"
    assert refused.attributes["pinio.reason"] == "PIN_MISMATCH"
    assert refused.attributes["pinio.report.hostname"] == "localhost"
    assert refused.attributes["pinio.report.known-pins"]
    assert waived.attributes["pinio.report.enforced"] is False
    assert not [name for name in unlisted.attributes if "report" in name]


# Prometheus


def test_the_gauges_of_a_source_need_no_traffic(following: Following) -> None:
    source = following.source
    pins = PinSet([PIN, OTHER], expires=SOON)
    following.write(Policy({"a.example": pins, "b.example": [PIN, OTHER]}, revision='2"\n'[:2]))
    text = source_gauges({"file": source, "gone": first_of(source)})
    assert 'pinio_policy_info{source="file",revision="2\\""} 1' in text
    assert 'pinio_policy_error{source="file"} 0' in text
    assert f'pinio_policy_next_expiry_seconds{{source="gone"}} {SOON.timestamp():.0f}' in text
    assert 'pinio_policy_expiring{source="file"} 1' in text
    assert "pinio_policy_stale_seconds{" not in text
    following.path.write_text("garbage")
    following.settle()
    assert 'pinio_policy_error{source="file"} 1' in source_gauges({"file": source})


def test_a_policy_and_a_source_of_somebody_elses_have_gauges_too() -> None:
    class Broken:
        @property
        def current(self) -> Policy:
            raise PolicyError("away")

    policy = Policy({"a.example": [PIN, OTHER]}, revision="1")
    text = source_gauges({"fixed": policy, "broken": Broken()})
    assert 'pinio_policy_info{source="fixed",revision="1"} 1' in text
    assert 'pinio_policy_error{source="broken"} 1' in text


def test_prometheus_client_counts_and_keeps_gauges(following: Following) -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    observer = PrometheusObserver({"file": following.source}, registry=registry, interval=1e6)
    for decision in (MATCH, MATCH, REFUSAL, WAIVED):
        observer(decision)
    following.write(following.source.current.replace(revision="2"))
    observer.update()
    observer.close()
    value = registry.get_sample_value
    assert value("pinio_permits_total", {"verdict": "match", "resumed": "false"}) == 2
    assert value("pinio_permits_total", {"verdict": "mismatch", "resumed": "false"}) == 1
    assert value("pinio_refusals_total", {"reason": "PIN_MISMATCH"}) == 1
    assert value("pinio_resumed_ratio") == 0
    assert value("pinio_policy_info", {"source": "file", "revision": "1"}) == 0
    assert value("pinio_policy_info", {"source": "file", "revision": "2"}) == 1
    assert value("pinio_policy_error", {"source": "file"}) == 0
    prefixes = ("pinio_permits", "pinio_refusals", "pinio_policy_")
    named = {family.name for family in registry.collect()}
    assert all(name.startswith((*prefixes, "pinio_resumed")) for name in named)


PROGRAM = """
import os, sys
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from pinio import Policy
from pinio.core.decision import Refusal
from pinio.reporting import PrometheusObserver
pin, other = sys.argv[1:]
for number in range(2):
    if (child := os.fork()) == 0:
        policy = Policy({"a.example": [pin, other]}, revision=str(number))
        PrometheusObserver({"fixed": policy})(Refusal("PIN_MISMATCH", "a.example"))
        os._exit(0)
    os.waitpid(child, 0)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork")
def test_the_counters_of_several_processes_are_added(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    import os

    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, PIN, OTHER],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'pinio_refusals_total{reason="PIN_MISMATCH"} 2.0' in answer.stdout, answer.stderr
    for revision in "01":
        assert f'pinio_policy_info{{revision="{revision}",source="fixed"}} 1.0' in answer.stdout


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("OpenTelemetryObserver", "opentelemetry", "otel"),
        ("PrometheusObserver", "prometheus_client", "prometheus"),
    ],
)
def test_an_observer_of_an_extra_says_how_to_get_it(name: str, library: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\nfrom pinio.reporting import {name}\n{name}()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert f".[{extra}]" in answer.stderr.splitlines()[-1]
