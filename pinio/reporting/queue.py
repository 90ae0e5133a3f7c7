"""Decisions that wait for somebody who reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from pinio.core.decision import Permit, Refusal
from pinio.reporting.locks import Locked


class Queue(Locked):
    """Keeps decisions for somebody who reads them later; of more than `size` the oldest are dropped and counted.

    Called in any thread; `get` waits in an event loop, `drain` never waits. Raises `ValueError` for
    a `size` below 1.
    """

    def __init__(self, size: int = 1000) -> None:
        if size < 1:
            raise ValueError("a queue holds at least one decision")
        super().__init__()
        self._decisions: deque[Permit | Refusal] = deque(maxlen=size)
        self._waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self.dropped = 0
        """How many were dropped."""

    def __call__(self, decision: Permit | Refusal) -> None:
        with self._lock:
            self.dropped += len(self._decisions) == self._decisions.maxlen
            self._decisions.append(decision)
        self._call_next()

    def __len__(self) -> int:
        return len(self._decisions)

    def drain(self) -> list[Permit | Refusal]:
        """Take everything that is there, oldest first."""
        with self._lock:
            decisions = list(self._decisions)
            self._decisions.clear()
        return decisions

    async def get(self) -> Permit | Refusal:
        """Take the oldest; wait for it if there is none."""
        while True:
            with self._lock:
                if self._decisions:
                    return self._decisions.popleft()
                loop = asyncio.get_running_loop()
                waiter = (loop, loop.create_future())
                self._waiters.append(waiter)
            try:
                await waiter[1]
            finally:
                self._leave(waiter)

    def _leave(self, waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]) -> None:
        """Stop waiting; who was called for a decision and then cancelled passes the call on."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._call_next()

    def _call_next(self) -> None:
        """Call one of those who wait, if there is something to take; those whose loop is closed wait no more."""
        while True:
            with self._lock:
                if not self._waiters or not self._decisions:
                    return
                loop, future = self._waiters.popleft()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, future)
                return


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
