"""`Watch`: the self-test, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Self

from pinio.errors import TamperingError
from pinio.tampering.findings import Finding
from pinio.tampering.run import selftest
from pinio.typing import PolicyLike

logger = logging.getLogger("pinio")


def _log(error: TamperingError) -> None:
    logger.critical("%s", error)


class Watch:
    """Runs `selftest` at once and every `interval` seconds, as a task of the running loop.

    Args:
        policy: as for `selftest`; a source is read at each test.
        interval: seconds between two tests.
        on_tampering: called with a `TamperingError` each time that a test finds something, or
            cannot run; by default that is logged as critical. Its exceptions are logged.

    Use it as an asynchronous context manager. Raises `ValueError` for an interval that is not
    positive.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        interval: float = 300.0,
        on_tampering: Callable[[TamperingError], object] = _log,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"interval is a positive number of seconds, not {interval!r}")
        self._policy = policy
        self._interval = interval
        self._on_tampering = on_tampering
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("this Watch is running already")
        self._task = asyncio.create_task(self._run(), name="pinio.Watch")
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            await self._test()
            await asyncio.sleep(self._interval)

    async def _test(self) -> None:
        try:
            await selftest(self._policy)
        except TamperingError as error:
            self._tell(error)
        except Exception as error:  # noqa: BLE001
            # A test that cannot run finds nothing, which somebody must hear.
            detail = f"could not run: {type(error).__name__}: {error}"
            self._tell(TamperingError([Finding("selftest", detail)]))

    def _tell(self, error: TamperingError) -> None:
        try:
            self._on_tampering(error)
        except Exception:
            logger.exception("on_tampering failed")
