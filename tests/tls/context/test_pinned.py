"""Whom a context connects to, by which judgement, with which session."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.errors import (
    JudgementError,
    NotJudgedError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    ServerNameError,
    UnpinnedHostError,
)
from pinio.testing import Interceptor, Server, echo, http, self_signed
from pinio.tls.config.settings import scratch
from pinio.tls.context.pinned import PinnedSSLContext, create_ssl_context
from tests.tls.cast import (
    GENUINE,
    IDENTITY,
    ISSUER,
    MISPINNED,
    ROOT,
    SPARE,
    App,
    Told,
    end_of,
    pinned,
)
from tests.tls.through import (
    SECRET,
    Swappable,
    ask,
    ask_asyncio,
    blocking,
    context_for,
    inner,
    tcp,
    unsealed,
)

# Whom a context connects to


def test_a_missing_name_is_refused_and_told() -> None:
    """OpenSSL would verify the chain and nobody the name."""
    told = Told()
    context = context_for(pinned(host="**.pinned.test"), observer=told)
    with Server(GENUINE) as server:
        for name in (None, ""):
            with pytest.raises(ServerNameError), tcp(server) as sock:
                context.wrap_socket(sock, server_hostname=name)
            with pytest.raises(ServerNameError):
                context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        server.wait_quiet()
        assert not any(record.handshake_bytes for record in server.connections)
    assert told.kinds == ["Refusal"] * 4


def test_a_context_of_one_host_needs_no_name() -> None:
    context = context_for(pinned())
    with Server(GENUINE) as server:
        assert ask(context, server, None) == SECRET
        assert server.connections[0].server_name == "localhost"


@pytest.mark.parametrize("spelling", ["LOCALHOST", "localhost.", b"localhost", "LocalHost."])
def test_a_name_is_looked_up_as_it_is_verified(spelling: Any) -> None:
    context = context_for(pinned())
    with Server(GENUINE) as server:
        assert ask(context, server, spelling) == SECRET
        assert server.connections[0].server_name == "localhost"


def test_a_host_without_pins_is_refused_before_anything_is_sent() -> None:
    told = Told()
    context = context_for(pinned(), observer=told)
    with Server(GENUINE) as server:
        with pytest.raises(UnpinnedHostError):
            ask(context, server, "elsewhere.test")
        server.wait_quiet()
        assert not server.connections[0].handshake_bytes
    assert told.kinds == ["Refusal"]


async def test_a_host_without_pins_is_refused_on_a_loop_too() -> None:
    with Server(GENUINE) as server:
        _, writer = await asyncio.open_connection(*server.address)
        with pytest.raises(UnpinnedHostError):
            await writer.start_tls(context_for(pinned()), server_hostname="elsewhere.test")
        writer.close()
        await end_of(server)
        assert not server.connections[0].handshake_bytes


def test_pins_alone_are_for_whatever_host_is_named() -> None:
    context = create_ssl_context(pins=[GENUINE.pin, SPARE], anchors=ROOT.anchors, observer=Told())
    with Server(GENUINE) as server, Interceptor(ROOT, "localhost", "127.0.0.1") as between:
        for name in ("localhost", "127.0.0.1"):
            assert ask(context, server, name) == SECRET
            with pytest.raises(PinMismatchError):
                ask(context, between, name)
        between.wait_quiet()
        assert between.captured == b""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({}, "one of policy= and pins="),
        ({"policy": pinned(), "pins": GENUINE.pin}, "one of policy= and pins="),
        ({"policy": pinned(), "trust": "pkix"}, "go with pins="),
        ({"policy": pinned(), "resumption": None}, "resumption="),
        ({"policy": {"localhost": [GENUINE.pin]}}, "policy= is a Policy"),
        ({"policy": pinned(), "alpn": "h2"}, "alpn= is a list"),
        ({"policy": pinned(), "alpn": 2}, "alpn= is a list"),
        ({"policy": pinned(), "alpn": ["h2", ""]}, "alpn= is a list"),
        ({"policy": pinned(), "alpn": ["h2", b"http/1.1"]}, "alpn= is a list"),
        ({"policy": pinned(), "client_cert": ()}, "client_cert= is a file, or a tuple"),
        (
            {"policy": pinned(), "client_cert": ("a", "b", "c", "d")},
            "client_cert= is a file, or a tuple",
        ),
        ({"policy": pinned(), "observer": "log"}, "observer= is a callable"),
    ],
    ids=range(12),
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], hint: str) -> None:
    with pytest.raises(PolicyError, match=hint):
        create_ssl_context(**arguments)


# Foreign sessions


def test_P4_a_session_from_elsewhere_is_refused(tls_version: ssl.TLSVersion) -> None:
    """OpenSSL checks no name when a session is resumed, and shows no chain."""
    context = context_for(pinned())
    with Server(GENUINE, tls_version=tls_version) as server:
        with blocking(ROOT.client_context(tls_version=tls_version), server) as tls:
            tls.sendall(SECRET)
            tls.recv(100)
            stolen = tls.session
        with pytest.raises(PolicyError, match="skips the name check"):
            context.wrap_bio(
                ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost", session=stolen
            )
        with tcp(server) as sock, pytest.raises(PolicyError, match="skips the name check"):
            context.wrap_socket(sock, server_hostname="localhost", session=stolen)
        with tcp(server) as sock:
            fresh = context.wrap_socket(
                sock, server_hostname="localhost", do_handshake_on_connect=False
            )
            with fresh, pytest.raises(PolicyError, match="skips the name check"):
                fresh.session = stolen
        made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        with pytest.raises(PolicyError, match="skips the name check"):
            made.session = stolen


def test_the_context_of_a_tls_object_cannot_be_replaced() -> None:
    """`SSLObject.context` is meant for servers; on a client it would be another trust."""
    made = context_for(pinned()).wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"
    )
    with pytest.raises(PolicyError, match="cannot be replaced"):
        made.context = scratch()


# Resumption


def test_P4_resumption_is_judged_and_can_be_switched_off(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    on = context_for(pinned(), observer=told)
    off = context_for(pinned(), observer=told, resumption=False)
    kept_off = context_for(pinned(resumption=False), observer=told)
    with Server(GENUINE, tls_version=tls_version) as server:
        for context in (on, on, off, off, kept_off, kept_off):
            assert ask(context, server) == SECRET
    assert [record.resumed for record in server.connections] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert [decision.resumed for decision in told if isinstance(decision, Permit)] == [
        record.resumed for record in server.connections
    ]


def test_P4_a_session_is_not_offered_under_pins_that_its_evidence_does_not_satisfy(
    tls_version: ssl.TLSVersion,
) -> None:
    source = Swappable(pinned())
    context = context_for(source)
    with Server(GENUINE, tls_version=tls_version) as server:
        ask(context, server)
        source.current = MISPINNED
        with pytest.raises(PinMismatchError) as error:
            ask(context, server)
        assert error.value.refusal.chain is not None
        server.wait_quiet()
        assert [record.resumed for record in server.connections] == [False, False]


async def test_P4_asyncio_resumes_too(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    context = context_for(pinned(), observer=told)
    with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(3):
            assert await ask_asyncio(context, server) == SECRET
        await end_of(server)
    assert [record.resumed for record in server.connections] == [False, True, True]
    assert [decision.resumed for decision in told if isinstance(decision, Permit)] == [
        False,
        True,
        True,
    ]


# The verify mode around the making of an object


def test_a_mode_flipped_around_wrap_has_no_effect(tls_version: ssl.TLSVersion) -> None:
    """An SSL object keeps the mode of its making, so a look at the context afterwards tells nothing."""
    context = context_for(pinned(f"ca:{ISSUER.pin}"))
    with Server(
        self_signed("localhost").serving(ISSUER.der, ROOT.der), tls_version=tls_version
    ) as server:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with tcp(server) as sock:
            tls = context.wrap_socket(
                sock, server_hostname="localhost", do_handshake_on_connect=False
            )
            context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
            with tls, pytest.raises(ssl.SSLCertVerificationError):
                tls.do_handshake()
        server.wait_quiet()
        assert server.application_bytes == b""


@pytest.mark.parametrize("kind", ["object", "socket"])
def test_a_mode_flipped_on_an_inner_context_is_noticed(kind: str) -> None:
    """Whoever digs one out and breaks its seal gets refusals and no connection."""
    context = context_for(pinned(), alpn=["made for this test"])
    private = unsealed(inner(context))
    told = context.observer
    assert isinstance(told, Told)
    private.check_hostname, private.verify_mode = False, ssl.CERT_NONE
    with Server(GENUINE) as server:
        connect: dict[str, Callable[[], object]] = {
            "object": lambda: context.wrap_bio(
                ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"
            ),
            "socket": lambda: ask(context, server),
        }
        with pytest.raises(JudgementError):
            connect[kind]()
    private.verify_mode, private.check_hostname = ssl.CERT_REQUIRED, True
    assert told.kinds == ["Refusal"]
    with Server(GENUINE) as server:
        assert ask(context, server) == SECRET


def test_an_object_made_by_hand_from_an_inner_context_lets_nothing_through() -> None:
    private = inner(context_for(pinned()))
    made = private.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    for call in (made.do_handshake, lambda: made.write(SECRET), lambda: made.read(1), made.unwrap):
        with pytest.raises(NotJudgedError):
            call()


# Observers


@pytest.mark.parametrize("policy", [pinned(), MISPINNED], ids=["match", "mismatch"])
def test_the_observer_hears_one_decision(policy: Policy, tls_version: ssl.TLSVersion) -> None:
    told = Told()
    context = context_for(policy, observer=told)
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        contextlib.suppress(PinVerificationError),
    ):
        ask(context, server)
    (decision,) = told
    assert isinstance(decision, Refusal if policy is MISPINNED else Permit)
    assert (decision.host, decision.port) == ("localhost", None)


# The other doors


async def by_open_connection(context: PinnedSSLContext, server: Server) -> None:
    await _end(*await pinio.open_connection("localhost", server.port, ssl=context))


async def by_create_connection(context: PinnedSSLContext, server: Server) -> None:
    transport, app = await pinio.create_connection(App, "localhost", server.port, ssl=context)
    assert await app.has_received(len(app.opening)) == app.opening
    transport.abort()
    await app.lost


async def by_start_tls(context: PinnedSSLContext, server: Server) -> None:
    loop = asyncio.get_running_loop()
    plain, app = await loop.create_connection(lambda: App(opening=b""), *server.address)
    try:
        transport = await pinio.start_tls(plain, app, ssl=context, server_hostname="localhost")
        transport.write(SECRET)
        assert await app.has_received(len(SECRET)) == SECRET
        transport.abort()
    finally:
        plain.abort()
        await asyncio.wait([app.lost])


async def by_upgrade(context: PinnedSSLContext, server: Server) -> None:
    pair = await asyncio.open_connection(*server.address)
    await _end(*await pinio.upgrade(*pair, ssl=context, server_hostname="localhost"))


async def by_connector(context: PinnedSSLContext, server: Server) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from pinio.aiohttp import PinnedConnector

    async with (
        aiohttp.ClientSession(connector=PinnedConnector(ssl=context)) as session,
        session.get(f"https://localhost:{server.port}/") as response,
    ):
        assert response.status == 200


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SECRET)
    assert await reader.readexactly(len(SECRET)) == SECRET
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    "door", [by_open_connection, by_create_connection, by_start_tls, by_upgrade, by_connector]
)
async def test_every_door_takes_a_context_with_all_that_is_set_on_it(
    door: Callable[[PinnedSSLContext, Server], Awaitable[None]],
    tls_version: ssl.TLSVersion,
    tmp_path: Path,
) -> None:
    told = Told()
    options = {"alpn": ["http/1.1"], "client_cert": IDENTITY.write(tmp_path), "observer": told}
    handler = http() if door is by_connector else echo
    with Server(
        GENUINE, handler=handler, alpn=["http/1.1"], client_ca=ROOT, tls_version=tls_version
    ) as server:
        await door(context_for(pinned(), **options), server)
        await end_of(server)
        assert server.connections[0].alpn == "http/1.1"
        assert server.client_certificates == [IDENTITY.der]
    with Interceptor(ROOT, "localhost", client_ca=ROOT, tls_version=tls_version) as between:
        with pytest.raises(OSError) as error:
            await door(context_for(pinned(), **options), between)
        assert isinstance(pinio.find_pin_error(error.value), PinMismatchError)
        await end_of(between)
        assert (between.captured, between.client_certificates) == (b"", [])
    assert told.kinds == ["Permit", "Refusal"]
