"""Applications that write down all that they are told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeAlias, cast

Entry: TypeAlias = "str | bytes | bytearray | tuple[str, str]"


def kind_of(error: BaseException | None) -> str:
    """Which error it is, by the class that a program would catch; a refusal's class is not known to others."""
    for kind in (ssl.SSLCertVerificationError, ssl.SSLError):
        if isinstance(error, kind):
            return kind.__name__
    return type(error).__name__


class Diary(asyncio.BaseProtocol):
    """Notes each callback in `entries`; bytes that arrive one after the other are one entry.

    It is no `asyncio.Protocol`, or uvloop would take a `BufferedDiary` for one.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.flow: list[str] = []
        self.transport: asyncio.Transport | None = None
        self.error: BaseException | None = None
        self._changed = asyncio.Event()

    def note(self, entry: Entry) -> None:
        last = self.entries[-1] if self.entries else None
        if isinstance(entry, bytes) and isinstance(last, bytearray):
            last += entry
        else:
            self.entries.append(bytearray(entry) if isinstance(entry, bytes) else entry)
        self._changed.set()

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for a change after which `true()` is true."""
        while not true():
            self._changed.clear()
            await self._changed.wait()

    @property
    def data(self) -> bytes:
        """All that was received."""
        return b"".join(entry for entry in self.entries if isinstance(entry, bytearray))

    async def received(self, size: int) -> bytes:
        """Wait for so many bytes in all."""
        await self.until(lambda: len(self.data) >= size)
        return self.data

    async def lost(self) -> BaseException | None:
        """Wait for the end; returns what `connection_lost` was told."""
        await self.until(lambda: "lost" in self.names)
        return self.error

    @property
    def names(self) -> list[str]:
        """What happened, without the details."""
        return [_name(entry) for entry in self.entries]

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.note(bytes(data))

    def eof_received(self) -> bool | None:
        self.note("eof")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.note(("lost", kind_of(exc)))

    def pause_writing(self) -> None:
        self.flow.append("pause")
        self._changed.set()

    def resume_writing(self) -> None:
        self.flow.append("resume")
        self._changed.set()


def _name(entry: Entry) -> str:
    if isinstance(entry, bytes | bytearray):
        return "data"
    return entry[0] if isinstance(entry, tuple) else entry


class BufferedDiary(Diary, asyncio.BufferedProtocol):
    """The same with a buffer of its own, of any size."""

    def __init__(self, size: int = 65536) -> None:
        super().__init__()
        self.buffer = bytearray(size)
        self.hints: list[int] = []

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))
