"""What `quiet()` returns: something to await, which does not let itself be forgotten."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any


class Quiet(Coroutine[Any, Any, None]):
    """Waits for a server once, while the event loop runs on.

    Args:
        name: of the server's class, for messages.
        wait: blocks until the server is quiet.
    """

    def __init__(self, name: str, wait: Callable[[], None]) -> None:
        self._name = name
        self._wait = wait
        self._waiting: Coroutine[Any, Any, None] | None = None
        self._done = False
        self._told = False

    def block(self) -> None:
        """Wait here and now; there is no event loop to keep from running."""
        self._done = True
        self._wait()

    @property
    def forgotten(self) -> bool:
        """Nothing has waited yet."""
        return self._waiting is None and not self._done

    def error(self) -> RuntimeError:
        """The error for one that is forgotten."""
        self._told = True
        return RuntimeError(
            f"{self._name}.quiet() was called and not awaited, so nothing waited for the server; "
            "write 'await' before it, or call wait_quiet() where there is no event loop"
        )

    def dismiss(self) -> None:
        """Say nothing of it any more: another error ended the test."""
        self._told = True

    def __bool__(self) -> bool:
        if self.forgotten:
            raise self.error()
        return True

    def __await__(self) -> Generator[Any, Any, None]:
        return self._begun().__await__()

    def send(self, value: Any, /) -> Any:
        """As coroutines have it; this is what tasks call."""
        return self._begun().send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """As coroutines have it."""
        return self._begun().throw(kind if value is None else value)

    def close(self) -> None:
        """As coroutines have it."""
        self.dismiss()
        if self._waiting is not None:
            self._waiting.close()

    def _begun(self) -> Coroutine[Any, Any, None]:
        if self._waiting is None:
            self._waiting = self._elsewhere()
        return self._waiting

    async def _elsewhere(self) -> None:
        if not self._done:
            await asyncio.to_thread(self._wait)

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self.forgotten and not self._told:
            _warn(str(self.error()), RuntimeWarning, source=self)


def in_a_coroutine() -> bool:
    """Whether an event loop runs in this thread, which blocking would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
