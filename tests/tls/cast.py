"""Who appears in these tests: one CA, one genuine server, what its clients expect of it, and what they notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from pinio.core.decision import Permit, Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import CA
from pinio.testing.listener import Listener

ROOT = CA("root")
ISSUER = ROOT.intermediate("issuing")
GENUINE = ISSUER.issue("localhost", "127.0.0.1", "*.pinned.test")
IDENTITY = ROOT.issue_client("client@pinio.test")
"""What a client of mutual TLS shows."""

SPARE, ABSENT = CA("kept in a safe").pin, CA("nobody's").pin
"""Pins of keys that no server here has."""


def pinned(
    *pins: str, host: str = "localhost", policy: dict[str, Any] | None = None, **pin_set: Any
) -> Policy:
    """A policy of one host, with a spare pin; of the genuine key unless told."""
    if pin_set.get("trust") != "leaf-pin":
        pin_set.setdefault("anchors", ROOT.anchors)
    return Policy({host: PinSet(pins or (GENUINE.pin,), backup=[SPARE], **pin_set)}, **policy or {})


MISPINNED = pinned(ABSENT)
"""What refuses the genuine server, and everybody else."""


class Told(list[Permit | Refusal]):
    """An observer that remembers."""

    def __call__(self, decision: Permit | Refusal) -> None:
        self.append(decision)

    @property
    def kinds(self) -> list[str]:
        return [type(decision).__name__ for decision in self]


class Swapped:
    """A policy that can be swapped, and says so."""

    def __init__(self, policy: Policy) -> None:
        self.current = policy
        self.callbacks: list[Callable[..., None]] = []

    def swap(self, policy: Policy) -> None:
        self.current = policy
        for callback in self.callbacks:
            callback(policy)

    def subscribe(self, callback: Callable[..., None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


async def end_of(server: Listener) -> None:
    """Wait until the server has seen the end of every connection that it ever had."""
    await server.quiet()
    for record in server.connections:
        assert await asyncio.to_thread(record.ended.wait, 60), f"{record} is still open"


class App(asyncio.Protocol):
    """An application that writes as soon as it may, and notes all that it is told."""

    def __init__(self, opening: bytes = b"the password is swordfish") -> None:
        self.opening = opening
        self.calls: list[str] = []
        self.received = bytearray()
        self.arrived = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")
        if self.opening:
            cast(asyncio.Transport, transport).write(self.opening)

    def data_received(self, data: bytes) -> None:
        self.calls.append("data_received")
        self.received += data
        self.arrived.set()

    def eof_received(self) -> None:
        self.calls.append("eof_received")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")
        self.lost.set_result(exc)

    async def has_received(self, size: int) -> bytes:
        """Wait for so many bytes."""
        while len(self.received) < size:
            self.arrived.clear()
            await self.arrived.wait()
        return bytes(self.received)


class BufferedApp(App, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self, opening: bytes = b"the password is swordfish", size: int = 4096) -> None:
        super().__init__(opening)
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))
