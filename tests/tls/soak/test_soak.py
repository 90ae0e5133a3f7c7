"""Thousands of connections, opened, refused, cancelled, half-closed, reset at random points: nothing is left of any of them.

The schedule is drawn from a seed and each connection's number. An ordinary run has a thousand on
each loop; the whole soak is

    ./run tests -n 2 tests/tls/soak --soak 20000

and its figures stand at the end of what pytest prints.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import pinio
from pinio.tls.handshake.peer import reading_leaks
from tests.tls.soak.census import Census, private
from tests.tls.soak.client import Client, peer
from tests.tls.soak.schedule import Fate, fate

AT_ONCE = 100
WAVES = 10
GROWTH = 8 << 20
"""Bytes by which the process may grow after the first waves; a tenth of what it takes to keep each connection of a thousand."""
LEAK = 7 << 10 if reading_leaks else 0
"""Bytes that some Pythons lose each time that a session is read; pinio reads one for each full handshake there."""


async def wave(client: Client, fates: list[Fate]) -> list[str]:
    """Live them all, so many at once."""
    waiting = iter(enumerate(fates))
    outcomes = [""] * len(fates)

    async def worker() -> None:
        for index, one in waiting:
            outcomes[index] = await client.live(one)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return outcomes


async def test_nothing_is_left(
    pytestconfig: pytest.Config, record_property: Callable[[str, object], None], tmp_path: Path
) -> None:
    count, seed = pytestconfig.getoption("--soak"), pytestconfig.getoption("--soak-seed")
    fates = [fate(seed, number) for number in range(count)]
    sessions = pinio.SessionCache()
    outcomes: list[str] = []
    memory: list[int] = []
    began, used = time.perf_counter(), time.process_time()
    async with peer(tmp_path) as (ports, heard):
        client = Client(ports, sessions)
        before = None
        size = max(1, count // WAVES)
        for start in range(0, count, size):
            outcomes += await wave(client, fates[start : start + size])
            await settle()
            sessions.clear()
            after = Census.now()
            memory.append(private())
            before = before or after
            assert after == before, f"seed {seed}, connections up to {len(outcomes)}"
    took, used = time.perf_counter() - began, time.process_time() - used

    for one, outcome in zip(fates, outcomes, strict=True):
        assert outcome == one.outcome or (outcome == "cancelled" and one.cancelled is not None), one
    unopened = {
        one.number for one, outcome in zip(fates, outcomes, strict=True) if outcome != "opened"
    }
    assert unopened.isdisjoint(heard), "a server that was not to hear a byte heard one"
    kept = sum(
        outcome == "opened" and one.resumption for one, outcome in zip(fates, outcomes, strict=True)
    )
    full = min(kept, 2 * AT_ONCE * WAVES)  # each wave begins without sessions
    assert memory[-1] - min(memory[:3]) < GROWTH + LEAK * full
    tally = ", ".join(
        f"{number} {outcome}" for outcome, number in sorted(Counter(outcomes).items())
    )
    record_property(
        "figures",
        f"soak of {count} on {type(asyncio.get_running_loop()).__module__}, seed {seed}: {tally}; {took:.0f} s, "
        f"{used:.0f} s of CPU; memory {memory[0] >> 20} MiB after the first wave, {memory[-1] >> 20} after the last",
    )


async def settle() -> None:
    """Let transports close their sockets; some do so in the next turn of the loop, uvloop in a later one."""
    for _ in range(10):
        await asyncio.sleep(0)
