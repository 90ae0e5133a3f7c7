"""Connections that were opened under another policy: kept if they still hold, retired if not."""

from __future__ import annotations

import asyncio
from weakref import WeakSet

from pinio.errors import PinVerificationError
from pinio.tls.gate import State
from pinio.tls.transport import PinnedTransport
from pinio.tls.wanted import Wanted


def still_holds(transport: asyncio.BaseTransport | None, wanted: Wanted, proxy: Wanted) -> bool:
    """Whether a connection may be used under the policies in force now.

    Costs one comparison unless the policy was swapped. Transports that are not ours carry what the policy says nothing about.
    Under the connection to an origin may lie one to an HTTPS proxy, which answers to `proxy`.
    """
    if not isinstance(transport, PinnedTransport):
        return True
    lower = transport.lower
    return _holds(transport, wanted) and (not isinstance(lower, PinnedTransport) or _holds(lower, proxy))


def _holds(transport: PinnedTransport, wanted: Wanted) -> bool:
    if transport.state is not State.OPEN:
        return False
    try:
        transport.judge_again(wanted)
    except PinVerificationError:
        transport.abort()
        return False
    return True


class LiveConnections:
    """The open connections of one connector, so that those in use can be closed when the policy no longer allows them."""

    def __init__(self) -> None:
        self._transports: WeakSet[PinnedTransport] = WeakSet()

    def add(self, transport: PinnedTransport) -> None:
        self._transports.add(transport)

    def retire(self, wanted: Wanted, proxy: Wanted) -> None:
        """Abort those that no longer hold."""
        for transport in list(self._transports):
            if transport.state is State.OPEN and not still_holds(transport, wanted, proxy):
                transport.abort()
