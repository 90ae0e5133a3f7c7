"""Connections that were opened under another policy, or for another name: kept if they still hold, retired if not."""

from __future__ import annotations

import asyncio
from weakref import WeakSet

from pinio.errors import PinVerificationError
from pinio.tls.gate import State
from pinio.tls.transport import PinnedTransport


def still_holds(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection may be used under the policy in force now; one that may not is aborted.

    Costs one comparison unless the policy was swapped. Under the connection to an origin may lie one to an HTTPS proxy, which
    answers to a policy of its own. Transports that are not pinio's carry what the policy says nothing about, and one that its
    peer has closed carries nothing any more.
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

    The pool of aiohttp before 3.14.1 looks at the URL alone, so that one request's `server_hostname` would be another's.
    """
    return not isinstance(transport, PinnedTransport) or transport.judgement.endpoint.host == host


class LiveConnections:
    """The open connections of one connector, so that those in use can be closed when the policy no longer allows them."""

    def __init__(self) -> None:
        self._transports: WeakSet[PinnedTransport] = WeakSet()

    def add(self, transport: PinnedTransport) -> None:
        """Watch a connection for as long as it lives."""
        self._transports.add(transport)

    def retire(self) -> None:
        """Abort those that no longer hold."""
        for transport in list(self._transports):
            if not still_holds(transport):
                transport.abort()
