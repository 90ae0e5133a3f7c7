"""Attacks by way of a resumed session, which shows no chain and whose name OpenSSL does not check again.

    first connection     client ──── chain, key proved ────► judged, ticket kept beside the evidence
    second connection    client ──── ticket ───────────────► nothing to look at but the evidence

Pinning libraries either forbid the second, or let it pass unlooked at. Here it is judged by the
policy as it is now. Whether a connection was resumed is read off the server.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any

import pytest

import pinio
from pinio.core.certificate import VerifiedChain
from pinio.core.evidence import Evidence
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import NoVerifiedChainError, PinMismatchError
from pinio.testing import CA, Connection, Interceptor, Server, garbage
from pinio.tls.config.profile import Profile
from pinio.tls.connection.openssl import OpenSSLEngine
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.peer import OpenSSLFacts
from pinio.tls.handshake.sessions import Offer, SessionCache
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ROOT, SPARE, Told, end_of, pinned
from tests.tls.through import unsealed
from tests.tls.visits import OTHER_KEY, resumed, visit


async def test_a_session_of_one_host_is_not_offered_to_another(tls_version: ssl.TLSVersion) -> None:
    """OpenSSL skips the name check on resumption, so the name is part of what the session is kept by, and of its evidence."""
    cache = SessionCache()
    policy = pinned(host="**.pinned.test")
    async with Server(GENUINE, tls_version=tls_version) as server:
        for name in ("a.pinned.test", "b.pinned.test", "a.pinned.test"):
            await visit(server, policy, cache, server_hostname=name)
        await end_of(server)
    assert resumed(server) == [False, False, True]


async def test_a_session_in_the_wrong_drawer_is_noticed(tls_version: ssl.TLSVersion) -> None:
    """Even a cache that mixes up its hosts offers nothing that the evidence does not name."""
    cache = SessionCache()
    policy = pinned(host="**.pinned.test")
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache, server_hostname="a.pinned.test")
        ((key, kept),) = cache._kept.items()
        cache._kept = {key._replace(host="b.pinned.test"): kept}
        told = Told()
        permit = await visit(server, policy, cache, server_hostname="b.pinned.test", observer=told)
        await end_of(server)
    assert not permit.resumed and resumed(server) == [False, False]
    assert told == [permit]  # it was not even offered, so nothing had to be refused


async def test_a_stolen_ticket_is_worth_nothing_without_its_key(
    tls_version: ssl.TLSVersion, reserved_port: int
) -> None:
    """An interceptor takes the server's place.

    It cannot read the ticket, has to shake hands in full, and is refused.
    """
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, pinned(), cache)
    async with Interceptor(
        ROOT, "localhost", port=reserved_port, tls_version=tls_version
    ) as interceptor:
        with pytest.raises(PinMismatchError):
            await visit(interceptor, pinned(), cache)
        await end_of(interceptor)
        assert interceptor.captured == b"" and interceptor.handshakes_finished == 0
    assert len(cache) == 0


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_session_with_the_wrong_evidence_is_retried_in_full(
    copies: int, tls_version: ssl.TLSVersion
) -> None:
    """The leaf that `ssl` still knows is compared.

    Where we dial, a full handshake then decides, once, however many there are.
    """
    cache = SessionCache()
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, policy, cache)
        ((key, (kept,)),) = cache._kept.items()
        chain = VerifiedChain([*OTHER_KEY.chain, ROOT.der])
        wrong = Evidence.of(
            "localhost", chain, kept.offer.evidence.profile, kept.offer.evidence.seen
        )
        assert wrong is not None
        cache.clear()
        for _ in range(copies):
            cache.keep(
                key.configuration,
                policy.endpoint("localhost", server.port),
                Offer(kept.offer.session, wrong),
                once=kept.once,
            )
        told = Told()
        permit = await visit(server, policy, cache, observer=told)
        await end_of(server)
    assert not permit.resumed
    refusal, after = told
    assert (refusal.reason, refusal.resumed) == ("WITNESSES_DISAGREE", True)  # type: ignore[union-attr]
    assert after is permit
    assert sum(map(len, cache._kept.values())) == copies - 1, "the refused one is forgotten"
    assert [bytes(record.application_bytes) for record in server.connections] == [
        b"ping",
        b"",
        b"ping",
    ]


async def test_the_context_door_refuses_where_the_raw_one_retries(
    tls_version: ssl.TLSVersion,
) -> None:
    """Somebody else dials there, so a session that turns out wrong refuses the connection, and the next one is full."""
    policy = pinned(GENUINE.pin, OTHER_KEY.pin)
    cache = SessionCache()
    context = pinio.create_ssl_context(policy, resumption=cache)

    async def fetch(port: int) -> bool:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"ping")
        await reader.readexactly(4)
        was_resumed = pinio.attest(writer).resumed
        writer.close()
        await writer.wait_closed()
        return was_resumed

    async with Server(GENUINE, tls_version=tls_version) as server:
        assert [await fetch(server.port), await fetch(server.port)] == [False, True]
        for kept in cache._kept.values():
            chain = VerifiedChain([*OTHER_KEY.chain, ROOT.der])
            for one in kept:
                object.__setattr__(one.offer.evidence, "chain", chain)
        with pytest.raises(pinio.PinVerificationError, match="contradicts itself"):
            await fetch(server.port)
        assert len(cache) == 0
        assert not await fetch(server.port)
        await end_of(server)


async def test_another_client_identity_resumes_nothing(
    tls_version: ssl.TLSVersion, tmp_path: Any
) -> None:
    """A resumed session carries the identity of its first connection; with another certificate the handshake is full."""
    first = IDENTITY.write(tmp_path, "first")
    second_identity = ROOT.issue_client("second@pinio.test")
    second = second_identity.write(tmp_path, "second")
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        for identity in (first, first, second):
            context = pinio.create_ssl_context(pinned(), client_cert=identity, resumption=cache)
            await visit(server, None, cache, policy=None, ssl=context)
        await end_of(server)
    assert resumed(server) == [False, True, False]
    assert server.client_certificates == [IDENTITY.der, second_identity.der]


def ruin(connection: Connection) -> None:
    """An echo that answers "ruin" with what is no TLS record."""
    while data := connection.recv():
        if data == b"ruin":
            garbage()(connection)
            return
        connection.sendall(data)


@pytest.mark.parametrize("door", ["raw", "context"])
async def test_a_session_on_which_tls_broke_is_forgotten(
    door: str, tls_version: ssl.TLSVersion
) -> None:
    """RFC 5246 section 7.2.2, also where the handshake was long over."""
    cache = SessionCache()
    context = pinio.create_ssl_context(pinned(), resumption=cache)
    connect = pinio.open_connection if door == "raw" else asyncio.open_connection
    async with Server(GENUINE, tls_version=tls_version, handler=ruin) as server:
        for words in (b"ping", b"ruin", b"ping"):
            reader, writer = await connect("localhost", server.port, ssl=context)
            writer.write(words)
            if words == b"ruin":
                with pytest.raises(ssl.SSLError):
                    await reader.readexactly(4)
                assert len(cache) == 0
            else:
                assert await reader.readexactly(4) == words
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await end_of(server)
    assert resumed(server) == [False, True, False]


def test_a_resumption_that_nobody_offered_is_no_evidence() -> None:
    """An external pre-shared key reports `session_reused` and shows no certificate: refused, pinned or not."""

    class Resumed:
        session_reused = True
        context = inner_context(Profile("pkix", ROOT.anchors))

        def getpeercert(self, binary_form: bool = False) -> bytes:
            return GENUINE.der

    open_policy = Policy({"example.com": PinSet([SPARE, ABSENT])}, unpinned="allow")
    for policy in (pinned(), open_policy):
        endpoint = policy.endpoint("localhost", 443)
        judge = Judge(endpoint, Profile("pkix", ROOT.anchors), Told())
        handshake = Handshake(judge)
        with pytest.raises(NoVerifiedChainError, match="nobody here has offered"):
            handshake.step(OpenSSLFacts(Resumed()), lambda: None, None)  # type: ignore[arg-type]
        assert judge.gate.permit is None


@pytest.mark.skipif(
    not hasattr(ssl.SSLContext, "set_psk_client_callback"), reason="Python has no PSK before 3.13"
)
def test_an_external_pre_shared_key_is_refused() -> None:
    """The same with a real handshake: a context into which a pre-shared key was put proves no certificate."""
    client = unsealed(inner_context(Profile("pkix", CA("fresh").anchors)))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.set_psk_client_callback(lambda hint: ("pinio", b"k" * 32))  # type: ignore[attr-defined]
    server.set_psk_server_callback(lambda identity: b"k" * 32)  # type: ignore[attr-defined]
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    told = Told()
    endpoint = pinned(trust="leaf-pin").endpoint("localhost", 443)
    engine = OpenSSLEngine(client, Handshake(Judge(endpoint, Profile("leaf-pin"), told)))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = server.wrap_bio(incoming, outgoing, server_side=True)

    def shake_hands() -> None:
        for _ in range(4):
            engine.handshake()
            incoming.write(engine.take())
            with suppress(ssl.SSLWantReadError):
                peer.do_handshake()
            engine.incoming.write(outgoing.read())

    with pytest.raises(NoVerifiedChainError):
        shake_hands()
    assert told.kinds == ["Refusal"] and engine.take() == b""
