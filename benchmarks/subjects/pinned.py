"""pinio's raw and context doors."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

import pinio
from benchmarks.subjects.client import Answer, Client, StreamClient, Streams
from pinio.reporting import default_observer
from pinio.tls.handshake.sessions import SessionCache


def policy_for(client: Client) -> pinio.Policy:
    """What a program that uses this client would have written."""
    used, backup = client.pins
    pins = pinio.PinSet(
        [used], backup=[backup], anchors=pinio.Anchors.from_file(client.target.identity.root)
    )
    return pinio.Policy({client.host: pins})


def resumption_for(client: Client) -> SessionCache | bool:
    """A cache of the client's own, so that clients in one process do not meet in the common one."""
    return SessionCache() if client.resume else False


class Decisions:
    """An observer for libraries that do not hand out their transport: keeps each Permit, and logs as the default one does."""

    def __init__(self) -> None:
        self._permits: deque[pinio.Permit] = deque(maxlen=1000)

    def __call__(self, decision: pinio.Permit | pinio.Refusal) -> None:
        default_observer(decision)
        if isinstance(decision, pinio.Permit):
            self._permits.append(decision)

    def take(self) -> pinio.Permit | None:
        """The oldest that is left: of several connections at once, somebody's."""
        return self._permits.popleft() if self._permits else None


def context_for(client: Client, decisions: Decisions | None = None) -> ssl.SSLContext:
    """The context door, for a library that takes one."""
    return pinio.create_ssl_context(
        policy_for(client), resumption=resumption_for(client), observer=decisions
    )


class Pinned(StreamClient):
    """`pinio.open_connection` and `pinio.create_connection`."""

    refusals = (pinio.PinMismatchError,)
    pinned = True

    async def set_up(self) -> None:
        self.policy = policy_for(self)
        self.resumption = resumption_for(self)

    async def open(self) -> Streams:
        return await pinio.open_connection(
            policy=self.policy, resumption=self.resumption, **self.address
        )

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        transport, _ = await pinio.create_connection(
            factory, policy=self.policy, resumption=self.resumption, **self.address
        )
        return transport


class PinnedContext(StreamClient):
    """`pinio.create_ssl_context`, handed to asyncio's own functions as to any library that takes a context."""

    refusals = (pinio.PinMismatchError,)
    pinned = True

    async def set_up(self) -> None:
        self.decisions = Decisions()
        self.context = context_for(self, self.decisions)

    async def open(self) -> Streams:
        return await asyncio.open_connection(ssl=self.context, **self.address)

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(factory, ssl=self.context, **self.address)
        return transport

    async def fetch(self) -> Answer:
        return (await super().fetch())._replace(permit=self.decisions.take())
