"""One process of the simulated fleet: does what it is told on standard input, and answers in JSON, a line each."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from tuf.ngclient._internal import trusted_metadata_set

import pinio
from pinio.reporting import HTTPSink, LogObserver, fan_out
from tests.tuf.fleet import Travelled

DAY = 86_400.0


class Member:
    """A program that follows the repository, reports to the collector, and has one service to speak to."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.ahead = 0.0  # days by which this machine's clock is ahead
        self.real = trusted_metadata_set.datetime
        anchors = pinio.Anchors.from_pem(config["ca"])
        pins = pinio.PinSet(config["pins"], anchors=anchors, single="a simulation")
        bootstrap = pinio.Policy({"localhost": pins})
        self.sink = HTTPSink(config["collector"], policy=bootstrap, timeout=60)
        self.observer = fan_out(LogObserver(), self.sink)
        self.service: int = config["service"]
        self.source = pinio.TUFSource(
            config["repository"],
            root=config["root"],
            policy=bootstrap,
            cache=config["cache"],
            interval=100_000.0,
            timeout=config["timeout"],
            max_stale=config["max_stale"],
            wall=lambda: time.time() + self.ahead * DAY,
        )

    def clock(self, days: float) -> None:
        self.ahead = days
        module: Any = trusted_metadata_set
        module.datetime = Travelled(self.real, days)

    def refresh(self) -> None:
        self.source.refresh()

    def hurry(self) -> None:
        """Refresh meanwhile, and not for long."""
        self.source._timeout = 1.0
        self.refreshing = threading.Thread(target=self.source.refresh)
        self.refreshing.start()

    def settle(self) -> None:
        """Wait for that refresh, which was too slow."""
        self.refreshing.join()
        assert "SlowRetrievalError" in str(self.source.error)
        self.source._timeout = 60.0

    def report(self) -> int:
        """Send what waits."""
        self.sink.flush()
        return self.sink.sent

    def look(self) -> dict[str, Any]:
        """Connect to the service, and say how it went and what is in force."""
        health = self.source.health()
        began = time.monotonic()
        try:
            outcome = asyncio.run(self._connect())
        except (OSError, pinio.PolicyError) as error:
            outcome = type(error).__name__
        return {
            "revision": health.revision,
            "error": health.error,
            "outcome": outcome,
            "seconds": time.monotonic() - began,
            "waiting": len(self.sink),
        }

    async def _connect(self) -> str:
        _, writer = await pinio.open_connection(
            "localhost", self.service, policy=self.source, observer=self.observer
        )
        writer.transport.abort()
        return "connected"


def main() -> None:
    member = Member(json.loads(sys.argv[1]))
    print(json.dumps("ready"), flush=True)  # noqa: T201  the answer
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer = getattr(member, name)(*arguments)
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
