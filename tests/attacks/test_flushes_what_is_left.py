r"""A client that sends what is left over when its handshake fails.

    client                                              impostor
           ◀── its part of the handshake ───────────────
    in the BIO: the client's certificate, and Finished
    failure: a refusal, an interrupt, garbage, an end
           ─── flush, as libraries do for an alert ─────▶   "ah, it is you"

A TLS library leaves bytes to send when it fails: the alert that says why. A client may flush them, and
some libraries do. So nothing else may be among them, whatever failed, and whoever raised it: OpenSSL,
the judge, an observer, a signal handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinio.core.decision import Permit, Refusal
from pinio.errors import NotJudgedError, PinMismatchError
from pinio.testing import CA, Interceptor, Server, tls_record
from pinio.tls.config.profile import Profile
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.objects import PinnedSSLObject, _GatedObject
from pinio.tls.handshake import judge as judgements
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.peer import OpenSSLFacts
from tests.tls.cast import GENUINE, IDENTITY, MISPINNED, ROOT, Told, end_of, pinned
from tests.tls.doors import DOORS, OVER_BIO, Door
from tests.tls.memory import MemoryPeer, context_with, engine_for
from tests.tls.through import Swappable, context_for


class Stop(BaseException):
    """What no `except Exception` catches; pytest's outcomes and an application's own are of this kind."""


def stop(decision: Permit | Refusal) -> None:
    raise Stop


class Client:
    """A client in memory with a certificate to show, and a hand that flushes."""

    def __init__(
        self, tls: PinnedSSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.tls, self.incoming, self.outgoing = tls, incoming, outgoing
        self.sent = b""

    def shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()

    def flush(self) -> bytes:
        data = self.outgoing.read()
        self.sent += data
        return data


def by_context(policy: Any, observer: Any, folder: Path) -> Client:
    context = context_for(policy, observer=observer, client_cert=IDENTITY.write(folder))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    assert isinstance(tls, PinnedSSLObject)
    return Client(tls, incoming, outgoing)


def by_engine(policy: Any, observer: Any, folder: Path) -> Client:
    engine = engine_for(policy, context=context_with(IDENTITY, policy), observer=observer)
    assert isinstance(engine.tls, PinnedSSLObject)
    return Client(engine.tls, engine.incoming, engine.outgoing)


makers = pytest.mark.parametrize("make", [by_context, by_engine], ids=["context", "engine"])
Make = Callable[[Any, Any, Path], Client]


@pytest.fixture
def server(tls_version: ssl.TLSVersion) -> MemoryPeer:
    return MemoryPeer(GENUINE.server_context(tls_version=tls_version, client_ca=ROOT))


def nothing_is_left(client: Client, server: MemoryPeer) -> None:
    """Whatever is flushed and whoever shakes hands again, the server learns nothing."""
    for _ in range(3):
        with contextlib.suppress(ssl.SSLError):
            server.answer(client.flush())
        with pytest.raises((NotJudgedError, ssl.SSLError)):
            client.tls.do_handshake()
    assert not server.finished
    assert server.client_certificate is None
    assert IDENTITY.der not in client.sent
    assert client.tls.state in (State.REFUSED, State.CLOSED)


def answered(client: Client, server: MemoryPeer) -> None:
    """The client has the server's part of the handshake before it."""
    client.shake()
    client.incoming.write(server.answer(client.flush()))


def test_a_client_without_pins_completes_the_handshake(server: MemoryPeer) -> None:
    """What the tests below leave out: the flight that was left over, flushed."""
    client = MemoryPeer(ROOT.client_context(identity=IDENTITY), server_hostname="localhost")
    client.incoming.write(server.answer(client.answer()))
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.do_handshake()
    server.answer(client.outgoing.read())
    assert server.client_certificate == IDENTITY.der


# Failures that are not OpenSSL's


@makers
@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("policy", [pinned(), MISPINNED], ids=["permitted", "refused"])
def test_an_observer_that_is_no_exception(
    make: Make, policy: Any, kind: type[BaseException], tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    def observer(decision: Permit | Refusal) -> None:
        raise kind

    server = MemoryPeer(GENUINE.server_context(tls_version=tls_version, client_ca=ROOT))
    client = make(policy, observer, tmp_path)
    answered(client, server)
    if policy is not MISPINNED and tls_version is ssl.TLSVersion.TLSv1_2:
        client.shake()  # the judge has permitted it; the observer hears of it when the server has finished
        client.incoming.write(server.answer(client.flush()))
        assert server.finished
        server.outgoing.read()
        with pytest.raises(kind):
            client.shake()
        assert client.tls.state is State.CLOSED
        with pytest.raises(NotJudgedError):
            client.tls.write(b"password")
        assert not client.outgoing.pending
        return
    with pytest.raises(kind):
        client.shake()
    assert not client.outgoing.pending
    nothing_is_left(client, server)


@makers
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ssl.SSLError, ConnectionError, MemoryError])
def test_an_interrupt_right_behind_the_handshake(
    make: Make,
    kind: type[BaseException],
    server: MemoryPeer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal handler's, or that of a key log that cannot be written: OpenSSL is done, the judge was not asked."""
    client = make(pinned(), Told(), tmp_path)
    answered(client, server)
    handshake = client.tls._handshake
    assert handshake is not None
    core = client.tls._sslobj  # type: ignore[attr-defined]

    def interrupted() -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            core.do_handshake()
        assert client.outgoing.pending > 40, "the final flight"
        raise kind(1, "interrupted")

    with pytest.raises(kind):
        handshake.step(OpenSSLFacts(client.tls), interrupted, client.outgoing)
    assert not client.outgoing.pending
    nothing_is_left(client, server)


@makers
def test_an_interrupt_of_the_judge(
    make: Make, server: MemoryPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(judgements, "judge", interrupted)
    client = make(pinned(), Told(), tmp_path)
    answered(client, server)
    with pytest.raises(KeyboardInterrupt):
        client.shake()
    assert not client.outgoing.pending
    nothing_is_left(client, server)


# Failures of OpenSSL behind the flight, which nobody has judged


@makers
@pytest.mark.parametrize(
    "behind", [b"HTTP/1.1 400\r\n\r\n", tls_record(99, b"?"), None], ids=["clear", "record", "end"]
)
def test_a_server_that_fails_the_client_behind_its_part(
    make: Make, behind: bytes | None, tmp_path: Path
) -> None:
    """TLS 1.2. OpenSSL writes the client's flight, reads on, and fails, all within one call."""
    other = ROOT.issue("localhost")
    server = MemoryPeer(other.server_context(tls_version=ssl.TLSVersion.TLSv1_2, client_ca=ROOT))
    told = Told()
    client = make(pinned(), told, tmp_path)
    answered(client, server)
    if behind is None:
        client.incoming.write_eof()
    else:
        client.incoming.write(behind)
    with pytest.raises(ssl.SSLError):
        client.shake()
    assert "Permit" not in told.kinds
    nothing_is_left(client, server)


# A policy that is swapped before the flight is sent


@pytest.mark.parametrize("observer", [Told(), stop], ids=["hears", "stops"])
def test_a_swap_before_the_first_flush(observer: Any, tmp_path: Path) -> None:
    """TLS 1.3: the handshake is done, its last flight waits, and the policy no longer allows the peer."""
    source, heard = Swappable(pinned()), list[Permit | Refusal]()

    def observe(decision: Permit | Refusal) -> None:
        heard.append(decision)
        if isinstance(decision, Refusal):
            observer(decision)

    server = MemoryPeer(GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3, client_ca=ROOT))
    client = by_context(source, observe, tmp_path)
    answered(client, server)
    client.shake()
    assert client.tls.state is State.OPEN
    assert client.outgoing.pending
    source.current = MISPINNED
    with pytest.raises((Stop, PinMismatchError)):
        client.tls.write(b"password")
    assert not client.outgoing.pending
    nothing_is_left(client, server)
    assert [type(decision) for decision in heard] == [Permit, Refusal]


@pytest.mark.parametrize("observer", [Told(), stop], ids=["hears", "stops"])
def test_a_swap_that_a_pool_notices_before_the_first_flush(observer: Any) -> None:
    source = Swappable(pinned())
    endpoint = source.current.endpoint("localhost", 443)
    judge = Judge(endpoint, Profile.of(endpoint), Told(), source=source)
    context = context_with(IDENTITY, source.current)
    engine = OpenSSLEngine(context, Handshake(judge))
    server = MemoryPeer(GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3, client_ca=ROOT))
    engine.handshake()
    engine.incoming.write(server.answer(engine.take()))
    assert engine.handshake()
    source.current, judge.observer = MISPINNED, observer
    with pytest.raises((Stop, PinMismatchError)):
        engine.recheck()
    assert not engine.outgoing.pending
    assert engine.take() == b""


# Alerts


@makers
def test_the_alert_of_a_failure_stays(
    make: Make, tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """RFC 8446 section 6.2: the peer may hear why."""
    server = MemoryPeer(CA("unknown").issue("localhost").server_context(tls_version=tls_version))
    client = make(pinned(), Told(), tmp_path)
    answered(client, server)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.unknown.ca"):
        server.answer(client.flush())
    assert not server.finished


# Over the network


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> list[ssl.MemoryBIO | None]:
    """Where the TLS objects of all doors leave what is to be sent."""
    kept = list[ssl.MemoryBIO | None]()
    bind = _GatedObject._bind

    def keep(self: _GatedObject, handshake: Any, bio: ssl.MemoryBIO | None) -> None:
        kept.append(bio)
        bind(self, handshake, bio)

    monkeypatch.setattr(_GatedObject, "_bind", keep)
    return kept


@pytest.mark.parametrize("policy", [pinned(), MISPINNED], ids=["permitted", "refused"])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_on_every_door(
    door: Door,
    policy: Any,
    tls_version: ssl.TLSVersion,
    tmp_path: Path,
    outgoing: list[ssl.MemoryBIO | None],
) -> None:
    context = context_for(policy, observer=stop, client_cert=IDENTITY.write(tmp_path))
    loop = asyncio.get_running_loop()
    complaints = list[Any]()
    loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
    with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        with pytest.raises((Stop, OSError)):
            async with door(context, server.port):
                pytest.fail("connected")
        await end_of(server)
        assert server.application_bytes == b""
        assert not any(bio.pending for bio in outgoing if bio is not None)
        over_bio = door in OVER_BIO.values()
        if over_bio and (policy is MISPINNED or tls_version is ssl.TLSVersion.TLSv1_3):
            assert server.handshakes_finished == 0
            assert server.client_certificates == []
            assert all(IDENTITY.der not in record.handshake_bytes for record in server.connections)


@pytest.mark.parametrize("door", OVER_BIO.values(), ids=OVER_BIO)
async def test_a_refusal_leaves_nothing(
    door: Door, tls_version: ssl.TLSVersion, tmp_path: Path, outgoing: list[ssl.MemoryBIO | None]
) -> None:
    context = context_for(pinned(), client_cert=IDENTITY.write(tmp_path))
    with Interceptor(ROOT, "localhost", tls_version=tls_version, client_ca=ROOT) as between:
        with pytest.raises(OSError, match=r"no certificate in the verified chain matches"):
            async with door(context, between.port):
                pytest.fail("connected")
        await end_of(between)
        assert outgoing
        assert not any(bio.pending for bio in outgoing if bio is not None)
        assert between.handshakes_finished == 0
        assert between.client_certificates == []
