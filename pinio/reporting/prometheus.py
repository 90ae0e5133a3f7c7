"""Decisions and sources as metrics of prometheus_client, also of several processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinio.core.decision import Permit, Refusal
from pinio.extras import how_to_install
from pinio.reporting.gauges import GAUGES, Reading
from pinio.sources.polling import Poller
from pinio.typing import PolicySource

_EARLIEST = {
    "pinio_policy_checked_seconds", "pinio_policy_loaded_seconds",
    "pinio_policy_next_expiry_seconds", "pinio_policy_stale_seconds",
}  # fmt: skip


class PrometheusObserver:
    """An observer that counts in `prometheus_client`, and keeps gauges of sources.

        observer = fan_out(LogObserver(), PrometheusObserver({"fleet": source}))

    The series are those of `Counters` and `source_gauges`, and `pinio_resumed_ratio`, the part of
    this process's permits whose session was resumed. With `PROMETHEUS_MULTIPROC_DIR` set, as for
    Gunicorn's workers, prometheus_client adds the counters of all processes; of a gauge it shows the
    worst: the earliest date, any error.

    Args:
        sources: name → source, for the gauges.
        registry: of prometheus_client; its global one if None.
        interval: seconds between two looks at the sources, in a thread of this object's.

    Raises `ImportError` without the extra `prometheus`.
    """

    def __init__(
        self,
        sources: Mapping[str, PolicySource] | None = None,
        *,
        registry: Any = None,
        interval: float = 15.0,
    ) -> None:
        try:
            from prometheus_client import REGISTRY, Counter, Gauge
        except ImportError as error:
            raise ImportError(
                f"PrometheusObserver needs prometheus_client; {how_to_install('prometheus')}"
            ) from error
        into: Any = {"registry": REGISTRY if registry is None else registry}
        self._permits = Counter(
            "pinio_permits", "Pinned connections that were permitted.", ["verdict", "resumed"],
            **into,
        )  # fmt: skip
        self._refusals = Counter(
            "pinio_refusals", "Pinned connections that were refused.", ["reason"], **into
        )
        self._ratio = Gauge(
            "pinio_resumed_ratio",
            "The part of permits whose session was resumed.",
            multiprocess_mode="liveall",
            **into,
        )
        self._info = Gauge(
            "pinio_policy_info",
            "The revision of the policy in force.",
            ["source", "revision"],
            multiprocess_mode="livemax",
            **into,
        )
        self._gauges = {
            name: Gauge(
                name,
                what,
                ["source"],
                multiprocess_mode="livemin" if name in _EARLIEST else "livemax",
                **into,
            )
            for name, what in GAUGES.items()
        }
        self._sources = dict(sources or {})
        self._revisions: dict[str, str] = {}
        self._all = self._resumed = 0
        self.update()
        self._poller = Poller(self.update, interval, at_once=False)
        if self._sources:
            self._poller.ensure()

    def __call__(self, decision: Permit | Refusal) -> None:
        if isinstance(decision, Refusal):
            self._refusals.labels(decision.reason).inc()
            return
        verdict = "backup" if decision.backup else type(decision.verdict).__name__.lower()
        self._permits.labels(verdict, str(decision.resumed).lower()).inc()
        self._all += 1
        self._resumed += decision.resumed
        self._ratio.set(self._resumed / self._all)

    def update(self) -> None:
        """Look at the sources now."""
        for name, source in self._sources.items():
            reading = Reading.of(source)
            before = self._revisions.get(name)
            if before is not None and before != reading.revision:
                self._info.labels(name, before).set(0)
            self._revisions[name] = reading.revision
            self._info.labels(name, reading.revision).set(1)
            for gauge, value in reading.values.items():
                self._gauges[gauge].labels(name).set(value)

    def close(self) -> None:
        """Look at the sources no more."""
        self._poller.close()
