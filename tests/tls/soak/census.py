"""What is there: descriptors, tasks, timers, objects of connections, and the memory of the process."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pinio.tls.connection.delivery import Delivery
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.gate import Gate

KINDS = (
    Delivery,
    OpenSSLEngine,
    Gate,
    PinnedProtocol,
    PinnedTransport,
    ssl.MemoryBIO,
    ssl.SSLObject,
    ssl.SSLSession,
)


@dataclass(frozen=True)
class Census:
    """Two of them are equal if nothing was left behind; how much memory there is, is another matter."""

    descriptors: int
    tasks: int
    timers: int
    """Those that are still to go off."""
    objects: Counter[str]

    @classmethod
    def now(cls) -> Self:
        gc.collect()
        things = gc.get_objects()
        timers = [thing for thing in things if type(thing).__name__ == "TimerHandle"]
        return cls(
            len(os.listdir("/dev/fd")),  # noqa: PTH208  # the names alone
            len(asyncio.all_tasks()),
            sum(not timer.cancelled() for timer in timers),
            Counter(type(thing).__name__ for thing in things if isinstance(thing, KINDS)),
        )


def private() -> int:
    """Bytes of memory that are this process's alone, once what is free was given back; 0 where nobody says.

    What is mapped from files comes and goes as the system likes.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    except OSError:
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
