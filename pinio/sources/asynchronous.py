"""A policy from any async callable: a key-value store, an API, a message."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.formats import FORMATS
from pinio.sources.polled import PolledSource

Fetch: TypeAlias = Callable[[], Awaitable[Policy | str | bytes]]

MAX_TEXT: Final = 16_000_000
"""Longest text of a policy that is fetched, in bytes."""


class AsyncSource(PolledSource):
    """A `PolicySource` that awaits a callable of yours, at jittered intervals.

        async def from_redis() -> bytes:
            async with redis.asyncio.from_url("rediss://…", ssl_context=…) as store:
                return await store.get("pins") or b""

        source = await AsyncSource.open(from_redis, name="redis")

    The callable runs in an event loop of its own in the source's thread, a new one each time: it
    opens its client and closes it. It returns a `Policy`, or the text of a policy file in which no
    path stands. What is no policy, empty or too long, an exception and an answer after `timeout`
    leave the last good policy in force and are logged, once each. A change that loosens needs
    another revision, as with `FileSource`.

    Nothing here is signed: whoever can write where the callable reads decides whom the program
    trusts, and the callable's own connection should be pinned.

    Args:
        fetch: the callable, without arguments.
        name: what messages call it.
        interval: seconds between two calls, give or take a fifth.
        timeout: seconds that one call may take.
        max_stale: seconds for which the last answer counts when no other comes; at least twice
            `interval` and `timeout` together. After that, `current` raises `PolicyError`. None: for
            ever.
        required: whether the first call must bring a policy; if False, `current` raises
            `PolicyError` until one does.
        clock: seconds that never run backwards.

    Raises `PolicyError` or `PinFormatError` if the first answer is no policy. The constructor waits
    for it, and refuses to where an event loop runs: `await AsyncSource.open(…)` there.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        name: str = "source",
        interval: float = 30.0,
        timeout: float = 10.0,
        max_stale: float | None = None,
        required: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not callable(fetch):
            raise PolicyError(f"fetch is an async callable, not {type(fetch).__name__}")
        if not 0 < timeout < math.inf:
            raise PolicyError(f"timeout is a number of seconds above 0, not {timeout!r}")
        if max_stale is not None and max_stale < 2 * (interval + timeout):
            raise PolicyError(
                f"max_stale is at least twice interval and timeout together, not {max_stale:g}: "
                "one lost answer would refuse every connection"
            )
        self._fetch, self._timeout = fetch, timeout
        super().__init__(
            name,
            "source",
            interval=interval,
            max_stale=max_stale,
            required=required,
            clock=clock,
        )

    def _load(self) -> Policy:
        try:
            answer = asyncio.run(self._ask())
        except TimeoutError:
            raise PolicyError(f"{self._name}: no answer in {self._timeout:g} s") from None
        return answer if isinstance(answer, Policy) else self._read(answer)

    async def _ask(self) -> Policy | str | bytes:
        async with asyncio.timeout(self._timeout):
            return await self._fetch()

    def _read(self, answer: str | bytes) -> Policy:
        if not isinstance(answer, str | bytes):
            kind = type(answer).__name__
            raise PolicyError(f"{self._name}: the answer is a policy or its text, not {kind}")
        if len(answer) > MAX_TEXT:
            raise PolicyError(f"{self._name}: longer than the {MAX_TEXT:,} bytes that pinio reads")
        if isinstance(answer, bytes):
            try:
                answer = answer.decode("utf-8")
            except UnicodeDecodeError as error:
                raise PolicyError(f"{self._name}: not UTF-8 (byte {error.start})") from None
        if not answer.strip():
            raise PolicyError(f"{self._name}: the answer is empty")
        return FORMATS["native"].loads(answer, where=self._name)
