"""`engine=`: who does the TLS, and that the promises hold whoever does."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import (
    CertificateNotVerifiedError,
    DeniedKeyError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.testing import CA, Server
from pinio.tls.config.engine import EngineChoice, choose
from pinio.tls.config.settings import Settings
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ISSUER, MISPINNED, ROOT, Told, end_of, pinned

ENGINES: tuple[EngineChoice, ...] = ("openssl", "rustls")
HAS_RUSTLS = importlib.util.find_spec("pinio_rustls") is not None
needs_rustls = pytest.mark.skipif(
    not HAS_RUSTLS, reason="pinio-rustls is not installed: ./run engine"
)
each_engine = pytest.mark.parametrize(
    "engine", ["openssl", pytest.param("rustls", marks=needs_rustls)]
)


async def echoed(server: Server, engine: EngineChoice, **how: Any) -> pinio.Permit:
    """Open a connection, exchange a few bytes, close; returns why it was allowed."""
    how.setdefault("policy", pinned())
    reader, writer = await pinio.open_connection("localhost", server.port, engine=engine, **how)
    permit = pinio.attest(writer)
    writer.write(b"x" * 100_000)
    assert await reader.readexactly(100_000) == b"x" * 100_000
    writer.close()
    await writer.wait_closed()
    return permit


async def refused(server: Server, engine: EngineChoice, **how: Any) -> PinVerificationError:
    """The error of a connection that must not open; its server has decrypted no byte."""
    with pytest.raises(PinVerificationError) as caught:
        await pinio.open_connection("localhost", server.port, engine=engine, **how)
    await end_of(server)
    assert server.handshakes_finished == 0
    assert server.application_bytes == b""
    assert not server.client_certificates
    return caught.value


@each_engine
async def test_the_right_key_is_served(engine: EngineChoice, tls_version: ssl.TLSVersion) -> None:
    async with Server(GENUINE, tls_version=tls_version) as server:
        permit = await echoed(server, engine)
        assert permit.engine == engine
        assert permit.chain is not None
        assert [item.der for item in permit.chain] == [GENUINE.der, ISSUER.der, ROOT.der]


@each_engine
async def test_P2_a_wrong_key_gets_neither_a_byte_nor_the_client_certificate(
    engine: EngineChoice, tls_version: ssl.TLSVersion, tmp_path: Any
) -> None:
    context = pinio.create_ssl_context(MISPINNED, client_cert=IDENTITY.write(tmp_path))
    async with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        error = await refused(server, engine, ssl=context)
    assert isinstance(error, PinMismatchError)


@each_engine
async def test_the_client_certificate_is_shown_to_the_right_key(
    engine: EngineChoice, tls_version: ssl.TLSVersion, tmp_path: Any
) -> None:
    context = pinio.create_ssl_context(pinned(), client_cert=IDENTITY.write(tmp_path))
    async with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        await echoed(server, engine, policy=None, ssl=context)
        assert set(server.client_certificates) == {IDENTITY.der}


@each_engine
async def test_a_denied_key_and_an_unlisted_host_are_refused(
    engine: EngineChoice, tls_version: ssl.TLSVersion
) -> None:
    async with Server(GENUINE, tls_version=tls_version) as server:
        denying = pinned(policy={"deny": [GENUINE.pin]})
        assert isinstance(await refused(server, engine, policy=denying), DeniedKeyError)
        elsewhere = pinned(host="a.pinned.test")
        assert isinstance(await refused(server, engine, policy=elsewhere), UnpinnedHostError)


@each_engine
@pytest.mark.parametrize(
    ("leaf", "anchors", "code"),
    [
        (ISSUER.issue("another.test"), ROOT.anchors, 62),
        (ISSUER.issue("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)), ROOT.anchors, 10),
        (GENUINE, CA("a stranger").anchors, 20),
    ],
    ids=["another name", "expired", "unknown CA"],
)
async def test_what_does_not_verify_is_refused_whatever_is_pinned(
    engine: EngineChoice, leaf: Any, anchors: Any, code: int, tls_version: ssl.TLSVersion
) -> None:
    async with Server(leaf, tls_version=tls_version) as server:
        error = await refused(server, engine, policy=pinned(leaf.pin, anchors=anchors))
    assert isinstance(error, CertificateNotVerifiedError)
    assert error.refusal.verify_code == code or (code == 20 and error.refusal.verify_code == 19)


@each_engine
async def test_leaf_pin_trusts_the_key_alone(
    engine: EngineChoice, tls_version: ssl.TLSVersion
) -> None:
    device = CA("a device").issue("camera.local")
    async with Server(device, tls_version=tls_version) as server:
        how: dict[str, Any] = {"trust": "leaf-pin"}
        permit = await echoed(server, engine, policy=pinned(device.pin, **how))
        assert permit.chain is not None
        assert [item.der for item in permit.chain] == [device.der]
    async with Server(device, tls_version=tls_version) as server:
        await refused(server, engine, policy=pinned(ABSENT, **how))


@each_engine
async def test_P4_a_resumed_connection_is_judged_by_the_policy_of_now(
    engine: EngineChoice, tls_version: ssl.TLSVersion
) -> None:
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert not (await echoed(server, engine, resumption=cache)).resumed
        assert (await echoed(server, engine, resumption=cache)).resumed
        told = Told()
        with pytest.raises(PinMismatchError):
            await pinio.open_connection(
                "localhost", server.port, policy=MISPINNED, engine=engine, resumption=cache,
                observer=told,
            )  # fmt: skip
        await end_of(server)
        assert server.handshakes_finished == 2
        assert told.kinds == ["Refusal"]


@needs_rustls
async def test_P4_sessions_do_not_cross_engines(tls_version: ssl.TLSVersion) -> None:
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        for engine in ENGINES:
            assert not (await echoed(server, engine, resumption=cache)).resumed
        for engine in ENGINES:
            assert (await echoed(server, engine, resumption=cache)).resumed


@needs_rustls
async def test_the_ssl_object_is_honest(tls_version: ssl.TLSVersion) -> None:
    async with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection(
            "localhost", server.port, policy=pinned(), engine="rustls"
        )
        tls = writer.get_extra_info("ssl_object")
        assert not isinstance(tls, ssl.SSLObject)
        assert tls.version() == tls_version.name.replace("_", ".")
        assert tls.getpeercert(binary_form=True) == GENUINE.der
        assert tls.getpeercert() is None
        assert len(tls.get_channel_binding("tls-exporter")) == 32
        assert writer.get_extra_info("cipher")[1] == tls.version()
        writer.close()
        await writer.wait_closed()


@needs_rustls
async def test_aiohttp_connects_by_rustls(tls_version: ssl.TLSVersion) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    from pinio.aiohttp import PinnedConnector
    from pinio.testing import http

    async with Server(GENUINE, tls_version=tls_version, handler=http()) as server:
        told = Told()
        connector = PinnedConnector(pinned(), engine="rustls", observer=told)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://localhost:{server.port}/") as response,
        ):
            assert response.status == 200
        (permit,) = told
        assert isinstance(permit, pinio.Permit)
        assert permit.engine == "rustls"
    async with Server(GENUINE, tls_version=tls_version, handler=http()) as server:
        connector = PinnedConnector(MISPINNED, engine="rustls")
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(PinMismatchError):
                await session.get(f"https://localhost:{server.port}/")
        await end_of(server)
        assert (server.handshakes_finished, server.application_bytes) == (0, b"")


@needs_rustls
async def test_start_tls_by_rustls(tls_version: ssl.TLSVersion) -> None:
    async with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await asyncio.open_connection("localhost", server.port)
        reader, writer = await pinio.upgrade(
            reader, writer, policy=pinned(), server_hostname="localhost", engine="rustls"
        )
        assert pinio.attest(writer).engine == "rustls"
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("choice", ["OpenSSL", "", None, 1, b"rustls"])
def test_another_word_is_refused(choice: Any) -> None:
    with pytest.raises(PolicyError, match='"openssl", "rustls" or "auto"'):
        choose(choice, Settings())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(ciphers="ECDHE+AESGCM"), "ciphers"),
        (Settings(curve="prime256v1"), "curve"),
        (Settings(verify_flags=int(ssl.VERIFY_X509_STRICT)), "verify_flags"),
        (Settings(options=int(ssl.OP_NO_TICKET)), "options"),
        (Settings(post_handshake_auth=True), "post_handshake_auth"),
        (Settings(keylog_filename="keys"), "keylog_filename"),
    ],
)
def test_what_rustls_cannot_do_is_refused_before_a_socket(settings: Settings, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        choose("rustls", settings)
    assert choose("auto", settings) == "openssl"


def test_where_rustls_is_missing_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinio.tls.config.engine.find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=r"pinio-rustls is not installed.*\./run engine"):
        choose("rustls", Settings())
    assert choose("auto", Settings()) == "openssl"
    assert choose("openssl", Settings()) == "openssl"


async def test_a_context_that_rustls_cannot_express_opens_no_socket() -> None:
    context = pinio.create_ssl_context(Policy({"localhost": pinned().hosts["localhost"]}))
    context.post_handshake_auth = True
    async with Server(GENUINE) as server:
        with pytest.raises(PolicyError):
            await pinio.open_connection("localhost", server.port, ssl=context, engine="rustls")
        assert not server.connections
