"""What an open connection keeps in memory.

Each round has a process of its own, since none gives back all it took.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.scenarios.scenario import Compared, Figures, Scenario, Stage, by_loop, expect
from benchmarks.scenarios.stream import PIECE
from benchmarks.scenarios.wire import Wire, open_wire
from benchmarks.subjects.blocking import Bare, Floor
from benchmarks.subjects.client import StreamClient

IDLE: Final = 400
BUSY: Final = 40
BULK: Final = 8 << 20


def memory(stage: Stage, *, bulk: bool) -> Iterator[Figures]:
    """Resident memory for each connection that is open and has nothing to do."""
    count = stage.size(BUSY if bulk else IDLE, 3)
    size = stage.size(BULK, 1 << 18) if bulk else 0
    with stage.client() as client, ExitStack() as stack:
        if isinstance(client, Floor):
            _bare(client, stack)
            before = _resident()
            kept = [_bare(client, stack) for _ in range(count)]
            yield {"rss": (_resident() - before) / len(kept)}
            return
        expect(isinstance(client, StreamClient), "this client has no streams")
        assert isinstance(client, StreamClient)
        first = [client.run(_wire(client, size))]
        before = _resident()
        wires = [client.run(_wire(client, size)) for _ in range(count)]
        after = _resident()
        for wire in first + wires:
            expect(client.run(_alive(wire)) == b"Z", "the connection does not work any more")
            wire.transport.abort()
        yield {"rss": (after - before) / count}


def _bare(client: Floor, stack: ExitStack) -> Bare:
    connection = client.connect()
    stack.callback(connection.socket.close)
    connection.send(b"DOWN 1\n")
    expect(connection.receive() == b"Z", "the connection does not work")
    return connection


async def _wire(client: StreamClient, bulk: int) -> Wire:
    """A connection that has been used: its session tickets have arrived, and whatever moved through it is gone."""
    wire = await open_wire(client, "streams")
    expect(await _alive(wire) == b"Z", "the connection does not work")
    if bulk:
        await wire.send(b"DOWN %d\n" % bulk)
        await wire.skip(bulk)
        await wire.send(b"UP %d\n" % bulk)
        await wire.send(
            PIECE * (bulk // len(PIECE))
        )  # at once, as a program sends a file that it has read
        expect(await wire.receive(5) == b"done\n", "the server counted other bytes")
    return wire


async def _alive(wire: Wire) -> bytes:
    await wire.send(b"DOWN 1\n")
    return await wire.receive(1)


def _resident() -> int:
    """Bytes of resident memory now; where the system does not tell, the most that there ever was."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_COMPARED: Final[Compared] = {
    "asyncio": (),
    "uvloop": ("asyncio",),
    **by_loop("aiofastnet"),
    "pinio": ("asyncio", "floor"),
    "pinio+uvloop": ("uvloop", "asyncio", "floor"),
    **by_loop("pinio-context"),
}
_UNITS: Final = {"rss": "B"}

SCENARIOS: Final = [
    Scenario(
        "memory_idle",
        "resident memory per idle connection",
        partial(memory, bulk=False),
        {"floor": ("asyncio",), **_COMPARED},
        _UNITS,
        "builtin",
        rounds=5,
        fresh=True,
    ),
    Scenario(
        "memory_after_bulk",
        f"the same after {BULK >> 20} MiB each way",
        partial(memory, bulk=True),
        {
            name: tuple(other for other in others if other != "floor")
            for name, others in _COMPARED.items()
        },
        _UNITS,
        "builtin",
        rounds=5,
        fresh=True,
    ),
]
