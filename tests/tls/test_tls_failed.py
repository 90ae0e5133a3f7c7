"""TLS that fails for another reason than a certificate: an `ssl.SSLError` that names the peer, and observers hear of it."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.core.decision import Refusal
from pinio.core.policy import Policy
from pinio.errors import NotJudgedError, TLSFailedError, find_pin_error
from pinio.testing import RawServer, Server, hear, reset, silent, tls_alert
from tests.tls.cast import GENUINE, ROOT, SPARE, Told, end_of, pinned
from tests.tls.entry_points import PORTLESS, Enter, entry_point, own_entry_point, refused
from tests.tls.memory import MemoryPeer
from tests.tls.through import ask, context_for


@dataclass(frozen=True)
class Failure:
    """What a peer says, OpenSSL's word for it, and words of the hint."""

    steps: tuple[Any, ...]
    reason: str
    words: str


FAILURES = {
    "HTTP": Failure(
        (hear, b"HTTP/1.1 400 Bad Request\r\n\r\n"), "WRONG_VERSION_NUMBER", "right port"
    ),
    "SMTP": Failure(
        (hear, b"220 smtp.test ready\r\n"), "WRONG_VERSION_NUMBER", "may not speak TLS"
    ),
    "version": Failure(
        (hear, tls_alert("protocol_version")), "TLSV1_ALERT_PROTOCOL_VERSION", "TLS 1.2 and 1.3"
    ),
    "suites": Failure(
        (hear, tls_alert("handshake_failure")), "SSLV3_ALERT_HANDSHAKE_FAILURE", "in common"
    ),
    "client certificate": Failure(
        (hear, tls_alert("certificate_required")),
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "client_cert=",
    ),
    "name": Failure(
        (hear, tls_alert("unrecognized_name")), "TLSV1_UNRECOGNIZED_NAME", "server_hostname="
    ),
    "protocol": Failure((hear, tls_alert(120)), "TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "alpn="),
    "another alert": Failure(
        (hear, tls_alert("internal_error")), "TLSV1_ALERT_INTERNAL_ERROR", "its own log"
    ),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@entry_point
async def test_a_failed_handshake_names_the_peer_and_is_told(
    enter: Enter, failure: Failure
) -> None:
    told = Told()
    with RawServer(*failure.steps, silent) as server:
        error = await refused(enter, server, pinned(), told)
        port = server.port
    assert isinstance(error, TLSFailedError)
    assert not isinstance(error, ssl.SSLCertVerificationError)
    assert error.errno == ssl.SSL_ERROR_SSL
    assert (error.reason, error.library) == (failure.reason, "SSL")
    assert told == [error.refusal]
    assert (error.refusal.reason, error.host) == ("TLS_FAILED", "localhost")
    assert error.port == (None if enter in PORTLESS else port)
    assert error.refusal.report is None
    where = "localhost" if enter in PORTLESS else f"localhost:{port}"
    assert str(error).startswith(f"{where} did not complete the TLS handshake:\n")
    assert failure.words in str(error)
    assert "sha256/" not in str(error), "no key was judged, so that pins have nothing to do with it"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.refusal, again.reason) == (type(error), error.refusal, error.reason)
    assert find_pin_error(RuntimeError(error)) is error


@own_entry_point
async def test_its_cause_is_what_ssl_raised(enter: Enter) -> None:
    with RawServer(hear, b"HTTP/1.1 400 Bad Request\r\n\r\n", silent) as server:
        error = await refused(enter, server, pinned(), Told())
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        assert type(error).__name__ == "ClientTLSFailedError"
        error = error.os_error
    assert type(error) is TLSFailedError
    assert type(error.__cause__) is ssl.SSLError
    assert str(error.__cause__.strerror) in str(error)


@pytest.mark.parametrize("steps", [(hear, reset), (hear,)], ids=["reset", "end"])
@entry_point
async def test_the_end_of_tcp_is_no_failure_of_tls(enter: Enter, steps: tuple[Any, ...]) -> None:
    told = Told()
    with RawServer(*steps) as server:
        error = await refused(enter, server, pinned(), told)
    assert find_pin_error(error) is None
    assert told == []


@entry_point
async def test_of_hosts_without_pins_it_is_told_too(enter: Enter) -> None:
    told = Told()
    policy = Policy({"other.test": [GENUINE.pin, SPARE]}, unpinned="allow")
    with RawServer(hear, b"HTTP/1.1 400 Bad Request\r\n\r\n", silent) as server:
        error = await refused(enter, server, policy, told)
    assert isinstance(error, TLSFailedError)
    assert told == [error.refusal]


# A server that wants a client certificate says so after the client's part


@pytest.fixture
def mutual(tls_version: ssl.TLSVersion) -> Iterator[Server]:
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        yield server


async def test_a_client_without_a_certificate_is_told_on_a_stream(
    mutual: Server, tls_version: ssl.TLSVersion
) -> None:
    """Within the handshake with TLS 1.2, by the first read with TLS 1.3."""
    told = Told()

    async def open_and_read() -> None:
        reader, _ = await pinio.open_connection(
            "localhost", mutual.port, policy=pinned(), observer=told
        )
        await reader.read()

    with pytest.raises(TLSFailedError, match="client_cert=") as caught:
        await open_and_read()
    assert (caught.value.host, caught.value.port) == ("localhost", mutual.port)
    late = tls_version is ssl.TLSVersion.TLSv1_3
    assert told.kinds == (["Permit", "Refusal"] if late else ["Refusal"])
    assert told[-1] == caught.value.refusal
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    await end_of(mutual)


def test_and_over_a_blocking_socket(mutual: Server) -> None:
    told = Told()
    with pytest.raises(OSError) as caught:
        ask(context_for(pinned(), observer=told), mutual)
    if isinstance(caught.value, ssl.SSLError):  # and no reset that came before the alert was read
        assert isinstance(caught.value, TLSFailedError)
        assert "client_cert=" in str(caught.value)
        assert isinstance(told[-1], Refusal)
        assert told[-1].reason == "TLS_FAILED"


def test_and_over_bios(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    context = pinio.create_ssl_context(pinned(), observer=told)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = MemoryPeer(GENUINE.server_context(tls_version=tls_version, client_ca=ROOT))

    def shake_hands_and_read() -> None:
        for _ in range(3):
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            with suppress(ssl.SSLError):
                incoming.write(server.answer(outgoing.read()))
            incoming.write(server.outgoing.read())  # its alert
        tls.read(1)

    with pytest.raises(TLSFailedError, match="client_cert=") as caught:
        shake_hands_and_read()
    assert told[-1] == caught.value.refusal
    with pytest.raises(NotJudgedError):
        tls.write(b"more")


async def test_a_probe_names_the_peer() -> None:
    with RawServer(hear, b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        with pytest.raises(TLSFailedError, match="right port") as caught:
            await pinio.probe("localhost", server.port)
        await end_of(server)
        assert (caught.value.host, caught.value.port) == ("localhost", server.port)
    assert caught.value.reason == "WRONG_VERSION_NUMBER"
