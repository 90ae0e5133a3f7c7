"""Handshakes in memory: every flight in the test's hand, no socket and no loop."""

from __future__ import annotations

import ssl
from contextlib import suppress

from pinio.core.policy import Policy
from pinio.testing import Leaf
from pinio.tls.config.profile import Profile
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context import inner as profiles
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.typing import Observer
from tests.tls.cast import Told


class MemoryPeer:
    """One side of a handshake; `answer` takes a flight and returns the next one."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
            session=session,
        )
        self.finished = False

    def answer(self, flight: bytes = b"") -> bytes:
        """Go on with the handshake.

        Raises `ssl.SSLError` if it fails; `finished` says that the other's Finished was good.
        """
        self.incoming.write(flight)
        if not self.finished:
            try:
                self.tls.do_handshake()
                self.finished = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()

    def send(self, data: bytes) -> bytes:
        """The records of `data`."""
        self.tls.write(data)
        return self.outgoing.read()

    def receive(self, records: bytes) -> bytes:
        """What is in `records`."""
        self.incoming.write(records)
        received = b""
        while True:
            try:
                received += self.tls.read(65536)
            except ssl.SSLWantReadError:
                return received

    def hello(self) -> bytes:
        """A client's first flight, past every latch."""
        with suppress(ssl.SSLWantReadError):
            peer.raw(self.tls).do_handshake()
        return self.outgoing.read()

    @property
    def client_certificate(self) -> bytes | None:
        """What a server got to see of its client."""
        return self.tls.getpeercert(binary_form=True) if self.finished else None


def shake_hands(client: MemoryPeer, server: MemoryPeer) -> None:
    """A complete handshake between two, session tickets included."""
    while not (client.finished and server.finished):
        client.incoming.write(server.answer(client.answer()))
    client.receive(server.outgoing.read())


def engine_for(
    policy: Policy,
    *,
    host: str = "localhost",
    observer: Observer | None = None,
    context: ssl.SSLContext | None = None,
) -> OpenSSLEngine:
    """An engine as the raw doors make it, without a session to offer."""
    endpoint = policy.endpoint(host, 443)
    profile = Profile.of(endpoint)
    judge = Judge(endpoint, profile, Told() if observer is None else observer)
    return OpenSSLEngine(context or inner_context(profile), Handshake(judge))


def context_with(identity: Leaf, policy: Policy, *, host: str = "localhost") -> ssl.SSLContext:
    """The inner context of a host, and nobody else's, with a client certificate."""
    context = profiles._build(Profile.of(policy.endpoint(host, 443)))
    identity.load_into(context)
    return context


def state_of(engine: OpenSSLEngine) -> State:
    """Where its connection is."""
    return engine.judge.gate.state


def drive(engine: OpenSSLEngine, server: MemoryPeer) -> None:
    """A complete handshake of an engine, up to the first application byte.

    Raises what the engine raises.
    """
    while not engine.handshake():
        engine.incoming.write(server.answer(engine.take()))
    engine.incoming.write(server.answer(engine.take()))
