"""Peers that mean no good, or no TLS: a typed error, a closed socket, an application that never heard of it."""

from __future__ import annotations

import asyncio
import gc
import ssl
import tracemalloc
from collections.abc import AsyncIterator

import pytest

import pinio
from pinio.errors import PinMismatchError
from pinio.testing import (
    CA,
    Connection,
    CutRelay,
    DripRelay,
    Handler,
    RawServer,
    Server,
    garbage,
    hear,
    reset,
    silent,
    tls_alert,
    tls_record,
    vanish,
)
from pinio.testing.listener import Listener
from tests.tls.cast import GENUINE, ISSUER, MISPINNED, ROOT, App, Told, end_of, pinned
from tests.tls.certificates import Issued
from tests.tls.messages import (
    HANDSHAKE,
    certificate,
    flight,
    message,
    server_hello,
    server_hello_done,
)
from tests.tls.residue import nothing_left_behind

ECDHE_ECDSA, RSA, ANONYMOUS, PRE_SHARED = 0xC02B, 0x009C, 0x00A6, 0x00A8  # each with AES-128-GCM
UNKNOWN_TO_CLIENT = 0x1399


@pytest.fixture(autouse=True)
async def leaves_nothing() -> AsyncIterator[None]:
    async with nothing_left_behind():
        yield


async def failure(peer: Listener, *, timeout: float | None = None) -> BaseException:
    """The error of a connection to `peer`, once the peer has seen the end of it; the application heard nothing.

    A peer that only listens afterwards sees the end if the client hangs up, and not before.
    """
    app, told = App(), Told()
    with pytest.raises((OSError, asyncio.TimeoutError)) as error:
        await pinio.create_connection(
            lambda: app,
            "localhost",
            peer.port,
            policy=pinned(),
            observer=told,
            ssl_handshake_timeout=timeout,
        )
    await end_of(peer)
    assert app.calls == []
    # The end of TCP is no failure of TLS.
    assert told.kinds == (["Refusal"] if isinstance(error.value, ssl.SSLError) else [])
    return error.value


# Before and within the handshake


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x00" * 1000,
        b"\xff" * 100_000,
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 41,  # an SSL 2.0 hello
        tls_record(23, b"application data"),
        tls_record(20, b"\x01"),
        tls_record(24, b"\x01\x40\x00"),  # a heartbeat request
        tls_record(HANDSHAKE, b"\x0e\x00\x00\x00"),
    ],
    ids=[
        "HTTP",
        "SSH",
        "zeros",
        "ones",
        "SSL 2.0",
        "data",
        "change cipher spec",
        "heartbeat",
        "out of order",
    ],
)
async def test_what_is_no_server_hello_is_a_tls_error(words: bytes) -> None:
    with RawServer(hear, words, silent) as peer:
        assert isinstance(await failure(peer), ssl.SSLError)
        (record,) = peer.connections
        assert record.application_bytes[0] == HANDSHAKE, "it got a ClientHello, and nothing more"


@pytest.mark.parametrize(
    "description", ["handshake_failure", "protocol_version", "unrecognized_name", 112, 255]
)
async def test_an_alert_is_a_tls_error(description: str | int) -> None:
    with RawServer(hear, tls_alert(description), silent) as peer:
        assert isinstance(await failure(peer), ssl.SSLError)


async def test_an_alert_about_our_own_flight(tls_version: ssl.TLSVersion) -> None:
    """A server that wanted a certificate says so after our part: within the handshake with TLS 1.2, after it with TLS 1.3."""
    with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        if tls_version is ssl.TLSVersion.TLSv1_2:
            error: BaseException | None = await failure(server)
        else:
            transport, app = await pinio.create_connection(
                App, "localhost", server.port, policy=pinned()
            )
            error = await app.lost
            assert app.received == b""
            assert app.calls == ["connection_made", "connection_lost"]
            assert transport.is_closing()
            await end_of(server)
        assert isinstance(error, ssl.SSLError)
        assert "ALERT" in str(error)
        assert server.application_bytes == b""


async def test_a_goodbye_for_a_greeting() -> None:
    with RawServer(hear, tls_record(21, b"\x01\x00"), silent) as peer:  # close_notify
        assert isinstance(await failure(peer), OSError)


@pytest.mark.parametrize(
    "steps",
    [(hear,), (hear, reset), (reset,), ()],
    ids=["end", "reset", "reset at once", "end at once"],
)
async def test_an_end_before_the_first_word(steps: tuple[Handler, ...]) -> None:
    with RawServer(*steps) as peer:
        assert isinstance(await failure(peer), ConnectionError)


CUTS = [0, 1, 4, 5, 6, 50, 90, 127, 128, 129, 200, 400, 700, 800, 900, 1000, 1100]


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_an_end_at_any_byte_of_the_handshake(
    tls_version: ssl.TLSVersion, ending: str
) -> None:
    with Server(GENUINE, tls_version=tls_version) as genuine:
        for after_bytes in CUTS:
            with CutRelay(genuine, after_bytes=after_bytes, ending=ending) as relay:  # type: ignore[arg-type]
                assert isinstance(await failure(relay), OSError), after_bytes
        await end_of(genuine)
        assert genuine.application_bytes == b""


async def test_an_end_before_the_last_byte_of_the_servers_side() -> None:
    """With TLS 1.2 the client's flight is out by then, and still nobody is told of a connection."""
    with Server(GENUINE, tls_version=ssl.TLSVersion.TLSv1_2, handler=silent) as genuine:
        with CutRelay(genuine, after_bytes=1 << 20) as relay:
            transport, app = await pinio.create_connection(
                lambda: App(b""), "localhost", relay.port, policy=pinned(), resumption=False
            )
            await end_quietly(relay, genuine)
            length = len(relay.connections[0].replies)
            transport.abort()
            await app.lost
        for missing in (8, 20, 30, 50):  # signatures differ by some bytes in length
            with CutRelay(genuine, after_bytes=length - missing) as relay:
                assert isinstance(await failure(relay), OSError)
        assert genuine.application_bytes == b""


async def end_quietly(*listeners: Listener) -> None:
    for listener in listeners:
        await listener.quiet()


@pytest.mark.parametrize("after_bytes", [0, 3, 127, 600])
async def test_a_stall_ends_with_the_handshake_timeout(
    tls_version: ssl.TLSVersion, after_bytes: int
) -> None:
    with (
        Server(GENUINE, tls_version=tls_version) as genuine,
        CutRelay(genuine, after_bytes=after_bytes, ending="stall") as relay,
    ):
        error = await failure(relay, timeout=0.05)
        assert isinstance(error, ConnectionAbortedError)
        assert "0.05 seconds" in str(error)


async def test_one_byte_at_a_time_is_slow_but_tls(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as genuine, DripRelay(genuine) as relay:
        transport, app = await pinio.create_connection(
            App, "localhost", relay.port, policy=pinned()
        )
        assert await app.has_received(len(app.opening)) == app.opening
        transport.close()
        assert await app.lost is None
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App, "localhost", relay.port, policy=MISPINNED, observer=Told()
            )
        await end_of(relay)
        assert genuine.application_bytes == app.opening


@pytest.mark.parametrize("suite", [RSA, ANONYMOUS, PRE_SHARED, UNKNOWN_TO_CLIENT], ids=hex)
async def test_a_suite_that_was_not_offered(suite: int) -> None:
    """Whatever comes with it, a certificate or none, goes unread."""
    words = flight(server_hello(suite), certificate(GENUINE.chain), server_hello_done())
    with RawServer(hear, words, silent) as peer:
        error = await failure(peer)
        assert isinstance(error, ssl.SSLError)
        assert "CIPHER" in str(error)


async def test_a_server_that_only_speaks_what_is_not_offered() -> None:
    context = (
        CA("rsa", key_type="rsa").issue("localhost", key_type="rsa").server_context(ciphers="kRSA")
    )
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Server(context) as server:
        assert isinstance(await failure(server), ssl.SSLError)
        assert server.handshakes_finished == 0


# Too much


async def test_a_hundred_certificates_change_nothing(tls_version: ssl.TLSVersion) -> None:
    junk = [CA(f"junk {number}").der for number in range(97)]
    with Server(GENUINE.serving(*junk, ISSUER.der), tls_version=tls_version) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned(f"ca:{ROOT.pin}")
        )
        permit = transport.get_extra_info("pinio")
        assert [item.der for item in permit.chain] == [GENUINE.der, ISSUER.der, ROOT.der]
        transport.abort()
        with pytest.raises(PinMismatchError) as error:
            await pinio.create_connection(
                App, "localhost", server.port, policy=MISPINNED, observer=Told()
            )
        assert len(str(error.value)) < 2000
        await end_of(server)


async def test_a_chain_over_the_limit_is_not_taken_in(tls_version: ssl.TLSVersion) -> None:
    """OpenSSL reads 100 KiB of certificates, encrypted or not, and no more."""
    junk = CA("junk", key_type="rsa").der
    with Server(
        GENUINE.serving(*[junk] * (150_000 // len(junk))), tls_version=tls_version
    ) as server:
        error = await failure(server)
        assert isinstance(error, ssl.SSLError)
        assert "EXCESSIVE_MESSAGE_SIZE" in str(error)
        assert server.handshakes_finished == 0


async def test_a_long_chain_that_verifies_is_refused_in_few_words() -> None:
    issuer = root = Issued.root("deep")
    chain: list[bytes] = []
    for depth in range(60):
        issuer = issuer.issue(f"depth {depth}", ca=True)
        chain.insert(0, issuer.der)
    leaf = issuer.issue("localhost", "localhost").serving(*chain)
    with Server(leaf) as server:
        policy = pinned(GENUINE.pin, anchors=root.anchors)
        with pytest.raises(PinMismatchError) as error:
            await pinio.create_connection(
                App, "localhost", server.port, policy=policy, observer=Told()
            )
        assert error.value.refusal.chain is not None
        assert len(error.value.refusal.chain) == 62
        assert "and 52 certificates more" in str(error.value)
        await end_of(server)


@pytest.mark.parametrize(
    "words",
    [
        flight(server_hello(ECDHE_ECDSA))
        + tls_record(HANDSHAKE, b"\x0b\xff\xff\xff"),  # 16 MiB of certificates, it says
        flight(server_hello(ECDHE_ECDSA), message(11, b"\x00" * 200_000)),
        flight(message(2, b"\x00" * 200_000)),
        tls_record(HANDSHAKE, b"")[:3]
        + b"\xff\xff"
        + b"\x00" * 65_535,  # a record over its limit of 2^14 + 256
    ],
    ids=["announced", "certificates", "hello", "record"],
)
async def test_a_handshake_message_over_every_limit(words: bytes) -> None:
    with RawServer(hear, words, silent) as peer:
        assert isinstance(await failure(peer), ssl.SSLError)


async def test_an_endless_stream_of_nonsense_costs_a_bounded_amount_of_memory() -> None:
    def endless(connection: Connection) -> None:
        connection.recv()
        # Records that carry nothing: each may be skipped, all of them may not.
        while True:
            connection.sendall(tls_record(HANDSHAKE, b"") * 1000)

    with RawServer(endless) as peer:
        await failure(peer)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(5):
                assert isinstance(await failure(peer), OSError)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 << 20


# After the handshake


async def test_garbage_after_the_handshake_is_a_tls_error(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, handler=garbage()) as server:
        _, app = await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        assert isinstance(await app.lost, ssl.SSLError)
        assert app.received == b""
        assert app.calls == ["connection_made", "connection_lost"]
        await end_of(server)


async def test_garbage_reaches_who_reads_a_stream(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, handler=garbage()) as server:
        reader, writer = await pinio.open_connection("localhost", server.port, policy=pinned())
        with pytest.raises(ssl.SSLError):
            await reader.read()
        with pytest.raises(ssl.SSLError):
            await writer.wait_closed()
        await end_of(server)


async def test_a_truncation_can_be_told_from_an_end(tls_version: ssl.TLSVersion) -> None:
    """RFC 8446 section 6.1."""
    with Server(GENUINE, tls_version=tls_version, handler=vanish) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned()
        )
        await app.lost
        assert transport.get_extra_info("pinio.eof") == "ragged"
        assert "eof_received" in app.calls
        await end_of(server)


async def test_a_reset_after_the_handshake(tls_version: ssl.TLSVersion) -> None:
    def hang_up(connection: Connection) -> None:
        connection.recv()
        connection.abort()

    with Server(GENUINE, tls_version=tls_version, handler=hang_up) as server:
        _, app = await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        assert isinstance(await app.lost, ConnectionError)
        assert app.calls[-1] == "connection_lost"
        await end_of(server)


async def test_many_at_once_all_fail_and_leave_nothing() -> None:
    with RawServer(hear, tls_alert("handshake_failure")) as alerting, Server(GENUINE) as genuine:
        errors = await asyncio.gather(
            *(failure(alerting) for _ in range(30)),
            *(
                pinio.create_connection(
                    App, "localhost", genuine.port, policy=MISPINNED, observer=Told()
                )
                for _ in range(30)
            ),
            return_exceptions=True,
        )
        assert all(isinstance(error, ssl.SSLError) for error in errors)
        await end_of(alerting)
        await end_of(genuine)
        assert genuine.handshakes_finished == 0
