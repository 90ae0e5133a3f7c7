r"""A server whose key is no longer trusted, and that asks who you are on a connection from before.

    client                                              server
           ◀════════ handshake, application data ═══════▶
    the policy is swapped: this key was stolen, it is denied
           ◀── CertificateRequest (RFC 8446 section 4.6.2)
    recv(), or the event loop, reads
           ─── the client's certificate, a proof of its key ──▶   "ah, it is you"

OpenSSL answers within a read, without a word to the program, and within a shutdown. A program that has
`post_handshake_auth` on gives its certificate to whoever holds the connection, also from a pool in which
it lies idle. So what a read leaves to send is judged, by the policy of now, before it leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.core.decision import Permit, Refusal
from pinio.core.evidence import Moment
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import (
    DeniedKeyError,
    PinExpiredError,
    PinVerificationError,
    UnpinnedHostError,
    find_pin_error,
)
from pinio.testing import Connection, Server
from pinio.tls.config.profile import Profile
from pinio.tls.config.settings import Settings
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.context.objects import PinnedSSLObject
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake import sessions
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from tests.tls.cast import (
    GENUINE,
    IDENTITY,
    ISSUER,
    MISPINNED,
    ROOT,
    SPARE,
    App,
    BufferedApp,
    Told,
    end_of,
    pinned,
)
from tests.tls.doors import DOORS, OVER_BIO, Door, connector
from tests.tls.memory import MemoryPeer, drive
from tests.tls.through import Swappable, blocking, context_for

DENIED = pinned(policy={"deny": [GENUINE.pin]})
NO_LONGER = {
    "denied": DENIED,
    "other pins": MISPINNED,
    "not listed": pinned(host="elsewhere.test"),
    "unpinned": Policy(
        {"elsewhere.test": [SPARE, GENUINE.pin]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    ),
    "exempt": pinned(
        host="elsewhere.test",
        policy={"exempt": {"localhost": "moved"}, "unpinned_anchors": ROOT.anchors},
    ),
    "other anchors": Policy({"localhost": PinSet([GENUINE.pin], backup=[SPARE])}),
}
STILL = {"the same pins": pinned(), "other pins that match": pinned(f"ca:{ISSUER.pin}")}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def server_context(*, tickets: bool = True) -> ssl.SSLContext:
    """Of a server that asks for a client certificate when it likes, and not in the handshake."""
    context = GENUINE.server_context(
        tls_version=ssl.TLSVersion.TLSv1_3, client_ca=ROOT, tickets=tickets
    )
    context.post_handshake_auth = True
    return context


def client_context(source: Any, folder: Path, **options: Any) -> PinnedSSLContext:
    context = context_for(source, client_cert=IDENTITY.write(folder), **options)
    context.post_handshake_auth = True
    return context


class Curious:
    """Answers one request; asks for the client's certificate when told to; keeps what it gets."""

    def __init__(self, *, speaks: bytes = b"", before: bytes = b"") -> None:
        self.speaks, self.before = speaks, before
        self.heard, self.asked, self.ask = threading.Event(), threading.Event(), threading.Event()
        self.certificate: bytes | None = None
        self.learned = threading.Event()
        self.said_later = b""

    def __call__(self, connection: Connection) -> None:
        tls = connection.tls
        assert tls is not None
        connection.recv()
        connection.sendall(ANSWER)
        self.heard.set()
        assert self.ask.wait(60)
        records = connection.seal(self.before)
        tls.verify_client_post_handshake()
        tls.do_handshake()
        connection.socket.sendall(records + connection.seal(self.speaks))
        self.asked.set()
        with contextlib.suppress(OSError):
            while not connection.ended:
                connection.activity.wait((connection.socket,))
                connection.fill()
                self.said_later += connection.read_available()
                if certificate := tls.getpeercert(True):
                    self.certificate = certificate
                    self.learned.set()
                    break


@asynccontextmanager
async def connected(
    door: Door, context: PinnedSSLContext, script: Curious
) -> AsyncIterator[tuple[Server, Any]]:
    """A connection over which one answer came, and on which nothing happens."""
    with Server(server_context(), handler=script) as server:
        async with door(context, server.port) as line:
            if door is not connector:  # which has done so to get its connection
                await line.say(b"GET / HTTP/1.1\r\n\r\n")
                assert await line.hear(len(ANSWER)) == ANSWER
            assert await asyncio.to_thread(script.heard.wait, 60)
            try:
                yield server, line
            finally:
                script.ask.set()  # or the server's thread would wait


async def learns(script: Curious) -> None:
    """Wait until the server has the client's certificate."""
    assert await asyncio.to_thread(script.learned.wait, 60)
    assert script.certificate == IDENTITY.der


@pytest.mark.parametrize("later", STILL.values(), ids=STILL)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_a_server_that_is_still_allowed_gets_it(
    door: Door, later: Policy, tmp_path: Path
) -> None:
    """The positive control, and what `post_handshake_auth` is for."""
    source, script = Swappable(pinned()), Curious(speaks=b"" if door is connector else b"more")
    async with connected(door, client_context(source, tmp_path), script) as (_, line):
        source.current = later
        script.ask.set()
        assert await line.hear(len(script.speaks)) == script.speaks
        await learns(script)


@pytest.mark.parametrize("speaks", [b"", b"more"], ids=["asks", "asks and speaks"])
@pytest.mark.parametrize("later", NO_LONGER.values(), ids=NO_LONGER)
@pytest.mark.parametrize("door", OVER_BIO.values(), ids=OVER_BIO)
async def test_P2_a_server_that_is_no_longer_allowed_does_not(
    door: Door, later: Policy, speaks: bytes, tmp_path: Path
) -> None:
    source, script, told = Swappable(pinned()), Curious(speaks=speaks), Told()
    context = client_context(source, tmp_path, observer=told)
    async with connected(door, context, script) as (server, line):
        source.current = later
        script.ask.set()
        if door is not connector:
            with pytest.raises((OSError, EOFError)) as lost:
                await line.hear(1)
            if isinstance(lost.value, OSError):
                assert find_pin_error(lost.value) is not None
        await end_of(server)
    assert script.asked.is_set()
    assert script.certificate is None
    assert script.said_later == b""
    assert [type(decision) for decision in told] == [Permit, Refusal]


async def test_an_idle_connection_of_a_pool_is_not_used_again(tmp_path: Path) -> None:
    source, script = Swappable(pinned()), Curious()
    async with connected(connector, client_context(source, tmp_path), script) as (server, line):
        source.current = DENIED
        script.ask.set()
        await end_of(server)
        assert script.certificate is None
        source.current = pinned()
        await line.say(b"again")
        assert len(server.connections) == 2


# An application that is told in the middle


class Eager(App):
    """Answers whatever comes, at once, as an echo does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if data.endswith(b"?"):
            self.transport.write(b"!")


class EagerBuffered(Eager, BufferedApp):
    pass


@pytest.mark.parametrize("kind", [Eager, EagerBuffered])
@pytest.mark.parametrize("allowed", [True, False])
async def test_the_answer_does_not_leave_with_what_an_application_writes(
    kind: type[Eager], allowed: bool, tmp_path: Path
) -> None:
    source, script = Swappable(pinned()), Curious(speaks=b"who are you?")
    with Server(server_context(), handler=script) as server:
        transport, app = await pinio.create_connection(
            kind, "localhost", server.port, ssl=client_context(source, tmp_path)
        )
        assert await app.has_received(len(ANSWER)) == ANSWER
        if not allowed:
            source.current = DENIED
        script.ask.set()
        if allowed:
            await app.has_received(len(ANSWER) + 1)
            await learns(script)
            transport.abort()
        error = await app.lost
        await end_of(server)
    assert allowed or isinstance(error, DeniedKeyError)
    assert (script.certificate is None) != allowed
    assert allowed or script.said_later == b""


class Pausing(Eager):
    """Takes no more than one piece."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()


async def test_nor_when_a_connection_is_closed_over_a_request_that_waits(tmp_path: Path) -> None:
    """The request came behind data, and the application paused at that; the close reads on."""
    source, script = Swappable(pinned()), Curious(before=b"one")
    with Server(server_context(), handler=script) as server:
        transport, app = await pinio.create_connection(
            Pausing, "localhost", server.port, ssl=client_context(source, tmp_path)
        )
        assert await app.has_received(len(ANSWER)) == ANSWER
        transport.resume_reading()
        script.ask.set()
        await app.has_received(len(ANSWER) + 3)
        source.current = DENIED
        transport.close()
        assert isinstance(await app.lost, DeniedKeyError)
        await end_of(server)
    assert script.certificate is None


async def test_nor_when_the_observer_of_that_close_is_no_exception(tmp_path: Path) -> None:
    """The program that closes hears of it; the socket is not left open."""

    class Stop(BaseException):
        pass

    def observer(decision: Permit | Refusal) -> None:
        if isinstance(decision, Refusal):
            raise Stop

    source, script = Swappable(pinned()), Curious(before=b"one")
    with Server(server_context(), handler=script) as server:
        transport, app = await pinio.create_connection(
            Pausing,
            "localhost",
            server.port,
            ssl=client_context(source, tmp_path, observer=observer),
        )
        assert await app.has_received(len(ANSWER)) == ANSWER
        transport.resume_reading()
        script.ask.set()
        await app.has_received(len(ANSWER) + 3)
        source.current = DENIED
        with pytest.raises(Stop):
            transport.close()
        await app.lost
        await end_of(server)
    assert script.certificate is None


# Blocking sockets: OpenSSL sends by itself


@pytest.mark.parametrize("first", ["swap", "ask"])
@pytest.mark.parametrize("later", NO_LONGER.values(), ids=NO_LONGER)
def test_P2_a_socket_is_judged_before_it_reads(later: Policy, first: str, tmp_path: Path) -> None:
    source, script, told = Swappable(pinned()), Curious(speaks=b"more"), Told()
    context = client_context(source, tmp_path, observer=told)
    with Server(server_context(), handler=script) as server, blocking(context, server) as tls:
        tls.sendall(b"GET")
        assert tls.recv(len(ANSWER)) == ANSWER
        if first == "ask":
            script.ask.set()
            assert script.asked.wait(60)
        source.current = later
        script.ask.set()
        with pytest.raises(PinVerificationError):
            tls.recv(4)
        assert tls.fileno() == -1
        server.wait_quiet()
    assert script.certificate is None
    assert [type(decision) for decision in told] == [Permit, Refusal]


@pytest.mark.parametrize("use", ["recv_into", "read", "makefile", "unwrap"])
def test_P2_whatever_reads(use: str, tmp_path: Path) -> None:
    source, script = Swappable(pinned()), Curious(speaks=b"more")
    context = client_context(source, tmp_path)
    with Server(server_context(), handler=script) as server, blocking(context, server) as tls:
        tls.sendall(b"GET")
        assert tls.recv(len(ANSWER)) == ANSWER
        script.ask.set()
        assert script.asked.wait(60)
        source.current = DENIED
        uses: dict[str, Callable[[], object]] = {
            "recv_into": lambda: tls.recv_into(bytearray(4)),
            "read": lambda: tls.read(4),  # pyright: ignore[reportDeprecated]
            "makefile": lambda: tls.makefile("rb").read(4),
            "unwrap": tls.unwrap,
        }
        with pytest.raises(DeniedKeyError):
            uses[use]()
        server.wait_quiet()
    assert script.certificate is None


class Watched(Swappable):
    """A source that says that it was asked."""

    def __init__(self, current: Policy) -> None:
        self._current = current
        self.asked = threading.Event()

    @property
    def current(self) -> Policy:
        self.asked.set()
        return self._current

    @current.setter
    def current(self, policy: Policy) -> None:
        self._current = policy


def test_a_socket_that_waits_through_a_swap_hears_of_it(tmp_path: Path) -> None:
    """The answer cannot be held back then; the program learns of it, and the connection ends."""
    source, script = Watched(pinned()), Curious(speaks=b"more")
    context = client_context(source, tmp_path)
    with Server(server_context(), handler=script) as server, blocking(context, server) as tls:
        tls.sendall(b"GET")
        assert tls.recv(len(ANSWER)) == ANSWER
        source.asked.clear()
        errors = list[BaseException]()

        def wait() -> None:
            try:
                tls.recv(4)
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert source.asked.wait(60), "it was judged, and reads"
        source.current = DENIED
        script.ask.set()
        thread.join(60)
        assert [type(error) for error in errors] == [DeniedKeyError]
        assert tls.fileno() == -1


# In memory, step by step


class Pair:
    """A client through a context or an engine, and a server that may ask."""

    def __init__(self, source: Any, folder: Path, observer: Any = None) -> None:
        told = Told() if observer is None else observer
        self.client = MemoryPeer(
            client_context(source, folder, observer=told), server_hostname="localhost"
        )
        self.server = MemoryPeer(server_context())
        while not self.server.finished:
            self.client.incoming.write(self.server.answer(self.client.answer()))
        self.client.receive(self.server.outgoing.read())

    @property
    def tls(self) -> PinnedSSLObject:
        assert isinstance(self.client.tls, PinnedSSLObject)
        return self.client.tls

    def request(self) -> bytes:
        self.server.tls.verify_client_post_handshake()
        self.server.tls.do_handshake()
        return self.server.outgoing.read()


def _read(pair: Pair) -> None:
    pair.tls.read(100)


def _unwrap(pair: Pair) -> None:
    pair.tls.unwrap()


def _goodbye(pair: Pair) -> None:
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.tls.unwrap()
    pair.client.outgoing.read()


@pytest.mark.parametrize("step", [_read, _unwrap])
@pytest.mark.parametrize("before", [None, _goodbye], ids=["open", "closing"])
@pytest.mark.parametrize("later", NO_LONGER.values(), ids=NO_LONGER)
def test_P2_no_step_leaves_an_answer(
    step: Callable[[Pair], None],
    before: Callable[[Pair], None] | None,
    later: Policy,
    tmp_path: Path,
) -> None:
    """A read and a shutdown answer, also after the client has said goodbye."""
    source = Swappable(pinned())
    pair = Pair(source, tmp_path)
    request = pair.request()
    if before is not None:
        before(pair)
    source.current = later
    pair.client.incoming.write(request)
    with pytest.raises(PinVerificationError):
        step(pair)
    assert not pair.client.outgoing.pending
    assert pair.tls.state is State.CLOSED


@pytest.mark.parametrize("step", [_read, _unwrap])
@pytest.mark.parametrize("before", [None, _goodbye], ids=["open", "closing"])
def test_each_step_answers_who_is_still_allowed(
    step: Callable[[Pair], None], before: Callable[[Pair], None] | None, tmp_path: Path
) -> None:
    source = Swappable(pinned())
    pair = Pair(source, tmp_path)
    request = pair.request()
    if before is not None:
        before(pair)
    source.current = pinned(f"ca:{ISSUER.pin}")
    pair.client.incoming.write(request)
    with pytest.raises(ssl.SSLWantReadError):
        step(pair)
    assert pair.client.outgoing.pending > 100, "the positive control: there is an answer"
    assert pair.tls.permit is not None
    assert str(pair.tls.permit.pin) == f"ca:{ISSUER.pin}"


@pytest.mark.parametrize("step", [_read, _unwrap])
def test_P2_nor_once_its_pins_have_expired(step: Callable[[Pair], None], tmp_path: Path) -> None:
    """Under the same policy: only time has passed."""
    moment = sessions.now()
    expires = datetime.fromtimestamp(round(moment.wall) + 3600, UTC)
    pair = Pair(pinned(expires=expires), tmp_path)
    judge = pair.tls.judge
    assert judge is not None
    pair.client.incoming.write(pair.request())
    later = Moment(moment.wall + 3601, moment.monotonic + 3601)
    judge.clock = lambda: later
    with pytest.raises(PinExpiredError):
        step(pair)
    assert not pair.client.outgoing.pending


def test_an_observer_that_is_no_exception_leaves_no_answer(tmp_path: Path) -> None:
    def observer(decision: Permit | Refusal) -> None:
        if isinstance(decision, Refusal):
            raise KeyboardInterrupt

    source = Swappable(pinned())
    pair = Pair(source, tmp_path, observer)
    request = pair.request()
    source.current = DENIED
    pair.client.incoming.write(request)
    with pytest.raises(KeyboardInterrupt):
        pair.tls.read(100)
    assert not pair.client.outgoing.pending
    assert pair.tls.state is State.CLOSED


def test_a_host_that_is_pinned_no_more_gets_none_and_is_told_why(tmp_path: Path) -> None:
    """A new connection to it would have no client certificate to show."""
    source = Swappable(pinned())
    pair = Pair(source, tmp_path)
    request = pair.request()
    source.current = NO_LONGER["unpinned"]
    pair.client.incoming.write(request)
    with pytest.raises(UnpinnedHostError, match="shown to pinned hosts only"):
        pair.tls.read(100)


@pytest.mark.parametrize("closing", [False, True])
def test_the_engine_of_the_raw_doors_likewise(closing: bool, tmp_path: Path) -> None:
    source = Swappable(pinned())
    context = client_context(source, tmp_path)
    endpoint = source.current.endpoint("localhost", 443)
    profile = context.profile(endpoint)
    assert profile.settings.post_handshake_auth
    judge = Judge(endpoint, profile, Told(), source=source)
    engine = OpenSSLEngine(inner_context(profile), Handshake(judge))
    server = MemoryPeer(server_context())
    drive(engine, server)
    server.tls.verify_client_post_handshake()
    server.tls.do_handshake()
    engine.incoming.write(server.outgoing.read())
    source.current = DENIED
    with pytest.raises(DeniedKeyError):
        engine.shutdown() if closing else engine.read(100)
    assert not engine.outgoing.pending


def test_what_is_not_asked_costs_nothing() -> None:
    """Without `post_handshake_auth` the engine hands out OpenSSL's own methods."""
    policy = pinned()
    endpoint = policy.endpoint("localhost", 443)
    for settings in (Settings(), Settings(post_handshake_auth=True)):
        profile = Profile.of(endpoint, settings)
        engine = OpenSSLEngine(inner_context(profile), Handshake(Judge(endpoint, profile, Told())))
        assert (type(engine.read).__name__ == "function") == settings.post_handshake_auth
