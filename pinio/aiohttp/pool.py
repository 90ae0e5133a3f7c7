"""Connections that were opened under another policy, or for another name: kept if they still hold, retired if not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet, finalize, ref

from pinio.errors import PinVerificationError
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.handshake.gate import State


def still_holds(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection may be used under the policy in force now; one that may not is aborted.

    Costs one comparison unless the policy was swapped. Under the connection to an origin may lie
    one to an HTTPS proxy, which answers to a policy of its own. Transports that are not pinio's
    carry what the policy says nothing about, and one that its peer has closed carries nothing any
    more.
    """
    while isinstance(transport, PinnedTransport) and transport.state is State.OPEN:
        try:
            transport.recheck()
        except PinVerificationError:
            transport.abort()
            return False
        except BaseException:  # an observer's, or an interrupt
            transport.abort()
            raise
        transport = transport.lower
    return True


def is_for(host: str, transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection was judged under this name, where it was judged.

    The pool of aiohttp before 3.14.1 looks at the URL alone, so that one request's
    `server_hostname` would be another's.
    """
    return not isinstance(transport, PinnedTransport) or transport.judge.endpoint.host == host


class LiveConnections:
    """The open connections of one connector, closed when the policy no longer allows them.

    Sources of policies hold what they call, and outlive the loops that connectors work in. What
    they are given here keeps neither this nor the connector nor its loop alive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: WeakSet[PinnedTransport] = WeakSet()
        self._ends: list[Callable[[], object]] = []
        finalize(self, _call_all, self._ends).atexit = False

    def follow(self, subscribe: Callable[[Callable[..., None]], Callable[[], object]]) -> None:
        """Retire connections at each swap of a source, until `stop`, or until nobody holds this."""
        own = ref(self)

        def swapped(*_: object) -> None:
            if (live := own()) is not None:
                live.retire_soon()

        self._ends.append(subscribe(swapped))

    def stop(self) -> None:
        """Follow no source any more."""
        _call_all(self._ends)

    def add(self, transport: PinnedTransport) -> None:
        """Watch a connection for as long as it lives."""
        self._transports.add(transport)

    def retire_soon(self) -> None:
        """Retire connections in their loop, from any thread; those of a closed loop are dead."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.retire)

    def retire(self) -> None:
        """Abort those that no longer hold."""
        for transport in list(self._transports):
            if not still_holds(transport):
                transport.abort()


def _call_all(ends: list[Callable[[], object]]) -> None:
    while ends:
        ends.pop()()
