"""Very many connections at once: how long until all are open, how long one waits, how long the loop does nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Final

from benchmarks.machine import allow_files
from benchmarks.scenarios.scenario import Figures, Scenario, Stage, by_loop, expect, timed
from benchmarks.subjects.client import StreamClient

MANY: Final = 2000
PARTS: Final = (10, 25, 50, 75, 90, 100)
"""Percent of the connections whose opening times are kept, for the plot."""
BEAT: Final = 0.001  # seconds; a blocked loop is noticed by a task that wants to run this often


def storm(stage: Stage) -> Iterator[Figures]:
    """Open them all in one breath, full handshakes."""
    count = stage.size(MANY, 20)
    allow_files(count + 200)
    with stage.client() as client:
        expect(isinstance(client, StreamClient), "this client has no streams")
        assert isinstance(client, StreamClient)
        while True:
            (opened, blocked), cpu = timed(lambda: client.run(_open_all(client, count)))
            expect(
                len(opened) == count, f"{count - len(opened)} of {count} connections did not open"
            )
            yield {
                "cpu": cpu / count,
                "blocked": blocked,
                **{f"open_{part}%": opened[len(opened) * part // 100 - 1] for part in PARTS},
            }


async def _open_all(client: StreamClient, count: int) -> tuple[list[float], float]:
    """When each connection was open, in seconds from the start and in that order; and the longest silence of the loop."""
    opened: list[float] = []
    transports: list[asyncio.WriteTransport] = []

    async def one() -> None:
        _, writer = await client.open()
        opened.append(perf_counter() - began)
        transports.append(writer.transport)
        if client.pinned and hasattr(writer.transport, "permit"):
            permit = writer.get_extra_info("pinio")
            expect(permit is not None and permit.pinned, "a connection without a Permit by a pin")

    heart = asyncio.ensure_future(_longest_silence())
    await asyncio.sleep(BEAT)
    began = perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    heart.cancel()
    blocked = await heart
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)
    return opened, blocked


async def _longest_silence() -> float:
    longest, last = 0.0, perf_counter()
    try:
        while True:
            await asyncio.sleep(BEAT)
            now = perf_counter()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return max(longest, perf_counter() - last)


SCENARIOS: Final = [
    Scenario(
        "storm",
        f"{MANY:,} connections at once, full handshakes (times are wall time)",
        storm,
        {"asyncio": (), "uvloop": ("asyncio",), **by_loop("aiofastnet", "pinio", "pinio-context")},
        {"cpu": "s", "blocked": "s", **{f"open_{part}%": "s" for part in PARTS}},
        "builtin",
        rounds=5,
    )
]
