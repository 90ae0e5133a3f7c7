"""What a connection leaves behind, cancelled or not: descriptors, tasks, and garbage that complains."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pinio
from pinio.testing import Server
from tests.tls.cast import GENUINE, App, pinned

_DESCRIPTORS = Path("/dev/fd")

# Turns of the loop before the cancellation: every one at first, then ever fewer of them; and at
# last none comes.
NEVER = 1 << 30
TURNS = [*range(24), 32, 48, 64, 96, 128, 192, 256, 384, 512, NEVER]

T = TypeVar("T")


async def cancelled_after(turns: int, attempt: Coroutine[Any, Any, T]) -> T | None:
    """What comes of `attempt` if it is cancelled after so many turns of the loop; None if it was in time."""
    task = asyncio.ensure_future(attempt)
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0)
        time.sleep(0)  # noqa: ASYNC251  # the server's thread wants its turn, too
    task.cancel()
    with suppress(asyncio.CancelledError):
        return await task
    return None


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fail if there is a task or a descriptor more than before."""
    await _warm_up()
    tasks, descriptors = _other_tasks(), _descriptors()
    yield
    await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn
    gc.collect()
    assert _other_tasks() == tasks
    for _ in range(1000):
        if _descriptors() <= descriptors:
            break
        # A thread that resolves a name for a connection that was cancelled has descriptors of its
        # own, until it had its turn.
        await asyncio.get_running_loop().getaddrinfo("localhost", 0)
    assert _descriptors() <= descriptors


async def _warm_up() -> None:
    """Make what is made once, so that it is not counted: the executor's threads, the loop's own descriptors, contexts."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, int) for _ in range(64)))
    with Server(GENUINE) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned()
        )
        transport.abort()
        await app.lost


def _descriptors() -> int:
    return len(os.listdir(_DESCRIPTORS))  # noqa: PTH208  # the names alone


def _other_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
