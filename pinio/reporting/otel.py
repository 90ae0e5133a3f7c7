"""Decisions as metrics and log records of OpenTelemetry."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from pinio.core.decision import Permit, Refusal
from pinio.extras import how_to_install
from pinio.reporting.facts import facts

OTHER: Final = "other"
"""The value of an attribute that has had too many."""


class OpenTelemetryObserver:
    """An observer that counts and records by OpenTelemetry's API; spans are not touched.

    Metrics: `pinio.permits` and `pinio.refusals` (counters), `pinio.evidence.age` (histogram:
    seconds since the full handshake of a resumed session), `pinio.pins.remaining` (histogram:
    seconds until the pins expire that decided). Attributes: `pinio.host`, `pinio.pattern`,
    `pinio.revision`, and `pinio.reason` or `pinio.verdict`. Each has at most `most` values in a
    process; what comes later is "other".

    A refusal, and what was let through although the pins did not match, is a log record too: event
    "pinio.refusal" or "pinio.waived", with the decision's fields and the report as attributes.

    Args:
        meter_provider: where metrics go; the global one if None.
        logger_provider: where records go; the global one if None.
        most: different values of one attribute.

    Raises `ImportError` without the extra `otel`.
    """

    def __init__(
        self, *, meter_provider: Any = None, logger_provider: Any = None, most: int = 200
    ) -> None:
        try:
            from opentelemetry import metrics
            from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
        except ImportError as error:
            raise ImportError(
                f"OpenTelemetryObserver needs opentelemetry-api; {how_to_install('otel')}"
            ) from error
        meter = metrics.get_meter("pinio", meter_provider=meter_provider)
        self._logger = get_logger("pinio", logger_provider=logger_provider)
        self._record, self._severity = LogRecord, SeverityNumber
        self._permits = meter.create_counter(
            "pinio.permits", unit="{connection}", description="Connections that were permitted."
        )
        self._refusals = meter.create_counter(
            "pinio.refusals", unit="{connection}", description="Connections that were refused."
        )
        self._age = meter.create_histogram(
            "pinio.evidence.age", unit="s", description="Age of the evidence of resumed sessions."
        )
        self._remaining = meter.create_histogram(
            "pinio.pins.remaining", unit="s", description="Time until the deciding pins expire."
        )
        self._most = most
        self._known: dict[str, set[str]] = {}

    def __call__(self, decision: Permit | Refusal) -> None:
        found = facts(decision)
        names = ["host", "pattern", "revision"]
        refused = isinstance(decision, Refusal)
        attributes = self._bounded(found, [*names, "reason" if refused else "verdict"])
        if isinstance(decision, Refusal):
            self._refusals.add(1, attributes)
        else:
            flags = {"pinio.resumed": decision.resumed, "pinio.backup": decision.backup}
            self._permits.add(1, {**attributes, **flags})
            if decision.expires is not None:
                self._remaining.record(decision.expires.timestamp() - time.time(), attributes)
        if decision.evidence_age is not None:
            self._age.record(decision.evidence_age, attributes)
        if refused or decision.report is not None:
            self._emit(decision, found)

    def _bounded(self, found: Mapping[str, object], names: list[str]) -> dict[str, str]:
        """The attributes of a metric: no peer and no policy makes more series than `most` of each."""
        attributes: dict[str, str] = {}
        for name in names:
            if name not in found:
                continue
            value, known = str(found[name]), self._known.setdefault(name, set())
            if value not in known:
                if len(known) >= self._most:
                    value = OTHER
                else:
                    known.add(value)
            attributes[f"pinio.{name}"] = value
        return attributes

    def _emit(self, decision: Permit | Refusal, found: Mapping[str, object]) -> None:
        attributes: dict[str, Any] = {f"pinio.{name}": value for name, value in found.items()}
        if (report := decision.report) is not None:
            for name, value in report.to_json().items():
                if value is not None:
                    attributes[f"pinio.report.{name}"] = value
        refused = isinstance(decision, Refusal)
        self._logger.emit(
            self._record(
                timestamp=int(decision.time * 1e9),
                severity_number=self._severity.ERROR if refused else self._severity.WARN,
                severity_text="ERROR" if refused else "WARN",
                body=str(found.get("summary", "pins did not match; let through")),
                attributes=attributes,
                event_name="pinio.refusal" if refused else "pinio.waived",
            )
        )
