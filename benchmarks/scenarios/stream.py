"""Open connections: round trips and bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from benchmarks.scenarios.connect import prove
from benchmarks.scenarios.scenario import Compared, Figures, Scenario, Stage, by_loop, expect, timed
from benchmarks.scenarios.wire import Way, Wire, open_wire
from benchmarks.subjects.client import StreamClient

SIZES: Final = {256: 2000, 16384: 1000, 262144: 200}
"""Bytes of a message → round trips in a round."""
BULK: Final = 64 << 20
PIECE: Final = b"\xa5" * 65536


def _client(client: object) -> StreamClient:
    if not isinstance(client, StreamClient):
        raise TypeError("this client has no streams")
    return client


def echo(stage: Stage, *, way: Way) -> Iterator[Figures]:
    """A message there and back, one at a time."""
    prove(stage)
    with stage.client() as any_client:
        client = _client(any_client)
        wire = client.run(open_wire(client, way))
        _check_permit(client, wire)
        client.run(wire.send(b"ECHO\n"))
        while True:
            figures = {}
            for size, usual in SIZES.items():
                count = stage.size(usual, 2)
                message = bytes(range(256)) * (size // 256)
                good, cpu = timed(lambda: client.run(_echo(wire, message, count)))  # noqa: B023  # called at once
                expect(good == count, f"{count - good} of {count} messages came back changed")
                figures[f"cpu_{size}"] = cpu / count
            yield figures


async def _echo(wire: Wire, message: bytes, count: int) -> int:
    good = 0
    for _ in range(count):
        await wire.send(message)
        good += await wire.receive(len(message)) == message
    return good


def download(stage: Stage, *, way: Way) -> Iterator[Figures]:
    """Many bytes from the server."""
    prove(stage)
    count = stage.size(BULK, 1 << 20)
    with stage.client() as any_client:
        client = _client(any_client)
        wire = client.run(open_wire(client, way))
        _check_permit(client, wire)
        while True:
            _, cpu = timed(lambda: client.run(_download(wire, count)))
            # What follows the last byte must be the answer to the next question, or some were lost
            # or added.
            client.run(wire.send(b"DOWN 3\n"))
            expect(client.run(wire.receive(3)) == b"ZZZ", "the download had another length")
            yield {"cpu_per_mib": cpu / (count >> 20)}


async def _download(wire: Wire, count: int) -> None:
    await wire.send(b"DOWN %d\n" % count)
    await wire.skip(count)


def upload(stage: Stage, *, way: Way) -> Iterator[Figures]:
    """Many bytes to the server, 64 KiB a write."""
    prove(stage)
    count = stage.size(BULK, 1 << 20)
    with stage.client() as any_client:
        client = _client(any_client)
        wire = client.run(open_wire(client, way))
        _check_permit(client, wire)
        while True:
            answer, cpu = timed(lambda: client.run(_upload(wire, count)))
            expect(answer == b"done\n", "the server counted other bytes")
            yield {"cpu_per_mib": cpu / (count >> 20)}


async def _upload(wire: Wire, count: int) -> bytes:
    await wire.send(b"UP %d\n" % count)
    for _ in range(count // len(PIECE)):
        await wire.send(PIECE)
    return await asyncio.wait_for(wire.receive(5), 60)


def _check_permit(client: StreamClient, wire: Wire) -> None:
    if client.pinned and hasattr(wire.transport, "permit"):
        permit = wire.transport.get_extra_info("pinio")
        expect(permit is not None and permit.pinned, "a connection without a Permit by a pin")


_COMPARED: Final[Compared] = {
    "asyncio": (),
    "uvloop": ("asyncio",),
    **by_loop("aiofastnet"),
    "pinio": ("asyncio", "aiofastnet"),
    "pinio+uvloop": ("uvloop", "aiofastnet+uvloop"),
    **by_loop("pinio-context"),
}
_ECHO = {f"cpu_{size}": "s" for size in SIZES}
_PER_MIB = {"cpu_per_mib": "s"}

_VARIANTS: Final[list[tuple[Way, str]]] = [
    ("protocol", "by asyncio.Protocol"),
    ("buffered", "by asyncio.BufferedProtocol"),
]


def _in_every_way(
    name: str, about: str, play: Callable[..., Iterator[Figures]], units: dict[str, str]
) -> list[Scenario]:
    first = Scenario(name, about, partial(play, way="streams"), _COMPARED, units, "builtin")
    return [
        first,
        *(first.variant(way, text, play=partial(play, way=way)) for way, text in _VARIANTS),
    ]


SCENARIOS: Final = [
    *_in_every_way("echo", "a message there and back", echo, _ECHO),
    *_in_every_way("download", f"{BULK >> 20} MiB from the server", download, _PER_MIB),
    *_in_every_way("upload", f"{BULK >> 20} MiB to the server", upload, _PER_MIB),
]
